/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sessions as JSON, for the CLI and for programs. Keys are only ever added. */
#ifndef SMTPWARD_SESSION_JSON_H
#define SMTPWARD_SESSION_JSON_H

#include <stddef.h>
#include <time.h>

#include <jansson.h>

#include "session.h"
#include "tls_names.h"

#define TIME_TEXT_SIZE 40

/* Writes time as RFC 3339 in UTC with milliseconds. Returns text. */
const char *time_text(const struct timespec *time, char text[TIME_TEXT_SIZE]);
/* The same as a JSON string; null for a time of zero. */
json_t *time_json(const struct timespec *time);

/* n bytes of text, up to a NUL, escaped; null for none. */
json_t *text_json(const char *text, size_t n);

/* The whole session. The shape never varies: an absent value is null, an empty list []. Returns NULL without
 * memory. The caller owns the result. */
json_t *session_json(const struct session *session);

#endif
