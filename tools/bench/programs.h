/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The BPF programs attached to a cgroup, and the time they took as the kernel counts it. */
#ifndef SMTPWARD_BENCH_PROGRAMS_H
#define SMTPWARD_BENCH_PROGRAMS_H

#include <stdint.h>

#include <linux/bpf.h>

struct run_time {
	uint64_t ns;
	uint64_t runs;
};

/* Has the kernel count run times until the returned descriptor is closed. -1 with errno if it will not. */
int programs_stats_on(void);

/* Adds to total what the programs attached to the cgroup as type took since they were loaded. Returns 0 or a negative
 * errno. */
int programs_run_time(int cgroup, enum bpf_attach_type type, struct run_time *total);

/* Attaches a program that lets everything pass, in both directions, until this process ends. Returns 0 or a negative
 * errno. */
int programs_attach_empty(int cgroup);

#endif
