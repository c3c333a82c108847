/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of a flow's ends. What stands in a capture is anybody's choice, so the hash begins with what nobody knows. */
static uint64_t hash_seed;

static unsigned hash_ends(const void *key, size_t length)
{
	uint64_t sum = hash_seed, word = 0;
	for (size_t at = 0; at < length; at += sizeof(word)) {
		memcpy(&word, (const uint8_t *)key + at, length - at < sizeof(word) ? length - at : sizeof(word));
		sum = (sum ^ word) * 0x9e3779b97f4a7c15ULL;
		sum ^= sum >> 29;
	}
	return (unsigned)(sum ^ sum >> 32);
}

#define HASH_FUNCTION(key, length, hash) (hash) = hash_ends(key, length)

#include "capture.h"

/* Each packet asks for its flow, among thousands that are over: most buckets should have one flow or none. */
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_INITIAL_NUM_BUCKETS 8192U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 13U
#define HASH_BKT_CAPACITY_THRESH 4U

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "capture_reader.h"

enum capture_state {
	FLOW_OPENING, /* nothing has shown yet that the connection came about */
	FLOW_OPEN,
	FLOW_ENDED, /* or ignored */
};

struct capture {
	struct capture_settings settings;
	struct capture_watch watch;
	struct capture_table *table;
	struct order order;
	struct fragments *fragments;
	struct capture_counts counts;
	struct capture_flow *flows; /* uthash */
	struct capture_flow *live, *ended; /* utlist, by the last segment; ended: with those that are ignored */
	unsigned live_count, ended_count;
	uint64_t last_ns, now_ns; /* now: the lower of the last two packets' times, as one of them may be wrong */
};

/* ---- flows ------------------------------------------------------------------------------------------------ */

const uint8_t *capture_flow_address(const struct capture_flow *flow, enum direction direction)
{
	return flow->key.address[flow->client_is_second ^ (direction == FROM_SERVER)];
}

uint16_t capture_flow_port(const struct capture_flow *flow, enum direction direction)
{
	return flow->key.port[flow->client_is_second ^ (direction == FROM_SERVER)];
}

static bool is_live(const struct capture_flow *flow)
{
	return flow->state == FLOW_OPENING || flow->state == FLOW_OPEN;
}

static void unlist(struct capture *capture, struct capture_flow *flow)
{
	if (is_live(flow)) {
		DL_DELETE(capture->live, flow);
		capture->live_count--;
	} else {
		DL_DELETE(capture->ended, flow);
		capture->ended_count--;
	}
}

static void list(struct capture *capture, struct capture_flow *flow)
{
	if (is_live(flow)) {
		DL_APPEND(capture->live, flow);
		capture->live_count++;
	} else {
		DL_APPEND(capture->ended, flow);
		capture->ended_count++;
	}
}

static void forget(struct capture *capture, struct capture_flow *flow)
{
	unlist(capture, flow);
	HASH_DEL(capture->flows, flow);
	order_drop(&capture->order, &flow->order);
	free(flow);
}

/* What the flow has to say is said. It is remembered for a while, or the last of its segments would begin a new one. */
static void retire(struct capture *capture, struct capture_flow *flow)
{
	order_drop(&capture->order, &flow->order);
	unlist(capture, flow);
	flow->state = FLOW_ENDED;
	list(capture, flow);
	if (capture->ended_count > CAPTURE_ENDED_MAX)
		forget(capture, capture->ended);
}

/* Tells the flow's session. seen: its end was captured. */
static void finish(struct capture *capture, struct capture_flow *flow, bool seen, bool reset, uint64_t time_ns)
{
	struct capture_watch *watch = &capture->watch;
	order_flush(&capture->order, &flow->order, time_ns);
	if (flow->reader) {
		if (flow->watched && watch->closed)
			watch->closed(watch->context, flow, reset, seen, time_ns);
		capture->counts.sessions += capture_reader_end(flow->reader, flow, seen, !flow->listed, time_ns);
		flow->reader = NULL;
	}
	retire(capture, flow);
}

static bool begin_reading(struct capture *capture, struct capture_flow *flow)
{
	struct capture_watch *watch = &capture->watch;
	flow->state = FLOW_OPEN;
	if (flow->reader)
		return true;
	flow->reader = capture_reader_new(capture->table, flow, flow->order.midway);
	if (!flow->reader)
		return false;
	capture->counts.flows++;
	capture->counts.midway += flow->order.midway;
	flow->watched = watch->opened && watch->opened(watch->context, flow, capture_reader_id(flow->reader));
	return true;
}

/* ---- what the reassembly gives out ------------------------------------------------------------------------- */

static struct capture_flow *flow_of(struct order_flow *order)
{
	return (struct capture_flow *)((char *)order - offsetof(struct capture_flow, order));
}

static void on_bytes(void *context, struct order_flow *order, enum direction direction, const uint8_t *bytes, size_t count,
		     bool urgent, uint64_t time_ns)
{
	struct capture *capture = context;
	struct capture_flow *flow = flow_of(order);
	struct capture_watch *watch = &capture->watch;
	if (!flow->reader && !flow->listed && !capture_may_be_smtp(direction, bytes, count))
		flow->ignored = true;
	if (flow->ignored || !begin_reading(capture, flow))
		return;
	order->light = !capture_reader_bytes(flow->reader, direction, bytes, count, urgent, time_ns);
	if (flow->watched && watch->bytes)
		watch->bytes(watch->context, flow, direction, bytes, count, urgent, time_ns);
}

static void on_gap(void *context, struct order_flow *order, enum direction direction, uint32_t count, uint64_t time_ns)
{
	struct capture *capture = context;
	struct capture_flow *flow = flow_of(order);
	struct capture_watch *watch = &capture->watch;
	(void)count;
	if (!flow->reader && !flow->listed)
		flow->ignored = true;
	if (flow->ignored || !begin_reading(capture, flow))
		return;
	order->light = !capture_reader_gap(flow->reader, direction);
	if (flow->watched && watch->gap)
		watch->gap(watch->context, flow, direction, time_ns);
}

static void on_finish(void *context, struct order_flow *order, enum direction direction, uint64_t time_ns)
{
	struct capture *capture = context;
	struct capture_flow *flow = flow_of(order);
	struct capture_watch *watch = &capture->watch;
	if (flow->end == FLOW_END_NONE)
		flow->end = direction == FROM_CLIENT ? FLOW_END_CLIENT : FLOW_END_SERVER;
	if (flow->watched && watch->finished)
		watch->finished(watch->context, flow, direction, time_ns);
}

/* ---- segments --------------------------------------------------------------------------------------------- */

static bool find_port(const struct capture_settings *settings, uint16_t port, bool *implicit_tls)
{
	for (unsigned i = 0; i < settings->port_count; i++) {
		if (settings->ports[i].number != port)
			continue;
		if (implicit_tls)
			*implicit_tls = settings->ports[i].implicit_tls;
		return true;
	}
	return false;
}

/* Whether segment is the client's, and whether its flow is to be followed at all. */
static bool is_wanted(const struct capture *capture, const struct capture_segment *segment, bool *from_client)
{
	bool to = find_port(&capture->settings, segment->to_port, NULL), from = find_port(&capture->settings, segment->from_port, NULL);
	if (segment->syn) {
		*from_client = !segment->ack;
		return capture->settings.any_port || (segment->ack ? from : to);
	}
	*from_client = to && (!from || segment->to_port < segment->from_port);
	return (to || from) && segment->length && !segment->reset; /* midway: only data is worth it */
}

static void set_key(struct capture_key *key, const struct capture_segment *segment, bool *from_is_second)
{
	int order = memcmp(segment->from, segment->to, 16);
	*from_is_second = order > 0 || (order == 0 && segment->from_port > segment->to_port);
	memcpy(key->address[*from_is_second], segment->from, 16);
	memcpy(key->address[!*from_is_second], segment->to, 16);
	key->port[*from_is_second] = segment->from_port;
	key->port[!*from_is_second] = segment->to_port;
}

static void give_up_oldest(struct capture *capture)
{
	struct capture_flow *flow = capture->live;
	finish(capture, flow, false, false, flow->last_ns);
}

static struct capture_flow *make_flow(struct capture *capture, const struct capture_key *key, bool client_is_second,
				      const struct capture_segment *segment)
{
	struct capture_flow *flow = calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	flow->key = *key;
	flow->client_is_second = client_is_second;
	flow->opened_ns = segment->time_ns;
	flow->last_ns = segment->time_ns;
	flow->order.midway = !segment->syn;
	flow->listed = find_port(&capture->settings, capture_flow_port(flow, FROM_SERVER), &flow->implicit_tls);
	if (capture->live_count >= CAPTURE_FLOWS_MAX) {
		capture->counts.evicted++;
		give_up_oldest(capture);
	}
	HASH_ADD(hh, capture->flows, key, sizeof(flow->key), flow);
	list(capture, flow);
	return flow;
}

/* The SYN of a new connection between the same two ends: it is one once anything is sent on from it. */
static bool is_taken_up(const struct capture_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	if (!flow->has_pending_isn)
		return false;
	if (direction == FROM_CLIENT)
		return !segment->syn && segment->sequence == flow->pending_isn + 1;
	return segment->syn && segment->ack && segment->acknowledged == flow->pending_isn + 1;
}

static void start_over(struct capture *capture, struct capture_flow **flow, uint32_t isn, const struct capture_segment *segment)
{
	struct capture_key key = (*flow)->key;
	bool client_is_second = (*flow)->client_is_second;
	if (is_live(*flow))
		finish(capture, *flow, false, false, (*flow)->last_ns);
	forget(capture, *flow);
	struct capture_segment syn = *segment;
	syn.syn = true;
	*flow = make_flow(capture, &key, client_is_second, &syn);
	if (!*flow)
		return;
	(*flow)->client_isn = isn;
	(*flow)->has_client_isn = true;
	order_start(&(*flow)->order, FROM_CLIENT, isn + 1);
}

/* What a SYN-ACK acknowledges of a SYN that was captured: with none, some or all of the data that is in it (RFC 7413). */
static bool answers_syn(const struct capture_flow *flow, uint32_t acknowledged)
{
	uint32_t first = flow->client_isn + 1;
	return acknowledged - first <= flow->order.side[FROM_CLIENT].next - first;
}

/* Returns whether the segment is to be read on: data may be in it. */
static bool take_syn(struct capture *capture, struct capture_flow **found, enum direction direction, struct capture_segment *segment)
{
	struct capture_flow *flow = *found;
	if (direction == FROM_SERVER) {
		if (flow->order.midway || flow->answered || (flow->has_client_isn && !answers_syn(flow, segment->acknowledged)))
			return false;
		if (!flow->has_client_isn) { /* the SYN was not captured, and tells no more than this */
			flow->client_isn = segment->acknowledged - 1;
			flow->has_client_isn = true;
			order_start(&flow->order, FROM_CLIENT, segment->acknowledged);
		}
		flow->answered = true;
		if (!flow->order.side[FROM_SERVER].started)
			order_start(&flow->order, FROM_SERVER, segment->sequence + 1);
	} else if (!flow->has_client_isn && !flow->order.midway && is_live(flow)) {
		flow->client_isn = segment->sequence;
		flow->has_client_isn = true;
		order_start(&flow->order, FROM_CLIENT, segment->sequence + 1);
	} else if (!flow->has_client_isn || segment->sequence != flow->client_isn || !is_live(flow)) {
		if (is_live(flow)) { /* anybody may send a SYN */
			flow->pending_isn = segment->sequence;
			flow->has_pending_isn = true;
			return false;
		}
		if (flow->has_client_isn && segment->sequence == flow->client_isn)
			return false; /* repeated */
		start_over(capture, found, segment->sequence, segment);
		if (!*found)
			return false;
	}
	segment->sequence++; /* the SYN counts one */
	return segment->length > 0;
}

static bool reset_is_believable(const struct capture_flow *flow, enum direction direction, const struct capture_segment *segment)
{
	const struct order_side *side = &flow->order.side[direction];
	int32_t off = (int32_t)(segment->sequence - side->next);
	if (!side->started) /* a refusal has sequence number 0 and acknowledges the SYN */
		return true;
	return off >= -ORDER_RESET_WINDOW && off <= ORDER_RESET_WINDOW;
}

/* A segment of a flow that is live, SYNs apart. */
static void take_segment(struct capture *capture, struct capture_flow *flow, enum direction direction,
			 const struct capture_segment *segment)
{
	if (segment->reset) {
		if (!reset_is_believable(flow, direction, segment))
			return;
		if (flow->end == FLOW_END_NONE)
			flow->end = FLOW_END_RESET;
		order_reset(&capture->order, &flow->order, direction, segment);
		finish(capture, flow, true, true, segment->time_ns);
		return;
	}
	if (flow->state == FLOW_OPENING && flow->listed && flow->answered && direction == FROM_CLIENT && segment->ack &&
	    !begin_reading(capture, flow))
		return;
	order_take(&capture->order, &flow->order, direction, segment);
	if (flow->ignored)
		retire(capture, flow);
	else if (flow->order.side[FROM_CLIENT].finished && flow->order.side[FROM_SERVER].finished)
		finish(capture, flow, true, false, segment->time_ns);
}

static void touch(struct capture *capture, struct capture_flow *flow, uint64_t time_ns)
{
	flow->last_ns = time_ns;
	if (flow->next) {
		unlist(capture, flow);
		list(capture, flow);
	}
}

static void give_up_idle(struct capture *capture, uint64_t time_ns)
{
	capture->now_ns = time_ns < capture->last_ns ? time_ns : capture->last_ns;
	capture->last_ns = time_ns;
	for (int i = 0; i < 2 && capture->live && capture->live->last_ns + CAPTURE_IDLE_NS < capture->now_ns; i++) {
		capture->counts.idle++;
		give_up_oldest(capture);
	}
}

static void take(struct capture *capture, struct capture_segment *segment)
{
	struct capture_flow *flow = NULL;
	struct capture_key key;
	bool from_is_second, from_client;
	set_key(&key, segment, &from_is_second);
	HASH_FIND(hh, capture->flows, &key, sizeof(key), flow);
	if (!flow) {
		if (!is_wanted(capture, segment, &from_client))
			return;
		flow = make_flow(capture, &key, from_client ? from_is_second : !from_is_second, segment);
		if (!flow)
			return;
	}
	enum direction direction = from_is_second == flow->client_is_second ? FROM_CLIENT : FROM_SERVER;
	if (is_taken_up(flow, direction, segment)) {
		start_over(capture, &flow, flow->pending_isn, segment);
		if (!flow)
			return;
	}
	touch(capture, flow, segment->time_ns);
	if (segment->syn && !take_syn(capture, &flow, direction, segment))
		return;
	if (flow && is_live(flow))
		take_segment(capture, flow, direction, segment);
}

/* ---- for others ------------------------------------------------------------------------------------------- */

struct capture *capture_new(const struct capture_settings *settings, capture_session_taker *take_session, void *context, char *error,
			    unsigned error_size)
{
	struct capture *capture = calloc(1, sizeof(*capture));
	if (!capture) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	capture->settings = *settings;
	if (getrandom(&hash_seed, sizeof(hash_seed), GRND_NONBLOCK) < 0)
		hash_seed = (uintptr_t)capture;
	capture->order.sink = (struct order_sink){ .bytes = on_bytes, .gap = on_gap, .finish = on_finish, .context = capture };
	capture->fragments = fragments_new();
	capture->table = capture_table_new(&capture->settings, take_session, context, error, error_size);
	if (capture->table && capture->fragments)
		return capture;
	capture_free(capture);
	return NULL;
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	while (capture->live) {
		free(capture->live->reader);
		forget(capture, capture->live);
	}
	while (capture->ended)
		forget(capture, capture->ended);
	capture_table_free(capture->table);
	fragments_free(capture->fragments);
	free(capture);
}

void capture_set_watch(struct capture *capture, const struct capture_watch *watch)
{
	capture->watch = *watch;
}

static void take_fragment(struct capture *capture, struct capture_segment *segment, uint64_t time_ns)
{
	uint32_t length;
	const uint8_t *payload = fragments_take(capture->fragments, segment, &length);
	if (!payload)
		return;
	if (capture_packet_payload(payload, length, segment) != FRAME_TCP) {
		capture->counts.malformed++;
		return;
	}
	capture->counts.tcp++;
	segment->time_ns = time_ns;
	take(capture, segment);
}

void capture_take(struct capture *capture, int link_type, const uint8_t *bytes, uint32_t captured, uint32_t length, uint64_t time_ns)
{
	struct capture_segment segment;
	memset(&segment, 0, sizeof(segment));
	capture->counts.packets++;
	give_up_idle(capture, time_ns);
	switch (capture_frame(link_type, bytes, captured, length, &segment)) {
	case FRAME_TCP:
		capture->counts.tcp++;
		segment.time_ns = time_ns;
		take(capture, &segment);
		break;
	case FRAME_FRAGMENT:
		take_fragment(capture, &segment, time_ns);
		break;
	case FRAME_OTHER:
		capture->counts.other++;
		break;
	case FRAME_MALFORMED:
		capture->counts.malformed++;
		break;
	}
}

void capture_end(struct capture *capture)
{
	while (capture->live)
		give_up_oldest(capture);
	while (capture->ended)
		forget(capture, capture->ended);
	fragments_end(capture->fragments);
	capture->last_ns = capture->now_ns = 0;
}

const struct capture_counts *capture_counts(const struct capture *capture)
{
	return &capture->counts;
}

const struct fragment_counts *capture_fragment_counts(const struct capture *capture)
{
	return fragments_counts(capture->fragments);
}

const struct order_counts *capture_order_counts(const struct capture *capture)
{
	return &capture->order.counts;
}
