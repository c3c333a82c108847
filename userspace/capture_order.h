/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP reassembly: from captured segments to the bytes of both directions, in an order in which they can have been sent.
 *
 * Within a direction bytes come by sequence number; those that come early are held. Between the directions a segment
 * waits for what it acknowledges, since a reply must not be read before its command, nor a command before the reply it
 * was made on. What does not come is a gap: once the other side has acknowledged what is missing, the capture has lost
 * it, and only a little reordering is waited for; else it may yet be sent again, and the limits decide.
 *
 * Of bytes that come twice the first ones win; of two segments that wait, the one that begins earlier: so does Linux.
 */
#ifndef SMTPWARD_CAPTURE_ORDER_H
#define SMTPWARD_CAPTURE_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture_frame.h"
#include "tls_facts.h"

#define ORDER_FLOW_BYTES (1024 * 1024) /* held of one flow */
#define ORDER_FLOW_SEGMENTS 256
#define ORDER_BYTES (64 * 1024 * 1024) /* held of all */
#define ORDER_STALLED_SEGMENTS 32      /* so many segments of a flow are waited for, behind what the capture has lost */
#define ORDER_STALLED_NS 1000000000ULL
#define ORDER_RESET_WINDOW (1 << 20)   /* so far off may a RST be that is believed */
#define ORDER_RECENT 256 /* bytes kept of each direction, to compare repeated ones with; a power of two */

struct order_held;
struct order_flow;

struct order_side {
	bool started;   /* next is known */
	bool finished;  /* its FIN has come in order */
	bool has_acked;
	uint32_t next;  /* sequence number of the byte to come */
	uint32_t acked; /* the highest that the other side has acknowledged */
	uint64_t bytes; /* up to next, missing ones included */
	uint16_t recent_count;
	uint8_t *recent; /* ORDER_RECENT bytes, the one with sequence number n at n % ORDER_RECENT. Owned; NULL: none yet */
};

/* Of one flow. All zero at its start; order_drop() frees what it holds. */
struct order_flow {
	struct order_side side[2]; /* by enum direction */
	struct order_held *held, *held_last; /* in the order of the capture */
	size_t held_bytes;
	unsigned held_count;
	unsigned stalled; /* segments since anything came in order */
	bool midway; /* its beginning was not captured: where the directions begin is told by the first segment */
	bool light;  /* nothing is read any more: bytes are counted and not held */
};

/* Who gets the bytes. time_ns is that of the segment. */
struct order_sink {
	void (*bytes)(void *context, struct order_flow *flow, enum direction direction, const uint8_t *bytes, size_t count,
		      bool urgent, uint64_t time_ns);
	/* count bytes are missing; 0: nobody knows how many */
	void (*gap)(void *context, struct order_flow *flow, enum direction direction, uint32_t count, uint64_t time_ns);
	void (*finish)(void *context, struct order_flow *flow, enum direction direction, uint64_t time_ns);
	void *context;
};

struct order_counts {
	uint64_t repeated;    /* segments with nothing new */
	uint64_t conflicting; /* segments with other bytes in place of those that had come before */
	uint64_t early;       /* segments that had to wait */
	uint64_t gaps;
	uint64_t limited; /* of them, because a limit was reached */
};

struct order {
	struct order_sink sink;
	struct order_counts counts;
	size_t held_bytes; /* of all flows */
};

/* Takes a segment of the flow's, whose SYN (if it is one) has been seen to: side.next is set. */
void order_take(struct order *order, struct order_flow *flow, enum direction direction, const struct capture_segment *segment);
/* A RST has come in that direction, and nothing comes any more: gives out what is held. What is missing before the RST, or
 * before what was acknowledged, is a gap. */
void order_reset(struct order *order, struct order_flow *flow, enum direction direction, const struct capture_segment *segment);
/* Nothing comes any more: gives out what is held, with gaps where bytes are missing. */
void order_flush(struct order *order, struct order_flow *flow, uint64_t time_ns);
/* Frees what is held, unread. */
void order_drop(struct order *order, struct order_flow *flow);
/* Begins a direction at sequence number next. */
void order_start(struct order_flow *flow, enum direction direction, uint32_t next);

#endif
