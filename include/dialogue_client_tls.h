/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The client's TLS records, and lines that only look like some. */
#ifndef SMTPWARD_DIALOGUE_CLIENT_TLS_H
#define SMTPWARD_DIALOGUE_CLIENT_TLS_H

#include "dialogue.h"

/* An alert behind the first application data is how TLS sessions end, and no failure. */
static __always_inline void client_alert(struct client_parser *client)
{
	const struct tls_record *record = &client->tls;
	if (client->facts & FACT(CLIENT_DATA))
		return;
	client->facts |= FACT(CLIENT_ALERT);
	if (client->alert == TLS_ALERT_NONE)
		client->alert = record->length == 2 ? record->second : TLS_ALERT_NOT_READABLE;
}

/* A record of the client's, as far as it can be read. */
static __always_inline void client_tls_record(struct client_parser *client)
{
	struct tls_record *record = &client->tls;
	switch (record->type) {
	case TLS_CHANGE_CIPHER_SPEC:
		record->encrypted = 1;
		break;
	case TLS_HANDSHAKE:
		if (tls_handshake_is_encrypted(record, TLS_CLIENT_HELLO)) {
			record->legacy = 1;
			client->facts |= FACT(CLIENT_FINISHED);
			client->demands |= DEMAND_TLS_FINISHED;
		} else if (record->first == TLS_CLIENT_HELLO) {
			client->facts |= FACT(CLIENT_HELLO);
			if (client->commands == 0 && !(client->facts & FACT(MIDWAY)))
				client->facts |= FACT(TLS_FROM_START);
		}
		break;
	case TLS_ALERT:
		client_alert(client);
		break;
	case TLS_DATA:
		if (!record->legacy && record->length <= TLS13_ALERT_LENGTH) {
			client_alert(client);
		} else if (!(client->facts & FACT(CLIENT_FINISHED))) {
			client->facts |= FACT(CLIENT_FINISHED);
			/* before the ServerHello it is early data (RFC 8446 section 2.3) */
			client->demands |= client->server_said_hello ? DEMAND_TLS_FINISHED : DEMAND_TLS_DATA;
			/* with a certificate before it: several records, one flight */
			client->finished_now = !tls13_is_finished(record->length);
		} else if (client->finished_now) {
			client->finished_now = !tls13_is_finished(record->length);
		} else {
			/* what follows a check that has failed is a QUIT, at most: one short record, and an alert */
			if ((client->facts & FACT(CLIENT_DATA)) || record->length > TLS_QUIT_MAX)
				client->facts |= FACT(CLIENT_PROCEEDED);
			client->facts |= FACT(CLIENT_DATA);
			client->demands |= DEMAND_TLS_DATA;
		}
		break;
	}
}

/*
 * The rest of a record need not be read, if the server takes it for one. As long as that does not show, it may as well
 * be lines to a server that answers the first of them with 500 and obeys the others.
 */
static __always_inline void client_record_start(struct client_parser *client)
{
	const struct tls_record *record = &client->tls;
	__u8 header_end = (__u8)record->length;
	int handshake = record->type == TLS_HANDSHAKE && record->length > 0;
	__u32 rest = tls_record_rest(&client->tls);
	if (client->server_in_tls) {
		client->skip = rest;
		return;
	}
	client->scan = header_end == '\n' ? handshake ? SCAN_VERB : SCAN_LINE : SCAN_REST;
	client->word = handshake ? ascii_upper(client->tls.first) : 0;
	client->word_length = handshake ? 1 : 0;
	client->number = rest;
	if (rest > 0)
		client->state = CLIENT_RECORD;
}

/* Plaintext in place of a record: the line that the last one ended in goes on. */
static __always_inline void client_leave_tls(struct client_parser *client)
{
	int between_records = client->tls.position == 1;
	client->left_tls = 1;
	client->verb = COMMAND_OTHER;
	client->state = between_records && client->scan == SCAN_VERB ? CLIENT_VERB : CLIENT_LINE;
}

/* Returns 1 if the byte was taken as TLS, 0 if it is plaintext. */
static __always_inline int client_tls_byte(struct client_parser *client, __u8 byte)
{
	switch (tls_record_byte(&client->tls, byte)) {
	case TLS_INVALID:
		client_leave_tls(client);
		return 0;
	case TLS_RECORD:
		client_tls_record(client);
		client_record_start(client);
		if ((client->facts & FACT(CLIENT_PROCEEDED)) && client->server_said_hello)
			client->state = CLIENT_OPAQUE; /* nothing is looked for any more */
		return 1;
	case TLS_MORE:
		break;
	}
	return 1;
}

/* n bytes of CLIENT_RECORD are read. */
static __always_inline void client_record_count(struct client_parser *client, __u32 n)
{
	client->number = client->number > n ? client->number - n : 0;
	if (client->number == 0)
		client->state = CLIENT_TLS;
}

/* A byte of CLIENT_RECORD. Returns 0 if it completes an AUTH or MAIL at the start of a line; then it is no TLS. */
static __always_inline int client_record_byte(struct client_parser *client, __u8 byte)
{
	__u8 verb;
	if (byte > ' ' && client->scan != SCAN_REST) {
		client->word = client->word << 8 | ascii_upper(byte);
		if (client->word_length < 255)
			client->word_length++;
		client->scan = SCAN_VERB;
	} else if (byte <= ' ' && byte != '\r' && client->scan == SCAN_VERB) {
		client->scan = SCAN_REST;
		verb = client_verb(client->word, client->word_length);
		if (verb == COMMAND_AUTH || verb == COMMAND_MAIL) {
			client->left_tls = 1;
			client->number = 0;
			client->state = CLIENT_VERB;
			return 0;
		}
	}
	if (byte == '\n') {
		client->scan = SCAN_LINE;
		client->word = 0;
		client->word_length = 0;
	}
	client_record_count(client, 1);
	return 1;
}

#endif
