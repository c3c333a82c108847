/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Through the dialogue machine in user space, with the events that the kernel would send. */
#include <string.h>

#include "dialogue_run.h"
#include "facts.h"
#include "must.h"
#include "path.h"

struct flow {
	struct dialogue_run run;
	struct conclude *conclude;
	uint64_t id;
	bool other_address, other_port;
	uint32_t told[2]; /* handshake bytes, by from_server */
};

/* As handshake_chunk() of bpf/emit.h. */
static void tell_handshake(struct flow *flow, bool from_server, const uint8_t *bytes, size_t length)
{
	uint32_t *told = &flow->told[from_server];
	while (length && *told < HANDSHAKE_LIMIT) {
		size_t n = length < HANDSHAKE_CHUNK ? length : HANDSHAKE_CHUNK;
		struct handshake_event event = { .flow_id = flow->id, .offset = *told, .length = (uint16_t)n, .from_server = from_server };
		memcpy(event.bytes, bytes, n);
		conclude_handshake_event(flow->conclude, &event);
		*told += (uint32_t)n;
		bytes += n;
		length -= n;
	}
}

static bool begins_tls(bool was, bool is, uint8_t first)
{
	return was || (is && tls_type_is_valid(first));
}

static void play_client(struct flow *flow, const uint8_t *bytes, size_t length)
{
	struct dialogue_run *run = &flow->run;
	bool was = client_in_tls(&run->client), clear = !(run->client.facts & FACT(CLIENT_FINISHED));
	MUST(dialogue_run_client(run, bytes, length));
	if (clear && !run->client.left_tls && begins_tls(was, client_in_tls(&run->client), bytes[0]))
		tell_handshake(flow, false, bytes, length);
}

static void play_server(struct flow *flow, const uint8_t *bytes, size_t length)
{
	struct dialogue_run *run = &flow->run;
	bool was = run->server.in_tls, clear = !(run->server.facts & FACT(SERVER_DATA)) && !run->server.tls.legacy;
	dialogue_run_server(run, bytes, length);
	if (clear && begins_tls(was, run->server.in_tls, bytes[0]))
		tell_handshake(flow, true, bytes, length);
}

static void tell(struct flow *flow, enum event_reason reason, uint32_t sequence)
{
	struct flow_event event = dialogue_run_event(&flow->run, reason);
	event.flow_id = flow->id;
	event.sequence = sequence;
	event.opened_ns = flow->id;
	event.pid = event.tid = 1000;
	event.server_address[15] = flow->other_address ? 2 : 1;
	if (flow->other_port)
		event.server_port = 587;
	conclude_flow_event(flow->conclude, &event);
}

static void play(struct flow *flow, const struct vector *vector)
{
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	dialogue_run_begin(&flow->run, vector, MODE_MONITOR, &dialogue_run_encrypted);
	tell(flow, EVENT_OPENED, 1);
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], segment);
		for (size_t at = 0, n; at < length; at += n) {
			n = length - at < piece_max ? length - at : piece_max;
			if (vector->steps[i].side == VECTOR_CLIENT)
				play_client(flow, segment + at, n);
			else
				play_server(flow, segment + at, n);
		}
	}
	tell(flow, EVENT_CLOSED, 2);
}

void user_path(const struct scenario *scenario, struct conclusion *conclusion)
{
	struct conclude *conclude = conclude_new();
	uint64_t id = 0;
	while (id < SCENARIO_FLOWS_MAX && scenario->flows[id].vector) {
		struct flow flow = { .conclude = conclude, .id = id + 1, .other_address = scenario->flows[id].other_address,
				     .other_port = scenario->flows[id].other_port };
		play(&flow, scenario->flows[id].vector);
		id++;
	}
	conclude_take(conclude, id, conclusion);
	conclude_free(conclude);
}
