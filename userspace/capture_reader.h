/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One captured flow's way through the dialogue machine into a session, and that session's judgement. */
#ifndef SMTPWARD_CAPTURE_READER_H
#define SMTPWARD_CAPTURE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture.h"

struct capture_table; /* the sessions, and what is remembered from one to the next */
struct capture_reader;

/* Returns NULL with one line in error. */
struct capture_table *capture_table_new(const struct capture_settings *settings, capture_session_taker *take, void *context,
					char *error, unsigned error_size);
void capture_table_free(struct capture_table *table);

/* Whether a flow's first bytes may be SMTP's: a greeting, or the EHLO of a client that does not wait for one. */
bool capture_may_be_smtp(enum direction direction, const uint8_t *bytes, size_t count);

/* Begins to read flow. Returns NULL without memory. */
struct capture_reader *capture_reader_new(struct capture_table *table, const struct capture_flow *flow, bool midway);
uint64_t capture_reader_id(const struct capture_reader *reader);
/* count: 1 at least. Returns whether anything that may come is of interest. */
bool capture_reader_bytes(struct capture_reader *reader, enum direction direction, const uint8_t *bytes, size_t count, bool urgent,
			  uint64_t time_ns);
/* Returns the same. */
bool capture_reader_gap(struct capture_reader *reader, enum direction direction);
/*
 * The flow is over, or (seen is false) the capture is. Tells the session, unless it has to be SMTP by its look (by_look) and
 * is not. Frees reader. Returns whether the session was told.
 */
bool capture_reader_end(struct capture_reader *reader, const struct capture_flow *flow, bool seen, bool by_look, uint64_t time_ns);

#endif
