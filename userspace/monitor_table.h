/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Each operation's name, lane and sizes: what both ends check a message against. */
#ifndef SMTPWARD_MONITOR_TABLE_H
#define SMTPWARD_MONITOR_TABLE_H

#include <stddef.h>

#include "monitor_protocol.h"

struct monitor_row {
	const char *name;
	enum monitor_lane lane;
	size_t request_size, reply_size; /* without the headers */
};

extern const struct monitor_row monitor_rows[MONITOR_OPERATION_COUNT];

/*
 * Sends header and body as one packet, with descriptor fd if it is not -1. Returns 0 or a negative errno (flags:
 * MSG_DONTWAIT makes that -EAGAIN).
 */
int monitor_send(int socket, const void *header, size_t header_size, const void *body, size_t body_size, int fd, int flags);
/*
 * Receives one packet of at most size bytes. Returns its length, 0 at the end, or a negative errno; -EMSGSIZE if it
 * was longer, or brought more than one descriptor. *fd is the descriptor that came along, the caller's, or -1.
 */
int monitor_receive(int socket, void *bytes, size_t size, int *fd, int flags);

#endif
