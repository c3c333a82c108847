/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "handshake.h"
#include "handshake_state.h"

#define PLAINTEXT_MAX 16384	  /* RFC 8446 section 5.1 */
#define RECORD_MAX (16384 + 2048) /* RFC 5246 section 6.2.3 */
#define HELLO_HEAD 6		  /* message header and legacy_version */

enum content { CHANGE_CIPHER_SPEC = 20, ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT };

struct handshake *handshake_new(void)
{
	struct handshake *handshake = calloc(1, sizeof(*handshake));
	for (int i = FROM_CLIENT; handshake && i <= FROM_SERVER; i++)
		handshake->side[i].stream = &handshake->facts.stream[i];
	return handshake;
}

void handshake_free(struct handshake *handshake)
{
	for (int i = FROM_CLIENT; handshake && i <= FROM_SERVER; i++) {
		free(handshake->side[i].message);
		free(handshake->side[i].certificates);
	}
	free(handshake);
}

const struct tls_facts *handshake_facts(const struct handshake *handshake)
{
	return &handshake->facts;
}

bool handshake_wants(const struct handshake *handshake, enum direction direction)
{
	return !handshake->side[direction].stopped;
}

/* A handshake message that is only half there cannot be followed by anything encrypted. */
static void stop_encrypted(struct side *side)
{
	if (!side->hello || (side->message_taken > 0 && !side->doubtful)) {
		handshake_stop_malformed(side);
		return;
	}
	side->stream->encrypted = true;
	side->stream->encrypted_at = side->taken;
	handshake_stop(side);
}

void handshake_lost(struct handshake *handshake, enum direction direction)
{
	struct side *side = &handshake->side[direction];
	if (side->stopped)
		return;
	side->stream->lost = true;
	handshake_stop(side);
}

static bool make_room(struct side *side, size_t n)
{
	size_t size = side->message_size ? side->message_size : 1024;
	while (size < side->message_taken + n)
		size *= 2;
	if (size == side->message_size)
		return true;
	uint8_t *message = realloc(side->message, size);
	if (!message)
		return false;
	side->message = message;
	side->message_size = size;
	return true;
}

/*
 * After the client's ChangeCipherSpec comes its encrypted Finished, or (TLS 1.3) a ClientHello that answers a
 * HelloRetryRequest. The latter begins with its type, a length that fills the record or goes beyond it, and version 3.3.
 */
static bool begins_client_hello(const struct side *side)
{
	const uint8_t *head = side->message;
	if (side->message_taken < HELLO_HEAD || head[0] != CLIENT_HELLO || head[1] != 0 || head[4] != 3 || head[5] != 3)
		return false;
	return HANDSHAKE_MESSAGE_HEADER + ((size_t)head[2] << 8 | head[3]) >= side->length;
}

static void take_handshake(struct handshake *handshake, enum direction direction, const uint8_t *bytes, size_t n)
{
	struct side *side = &handshake->side[direction];
	if (!make_room(side, n)) {
		handshake_stop_over_limit(side);
		return;
	}
	memcpy(side->message + side->message_taken, bytes, n);
	side->message_taken += n;
	if (side->doubtful) {
		if (side->message_taken < HELLO_HEAD)
			return;
		if (!begins_client_hello(side)) {
			stop_encrypted(side);
			return;
		}
		side->doubtful = false;
	}
	handshake_take_messages(handshake, direction);
}

static void take_alert(struct side *side, const uint8_t *bytes, size_t n)
{
	struct tls_stream *stream = side->stream;
	for (size_t i = 0; i < n; i++) {
		side->pair[side->pair_taken++] = bytes[i];
		if (side->pair_taken < 2)
			continue;
		side->pair_taken = 0;
		if (stream->alerts_sent < TLS_ALERTS_MAX) {
			struct tls_alert *alert = &stream->alerts[stream->alerts_sent];
			alert->level = side->pair[0];
			alert->description = side->pair[1];
			alert->at = side->taken;
		}
		if (stream->alerts_sent < UINT8_MAX)
			stream->alerts_sent++;
	}
}

/* RFC 8446 appendix D.4: in TLS 1.3 it has no meaning, and may come between the two hellos too. */
static void take_change_cipher_spec(struct side *side, uint8_t byte)
{
	struct tls_stream *stream = side->stream;
	if (byte != 1) {
		handshake_stop_malformed(side);
		return;
	}
	if (!stream->change_cipher_spec)
		stream->change_cipher_spec_at = side->taken;
	stream->change_cipher_spec = true;
}

static void begin_handshake(struct handshake *handshake, enum direction direction)
{
	struct side *side = &handshake->side[direction];
	const struct tls_server_facts *server = &handshake->facts.server;
	if (side->length > PLAINTEXT_MAX && !side->stream->change_cipher_spec)
		handshake_stop_malformed(side);
	else if (direction == FROM_SERVER && handshake_server_is_tls13(handshake))
		handshake_stop_malformed(side);
	else if (!side->stream->change_cipher_spec)
		return;
	else if (direction == FROM_SERVER && server->hello)
		stop_encrypted(side);
	else if (direction == FROM_CLIENT && (side->key_exchange || side->length < HELLO_HEAD))
		stop_encrypted(side);
	else
		side->doubtful = direction == FROM_CLIENT && side->message_taken == 0;
}

/* In clear it is two bytes long; behind a ChangeCipherSpec anything else is encrypted. */
static void begin_alert(struct side *side)
{
	if (side->length == 2)
		return;
	if (side->stream->change_cipher_spec)
		stop_encrypted(side);
	else if (side->length % 2 != 0 || side->length > 2 * TLS_ALERTS_MAX)
		handshake_stop_malformed(side);
}

static void begin_application_data(struct handshake *handshake, enum direction direction)
{
	struct side *side = &handshake->side[direction];
	bool keys = direction == FROM_CLIENT || handshake_server_is_tls13(handshake) ||
		    side->stream->change_cipher_spec;
	if (keys)
		stop_encrypted(side);
	else
		handshake_stop_malformed(side);
}

static bool is_sslv2_hello(const uint8_t header[HANDSHAKE_RECORD_HEADER])
{
	return (header[0] & 0x80) && header[2] == CLIENT_HELLO && (header[3] == 3 || header[3] == 0);
}

static void take_sslv2_hello(struct side *side, struct tls_client_facts *facts)
{
	facts->sslv2 = true;
	facts->legacy_version = (uint16_t)(side->header[3] << 8 | side->header[4]);
	facts->version_max = facts->legacy_version;
	handshake_stop(side);
}

static bool header_is_valid(const struct side *side)
{
	return side->header[0] >= CHANGE_CIPHER_SPEC && side->header[0] <= HEARTBEAT && side->header[1] == 3 &&
	       side->header[2] <= 4 && side->length <= RECORD_MAX;
}

static void begin_content(struct handshake *handshake, enum direction direction)
{
	struct side *side = &handshake->side[direction];
	switch (side->header[0]) {
	case CHANGE_CIPHER_SPEC:
		if (side->length != 1 || !side->hello || side->message_taken > 0)
			handshake_stop_malformed(side);
		break;
	case ALERT: begin_alert(side); break;
	case HANDSHAKE: begin_handshake(handshake, direction); break;
	case APPLICATION_DATA: begin_application_data(handshake, direction); break;
	default: break;
	}
}

static void begin_record(struct handshake *handshake, enum direction direction)
{
	struct side *side = &handshake->side[direction];
	struct tls_stream *stream = side->stream;
	side->length = side->left = (uint16_t)(side->header[3] << 8 | side->header[4]);
	if (direction == FROM_CLIENT && side->taken == 0 && is_sslv2_hello(side->header)) {
		take_sslv2_hello(side, &handshake->facts.client);
		return;
	}
	if (!header_is_valid(side)) {
		handshake_stop_malformed(side);
		return;
	}
	if (side->length == 0 && side->header[0] != APPLICATION_DATA &&
	    ++side->empty_records > HANDSHAKE_EMPTY_RECORDS_MAX) {
		handshake_stop_malformed(side);
		return;
	}
	begin_content(handshake, direction);
	if (side->stopped)
		return;
	if (side->taken + HANDSHAKE_RECORD_HEADER + side->length > HANDSHAKE_BYTES_MAX) {
		handshake_stop_over_limit(side);
		return;
	}
	stream->record_version_last = (uint16_t)(side->header[1] << 8 | side->header[2]);
	if (!stream->record_version)
		stream->record_version = stream->record_version_last;
}

static void take_payload(struct handshake *handshake, enum direction direction, const uint8_t *bytes, size_t n)
{
	struct side *side = &handshake->side[direction];
	side->left = (uint16_t)(side->left - n);
	switch (side->header[0]) {
	case CHANGE_CIPHER_SPEC: take_change_cipher_spec(side, bytes[0]); break;
	case ALERT: take_alert(side, bytes, n); break;
	case HANDSHAKE: take_handshake(handshake, direction, bytes, n); break;
	default: break;
	}
}

/* Takes a part of the header, or of the payload of one record. Returns how much. */
static size_t take_some(struct handshake *handshake, enum direction direction, const uint8_t *bytes, size_t n)
{
	struct side *side = &handshake->side[direction];
	if (side->header_taken < HANDSHAKE_RECORD_HEADER) {
		side->header[side->header_taken++] = *bytes;
		n = 1;
		if (side->header_taken == HANDSHAKE_RECORD_HEADER)
			begin_record(handshake, direction);
	} else {
		n = n < side->left ? n : side->left;
		take_payload(handshake, direction, bytes, n);
	}
	if (side->header_taken == HANDSHAKE_RECORD_HEADER && side->left == 0) {
		side->taken += HANDSHAKE_RECORD_HEADER + side->length;
		side->header_taken = 0;
		side->doubtful = false;
	}
	return n;
}

bool handshake_take(struct handshake *handshake, enum direction direction, const uint8_t *bytes, size_t n)
{
	struct side *side = &handshake->side[direction];
	while (n > 0 && !side->stopped) {
		size_t taken = take_some(handshake, direction, bytes, n);
		bytes += taken;
		n -= taken;
	}
	handshake_conclude(&handshake->facts);
	return !side->stopped;
}
