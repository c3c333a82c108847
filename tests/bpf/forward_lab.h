/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC programs, loaded as the agent loads them, and run on frames (bpf_prog_test_run) in a network namespace of its own. */
#ifndef SMTPWARD_TEST_BPF_FORWARD_LAB_H
#define SMTPWARD_TEST_BPF_FORWARD_LAB_H

#include "event.h"
#include "forward.h"
#include "frame_maker.h"
#include "policy.h"
#include "vectors.h"

#define FLAB_EVENTS_MAX 4096
#define FLAB_STARTTLS_PORT 25
#define FLAB_IMPLICIT_PORT 465

enum flab_action { FLAB_NEXT = -1, FLAB_DROP = 2 };

struct flab {
	const char *missing; /* why there can be no test here; NULL: there can */
	struct flow_event events[FLAB_EVENTS_MAX]; /* since flab_forget_events() */
	unsigned count;
	uint8_t out[FRAME_MAX + 256]; /* what became of the last frame */
	size_t out_length;
};

extern struct flab flab;

/* As lab_setup() and the like. */
int flab_setup(void **state);
int flab_teardown(void **state);
void flab_needed(void);

/* Mode and fallback rule; what is held is held for an hour, while there is a heartbeat. */
void flab_set(enum policy_mode mode, const struct policy_rule *fallback);
uint64_t flab_counter(enum counter_id id);
int flab_map(const char *name);
void flab_read_events(void);
void flab_forget_events(void);
/* The newest event of that reason of the flow with that client port; NULL: none. */
const struct flow_event *flab_event(uint16_t client_port, enum event_reason reason);
unsigned flab_count(uint16_t client_port, enum event_reason reason);

/* Runs the program for the way in (or out) on a frame. */
enum flab_action flab_run_frame(const uint8_t *frame, size_t length, bool egress, bool gso);
/* The same of a segment; with FORM_BOTH_HOOKS, first in and then out, which must agree. */
enum flab_action flab_run(const struct segment *segment, bool egress);

/* A connection whose segments are made one by one. */
struct flab_connection {
	enum frame_form form;
	bool egress; /* which hook sees it */
	uint16_t client_port, server_port;
	uint32_t client_next, server_next;
};

/* A new one, with SYN and its answer run. */
struct flab_connection flab_connect(enum frame_form form, uint16_t server_port);
/* A new one that was there first: nothing is run. */
struct flab_connection flab_join(enum frame_form form, uint16_t server_port);
/* The next segment of one side; its bytes count as arrived if it passes unchanged. */
enum flab_action flab_send(struct flab_connection *connection, bool from_server, const void *bytes, size_t length);
/* The segment that flab_send() would run. */
struct segment flab_segment(const struct flab_connection *connection, bool from_server, const void *bytes, size_t length, uint8_t flags);
/* Both sides' FIN. */
void flab_close(struct flab_connection *connection);
/* The entry of the map of flows. False: there is none. */
bool flab_head(const struct flab_connection *connection, struct forward_head *head);
struct forward_key flab_key(const struct flab_connection *connection);

/* Waits for a frame that the programs have sent, or taken in, at the loopback interface. 0: none came. */
size_t flab_captured(uint8_t *frame, size_t size);
/* What waits there is of no interest. */
void flab_forget_captured(void);

#endif
