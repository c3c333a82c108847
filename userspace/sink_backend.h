/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the sinks differ in. Every function runs in the sink's own thread; none may block. */
#ifndef SMTPWARD_SINK_BACKEND_H
#define SMTPWARD_SINK_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "finding.h"
#include "sink.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
/* What a syslog daemon behind the journal listens on (ForwardToSyslog=). */
#define JOURNAL_SYSLOG_SOCKET "/run/systemd/journal/syslog"

/* The configuration of one sink; owned by it. */
struct sink_target {
	char *path;
	char *prefix; /* syslog: in front of the JSON */
	int facility; /* LOG_MAIL ... */
	struct sink_file_opener opener; /* the file's; open NULL: by its path */
};

struct sink_message {
	struct sink_message *next;
	enum severity severity;
	time_t time; /* when it was queued */
	size_t size; /* what it counts for in the queue */
	char *json;
	char sentence[]; /* json stands behind it */
};

/* An open target. A stream takes part of a message, a datagram socket all or nothing. */
struct sink_connection {
	int fd;
	bool stream;
};

struct sink_backend {
	const char *name;
	/* Opens the target. Returns 0 or a negative errno. */
	int (*open)(const struct sink_target *target, struct sink_connection *connection);
	/* Returns the bytes to write for the message, and their number in *length; NULL without memory. The caller
	 * frees them. */
	char *(*format)(const struct sink_target *target, const struct sink_message *message, bool stream, size_t *length);
	/* Writes; returns how many bytes went out or a negative errno, -EAGAIN if none can go now. */
	ssize_t (*write)(const struct sink_connection *connection, const char *bytes, size_t length);
};

extern const struct sink_backend sink_syslog, sink_file, sink_journal;

/* Opens the file at path for appending, or makes it. Returns the descriptor or a negative errno. */
int sink_file_create(const char *path);
/* Connects to the local socket at path, without blocking. Returns the descriptor or a negative errno. */
int sink_connect(const char *path, int type);
/* Sends to a socket. The write() of the backends that have one. */
ssize_t sink_send(const struct sink_connection *connection, const char *bytes, size_t length);

#endif
