/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

void die(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(EX_OSERR);
}

int cgroup_enter(const char *path)
{
	char procs[PATH_MAX];
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	int cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (cgroup < 0 || fd < 0 || write(fd, "0", 1) != 1)
		die("%s: %s", path, strerror(errno));
	close(fd);
	return cgroup;
}

static struct sockaddr_in socket_address(uint32_t address, uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address) };
}

int listen_at(uint32_t address, uint16_t port)
{
	struct sockaddr_in at = socket_address(address, port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(fd, 16))
		die("port %u: %s", port, strerror(errno));
	return fd;
}

struct ends ends_open(int listener, uint32_t address, uint16_t port)
{
	struct sockaddr_in at = socket_address(address, port);
	struct ends ends;
	int on = 1, off = 0;
	ends.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ends.client < 0 || connect(ends.client, (struct sockaddr *)&at, sizeof(at)))
		die("connect to port %u: %s", port, strerror(errno));
	ends.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (ends.server < 0)
		die("accept: %s", strerror(errno));
	setsockopt(ends.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(ends.server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* a young connection acknowledges at once, in packets of their own: not what is to be measured */
	setsockopt(ends.client, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
	setsockopt(ends.server, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
	return ends;
}

void ends_close(struct ends ends)
{
	close(ends.client);
	close(ends.server);
}

void pass(int from, int to, const void *bytes, size_t length)
{
	char received[4096];
	if (send(from, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
		die("send: %s", strerror(errno));
	for (size_t got = 0; got < length;) {
		size_t room = length - got < sizeof(received) ? length - got : sizeof(received);
		ssize_t n = recv(to, received, room, 0);
		if (n <= 0)
			die("the connection ended early");
		got += (size_t)n;
	}
}

void say(int from, int to, const char *line)
{
	pass(from, to, line, strlen(line));
}

uint32_t address_of(const char *text)
{
	struct in_addr address;
	if (inet_pton(AF_INET, text, &address) != 1)
		die("%s is no IPv4 address", text);
	return ntohl(address.s_addr);
}

unsigned number_of(const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);
	if (*end || number == 0 || number > INT_MAX)
		die("%s is no number from 1", text);
	return (unsigned)number;
}

uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? -1 : left > right;
}

double quantile(const double *sorted, unsigned n, unsigned hundredths)
{
	return sorted[(uint64_t)(n - 1) * hundredths / 100];
}
