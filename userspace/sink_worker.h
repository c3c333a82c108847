/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One sink: its queue, its thread, its connection. See sink.h for what it promises. */
#ifndef SMTPWARD_SINK_WORKER_H
#define SMTPWARD_SINK_WORKER_H

#include "sink.h"
#include "sink_backend.h"

struct sink;

/* Makes a sink; path and prefix are copied. Returns NULL without memory or descriptors. */
struct sink *sink_new(const struct sink_backend *backend, const char *path, const char *prefix, int facility);
/* Before sink_start(): see sink.h. */
void sink_set_opener(struct sink *sink, const struct sink_file_opener *opener);
/* Only for a sink that was not started; NULL is no error. */
void sink_free(struct sink *sink);

/* Opens the target for the first time and starts the thread. Returns 0, also where the target does not answer but
 * may later; else a negative errno. */
int sink_start(struct sink *sink);

/* See sinks_write(), sinks_reopen(), sinks_stats(). */
void sink_write(struct sink *sink, enum severity severity, const char *sentence, const char *json);
void sink_reopen(struct sink *sink);
void sink_stats(struct sink *sink, struct sink_stats *stats);

/* Tells the thread to write what is queued, for at most a second, and to end. Does not wait. */
void sink_stop(struct sink *sink);
/* Waits for that, and frees the sink. */
void sink_join(struct sink *sink);

/* What sinks_open() finds on the host. */
struct sink_surroundings {
	bool journal;                /* the journal's socket is there */
	bool syslog_is_the_journals; /* syslog's socket leads to the journal */
	bool daemon_behind_journal;  /* the journal can pass messages on to a syslog daemon */
};

/* Which of the two are used: the rule in sink.h. */
void sinks_choose(const struct config *config, const struct sink_surroundings *found, bool *syslog, bool *journal);

#endif
