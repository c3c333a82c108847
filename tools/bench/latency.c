/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long things take on a machine that does nothing else.
 *
 *   latency alert CGROUP ADDRESS SAMPLES SYSLOG-SOCKET
 *   latency reset CGROUP ADDRESS SAMPLES
 *
 * alert: from the segment with a credential in clear to the syslog line about it, which the agent writes to the socket:
 * this program stands for the syslog daemon, and is started before the agent. reset: from the segment that policy stops to the client's error. Each sample
 * is a connection to port 25 of its own, some milliseconds after the one before. Prints the median and the 99th
 * percentile in milliseconds.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ring.h"
#include "sockets.h"

#define PORT 25
#define PATIENCE_MS 10000

static void greet(struct ends ends)
{
	say(ends.server, ends.client, "220 bench.example ESMTP\r\n");
	say(ends.client, ends.server, "EHLO client.example\r\n");
	say(ends.server, ends.client, "250-bench.example\r\n250 AUTH PLAIN\r\n");
}

/* The agent shall be asleep, and not always at the same point of what it does by the clock. */
static void rest(unsigned sample)
{
	usleep(8000 + sample * 7919 % 9000);
}

/* The agent is started behind this program, so that it finds the syslog socket. */
static void wait_for_agent(int cgroup)
{
	struct ring ring;
	for (unsigned waited = 0; ring_open(cgroup, &ring); waited += 50) {
		if (waited > PATIENCE_MS * 3)
			die("no agent is attached");
		usleep(50000);
	}
	sleep(1); /* its start is over */
}

/* ---- alert ------------------------------------------------------------------------------------------------ */

static int take_syslog(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (strlen(path) >= sizeof(address.sun_path))
		die("%s is too long", path);
	strcpy(address.sun_path, path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || chmod(path, 0666)) /* as /dev/log is */
		die("%s: %s", path, strerror(errno));
	return fd;
}

/* AUTH with an account that no other sample has: alerts that are alike are told once. */
static void make_auth(char *line, size_t size, const char *account)
{
	unsigned char response[64], text[96];
	int length = snprintf((char *)response, sizeof(response), "%c%s%cpassword", 0, account, 0);
	EVP_EncodeBlock(text, response, length);
	snprintf(line, size, "AUTH PLAIN %s\r\n", text);
}

/* Waits for the line about the account's credential. */
static void wait_for_line(int syslog, const char *account)
{
	char line[16384];
	struct pollfd ready = { .fd = syslog, .events = POLLIN };
	for (;;) {
		if (poll(&ready, 1, PATIENCE_MS) != 1)
			die("no alert came");
		ssize_t length = recv(syslog, line, sizeof(line) - 1, 0);
		if (length <= 0)
			die("%s", strerror(errno));
		line[length] = 0;
		if (strstr(line, "cleartext-auth") && strstr(line, account))
			return;
	}
}

static double sample_alert(struct ends ends, int syslog, unsigned sample)
{
	char account[32], line[128];
	snprintf(account, sizeof(account), "account%06u", sample);
	make_auth(line, sizeof(line), account);
	uint64_t start = now_ns();
	if (send(ends.client, line, strlen(line), MSG_NOSIGNAL) < 0)
		die("send: %s", strerror(errno));
	wait_for_line(syslog, account);
	return (double)(now_ns() - start) / 1e6;
}

/* ---- reset ------------------------------------------------------------------------------------------------ */

static double sample_reset(struct ends ends)
{
	static const char line[] = "MAIL FROM:<a@client.example>\r\n";
	char answer[64];
	struct pollfd ready = { .fd = ends.client, .events = POLLIN };
	uint64_t start = now_ns();
	ssize_t sent = send(ends.client, line, strlen(line), MSG_NOSIGNAL);
	if (sent < 0 && errno != ECONNABORTED && errno != ECONNRESET)
		die("send: %s", strerror(errno));
	if (poll(&ready, 1, PATIENCE_MS) != 1)
		die("the client was told nothing");
	if (recv(ends.client, answer, sizeof(answer), 0) >= 0)
		die("the connection was not cut");
	return (double)(now_ns() - start) / 1e6;
}

/* ---- both ------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
	bool alert = argc == 6 && strcmp(argv[1], "alert") == 0;
	if (!alert && (argc != 5 || strcmp(argv[1], "reset") != 0)) {
		fputs("usage: latency alert CGROUP ADDRESS SAMPLES SYSLOG-SOCKET\n"
		      "       latency reset CGROUP ADDRESS SAMPLES\n",
		      stderr);
		return EX_USAGE;
	}
	uint32_t address = address_of(argv[3]);
	unsigned samples = number_of(argv[4]);
	int syslog = alert ? take_syslog(argv[5]) : -1;
	int listener = listen_at(address, PORT);
	double *times = calloc(samples, sizeof(*times));
	if (!times)
		die("no memory");
	wait_for_agent(cgroup_enter(argv[2]));
	for (unsigned i = 0; i < samples; i++) {
		struct ends ends = ends_open(listener, address, PORT);
		greet(ends);
		rest(i);
		times[i] = alert ? sample_alert(ends, syslog, i) : sample_reset(ends);
		ends_close(ends);
	}
	qsort(times, samples, sizeof(*times), compare_doubles);
	printf("%.3f %.3f\n", quantile(times, samples, 50), quantile(times, samples, 99));
	return EX_OK;
}
