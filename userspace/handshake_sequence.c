/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which handshake message may come when, and what follows from both directions together. */
#include <stdlib.h>
#include <string.h>

#include "handshake.h"
#include "handshake_message.h"
#include "handshake_state.h"
#include "tls_names.h"

void handshake_stop(struct side *side)
{
	side->stopped = true;
	free(side->message);
	side->message = NULL;
	side->message_taken = side->message_size = 0;
}

void handshake_stop_malformed(struct side *side)
{
	side->stream->malformed = true;
	handshake_stop(side);
}

void handshake_stop_over_limit(struct side *side)
{
	side->stream->over_limit = true;
	handshake_stop(side);
}

bool handshake_server_is_tls13(const struct handshake *handshake)
{
	return handshake->facts.server.hello && handshake->facts.server.version >= TLS_VERSION_13;
}

static bool take_client_hello(struct side *side, struct reader body, struct tls_client_facts *facts)
{
	if (facts->hellos == 0)
		return client_hello_take(body, facts);
	return facts->hellos == 1 && !side->key_exchange && client_hello_again(body, facts);
}

static bool take_certificates(struct side *side, struct reader body, bool raw_public_key)
{
	bool no_memory;
	if (side->stream->certificates.seen)
		return false;
	if (raw_public_key)
		return true;
	bool good = certificates_take(body, &side->stream->certificates, &side->certificates, &no_memory);
	if (no_memory)
		handshake_stop_over_limit(side);
	return good;
}

static bool take_client_message(struct handshake *handshake, uint8_t type, struct reader body)
{
	struct side *side = &handshake->side[FROM_CLIENT];
	if (!side->hello && type != CLIENT_HELLO)
		return false;
	side->hello = true;
	switch (type) {
	case CLIENT_HELLO: return take_client_hello(side, body, &handshake->facts.client);
	case CERTIFICATE: return take_certificates(side, body, false);
	case CLIENT_KEY_EXCHANGE: return side->key_exchange = true;
	case FINISHED: return false;
	default: return true;
	}
}

static bool take_server_hello(struct handshake *handshake, struct reader body)
{
	struct tls_server_facts *facts = &handshake->facts.server;
	bool retried = facts->hello_retry_request;
	if (facts->hello || !server_hello_take(body, facts))
		return false;
	return facts->hello || !retried;
}

static bool take_server_message(struct handshake *handshake, uint8_t type, struct reader body)
{
	struct side *side = &handshake->side[FROM_SERVER];
	struct tls_server_facts *facts = &handshake->facts.server;
	if (type == HELLO_REQUEST)
		return body.left == 0;
	if (type == SERVER_HELLO) {
		side->hello = true;
		return take_server_hello(handshake, body);
	}
	if (!facts->hello)
		return false;
	switch (type) {
	case CERTIFICATE: return take_certificates(side, body, facts->raw_public_key);
	case SERVER_KEY_EXCHANGE: return server_key_exchange_take(body, facts);
	case NEW_SESSION_TICKET: return new_session_ticket_take(body, facts);
	case CERTIFICATE_REQUEST: return facts->certificate_request = true;
	case SERVER_HELLO_DONE: return facts->hello_done = true;
	case FINISHED: return false;
	default: return true;
	}
}

static bool take_message(struct handshake *handshake, enum direction direction, uint8_t type, struct reader body)
{
	return direction == FROM_CLIENT ? take_client_message(handshake, type, body)
					: take_server_message(handshake, type, body);
}

/* Takes the messages that are complete. Keys change at the end of a record only (RFC 8446 section 5.1), so nothing
 * may stand behind a ServerHello of TLS 1.3. */
void handshake_take_messages(struct handshake *handshake, enum direction direction)
{
	struct side *side = &handshake->side[direction];
	struct reader rest = { side->message, side->message_taken };
	while (rest.left >= HANDSHAKE_MESSAGE_HEADER) {
		struct reader message = rest, body;
		uint8_t type;
		if (direction == FROM_SERVER && handshake_server_is_tls13(handshake)) {
			handshake_stop_malformed(side);
			return;
		}
		size_t length = (size_t)rest.at[1] << 16 | (size_t)rest.at[2] << 8 | rest.at[3];
		if (length > HANDSHAKE_MESSAGE_MAX) {
			handshake_stop_over_limit(side);
			return;
		}
		if (!read_u8(&message, &type) || !read_vector(&message, 3, &body))
			break;
		rest = message;
		if (!take_message(handshake, direction, type, body)) {
			handshake_stop_malformed(side);
			return;
		}
		if (side->stopped)
			return;
	}
	if (rest.left > 0)
		memmove(side->message, rest.at, rest.left);
	side->message_taken = rest.left;
}

/* What needs both directions. Up to TLS 1.2 a resumed session is known by what follows the ServerHello; until then
 * by the echo of the client's session id, which a client with a ticket makes up for this purpose (RFC 5077). */
static enum tls_resumed resumed_of(const struct tls_facts *facts)
{
	const struct tls_server_facts *server = &facts->server;
	const struct tls_session_id *id = &server->session_id;
	if (!server->hello)
		return TLS_RESUMED_UNKNOWN;
	if (server->version >= TLS_VERSION_13)
		return server->psk ? TLS_RESUMED_YES : TLS_RESUMED_NO;
	if (server->hello_done || server->group || server->dh_bits || facts->stream[FROM_SERVER].certificates.seen)
		return TLS_RESUMED_NO;
	if (facts->stream[FROM_SERVER].change_cipher_spec)
		return TLS_RESUMED_YES;
	if (id->length > 0 && id->length == facts->client.session_id.length &&
	    memcmp(id->bytes, facts->client.session_id.bytes, id->length) == 0)
		return TLS_RESUMED_YES;
	return TLS_RESUMED_UNKNOWN;
}

void handshake_conclude(struct tls_facts *facts)
{
	facts->resumed = resumed_of(facts);
	facts->downgrade = facts->server.hello && facts->server.sentinel != TLS_SENTINEL_NONE &&
			   facts->client.version_max > facts->server.version;
}
