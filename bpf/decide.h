/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which rule holds for a flow, and what becomes of a segment under it. */
#ifndef SMTPWARD_BPF_DECIDE_H
#define SMTPWARD_BPF_DECIDE_H

#include "maps.h"
#include "verdict.h"

/* Takes the entry over into *rule if it is there and at least as narrow as the best so far. */
static __always_inline bool rule_lookup(struct policy_key *key, struct policy_rule *rule, __s32 *best)
{
	struct policy_entry *entry;
	key->prefix_length = POLICY_KEY_FIXED_BITS + 128;
	entry = bpf_map_lookup_elem(&rules, key);
	if (!entry || (__s32)entry->address_bits <= *best)
		return false;
	*best = (__s32)entry->address_bits;
	*rule = entry->rule;
	return true;
}

/* The best rule of one scope: the longest prefix, and of two alike the one that names the port. */
static __always_inline bool rule_in_scope(const struct flow *flow, __u64 scope, struct policy_rule *rule)
{
	struct policy_key key = { .scope_high = scope >> 32, .scope_low = (__u32)scope, .port = flow->server_port };
	__s32 best = -1;
	__builtin_memcpy(key.address, flow->server_address, 16);
	rule_lookup(&key, rule, &best);
	key.port = 0;
	rule_lookup(&key, rule, &best);
	return best >= 0;
}

/* The rule in force now; noted with the flow. Returns the mode. */
static __noinline int rule_for(struct flow *flow, struct policy_rule *rule)
{
	__u32 zero = 0;
	struct settings *now = bpf_map_lookup_elem(&settings, &zero);
	if (!now)
		return MODE_MONITOR;
	*rule = now->fallback;
	if (!(now->has_cgroup_rules && rule_in_scope(flow, POLICY_SCOPE_CGROUP(flow->cgroup_id), rule)) &&
	    !(now->has_user_rules && rule_in_scope(flow, POLICY_SCOPE_USER(flow->uid), rule)))
		rule_in_scope(flow, POLICY_SCOPE_ANY, rule);
	flow->rule_id = rule->id;
	flow->require = rule->require;
	return now->mode;
}

/* Whether the segment that flow->work has gone through is to be dropped. */
static __always_inline bool segment_is_condemned(struct flow *flow)
{
	const __u64 doubts = FACT(CLIENT_GAP) | FACT(SERVER_GAP) | FACT(MIDWAY);
	struct policy_rule rule = {};
	__u64 facts = flow->work.facts | flow->server.facts;
	__u32 demands = flow->work.demands;
	if (!demands && !(facts & doubts))
		return false;
	int mode = rule_for(flow, &rule);
	if (verdict_of(facts, demands, &rule) == VERDICT_PASS)
		return false;
	if (verdict_is_enforced(&rule, (__u8)mode))
		return true;
	flow->work.facts |= FACT(WOULD_BLOCK);
	return false;
}

#endif
