/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the reader of a handshake keeps: handshake.c has its records, handshake_sequence.c the order of its messages. */
#ifndef SMTPWARD_HANDSHAKE_STATE_H
#define SMTPWARD_HANDSHAKE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_facts.h"

#define HANDSHAKE_RECORD_HEADER 5
#define HANDSHAKE_MESSAGE_HEADER 4

enum message {
	HELLO_REQUEST = 0,
	CLIENT_HELLO = 1,
	SERVER_HELLO = 2,
	NEW_SESSION_TICKET = 4,
	CERTIFICATE = 11,
	SERVER_KEY_EXCHANGE = 12,
	CERTIFICATE_REQUEST = 13,
	SERVER_HELLO_DONE = 14,
	CLIENT_KEY_EXCHANGE = 16,
	FINISHED = 20,
};

/* One direction. */
struct side {
	struct tls_stream *stream; /* its part of the facts */
	bool stopped;
	uint64_t taken; /* bytes, of the records that are complete */
	uint8_t header[HANDSHAKE_RECORD_HEADER];
	uint8_t header_taken;
	uint16_t length; /* of the record's payload */
	uint16_t left;	 /* of it, still to come */
	uint8_t pair[2]; /* of an alert */
	uint8_t pair_taken;
	bool doubtful;	   /* this handshake record may be encrypted: its first bytes will tell */
	bool hello;	   /* the side's first message was there */
	bool key_exchange; /* the client's */
	uint8_t empty_records;
	uint8_t *message; /* the message that is incomplete, and what came behind it */
	size_t message_taken;
	size_t message_size;
	uint8_t *certificates;
};

struct handshake {
	struct side side[2]; /* by enum direction */
	struct tls_facts facts;
};

/* Ends the reading of a direction, with the reason in its facts. */
void handshake_stop(struct side *side);
void handshake_stop_malformed(struct side *side);
void handshake_stop_over_limit(struct side *side);

/* The server has chosen TLS 1.3: what it sends from here on is encrypted, but for a ChangeCipherSpec of no meaning. */
bool handshake_server_is_tls13(const struct handshake *handshake);

/* Takes the messages of this direction that are complete. */
void handshake_take_messages(struct handshake *handshake, enum direction direction);

/* Sets the facts that need both directions. */
void handshake_conclude(struct tls_facts *facts);

#endif
