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
	flow->undecided = rule->undecided;
	flow->min_tls = rule->min_tls;
	flow->enforced = verdict_is_enforced(rule, now->mode);
	return now->mode;
}

/* What is known of the peer's identity: the agent's word, or else the witness's, where it is enough for the rule. */
static __always_inline struct peer peer_of(const struct flow *flow, const struct policy_rule *rule)
{
	struct peer peer = { .identity = IDENTITY_UNDECIDED, .tls_version = READ_ONCE(flow->tls_version) };
	__u64 flow_id = flow->flow_id;
	peer.identity = (enum identity)peer_verdict_of(flow_id);
	if (peer.identity)
		return peer;
	struct witness *witness = bpf_map_lookup_elem(&witnesses, &flow_id);
	/* the kernel cannot tell a version that it has not read; the agent can */
	if (witness && witness->good_for == flow_id && (!rule->name_hash || witness->name_for == (flow_id ^ rule->name_hash)) &&
	    (!rule->min_tls || peer.tls_version))
		peer.identity = IDENTITY_VERIFIED;
	return peer;
}

static __always_inline bool agent_is_alive(__u64 now)
{
	__u32 zero = 0;
	__u64 *beat = bpf_map_lookup_elem(&heartbeat, &zero);
	return beat && (__s64)(now - *beat) < (__s64)HEARTBEAT_MAX_NS; /* it may beat between the two clocks */
}

/* Whether a held segment can wait on: somebody is there to decide, and its time is not up. */
static __always_inline bool may_wait(const struct flow *flow)
{
	__u32 zero = 0;
	__u64 now = bpf_ktime_get_ns();
	struct settings *limit = bpf_map_lookup_elem(&settings, &zero);
	if (!limit || !agent_is_alive(now))
		return false;
	return !flow->held_since || now - flow->held_since < limit->hold_ns;
}

/* Application data waits for the verdict. It was not let through, so what comes behind it comes too early. */
static __always_inline bool is_held(const struct flow *flow)
{
	return flow->held_since && !flow->held_ns;
}

/*
 * What becomes of the segment that flow->work has gone through. In monitor mode the agent says what a verdict on the
 * peer's identity would have led to.
 */
static __always_inline enum verdict segment_verdict(struct flow *flow)
{
	const __u64 gaps = FACT(CLIENT_GAP) | FACT(SERVER_GAP);
	struct policy_rule rule = {};
	__u64 facts = flow->work.facts | flow->server.facts;
	__u32 demands = flow->work.demands;
	if (flow->client.facts & FACT(CLIENT_DATA)) /* the first of it has been judged */
		demands &= ~DEMAND_TLS_DATA;
	else if (is_held(flow)) /* presented again: it is what it was, whatever the server has said since */
		demands |= DEMAND_TLS_DATA;
	if (!demands && !(facts & gaps) && !facts_are_lost(facts))
		return VERDICT_PASS;
	rule_for(flow, &rule);
	struct peer peer = peer_of(flow, &rule);
	enum verdict verdict = verdict_of(facts, demands, &rule, &peer);
	if (verdict == VERDICT_PASS)
		return VERDICT_PASS;
	if (flow->enforced) {
		if (verdict == VERDICT_HOLD && !may_wait(flow))
			verdict = verdict_undecided(&rule);
		return verdict;
	}
	if (verdict == VERDICT_BLOCK)
		flow->work.facts |= FACT(WOULD_BLOCK);
	return VERDICT_PASS;
}

#endif
