/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Plays vectors through the dialogue machine in user space. */
#ifndef SMTPWARD_TEST_DIALOGUE_RUN_H
#define SMTPWARD_TEST_DIALOGUE_RUN_H

#include "dialogue_driver.h"
#include "vectors.h"

/* Where a vector's segments are cut further: all of them into single bytes, or one of them, from 0, in two. */
struct dialogue_cut {
	bool every_byte;
	int step;
	size_t at;
};

/* At the start of a vector: of the flow, or where it was joined midway. */
void dialogue_run_begin(struct dialogue_run *run, const struct vector *vector, uint8_t mode, const struct policy_rule *rule);
/* A whole vector, started with its port's kind. cut may be NULL. Returns the step, from 1, that was dropped; then
 * nothing further is played. 0: none. */
unsigned dialogue_run_vector(struct dialogue_run *run, const struct vector *vector, uint8_t mode,
			     const struct policy_rule *rule, const struct dialogue_cut *cut);

#endif
