/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "agent_process.h"
#include "control_socket.h"
#include "kernel_forward.h"
#include "monitor_process.h"
#include "monitor_server.h"
#include "library_reader.h"
#include "notify.h"
#include "privileges.h"

#define END_MAX_S 30 /* for the agent to end: it writes what its sinks take in a second, and the probes are detached */

struct supervisor {
	const struct monitor_process *process;
	struct monitor_server server;
	struct control_socket control;
	struct privileges privileges;
	int signals; /* signalfd */
	int orders;  /* to the agent */
	bool told_ready;
	time_t deadline; /* CLOCK_MONOTONIC: the agent is to be gone by then; 0: it goes on */
	bool hangs;      /* it was not */
	int status; /* of the agent, as waitpid() tells */
};

static int complain(const char *what, int error)
{
	fprintf(stderr, "smtpwardd: %s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
	return EX_OSERR;
}

static int complain_of_hardening(const char *error)
{
	fprintf(stderr, "smtpwardd: %s: `privileges.hardening: available` would start without it\n", error);
	return EX_UNAVAILABLE;
}

static void tell_ready(struct supervisor *supervisor, int code)
{
	const struct monitor_process *process = supervisor->process;
	if (!supervisor->told_ready && process->ready)
		process->ready(process->context, code);
	supervisor->told_ready = true;
}

static void started(void *context)
{
	notify_ready("running");
	tell_ready(context, EX_OK);
}

/* ---- the processes ---------------------------------------------------------------------------------------- */

struct pairs {
	int lanes[LANE_COUNT][2]; /* the monitor's end, the agent's */
	int orders[2];
};

#define ERRANDS_BYTES (8 << 20) /* some thousands of errands, as many as the ring holds events; taken only as they wait */

static bool make_pairs(struct pairs *pairs)
{
	const int size = ERRANDS_BYTES;
	memset(pairs, -1, sizeof(*pairs));
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pairs->lanes[i]))
			return false;
	}
	/* where this is not allowed there is room for some hundred of them */
	setsockopt(pairs->lanes[LANE_SOCKETS][1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(pairs->lanes[LANE_WITNESS][1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs->orders) == 0;
}

static void close_side(const struct pairs *pairs, unsigned side)
{
	for (unsigned i = 0; i < LANE_COUNT; i++)
		close(pairs->lanes[i][side]);
	close(pairs->orders[side]);
}

/* In the child. Its copy of config is its own. */
static int run_agent(const struct supervisor *supervisor, const struct pairs *pairs, int listening, const sigset_t *mask)
{
	struct agent_process agent = { .config = supervisor->process->config,
				       .config_path = supervisor->process->config_path,
				       .foreground = supervisor->process->foreground,
				       .privileges = &supervisor->privileges,
				       .listening = listening,
				       .monitor_pid = getppid(),
				       .orders = pairs->orders[1] };
	close(supervisor->signals);
	if (supervisor->server.library_reader >= 0)
		close(supervisor->server.library_reader);
	close_side(pairs, 0);
	for (unsigned i = 0; i < LANE_COUNT; i++)
		agent.lanes[i] = pairs->lanes[i][1];
	signal(SIGHUP, SIG_IGN); /* the monitor hands it on */
	/* so it does with these; where they come to the agent too, they find a handler only as long as its loop runs */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigprocmask(SIG_SETMASK, mask, NULL);
	return agent_process_run(&agent);
}

/* Makes the agent. Returns an exit code. */
static int fork_agent(struct supervisor *supervisor, int listening, const sigset_t *mask)
{
	struct pairs pairs;
	if (!make_pairs(&pairs))
		return complain("no connection to the agent", errno);
	pid_t child = fork();
	if (child < 0)
		return complain("the agent's process cannot be made", errno);
	if (child == 0)
		_exit(run_agent(supervisor, &pairs, listening, mask));
	close_side(&pairs, 1);
	close(listening);
	supervisor->server.agent = child;
	supervisor->orders = pairs.orders[0];
	for (unsigned i = 0; i < LANE_COUNT; i++)
		supervisor->server.lanes[i] = pairs.lanes[i][0];
	return EX_OK;
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

static void order(struct supervisor *supervisor, enum monitor_order order)
{
	char byte = (char)order;
	if (send(supervisor->orders, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && order == ORDER_RELOAD)
		notify_ready("running"); /* the agent has many to do already, or is gone */
}

static time_t now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void expect_end(struct supervisor *supervisor)
{
	if (!supervisor->deadline)
		supervisor->deadline = now_s() + END_MAX_S;
}

/* Returns false once the agent is gone. */
static bool take_signal(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;
	if (read(supervisor->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	switch (info.ssi_signo) {
	case SIGHUP:
		notify_reloading();
		order(supervisor, ORDER_RELOAD);
		return true;
	case SIGCHLD:
		return waitpid(supervisor->server.agent, &supervisor->status, WNOHANG) != supervisor->server.agent;
	default:
		order(supervisor, ORDER_STOP);
		expect_end(supervisor);
		return true;
	}
}

/* Serves until the agent is gone, or should be: without CAP_KILL it cannot be ended, but it can be left alone. */
static void serve(struct supervisor *supervisor)
{
	struct pollfd polled[] = { { .fd = supervisor->signals, .events = POLLIN },
				   { .fd = supervisor->server.lanes[LANE_QUICK], .events = POLLIN },
				   { .fd = -1, .events = POLLIN } };
	for (;;) {
		polled[2].fd = supervisor->server.kernel ? kernel_forward_fd(supervisor->server.kernel) : -1;
		int ready = poll(polled, 3, supervisor->deadline ? 1000 : -1);
		supervisor->hangs = supervisor->deadline && now_s() > supervisor->deadline;
		if (supervisor->hangs || (ready < 0 && errno != EINTR))
			return;
		if (ready < 0)
			continue;
		if (polled[2].revents)
			kernel_forward_read(supervisor->server.kernel);
		if (polled[1].revents && !monitor_serve(&supervisor->server, LANE_QUICK, MSG_DONTWAIT)) {
			/* the agent's end is near, or it talks nonsense: it is not listened to any more */
			shutdown(polled[1].fd, SHUT_RDWR);
			shutdown(supervisor->orders, SHUT_RDWR);
			polled[1].fd = -1;
			expect_end(supervisor);
		}
		if (polled[0].revents && !take_signal(supervisor))
			return;
	}
}

/* What the agent's end means. Returns an exit code. */
static int judge_end(struct supervisor *supervisor)
{
	char text[96];
	if (supervisor->hangs)
		snprintf(text, sizeof(text), "the agent does not end: it is left alone");
	else if (WIFSIGNALED(supervisor->status))
		snprintf(text, sizeof(text), "the agent was ended by signal %d (%s)%s", WTERMSIG(supervisor->status),
			 strsignal(WTERMSIG(supervisor->status)),
			 WTERMSIG(supervisor->status) == SIGSYS ? ": a system call that it may not make" : "");
	else if (!supervisor->told_ready || supervisor->server.stopped)
		return WEXITSTATUS(supervisor->status); /* it has said why itself */
	else
		snprintf(text, sizeof(text), "the agent ended with %d", WEXITSTATUS(supervisor->status));
	complain(text, 0);
	return EX_SOFTWARE;
}

/* The first of the two drops; the second is behind the start of the hooks. */
static int supervise(struct supervisor *supervisor)
{
	int result;
	if (privileges_drop(supervisor->process->config->privileges.containers, true))
		return complain("capabilities cannot be given up", EPERM);
	int error = sandbox_forbid_programs();
	if (error && supervisor->process->config->privileges.required)
		return complain_of_hardening("seccomp cannot be applied to the monitor");
	if (monitor_lane_start(&supervisor->server, LANE_FILES))
		return complain("no thread", 0);
	serve(supervisor);
	result = judge_end(supervisor);
	if (supervisor->server.kernel)
		monitor_detach(&supervisor->server,
			       kernel_stays(supervisor->server.kernel,
					    supervisor->told_ready ? KERNEL_END_CRASHED : KERNEL_END_NOT_STARTED));
	return result;
}

/* The reader of library files, before there is anything that it could inherit. Returns an exit code. */
static int start_reader(struct supervisor *supervisor)
{
	const struct config *config = supervisor->process->config;
	const struct sandbox sandbox = { .profile = SANDBOX_READER, .uid = supervisor->privileges.user,
					 .gid = supervisor->privileges.user_group, .required = config->privileges.required };
	char error[256];
	supervisor->server.library_reader = -1;
	if (!config->identity.witness)
		return EX_OK;
	supervisor->server.library_reader = library_reader_start(&sandbox, error, sizeof(error));
	return supervisor->server.library_reader >= 0 ? EX_OK : complain_of_hardening(error);
}

/* As far as anybody may: a probe takes two descriptors, and library files, which are whatever users bring, have many. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(struct supervisor *supervisor)
{
	const struct rlimit no_limit = { RLIM_INFINITY, RLIM_INFINITY };
	const struct config *config = supervisor->process->config;
	char error[512];
	sigset_t handled, before;

	setrlimit(RLIMIT_MEMLOCK, &no_limit); /* Linux 5.10 counts BPF maps against it */
	raise_descriptor_limit();
	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGHUP);
	sigaddset(&handled, SIGCHLD);
	sigprocmask(SIG_BLOCK, &handled, &before);
	supervisor->signals = signalfd(-1, &handled, SFD_CLOEXEC);
	if (supervisor->signals < 0)
		return complain("signals", errno);
	int result = privileges_look_up(config, &supervisor->privileges, error, sizeof(error));
	if (result) {
		complain(error, 0);
		return result;
	}
	result = start_reader(supervisor);
	if (result)
		return result;
	int listening = control_socket_open(&supervisor->control, config->control_socket, supervisor->privileges.owner,
					    supervisor->privileges.group, error, sizeof(error));
	if (listening < 0) {
		complain(error, 0);
		return EX_CONFIG;
	}
	result = fork_agent(supervisor, listening, &before);
	if (result == EX_OK)
		result = supervise(supervisor);
	control_socket_remove(&supervisor->control);
	return result;
}

int monitor_process_run(const struct monitor_process *process)
{
	struct supervisor supervisor = { .process = process };
	supervisor.server.config = process->config;
	supervisor.server.config_path = process->config_path;
	supervisor.server.started = started;
	supervisor.server.context = &supervisor;
	pthread_mutex_init(&supervisor.server.snapshot_lock, NULL);
	struct kernel_problem problem;
	int result;
	if (kernel_allowed(&problem)) {
		result = run(&supervisor);
	} else {
		complain(problem.text, 0);
		result = problem.exit_code;
	}
	tell_ready(&supervisor, result);
	monitor_server_clear(&supervisor.server);
	config_free(process->config);
	return result;
}
