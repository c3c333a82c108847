/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "event_record.h"
#include "event_ring.h"

struct event_ring {
	int fd;
	size_t page;
	uint64_t size; /* a power of 2 */
	unsigned long *consumer;       /* positions, in bytes, that only grow */
	const unsigned long *producer; /* the data lie behind its page */
	const uint8_t *data;
};

struct event_ring *event_ring_open(int map_fd, uint64_t size)
{
	struct event_ring *ring = calloc(1, sizeof(*ring));
	if (!ring || size == 0 || (size & (size - 1)) || size > SIZE_MAX / 4) {
		free(ring);
		close(map_fd);
		errno = EINVAL;
		return NULL;
	}
	ring->fd = map_fd;
	ring->size = size;
	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	ring->consumer = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	void *producer = mmap(NULL, ring->page + 2 * (size_t)size, PROT_READ, MAP_SHARED, map_fd, (off_t)ring->page);
	ring->producer = producer;
	if (ring->consumer != MAP_FAILED && producer != MAP_FAILED) {
		ring->data = (const uint8_t *)producer + ring->page;
		return ring;
	}
	int error = errno;
	event_ring_close(ring);
	errno = error;
	return NULL;
}

void event_ring_close(struct event_ring *ring)
{
	if (!ring)
		return;
	if (ring->consumer != MAP_FAILED)
		munmap(ring->consumer, ring->page);
	if (ring->producer != MAP_FAILED)
		munmap((void *)(uintptr_t)ring->producer, ring->page + 2 * (size_t)ring->size);
	close(ring->fd);
	free(ring);
}

int event_ring_fd(const struct event_ring *ring)
{
	return ring->fd;
}

unsigned event_ring_read(struct event_ring *ring, const struct event_reader *reader)
{
	unsigned long consumed = __atomic_load_n(ring->consumer, __ATOMIC_RELAXED), produced;
	unsigned count = 0;

	/* the producer's position is read anew once what it said is done: a submission meanwhile raises no wake-up */
	while ((produced = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE)) != consumed) {
		while (consumed != produced) {
			const uint8_t *header = ring->data + (consumed & (ring->size - 1));
			uint32_t length = __atomic_load_n((const uint32_t *)(const void *)header, __ATOMIC_ACQUIRE);
			uint32_t size = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
			if (length & BPF_RINGBUF_BUSY_BIT)
				return count; /* reserved, and being written; its submission wakes us */
			if (size + BPF_RINGBUF_HDR_SZ > ring->size || size + BPF_RINGBUF_HDR_SZ > produced - consumed)
				return count; /* no record of the kernel's */
			if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
				if (!event_record_take(reader, header + BPF_RINGBUF_HDR_SZ, size))
					reader->malformed(reader->context);
				count++;
			}
			consumed += (size + BPF_RINGBUF_HDR_SZ + 7UL) & ~7UL;
			__atomic_store_n(ring->consumer, consumed, __ATOMIC_RELEASE);
		}
	}
	return count;
}

void event_ring_fill(const struct event_ring *ring, uint64_t *used, uint64_t *size)
{
	*size = ring->size;
	*used = __atomic_load_n(ring->producer, __ATOMIC_RELAXED) - __atomic_load_n(ring->consumer, __ATOMIC_RELAXED);
}
