/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* smtpwardd: options, the parts wired together, signals and timers. */
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
#include <event2/thread.h>

#include "agent.h"
#include "alert.h"
#include "config.h"
#include "control.h"
#include "history.h"
#include "identity_check.h"
#include "kernel.h"
#include "metrics.h"
#include "notify.h"
#include "resumption.h"
#include "session.h"
#include "sink.h"

#define RING_INTERVAL_MS 100  /* events that do not wake the agent wait so long at most */
#define SWEEP_INTERVAL_S 5
#define POLICY_INTERVAL_S 60  /* rules that end, and cgroups that appear */

struct options {
	const char *config_path;
	bool foreground;
	bool test;
};

enum { TIMERS = 5, SIGNALS = 3 };

struct loop {
	struct event *ring;
	struct event *timers[TIMERS];
	struct event *signals[SIGNALS];
};

static void usage(FILE *out)
{
	fputs("usage: smtpwardd [-c FILE] [-f] [-t] [-V]\n"
	      "  -c FILE  read the configuration from FILE (default " CONFIG_PATH ", if it exists)\n"
	      "  -f       stay in the foreground\n"
	      "  -t       check the configuration and exit\n"
	      "  -V       print the version and exit\n",
	      out);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	int option;
	while ((option = getopt(argc, argv, "c:ftVh")) != -1) {
		switch (option) {
		case 'c':
			options->config_path = optarg;
			break;
		case 'f':
			options->foreground = true;
			break;
		case 't':
			options->test = true;
			break;
		case 'V':
			puts("smtpwardd " SMTPWARD_VERSION);
			exit(EX_OK);
		case 'h':
			usage(stdout);
			exit(EX_OK);
		default:
			usage(stderr);
			exit(EX_USAGE);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "smtpwardd: unexpected argument '%s'\n", argv[optind]);
		usage(stderr);
		exit(EX_USAGE);
	}
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

static void on_ring(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	agent_read_events(context);
}

static void on_second(evutil_socket_t fd, short what, void *context)
{
	struct agent *agent = context;
	struct timespec now;
	(void)fd;
	(void)what;
	clock_gettime(CLOCK_REALTIME, &now);
	kernel_heartbeat(agent->kernel);
	alerts_tick(agent->alerts, now);
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
	struct agent *agent = context;
	(void)fd;
	(void)what;
	agent_sweep(agent);
	kernel_tidy(agent->kernel);
}

static void on_policy(evutil_socket_t fd, short what, void *context)
{
	struct agent *agent = context;
	(void)fd;
	(void)what;
	kernel_set_policy(agent->kernel, agent->config, time(NULL));
	kernel_witness_tidy(agent->kernel);
}

static void on_watchdog(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
	notify_watchdog();
}

static void on_stop(evutil_socket_t number, short what, void *context)
{
	struct agent *agent = context;
	(void)number;
	(void)what;
	event_base_loopbreak(agent->base);
}

static void on_hangup(evutil_socket_t number, short what, void *context)
{
	struct agent *agent = context;
	char message[512];
	(void)number;
	(void)what;
	notify_reloading();
	sinks_reopen(agent->sinks);
	if (agent_reload(agent, message, sizeof(message)))
		agent_say_state(agent, "reload-failed", SEVERITY_ERROR, message);
	notify_ready("running");
}

static struct event *start_timer(struct agent *agent, event_callback_fn callback, uint64_t interval_us)
{
	struct timeval interval = { .tv_sec = (time_t)(interval_us / 1000000), .tv_usec = (suseconds_t)(interval_us % 1000000) };
	struct event *timer = event_new(agent->base, -1, EV_PERSIST, callback, agent);
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

static void loop_start(struct loop *loop, struct agent *agent)
{
	loop->ring = event_new(agent->base, kernel_ring_fd(agent->kernel), EV_READ | EV_PERSIST, on_ring, agent);
	event_add(loop->ring, NULL);
	loop->timers[0] = start_timer(agent, on_ring, RING_INTERVAL_MS * 1000);
	loop->timers[1] = start_timer(agent, on_second, 1000000);
	loop->timers[2] = start_timer(agent, on_policy, POLICY_INTERVAL_S * 1000000ULL);
	loop->timers[3] = start_timer(agent, on_sweep, SWEEP_INTERVAL_S * 1000000ULL);
	uint64_t watchdog = notify_watchdog_interval_us();
	if (watchdog)
		loop->timers[4] = start_timer(agent, on_watchdog, watchdog / 2);
	loop->signals[0] = start_signal(agent, SIGTERM, on_stop);
	loop->signals[1] = start_signal(agent, SIGINT, on_stop);
	loop->signals[2] = start_signal(agent, SIGHUP, on_hangup);
}

static void loop_stop(struct loop *loop)
{
	if (loop->ring)
		event_free(loop->ring);
	for (unsigned i = 0; i < TIMERS; i++) {
		if (loop->timers[i])
			event_free(loop->timers[i]);
	}
	for (unsigned i = 0; i < SIGNALS; i++) {
		if (loop->signals[i])
			event_free(loop->signals[i]);
	}
}

/* ---- start and stop --------------------------------------------------------------------------------------- */

static int complain(const char *error)
{
	fprintf(stderr, "smtpwardd: %s\n", error);
	return EX_CONFIG;
}

/* Everything that can refuse stands before the hooks: nothing is half attached. Returns an exit code. */
static int start(struct agent *agent)
{
	char error[512] = "out of memory";
	struct kernel_problem problem = { .exit_code = EX_OSERR, .text = "out of memory" };

	if (!kernel_allowed(&problem)) {
		complain(problem.text);
		return problem.exit_code;
	}
	agent->base = event_base_new();
	agent->sessions = sessions_new(agent->config->sessions.keep, agent->config->sessions.open_max);
	agent->history = history_new(agent->config->fallback_window_s, HISTORY_MAX);
	agent->alerts = alerts_new(agent->config, agent_emit_alert, agent);
	agent->resumption = resumption_new(RESUMPTION_MAX);
	if (!agent->base || !agent->sessions || !agent->history || !agent->alerts || !agent->resumption)
		return complain(error);
	agent->identity_checker = identity_checker_new(agent->config->identity.trust, error, sizeof(error));
	if (!agent->identity_checker)
		return complain(error);
	agent->control = control_start(agent, error, sizeof(error));
	if (!agent->control)
		return complain(error);
	agent->sinks = sinks_open(agent->config, error, sizeof(error));
	if (!agent->sinks)
		return complain(error);
	if (agent->config->metrics.enabled) {
		agent->metrics = metrics_start(agent, error, sizeof(error));
		if (!agent->metrics)
			return complain(error);
	}
	agent->kernel = kernel_open(agent->config, &problem);
	if (!agent->kernel) {
		complain(problem.text);
		return problem.exit_code;
	}
	clock_gettime(CLOCK_REALTIME, &agent->started);
	agent->policy_loaded = agent->started;
	return EX_OK;
}

static void stop(struct agent *agent)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (agent->kernel)
		agent_read_events(agent);
	bool stays = kernel_stays(agent->kernel);
	kernel_close(agent->kernel, stays);
	if (agent->alerts && agent->sinks)
		alerts_flush(agent->alerts, now);
	if (agent->kernel && agent->sinks)
		agent_say_state(agent, "stopped", SEVERITY_NOTICE, stays ? "stopped: the hooks stay, and what they block stays blocked"
						    : "stopped: nothing is watched any more");
	metrics_stop(agent->metrics);
	control_stop(agent->control);
	sinks_close(agent->sinks);
	alerts_free(agent->alerts);
	history_free(agent->history);
	identity_checker_free(agent->identity_checker);
	resumption_free(agent->resumption);
	sessions_free(agent->sessions);
	agent_forget_cgroups(agent);
	if (agent->base)
		event_base_free(agent->base);
	config_free(agent->config);
}

/* ---- the background --------------------------------------------------------------------------------------- */

/*
 * Goes into the background, but the caller's terminal hears of what fails at the start, and its shell gets the exit
 * code: the parent waits for background_ready(). Returns the descriptor for that, or -1.
 */
static int background_start(void)
{
	int ready[2];
	unsigned char code;
	if (pipe(ready) < 0)
		return -1;
	pid_t child = fork();
	if (child < 0)
		return -1;
	if (child > 0) {
		close(ready[1]);
		_exit(read(ready[0], &code, 1) == 1 ? code : EX_OSERR);
	}
	close(ready[0]);
	setsid();
	return ready[1];
}

static void background_ready(int ready, int code)
{
	unsigned char byte = (unsigned char)code;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && chdir("/") == 0) {
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			dup2(null, fd);
		close(null);
	}
	if (write(ready, &byte, 1) < 0)
		_exit(EX_OSERR); /* whoever waited is gone */
	close(ready);
}

static int run(struct agent *agent, bool foreground)
{
	struct loop loop = { 0 };
	int ready = -1;
	if (!foreground) {
		ready = background_start();
		if (ready < 0)
			return complain(strerror(errno));
	}
	int result = start(agent);
	if (ready >= 0)
		background_ready(ready, result);
	if (result == EX_OK) {
		loop_start(&loop, agent);
		agent_say_started(agent);
		notify_ready("running");
		event_base_dispatch(agent->base);
		notify_stopping();
	}
	loop_stop(&loop);
	stop(agent);
	return result;
}

/* The configuration is read; what it names is looked at, too, as far as nothing is changed by that. */
static int test(struct agent *agent)
{
	char error[512];
	struct identity_checker *checker = identity_checker_new(agent->config->identity.trust, error, sizeof(error));
	int result = checker || !agent->config->identity.trust ? EX_OK : complain(error);
	if (result == EX_OK)
		printf("%s: ok\n", agent->config_path ? agent->config_path : "configuration");
	identity_checker_free(checker);
	config_free(agent->config);
	return result;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct agent agent = { 0 };
	char error[512];

	parse_options(argc, argv, &options);
	signal(SIGPIPE, SIG_IGN);
	agent.config_path = options.config_path;
	agent.config = config_load(options.config_path, error, sizeof(error));
	if (!agent.config)
		return complain(error);
	if (options.test)
		return test(&agent);
	return run(&agent, options.foreground);
}
