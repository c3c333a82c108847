/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy in the maps: ports, rules, settings. */
#include <errno.h>
#include <string.h>

#include "cgroup.h"
#include "kernel_object.h"

int kernel_write_settings(struct kernel *kernel)
{
	__u32 zero = 0;
	return bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.settings), &zero, &kernel->settings, BPF_ANY) ? -errno : 0;
}

static bool is_port_of(const struct config *config, __u16 port)
{
	for (unsigned i = 0; i < config->port_count; i++) {
		if (config->ports[i].number == port)
			return true;
	}
	return false;
}

/* Ports of an earlier configuration, where the map was taken over. */
static void delete_other_ports(struct kernel *kernel, const struct config *config)
{
	int map = bpf_map__fd(kernel->bpf->maps.ports);
	__u16 others[PORTS_MAX], port, *previous = NULL;
	unsigned count = 0;
	while (count < PORTS_MAX && bpf_map_get_next_key(map, previous, &port) == 0) {
		if (!is_port_of(config, port))
			others[count++] = port;
		previous = &port;
	}
	for (unsigned i = 0; i < count; i++)
		bpf_map_delete_elem(map, &others[i]);
}

int kernel_write_ports(struct kernel *kernel, const struct config *config)
{
	delete_other_ports(kernel, config);
	for (unsigned i = 0; i < config->port_count; i++) {
		__u16 port = config->ports[i].number;
		__u8 kind = config->ports[i].implicit_tls ? PORT_IMPLICIT_TLS : PORT_STARTTLS;
		if (bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.ports), &port, &kind, BPF_ANY))
			return -errno;
	}
	return 0;
}

/* The rule's key, with the scope of its cgroup filled in. False: the cgroup is not there (yet). */
static bool rule_key(const struct kernel *kernel, const struct config_rule *rule, struct policy_key *key)
{
	*key = rule->key;
	if (!rule->cgroup)
		return true;
	uint64_t scope = POLICY_SCOPE_CGROUP(cgroup_id_of(kernel->cgroup, rule->cgroup));
	key->scope_high = (__u32)(scope >> 32);
	key->scope_low = (__u32)scope;
	return scope != 0;
}

static bool rule_holds(const struct config_rule *rule, int64_t now)
{
	return rule->until == 0 || now < rule->until;
}

static bool is_wanted(const struct kernel *kernel, const struct config *config, int64_t now, const struct policy_key *key)
{
	struct policy_key wanted;
	for (unsigned i = 0; i < config->rule_count; i++) {
		if (rule_holds(&config->rules[i], now) && rule_key(kernel, &config->rules[i], &wanted) &&
		    memcmp(&wanted, key, sizeof(wanted)) == 0)
			return true;
	}
	return false;
}

/* What the map holds beyond config's rules goes, once those are in: no flow is without a rule meanwhile. */
static void delete_other_rules(struct kernel *kernel, const struct config *config, int64_t now)
{
	int map = bpf_map__fd(kernel->bpf->maps.rules);
	struct policy_key doomed[64];
	unsigned count;
	do {
		struct policy_key key, *previous = NULL;
		count = 0;
		while (count < 64 && bpf_map_get_next_key(map, previous, &key) == 0) {
			previous = &key;
			if (!is_wanted(kernel, config, now, &key))
				doomed[count++] = key;
		}
		for (unsigned i = 0; i < count; i++)
			bpf_map_delete_elem(map, &doomed[i]);
	} while (count == 64);
}

/* Notes in *users and *cgroups whether there are rules of these kinds. */
static int write_rules(struct kernel *kernel, const struct config *config, int64_t now, bool *users, bool *cgroups)
{
	*users = *cgroups = false;
	for (unsigned i = 0; i < config->rule_count; i++) {
		const struct config_rule *rule = &config->rules[i];
		struct policy_key key;
		struct policy_entry entry = { .rule = rule->rule,
					      .address_bits = rule->key.prefix_length - POLICY_KEY_FIXED_BITS };
		if (!rule_holds(rule, now) || !rule_key(kernel, rule, &key))
			continue;
		*users |= rule->user != NULL;
		*cgroups |= rule->cgroup != NULL;
		if (bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.rules), &key, &entry, BPF_ANY))
			return -errno;
	}
	return 0;
}

/*
 * Whatever flow asks meanwhile gets the old policy's answer or the new one's, never one that is neither: the default comes
 * behind the new rules, and before the old ones go, which would leave what they except to the old default.
 */
int kernel_set_policy(struct kernel *kernel, const struct config *config, int64_t now)
{
	struct settings *settings = &kernel->settings;
	bool users, cgroups;
	int error = write_rules(kernel, config, now, &users, &cgroups);
	if (error)
		return error;
	settings->fallback = config->default_rule;
	settings->has_user_rules = settings->has_cgroup_rules = 1; /* of the old ones, perhaps */
	error = kernel_write_settings(kernel);
	if (error)
		return error;
	delete_other_rules(kernel, config, now);
	settings->has_user_rules = users;
	settings->has_cgroup_rules = cgroups;
	return kernel_write_settings(kernel);
}
