/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long something took, counted in ranges: for quantiles and for Prometheus' histograms. */
#ifndef SMTPWARD_DURATIONS_H
#define SMTPWARD_DURATIONS_H

#include <stdint.h>

#define DURATION_RANGES 16

struct durations {
	uint64_t count[DURATION_RANGES + 1]; /* by range; the last one has no upper end */
	uint64_t total;
	uint64_t sum_ns;
};

/* The upper ends of the ranges, in nanoseconds. */
extern const uint64_t duration_ends_ns[DURATION_RANGES];

void durations_add(struct durations *durations, uint64_t ns);
/* The upper end, in ns, of the range that quantile (0 to 1) falls into; 0 if nothing was counted. */
uint64_t durations_quantile(const struct durations *durations, double quantile);

#endif
