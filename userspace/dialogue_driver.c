/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "dialogue_driver.h"

#include <string.h>

#include "verdict.h"

/* as in bpf/ */
#define CHUNK 64
#define CLIENT_STEPS 4
#define SERVER_STEPS 8
#define CHUNKS_MAX 4096
#define FACTS_TO_TELL (FACT(CREDENTIAL_CLEAR) | FACT(MAIL_CLEAR) | FACT(CLIENT_CAP) | FACT(WOULD_BLOCK))

const struct policy_rule dialogue_run_encrypted = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK };

void dialogue_run_start(struct dialogue_run *run, bool implicit_tls, uint8_t mode, const struct policy_rule *rule)
{
	bool bytewise = run->bytewise;
	const struct dialogue_trace *trace = run->trace;
	memset(run, 0, sizeof(*run));
	run->bytewise = bytewise || trace;
	run->trace = trace;
	run->implicit_tls = implicit_tls;
	run->mode = mode;
	run->rule = *rule;
	dialogue_start(&run->client, &run->server, implicit_tls);
}

static uint32_t client_chunk(struct dialogue_run *run, const uint8_t *bytes, size_t left)
{
	struct client_parser *work = &run->work;
	const struct dialogue_trace *trace = run->trace;
	uint8_t state = work->state;
	uint32_t taken = client_skip(work, (uint32_t)left);
	if (taken) {
		if (trace)
			trace->client_skipped(trace->context, bytes, taken, state);
		return taken;
	}
	uint32_t n = left < CHUNK ? (uint32_t)left : CHUNK;
	uint8_t chunk[CHUNK];
	memcpy(chunk, bytes, n);
	taken = run->bytewise ? 0 : client_run(work, chunk, n);
	for (int i = 0; i < CLIENT_STEPS && taken < n && !client_skip_is_due(work, (uint32_t)left - taken); i++, taken++) {
		state = work->state;
		client_byte(work, &run->server, chunk[taken]);
		if (trace)
			trace->client(trace->context, bytes + taken, work, state);
	}
	client_count(work, taken);
	return taken;
}

static uint32_t server_chunk(struct dialogue_run *run, const uint8_t *bytes, size_t left)
{
	struct server_parser *server = &run->server;
	const struct dialogue_trace *trace = run->trace;
	bool was_in_tls = server->in_tls;
	uint32_t taken = server_skip(server, (uint32_t)left);
	if (taken) {
		if (trace)
			trace->server_skipped(trace->context, bytes, taken, was_in_tls);
		return taken;
	}
	uint32_t n = left < CHUNK ? (uint32_t)left : CHUNK;
	uint8_t chunk[CHUNK];
	memcpy(chunk, bytes, n);
	taken = run->bytewise ? 0 : server_run(server, chunk, n);
	for (int i = 0; i < SERVER_STEPS && taken < n && !server->skip && !server->opaque; i++, taken++) {
		was_in_tls = server->in_tls;
		server_byte(server, &run->client, chunk[taken]);
		if (trace)
			trace->server(trace->context, bytes + taken, server, was_in_tls);
	}
	server_count(server, taken);
	return taken;
}

static bool is_condemned(struct dialogue_run *run)
{
	uint64_t facts = run->work.facts | run->server.facts;
	uint32_t judged = run->client.facts & FACT(CLIENT_DATA) ? DEMAND_TLS_DATA : 0, demands = run->work.demands & ~judged;
	const struct peer nothing_known = { .identity = IDENTITY_UNDECIDED };
	enum verdict verdict = verdict_of(facts, demands, &run->rule, &nothing_known);
	if (verdict == VERDICT_HOLD)
		verdict = verdict_undecided(&run->rule); /* there is no agent to wait for */
	if (verdict == VERDICT_PASS)
		return false;
	if (verdict_is_enforced(&run->rule, run->mode))
		return true;
	run->work.facts |= FACT(WOULD_BLOCK);
	return false;
}

static void commit(struct dialogue_run *run)
{
	uint64_t new_facts = facts_known(run->work.facts) & ~facts_known(run->client.facts);
	uint32_t demands = run->work.demands;
	run->client = run->work;
	if ((new_facts & FACTS_TO_TELL) || ((demands & DEMAND_AUTH) && (run->client.facts & FACT(CREDENTIAL_CLEAR))))
		run->progress++;
}

bool dialogue_run_client(struct dialogue_run *run, const uint8_t *bytes, size_t length)
{
	size_t offset = 0;
	if (run->blocked)
		return false;
	if (facts_tls_established(run->client.facts | run->server.facts) && (run->client.facts & FACT(CLIENT_PROCEEDED))) {
		run->progress += !run->settled;
		run->settled = true;
		return true;
	}
	run->work = run->client;
	client_segment_start(&run->work, &run->server);
	for (int i = 0; i < CHUNKS_MAX && offset < length; i++)
		offset += client_chunk(run, bytes + offset, length - offset);
	if (offset < length)
		client_overworked(&run->work);
	if (run->urgent && !run->work.server_in_tls)
		client_give_up(&run->work); /* a receiver takes the urgent byte out of the stream */
	if (!is_condemned(run)) {
		commit(run);
		return true;
	}
	run->stopped = facts_known(run->work.facts) & ~run->client.facts; /* what was a guess there has left the host */
	run->client = run->work;
	run->client.facts |= FACT(BLOCKED);
	run->blocked = true;
	return false;
}

void dialogue_run_server(struct dialogue_run *run, const uint8_t *bytes, size_t length)
{
	size_t offset = 0;
	if (run->settled || run->server.opaque)
		return;
	for (int i = 0; i < CHUNKS_MAX && offset < length; i++)
		offset += server_chunk(run, bytes + offset, length - offset);
	if (offset < length)
		server_give_up(&run->server);
}

void dialogue_run_client_lost(struct dialogue_run *run)
{
	run->client.facts |= FACT(CLIENT_GAP);
	run->client.state = CLIENT_OPAQUE;
}

void dialogue_run_server_lost(struct dialogue_run *run)
{
	run->server.facts |= FACT(SERVER_GAP);
	run->server.opaque = 1;
}

void dialogue_run_midway(struct dialogue_run *run)
{
	dialogue_join(&run->client, &run->server, run->implicit_tls);
}

struct flow_event dialogue_run_event(const struct dialogue_run *run, enum event_reason reason)
{
	struct flow_event event = {
		.flow_id = 1,
		.facts = facts_known(run->client.facts | run->server.facts),
		.stopped = run->stopped,
		.sequence = 1,
		.server_port = run->implicit_tls ? 465 : 25,
		.greeting_code = run->server.greeting_code,
		.ehlo_code = run->server.ehlo_code,
		.starttls_code = run->server.starttls_code,
		.auth_code = run->server.auth_code,
		.reason = (uint8_t)reason,
		.require = run->rule.require,
		.implicit_tls = run->implicit_tls,
		.client_alert = run->client.alert,
		.server_alert = run->server.alert,
		.starttls_anonymous = run->client.anonymoustls,
	};
	bool lost = facts_are_lost(run->client.facts); /* then these are guesses */
	if (run->client.state != CLIENT_MECHANISM && !lost) /* half a name says nothing */
		memcpy(event.mechanism, run->client.mechanism, sizeof(event.mechanism));
	if (run->client.account_known && !lost)
		memcpy(event.account, run->client.account, sizeof(event.account));
	memcpy(event.server_name, run->server.name, sizeof(event.server_name));
	return event;
}
