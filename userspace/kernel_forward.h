/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC vantage: which interfaces the programs for forwarded flows are on, and the flows that those follow. */
#ifndef SMTPWARD_KERNEL_FORWARD_H
#define SMTPWARD_KERNEL_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "kernel.h"

#define KERNEL_FORWARD_NAME_SIZE 40 /* "clsact/" and an interface's name */

/* An interface that is watched, or should be, as a hook; index counts from 0. False: there are no more. */
bool kernel_forward_hook(const struct kernel *kernel, unsigned index, struct kernel_hook *hook, char name[KERNEL_FORWARD_NAME_SIZE]);
/* Name of the interface of that number, if it is watched; else NULL. */
const char *kernel_forward_name(const struct kernel *kernel, uint64_t ifindex);

/* Descriptor to poll for reading, then kernel_forward_read(): interfaces come and go. -1: none is to be watched. */
int kernel_forward_fd(const struct kernel *kernel);
void kernel_forward_read(struct kernel *kernel);

/* kernel_find_socket() for a forwarded flow. */
int kernel_forward_find(struct kernel *kernel, const struct flow_event *event);

#define FORWARD_IDLE_NS (1200ULL * 1000000000ULL) /* the longest time limit of SMTP is ten minutes (RFC 5321 section 4.5.3.2.6) */

#endif
