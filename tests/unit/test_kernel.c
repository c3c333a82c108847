/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the monitor writes into the maps while the BPF programs do so, too: the maps are there, nothing is attached. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel_object.h"

#define FLOW 0x1234567ULL
#define ROUNDS 20000

static struct kernel kernel;

static int load(void **state)
{
	(void)state;
	kernel.bpf = smtpward_bpf__open();
	return !kernel.bpf || smtpward_bpf__load(kernel.bpf);
}

static int unload(void **state)
{
	(void)state;
	smtpward_bpf__destroy(kernel.bpf);
	return 0;
}

static atomic_bool over;

static void *give_verdicts(void *unused)
{
	(void)unused;
	while (!over)
		kernel_set_identity(&kernel, FLOW, IDENTITY_REFUSED);
	return NULL;
}

/* Many times, since the two have to meet. */
static void a_verdict_undoes_nothing_that_the_witness_notes(void **state)
{
	int witnesses = bpf_map__fd(kernel.bpf->maps.witnesses), verdicts = bpf_map__fd(kernel.bpf->maps.verdicts);
	const uint64_t flow = FLOW;
	const struct peer_verdict undecided = { .identity = IDENTITY_UNDECIDED };
	struct witness witness = { .checked = 1 }, found;
	unsigned undone = 0;
	pthread_t other;
	(void)state;
	assert_int_equal(bpf_map_update_elem(witnesses, &flow, &witness, BPF_NOEXIST), 0);
	assert_int_equal(bpf_map_update_elem(verdicts, &flow, &undecided, BPF_NOEXIST), 0);
	assert_int_equal(pthread_create(&other, NULL, give_verdicts, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		witness.name_for = i;
		assert_int_equal(bpf_map_update_elem(witnesses, &flow, &witness, BPF_EXIST), 0);
		assert_int_equal(bpf_map_lookup_elem(witnesses, &flow, &found), 0);
		undone += found.name_for != i;
	}
	over = true;
	pthread_join(other, NULL);
	assert_int_equal(undone, 0);
	struct peer_verdict verdict;
	assert_int_equal(bpf_map_lookup_elem(verdicts, &flow, &verdict), 0);
	assert_int_equal(verdict.identity, IDENTITY_REFUSED);
}

static void a_flow_that_is_over_gets_no_verdict(void **state)
{
	const uint64_t flow = FLOW + 1;
	struct witness witness;
	struct peer_verdict verdict;
	(void)state;
	assert_int_equal(kernel_set_identity(&kernel, flow, IDENTITY_VERIFIED), -ENOENT);
	assert_true(bpf_map_lookup_elem(bpf_map__fd(kernel.bpf->maps.witnesses), &flow, &witness) < 0);
	assert_true(bpf_map_lookup_elem(bpf_map__fd(kernel.bpf->maps.verdicts), &flow, &verdict) < 0);
}

#define MANY 4094 /* as a configuration may have */

/* Rules for so many addresses, from first on. */
static struct config_rule *rules_from(unsigned first)
{
	struct config_rule *rules = calloc(MANY, sizeof(*rules));
	assert_non_null(rules);
	for (unsigned i = 0; i < MANY; i++) {
		rules[i].key.prefix_length = POLICY_KEY_FIXED_BITS + 128;
		rules[i].rule.id = i + 1;
		memcpy(rules[i].key.address, &(unsigned){ first + i }, sizeof(unsigned));
	}
	return rules;
}

static unsigned rules_in_force(void)
{
	struct policy_key key, *previous = NULL;
	unsigned count = 0;
	while (bpf_map_get_next_key(bpf_map__fd(kernel.bpf->maps.rules), previous, &key) == 0) {
		previous = &key;
		count++;
	}
	return count;
}

static void as_many_rules_as_there_may_be_take_the_place_of_others(void **state)
{
	struct config config = { .rule_count = MANY };
	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		config.rules = rules_from(round * 100000);
		assert_int_equal(kernel_set_policy(&kernel, &config, 1), 0);
		assert_int_equal(rules_in_force(), MANY);
		struct policy_entry entry;
		struct policy_key key = config.rules[MANY - 1].key;
		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(kernel.bpf->maps.rules), &key, &entry), 0);
		assert_int_equal(entry.rule.id, MANY);
		free(config.rules);
	}
	config.rule_count = 0;
	config.rules = NULL;
	assert_int_equal(kernel_set_policy(&kernel, &config, 1), 0);
	assert_int_equal(rules_in_force(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_verdict_undoes_nothing_that_the_witness_notes),
		cmocka_unit_test(a_flow_that_is_over_gets_no_verdict),
		cmocka_unit_test(as_many_rules_as_there_may_be_take_the_place_of_others),
	};
	if (geteuid() != 0) {
		puts("skipped: only as root");
		return 0;
	}
	return cmocka_run_group_tests(tests, load, unload);
}
