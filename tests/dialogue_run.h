/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The dialogue machine driven in user space as bpf/smtpward.bpf.c drives it in the kernel: segment by segment, in
 * chunks, a run and then some steps of each, with the verdict at the end of each of the client's segments.
 */
#ifndef SMTPWARD_TEST_DIALOGUE_RUN_H
#define SMTPWARD_TEST_DIALOGUE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dialogue_client.h"
#include "dialogue_server.h"
#include "policy.h"
#include "vectors.h"

struct dialogue_run {
	struct client_parser client, work;
	struct server_parser server;
	struct policy_rule rule;
	uint8_t mode;
	bool implicit_tls;
	bool settled;
	bool bytewise; /* no runs: every byte through the whole machine */
	bool blocked;
	uint64_t stopped;
	unsigned progress; /* events that the kernel would send for commands, without those of open and close */
};

/* Where a vector's segments are cut further: all of them into single bytes, or one of them, from 0, in two. */
struct dialogue_cut {
	bool every_byte;
	int step;
	size_t at;
};

/* At the start of a flow. mode and rule as policy has them. */
void dialogue_run_start(struct dialogue_run *run, bool implicit_tls, uint8_t mode, const struct policy_rule *rule);
/* The same for a flow that was there first. */
void dialogue_run_join(struct dialogue_run *run, bool implicit_tls, uint8_t mode, const struct policy_rule *rule);
/* One of the two, as the vector has it. */
void dialogue_run_begin(struct dialogue_run *run, const struct vector *vector, uint8_t mode, const struct policy_rule *rule);
/* One segment. Of the client's: returns false if it is dropped. */
bool dialogue_run_client(struct dialogue_run *run, const uint8_t *bytes, size_t length);
void dialogue_run_server(struct dialogue_run *run, const uint8_t *bytes, size_t length);
/* A whole vector, started with its port's kind. cut may be NULL. Returns the step, from 1, that was dropped; then
 * nothing further is played. 0: none. */
unsigned dialogue_run_vector(struct dialogue_run *run, const struct vector *vector, uint8_t mode,
			     const struct policy_rule *rule, const struct dialogue_cut *cut);
/* The event that the kernel would send now. */
struct flow_event dialogue_run_event(const struct dialogue_run *run, enum event_reason reason);

/* `require: encrypted`, what the default policy demands, with `action: block`. */
extern const struct policy_rule dialogue_run_encrypted;

#endif
