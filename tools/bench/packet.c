/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet costs: nanoseconds a run of the egress and ingress programs, as the kernel counts them, over real
 * loopback sockets.
 *
 *   packet WATCHED-CGROUP EMPTY-CGROUP
 *
 * The agent is attached to the first cgroup; to the second goes a program that does nothing. Prints one line a case:
 * its name, and for packets out and in the median of all rounds. To be run where ports 25, 465 and 2400 are free: the
 * agent watches the first two, the second for TLS from the first byte.
 *
 * The TLS session is a real one until both sides have sent data in it. Then come records of nothing but zeros, the same
 * bytes as in the first two cases: encrypting them would make caches colder for one case and not for those that it is
 * compared with. The programs look at neither.
 *
 * Client and server are one thread, and each message waits for its answer: one packet out and one in. Only the client's
 * socket is in the cgroup; an accepted socket is in that of its listener, which this process made before it moved.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "programs.h"
#include "tls.h"

#define ROUNDS 41
#define MESSAGES 1000 /* a round; as commands on one flow far below the agent's parse cap */
#define MESSAGE_SIZE 1400

enum { EMPTY, OTHER, TLS, COMMAND, CASES };

struct flow {
	int client;
	int server;
	struct tls_pair tls; /* empty where there is none */
};

struct benchmark {
	const char *name;
	uint16_t port;
	bool one_flow; /* for all rounds; else a new one each */
	bool tls;
	bool smtp;
	int cgroup; /* descriptors */
	int procs;
	int listener;
	struct flow flow;
	double out[ROUNDS], in[ROUNDS]; /* ns a packet */
};

static struct benchmark benchmarks[CASES] = {
	[EMPTY] = { .name = "empty", .port = 2400, .one_flow = true },
	[OTHER] = { .name = "other", .port = 2400, .one_flow = true },
	[TLS] = { .name = "tls", .port = 465, .one_flow = true, .tls = true },
	[COMMAND] = { .name = "command", .port = 25, .smtp = true },
};

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("packet: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(EX_OSERR);
}

/* ---- cgroups and sockets ---------------------------------------------------------------------------------- */

static void open_cgroup(struct benchmark *benchmark, const char *path)
{
	char procs[PATH_MAX];
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	benchmark->cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	benchmark->procs = open(procs, O_WRONLY | O_CLOEXEC);
	if (benchmark->cgroup < 0 || benchmark->procs < 0)
		die("%s: %s", path, strerror(errno));
}

static struct sockaddr_in local(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = local(port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4))
		die("port %u: %s", port, strerror(errno));
	return fd;
}

static void send_all(int fd, const void *bytes, size_t length)
{
	if (send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
		die("send: %s", strerror(errno));
}

static void receive_all(int fd, size_t length)
{
	char bytes[MESSAGE_SIZE];
	if (recv(fd, bytes, length, MSG_WAITALL) != (ssize_t)length)
		die("the connection ended early");
}

/* ---- a flow ----------------------------------------------------------------------------------------------- */

static void say(int from, int to, const char *line)
{
	send_all(from, line, strlen(line));
	receive_all(to, strlen(line));
}

static void exchange(struct flow *flow, bool smtp)
{
	/* a record of application data; on another port nobody looks */
	static const char bytes[MESSAGE_SIZE] = { 23, 3, 3, (MESSAGE_SIZE - 5) >> 8, (MESSAGE_SIZE - 5) & 0xff };
	if (smtp) {
		say(flow->client, flow->server, "NOOP\r\n");
		say(flow->server, flow->client, "250 2.0.0 OK\r\n");
		return;
	}
	send_all(flow->client, bytes, sizeof(bytes));
	receive_all(flow->server, sizeof(bytes));
	send_all(flow->server, bytes, sizeof(bytes));
	receive_all(flow->client, sizeof(bytes));
}

static void pass_record(SSL *from, SSL *to)
{
	char bytes[MESSAGE_SIZE] = { 0 };
	if (SSL_write(from, bytes, sizeof(bytes)) != sizeof(bytes) || SSL_read(to, bytes, sizeof(bytes)) != sizeof(bytes))
		die("the TLS session ended early");
}

static void start_tls(struct flow *flow)
{
	if (tls_pair_open(&flow->tls, flow->client, flow->server))
		die("the TLS handshake failed");
	pass_record(flow->tls.client, flow->tls.server);
	pass_record(flow->tls.server, flow->tls.client);
}

static void open_flow(struct benchmark *benchmark)
{
	struct flow *flow = &benchmark->flow;
	struct sockaddr_in address = local(benchmark->port);
	int on = 1;
	flow->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (flow->client < 0 || connect(flow->client, (struct sockaddr *)&address, sizeof(address)))
		die("connect to port %u: %s", benchmark->port, strerror(errno));
	flow->server = accept4(benchmark->listener, NULL, NULL, SOCK_CLOEXEC);
	if (flow->server < 0)
		die("accept: %s", strerror(errno));
	setsockopt(flow->client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(flow->server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (benchmark->tls)
		start_tls(flow);
	if (benchmark->smtp) {
		say(flow->server, flow->client, "220 bench.example ESMTP\r\n");
		say(flow->client, flow->server, "EHLO client.example\r\n");
		say(flow->server, flow->client, "250 bench.example\r\n");
	}
}

static void close_flow(struct flow *flow)
{
	tls_pair_close(&flow->tls);
	close(flow->client);
	close(flow->server);
}

/* ---- measuring -------------------------------------------------------------------------------------------- */

static struct run_time read_run_time(const struct benchmark *benchmark, enum bpf_attach_type type)
{
	struct run_time total = { 0 };
	int error = programs_run_time(benchmark->cgroup, type, &total);
	if (error)
		die("the programs cannot be read: %s", strerror(-error));
	return total;
}

static double per_run(struct run_time before, struct run_time after, const char *name)
{
	uint64_t runs = after.runs - before.runs;
	if (runs < MESSAGES)
		die("%s: %llu packets came by the program, not %d: is the agent attached?", name, (unsigned long long)runs,
		    MESSAGES);
	return (double)(after.ns - before.ns) / (double)runs;
}

static void run_round(struct benchmark *benchmark, int round)
{
	if (write(benchmark->procs, "0", 1) != 1)
		die("cgroup.procs: %s", strerror(errno));
	if (round == 0 || !benchmark->one_flow)
		open_flow(benchmark);
	for (int i = 0; i < MESSAGES / 10; i++)
		exchange(&benchmark->flow, benchmark->smtp); /* warm caches */
	struct run_time out = read_run_time(benchmark, BPF_CGROUP_INET_EGRESS);
	struct run_time in = read_run_time(benchmark, BPF_CGROUP_INET_INGRESS);
	for (int i = 0; i < MESSAGES; i++)
		exchange(&benchmark->flow, benchmark->smtp);
	benchmark->out[round] = per_run(out, read_run_time(benchmark, BPF_CGROUP_INET_EGRESS), benchmark->name);
	benchmark->in[round] = per_run(in, read_run_time(benchmark, BPF_CGROUP_INET_INGRESS), benchmark->name);
	if (round == ROUNDS - 1 || !benchmark->one_flow)
		close_flow(&benchmark->flow);
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? -1 : left > right;
}

static double median(double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

/* One CPU, so that neither side's cache lines travel. */
static void stay_on_this_cpu(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: packet WATCHED-CGROUP EMPTY-CGROUP\n", stderr);
		return EX_USAGE;
	}
	for (int i = 0; i < CASES; i++) {
		open_cgroup(&benchmarks[i], argv[i == EMPTY ? 2 : 1]);
		benchmarks[i].listener = i == OTHER ? benchmarks[EMPTY].listener : listen_on(benchmarks[i].port);
	}
	int error = programs_attach_empty(benchmarks[EMPTY].cgroup);
	if (error)
		die("%s: %s", argv[2], strerror(-error));
	if (programs_stats_on() < 0)
		die("BPF statistics: %s", strerror(errno));
	stay_on_this_cpu();
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CASES; i++)
			run_round(&benchmarks[i], round);
	}
	for (int i = 0; i < CASES; i++)
		printf("%s %.1f %.1f\n", benchmarks[i].name, median(benchmarks[i].out), median(benchmarks[i].in));
	return EX_OK;
}
