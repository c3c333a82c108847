/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Filters at clsact qdiscs that agents have put there, or left. See FORWARD_FILTER_HANDLE in forward.h. */
#ifndef SMTPWARD_TC_REMOVE_H
#define SMTPWARD_TC_REMOVE_H

#include <stdbool.h>
#include <stdint.h>

/* The handle of owner's filters; with FORWARD_FILTER_QDISC where the qdisc was made for them. */
uint32_t tc_filter_handle(uint64_t owner);
/* Whether owner's filters at the interface say that the qdisc was made for them. */
bool tc_qdisc_was_made(unsigned ifindex, uint64_t owner);
/* Removes the two filters of that handle; and the qdisc, if it was made for them and has no others. */
void tc_remove(unsigned ifindex, uint32_t handle);
/* Removes the filters that a killed agent has left at the interface. owner: of that one only; 0: of any. Returns how many. */
unsigned tc_remove_left(unsigned ifindex, uint64_t owner);
/* The same at all interfaces of this network namespace. removed is called with the name of each interface that had some.
 * Returns 0 or a negative errno. */
int tc_remove_all(uint64_t owner, void (*removed)(void *context, const char *interface), void *context);

#endif
