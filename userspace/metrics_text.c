/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two text formats. They differ in little: OpenMetrics names a counter's family without "_total", knows units and
 * the type "info", and ends with "# EOF".
 */
#include <inttypes.h>
#include <string.h>

#include <event2/buffer.h>

#include "escape.h"
#include "judgement.h"
#include "metrics.h"

struct writer {
	struct evbuffer *text;
	bool openmetrics;
};

/* Begins a family: HELP, TYPE and UNIT. name is without "_total" and "_info"; unit may be NULL. */
static void put_family(const struct writer *out, const char *name, const char *type, const char *unit, const char *help)
{
	const char *suffix = "";

	if (!out->openmetrics && !strcmp(type, "counter"))
		suffix = "_total";
	if (!out->openmetrics && !strcmp(type, "info")) {
		suffix = "_info";
		type = "gauge";
	}
	evbuffer_add_printf(out->text, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix, type);
	if (out->openmetrics && unit)
		evbuffer_add_printf(out->text, "# UNIT %s %s\n", name, unit);
}

/* label="value". First all that no text should hold is made visible, then the format's own quoting. */
static void put_label(const struct writer *out, const char *label, const char *value)
{
	char escaped[ESCAPED_SIZE(128)];

	escape_text(escaped, sizeof(escaped), value, strlen(value));
	evbuffer_add_printf(out->text, "{%s=\"", label);
	for (const char *byte = escaped; *byte; byte++) {
		if (*byte == '\\' || *byte == '"')
			evbuffer_add(out->text, "\\", 1);
		evbuffer_add(out->text, byte, 1);
	}
	evbuffer_add_printf(out->text, "\"}");
}

/* One sample. name is with its suffix; label may be NULL. */
static void put_sample(const struct writer *out, const char *name, const char *label, const char *value,
		       uint64_t number)
{
	evbuffer_add_printf(out->text, "%s", name);
	if (label)
		put_label(out, label, value);
	evbuffer_add_printf(out->text, " %" PRIu64 "\n", number);
}

/* A family of one sample without labels; name is without "_total". */
static void put_counter(const struct writer *out, const char *name, const char *help, uint64_t number)
{
	put_family(out, name, "counter", NULL, help);
	evbuffer_add_printf(out->text, "%s_total %" PRIu64 "\n", name, number);
}

static void put_gauge(const struct writer *out, const char *name, const char *unit, const char *help, uint64_t number)
{
	put_family(out, name, "gauge", unit, help);
	put_sample(out, name, NULL, NULL, number);
}

static void put_agent(const struct writer *out, const struct metrics_view *view)
{
	put_family(out, "smtpward_build", "info", NULL, "Version of the agent.");
	put_sample(out, "smtpward_build_info", "version", view->version, 1);
	put_family(out, "smtpward_mode", "gauge", NULL, "1 for the mode that the agent is in.");
	put_sample(out, "smtpward_mode", "mode", "monitor", view->mode == MODE_MONITOR);
	put_sample(out, "smtpward_mode", "mode", "block", view->mode == MODE_BLOCK);
	put_family(out, "smtpward_start_time_seconds", "gauge", "seconds", "When the agent was started, since the epoch.");
	evbuffer_add_printf(out->text, "smtpward_start_time_seconds %lld.%03ld\n", (long long)view->started.tv_sec,
			    view->started.tv_nsec / 1000000);
	put_gauge(out, "process_resident_memory_bytes", "bytes", "Memory of the agent that is resident.",
		  view->resident_bytes);
	put_family(out, "smtpward_hook_attached", "gauge", NULL, "1 if the hook is attached.");
	for (unsigned i = 0; i < view->hook_count; i++)
		put_sample(out, "smtpward_hook_attached", "hook", view->hooks[i].name, view->hooks[i].attached);
}

static void put_sessions(const struct writer *out, const struct metrics_view *view)
{
	static const char *const exposures[] = { [EXPOSURE_NOTHING] = "nothing", [EXPOSURE_GUESSABLE] = "guessable",
						 [EXPOSURE_SECRET] = "secret" };
	const struct agent_counts *counts = &view->counts;

	put_gauge(out, "smtpward_sessions_open", NULL, "Outbound SMTP sessions that are open.", view->sessions_open);
	put_family(out, "smtpward_sessions_closed", "counter", NULL, "Sessions that are over, by outcome.");
	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		put_sample(out, "smtpward_sessions_closed_total", "outcome", outcome_name((enum outcome)i),
			   counts->outcomes[i]);
	put_family(out, "smtpward_findings", "counter", NULL, "Findings, each counted once a session.");
	for (unsigned i = 0; i < FINDING_COUNT; i++)
		put_sample(out, "smtpward_findings_total", "finding", finding_name((enum finding)i), counts->findings[i]);
	put_family(out, "smtpward_cleartext_auth", "counter", NULL,
		   "Sessions with a credential in clear, by what its mechanism gives away.");
	for (unsigned i = 0; i < sizeof(exposures) / sizeof(exposures[0]); i++)
		put_sample(out, "smtpward_cleartext_auth_total", "exposure", exposures[i], counts->auth_clear[i]);
	put_counter(out, "smtpward_would_block", "Sessions that block mode would have stopped.", counts->would_block);
	put_counter(out, "smtpward_blocked", "Sessions that were stopped.", view->kernel[COUNTER_FLOWS_BLOCKED]);
	put_counter(out, "smtpward_sockets_destroyed", "Sockets of blocked sessions that were ended.",
		    counts->sockets_destroyed);
	put_counter(out, "smtpward_socket_destroy_failures", "Sockets of blocked sessions that could not be ended.",
		    counts->destroy_failed);
	put_counter(out, "smtpward_forwards_evicted", "Open forwarded flows whose state made room for another's.",
		    counts->forwards_evicted);
	put_counter(out, "smtpward_forwards_idle", "Forwarded flows given up, since nothing was seen of them for long.",
		    counts->forwards_idle);
	put_counter(out, "smtpward_sessions_evicted", "Open sessions that were given up: too many at a time.",
		    view->sessions_evicted);
	put_counter(out, "smtpward_sessions_shed", "Sessions whose TLS handshake was not read to its end: too many at a time.",
		    view->sessions_shed);
}

/* Times, as a summary; name without "_seconds". */
static void put_durations(const struct writer *out, const char *name, const char *help, const struct durations *durations)
{
	static const struct {
		const char *label;
		double quantile;
	} quantiles[] = { { "0.5", 0.5 }, { "0.99", 0.99 } };

	put_family(out, name, "summary", "seconds", help);
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		evbuffer_add_printf(out->text, "%s", name);
		put_label(out, "quantile", quantiles[i].label);
		evbuffer_add_printf(out->text, " %.6f\n", (double)durations_quantile(durations, quantiles[i].quantile) / 1e9);
	}
	evbuffer_add_printf(out->text, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, (double)durations->sum_ns / 1e9, name,
			    durations->total);
}

static void put_identity(const struct writer *out, const struct metrics_view *view)
{
	put_gauge(out, "smtpward_witness_active", NULL, "1 if the senders' TLS libraries are asked.", view->witness_active);
	put_gauge(out, "smtpward_witness_libraries", NULL, "Library files that are watched.", view->witness_libraries);
	put_family(out, "smtpward_tls_sessions", "counter", NULL,
		   "Sessions with TLS that are over, by whether the sender's TLS library was heard.");
	put_sample(out, "smtpward_tls_sessions_total", "witness", "yes", view->counts.witnessed);
	put_sample(out, "smtpward_tls_sessions_total", "witness", "no", view->counts.not_witnessed);
	put_counter(out, "smtpward_sessions_held", "Sessions whose application data waited for a verdict on the server.",
		    view->counts.held);
	put_counter(out, "smtpward_sockets_released", "Sockets that were pushed once the verdict was there.",
		    view->counts.released);
	put_counter(out, "smtpward_socket_release_failures", "Sockets that were left to TCP's own timer.",
		    view->counts.release_failed);
	put_durations(out, "smtpward_hold_seconds", "How long application data waited.", &view->held);
	put_durations(out, "smtpward_verdict_seconds", "From a TLS library's word to the agent's verdict, where one is demanded.",
		      &view->verdict_time);
}

static void put_alerts(const struct writer *out, const struct metrics_view *view)
{
	put_counter(out, "smtpward_alerts", "Alerts that were emitted.", view->alerts.emitted);
	put_counter(out, "smtpward_alerts_suppressed", "Alerts held back when raised: repeats, and those above the rate.",
		    view->alerts.suppressed);
	put_counter(out, "smtpward_alerts_below_minimum", "Alerts below the minimum severity.", view->alerts.below);
	put_counter(out, "smtpward_alerts_untold", "Alerts held back that were never told.", view->alerts.untold);
}

static void put_sinks(const struct writer *out, const struct metrics_view *view)
{
	put_family(out, "smtpward_sink_written", "counter", NULL, "Messages that the sink took.");
	for (unsigned i = 0; i < view->sink_count; i++)
		put_sample(out, "smtpward_sink_written_total", "sink", view->sinks[i].name, view->sinks[i].written);
	put_family(out, "smtpward_sink_dropped", "counter", NULL, "Messages that the sink never took.");
	for (unsigned i = 0; i < view->sink_count; i++)
		put_sample(out, "smtpward_sink_dropped_total", "sink", view->sinks[i].name, view->sinks[i].dropped);
	put_family(out, "smtpward_sink_failed", "counter", NULL, "Attempts to open the sink or write to it that failed.");
	for (unsigned i = 0; i < view->sink_count; i++)
		put_sample(out, "smtpward_sink_failed_total", "sink", view->sinks[i].name, view->sinks[i].failed);
	put_family(out, "smtpward_sink_queued", "gauge", NULL, "Messages that wait for the sink.");
	for (unsigned i = 0; i < view->sink_count; i++)
		put_sample(out, "smtpward_sink_queued", "sink", view->sinks[i].name, view->sinks[i].queued);
}

static void put_kernel(const struct writer *out, const struct metrics_view *view)
{
	static const struct {
		const char *name, *help;
	} counters[COUNTER_COUNT] = {
#define X(id, name) [COUNTER_##id] = { "smtpward_kernel_" name, "The BPF programs' counter " name "." },
		COUNTERS(X)
#undef X
	};

	put_counter(out, "smtpward_events_read", "Events that the agent read.", view->counts.events_read);
	put_counter(out, "smtpward_events_lost", "Events that found the ring buffer full.",
		    view->kernel[COUNTER_EVENTS_LOST]);
	put_gauge(out, "smtpward_ring_used_bytes", "bytes", "Bytes in the ring buffer.", view->ring_used);
	put_gauge(out, "smtpward_ring_size_bytes", "bytes", "Size of the ring buffer.", view->ring_size);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		put_counter(out, counters[i].name, counters[i].help, view->kernel[i]);
}

void metrics_text(struct evbuffer *text, const struct metrics_view *view, bool openmetrics)
{
	const struct writer out = { text, openmetrics };

	put_agent(&out, view);
	put_sessions(&out, view);
	put_identity(&out, view);
	put_alerts(&out, view);
	put_sinks(&out, view);
	put_kernel(&out, view);
	if (openmetrics)
		evbuffer_add_printf(text, "# EOF\n");
}
