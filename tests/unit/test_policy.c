/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lookup of a rule: by a table over a file, and against a model of the kernel's own lookup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "policy_lookup.h"

static const char file[] = "policy:\n"
			   "  default: {require: encrypted}\n"
			   "  rules:\n"
			   "    - {to: 192.0.2.0/24, require: verified}\n"                        /* 1 */
			   "    - {to: 192.0.2.0/24, port: 587, require: none}\n"                 /* 2 */
			   "    - {to: 192.0.2.128/25, require: encrypted}\n"                     /* 3 */
			   "    - {to: 192.0.2.7, until: 2001-09-08, require: none}\n"            /* 4 */
			   "    - {to: '2001:db8::/32', require: none}\n"                         /* 5 */
			   "    - {to: 192.0.0.0/8, user: 33, require: none}\n"                   /* 6 */
			   "    - {to: any, port: 25, cgroup: /system.slice/a.service}\n"         /* 7 */
			   "    - {to: 127.0.0.0/8, port: 2525, require: encrypted}\n"            /* 8 */
			   "    - {to: 0.0.0.0/0, port: 465, require: none}\n"                    /* 9 */
			   "    - {to: any, port: 465, require: verified}\n"                      /* 10 */
			   "    - {to: 198.51.100.1, port: 25}\n"                                 /* 11 */
			   "    - {to: '::ffff:203.0.113.0/120', user: 0}\n";                     /* 12; built in: 13, 14 */

#define NOW 1000000000 /* 9 September 2001, a day after rule 4 */

static struct config *load(const char *text)
{
	char path[] = "/tmp/smtpward-policy-XXXXXX", error[512];
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	struct config *config = config_load(path, error, sizeof(error));
	unlink(path);
	if (!config)
		fail_msg("%s", error);
	return config;
}

static unsigned rule_for(const struct config *config, const char *address, uint16_t port, int64_t uid, const char *cgroup,
			 int64_t now)
{
	struct policy_flow flow = { .port = port, .has_user = uid >= 0, .uid = (uint32_t)uid, .cgroup = cgroup };
	assert_true(address_parse(address, flow.address));
	const struct config_rule *rule = policy_lookup(config, &flow, now);
	return rule ? rule->rule.id : 0;
}

static void the_narrowest_rule_holds(void **state)
{
	static const struct {
		const char *address;
		uint16_t port;
		int64_t uid;
		const char *cgroup;
		unsigned rule; /* 0: the default */
	} cases[] = {
		{ "192.0.2.1", 25, -1, NULL, 1 },
		{ "::ffff:192.0.2.1", 25, -1, NULL, 1 },
		{ "192.0.2.1", 587, -1, NULL, 2 },               /* names the port */
		{ "192.0.2.127", 25, -1, NULL, 1 },              /* the last below the longer prefix */
		{ "192.0.2.128", 25, -1, NULL, 3 },
		{ "192.0.2.128", 587, -1, NULL, 3 },             /* the prefix counts before the port */
		{ "192.0.3.1", 25, -1, NULL, 0 },
		{ "192.0.2.7", 25, -1, NULL, 1 },                /* rule 4 is over */
		{ "2001:db8:ffff::1", 25, -1, NULL, 5 },
		{ "2001:db9::1", 25, -1, NULL, 0 },
		{ "192.0.2.128", 25, 33, NULL, 6 },              /* the user counts before the prefix */
		{ "192.0.2.128", 25, 34, NULL, 3 },
		{ "10.0.0.1", 25, 33, NULL, 0 },                 /* the user's rule does not cover it */
		{ "192.0.2.1", 25, 33, "/system.slice/a.service", 7 },
		{ "192.0.2.1", 25, 33, "system.slice/a.service/", 7 },
		{ "192.0.2.1", 587, 33, "/system.slice/a.service", 6 }, /* not its port: the next scope */
		{ "192.0.2.1", 25, -1, "/system.slice/a.service/b", 1 }, /* that very cgroup only */
		{ "192.0.2.1", 25, -1, "/system.slice", 1 },
		{ "192.0.2.1", 25, -1, "/", 1 },
		{ "127.0.0.1", 25, -1, NULL, 13 },
		{ "127.255.255.255", 587, -1, NULL, 13 },
		{ "128.0.0.0", 25, -1, NULL, 0 },
		{ "127.0.0.1", 2525, -1, NULL, 8 },
		{ "::1", 25, -1, NULL, 14 },
		{ "::2", 25, -1, NULL, 0 },
		{ "10.0.0.1", 465, -1, NULL, 9 },                /* all of IPv4 is narrower than any */
		{ "2001:db9::1", 465, -1, NULL, 10 },
		{ "127.0.0.1", 465, -1, NULL, 13 },
		{ "198.51.100.1", 25, -1, NULL, 11 },
		{ "198.51.100.1", 26, -1, NULL, 0 },
		{ "203.0.113.9", 25, 0, NULL, 12 },              /* uid 0 is a user, too */
		{ "203.0.113.9", 25, -1, NULL, 0 },
	};
	(void)state;
	struct config *config = load(file);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned rule = rule_for(config, cases[i].address, cases[i].port, cases[i].uid, cases[i].cgroup, NOW);
		if (rule != cases[i].rule)
			fail_msg("%s port %u user %lld cgroup %s: rule %u, not %u", cases[i].address, cases[i].port,
				 (long long)cases[i].uid, cases[i].cgroup ? cases[i].cgroup : "-", rule, cases[i].rule);
	}
	config_free(config);
}

static void a_rule_ends_with_its_day(void **state)
{
	(void)state;
	struct config *config = load(file);
	int64_t end = config->rules[3].until;
	assert_false(policy_rule_has_ended(&config->rules[3], end - 1));
	assert_true(policy_rule_has_ended(&config->rules[3], end));
	assert_false(policy_rule_has_ended(&config->rules[0], INT64_MAX));
	assert_int_equal(rule_for(config, "192.0.2.7", 25, -1, NULL, end - 1), 4);
	assert_int_equal(rule_for(config, "192.0.2.7", 25, -1, NULL, end), 1);
	config_free(config);
}

static void without_rules_loopback_alone_is_excepted(void **state)
{
	(void)state;
	struct config *config = load("");
	assert_int_equal(config->rule_count, 2);
	assert_int_equal(rule_for(config, "127.0.0.1", 25, 0, "/", NOW), 1);
	assert_int_equal(rule_for(config, "::1", 465, 0, "/", NOW), 2);
	assert_int_equal(rule_for(config, "192.0.2.1", 25, 0, "/", NOW), 0);
	config_free(config);
}

/* ---- the kernel's lookup, bit by bit ---------------------------------------------------------------------- */

#define CGROUP "/c" /* the one cgroup of these trials; its number is CGROUP_ID */
#define CGROUP_ID 77

static int bit_of(const uint8_t *bytes, unsigned bit)
{
	return bytes[bit / 8] >> (7 - bit % 8) & 1;
}

/* BPF_MAP_TYPE_LPM_TRIE: the longest of the keys that are a prefix of key, which counts all of its bits. */
static const struct config_rule *trie_lookup(const struct config *config, const struct policy_key *key)
{
	const struct config_rule *best = NULL;
	for (unsigned i = 0; i < config->rule_count; i++) {
		struct policy_key stored = config->rules[i].key;
		unsigned same = 0;
		if (config->rules[i].cgroup) {
			stored.scope_high = 0;
			stored.scope_low = CGROUP_ID;
		}
		while (same < stored.prefix_length &&
		       bit_of((const uint8_t *)&stored + 4, same) == bit_of((const uint8_t *)key + 4, same))
			same++;
		if (same == stored.prefix_length && (!best || stored.prefix_length > best->key.prefix_length))
			best = &config->rules[i];
	}
	return best;
}

/* As rule_in_scope() of bpf/decide.h: with the port, then without; the second must be longer to win. */
static const struct config_rule *model_in_scope(const struct config *config, const struct policy_flow *flow, uint64_t scope)
{
	struct policy_key key = { .scope_high = (uint32_t)(scope >> 32), .scope_low = (uint32_t)scope, .port = flow->port };
	memcpy(key.address, flow->address, sizeof(key.address));
	const struct config_rule *named = trie_lookup(config, &key);
	key.port = 0;
	const struct config_rule *any = trie_lookup(config, &key);
	return !named || (any && any->key.prefix_length > named->key.prefix_length) ? any : named;
}

static const struct config_rule *model_lookup(const struct config *config, const struct policy_flow *flow)
{
	const struct config_rule *rule = flow->cgroup ? model_in_scope(config, flow, CGROUP_ID) : NULL;
	if (!rule && flow->has_user)
		rule = model_in_scope(config, flow, POLICY_SCOPE_USER(flow->uid));
	return rule ? rule : model_in_scope(config, flow, POLICY_SCOPE_ANY);
}

/* Few addresses, ports and senders, so that rules overlap a lot. */
static void random_rules(struct config *config)
{
	static char cgroup[] = CGROUP, user[] = "user";
	for (unsigned i = 0; i < config->rule_count;) {
		struct config_rule *rule = &config->rules[i], *same;
		unsigned bits = (unsigned)rand() % 129;
		uint64_t scope = 0;
		memset(rule, 0, sizeof(*rule));
		rule->rule.id = i + 1;
		for (unsigned bit = 0; bit < bits; bit++)
			rule->key.address[bit / 8] |= (uint8_t)((rand() % 16 == 0) << (7 - bit % 8));
		rule->key.prefix_length = POLICY_KEY_FIXED_BITS + bits;
		rule->key.port = (uint16_t)(rand() % 3);
		if (rand() % 3 == 0)
			rule->cgroup = cgroup;
		else if (rand() % 2 == 0)
			rule->user = user;
		if (rule->user)
			scope = POLICY_SCOPE_USER(rand() % 2);
		rule->key.scope_high = (uint32_t)(scope >> 32);
		rule->key.scope_low = (uint32_t)scope;
		for (same = config->rules; same < rule; same++) /* the file may not have one key twice */
			if (!memcmp(&same->key, &rule->key, sizeof(rule->key)) && !same->cgroup == !rule->cgroup)
				break;
		i += same == rule;
	}
}

static void the_kernel_would_choose_the_same(void **state)
{
	struct config_rule rules[24];
	struct config config = { .rules = rules, .rule_count = 24 };
	unsigned matched = 0, trials = 0;
	(void)state;
	srand(1);
	for (unsigned round = 0; round < 400; round++) {
		random_rules(&config);
		for (unsigned i = 0; i < 50; i++, trials++) {
			struct policy_flow flow = { .port = (uint16_t)(rand() % 3), .has_user = rand() % 2, .uid = (uint32_t)rand() % 2,
						    .cgroup = rand() % 2 ? CGROUP : NULL };
			const struct config_rule *near = &rules[rand() % 24];
			memcpy(flow.address, near->key.address, sizeof(flow.address));
			if (rand() % 2)
				flow.address[rand() % 16] ^= (uint8_t)(1U << rand() % 8);
			const struct config_rule *expected = model_lookup(&config, &flow), *found = policy_lookup(&config, &flow, 0);
			if (found != expected)
				fail_msg("round %u trial %u: rule %u, not %u", round, i, found ? found->rule.id : 0,
					 expected ? expected->rule.id : 0);
			matched += found != NULL;
		}
	}
	assert_in_range(matched, trials / 2, trials - 1); /* else the trials would be worth little */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_narrowest_rule_holds),
		cmocka_unit_test(a_rule_ends_with_its_day),
		cmocka_unit_test(without_rules_loopback_alone_is_excepted),
		cmocka_unit_test(the_kernel_would_choose_the_same),
	};
	setenv("TZ", "UTC0", 1);
	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
