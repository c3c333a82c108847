/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Turns the value of NOTIFY_SOCKET into an address: a path, or '@' and a name in the abstract namespace. */
static int parse_address(const char *text, struct sockaddr_un *address, socklen_t *length)
{
	size_t n = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || n < 2)
		return -EAFNOSUPPORT;
	if (n >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, text, n);
	if (text[0] == '@')
		address->sun_path[0] = '\0'; /* an abstract name ends where the address does: no NUL behind it */
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (text[0] == '/'));
	return 0;
}

static int send_state(const char *state)
{
	struct sockaddr_un address;
	socklen_t length;
	const char *target = getenv("NOTIFY_SOCKET");

	if (!target)
		return 0;
	int error = parse_address(target, &address, &length);
	if (error)
		return error;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, length);
	error = sent < 0 ? -errno : 0;
	close(fd);
	return error;
}

int notify_ready(const char *status)
{
	static const char head[] = "READY=1\nSTATUS=";
	char state[512];

	if (!status)
		return send_state("READY=1\n");
	snprintf(state, sizeof(state) - 1, "%s%s", head, status);
	/* a line break in status would begin another assignment */
	for (char *byte = state + sizeof(head) - 1; *byte; byte++)
		if (*byte == '\n')
			*byte = ' ';
	strcat(state, "\n");
	return send_state(state);
}

int notify_reloading(void)
{
	struct timespec now;
	char state[80];

	/* Type=notify-reload wants to know which READY=1 answers which reload, by the time of the request. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld%06ld\n", (long long)now.tv_sec, now.tv_nsec / 1000);
	return send_state(state);
}

int notify_stopping(void)
{
	return send_state("STOPPING=1\n");
}

int notify_watchdog(void)
{
	return send_state("WATCHDOG=1\n");
}

static bool parse_number(const char *text, uint64_t *number)
{
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

uint64_t notify_watchdog_interval_us(void)
{
	const char *for_process = getenv("WATCHDOG_PID");
	uint64_t interval, pid;

	if (!parse_number(getenv("WATCHDOG_USEC"), &interval))
		return 0;
	if (for_process && (!parse_number(for_process, &pid) || pid != (uint64_t)getpid()))
		return 0;
	return interval;
}
