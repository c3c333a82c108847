/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ring.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define PROGRAMS_MAX 64
#define MAPS_MAX 64

/* A descriptor of the map if it is a ring buffer, else -1. */
static int ring_of_id(uint32_t id)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_map_get_fd_by_id(id);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == BPF_MAP_TYPE_RINGBUF)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int ring_of_program(uint32_t id)
{
	uint32_t maps[MAPS_MAX], size;
	struct bpf_prog_info info = { .nr_map_ids = MAPS_MAX, .map_ids = (uint64_t)(uintptr_t)maps };
	int fd = bpf_prog_get_fd_by_id(id), ring = -1;
	if (fd < 0)
		return -1;
	size = sizeof(info);
	if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
		for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX && ring < 0; i++)
			ring = ring_of_id(maps[i]);
	}
	close(fd);
	return ring;
}

/* The consumer's position is in the map's first page, the producer's in the second (kernel/bpf/ringbuf.c). */
static int map_positions(int fd, struct ring *ring)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	void *producer = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (consumer == MAP_FAILED || producer == MAP_FAILED)
		return -errno;
	ring->consumer = consumer;
	ring->producer = producer;
	return 0;
}

int ring_open(int cgroup, struct ring *ring)
{
	uint32_t ids[PROGRAMS_MAX], count = PROGRAMS_MAX;
	int fd = -1;
	if (bpf_prog_query(cgroup, BPF_CGROUP_INET_EGRESS, 0, NULL, ids, &count))
		return -errno;
	for (uint32_t i = 0; i < count && fd < 0; i++)
		fd = ring_of_program(ids[i]);
	if (fd < 0)
		return -ENOENT;
	int error = map_positions(fd, ring);
	close(fd);
	return error;
}

uint64_t ring_fill(const struct ring *ring)
{
	return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
}
