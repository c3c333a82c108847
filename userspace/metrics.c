/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "metrics.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_ring.h"
#include "metrics_http.h"
#include "monitor.h"
#include "session.h"

struct metrics {
	struct agent *agent;
	struct metrics_http *http;
	int statm;
};

/* statm: /proc/self/statm, opened while it was in reach. */
static uint64_t resident_bytes(int statm)
{
	uint64_t resident = 0;
	char text[128];
	ssize_t n = pread(statm, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%*u %" SCNu64, &resident) != 1)
		resident = 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void collect_witness(const struct agent *agent, struct metrics_view *view)
{
	const struct kernel_witness_state *state = monitor_witness_state(agent->monitor);
	unsigned position = 0;

	view->witness_active = state && state->active;
	while (monitor_witness_library(agent->monitor, &position))
		view->witness_libraries++;
	view->held = agent->held;
	view->verdict_time = agent->verdict_time;
}

static void collect(const struct agent *agent, struct metrics_view *view)
{
	memset(view, 0, sizeof(*view));
	view->version = SMTPWARD_VERSION;
	view->mode = monitor_mode(agent->monitor);
	view->started = agent->started;
	view->hooks = monitor_hooks(agent->monitor, &view->hook_count);
	view->counts = agent->counts;
	collect_witness(agent, view);
	alerts_counts(agent->alerts, &view->alerts);
	monitor_counters(agent->monitor, view->kernel);
	event_ring_fill(agent->ring, &view->ring_used, &view->ring_size);
	view->sessions_open = sessions_open_count(agent->sessions);
	view->sessions_evicted = sessions_evicted(agent->sessions);
	view->sessions_shed = sessions_shed(agent->sessions);
	view->sink_count = sinks_stats(agent->sinks, view->sinks);
}

static void answer(void *context, struct evbuffer *body, bool openmetrics)
{
	const struct metrics *metrics = context;
	struct metrics_view view;

	collect(metrics->agent, &view);
	view.resident_bytes = resident_bytes(metrics->statm);
	metrics_text(body, &view, openmetrics);
}

struct metrics *metrics_start(struct agent *agent, char *error, size_t error_size)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics) {
		snprintf(error, error_size, "no memory for /metrics");
		return NULL;
	}
	metrics->agent = agent;
	metrics->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	metrics->http = metrics_http_start(agent->base, agent->config->metrics.address, agent->config->metrics.port, answer,
					   metrics, error, error_size);
	if (!metrics->http) {
		if (metrics->statm >= 0)
			close(metrics->statm);
		free(metrics);
		return NULL;
	}
	return metrics;
}

void metrics_stop(struct metrics *metrics)
{
	if (!metrics)
		return;
	metrics_http_stop(metrics->http);
	if (metrics->statm >= 0)
		close(metrics->statm);
	free(metrics);
}
