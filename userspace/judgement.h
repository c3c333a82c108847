/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Judgement: from a flow's facts to outcome, findings and severities. Pure: no clock, no table, no I/O. */
#ifndef SMTPWARD_JUDGEMENT_H
#define SMTPWARD_JUDGEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "finding.h"
#include "tls_summary.h"

struct judgement {
	enum outcome outcome;
	uint32_t findings;                     /* FINDING_MASK(...) | ... */
	uint8_t severity[FINDING_COUNT];       /* enum severity; meaningful where the finding is set */
	int cause;                             /* of cleartext-mail: the finding that led to it; -1: none, see cause_name */
	const char *cause_name;                /* its id, or "helo-only", "not-known"; NULL without cleartext-mail */
	const char *unknown_reason;            /* why the outcome is unknown: "gap", "midway", "unseen", "no-storage",
	                                          "truncated", "lmtp", "open", "nothing-sent", "events-lost", "given-up"; NULL otherwise */
};

/* How much a SASL mechanism gives away to who reads it in clear. */
enum exposure { EXPOSURE_NOTHING, EXPOSURE_GUESSABLE, EXPOSURE_SECRET };

/* mechanism: upper case. A mechanism that is not known counts as EXPOSURE_SECRET. */
enum exposure mechanism_exposure(const char *mechanism);

/*
 * Judges a snapshot. event->reason == EVENT_CLOSED makes it final: what depends on something *not* having
 * happened is found only then, or once mail or a credential has left. tls-fallback is never set here: it
 * takes two sessions (history.h).
 */
void judge(const struct flow_event *event, struct judgement *judgement);

/* Adds what the handshake itself shows: call it after judge(). tls may be NULL. */
void judge_handshake(const struct flow_event *event, const struct tls_summary *tls, struct judgement *judgement);

#endif
