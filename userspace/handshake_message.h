/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The content of single handshake messages; handshake.c is the only one to call these. */
#ifndef SMTPWARD_HANDSHAKE_MESSAGE_H
#define SMTPWARD_HANDSHAKE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_facts.h"

#define TLS_EXTENSIONS_MAX 128 /* one hello's; real ones have less than 30 */

enum tls_extension {
	EXTENSION_SERVER_NAME = 0,
	EXTENSION_STATUS_REQUEST = 5,
	EXTENSION_SUPPORTED_GROUPS = 10,
	EXTENSION_SIGNATURE_ALGORITHMS = 13,
	EXTENSION_ALPN = 16,
	EXTENSION_CLIENT_CERTIFICATE_TYPE = 19,
	EXTENSION_SERVER_CERTIFICATE_TYPE = 20,
	EXTENSION_EXTENDED_MASTER_SECRET = 23,
	EXTENSION_SESSION_TICKET = 35,
	EXTENSION_PRE_SHARED_KEY = 41,
	EXTENSION_EARLY_DATA = 42,
	EXTENSION_SUPPORTED_VERSIONS = 43,
	EXTENSION_KEY_SHARE = 51,
	EXTENSION_ENCRYPTED_CLIENT_HELLO = 0xfe0d,
	EXTENSION_RENEGOTIATION_INFO = 0xff01,
};

/* Bytes still to be read. Each read_ function returns false, and reads nothing, where there are too few. */
struct reader {
	const uint8_t *at;
	size_t left;
};

bool read_number(struct reader *reader, unsigned bytes, uint32_t *value); /* big-endian, up to 4 bytes */
bool read_u8(struct reader *reader, uint8_t *value);
bool read_u16(struct reader *reader, uint16_t *value);
bool read_bytes(struct reader *reader, size_t n, const uint8_t **bytes);
/* A vector behind a length of length_bytes (RFC 8446 section 3.4). */
bool read_vector(struct reader *reader, unsigned length_bytes, struct reader *content);
/* All that is left, as 16-bit numbers. */
bool read_list(struct reader *reader, struct tls_list *list);
bool read_session_id(struct reader *reader, struct tls_session_id *id);
/* The next protocol name of an ALPN list. */
bool read_protocol(struct reader *reader, struct tls_protocol *protocol);

/* Extensions of a hello: their types in order, for the fingerprint and to refuse a repeated one. */
struct extension_types {
	size_t count;
	uint16_t values[TLS_EXTENSIONS_MAX];
};

/* Takes one extension of a hello. Returns false where its content is malformed. */
typedef bool extension_take(uint16_t type, struct reader content, void *context);
/* All that is left is the extensions block, or nothing. Returns false where it is malformed. */
bool read_extensions(struct reader *reader, struct extension_types *types, extension_take *take, void *context);

void ticket_take(struct tls_ticket *ticket, const struct reader *content);

/* These take a message's body. They return false where it is malformed; facts may then hold a part of it. */
bool client_hello_take(struct reader body, struct tls_client_facts *facts);
/* The ClientHello that answers a HelloRetryRequest. */
bool client_hello_again(struct reader body, struct tls_client_facts *facts);
/* ServerHello or HelloRetryRequest. */
bool server_hello_take(struct reader body, struct tls_server_facts *facts);
bool server_key_exchange_take(struct reader body, struct tls_server_facts *facts);
bool new_session_ticket_take(struct reader body, struct tls_server_facts *facts);
/* store gets the certificates' bytes (to be freed by the caller), NULL where there are none. *no_memory: true
 * where there was none for them. */
bool certificates_take(struct reader body, struct tls_certificates *certificates, uint8_t **store, bool *no_memory);

#endif
