/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <jansson.h>
#include <openssl/x509.h>

#include "agent.h"
#include "agent_process.h"
#include "alert.h"
#include "control.h"
#include "event.h"
#include "event_ring.h"
#include "history.h"
#include "identity_check.h"
#include "metrics.h"
#include "monitor.h"
#include "resumption.h"
#include "sandbox.h"
#include "session.h"
#include "sink.h"

#define RING_INTERVAL_MS 100  /* events that do not wake the agent wait so long at most */
#define SWEEP_INTERVAL_S 5
#define POLICY_INTERVAL_S 60  /* rules that end, and cgroups that appear */

enum { DESCRIPTORS = 3, TIMERS = 4, SIGNALS = 2 };

struct loop {
	struct agent *agent;
	struct event *look_again;
	struct event *descriptors[DESCRIPTORS];
	struct event *timers[TIMERS];
	struct event *signals[SIGNALS];
};

static int complain(const char *error)
{
	fprintf(stderr, "smtpwardd: %s\n", error);
	return EX_CONFIG;
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

/* What comes right behind an event that woke the agent does not wake it again (WAKE_INTERVAL_NS). */
static void on_ring(evutil_socket_t fd, short what, void *context)
{
	static const struct timeval soon = { .tv_usec = WAKE_INTERVAL_NS / 1000 + 1000 };
	struct loop *loop = context;
	uint64_t before = loop->agent->counts.events_read;
	(void)fd;
	(void)what;
	agent_read_events(loop->agent);
	if (loop->agent->counts.events_read != before)
		evtimer_add(loop->look_again, &soon);
}

static void on_answers(evutil_socket_t fd, short what, void *context)
{
	struct agent *agent = context;
	(void)fd;
	(void)what;
	monitor_read_answers(agent->monitor, agent_take_answer, agent);
}

static void on_second(evutil_socket_t fd, short what, void *context)
{
	struct agent *agent = context;
	struct timespec now;
	(void)fd;
	(void)what;
	clock_gettime(CLOCK_REALTIME, &now);
	monitor_heartbeat(agent->monitor);
	alerts_tick(agent->alerts, now);
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
	struct agent *agent = context;
	(void)fd;
	(void)what;
	agent_sweep(agent);
	agent_look_at_hooks(agent);
	monitor_tidy_sockets(agent->monitor);
}

static void on_policy(evutil_socket_t fd, short what, void *context)
{
	struct agent *agent = context;
	(void)fd;
	(void)what;
	monitor_policy_again(agent->monitor);
	monitor_witness_tidy(agent->monitor);
}

static void on_stop(evutil_socket_t number, short what, void *context)
{
	struct agent *agent = context;
	(void)number;
	(void)what;
	event_base_loopbreak(agent->base);
}

static void reload(struct agent *agent)
{
	char message[512];
	sinks_reopen(agent->sinks);
	if (agent_reload(agent, message, sizeof(message)))
		agent_say_state(agent, "reload-failed", SEVERITY_ERROR, message);
	monitor_started(agent->monitor);
}

static void on_order(evutil_socket_t fd, short what, void *context)
{
	struct agent *agent = context;
	char order;
	(void)what;
	ssize_t n = read(fd, &order, 1);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n == 1 && order == ORDER_RELOAD) {
		reload(agent);
		return;
	}
	agent->monitor_gone = n != 1;
	event_base_loopbreak(agent->base);
}

static struct event *start_timer(struct agent *agent, event_callback_fn callback, void *context, uint64_t interval_us)
{
	struct timeval interval = { .tv_sec = (time_t)(interval_us / 1000000), .tv_usec = (suseconds_t)(interval_us % 1000000) };
	struct event *timer = event_new(agent->base, -1, EV_PERSIST, callback, context);
	if (timer)
		event_add(timer, &interval);
	return timer;
}

static struct event *start_signal(struct agent *agent, int number, event_callback_fn callback)
{
	struct event *event = evsignal_new(agent->base, number, callback, agent);
	if (event)
		event_add(event, NULL);
	return event;
}

static struct event *start_reading(struct agent *agent, int fd, event_callback_fn callback, void *context)
{
	struct event *event = event_new(agent->base, fd, EV_READ | EV_PERSIST, callback, context);
	if (event)
		event_add(event, NULL);
	return event;
}

static void loop_start(struct loop *loop, struct agent *agent)
{
	loop->agent = agent;
	loop->look_again = evtimer_new(agent->base, on_ring, loop);
	loop->descriptors[0] = start_reading(agent, event_ring_fd(agent->ring), on_ring, loop);
	loop->descriptors[1] = start_reading(agent, monitor_answers_fd(agent->monitor), on_answers, agent);
	loop->descriptors[2] = start_reading(agent, monitor_orders_fd(agent->monitor), on_order, agent);
	loop->timers[0] = start_timer(agent, on_ring, loop, RING_INTERVAL_MS * 1000);
	loop->timers[1] = start_timer(agent, on_second, agent, 1000000);
	loop->timers[2] = start_timer(agent, on_policy, agent, POLICY_INTERVAL_S * 1000000ULL);
	loop->timers[3] = start_timer(agent, on_sweep, agent, SWEEP_INTERVAL_S * 1000000ULL);
	loop->signals[0] = start_signal(agent, SIGTERM, on_stop);
	loop->signals[1] = start_signal(agent, SIGINT, on_stop);
}

static void free_events(struct event **events, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (events[i])
			event_free(events[i]);
	}
}

static void loop_stop(struct loop *loop)
{
	free_events(&loop->look_again, 1);
	free_events(loop->descriptors, DESCRIPTORS);
	free_events(loop->timers, TIMERS);
	free_events(loop->signals, SIGNALS);
}

/* ---- start and stop --------------------------------------------------------------------------------------- */

/* What needs no right, or those that the process still has. Returns an exit code. */
static int prepare(struct agent *agent, const struct agent_process *process)
{
	char error[512] = "out of memory";

	agent->monitor = monitor_new(process->lanes, process->orders);
	agent->base = event_base_new();
	agent->sessions = sessions_new(agent->config->sessions.keep, agent->config->sessions.open_max);
	agent->history = history_new(agent->config->fallback_window_s, HISTORY_MAX);
	agent->alerts = alerts_new(agent->config, agent_emit_alert, agent);
	agent->resumption = resumption_new(RESUMPTION_MAX);
	if (!agent->monitor || !agent->base || !agent->sessions || !agent->history || !agent->alerts || !agent->resumption)
		return complain(error);
	agent->identity_checker = identity_checker_new(agent->config->identity.trust, error, sizeof(error));
	if (!agent->identity_checker)
		return complain(error);
	agent->control = control_start(agent, process->listening, error, sizeof(error));
	if (!agent->control)
		return complain(error);
	if (agent->config->metrics.enabled) {
		agent->metrics = metrics_start(agent, error, sizeof(error));
		if (!agent->metrics)
			return complain(error);
	}
	return EX_OK;
}

/* What the agent reads by name: users, the time zone, and the system's certificate authorities. */
static int give_up_rights(const struct agent *agent, const struct agent_process *process)
{
	const char *authorities = getenv(X509_get_default_cert_dir_env());
	const char *const readable[] = { "/etc", "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
					 authorities ? authorities : X509_get_default_cert_dir(), NULL };
	const struct sandbox sandbox = { .profile = SANDBOX_AGENT, .uid = process->privileges->user,
					 .gid = process->privileges->user_group, .readable = readable,
					 .required = agent->config->privileges.required };
	char error[256];

	tzset();
	json_object_seed(0); /* by /dev/urandom, which is out of reach later */
	if (sandbox_enter(&sandbox, error, sizeof(error)) == 0)
		return EX_OK;
	fprintf(stderr, "smtpwardd: %s: `privileges.hardening: available` would start without it\n", error);
	return EX_UNAVAILABLE;
}

static int open_sink_file(void *context)
{
	return monitor_open_sink(context);
}

/* Everything that can refuse stands before the hooks: nothing is half attached. Returns an exit code. */
static int start(struct agent *agent, const struct agent_process *process)
{
	const struct sink_file_opener opener = { open_sink_file, agent->monitor };
	struct kernel_problem problem;
	uint64_t ring_size;
	char error[512];

	int result = give_up_rights(agent, process);
	if (result)
		return result;
	config_set_user_lookup(monitor_user_id, agent->monitor); /* a name service's modules may do anything */
	agent->sinks = sinks_open(agent->config, &opener, error, sizeof(error));
	if (!agent->sinks)
		return complain(error);
	int map = monitor_start(agent->monitor, agent->config, &ring_size, &problem);
	if (map < 0) {
		complain(problem.text);
		return problem.exit_code;
	}
	agent->ring = event_ring_open(map, ring_size);
	if (!agent->ring) {
		fprintf(stderr, "smtpwardd: the ring buffer cannot be mapped: %s\n", strerror(errno));
		return EX_OSERR;
	}
	clock_gettime(CLOCK_REALTIME, &agent->started);
	agent->policy_loaded = agent->started;
	return EX_OK;
}

static bool hooks_stay(const struct agent *agent)
{
	enum exit_action action = agent->config->on_exit;
	return action == EXIT_KEEP || (action == EXIT_BY_MODE && monitor_mode(agent->monitor) == MODE_BLOCK);
}

static void say_stopped(struct agent *agent)
{
	if (agent->monitor_gone)
		agent_say_state(agent, "stopped", SEVERITY_CRITICAL,
				"the privileged process has ended: nothing is reported any more, and what blocks goes on by itself");
	else
		agent_say_state(agent, "stopped", SEVERITY_NOTICE,
				hooks_stay(agent) ? "stopped: the hooks stay, and what they block stays blocked"
						  : "stopped: nothing is watched any more");
}

static void stop(struct agent *agent)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (agent->ring) {
		agent_read_events(agent);
		monitor_stop(agent->monitor);
	}
	if (agent->alerts && agent->sinks)
		alerts_flush(agent->alerts, now);
	if (agent->ring && agent->sinks)
		say_stopped(agent);
	metrics_stop(agent->metrics);
	control_stop(agent->control);
	sinks_close(agent->sinks);
	alerts_free(agent->alerts);
	history_free(agent->history);
	identity_checker_free(agent->identity_checker);
	resumption_free(agent->resumption);
	sessions_free(agent->sessions);
	agent_forget_cgroups(agent);
	agent_forget_forwards(agent);
	event_ring_close(agent->ring);
	if (agent->base)
		event_base_free(agent->base);
	monitor_free(agent->monitor);
	config_free(agent->config);
}

static void let_go_of_terminal(int null)
{
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
}

int agent_process_run(const struct agent_process *process)
{
	struct agent agent = { .config = process->config, .config_path = process->config_path, .monitor_pid = process->monitor_pid,
			       .admin_group = process->privileges->admin_group };
	struct loop loop = { 0 };
	int null = process->foreground ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);

	int result = prepare(&agent, process);
	if (result == EX_OK)
		result = start(&agent, process);
	if (result == EX_OK) {
		loop_start(&loop, &agent);
		agent_say_started(&agent);
		let_go_of_terminal(null);
		monitor_started(agent.monitor);
		event_base_dispatch(agent.base);
		result = agent.monitor_gone ? EX_OSERR : EX_OK;
	}
	loop_stop(&loop);
	stop(&agent);
	return result;
}
