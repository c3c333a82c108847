/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The dialogue machine driven in user space as bpf/smtpward.bpf.c drives it in the kernel: segment by segment, in
 * chunks, a run and then some steps of each, with the verdict at the end of each of the client's segments. Reads
 * capture files, and plays the tests' vectors.
 */
#ifndef SMTPWARD_DIALOGUE_DRIVER_H
#define SMTPWARD_DIALOGUE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dialogue_client.h"
#include "dialogue_server.h"
#include "policy.h"

/*
 * Who wants to know what each byte was taken for: the parsers are as they are behind it, state (enum client_state) and
 * was_in_tls as they were before. Bytes that are passed over come in one piece.
 */
struct dialogue_trace {
	void (*client)(void *context, const uint8_t *byte, const struct client_parser *parser, uint8_t state);
	void (*client_skipped)(void *context, const uint8_t *bytes, size_t count, uint8_t state);
	void (*server)(void *context, const uint8_t *byte, const struct server_parser *parser, bool was_in_tls);
	void (*server_skipped)(void *context, const uint8_t *bytes, size_t count, bool was_in_tls);
	void *context;
};

struct dialogue_run {
	struct client_parser client, work;
	struct server_parser server;
	struct policy_rule rule;
	const struct dialogue_trace *trace; /* set before the start; NULL: nobody. With it, bytewise holds */
	uint8_t mode;
	bool implicit_tls;
	bool settled;
	bool bytewise; /* set before the start: no runs, every byte through the whole machine */
	bool urgent;   /* the client's present segment has an urgent pointer */
	bool blocked;
	uint64_t stopped;
	unsigned progress; /* events that the kernel would send for commands, without those of open and close */
};

/* At the start of a flow. mode and rule as policy has them. */
void dialogue_run_start(struct dialogue_run *run, bool implicit_tls, uint8_t mode, const struct policy_rule *rule);
/* One segment, of one byte at least. Of the client's: returns false if it is dropped. */
bool dialogue_run_client(struct dialogue_run *run, const uint8_t *bytes, size_t length);
void dialogue_run_server(struct dialogue_run *run, const uint8_t *bytes, size_t length);
/* Bytes of a direction are missing: nothing behind them is read. */
void dialogue_run_client_lost(struct dialogue_run *run);
void dialogue_run_server_lost(struct dialogue_run *run);
/* The flow's beginning was not seen: behind the start, before the first segment. */
void dialogue_run_midway(struct dialogue_run *run);
/* The event that the kernel would send now. */
struct flow_event dialogue_run_event(const struct dialogue_run *run, enum event_reason reason);

/* `require: encrypted`, what the default policy demands, with `action: block`. */
extern const struct policy_rule dialogue_run_encrypted;

#endif
