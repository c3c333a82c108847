/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Evidence: a few sessions of a capture as a small one of their own, with nothing in it that is a secret (capture_blank.h),
 * which is read back to the same.
 */
#ifndef SMTPWARD_CAPTURE_RECORD_H
#define SMTPWARD_CAPTURE_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "capture.h"

#define RECORD_SESSIONS_MAX 1000

/* What a session has come to, to be compared. */
struct verdict_told {
	uint64_t id, linked_id, facts;
	uint32_t findings;
	enum outcome outcome;
	const char *cause, *unknown_reason; /* static */
	uint16_t codes[4];
	uint8_t client_alert, server_alert;
	uint16_t tls_version, tls_suite;
	char mechanism[MECHANISM_SIZE];
};

struct record;

/* ids: of the sessions, count of them. stream gets the evidence. Returns NULL without memory. */
struct record *record_new(const uint64_t *ids, unsigned count, FILE *stream);
void record_free(struct record *record);

/* For capture_set_watch(), and in the taker of that capture's sessions. */
struct capture_watch record_watch(struct record *record);
void record_session(struct record *record, const struct session *session);

/* How many sessions were written; and why one was not, or NULL. Each is written as it is over. */
unsigned record_count(const struct record *record);
const char *record_error(const struct record *record);

void verdict_note(const struct session *session, struct verdict_told *verdict);
/* NULL where both say the same, else what they do not agree on. */
const char *verdict_difference(const struct verdict_told *a, const struct verdict_told *b);

#endif
