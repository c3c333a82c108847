/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reading end of the BPF ring buffer, by its memory alone: the descriptor of the map is enough, and bpf(2), which
 * a process without capabilities may not have, is not needed. The layout is that of kernel/bpf/ringbuf.c and does not
 * change: a page with the consumer's position, a page with the producer's, the data, and the data once more, so that a
 * record is in one piece wherever it begins.
 */
#ifndef SMTPWARD_EVENT_RING_H
#define SMTPWARD_EVENT_RING_H

#include <stdint.h>

#include "event.h"
#include "witness.h"

struct event_ring;

/* What the ring holds. */
struct event_reader {
	void (*flow)(void *context, const struct flow_event *event);
	void (*handshake)(void *context, const struct handshake_event *event);
	void (*witness)(void *context, const struct witness_event *event);
	void (*certificate)(void *context, const struct certificate_event *event);
	void (*malformed)(void *context); /* a record that is none of these, or has values out of range */
	void *context;
};

/* Maps the ring of size bytes behind map_fd, which is taken over. NULL with errno. */
struct event_ring *event_ring_open(int map_fd, uint64_t size);
void event_ring_close(struct event_ring *ring);

/* Descriptor to poll for reading. */
int event_ring_fd(const struct event_ring *ring);
/* Hands every waiting event to reader. Returns how many there were. */
unsigned event_ring_read(struct event_ring *ring, const struct event_reader *reader);
/* Bytes in the ring now, and its size. */
void event_ring_fill(const struct event_ring *ring, uint64_t *used, uint64_t *size);

#endif
