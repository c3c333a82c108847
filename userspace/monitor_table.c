/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "monitor_table.h"

const struct monitor_row monitor_rows[MONITOR_OPERATION_COUNT] = {
#define X(id, name, lane) \
	[MONITOR_##id] = { #name, lane, sizeof(struct monitor_##name##_request), sizeof(struct monitor_##name##_reply) },
	MONITOR_OPERATIONS(X)
#undef X
};

#define X(id, name, lane) \
	_Static_assert(sizeof(struct monitor_##name##_request) + sizeof(struct monitor_request_header) <= MONITOR_MESSAGE_MAX && \
			       sizeof(struct monitor_##name##_reply) + sizeof(struct monitor_reply_header) <= MONITOR_MESSAGE_MAX, \
		       "fits a message");
MONITOR_OPERATIONS(X)
#undef X

union descriptor_space {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int monitor_send(int socket, const void *header, size_t header_size, const void *body, size_t body_size, int fd, int flags)
{
	struct iovec parts[] = { { (void *)(uintptr_t)header, header_size }, { (void *)(uintptr_t)body, body_size } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	union descriptor_space space = { 0 };
	ssize_t n;

	if (fd >= 0) {
		message.msg_control = &space;
		message.msg_controllen = sizeof(space);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	}
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* There is room for one descriptor; the kernel closes what is beyond that, and says MSG_CTRUNC. */
static int descriptor_of(struct msghdr *message)
{
	int fd = -1;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS && part->cmsg_len >= CMSG_LEN(sizeof(fd)))
			memcpy(&fd, CMSG_DATA(part), sizeof(fd));
	}
	return fd;
}

int monitor_receive(int socket, void *bytes, size_t size, int *fd, int flags)
{
	struct iovec part = { bytes, size };
	union descriptor_space space = { 0 };
	/* not all of the space: behind the one descriptor it has room for another, which nobody would close */
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = CMSG_LEN(sizeof(*fd)) };
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*fd = descriptor_of(&message);
	if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return (int)n;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return -EMSGSIZE;
}
