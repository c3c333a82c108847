/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durations.h"

static void ranges_ascend(void **state)
{
	(void)state;
	assert_int_equal(duration_ends_ns[0], 100000);
	for (unsigned i = 1; i < DURATION_RANGES; i++)
		assert_true(duration_ends_ns[i] > duration_ends_ns[i - 1]);
	assert_int_equal(duration_ends_ns[DURATION_RANGES - 1], 60000000000ULL);
}

/* As Prometheus' "le": a range's upper end belongs to it. */
static void each_end_is_of_its_own_range(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DURATION_RANGES; i++) {
		struct durations durations = { .total = 0 };
		durations_add(&durations, duration_ends_ns[i]);
		durations_add(&durations, duration_ends_ns[i] + 1);
		assert_int_equal(durations.count[i], 1);
		assert_int_equal(durations.count[i + 1], 1);
		assert_int_equal(durations.total, 2);
		assert_int_equal(durations.sum_ns, 2 * duration_ends_ns[i] + 1);
	}
}

static void nothing_is_in_the_first_range(void **state)
{
	(void)state;
	struct durations durations = { .total = 0 };
	durations_add(&durations, 0);
	assert_int_equal(durations.count[0], 1);
	assert_int_equal(durations.total, 1);
	assert_int_equal(durations.sum_ns, 0);
}

static void none_has_no_quantile(void **state)
{
	(void)state;
	const struct durations durations = { .total = 0 };
	assert_int_equal(durations_quantile(&durations, 0.5), 0);
	assert_int_equal(durations_quantile(&durations, 1), 0);
}

static void quantile_is_the_end_of_its_range(void **state)
{
	(void)state;
	struct durations durations = { .total = 0 };
	for (unsigned i = 0; i < 98; i++)
		durations_add(&durations, 150000);
	durations_add(&durations, 3000000);
	durations_add(&durations, 1500000000);
	assert_int_equal(durations_quantile(&durations, 0.5), 200000);
	assert_int_equal(durations_quantile(&durations, 0.98), 200000);
	assert_int_equal(durations_quantile(&durations, 0.985), 5000000);
	assert_int_equal(durations_quantile(&durations, 0.99), 5000000);
	assert_int_equal(durations_quantile(&durations, 0.999), 2000000000);
	assert_int_equal(durations_quantile(&durations, 1), 2000000000);
}

static void one_is_all_quantiles(void **state)
{
	(void)state;
	struct durations durations = { .total = 0 };
	durations_add(&durations, 7000000);
	assert_int_equal(durations_quantile(&durations, 0.01), 10000000);
	assert_int_equal(durations_quantile(&durations, 0.5), 10000000);
	assert_int_equal(durations_quantile(&durations, 1), 10000000);
}

static void beyond_all_ranges_the_last_end_stands(void **state)
{
	(void)state;
	struct durations durations = { .total = 0 };
	durations_add(&durations, 3600000000000ULL);
	assert_int_equal(durations.count[DURATION_RANGES], 1);
	assert_int_equal(durations_quantile(&durations, 0.5), duration_ends_ns[DURATION_RANGES - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_ascend),
		cmocka_unit_test(each_end_is_of_its_own_range),
		cmocka_unit_test(nothing_is_in_the_first_range),
		cmocka_unit_test(none_has_no_quantile),
		cmocka_unit_test(quantile_is_the_end_of_its_range),
		cmocka_unit_test(one_is_all_quantiles),
		cmocka_unit_test(beyond_all_ranges_the_last_end_stands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
