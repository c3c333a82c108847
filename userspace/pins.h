/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where BPF objects are pinned, as the agent and `smtpward detach` both know it:
 *
 *   /sys/fs/bpf/smtpward/CGROUP_ID-ABI_VERSION/   of one attach point: map-NAME, link-HOOK, and witness-PID/, the uprobes
 *   /sys/fs/bpf/smtpward/blocked-1                the blocked flows, for all of them; see blocked.h
 *
 * A running agent holds a shared lock (flock) on its folder: an exclusive one can be had where there is none.
 */
#ifndef SMTPWARD_PINS_H
#define SMTPWARD_PINS_H

#include <stdbool.h>

#define BPFFS "/sys/fs/bpf"
#define PINS BPFFS "/smtpward"
#define PIN_MAP_PREFIX "map-"
#define PIN_LINK_PREFIX "link-"
#define PIN_WITNESS_PREFIX "witness-"
#define PIN_PATH_SIZE 384

/* Called with each pin, before it is removed. */
typedef void pins_visitor(void *context, const char *path);

/*
 * Removes a folder of pins and what is in it, folders included. visit may be NULL. Links and maps that nobody else holds
 * are gone with their pins. A folder that is not there is no error. Returns 0 or a negative errno: the first that there was.
 */
int pins_remove(const char *folder, pins_visitor *visit, void *context);

/* Takes the lock of a running agent on the folder. Returns a descriptor to be kept open, or a negative errno. */
int pins_lock(const char *folder);
/* Whether an agent is at work on the folder. */
bool pins_in_use(const char *folder);

#endif
