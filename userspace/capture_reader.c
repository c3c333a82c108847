/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_reader.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "facts.h"
#include "fallback.h"
#include "history.h"
#include "identity_check.h"
#include "identity_judgement.h"
#include "judgement.h"

#define SECOND 1000000000ULL
#define ID_TRIES 16
#define AWAKE 1024 /* flows that take turns in a capture are often hundreds; some megabytes */
#define CLOCK_IS_SET_NS (800000000ULL * SECOND) /* 1995: no capture with TLS in it is older, but for those without times */

struct capture_table {
	struct sessions *sessions;
	struct history *history;
	struct identity_checker *checker; /* NULL: no certificate was met yet */
	bool no_check;
	const struct capture_settings *settings;
	capture_session_taker *take;
	void *context;
};

struct capture_reader {
	struct capture_table *table;
	struct dialogue_run run;
	struct flow_event head; /* what holds of all of the flow's events */
	uint32_t handshake_sent[2];
};

/* ---- sessions --------------------------------------------------------------------------------------------- */

/* Reading all anchors takes longer than reading a small capture: only once there is a certificate. */
static struct identity_checker *checker_of(struct capture_table *table)
{
	char error[256];
	if (!table->checker && !table->no_check) {
		table->checker = identity_checker_new(NULL, error, sizeof(error));
		table->no_check = !table->checker;
	}
	return table->checker;
}

/* A file that was named has to be one, whether it is needed or not. */
static bool open_checker(struct capture_table *table, char *error, unsigned error_size)
{
	table->no_check = table->settings->no_check;
	if (!table->no_check && table->settings->trust)
		table->checker = identity_checker_new(table->settings->trust, error, error_size);
	return table->checker || table->no_check || !table->settings->trust;
}

struct capture_table *capture_table_new(const struct capture_settings *settings, capture_session_taker *take, void *context,
					char *error, unsigned error_size)
{
	struct capture_table *table = calloc(1, sizeof(*table));
	snprintf(error, error_size, "out of memory");
	if (!table)
		return NULL;
	table->settings = settings;
	table->take = take;
	table->context = context;
	table->sessions = sessions_new(0, UINT_MAX);
	table->history = history_new(CAPTURE_FALLBACK_WINDOW_S, HISTORY_MAX);
	if (table->sessions && table->history && open_checker(table, error, error_size)) {
		sessions_set_real_time(table->sessions);
		sessions_set_awake(table->sessions, AWAKE);
		return table;
	}
	capture_table_free(table);
	return NULL;
}

void capture_table_free(struct capture_table *table)
{
	if (!table)
		return;
	sessions_free(table->sessions);
	if (table->history)
		history_free(table->history);
	identity_checker_free(table->checker);
	free(table);
}

/* A certificate is judged by the time of its capture; where that has no time, by nothing. */
static void check_identity(struct capture_table *table, struct session *session, uint64_t time_ns)
{
	struct identity_record *record = session->identity;
	if (record && checker_of(table)) {
		bool timeless = time_ns < CLOCK_IS_SET_NS;
		identity_check(table->checker, record, NULL, session->tls ? session->tls->server_name : NULL,
			       timeless ? time(NULL) : (time_t)(time_ns / SECOND));
		if (timeless)
			record->check.expired = false;
	}
	judge_identity(&session->last, session->tls, record, &session->judgement);
}

static struct session *take_event(struct capture_table *table, const struct flow_event *event)
{
	struct timespec now = { .tv_sec = (time_t)(event->time_ns / SECOND), .tv_nsec = (long)(event->time_ns % SECOND) };
	struct session *session = sessions_take(table->sessions, event);
	if (!session)
		return NULL;
	free(session->account);
	session->account = session->last.account[0] ? strdup(session->last.account) : NULL;
	judge(&session->last, &session->judgement);
	judge_handshake(&session->last, session->tls, &session->judgement);
	check_identity(table, session, event->time_ns);
	fallback_judge(table->history, session, now);
	if (event->reason == EVENT_CLOSED)
		fallback_end(table->history, table->sessions, session, now); /* one that is over has been told by now */
	return session;
}

/* ---- the flow --------------------------------------------------------------------------------------------- */

static void tell(struct capture_reader *reader, enum event_reason reason, uint64_t time_ns, struct session **session)
{
	struct flow_event event = dialogue_run_event(&reader->run, reason);
	const struct flow_event *head = &reader->head;
	reader->head.sequence++;
	event.flow_id = head->flow_id;
	event.sequence = head->sequence;
	event.opened_ns = head->opened_ns;
	/* a capture's clock may go back; and a session closed at 0 would be an open one */
	event.time_ns = time_ns > head->opened_ns ? time_ns : head->opened_ns;
	event.cgroup_id = head->cgroup_id;
	event.bytes_sent = head->bytes_sent;
	event.bytes_received = head->bytes_received;
	event.client_port = head->client_port;
	event.server_port = head->server_port;
	event.end = head->end;
	memcpy(event.client_address, head->client_address, sizeof(event.client_address));
	memcpy(event.server_address, head->server_address, sizeof(event.server_address));
	*session = take_event(reader->table, &event);
}

static bool is_loopback(const uint8_t address[16])
{
	static const uint8_t ipv6[16] = { [15] = 1 }, mapped[12] = { [10] = 0xff, [11] = 0xff };
	return memcmp(address, ipv6, sizeof(ipv6)) == 0 || (memcmp(address, mapped, sizeof(mapped)) == 0 && address[12] == 127);
}

/* count: a multiple of eight. Spreads well; whoever wants to make many that are the same can: see make_id(). */
static uint64_t hash(const void *bytes, size_t count)
{
	uint64_t sum = count, word;
	for (size_t i = 0; i < count; i += sizeof(word)) {
		memcpy(&word, (const uint8_t *)bytes + i, sizeof(word));
		sum = (sum ^ word) * 0x9e3779b97f4a7c15ULL;
		sum ^= sum >> 32;
	}
	return sum * 0xd6e8feb86659fd93ULL;
}

/* An id that is the same whenever the file is read, and for whatever else it holds. */
static uint64_t make_id(struct capture_table *table, const struct capture_flow *flow)
{
	uint8_t text[48] = { 0 };
	_Static_assert(sizeof(flow->key) + sizeof(flow->opened_ns) <= sizeof(text), "both have room");
	memcpy(text, &flow->key, sizeof(flow->key));
	memcpy(text + sizeof(flow->key), &flow->opened_ns, sizeof(flow->opened_ns));
	uint64_t id = hash(text, sizeof(text));
	for (unsigned tries = 1; !id || sessions_find(table->sessions, id); tries++) {
		/* so many that are the same are somebody's work, and to count through them would be ours */
		if (tries % ID_TRIES || getrandom(&id, sizeof(id), GRND_NONBLOCK) != sizeof(id))
			id++;
	}
	return id;
}

/* The client's address stands for the sender. */
static uint64_t sender_of(const uint8_t address[16])
{
	return hash(address, 16) | 1;
}

struct capture_reader *capture_reader_new(struct capture_table *table, const struct capture_flow *flow, bool midway)
{
	struct capture_reader *reader = calloc(1, sizeof(*reader));
	if (!reader)
		return NULL;
	reader->table = table;
	struct flow_event *head = &reader->head;
	memcpy(head->client_address, capture_flow_address(flow, FROM_CLIENT), 16);
	memcpy(head->server_address, capture_flow_address(flow, FROM_SERVER), 16);
	head->client_port = capture_flow_port(flow, FROM_CLIENT);
	head->server_port = capture_flow_port(flow, FROM_SERVER);
	head->flow_id = make_id(table, flow);
	head->opened_ns = flow->opened_ns > SECOND ? flow->opened_ns : SECOND;
	head->cgroup_id = sender_of(head->client_address);
	struct policy_rule rule = dialogue_run_encrypted;
	if (is_loopback(head->server_address))
		rule.require = REQUIRE_NONE; /* as the agent's policy has it, where nothing else is said */
	dialogue_run_start(&reader->run, flow->implicit_tls, MODE_MONITOR, &rule);
	if (midway)
		dialogue_run_midway(&reader->run);
	return reader;
}

uint64_t capture_reader_id(const struct capture_reader *reader)
{
	return reader->head.flow_id;
}

static bool is_of_interest(const struct capture_reader *reader)
{
	const struct dialogue_run *run = &reader->run;
	return !run->settled && !(run->client.state == CLIENT_OPAQUE && run->server.opaque);
}

/* As tell_handshake() in bpf/: TLS that begins anywhere but at a segment's start is none that a TLS library has begun. */
static void take_handshake(struct capture_reader *reader, enum direction direction, bool was_in_tls, bool is_in_tls,
			   const uint8_t *bytes, size_t count)
{
	uint32_t *sent = &reader->handshake_sent[direction];
	struct handshake_event event; /* not set to zero for what is no handshake */
	struct session *session;
	if ((!was_in_tls && !is_in_tls) || (!was_in_tls && !tls_type_is_valid(bytes[0])))
		return;
	if (!reader->head.sequence) /* a handshake belongs to a session */
		tell(reader, EVENT_OPENED, reader->head.opened_ns, &session);
	event.flow_id = reader->head.flow_id;
	event.from_server = direction == FROM_SERVER;
	event.reserved = 0;
	while (count && *sent < HANDSHAKE_LIMIT) {
		size_t n = count < sizeof(event.bytes) ? count : sizeof(event.bytes);
		event.offset = *sent;
		event.length = (uint16_t)n;
		memcpy(event.bytes, bytes, n);
		sessions_take_handshake(reader->table->sessions, &event);
		*sent += (uint32_t)n;
		bytes += n;
		count -= n;
	}
}

static void read_client(struct capture_reader *reader, const uint8_t *bytes, size_t count, bool urgent, uint64_t time_ns)
{
	struct dialogue_run *run = &reader->run;
	struct session *session;
	unsigned progress = run->progress;
	bool was_in_tls = client_in_tls(&run->client), was_clear = !(run->client.facts & FACT(CLIENT_FINISHED));
	run->urgent = urgent;
	dialogue_run_client(run, bytes, count);
	if (was_clear && !run->client.left_tls) /* plaintext may be a secret */
		take_handshake(reader, FROM_CLIENT, was_in_tls, client_in_tls(&run->client), bytes, count);
	if (run->progress != progress)
		tell(reader, EVENT_PROGRESS, time_ns, &session);
}

static void read_server(struct capture_reader *reader, const uint8_t *bytes, size_t count)
{
	struct dialogue_run *run = &reader->run;
	bool was_in_tls = run->server.in_tls, was_clear = !(run->server.facts & FACT(SERVER_DATA)) && !run->server.tls.legacy;
	dialogue_run_server(run, bytes, count);
	if (was_clear)
		take_handshake(reader, FROM_SERVER, was_in_tls, run->server.in_tls, bytes, count);
}

bool capture_reader_bytes(struct capture_reader *reader, enum direction direction, const uint8_t *bytes, size_t count, bool urgent,
			  uint64_t time_ns)
{
	if (direction == FROM_CLIENT)
		read_client(reader, bytes, count, urgent, time_ns);
	else
		read_server(reader, bytes, count);
	return is_of_interest(reader);
}

bool capture_reader_gap(struct capture_reader *reader, enum direction direction)
{
	if (direction == FROM_CLIENT)
		dialogue_run_client_lost(&reader->run);
	else
		dialogue_run_server_lost(&reader->run);
	reader->handshake_sent[direction] = HANDSHAKE_LIMIT;
	return is_of_interest(reader);
}

bool capture_may_be_smtp(enum direction direction, const uint8_t *bytes, size_t count)
{
	static const char *const begins[2][3] = {
		[FROM_CLIENT] = { "EHLO", "HELO", "LHLO" },
		[FROM_SERVER] = { "220", "554", "421" },
	};
	size_t n = direction == FROM_CLIENT ? 4 : 3;
	if (count < n)
		n = count;
	for (int i = 0; i < 3; i++) {
		size_t same = 0;
		while (same < n && ascii_upper(bytes[same]) == (uint8_t)begins[direction][i][same])
			same++;
		if (same == n)
			return true;
	}
	return false;
}

static bool looks_like_smtp(const struct capture_reader *reader)
{
	uint64_t facts = reader->run.client.facts | reader->run.server.facts;
	return (facts & (FACT(GREETING_ACCEPTED) | FACT(GREETING_REFUSED))) && (facts & (FACT(EHLO_SENT) | FACT(HELO_SENT) | FACT(LHLO_SENT)));
}

bool capture_reader_end(struct capture_reader *reader, const struct capture_flow *flow, bool seen, bool by_look, uint64_t time_ns)
{
	struct capture_table *table = reader->table;
	struct session *session;
	bool told = !by_look || looks_like_smtp(reader);
	reader->head.end = flow->end;
	reader->head.bytes_sent = flow->order.side[FROM_CLIENT].bytes;
	reader->head.bytes_received = flow->order.side[FROM_SERVER].bytes;
	tell(reader, seen ? EVENT_CLOSED : EVENT_PROGRESS, time_ns, &session);
	if (session && told)
		table->take(table->context, session);
	if (session && !seen) /* it leaves the table */
		sessions_give_up(table->sessions, session, session->opened);
	free(reader);
	return session && told;
}
