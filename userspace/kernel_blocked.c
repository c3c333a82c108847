/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The map of blocked flows, which objects of all versions share (blocked.h): where it is, and who is swept out of it. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "blocked.h"
#include "kernel_object.h"
#include "pins.h"
#include "sock_diag.h"

#define BLOCKED_PATH PINS "/" BLOCKED_PIN
#define SWEEP_AGE_NS 1000000000ULL /* younger ones are ended by the agent as it reads their event */
/* Where the socket's namespace is not found, it may be gone, or have no process in it: then the flow is over with its own. */
#define UNSURE_AGE_NS (3600 * 1000000000ULL)
#define SWEEP_MAX 64               /* in one go: each may be looked for in many network namespaces */

static int map_of(const struct kernel *kernel)
{
	return bpf_map__fd(kernel->bpf->maps.blocked);
}

void kernel_blocked_adopt(struct kernel *kernel)
{
	int fd = bpf_obj_get(BLOCKED_PATH);
	if (fd < 0)
		return;
	if (kernel_map_is_alike(kernel->bpf->maps.blocked, fd))
		bpf_map__reuse_fd(kernel->bpf->maps.blocked, fd);
	close(fd);
}

int kernel_blocked_pin(struct kernel *kernel)
{
	return bpf_obj_pin(map_of(kernel), BLOCKED_PATH) && errno != EEXIST ? -errno : 0;
}

void kernel_blocked_unpin(void)
{
	bool others = false;
	DIR *directory = opendir(PINS);
	if (!directory)
		return;
	for (struct dirent *entry; (entry = readdir(directory));)
		others |= entry->d_name[0] != '.' && strcmp(entry->d_name, BLOCKED_PIN) != 0;
	closedir(directory);
	if (others)
		return;
	unlink(BLOCKED_PATH);
	rmdir(PINS);
}

static void mark(uint8_t *used, uint16_t port)
{
	used[port] = 1;
}

int kernel_blocked_note_ports(struct kernel *kernel, const struct config *config)
{
	int map = bpf_map__fd(kernel->bpf->maps.flow_ports);
	__u64 cookie, *previous = NULL;
	struct blocked_flow entry;
	__u32 zero = 0;
	uint8_t *used = calloc(1, bpf_map__value_size(kernel->bpf->maps.flow_ports));
	if (!used)
		return -ENOMEM;
	for (unsigned i = 0; i < config->port_count; i++)
		mark(used, config->ports[i].number);
	for (unsigned i = 0; i < BLOCKED_FLOWS_MAX && bpf_map_get_next_key(map_of(kernel), previous, &cookie) == 0; i++) {
		if (bpf_map_lookup_elem(map_of(kernel), &cookie, &entry) == 0)
			mark(used, entry.server_port);
		previous = &cookie;
	}
	int error = bpf_map_update_elem(map, &zero, used, BPF_ANY) ? -errno : 0;
	free(used);
	return error;
}

/* What sock_diag.h needs to find the socket. */
static struct flow_event event_of(__u64 cookie, const struct blocked_flow *entry)
{
	struct flow_event event = { .socket_cookie = cookie,
				    .flow_id = entry->flow_id,
				    .netns_cookie = entry->netns_cookie,
				    .pid = entry->pid,
				    .client_port = entry->client_port,
				    .server_port = entry->server_port };
	memcpy(event.client_address, entry->client_address, sizeof(event.client_address));
	memcpy(event.server_address, entry->server_address, sizeof(event.server_address));
	return event;
}

static void sweep_one(struct kernel *kernel, __u64 cookie, uint64_t now)
{
	struct blocked_flow entry;
	if (bpf_map_lookup_elem(map_of(kernel), &cookie, &entry) || entry.blocked_ns + SWEEP_AGE_NS > now)
		return;
	struct flow_event event = event_of(cookie, &entry);
	int error = sock_diag_destroy(kernel->diag, &event);
	if (error == -ENOENT ||
	    (error == -EPERM && entry.blocked_ns + UNSURE_AGE_NS < now && sock_diag_owner_is_over(kernel->diag, &event)))
		bpf_map_delete_elem(map_of(kernel), &cookie);
}

void kernel_blocked_sweep(struct kernel *kernel)
{
	struct timespec now;
	__u64 cookies[SWEEP_MAX], *previous = kernel->blocked_swept ? &kernel->blocked_swept : NULL;
	unsigned count = 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	while (count < SWEEP_MAX && bpf_map_get_next_key(map_of(kernel), previous, &cookies[count]) == 0)
		previous = &cookies[count++];
	/* the next one goes on behind the last, and begins again behind the end */
	kernel->blocked_swept = count == SWEEP_MAX ? cookies[count - 1] : 0;
	for (unsigned i = 0; i < count; i++)
		sweep_one(kernel, cookies[i], (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec);
}
