/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "durations.h"

#define MICROSECOND 1000ULL
#define MILLISECOND 1000000ULL

const uint64_t duration_ends_ns[DURATION_RANGES] = {
	100 * MICROSECOND, 200 * MICROSECOND, 500 * MICROSECOND, 1 * MILLISECOND,   2 * MILLISECOND,	5 * MILLISECOND,
	10 * MILLISECOND,  20 * MILLISECOND,  50 * MILLISECOND,	 100 * MILLISECOND, 200 * MILLISECOND,	500 * MILLISECOND,
	1000 * MILLISECOND, 2000 * MILLISECOND, 5000 * MILLISECOND, 60000 * MILLISECOND,
};

void durations_add(struct durations *durations, uint64_t ns)
{
	unsigned range = 0;
	while (range < DURATION_RANGES && ns > duration_ends_ns[range])
		range++;
	durations->count[range]++;
	durations->total++;
	durations->sum_ns += ns;
}

uint64_t durations_quantile(const struct durations *durations, double quantile)
{
	uint64_t below = 0;
	if (!durations->total)
		return 0;
	for (unsigned range = 0; range < DURATION_RANGES; range++) {
		below += durations->count[range];
		if ((double)below >= quantile * (double)durations->total)
			return duration_ends_ns[range];
	}
	return duration_ends_ns[DURATION_RANGES - 1];
}
