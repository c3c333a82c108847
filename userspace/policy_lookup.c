/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "address.h"
#include "policy_lookup.h"

/* Narrowest first: one with any match hides those behind it. */
enum scope { SCOPE_CGROUP, SCOPE_USER, SCOPE_ANY, SCOPE_COUNT };

bool policy_rule_has_ended(const struct config_rule *rule, int64_t now)
{
	return rule->until != 0 && rule->until <= now;
}

static bool same_path(const char *a, const char *b)
{
	a += strspn(a, "/");
	b += strspn(b, "/");
	size_t length = strlen(a);
	while (length && a[length - 1] == '/')
		length--;
	return strncmp(a, b, length) == 0 && b[length + strspn(b + length, "/")] == 0;
}

static bool in_scope(const struct config_rule *rule, const struct policy_flow *flow, int scope)
{
	uint64_t user = (uint64_t)rule->key.scope_high << 32 | rule->key.scope_low;
	switch (scope) {
	case SCOPE_CGROUP:
		return rule->cgroup && flow->cgroup && same_path(rule->cgroup, flow->cgroup);
	case SCOPE_USER:
		return rule->user && flow->has_user && user == POLICY_SCOPE_USER(flow->uid);
	default:
		return !rule->cgroup && !rule->user;
	}
}

static bool covers(const struct config_rule *rule, const struct policy_flow *flow)
{
	struct address_prefix prefix = { .bits = rule->key.prefix_length - POLICY_KEY_FIXED_BITS };
	memcpy(prefix.address, rule->key.address, sizeof(prefix.address));
	return (rule->key.port == 0 || rule->key.port == flow->port) && address_prefix_has(&prefix, flow->address);
}

/* The longer prefix, and of two alike the one that names the port. */
static bool is_narrower(const struct config_rule *rule, const struct config_rule *best)
{
	if (!best || rule->key.prefix_length != best->key.prefix_length)
		return !best || rule->key.prefix_length > best->key.prefix_length;
	return rule->key.port != 0 && best->key.port == 0;
}

const struct config_rule *policy_lookup(const struct config *config, const struct policy_flow *flow, int64_t now)
{
	const struct config_rule *best = NULL;
	for (int scope = 0; scope < SCOPE_COUNT && !best; scope++) {
		for (unsigned i = 0; i < config->rule_count; i++) {
			const struct config_rule *rule = &config->rules[i];
			if (!policy_rule_has_ended(rule, now) && in_scope(rule, flow, scope) && covers(rule, flow) &&
			    is_narrower(rule, best))
				best = rule;
		}
	}
	return best;
}
