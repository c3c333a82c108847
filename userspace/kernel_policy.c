/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy in the maps: ports, rules, settings. */
#include <errno.h>
#include <stdlib.h>
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

/* Of the rules in force. A cgroup is looked up once for its rule, so that what is put in is what is kept. */
struct keys {
	struct policy_key *list;
	unsigned count;
};

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct policy_key));
}

/* What the map holds beyond the wanted rules goes, once those are in: no flow is without a rule meanwhile. */
static void delete_other_rules(struct kernel *kernel, struct keys *wanted)
{
	qsort(wanted->list, wanted->count, sizeof(*wanted->list), compare_keys);
	int map = bpf_map__fd(kernel->bpf->maps.rules);
	struct policy_key doomed[64];
	unsigned count;
	do {
		struct policy_key key, *previous = NULL;
		count = 0;
		while (count < 64 && bpf_map_get_next_key(map, previous, &key) == 0) {
			previous = &key;
			if (!bsearch(&key, wanted->list, wanted->count, sizeof(key), compare_keys))
				doomed[count++] = key;
		}
		for (unsigned i = 0; i < count; i++)
			bpf_map_delete_elem(map, &doomed[i]);
	} while (count == 64);
}

/*
 * Puts config's rules into the map, beside those that are there. Notes their keys in *wanted, and in *users and *cgroups whether
 * there are rules of these kinds. Returns 0 or a negative errno.
 */
static int put_rules(struct kernel *kernel, const struct config *config, int64_t now, struct keys *wanted, bool *users, bool *cgroups)
{
	*users = *cgroups = false;
	for (unsigned i = 0; i < config->rule_count; i++) {
		const struct config_rule *rule = &config->rules[i];
		struct policy_key *key = &wanted->list[wanted->count];
		struct policy_entry entry = { .rule = rule->rule,
					      .address_bits = rule->key.prefix_length - POLICY_KEY_FIXED_BITS };
		if (!rule_holds(rule, now) || !rule_key(kernel, rule, key))
			continue;
		wanted->count++;
		*users |= rule->user != NULL;
		*cgroups |= rule->cgroup != NULL;
		if (bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.rules), key, &entry, BPF_ANY))
			return -errno;
	}
	return 0;
}

/*
 * Whatever flow asks meanwhile gets the old policy's answer or the new one's, never one that is neither: the default comes
 * behind the new rules, and before the old ones go, which would leave what they except to the old default.
 */
static int replace_policy(struct kernel *kernel, const struct config *config, int64_t now, struct keys *wanted)
{
	struct settings *settings = &kernel->settings;
	bool users, cgroups;
	int error = put_rules(kernel, config, now, wanted, &users, &cgroups);
	if (error)
		return error;
	settings->fallback = config->default_rule;
	settings->has_user_rules = settings->has_cgroup_rules = 1; /* of the old ones, perhaps */
	error = kernel_write_settings(kernel);
	if (error)
		return error;
	delete_other_rules(kernel, wanted);
	settings->has_user_rules = users;
	settings->has_cgroup_rules = cgroups;
	return kernel_write_settings(kernel);
}

int kernel_set_policy(struct kernel *kernel, const struct config *config, int64_t now)
{
	struct keys wanted = { .list = calloc(config->rule_count + 1, sizeof(*wanted.list)) };
	int error = wanted.list ? replace_policy(kernel, config, now, &wanted) : -ENOMEM;
	free(wanted.list);
	return error;
}
