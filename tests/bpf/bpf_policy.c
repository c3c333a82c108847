/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A policy that takes another's place in the kernel's maps, while flows ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel_object.h"

#define RULES 3000

static struct kernel kernel;
static const char *missing;
static struct config_rule exceptions[RULES], others[RULES];

/* An exception for one address each, in 10.0.0.0/8 or another network. */
static void make_rules(struct config_rule *rules, uint8_t network)
{
	for (unsigned i = 0; i < RULES; i++) {
		const uint8_t address[16] = { [10] = 0xff, [11] = 0xff, network, 0, (uint8_t)(i >> 8), (uint8_t)i };
		rules[i].key.prefix_length = POLICY_KEY_FIXED_BITS + 128;
		memcpy(rules[i].key.address, address, sizeof(address));
		rules[i].rule = (struct policy_rule){ .id = i + 1, .require = REQUIRE_NONE };
	}
}

static int setup(void **state)
{
	(void)state;
	make_rules(exceptions, 10);
	make_rules(others, 11);
	missing = geteuid() == 0 ? NULL : "root is needed";
	if (!missing) {
		kernel.bpf = smtpward_bpf__open_and_load();
		if (!kernel.bpf && errno != EPERM)
			return -1;
		missing = kernel.bpf ? NULL : "BPF programs may not be loaded";
	}
	if (missing)
		print_message("no test here: %s\n", missing);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	smtpward_bpf__destroy(kernel.bpf);
	return 0;
}

static void needed(void)
{
	if (missing)
		skip();
}

static bool is_there(const struct config_rule *rule)
{
	struct policy_entry entry;
	return bpf_map_lookup_elem(bpf_map__fd(kernel.bpf->maps.rules), &rule->key, &entry) == 0;
}

static uint8_t default_demand(void)
{
	uint32_t zero = 0;
	struct settings settings;
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(kernel.bpf->maps.settings), &zero, &settings), 0);
	return settings.fallback.require;
}

static atomic_bool over;

/* As a flow does whose rule is any of the exceptions. Returns not NULL if one was neither excepted nor under the new default. */
static void *ask(void *context)
{
	bool wrong = false;
	(void)context;
	for (unsigned i = 0; !atomic_load(&over); i++)
		wrong |= !is_there(&exceptions[i % RULES]) && default_demand() == REQUIRE_ENCRYPTED;
	return wrong ? &over : NULL;
}

/* Old and new agree that these servers need no TLS: by exceptions, and by the default. */
static void what_both_policies_allow_is_allowed_in_between(void **state)
{
	(void)state;
	struct config strict = { .default_rule = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK }, .rules = exceptions,
				 .rule_count = RULES }, lenient = { .default_rule = { .require = REQUIRE_NONE } };
	pthread_t thread;
	void *wrong;
	needed();
	assert_int_equal(kernel_set_policy(&kernel, &strict, 0), 0);
	atomic_store(&over, false);
	assert_int_equal(pthread_create(&thread, NULL, ask, NULL), 0);
	assert_int_equal(kernel_set_policy(&kernel, &lenient, 0), 0);
	atomic_store(&over, true);
	assert_int_equal(pthread_join(thread, &wrong), 0);
	assert_null(wrong);
	for (unsigned i = 0; i < RULES; i++)
		assert_false(is_there(&exceptions[i]));
}

/* Both are in the map for a while. */
static void two_large_policies_have_room(void **state)
{
	(void)state;
	struct config before = { .rules = exceptions, .rule_count = RULES }, after = { .rules = others, .rule_count = RULES };
	needed();
	assert_int_equal(kernel_set_policy(&kernel, &before, 0), 0);
	assert_int_equal(kernel_set_policy(&kernel, &after, 0), 0);
	for (unsigned i = 0; i < RULES; i++)
		assert_true(is_there(&others[i]) && !is_there(&exceptions[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_both_policies_allow_is_allowed_in_between),
		cmocka_unit_test(two_large_policies_have_room),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
