/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads the clear part of a TLS handshake, both directions, as it comes: in order within a direction, in chunks
 * of any size. Records and messages are put together again; each direction is read until it turns encrypted, or
 * until something makes it unreadable. Nothing here does I/O, looks at a clock or trusts a byte.
 *
 * The result does not depend on how the bytes are cut, nor on which direction is given first.
 */
#ifndef SMTPWARD_HANDSHAKE_H
#define SMTPWARD_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_facts.h"

#define HANDSHAKE_BYTES_MAX (128 * 1024)  /* read in clear, each direction */
#define HANDSHAKE_MESSAGE_MAX (64 * 1024) /* the body of one message */
#define HANDSHAKE_EMPTY_RECORDS_MAX 16	  /* each direction */

struct handshake;

/* Returns NULL without memory. */
struct handshake *handshake_new(void);
/* NULL is fine. */
void handshake_free(struct handshake *handshake);

/* Takes the next n bytes of a direction; they are not kept. Returns whether more of that direction is wanted:
 * false once it is encrypted, malformed, lost or over the limits, and all that comes then is ignored. */
bool handshake_take(struct handshake *handshake, enum direction direction, const uint8_t *bytes, size_t n);

/* Bytes of this direction are missing here: what comes behind the hole cannot be read. */
void handshake_lost(struct handshake *handshake, enum direction direction);

/* Whether more bytes of this direction would be read. */
bool handshake_wants(const struct handshake *handshake, enum direction direction);

/* What is known so far. Valid, and kept up to date, until handshake_free(). */
const struct tls_facts *handshake_facts(const struct handshake *handshake);

#endif
