/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which bytes of a session may be shown to others. What is not known to be public is filled with other bytes, as many:
 *
 *   public   verbs; the arguments of EHLO, HELO, LHLO, MAIL and RCPT, BDAT's size, AUTH's mechanism; replies; record
 *            headers, alerts, and handshake messages in clear
 *   filled   SASL responses and initial responses, message content, lines that are no known command, what any server says
 *            behind the first response, encrypted records, everything behind a gap
 *
 * The filling makes the dialogue machine say the same of the session: see the tests, and whoever writes a file compares.
 */
#ifndef SMTPWARD_CAPTURE_BLANK_H
#define SMTPWARD_CAPTURE_BLANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dialogue_driver.h"
#include "tls_facts.h"

#define BLANK_BYTES_MAX (4 * 1024 * 1024) /* of a session; more is not recorded */

struct blank;

/* A session from its beginning. Returns NULL without memory. */
struct blank *blank_new(bool implicit_tls, bool midway, const struct policy_rule *rule);
void blank_free(struct blank *blank);

/* The next bytes of a direction, in the order in which they were read. Returns how many of them are kept: all, or none if
 * they are message content in the midst of message content. */
size_t blank_take(struct blank *blank, enum direction direction, const uint8_t *bytes, size_t count, bool urgent);
/* Without memory, or over the limit: nothing of it is of use. */
bool blank_has_failed(const struct blank *blank);
void blank_gap(struct blank *blank, enum direction direction);

/*
 * Ends the session and fills. handshake_is_real: the ClientHello could be read, so what looks like a handshake is one.
 * Then blank_bytes() returns what was kept of a direction, in one piece.
 */
void blank_fill(struct blank *blank, bool handshake_is_real);
const uint8_t *blank_bytes(const struct blank *blank, enum direction direction);

#endif
