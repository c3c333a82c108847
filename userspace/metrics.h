/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's counters for Prometheus: GET /metrics on the configured address, on loopback by default. */
#ifndef SMTPWARD_METRICS_H
#define SMTPWARD_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent.h"
#include "alert.h"
#include "kernel.h"
#include "sink.h"

struct evbuffer;
struct metrics;

/* All that is shown, so that the text can be made and tested without a kernel. */
struct metrics_view {
	const char *version;
	enum policy_mode mode;
	struct timespec started; /* CLOCK_REALTIME */
	const struct kernel_hook *hooks;
	unsigned hook_count;
	struct agent_counts counts;
	bool witness_active;
	unsigned witness_libraries;
	struct durations held, verdict_time;
	struct alert_counts alerts;
	uint64_t kernel[COUNTER_COUNT];
	uint64_t ring_used, ring_size; /* bytes */
	uint64_t sessions_open;
	uint64_t sessions_evicted, sessions_shed;
	struct sink_stats sinks[SINKS_MAX];
	unsigned sink_count;
	uint64_t resident_bytes;
};

/* Appends the view to text: Prometheus' text format 0.0.4, or OpenMetrics 1.0.0. */
void metrics_text(struct evbuffer *text, const struct metrics_view *view, bool openmetrics);

/* Listens, in the agent's event loop. Returns NULL with one line in error, for example if the port is in use. agent
 * must outlive the result. */
struct metrics *metrics_start(struct agent *agent, char *error, size_t error_size);
/* NULL is no error. */
void metrics_stop(struct metrics *metrics);

#endif
