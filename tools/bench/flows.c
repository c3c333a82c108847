/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many flows at once, and many one after the other; the agent is attached to the cgroup.
 *
 *   flows hold CGROUP ADDRESS FLOWS COMMAND [ARGUMENT ...]
 *   flows rate CGROUP ADDRESS SESSIONS-PER-SECOND SECONDS
 *
 * hold: opens so many flows with TLS, to port 465 of ADDRESS and those behind it, 25,000 to each. They stay open while
 * packets go over one of them and then over all in turn, and while the command runs. Prints, in nanoseconds a packet out
 * and in, "hot" (the median of all rounds) and "turn"; then "optmem", the bytes that the flow's socket has in kernel memory
 * more than one that is not watched.
 *
 * Each flow has the same handshake, which was made once: this end and that only say what was said then, and who watches
 * cannot tell. The flows are opened no faster than the agent reads.
 *
 * rate: sessions with mail in clear to port 25, so many a second if it can. Prints how many a second they were.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <linux/sock_diag.h>

#include "programs.h"
#include "ring.h"
#include "sockets.h"
#include "tls.h"

#define TLS_PORT 465
#define CLEAR_PORT 25
#define OTHER_PORT 2400
#define FLOWS_PER_ADDRESS 25000U /* a search for a free port takes long once half of them are used */
#define ADDRESSES_MAX 4
#define RATE_ADDRESSES 4

#define BATCH 64 /* flows opened before the agent has to have read what they told */
#define ROUNDS 21
#define MESSAGES 1000 /* a round */
#define TURN_MESSAGES 20000U
#define MESSAGE_SIZE 1400

/* a record of application data */
static const char message[MESSAGE_SIZE] = { 23, 3, 3, (MESSAGE_SIZE - 5) >> 8, (MESSAGE_SIZE - 5) & 0xff };

static void exchange(struct ends ends)
{
	pass(ends.client, ends.server, message, sizeof(message));
	pass(ends.server, ends.client, message, sizeof(message));
}

/* ---- hold ------------------------------------------------------------------------------------------------- */

/* A process that holds a part of the flows: a process may have so many descriptors, and no more. */
struct holder {
	int orders, answers; /* pipes */
	unsigned first, count; /* its flows */
};

enum order { OPEN = 1, EXCHANGE, OPTION_MEMORY };

struct command {
	uint32_t order;
	uint32_t flows; /* EXCHANGE: over so many of them in turn */
	uint32_t n;     /* EXCHANGE: so often in all */
};

struct held {
	int cgroup;
	struct ring ring;
	uint32_t address;
	int listeners[ADDRESSES_MAX], other;
	unsigned count;
	struct holder *holders;
	unsigned holder_count;
};

static void wait_for_agent(const struct ring *ring)
{
	for (unsigned waited = 0; ring_fill(ring); waited++) {
		if (waited > 30000)
			die("the agent does not read its ring");
		usleep(1000);
	}
}

static void open_flows(const struct held *held, const struct holder *holder, struct ends *flows)
{
	static struct tls_script script;
	if (tls_script_make(&script))
		die("no TLS handshake could be made");
	for (unsigned i = 0; i < holder->count; i++) {
		unsigned which = (holder->first + i) / FLOWS_PER_ADDRESS;
		struct ends ends = ends_open(held->listeners[which], held->address + which, TLS_PORT);
		for (unsigned j = 0; j < script.count; j++) {
			const struct tls_message *line = &script.messages[j];
			pass(line->from_server ? ends.server : ends.client, line->from_server ? ends.client : ends.server, line->bytes,
			     line->length);
		}
		exchange(ends);
		exchange(ends); /* now the kernel has told that TLS is established, and looks at nothing any more */
		flows[i] = ends;
		if (i % BATCH == BATCH - 1)
			wait_for_agent(&held->ring);
	}
	wait_for_agent(&held->ring);
}

static unsigned option_memory(int fd)
{
	uint32_t values[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(values);
	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, &size))
		die("SO_MEMINFO: %s", strerror(errno));
	return values[SK_MEMINFO_OPTMEM];
}

/* What a holder does until the pipe ends. */
static void serve(const struct held *held, const struct holder *holder, int orders, int answers)
{
	struct ends *flows = calloc(holder->count, sizeof(*flows));
	struct command command;
	if (!flows)
		die("no memory");
	while (read(orders, &command, sizeof(command)) == sizeof(command)) {
		uint32_t answer = 0;
		if (command.order == OPEN)
			open_flows(held, holder, flows);
		for (uint32_t i = 0; command.order == EXCHANGE && i < command.n; i++)
			exchange(flows[i % command.flows]);
		if (command.order == OPTION_MEMORY) {
			struct ends unwatched = ends_open(held->other, held->address, OTHER_PORT);
			answer = option_memory(flows[0].client) - option_memory(unwatched.client);
			ends_close(unwatched);
		}
		if (write(answers, &answer, sizeof(answer)) != sizeof(answer))
			break;
	}
}

static void start_holder(struct held *held, struct holder *holder)
{
	int orders[2], answers[2];
	if (pipe2(orders, O_CLOEXEC) || pipe2(answers, O_CLOEXEC))
		die("%s", strerror(errno));
	pid_t child = fork();
	if (child < 0)
		die("%s", strerror(errno));
	if (child == 0) {
		for (unsigned i = 0; i < held->holder_count; i++)
			close(held->holders[i].orders); /* or those would never end */
		close(orders[1]);
		close(answers[0]);
		serve(held, holder, orders[0], answers[1]);
		_exit(EX_OK);
	}
	close(orders[0]);
	close(answers[1]);
	holder->orders = orders[1];
	holder->answers = answers[0];
	held->holder_count++;
}

static uint32_t command(const struct holder *holder, enum order order, unsigned flows, unsigned n)
{
	const struct command sent = { .order = order, .flows = flows, .n = n };
	uint32_t answer;
	if (write(holder->orders, &sent, sizeof(sent)) != sizeof(sent) ||
	    read(holder->answers, &answer, sizeof(answer)) != sizeof(answer))
		die("a process that holds flows has ended");
	return answer;
}

/* As many as are needed; each opens its flows before the next one does, so that nobody accepts another's. */
static void start_holders(struct held *held)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	unsigned most = (unsigned)(limit.rlim_max < 40000 ? limit.rlim_max : 40000) / 2 - 100; /* of the flows, by one */
	held->holders = calloc(held->count / most + 1, sizeof(*held->holders));
	if (!held->holders)
		die("no memory");
	for (unsigned first = 0; first < held->count; first += most) {
		struct holder *holder = &held->holders[held->holder_count];
		holder->first = first;
		holder->count = held->count - first < most ? held->count - first : most;
		start_holder(held, holder);
		command(holder, OPEN, 0, 0);
	}
}

struct costs {
	double out, in; /* ns a packet */
};

static struct run_time read_run_time(int cgroup, enum bpf_attach_type type)
{
	struct run_time total = { 0 };
	int error = programs_run_time(cgroup, type, &total);
	if (error)
		die("the programs cannot be read: %s", strerror(-error));
	return total;
}

static double per_run(struct run_time before, struct run_time after, unsigned least)
{
	uint64_t runs = after.runs - before.runs;
	if (runs < least)
		die("%llu packets came by the program, not %u: is the agent attached?", (unsigned long long)runs, least);
	return (double)(after.ns - before.ns) / (double)runs;
}

/* The cost of n exchanges, over that many flows of each of the holders in turn. */
static struct costs measure(const struct held *held, unsigned holders, unsigned flows, unsigned n)
{
	struct run_time out = read_run_time(held->cgroup, BPF_CGROUP_INET_EGRESS);
	struct run_time in = read_run_time(held->cgroup, BPF_CGROUP_INET_INGRESS);
	for (unsigned i = 0; i < holders; i++) {
		const struct holder *holder = &held->holders[i];
		command(holder, EXCHANGE, flows < holder->count ? flows : holder->count, n);
	}
	return (struct costs){ .out = per_run(out, read_run_time(held->cgroup, BPF_CGROUP_INET_EGRESS), holders * n),
			       .in = per_run(in, read_run_time(held->cgroup, BPF_CGROUP_INET_INGRESS), holders * n) };
}

static void measure_hot(const struct held *held)
{
	double out[ROUNDS], in[ROUNDS];
	measure(held, 1, 1, MESSAGES); /* caches get warm */
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct costs costs = measure(held, 1, 1, MESSAGES);
		out[round] = costs.out;
		in[round] = costs.in;
	}
	qsort(out, ROUNDS, sizeof(*out), compare_doubles);
	qsort(in, ROUNDS, sizeof(*in), compare_doubles);
	printf("hot %.1f %.1f\n", out[ROUNDS / 2], in[ROUNDS / 2]);
}

/* Once through all of them, or several times through few. */
static void measure_turn(const struct held *held)
{
	unsigned each = held->holders[0].count;
	struct costs costs = measure(held, held->holder_count, each, each > TURN_MESSAGES ? each : TURN_MESSAGES);
	printf("turn %.1f %.1f\n", costs.out, costs.in);
}

static int run(char **argv)
{
	int status;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		execvp(argv[0], argv);
		fprintf(stderr, "flows: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		die("%s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_OSERR;
}

/* One CPU, so that neither side's cache lines travel. */
static void stay_on_this_cpu(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int hold(char **argv)
{
	struct held held = { .address = address_of(argv[1]), .count = number_of(argv[2]) };
	unsigned addresses = (held.count - 1) / FLOWS_PER_ADDRESS + 1;
	if (addresses > ADDRESSES_MAX)
		die("at most %u flows", ADDRESSES_MAX * FLOWS_PER_ADDRESS);
	for (unsigned i = 0; i < addresses; i++)
		held.listeners[i] = listen_at(held.address + i, TLS_PORT);
	held.other = listen_at(held.address, OTHER_PORT);
	held.cgroup = cgroup_enter(argv[0]);
	int error = ring_open(held.cgroup, &held.ring);
	if (error)
		die("the agent's ring: %s", strerror(-error));
	stay_on_this_cpu();
	start_holders(&held);
	if (programs_stats_on() < 0)
		die("BPF statistics: %s", strerror(errno));
	measure_hot(&held);
	measure_turn(&held);
	printf("optmem %u\n", command(&held.holders[0], OPTION_MEMORY, 0, 0));
	return run(argv + 3);
}

/* ---- rate ------------------------------------------------------------------------------------------------- */

static void session(int listener, uint32_t address)
{
	struct ends ends = ends_open(listener, address, CLEAR_PORT);
	say(ends.server, ends.client, "220 bench.example ESMTP\r\n");
	say(ends.client, ends.server, "EHLO client.example\r\n");
	say(ends.server, ends.client, "250 bench.example\r\n");
	say(ends.client, ends.server, "MAIL FROM:<a@client.example>\r\n");
	ends_close(ends);
}

static int rate(char **argv)
{
	uint32_t address = address_of(argv[1]);
	unsigned wanted = number_of(argv[2]), seconds = number_of(argv[3]), done = 0;
	int listeners[RATE_ADDRESSES];
	for (unsigned i = 0; i < RATE_ADDRESSES; i++)
		listeners[i] = listen_at(address + i, CLEAR_PORT);
	cgroup_enter(argv[0]);
	uint64_t start = now_ns(), end = start + seconds * 1000000000ULL, now;
	while ((now = now_ns()) < end) {
		if (done * 1000000000ULL / wanted > now - start) {
			usleep(200);
			continue;
		}
		session(listeners[done % RATE_ADDRESSES], address + done % RATE_ADDRESSES);
		done++;
	}
	printf("%.0f\n", (double)done * 1e9 / (double)(now - start));
	return EX_OK;
}

int main(int argc, char **argv)
{
	if (argc >= 6 && strcmp(argv[1], "hold") == 0)
		return hold(argv + 2);
	if (argc == 6 && strcmp(argv[1], "rate") == 0)
		return rate(argv + 2);
	fputs("usage: flows hold CGROUP ADDRESS FLOWS COMMAND [ARGUMENT ...]\n"
	      "       flows rate CGROUP ADDRESS SESSIONS-PER-SECOND SECONDS\n",
	      stderr);
	return EX_USAGE;
}
