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

/* How the connection is over behind the last step; facts do not depend on it. */
enum vector_ending { VECTOR_CLIENT_CLOSES, VECTOR_SERVER_CLOSES, VECTOR_SERVER_RESETS };

/* The chapters of the catalogue of attacks (docs/catalogue.md). */
/* clang-format off */
#define CATALOGUE_GROUPS(X) \
	X(OFFER,       "The offer removed or masked") \
	X(HELLO,       "EHLO, HELO and greeting refused") \
	X(REQUEST,     "STARTTLS and its answer") \
	X(INJECTION,   "Bytes injected around STARTTLS") \
	X(HANDSHAKE,   "The handshake prevented") \
	X(STRENGTH,    "Weak TLS") \
	X(CERTIFICATE, "The server's identity") \
	X(CREDENTIAL,  "Credentials in clear") \
	X(MAIL,        "Mail in clear") \
	X(PORT,        "Ports of implicit TLS") \
	X(FALLBACK,    "A second connection in clear") \
	X(TRAP,        "Looks like an attack and is none")
/* clang-format on */

enum catalogue_group {
	CATALOGUE_NOT, /* a vector of the parser's only */
#define X(id, title) CATALOGUE_##id,
	CATALOGUE_GROUPS(X)
#undef X
	CATALOGUE_GROUP_COUNT
};

/* One segment: bytes, length of them, repeat times. */
struct vector_step {
	enum vector_side side;
	unsigned repeat;
	const char *bytes;
	size_t length;
};

#define VECTOR_STEPS_MAX 28
#define VECTOR_SEGMENT_MAX (300 * 1024)

#define VECTOR_CLOSE_NOTIFY 256 /* an alert of that kind, whose number is 0 */

struct vector {
	const char *name;
	bool implicit_tls;
	bool midway; /* the flow was there first: the steps are what is seen of it */

	/* of the catalogue: chapter, what is done in a line, and where it is known from */
	enum catalogue_group group;
	const char *what, *source;

	enum vector_ending ending;
	struct vector_step steps[VECTOR_STEPS_MAX]; /* up to the first VECTOR_END */

	/* at the end, in monitor mode with `require: encrypted` and `unknown: pass` */
	uint64_t facts;
	struct {
		unsigned greeting, ehlo, starttls, auth;
	} codes;
	const char *mechanism, *account, *server_name; /* NULL: "" ; server_name NULL: not compared */
	unsigned client_alert, server_alert;           /* 0: none; VECTOR_CLOSE_NOTIFY */

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

/* A row's alert as an event has it. */
uint8_t vector_alert(unsigned alert);
/* How many steps vector has. */
unsigned vector_steps(const struct vector *vector);
/* Writes the step's bytes to segment, VECTOR_SEGMENT_MAX long. Returns how many. */
size_t vector_segment(const struct vector_step *step, uint8_t *segment);

#endif
