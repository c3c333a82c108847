/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pins of the witness's uprobes: with them it goes on hearing without an agent, where the kernel can (Linux 6.1). */
#ifndef SMTPWARD_KERNEL_WITNESS_PINS_H
#define SMTPWARD_KERNEL_WITNESS_PINS_H

#include "kernel_object.h"

/* Makes up the folder for this agent's probes, below the other pins: no other agent's has its name. */
void witness_pins_place(const struct kernel *kernel, char folder[PIN_PATH_SIZE]);
/* Before anything is pinned there: the folder around it may have another name by now (kernel_pins_follow()). */
void witness_pins_follow(struct kernel *kernel, char folder[PIN_PATH_SIZE]);
/* Pins the probe behind fd as one of those of a file. Returns 0 or a negative errno: -EINVAL where the kernel cannot. */
int witness_pin(const char *folder, unsigned file, unsigned probe, int fd);
/* Removes the pins of a file's probes. */
void witness_unpin(const char *folder, unsigned file, unsigned probes);
/* Lets go of earlier agents' probes, which cannot be taken over: once folder's are in place. */
void witness_pins_drop_others(const struct kernel *kernel, const char *folder);

#endif
