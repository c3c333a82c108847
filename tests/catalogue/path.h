/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ways a scenario is played: through the dialogue machine in user space, through the kernel, through a capture file. */
#ifndef SMTPWARD_TEST_PATH_H
#define SMTPWARD_TEST_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "event.h"
#include "finding.h"
#include "scenario.h"

/* What a path made of a scenario's last flow. */
struct conclusion {
	uint64_t facts;
	unsigned greeting, ehlo, starttls, auth; /* reply codes */
	unsigned client_alert, server_alert;     /* TLS_ALERT_NONE: none */
	char mechanism[MECHANISM_SIZE], account[ACCOUNT_SIZE];
	enum outcome outcome;
	uint32_t findings;
	char cause[32]; /* "": none */
	uint16_t tls_version, suite;
};

/* The agent's part, of events from wherever: sessions, handshakes, judgement, and the memory behind tls-fallback. */
struct conclude;
struct conclude *conclude_new(void); /* one for each scenario */
void conclude_free(struct conclude *conclude);
void conclude_flow_event(struct conclude *conclude, const struct flow_event *event);
void conclude_handshake_event(struct conclude *conclude, const struct handshake_event *event);
/* Of the flow, once its last event was taken. */
void conclude_take(struct conclude *conclude, uint64_t flow_id, struct conclusion *conclusion);

/* A session that is over, in these words. */
struct session;
void conclusion_of(const struct session *session, struct conclusion *conclusion);

/* Bytes in a segment at most; SIZE_MAX: as the vectors have them. For all paths. */
extern size_t piece_max;

void user_path(const struct scenario *scenario, struct conclusion *conclusion);
/* Over real loopback sockets; only in a cmocka test between lab_setup() and lab_teardown(). */
void kernel_path(const struct scenario *scenario, struct conclusion *conclusion);

/* Through a file written as `smtpward record` writes one, and read as `smtpward read` does. */
void capture_path(const struct scenario *scenario, struct conclusion *conclusion);

/* Whether the conclusion is what the scenario says; else prints the difference. */
bool conclusion_fits(const struct scenario *scenario, const char *path, const struct conclusion *conclusion);

/* Writes docs/catalogue.md. */
void markdown_write(FILE *out);

#endif
