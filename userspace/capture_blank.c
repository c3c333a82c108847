/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_blank.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "capture_blank_line.h"

#define BODY_FILL 'x'

/* What a byte was taken for, until lines are complete and can be looked at. */
enum mark {
	MARK_PUBLIC,
	MARK_FILL,      /* becomes BODY_FILL */
	MARK_BODY,      /* message content: the same, line ends apart */
	MARK_HANDSHAKE, /* public if it is a handshake */
	MARK_LINE,      /* part of a line: of the client's a command */
	MARK_RESPONSE,  /* the same, and was taken for (a part of) a SASL response */
	MARK_REPLY,     /* part of a server's line, public if it is a reply */
	MARK_TOLD,      /* the same, behind the first SASL response: it may repeat that */
};

/* One direction. */
struct blanked {
	uint8_t *bytes, *marks;
	size_t count, room;
	size_t line;     /* where the present line begins */
	uint32_t record_left; /* of a TLS record's payload */
	uint8_t record_head[5];
	uint8_t record_at; /* bytes of the header so far */
	bool encrypted;
};

struct blank {
	struct dialogue_run run;
	struct dialogue_trace trace;
	struct blanked side[2]; /* by enum direction */
	size_t dot; /* the client's last byte that may be the end of a message */
	bool dot_seen;
	bool torn; /* the client's line began within what looked like TLS */
	bool response_seen;
	bool failed;
	size_t guess; /* while the dialogue is lost: where those of the client's lines begin that may yet turn out to be commands */
};

/* ---- marks ------------------------------------------------------------------------------------------------ */

static bool grow(struct blanked *side, size_t count)
{
	size_t room = side->room ? side->room : 4096;
	if (side->count + count > BLANK_BYTES_MAX)
		return false;
	while (room < side->count + count)
		room *= 2;
	if (room == side->room)
		return true;
	uint8_t *bytes = realloc(side->bytes, room);
	if (bytes)
		side->bytes = bytes;
	uint8_t *marks = bytes ? realloc(side->marks, room) : NULL;
	if (!marks)
		return false;
	side->marks = marks;
	side->room = room;
	return true;
}

static void add(struct blank *blank, enum direction direction, const uint8_t *bytes, size_t count, enum mark mark)
{
	struct blanked *side = &blank->side[direction];
	if (blank->failed || !grow(side, count)) {
		blank->failed = true;
		return;
	}
	memcpy(side->bytes + side->count, bytes, count);
	memset(side->marks + side->count, (int)mark, count);
	side->count += count;
}

/* A byte of a TLS record. The header is public, and of the payload what is in clear. */
static enum mark record_byte(struct blanked *side, uint8_t byte)
{
	if (side->record_left == 0) {
		side->record_head[side->record_at++] = byte;
		if (side->record_at < sizeof(side->record_head))
			return MARK_PUBLIC;
		side->record_at = 0;
		side->record_left = (uint32_t)side->record_head[3] << 8 | side->record_head[4];
		return MARK_PUBLIC;
	}
	uint32_t length = (uint32_t)side->record_head[3] << 8 | side->record_head[4];
	bool first = side->record_left-- == length; /* the type of a handshake message */
	switch (side->record_head[0]) {
	case TLS_CHANGE_CIPHER_SPEC:
		side->encrypted = true;
		return MARK_PUBLIC;
	case TLS_ALERT:
		return side->encrypted ? MARK_FILL : MARK_PUBLIC;
	case TLS_HANDSHAKE:
		return first ? MARK_PUBLIC : side->encrypted ? MARK_FILL : MARK_HANDSHAKE;
	}
	return MARK_FILL;
}

static void add_records(struct blank *blank, enum direction direction, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		add(blank, direction, bytes + i, 1, record_byte(&blank->side[direction], bytes[i]));
}

/* ---- the client's bytes ----------------------------------------------------------------------------------- */

static bool is_tls_state(uint8_t state)
{
	return state == CLIENT_TLS || state == CLIENT_RECORD;
}

static void end_client_line(struct blank *blank, uint8_t verb, const char *mechanism)
{
	struct blanked *side = &blank->side[FROM_CLIENT];
	size_t count = side->count - side->line;
	if (blank->failed || !count)
		return;
	bool response = blank->torn || memchr(side->marks + side->line, MARK_RESPONSE, count);
	blank_line(side->bytes + side->line, count, blank->torn ? COMMAND_OTHER : verb, response, mechanism);
	memset(side->marks + side->line, MARK_PUBLIC, count);
	side->line = side->count;
	blank->torn = false;
}

/* The end of a message stays: CRLF "." CRLF. */
static void take_body_byte(struct blank *blank, const uint8_t *byte, const struct client_parser *parser, uint8_t state)
{
	struct blanked *side = &blank->side[FROM_CLIENT];
	add(blank, FROM_CLIENT, byte, 1, MARK_BODY);
	if (*byte == '.' && parser->state == CLIENT_BODY_DOT) {
		blank->dot = side->count - 1;
		blank->dot_seen = true;
	} else if (state == CLIENT_BODY_DOT_CR && parser->state == CLIENT_LINE && blank->dot_seen && !blank->failed) {
		side->marks[blank->dot] = MARK_PUBLIC;
	}
	side->line = side->count;
}

static void trace_client(void *context, const uint8_t *byte, const struct client_parser *parser, uint8_t state)
{
	struct blank *blank = context;
	struct blanked *side = &blank->side[FROM_CLIENT];
	uint8_t now = parser->state;
	if (state >= CLIENT_BODY || now >= CLIENT_BODY) {
		take_body_byte(blank, byte, parser, state);
		return;
	}
	if (is_tls_state(state) || is_tls_state(now)) {
		if (is_tls_state(now) && !is_tls_state(state) && *byte == TLS_HANDSHAKE)
			side->record_at = 0, side->record_left = 0;
		if (is_tls_state(now) || now == CLIENT_OPAQUE) {
			add_records(blank, FROM_CLIENT, byte, 1);
			side->line = side->count;
			return;
		}
		/* plaintext in place of a record: unless it begins where one should, the line's beginning is in the last one */
		blank->torn = side->record_at || side->record_left || parser->scan == SCAN_VERB;
	}
	if (now == CLIENT_OPAQUE && state == CLIENT_OPAQUE) {
		add(blank, FROM_CLIENT, byte, 1, MARK_FILL);
		side->line = side->count;
		return;
	}
	bool secret = state == CLIENT_RESPONSE || now == CLIENT_RESPONSE;
	blank->response_seen |= secret || now == CLIENT_INITIAL;
	add(blank, FROM_CLIENT, byte, 1, secret ? MARK_RESPONSE : MARK_LINE);
	if (*byte == '\n')
		end_client_line(blank, parser->verb, parser->mechanism);
}

static void trace_client_skipped(void *context, const uint8_t *bytes, size_t count, uint8_t state)
{
	struct blank *blank = context;
	struct blanked *side = &blank->side[FROM_CLIENT];
	if (is_tls_state(state))
		add_records(blank, FROM_CLIENT, bytes, count);
	else
		add(blank, FROM_CLIENT, bytes, count, state >= CLIENT_BODY ? MARK_BODY : MARK_FILL);
	side->line = side->count;
}

/* ---- the server's bytes ----------------------------------------------------------------------------------- */

static void end_server_line(struct blank *blank, bool is_reply, uint8_t kind)
{
	struct blanked *side = &blank->side[FROM_SERVER];
	size_t count = side->count - side->line;
	if (blank->failed || !count)
		return;
	bool told = side->marks[side->line] == MARK_TOLD && kind != COMMAND_EHLO && kind != REPLY_GREETING;
	blank_reply(side->bytes + side->line, count, is_reply, told);
	memset(side->marks + side->line, MARK_PUBLIC, count);
	side->line = side->count;
}

static void trace_server(void *context, const uint8_t *byte, const struct server_parser *parser, bool was_in_tls)
{
	struct blank *blank = context;
	struct blanked *side = &blank->side[FROM_SERVER];
	if (parser->in_tls) {
		if (!was_in_tls)
			side->record_at = 0, side->record_left = 0;
		add_records(blank, FROM_SERVER, byte, 1);
		side->line = side->count;
		return;
	}
	add(blank, FROM_SERVER, byte, 1, blank->response_seen ? MARK_TOLD : MARK_REPLY);
	if (*byte == '\n')
		end_server_line(blank, !parser->line_bad, parser->kind);
}

static void trace_server_skipped(void *context, const uint8_t *bytes, size_t count, bool was_in_tls)
{
	struct blank *blank = context;
	struct blanked *side = &blank->side[FROM_SERVER];
	if (was_in_tls && !blank->run.server.opaque)
		add_records(blank, FROM_SERVER, bytes, count);
	else
		add(blank, FROM_SERVER, bytes, count, MARK_FILL);
	side->line = side->count;
}

/* ---- for others ------------------------------------------------------------------------------------------- */

struct blank *blank_new(bool implicit_tls, bool midway, const struct policy_rule *rule)
{
	struct blank *blank = calloc(1, sizeof(*blank));
	if (!blank)
		return NULL;
	blank->trace = (struct dialogue_trace){ trace_client, trace_client_skipped, trace_server, trace_server_skipped, blank };
	blank->run.trace = &blank->trace;
	dialogue_run_start(&blank->run, implicit_tls, MODE_MONITOR, rule);
	if (midway) {
		dialogue_run_midway(&blank->run);
		blank->response_seen = true; /* it may have passed by */
	}
	return blank;
}

void blank_free(struct blank *blank)
{
	if (!blank)
		return;
	for (int i = 0; i < 2; i++) {
		free(blank->side[i].bytes);
		free(blank->side[i].marks);
	}
	free(blank);
}

/* Message content in the midst of message content says nothing: it can be left out. */
static bool is_idle(const struct blank *blank, size_t from, uint8_t state)
{
	const struct blanked *side = &blank->side[FROM_CLIENT];
	bool lost = state == CLIENT_LOST;
	if ((state != CLIENT_BODY && !lost) || blank->run.client.state != state)
		return false;
	for (size_t i = from; i < side->count; i++)
		if (side->marks[i] != (lost ? MARK_FILL : MARK_BODY))
			return false;
	return true;
}

/*
 * What was taken for commands while the dialogue was lost is none for certain: it may be of a message. verbs: it counts as
 * lines that were answered, and their first words have to stay.
 */
static void drop_guess(struct blank *blank, size_t end, bool verbs)
{
	struct blanked *side = &blank->side[FROM_CLIENT];
	bool in_verb = verbs;
	if (blank->failed)
		return;
	for (size_t i = blank->guess; i < end; i++) {
		bool line_end = side->bytes[i] == '\r' || side->bytes[i] == '\n', ends_verb = in_verb && side->bytes[i] <= ' ';
		in_verb = line_end ? verbs : in_verb && !ends_verb;
		if (!line_end && !in_verb)
			side->bytes[i] = ends_verb ? ' ' : BODY_FILL;
		side->marks[i] = MARK_PUBLIC;
	}
	blank->guess = end;
}

size_t blank_take(struct blank *blank, enum direction direction, const uint8_t *bytes, size_t count, bool urgent)
{
	struct blanked *side = &blank->side[direction];
	size_t before = side->count;
	uint8_t state = blank->run.client.state;
	uint32_t said = blank->run.client.said;
	blank->run.urgent = urgent;
	if (direction == FROM_CLIENT)
		dialogue_run_client(&blank->run, bytes, count);
	else
		dialogue_run_server(&blank->run, bytes, count);
	if (!blank->failed && side->count - before < count) { /* the machine has stopped reading */
		size_t read = side->count - before;
		add(blank, direction, bytes + read, count - read, MARK_FILL);
		side->line = side->count;
	}
	bool spoken = blank->run.client.said != said; /* the server has, and a new group begins here: dialogue_midway.h */
	if (dialogue_is_lost(&blank->run.client) && spoken)
		drop_guess(blank, before, blank->run.client.evidence);
	if (direction == FROM_CLIENT && !blank->failed && !spoken && is_idle(blank, before, state)) {
		side->count = side->line = before;
		blank->dot_seen = false;
	}
	return side->count - before;
}

bool blank_has_failed(const struct blank *blank)
{
	return blank->failed;
}

void blank_gap(struct blank *blank, enum direction direction)
{
	if (direction == FROM_CLIENT)
		dialogue_run_client_lost(&blank->run);
	else
		dialogue_run_server_lost(&blank->run);
}

static void fill(uint8_t *byte, enum mark mark, bool handshake_is_real)
{
	bool line_end = *byte == '\r' || *byte == '\n';
	switch (mark) {
	case MARK_PUBLIC:
		return;
	case MARK_HANDSHAKE:
		if (handshake_is_real)
			return;
		break;
	case MARK_BODY:
	case MARK_LINE: /* what is left of these is of a line without an end */
	case MARK_RESPONSE:
	case MARK_REPLY:
	case MARK_TOLD:
		if (line_end)
			return;
		break;
	case MARK_FILL:
		break;
	}
	*byte = BODY_FILL;
}

void blank_fill(struct blank *blank, bool handshake_is_real)
{
	const struct client_parser *client = &blank->run.client;
	if (blank->failed)
		return;
	if (dialogue_is_lost(client))
		drop_guess(blank, blank->side[FROM_CLIENT].count, false);
	else if (client->state == CLIENT_MECHANISM || client->state == CLIENT_INITIAL || client->state == CLIENT_REST ||
	    client->state == CLIENT_SIZE || client->state == CLIENT_RESPONSE)
		end_client_line(blank, client->verb, client->state == CLIENT_MECHANISM ? "?" : client->mechanism);
	for (int i = 0; i < 2; i++)
		for (size_t at = 0; at < blank->side[i].count; at++)
			fill(&blank->side[i].bytes[at], blank->side[i].marks[at], handshake_is_real);
}

const uint8_t *blank_bytes(const struct blank *blank, enum direction direction)
{
	return blank->side[direction].bytes;
}
