/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC vantage: which interfaces the programs for forwarded flows are on, and the flows that those follow. */
#ifndef SMTPWARD_KERNEL_FORWARD_H
#define SMTPWARD_KERNEL_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

struct kernel;

struct kernel_interface {
	unsigned ifindex;
	char name[16];
	const char *attached; /* "tcx", "clsact"; NULL: not at all */
	char error[96];       /* why not; "" if attached */
};

/* Interfaces that are watched or should be, and in *count how many; NULL: the configuration names none. */
const struct kernel_interface *kernel_forward_interfaces(const struct kernel *kernel, unsigned *count);
/* Matching interfaces beyond what can be watched. */
unsigned kernel_forward_unwatched(const struct kernel *kernel);

/* Descriptor to poll for reading, then kernel_forward_read(): interfaces come and go. -1: none is to be watched. */
int kernel_forward_fd(const struct kernel *kernel);
void kernel_forward_read(struct kernel *kernel);

/*
 * Whether a forwarded flow is still followed: 0; -ENOENT if its state had to make room for another's; -ETIMEDOUT if
 * nothing of it was seen for FORWARD_IDLE_NS, and now it is let go; or another negative errno. now: CLOCK_MONOTONIC.
 */
int kernel_forward_find(struct kernel *kernel, const struct flow_event *event, uint64_t now);

#define FORWARD_IDLE_NS (1200ULL * 1000000000ULL) /* the longest time limit of SMTP is ten minutes (RFC 5321 section 4.5.3.2.6) */

/* Removes the filters that any killed agent has left on any interface of this network namespace; what is pinned goes with
 * the pins. Needs no kernel_open(). Returns how many, or a negative errno. */
int kernel_forward_remove_all(void);

#endif
