/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_order.h"

#include <stdlib.h>
#include <string.h>

/* A segment that waits. */
struct order_held {
	struct order_held *next;
	enum direction direction;
	struct capture_segment segment; /* its bytes are the ones below */
	uint8_t bytes[];
};

/* a - b, as sequence numbers go (RFC 9293 section 3.4) */
static int32_t distance(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static enum direction other_of(enum direction direction)
{
	return direction == FROM_CLIENT ? FROM_SERVER : FROM_CLIENT;
}

void order_start(struct order_flow *flow, enum direction direction, uint32_t next)
{
	flow->side[direction].started = true;
	flow->side[direction].next = next;
}

/* ---- in order --------------------------------------------------------------------------------------------- */

/* Whether some of the segment's bytes are others than those that had come in their place. A keep-alive's one byte is free. */
static bool differs_from_before(const struct order_side *side, const struct capture_segment *segment)
{
	uint32_t known = side->recent_count, n = segment->captured;
	uint32_t behind = side->next - segment->sequence; /* how far the segment reaches back */
	uint32_t i = behind > known ? behind - known : 0;
	if (segment->length == 1 || side->finished)
		return false;
	for (; i < n && i < behind; i++)
		if (side->recent[(segment->sequence + i) % ORDER_RECENT] != segment->bytes[i])
			return true;
	return false;
}

static void remember(struct order_side *side, const uint8_t *bytes, uint32_t count)
{
	uint32_t kept = count < ORDER_RECENT ? count : ORDER_RECENT;
	if (!side->recent)
		side->recent = malloc(ORDER_RECENT);
	if (!side->recent)
		return; /* recent_count stays 0: there is nothing to compare with */
	uint32_t place = (side->next + count - kept) % ORDER_RECENT, to_end = ORDER_RECENT - place;
	bytes += count - kept;
	memcpy(side->recent + place, bytes, kept < to_end ? kept : to_end);
	if (kept > to_end)
		memcpy(side->recent, bytes + to_end, kept - to_end);
	kept += side->recent_count;
	side->recent_count = (uint16_t)(kept < ORDER_RECENT ? kept : ORDER_RECENT);
}

static void make_gap(struct order *order, struct order_flow *flow, enum direction direction, uint32_t count, uint64_t time_ns)
{
	struct order_side *side = &flow->side[direction];
	side->next += count;
	side->bytes += count;
	side->recent_count = 0;
	order->counts.gaps++;
	order->sink.gap(order->sink.context, flow, direction, count, time_ns);
}

/* Gives out what is new of a segment that begins at side->next or before. */
static void deliver(struct order *order, struct order_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	struct order_side *side = &flow->side[direction];
	uint32_t known = side->next - segment->sequence;
	flow->stalled = 0;
	if (known && differs_from_before(side, segment))
		order->counts.conflicting++;
	if (segment->length && known >= segment->length)
		order->counts.repeated++;
	if (side->finished)
		return; /* nothing comes behind a FIN */
	if (known < segment->captured) {
		const uint8_t *bytes = segment->bytes + known;
		uint32_t count = segment->captured - known;
		remember(side, bytes, count);
		side->next += count;
		side->bytes += count;
		order->sink.bytes(order->sink.context, flow, direction, bytes, count, segment->urgent, segment->time_ns);
	}
	uint32_t end = segment->sequence + segment->length;
	if (distance(end, side->next) > 0) /* the snap length has cut it */
		make_gap(order, flow, direction, end - side->next, segment->time_ns);
	if (segment->fin && side->next == end) {
		side->finished = true;
		side->next++;
		order->sink.finish(order->sink.context, flow, direction, segment->time_ns);
	}
}

/* Whether all has come that the segment goes on from, in its own direction and in the other. */
static bool is_ready(struct order_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	struct order_side *side = &flow->side[direction], *other = &flow->side[other_of(direction)];
	if (!side->started || distance(segment->sequence, side->next) > 0)
		return false;
	if (!segment->ack)
		return true; /* data in a SYN */
	return other->started && distance(segment->acknowledged, other->next) <= 0;
}

/* ---- waiting ---------------------------------------------------------------------------------------------- */

static void remove_held(struct order *order, struct order_flow *flow, struct order_held *previous, struct order_held *held)
{
	size_t size = sizeof(*held) + held->segment.captured;
	if (previous)
		previous->next = held->next;
	else
		flow->held = held->next;
	if (flow->held_last == held)
		flow->held_last = previous;
	flow->held_count--;
	flow->held_bytes -= size;
	order->held_bytes -= size;
}

/* Gives out what has become ready. */
static void deliver_held(struct order *order, struct order_flow *flow)
{
	struct order_held *previous = NULL, *held = flow->held;
	while (held) {
		if (!is_ready(flow, held->direction, &held->segment)) {
			previous = held;
			held = held->next;
			continue;
		}
		remove_held(order, flow, previous, held);
		deliver(order, flow, held->direction, &held->segment);
		free(held);
		previous = NULL; /* it may be what an earlier one has waited for */
		held = flow->held;
	}
}

static bool conflicts_with_held(const struct order_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	for (const struct order_held *held = flow->held; held; held = held->next) {
		const struct capture_segment *a = &held->segment, *b = segment;
		if (held->direction != direction)
			continue;
		if (distance(a->sequence, b->sequence) > 0) {
			a = segment;
			b = &held->segment;
		}
		uint32_t shift = b->sequence - a->sequence;
		if (shift >= a->captured)
			continue;
		uint32_t both = a->captured - shift < b->captured ? a->captured - shift : b->captured;
		if (memcmp(a->bytes + shift, b->bytes, both) != 0)
			return true;
	}
	return false;
}

/* Without memory the segment is lost, as others are. */
static void hold(struct order *order, struct order_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	size_t size = sizeof(struct order_held) + segment->captured;
	struct order_held *held = malloc(size);
	if (!held)
		return;
	if (conflicts_with_held(flow, direction, segment))
		order->counts.conflicting++;
	order->counts.early++;
	held->next = NULL;
	held->direction = direction;
	held->segment = *segment;
	held->segment.bytes = held->bytes;
	if (segment->captured)
		memcpy(held->bytes, segment->bytes, segment->captured);
	if (flow->held_last)
		flow->held_last->next = held;
	else
		flow->held = held;
	flow->held_last = held;
	flow->held_count++;
	flow->held_bytes += size;
	order->held_bytes += size;
}

void order_drop(struct order *order, struct order_flow *flow)
{
	while (flow->held) {
		struct order_held *held = flow->held;
		remove_held(order, flow, NULL, held);
		free(held);
	}
	for (int i = 0; i < 2; i++) {
		free(flow->side[i].recent);
		flow->side[i].recent = NULL;
		flow->side[i].recent_count = 0;
	}
}

/* ---- gaps ------------------------------------------------------------------------------------------------- */

/* The lowest sequence number beyond next among the held segments of a direction; limit if there is none below it. */
static uint32_t next_held(const struct order_flow *flow, enum direction direction, uint32_t limit)
{
	for (const struct order_held *held = flow->held; held; held = held->next) {
		uint32_t sequence = held->segment.sequence;
		if (held->direction == direction && distance(sequence, flow->side[direction].next) > 0 && distance(sequence, limit) < 0)
			limit = sequence;
	}
	return limit;
}

/* What the first of those that wait has waited for will not come. */
static void give_up_waiting(struct order *order, struct order_flow *flow, uint64_t time_ns)
{
	const struct capture_segment *segment = &flow->held->segment;
	enum direction direction = flow->held->direction;
	struct order_side *side = &flow->side[direction];
	uint32_t to = segment->sequence;
	if (side->started && distance(segment->sequence, side->next) <= 0) { /* it waits for the other side */
		direction = other_of(direction);
		side = &flow->side[direction];
		to = segment->acknowledged;
	}
	if (side->started) {
		to = next_held(flow, direction, to);
		make_gap(order, flow, direction, to - side->next, time_ns);
	} else {
		order_start(flow, direction, to);
		make_gap(order, flow, direction, 0, time_ns);
	}
	deliver_held(order, flow);
}

/* Whether the capture has lost what is waited for: its receiver has acknowledged it. */
static bool is_lost(const struct order_flow *flow)
{
	for (int i = 0; i < 2; i++) {
		const struct order_side *side = &flow->side[i];
		if (side->has_acked && (!side->started || distance(side->acked, side->next) > 0))
			return true;
	}
	return false;
}

static bool is_over_limit(const struct order *order, const struct order_flow *flow)
{
	return flow->held_bytes > ORDER_FLOW_BYTES || flow->held_count > ORDER_FLOW_SEGMENTS || order->held_bytes > ORDER_BYTES;
}

static void stop_waiting(struct order *order, struct order_flow *flow, uint64_t now_ns)
{
	while (flow->held) {
		uint64_t since = flow->held->segment.time_ns;
		bool late = flow->stalled > ORDER_STALLED_SEGMENTS || now_ns > since + ORDER_STALLED_NS || now_ns + ORDER_STALLED_NS < since;
		bool limited = is_over_limit(order, flow);
		if (!limited && !(late && is_lost(flow)))
			return;
		order->counts.limited += limited;
		give_up_waiting(order, flow, now_ns);
	}
}

void order_flush(struct order *order, struct order_flow *flow, uint64_t time_ns)
{
	while (flow->held)
		give_up_waiting(order, flow, time_ns);
}

/* ---- segments --------------------------------------------------------------------------------------------- */

/* Nothing is read: bytes are counted, and a FIN is one wherever it stands. */
static void count_only(struct order *order, struct order_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	struct order_side *side = &flow->side[direction];
	uint32_t end = segment->sequence + segment->length;
	order_drop(order, flow);
	if (side->finished)
		return;
	if (!side->started)
		order_start(flow, direction, segment->sequence);
	if (distance(end, side->next) > 0) {
		side->bytes += end - side->next;
		side->next = end;
	}
	if (segment->fin) {
		side->finished = true;
		order->sink.finish(order->sink.context, flow, direction, segment->time_ns);
	}
}

static void note_acknowledged(struct order_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	struct order_side *other = &flow->side[other_of(direction)];
	if (!segment->ack)
		return;
	if (flow->midway && !other->started)
		order_start(flow, other_of(direction), segment->acknowledged);
	if (!other->has_acked || distance(segment->acknowledged, other->acked) > 0)
		other->acked = segment->acknowledged;
	other->has_acked = true;
}

/* If bytes of a direction are missing up to that sequence number, which somebody has named, they are a gap. */
static void end_at(struct order *order, struct order_flow *flow, enum direction direction, uint32_t sequence, uint64_t time_ns)
{
	const struct order_side *side = &flow->side[direction];
	int32_t missing = distance(sequence, side->next);
	if (side->started && !side->finished && missing > 0 && missing <= ORDER_RESET_WINDOW)
		make_gap(order, flow, direction, (uint32_t)missing, time_ns);
}

void order_reset(struct order *order, struct order_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	order_flush(order, flow, segment->time_ns);
	if (flow->light)
		return;
	end_at(order, flow, direction, segment->sequence, segment->time_ns);
	if (segment->ack)
		end_at(order, flow, other_of(direction), segment->acknowledged, segment->time_ns);
	for (int i = 0; i < 2; i++)
		if (flow->side[i].has_acked)
			end_at(order, flow, (enum direction)i, flow->side[i].acked, segment->time_ns);
}

void order_take(struct order *order, struct order_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	if (flow->light) {
		count_only(order, flow, direction, segment);
		return;
	}
	note_acknowledged(flow, direction, segment);
	if (flow->midway && !flow->side[direction].started)
		order_start(flow, direction, segment->sequence);
	if (segment->length || segment->fin) {
		if (is_ready(flow, direction, segment))
			deliver(order, flow, direction, segment);
		else
			hold(order, flow, direction, segment);
	}
	if (!flow->held)
		return;
	flow->stalled++;
	deliver_held(order, flow);
	stop_waiting(order, flow, segment->time_ns);
}
