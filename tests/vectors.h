/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Named dialogues, and what each must come to: facts, reply codes, account, outcome, findings. One table for every
 * vantage: the machine in user space and the BPF object in the kernel must give the same.
 */
#ifndef SMTPWARD_TEST_VECTORS_H
#define SMTPWARD_TEST_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "finding.h"

enum vector_side { VECTOR_END, VECTOR_CLIENT, VECTOR_SERVER };

/* One segment: bytes, length of them, repeat times. */
struct vector_step {
	enum vector_side side;
	unsigned repeat;
	const char *bytes;
	size_t length;
};

#define VECTOR_STEPS_MAX 28
#define VECTOR_SEGMENT_MAX (300 * 1024)

struct vector {
	const char *name;
	bool implicit_tls;
	bool midway; /* the flow was there first: the steps are what is seen of it */
	struct vector_step steps[VECTOR_STEPS_MAX]; /* up to the first VECTOR_END */

	/* at the end, in monitor mode with `require: encrypted` and `unknown: pass` */
	uint64_t facts;
	struct {
		unsigned greeting, ehlo, starttls, auth;
	} codes;
	const char *mechanism, *account, *server_name; /* NULL: "" ; server_name NULL: not compared */
	unsigned client_alert, server_alert;           /* 0: none */

	/* once the flow is closed */
	enum outcome outcome;
	uint32_t findings;
	const char *cause; /* of cleartext-mail; NULL: none */

	unsigned stops; /* the step, from 1, that block mode drops; 0: none */

	/* Why the facts may differ where segments are cut otherwise; NULL: they may not. */
	const char *whole_only;
};

extern const struct vector vectors[];
extern const size_t vector_count;

/* How many steps vector has. */
unsigned vector_steps(const struct vector *vector);
/* Writes the step's bytes to segment, VECTOR_SEGMENT_MAX long. Returns how many. */
size_t vector_segment(const struct vector_step *step, uint8_t *segment);

#endif
