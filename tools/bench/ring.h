/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ring of the agent that watches a cgroup: how full it is. */
#ifndef SMTPWARD_BENCH_RING_H
#define SMTPWARD_BENCH_RING_H

#include <stdint.h>

struct ring {
	const unsigned long *consumer, *producer; /* mapped pages with the positions */
};

/* Finds the ring among the maps of the egress programs attached to the cgroup. Returns 0 or a negative errno. */
int ring_open(int cgroup, struct ring *ring);
/* Bytes that the agent has yet to read. */
uint64_t ring_fill(const struct ring *ring);

#endif
