/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The client's direction of the dialogue machine: commands and message content. */
#ifndef SMTPWARD_DIALOGUE_CLIENT_H
#define SMTPWARD_DIALOGUE_CLIENT_H

#include "dialogue_client_sasl.h"
#include "dialogue_client_tls.h"
#include "dialogue_midway.h"

static __always_inline int client_in_body(const struct client_parser *client)
{
	return client->state >= CLIENT_BODY;
}

static __always_inline int client_in_tls(const struct client_parser *client)
{
	return client->state == CLIENT_TLS || client->state == CLIENT_RECORD;
}

/* The parse cap is reached, in bytes or in the work that they make. */
static __always_inline void client_give_up(struct client_parser *client)
{
	client->facts |= FACT(CLIENT_CAP);
	client->demands |= DEMAND_CAP;
	client->state = CLIENT_OPAQUE;
}

/* Whether the server has answered all that the client sent; then *code is its last reply's. */
static __always_inline int client_is_answered(const struct client_parser *client, const struct server_parser *server)
{
	return (__s32)(server->replies - client->commands) >= 0;
}

/* Notes the end of a line that the server will answer. */
static __always_inline void client_expects_reply(struct client_parser *client, const struct server_parser *server,
						 __u8 command)
{
	__u32 ordinal = ++client->commands;
	if (command == COMMAND_OTHER || command > COMMAND_DATA)
		return;
	if ((__u8)(client->pending_head - server->pending_tail) >= PENDING_MAX) {
		client_give_up(client); /* no real client has so many under way, and what comes next could be an AUTH */
		return;
	}
	client->pending[MASKED_INDEX(client->pending_head, PENDING_MAX - 1)] = ordinal << 8 | command;
	client->pending_head++;
}

/* The first word of a line is complete. */
static __always_inline void client_verb_end(struct client_parser *client)
{
	__u8 verb = client_verb(client->word, client->word_length);
	client->verb = verb;
	client->state = CLIENT_REST;
	if (dialogue_is_lost(client) && !client_verb_is_possible(client, verb)) {
		client_lose(client);
		return;
	}
	if (verb != COMMAND_OTHER && client->implicit_tls && !(client->facts & FACT(CLIENT_HELLO)))
		client->facts |= FACT(PLAIN_ON_TLS_PORT);
	switch (verb) {
	case COMMAND_AUTH:
		client->facts |= FACT(AUTH_CLEAR);
		client->demands |= DEMAND_AUTH;
		client->state = CLIENT_MECHANISM;
		client->mechanism_length = 0;
		client->mechanism_cases = 0;
		__builtin_memset(client->mechanism, 0, sizeof(client->mechanism));
		client_forget_account(client);
		client_response_start(client);
		break;
	case COMMAND_MAIL:
		client->facts |= FACT(MAIL_CLEAR);
		client->demands |= DEMAND_MAIL;
		break;
	case COMMAND_BDAT:
		client->state = CLIENT_SIZE;
		client->number = 0;
		client->response_length = 0;
		break;
	}
}

/* LF: the command is complete. */
static __always_inline void client_line_end(struct client_parser *client, const struct server_parser *server)
{
	__u8 verb = client->verb;
	client->after = verb;
	client->state = CLIENT_LINE;
	client->lines++;
	switch (verb) {
	case COMMAND_EHLO:
		client->facts |= FACT(EHLO_SENT);
		break;
	case COMMAND_HELO:
		client->facts |= FACT(HELO_SENT);
		break;
	case COMMAND_RCPT:
		client->facts |= FACT(RECIPIENT_CLEAR);
		break;
	case COMMAND_QUIT:
		client->facts |= FACT(QUIT_SENT);
		break;
	case COMMAND_STARTTLS:
		if (client->facts & (FACT(CREDENTIAL_CLEAR) | FACT(MAIL_CLEAR)))
			client->facts |= FACT(STARTTLS_LATE);
		client->facts |= FACT(STARTTLS_ASKED);
		client->anonymoustls = client->word_length == ANONYMOUSTLS_LENGTH;
		break;
	case COMMAND_AUTH:
		client_response_end(client);
		break;
	case COMMAND_BDAT:
		/*
		 * Without a MAIL the server counts no chunk for sure, and a skip could hide an AUTH behind it. Joined midway,
		 * the MAIL may have passed by, and a chunk is no dialogue.
		 */
		if (client->facts & (FACT(MAIL_CLEAR) | FACT(MIDWAY))) {
			client->skip = client->number;
			client->facts |= FACT(CONTENT_CLEAR);
		}
		break;
	}
	client_expects_reply(client, server, verb);
}

/* The type byte of a flow's first record, or of the first after a line, is read. */
static __always_inline void client_tls_start(struct client_parser *client)
{
	client->tls.type = TLS_HANDSHAKE;
	client->tls.position = 1;
}

/* The first byte of a line: what the line is depends on the command before it. Returns the state to go on in. */
static __always_inline __u8 client_line_start(struct client_parser *client, const struct server_parser *server, __u8 byte)
{
	int answered = client_is_answered(client, server);
	__u16 code = server->last_code;
	if (dialogue_is_lost(client)) {
		client->word = 0;
		client->word_length = 0;
		client->verb = COMMAND_OTHER;
		return client_line_is_possible(client, byte) ? CLIENT_VERB : CLIENT_LOST;
	}
	if (byte == TLS_HANDSHAKE) {
		client_tls_start(client);
		return CLIENT_TLS;
	}
	client->word = 0;
	client->word_length = 0;
	client->verb = COMMAND_OTHER;
	if (server->in_reply && server->later_line && server->kind == COMMAND_EHLO)
		client->cut = server->replies + 1;
	switch (client->after) {
	case COMMAND_DATA:
		if (!(client->facts & (FACT(MAIL_CLEAR) | FACT(MIDWAY))) || (answered && code != 354))
			break;
		client->facts |= FACT(CONTENT_CLEAR);
		client->unsolicited = server->unsolicited;
		client->after = COMMAND_OTHER;
		return CLIENT_BODY_CRLF;
	case COMMAND_AUTH:
		if (answered && code != 334)
			break;
		client_response_start(client);
		if (byte != '*')
			client->demands |= DEMAND_CREDENTIAL;
		return CLIENT_RESPONSE;
	case COMMAND_LHLO:
		if (answered && code >= 200 && code < 300) /* an SMTP server refuses it, and takes a MAIL all the same */
			client->facts |= FACT(LHLO_SENT);
		break;
	case COMMAND_STARTTLS:
		if (!answered)
			client->facts |= FACT(COMMAND_INJECTED);
		else if (code >= 200 && code < 300 && !(client->facts & FACT(CLIENT_HELLO)))
			client->facts |= FACT(PLAIN_AFTER_STARTTLS);
		break;
	}
	return CLIENT_VERB;
}

/* The end of a line in a SASL exchange. */
static __always_inline void client_response_line_end(struct client_parser *client, const struct server_parser *server)
{
	client->state = CLIENT_LINE;
	/* Some clients say QUIT in the middle of an exchange; as base64 it would be three bytes, no credential. */
	if (client->word_length == 4 && (__u32)client->word == WORD4('Q', 'U', 'I', 'T')) {
		client->facts |= FACT(QUIT_SENT);
		client_expects_reply(client, server, COMMAND_OTHER);
		client->after = COMMAND_OTHER;
		return;
	}
	client_response_end(client);
	client->account_step = ACCOUNT_NOT_READ; /* even if it was empty: LOGIN's next one is the password */
	client->word = 0; /* the end of a response: not to be found in a dump of the map */
	client->after = COMMAND_AUTH;
	client_expects_reply(client, server, COMMAND_AUTH);
}

static __always_inline void client_body_byte(struct client_parser *client, __u8 byte)
{
	__u8 state = client->state;
	if (byte == '\n' && state == CLIENT_BODY_DOT_CR) {
		client->state = CLIENT_LINE;
		client->commands++; /* the end of the message is answered, too */
	} else if (byte == '\n' && state == CLIENT_BODY_CR) {
		client->state = CLIENT_BODY_CRLF;
	} else if (byte == '\r') {
		client->state = state == CLIENT_BODY_DOT ? CLIENT_BODY_DOT_CR : CLIENT_BODY_CR;
	} else {
		client->state = byte == '.' && state == CLIENT_BODY_CRLF ? CLIENT_BODY_DOT : CLIENT_BODY;
	}
}

/*
 * In place of a SASL response: a client that pipelines behind AUTH with an initial response. A response is base64
 * and has no blank in it.
 */
static __always_inline int client_response_is_command(const struct client_parser *client, __u8 byte)
{
	return client->state == CLIENT_RESPONSE && byte == ' ' &&
	       client_verb(client->word, client->word_length) != COMMAND_OTHER;
}

/*
 * Takes one byte of the client's. The caller has made sure that client->skip is 0 and the state is not
 * CLIENT_OPAQUE.
 */
static __always_inline void client_byte(struct client_parser *client, const struct server_parser *server, __u8 byte)
{
	if (client_in_body(client)) {
		client_body_byte(client, byte);
		return;
	}
	if (client->state == CLIENT_TLS) {
		if (client_tls_byte(client, byte))
			return;
		if (server->facts & FACT(SERVER_GAP)) { /* as in client_segment_start(); these were no records, then */
			client->facts |= FACT(CLIENT_GAP);
			client->state = CLIENT_OPAQUE;
			return;
		}
	}
	if (client->state == CLIENT_RECORD && client_record_byte(client, byte))
		return;
	if (byte == '\r')
		return;
	if (client->state == CLIENT_LINE) {
		if (byte_is_blank(byte))
			return; /* some servers skip leading blanks */
		client->state = client_line_start(client, server, byte);
		if (client->state == CLIENT_TLS)
			return;
		if (client_in_body(client)) {
			client_body_byte(client, byte);
			return;
		}
	}
	__u8 state = client->state;
	if (state == CLIENT_VERB || state == CLIENT_RESPONSE) {
		if ((state == CLIENT_VERB && byte <= ' ') || client_response_is_command(client, byte)) {
			client_verb_end(client);
			state = byte == '\n' ? CLIENT_REST : client->state;
		} else if (byte != '\n') {
			client->word = client->word << 8 | ascii_upper(byte);
			if (client->word_length < 255)
				client->word_length++;
		}
	}
	if (client->state == CLIENT_LOST)
		return;
	if (byte == '\n') {
		if (state == CLIENT_RESPONSE)
			client_response_line_end(client, server);
		else {
			if (client->state == CLIENT_MECHANISM)
				client_mechanism_end(client);
			client_line_end(client, server);
		}
		return;
	}
	switch (state) {
	case CLIENT_RESPONSE:
	case CLIENT_INITIAL:
		if (byte > ' ')
			client_response_byte(client, byte);
		else if (client->response_length > 0)
			client_account_end(client);
		break;
	case CLIENT_MECHANISM:
		if (byte > ' ') {
			client_mechanism_byte(client, byte);
		} else if (client->mechanism_length > 0) {
			client_mechanism_end(client);
			client->state = CLIENT_INITIAL;
		}
		break;
	case CLIENT_SIZE:
		if (byte >= '0' && byte <= '9' && client->number < 1ULL << 60) {
			client->number = client->number * 10 + byte - '0';
			client->response_length = 1;
		} else if (byte > ' ') { /* chunk-size = 1*DIGIT (RFC 3030): anything else is no chunk */
			client->number = 0;
			client->state = CLIENT_REST;
		} else if (client->response_length > 0) {
			client->state = CLIENT_REST;
		}
		break;
	}
}

/*
 * Takes those of the n bytes, 64 at most, that only lengthen a word or are passed over: until the first that can
 * change the state. Returns how many. client_byte() would do the same with each of them, but at the price of the
 * whole machine, both for the processor and for the verifier.
 */
static __always_inline __u32 client_run(struct client_parser *client, const __u8 *bytes, __u32 n)
{
	__u8 state = client->state;
	__u32 i = 0;
	if (client->skip)
		return 0;
	if (state == CLIENT_VERB) {
		__u64 word = client->word;
		for (; i < 16 && i < n && bytes[i] > ' '; i++)
			word = word << 8 | ascii_upper(bytes[i]);
		client->word = word;
		client->word_length = client->word_length + i < 255 ? (__u8)(client->word_length + i) : 255;
		return i;
	}
	if (state == CLIENT_RECORD) {
		if (client->scan != SCAN_REST)
			return 0;
		if (n > client->number)
			n = (__u32)client->number;
		i = bytes_until(bytes, n, '\n');
		client_record_count(client, i);
		return i;
	}
	int to_line_end = state == CLIENT_REST || (state == CLIENT_INITIAL && client->account_step == ACCOUNT_NOT_READ &&
						   client->response_length > 1);
	if (!to_line_end && state != CLIENT_BODY)
		return 0;
	return bytes_until(bytes, n, to_line_end ? '\n' : '\r');
}

/* At the start of each of the client's segments. */
static __always_inline void client_segment_start(struct client_parser *client, const struct server_parser *server)
{
	client->demands = 0;
	client->finished_now = 0;
	/* What a line means may hang on a reply that was not read, so nothing is read any more; but a TLS record is one. */
	if ((server->facts & FACT(SERVER_GAP)) && !client_in_tls(client))
		client->state = CLIENT_OPAQUE;
	client->server_in_tls = (server->facts & (FACT(SERVER_HELLO) | FACT(SERVER_GAP))) ||
				(client->server_unseen && (client->facts & FACT(CLIENT_FINISHED))) || /* which answers a hello */
				(server->facts & (FACT(STARTTLS_ACCEPTED) | FACT(SERVER_PLAIN_REPLY))) == FACT(STARTTLS_ACCEPTED);
	client->server_said_hello = (server->facts & (FACT(SERVER_HELLO) | FACT(SERVER_GAP))) != 0;
	if (client->state == CLIENT_RECORD && client->server_in_tls) {
		client->skip = client->number;
		client->state = CLIENT_TLS;
	}
	/*
	 * The end of a DATA body may stand in the middle of a long segment, with pipelined commands behind it. The
	 * server's yes to the message tells that it has come, unless another DATA is among them.
	 */
	if (client_in_body(client) && server->unsolicited != client->unsolicited && server->last_code != 354) {
		client->state = CLIENT_LINE;
		client->after = COMMAND_OTHER;
	}
	if (dialogue_is_lost(client))
		client_find_dialogue(client, server);
}

/*
 * More work than mail ever makes. It could hide an AUTH, unless the server speaks TLS: then all that is lost is where
 * the records begin.
 */
static __always_inline void client_overworked(struct client_parser *client)
{
	if (!client_in_tls(client) || !client->server_in_tls) {
		client_give_up(client);
		return;
	}
	client->facts |= FACT(CLIENT_GAP);
	client->state = CLIENT_OPAQUE;
}

/* Counts bytes against the cap; message content and TLS are free. */
static __always_inline void client_count(struct client_parser *client, __u32 bytes)
{
	if (client_in_body(client) || client_in_tls(client))
		return;
	client->parsed += bytes;
	if (client->parsed > CLIENT_CAP_BYTES && client->state != CLIENT_OPAQUE)
		client_give_up(client);
}

/* Whether client_skip() would pass over some of the length bytes that are left: then no more of them are read one by one. */
static __always_inline int client_skip_is_due(const struct client_parser *client, __u32 length)
{
	return client->state == CLIENT_OPAQUE || client->state == CLIENT_LOST || client->skip > 0 || (client_in_body(client) && length > BODY_TAIL);
}

/*
 * How many of the next bytes need not be read, with length bytes left in the segment; they are counted off.
 * 0: the next byte is to be read.
 */
static __always_inline __u32 client_skip(struct client_parser *client, __u32 length)
{
	if (client->state == CLIENT_OPAQUE || client->state == CLIENT_LOST)
		return length;
	if (client->skip > 0) {
		__u32 skip = client->skip < length ? (__u32)client->skip : length;
		client->skip -= skip;
		return skip;
	}
	if (client_in_body(client) && length > BODY_TAIL) {
		client->state = CLIENT_BODY;
		return length - BODY_TAIL;
	}
	return 0;
}

#endif
