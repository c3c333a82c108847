/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The catalogue of attacks: one flow, or two where the attack shows in the second only, and what they must come to. The
 * same list is played by every path (path.h) and written out as docs/catalogue.md.
 */
#ifndef SMTPWARD_TEST_SCENARIO_H
#define SMTPWARD_TEST_SCENARIO_H

#include <stddef.h>
#include <stdint.h>

#include "vectors.h"

#define SCENARIO_FLOWS_MAX 2

struct scenario {
	const char *name, *what, *source;
	enum catalogue_group group;
	struct {
		const struct vector *vector; /* NULL: no such flow */
		bool other_address;          /* of the same server */
		bool other_port;             /* another one of the same kind: 587 for 25 */
	} flows[SCENARIO_FLOWS_MAX];

	/* of the last flow, everything considered */
	enum outcome outcome;
	uint32_t findings;
	const char *cause;
	uint16_t tls_version; /* 0: not compared */
	uint16_t suite;
};

/* All of them, made at the first call; they stay until the process ends. */
const struct scenario *scenarios(size_t *count);

/* The vector of the table called name; aborts where there is none. */
const struct vector *vector_by_name(const char *name);

/* The authority that the certificates of the catalogue are checked against, as a file of PEM. */
const char *scenario_trust(void);

/* Appends the scenarios of tls_scenarios.c and certificate_scenarios.c to list; returns how many. */
size_t tls_scenarios(struct scenario *list);
size_t certificate_scenarios(struct scenario *list);

#endif
