/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where events are written: syslog, a file of JSON lines, the journal. Each sink has a thread and a bounded queue
 * of its own. Whatever happens to a sink, the caller never waits: a full queue drops the new message and counts it.
 *
 * Syslog and journal: where syslog's socket is the journal's (/dev/log on most systemd hosts), an event written to
 * both would be there twice, so only one is used. With journal: on it is the journal; with off it is syslog; with
 * auto it is syslog if a syslog daemon listens behind the journal (the journal passes on the message with its JSON,
 * and keeps it), else the journal. Where syslog has a socket of its own, both are used. This is settled once, at
 * sinks_open().
 */
#ifndef SMTPWARD_SINK_H
#define SMTPWARD_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "finding.h"

struct config;
struct sinks;

#define SINKS_MAX 3
#define SINK_QUEUE_MESSAGES 1024
#define SINK_QUEUE_BYTES (4 * 1024 * 1024)

struct sink_stats {
	const char *name; /* "syslog", "file", "journal" */
	uint64_t written;
	uint64_t dropped; /* messages: the queue was full, or the sink never took them */
	uint64_t failed;  /* attempts to open or to write that failed; the message was tried again */
	unsigned queued;
	char last_error[128]; /* of the last failure; "" if there was none, or all is well since */
};

/* How the file is opened where this process may not do it: a descriptor or a negative errno. Called by the sink's thread. */
struct sink_file_opener {
	int (*open)(void *context);
	void *context;
};

/*
 * Opens the sinks that config names and starts their threads; call it after the last fork(). A sink that does not
 * answer is no error: it is tried again. Returns NULL if one can never work (a path too long, a file that may not be
 * opened), with the reason in error.
 * opener NULL: the file is opened by its path.
 */
struct sinks *sinks_open(const struct config *config, const struct sink_file_opener *opener, char *error, size_t error_size);

/* Queues one event for every sink: sentence for people, json (one line) for programs; both are copied. */
void sinks_write(struct sinks *sinks, enum severity severity, const char *sentence, const char *json);

/* Opens every sink anew, so that a file that was moved away is made again. Does not wait. */
void sinks_reopen(struct sinks *sinks);

/* Writes what is queued, for at most a second, then ends the threads. A thread that the kernel does not let go (a
 * file on a dead network mount) is left behind. */
void sinks_close(struct sinks *sinks);

/* Fills stats for each sink; returns how many there are. */
unsigned sinks_stats(struct sinks *sinks, struct sink_stats stats[SINKS_MAX]);

#endif
