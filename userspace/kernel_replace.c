/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An object of another ABI version that is at work where ours is attached, too. Its flows are in its own maps, so it
 * stays, and goes on blocking them, until the last of them is over; new flows are ours alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kernel_object.h"
#include "pins.h"

/* A flow whose SYN is still repeated is in no counter; Linux gives up on it after 127 s (tcp_syn_retries 6). */
#ifndef REPLACED_MIN_S
#define REPLACED_MIN_S 130
#endif
/* A sender that never lets go of a connection does not keep the old object for ever. */
#define REPLACED_MAX_S 3600

/* Reads one of the old object's counters; they are only ever appended to, so the numbers hold. Returns false without. */
static bool old_counter(const char *folder, __u32 id, uint64_t *sum)
{
	char path[PIN_PATH_SIZE];
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*values));
	snprintf(path, sizeof(path), "%s/" PIN_MAP_PREFIX "counters", folder);
	int map = values ? bpf_obj_get(path) : -1;
	bool read = map >= 0 && bpf_map_lookup_elem(map, &id, values) == 0;
	*sum = 0;
	for (int cpu = 0; read && cpu < cpus; cpu++)
		*sum += values[cpu];
	if (map >= 0)
		close(map);
	free(values);
	return read;
}

static bool has_open_flows(const char *folder)
{
	uint64_t opened, closed;
	return old_counter(folder, COUNTER_FLOWS_OPENED, &opened) && old_counter(folder, COUNTER_FLOWS_CLOSED, &closed) &&
	       opened > closed;
}

/*
 * Without ports it begins no flow: at a SYN whose connect() it has not seen (an MPTCP subflow's) it would. Those that it has
 * it knows by their sockets.
 */
static void forget_ports(const char *folder)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);
	char path[PIN_PATH_SIZE];
	__u16 port;
	snprintf(path, sizeof(path), "%s/" PIN_MAP_PREFIX "ports", folder);
	int map = bpf_obj_get(path);
	if (map < 0)
		return;
	if (bpf_obj_get_info_by_fd(map, &info, &size) == 0 && info.key_size == sizeof(port)) {
		while (bpf_map_get_next_key(map, NULL, &port) == 0 && bpf_map_delete_elem(map, &port) == 0)
			;
	}
	close(map);
}

/* From now on it gets no new flows: ours is attached. */
static void take_connect(struct kernel *kernel, const char *folder)
{
	static const char *const hooks[] = { "connect4", "connect6" };
	char path[PIN_PATH_SIZE];
	(void)kernel;
	for (unsigned i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		snprintf(path, sizeof(path), "%s/" PIN_LINK_PREFIX "%s", folder, hooks[i]);
		unlink(path);
	}
	forget_ports(folder);
}

static time_t seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void let_go(struct kernel *kernel, const char *folder)
{
	time_t age = seconds_now() - kernel->replacing_since;
	if (age >= REPLACED_MAX_S || (age >= REPLACED_MIN_S && !has_open_flows(folder)))
		pins_remove(folder, NULL, NULL);
}

void kernel_replace_start(struct kernel *kernel)
{
	kernel->replacing_since = seconds_now();
	kernel->replacing = kernel_pins_others(kernel, take_connect, kernel);
}

void kernel_replace_tidy(struct kernel *kernel)
{
	if (!kernel->replacing)
		return;
	pthread_mutex_lock(&kernel->place_lock);
	kernel->replacing = kernel_pins_others(kernel, let_go, kernel);
	pthread_mutex_unlock(&kernel->place_lock);
}
