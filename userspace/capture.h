/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sessions out of captured segments: flows are told apart, put together again (capture_order.h), read by the dialogue
 * machine and the reader of handshakes, and judged as the agent judges them. Memory depends on the flows that are open.
 *
 * There is no process to ask: a client's address stands for the sender, and nobody knows what its TLS library made of the
 * server. Certificates are checked as of the time of the capture.
 */
#ifndef SMTPWARD_CAPTURE_H
#define SMTPWARD_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>
#include <utlist.h>

#include "capture_fragment.h"
#include "capture_frame.h"
#include "capture_order.h"
#include "dialogue_driver.h"
#include "session.h"

#define CAPTURE_PORTS_MAX 64
#define CAPTURE_FLOWS_MAX 50000 /* followed at once; beyond it the one that was silent for longest is given up */
#define CAPTURE_ENDED_MAX 8192  /* remembered, so that late segments of theirs are not taken for new flows */
#define CAPTURE_IDLE_NS (15ULL * 60 * 1000000000)
#define CAPTURE_FALLBACK_WINDOW_S 3600 /* as the agent's default */

struct capture;
struct capture_flow;

struct capture_settings {
	struct {
		uint16_t number;
		bool implicit_tls;
	} ports[CAPTURE_PORTS_MAX];
	unsigned port_count;
	bool any_port;         /* on other ports, too, what greets and is greeted as SMTP */
	const char *trust;     /* PEM file of trust anchors; NULL: the system's */
	bool no_check;         /* certificates are not checked at all */
};

/* What happens to a flow, beside its session: for who records it. Each may be NULL. */
struct capture_watch {
	/* the flow's session gets this id; returns whether the rest is wanted */
	bool (*opened)(void *context, const struct capture_flow *flow, uint64_t id);
	/* bytes that were read just now, in one piece; run: the machine behind them */
	void (*bytes)(void *context, const struct capture_flow *flow, enum direction direction, const uint8_t *bytes, size_t count,
		      bool urgent, uint64_t time_ns);
	void (*gap)(void *context, const struct capture_flow *flow, enum direction direction, uint64_t time_ns);
	/* how: FLOW_END_NONE where the flow's end was not captured; then the session stays open */
	void (*finished)(void *context, const struct capture_flow *flow, enum direction direction, uint64_t time_ns);
	void (*closed)(void *context, const struct capture_flow *flow, bool reset, bool seen, uint64_t time_ns);
	void *context;
};

struct capture_counts {
	uint64_t packets, tcp, other, malformed;
	uint64_t flows;    /* SMTP, or what may be */
	uint64_t sessions; /* of them, those that were told */
	uint64_t midway;   /* sessions whose beginning was not captured */
	uint64_t idle, evicted; /* flows given up */
};

/* The two ends of a connection, the lower one first. */
struct capture_key {
	uint8_t address[2][16];
	uint16_t port[2];
};

/* One flow. What is in it is capture*.c's own. */
struct capture_flow {
	struct capture_key key;
	bool client_is_second;
	uint8_t state; /* enum capture_state */
	uint8_t end;   /* enum flow_end */
	bool listed;   /* its port is one of those named */
	bool implicit_tls;
	bool has_client_isn, has_pending_isn, answered, acknowledged;
	bool ignored; /* another protocol, on a port that was not named: to be retired behind the present segment */
	bool watched; /* by capture_watch */
	uint32_t client_isn, pending_isn;
	uint64_t opened_ns, last_ns;
	struct order_flow order;
	struct capture_reader *reader; /* NULL: nothing that had to be read has come */
	UT_hash_handle hh;
	struct capture_flow *prev, *next; /* by their last segment, the oldest first */
};

/* Gets each session as it is over, or as the capture ends. It is valid during the call. */
typedef void capture_session_taker(void *context, const struct session *session);

/* Returns NULL with one line in error. */
struct capture *capture_new(const struct capture_settings *settings, capture_session_taker *take, void *context, char *error,
			    unsigned error_size);
void capture_free(struct capture *capture);
/* Before the first frame. */
void capture_set_watch(struct capture *capture, const struct capture_watch *watch);

/* Takes the next frame of a file. */
void capture_take(struct capture *capture, int link_type, const uint8_t *bytes, uint32_t captured, uint32_t length, uint64_t time_ns);
/* The file is over: tells the sessions that are still open. What has failed in it is remembered for the next one. */
void capture_end(struct capture *capture);

const struct capture_counts *capture_counts(const struct capture *capture);
const struct fragment_counts *capture_fragment_counts(const struct capture *capture);
const struct order_counts *capture_order_counts(const struct capture *capture);

/* The flow's ends. */
const uint8_t *capture_flow_address(const struct capture_flow *flow, enum direction direction);
uint16_t capture_flow_port(const struct capture_flow *flow, enum direction direction);

#endif
