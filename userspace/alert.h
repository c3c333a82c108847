/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Alerts: findings that somebody shall be told of, without a thousand repetitions and without losing any silently.
 *
 * Alerts are alike if finding, severity, server (address and port), sender (uid, program name, cgroup) and whether
 * smtpward blocked it are the same; for cleartext-auth the account too, since each exposed account must be
 * changed. The first is emitted at once. Its likes within config->alerts.repeat_s are counted; their count goes
 * out with the next one, or with alerts_tick() after that time, then with the newest session's data. So the sum of
 * (1 + suppressed) over the emitted alerts is the number of alerts raised.
 */
#ifndef SMTPWARD_ALERT_H
#define SMTPWARD_ALERT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "finding.h"

struct config;
struct session;
struct alerts;

#define ALERT_KEYS_MAX 4096

struct alert {
	const struct session *session; /* valid during emit() only; may be a copy that is in no table */
	enum finding finding;
	enum severity severity;
	uint64_t suppressed;  /* how many like it were not emitted before it */
	struct timespec time; /* when it was raised */
};

struct alert_counts {
	uint64_t raised;
	uint64_t emitted;
	uint64_t suppressed; /* not emitted when raised: repeats, and those above the rate */
	uint64_t below;      /* below the minimum severity, not told at all */
	uint64_t untold;     /* suppressed ones that gave way to others before they could be told */
	unsigned keys;       /* in the table now */
};

/* config is read at each call and must outlive alerts. emit must not call back. Returns NULL without memory. */
struct alerts *alerts_new(const struct config *config, void (*emit)(void *context, const struct alert *alert),
			  void *context);
void alerts_free(struct alerts *alerts);

/* Another configuration from now on. */
void alerts_set_config(struct alerts *alerts, const struct config *config);

/* now: CLOCK_REALTIME; a clock that is set back costs no more than one repeat_s of silence. */
void alerts_raise(struct alerts *alerts, const struct session *session, enum finding finding, enum severity severity,
		  struct timespec now);

/* Emits what was held back and is due, the gravest first, as far as the rate allows. To be called every few
 * seconds. */
void alerts_tick(struct alerts *alerts, struct timespec now);

/* Emits all that is held back, whatever the rate: before the agent ends. */
void alerts_flush(struct alerts *alerts, struct timespec now);

/* Whether smtpward kept what the finding tells of from leaving the host. A session that was blocked later than its
 * credential or mail left is exposed, not blocked. */
bool alert_was_blocked(const struct session *session, enum finding finding);

void alerts_counts(const struct alerts *alerts, struct alert_counts *counts);

#endif
