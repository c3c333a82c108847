/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `status`: how the agent is, and what it has lost. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "agent.h"
#include "alert.h"
#include "control.h"
#include "control_connection.h"
#include "event_ring.h"
#include "judgement.h"
#include "monitor.h"
#include "sandbox.h"
#include "session.h"
#include "session_json.h"
#include "sink.h"

static const char *const counter_names[] = {
#define X(id, name) [COUNTER_##id] = name,
	COUNTERS(X)
#undef X
};

static const char *const exposure_names[] = {
	[EXPOSURE_NOTHING] = "auth_clear_nothing",
	[EXPOSURE_GUESSABLE] = "auth_clear_guessable",
	[EXPOSURE_SECRET] = "auth_clear_secret",
};

/* Adds a reason why not all is well. */
static void complain(json_t *reasons, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(json_t *reasons, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_array_append_new(reasons, text_json(text, sizeof(text)));
}

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

static json_t *hooks_json(struct monitor *monitor, json_t *reasons)
{
	unsigned count;
	const struct kernel_hook *hooks = monitor_hooks(monitor, &count);
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++) {
		const struct kernel_hook *hook = &hooks[i];
		json_array_append_new(list, json_pack("{s:s,s:b,s:o}", "name", hook->name, "attached", hook->attached,
						      "error", text_json(hook->error, sizeof(hook->error))));
		if (!hook->attached)
			complain(reasons, "hook %s is not attached: %.*s", hook->name, (int)sizeof(hook->error), hook->error);
	}
	return list;
}

static json_t *kernel_json(struct monitor *monitor, json_t *reasons)
{
	static const struct {
		enum counter_id counter;
		const char *loss;
	} losses[] = {
		{ COUNTER_STORAGE_FAILED, "flows could not be followed: no room for their state (net.core.optmem_max)" },
		{ COUNTER_EVENTS_LOST, "events were lost: the ring was full" },
		{ COUNTER_HELPER_FAILED, "BPF helpers failed" },
		{ COUNTER_FORWARDS_FULL, "forwarded flows could not be followed: no room for their state" },
		{ COUNTER_FORWARDS_UNRESET, "segments of blocked forwarded flows were dropped without a reset" },
		{ COUNTER_NETNS_UNSEEN, "network namespaces could not be looked into at the start: connections in them that are older are not followed" },
	};
	uint64_t counters[COUNTER_COUNT];
	json_t *object = json_object();

	monitor_counters(monitor, counters);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		set_number(object, counter_names[i], counters[i]);
	for (unsigned i = 0; i < sizeof(losses) / sizeof(losses[0]); i++)
		if (counters[losses[i].counter])
			complain(reasons, "%" PRIu64 " %s", counters[losses[i].counter], losses[i].loss);
	return object;
}

static json_t *agent_json(const struct agent *agent, json_t *reasons)
{
	const struct agent_counts *counts = &agent->counts;
	json_t *object = json_object();
	struct alert_counts alerts = { 0 };

	if (agent->alerts)
		alerts_counts(agent->alerts, &alerts);
	set_number(object, "events_read", counts->events_read);
	set_number(object, "events_malformed", counts->events_malformed);
	set_number(object, "events_missed", counts->verdict_events_missed);
	set_number(object, "sockets_destroyed", counts->sockets_destroyed);
	set_number(object, "destroy_failed", counts->destroy_failed);
	set_number(object, "would_block", counts->would_block);
	for (unsigned i = 0; i < sizeof(exposure_names) / sizeof(exposure_names[0]); i++)
		set_number(object, exposure_names[i], counts->auth_clear[i]);
	set_number(object, "forwards_evicted", counts->forwards_evicted);
	set_number(object, "forwards_idle", counts->forwards_idle);
	set_number(object, "sessions_evicted", sessions_evicted(agent->sessions));
	set_number(object, "sessions_shed", sessions_shed(agent->sessions));
	set_number(object, "alerts_raised", alerts.raised);
	set_number(object, "alerts_emitted", alerts.emitted);
	set_number(object, "alerts_suppressed", alerts.suppressed);
	set_number(object, "alerts_untold", alerts.untold);
	set_number(object, "watchers_dropped", control_dropped(agent->control));
	set_number(object, "connections_refused", control_refused(agent->control));
	if (counts->events_malformed)
		complain(reasons, "%" PRIu64 " malformed events were passed over", counts->events_malformed);
	if (counts->destroy_failed)
		complain(reasons, "%" PRIu64 " blocked sockets could not be destroyed", counts->destroy_failed);
	if (counts->forwards_evicted)
		complain(reasons, "%" PRIu64 " open forwarded flows made room for others: too many at once", counts->forwards_evicted);
	if (sessions_evicted(agent->sessions))
		complain(reasons, "%" PRIu64 " open sessions were given up: too many at once",
			 sessions_evicted(agent->sessions));
	return object;
}

/* Sessions by outcome and findings, since the start. */
static json_t *outcomes_json(const struct agent_counts *counts)
{
	json_t *object = json_object();
	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		set_number(object, outcome_name((enum outcome)i), counts->outcomes[i]);
	return object;
}

static json_t *findings_json(const struct agent_counts *counts)
{
	json_t *object = json_object();
	for (unsigned i = 0; i < FINDING_COUNT; i++)
		set_number(object, finding_name((enum finding)i), counts->findings[i]);
	return object;
}

/* Flows whose bytes never came by the hooks: IPsec does that, and nothing of them is protected. */
static json_t *sessions_json(const struct agent *agent, json_t *reasons)
{
	json_int_t unseen = sessions_unseen_count(agent->sessions);

	if (unseen)
		complain(reasons, "%" JSON_INTEGER_FORMAT " flows passed the hooks unseen (IPsec?): not protected", unseen);
	return json_pack("{s:I,s:I,s:I}", "open", (json_int_t)sessions_open_count(agent->sessions), "closed",
			 (json_int_t)sessions_closed_count(agent->sessions), "unseen", unseen);
}

static json_t *ring_json(const struct event_ring *ring)
{
	uint64_t used, size;
	event_ring_fill(ring, &used, &size);
	return json_pack("{s:I,s:I}", "used", (json_int_t)used, "size", (json_int_t)size);
}

static json_t *libraries_json(struct monitor *monitor)
{
	json_t *list = json_array();
	const struct kernel_library *library;
	unsigned position = 0;

	while ((library = monitor_witness_library(monitor, &position)))
		json_array_append_new(list, json_pack("{s:o,s:s,s:b}", "path", text_json(library->path, sizeof(library->path)),
						      "library", library->gnutls ? "gnutls" : "openssl", "readable",
						      library->readable));
	return list;
}

/* The witness: whom it can hear, and whom it has heard. */
static json_t *witness_json(const struct agent *agent, json_t *reasons)
{
	const struct kernel_witness_state *state = monitor_witness_state(agent->monitor);

	if (state && !state->active)
		complain(reasons, "no witness: %.*s", (int)sizeof(state->error), state->error);
	else if (state && state->error[0])
		complain(reasons, "witness: %.*s", (int)sizeof(state->error), state->error);
	return json_pack("{s:b,s:b,s:b,s:o,s:o,s:{s:I,s:I}}", "enabled", state != NULL, "active", state && state->active,
			 "outlives_agent", state && state->outlives_agent, "error",
			 text_json(state ? state->error : NULL, sizeof(state->error)), "libraries",
			 libraries_json(agent->monitor), "sessions", "with", (json_int_t)agent->counts.witnessed, "without",
			 (json_int_t)agent->counts.not_witnessed);
}

static json_t *durations_json(const struct durations *durations)
{
	if (!durations->total)
		return json_null();
	return json_pack("{s:I,s:f,s:f}", "count", (json_int_t)durations->total, "p50",
			 (double)durations_quantile(durations, 0.5) / 1e6, "p99",
			 (double)durations_quantile(durations, 0.99) / 1e6);
}

/* What waited for a verdict, in milliseconds. */
static json_t *holds_json(const struct agent *agent)
{
	return json_pack("{s:I,s:I,s:I,s:o,s:o}", "sessions", (json_int_t)agent->counts.held, "released",
			 (json_int_t)agent->counts.released, "release_failed", (json_int_t)agent->counts.release_failed, "hold_ms",
			 durations_json(&agent->held), "verdict_ms", durations_json(&agent->verdict_time));
}

static json_t *sinks_json(const struct agent *agent, json_t *reasons)
{
	struct sink_stats stats[SINKS_MAX];
	unsigned count = agent->sinks ? sinks_stats(agent->sinks, stats) : 0;
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++) {
		const struct sink_stats *sink = &stats[i];
		json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:I,s:i,s:o}", "name", sink->name, "written",
						      (json_int_t)sink->written, "dropped", (json_int_t)sink->dropped,
						      "failed", (json_int_t)sink->failed, "queued", (int)sink->queued,
						      "error", text_json(sink->last_error, sizeof(sink->last_error))));
		if (sink->dropped)
			complain(reasons, "%" PRIu64 " messages to %s were dropped", sink->dropped, sink->name);
		if (sink->last_error[0])
			complain(reasons, "%s: %s", sink->name, sink->last_error);
	}
	return list;
}

/* Who the processes are, and what they may do. */
static json_t *privileges_json(const struct agent *agent, json_t *reasons)
{
	const struct sandbox_state *sandbox = sandbox_state();
	char monitor[256];

	monitor_privileges(agent->monitor, monitor);
	if (sandbox->missing[0])
		complain(reasons, "not all hardening could be applied: %s", sandbox->missing);
	if (monitor_errands_lost(agent->monitor))
		complain(reasons, "%" PRIu64 " errands were not done: too many at once", monitor_errands_lost(agent->monitor));
	return json_pack("{s:{s:i,s:s},s:{s:i,s:i,s:s,s:i,s:b,s:o},s:I}", "monitor", "pid", (int)agent->monitor_pid,
			 "capabilities", monitor, "agent", "pid", (int)getpid(), "uid", (int)getuid(), "capabilities", sandbox->entered ? "none" : "not dropped",
			 "landlock", sandbox->landlock, "seccomp", sandbox->seccomp, "missing",
			 text_json(sandbox->missing, sizeof(sandbox->missing)), "errands_lost",
			 (json_int_t)monitor_errands_lost(agent->monitor));
}

void control_status(struct connection *connection, const json_t *request)
{
	const struct agent *agent = connection->agent;
	json_t *reasons = json_array(), *hooks = hooks_json(agent->monitor, reasons),
	       *kernel = kernel_json(agent->monitor, reasons), *counts = agent_json(agent, reasons),
	       *sessions = sessions_json(agent, reasons), *witness = witness_json(agent, reasons),
	       *sinks = sinks_json(agent, reasons), *privileges = privileges_json(agent, reasons);

	(void)request;
	connection_answer(
		connection,
		json_pack("{s:s,s:i,s:s,s:o,s:s,s:o,s:o,s:o,s:o,s:{s:o,s:o,s:o,s:o},s:o,s:o,s:o,s:o,s:o}", "version", SMTPWARD_VERSION,
			  "pid", (int)agent->monitor_pid, "mode", monitor_mode(agent->monitor) == MODE_BLOCK ? "block" : "monitor",
			  "started", time_json(&agent->started), "health", json_array_size(reasons) ? "degraded" : "ok",
			  "reasons", reasons, "cgroup", text_json(monitor_cgroup(agent->monitor), SIZE_MAX), "hooks", hooks,
			  "sessions", sessions, "counters", "kernel", kernel, "agent", counts, "outcomes",
			  outcomes_json(&agent->counts), "findings", findings_json(&agent->counts), "ring",
			  ring_json(agent->ring), "witness", witness, "holds", holds_json(agent), "sinks", sinks,
			  "privileges", privileges));
}
