/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The monitor's side of the table: what the handlers share, and the loop that calls them. */
#ifndef SMTPWARD_MONITOR_SERVER_H
#define SMTPWARD_MONITOR_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "config.h"
#include "kernel.h"
#include "monitor_table.h"

/* What the witness watches, as it was after the last errand: the lane's thread goes on meanwhile. */
struct witness_snapshot {
	bool enabled;
	struct kernel_witness_state state;
	struct kernel_library libraries[WITNESS_LIBRARIES_MAX];
	unsigned count;
};

struct monitor_server {
	int lanes[LANE_COUNT]; /* our ends */
	pthread_t threads[LANE_COUNT];
	bool running[LANE_COUNT]; /* the lane has a thread */
	atomic_bool lanes_end;    /* they are to end, however many requests wait */
	struct config *config; /* as at the start; its rules are those in force */
	const char *config_path; /* as given with -c, or NULL */
	struct config_rule *staged; /* rules that are being sent */
	struct policy_rule staged_fallback;
	unsigned staged_count, staged_size;
	struct kernel *kernel; /* NULL before the start, and once it is stopped */
	pid_t agent;
	int library_reader;
	pthread_mutex_t snapshot_lock;
	struct witness_snapshot snapshot;
	void (*started)(void *context); /* the agent is at work (again) */
	void *context;
	bool stopped; /* in good order */
};

/*
 * Answers one request on a lane; waits for one, and for room for the answer, unless flags say MSG_DONTWAIT. Returns false
 * when the lane is over: the agent is gone, has sent what is no request, or does not take its answers.
 */
bool monitor_serve(struct monitor_server *server, enum monitor_lane lane, int flags);
/* Starts a lane's thread. Returns 0 or a negative errno. */
int monitor_lane_start(struct monitor_server *server, enum monitor_lane lane);
/* Ends them, with the request that each is at: nobody uses server->kernel any more but the caller. */
void monitor_lanes_stop(struct monitor_server *server);
/* Detaches. leave: the kernel goes on by itself. */
void monitor_detach(struct monitor_server *server, bool leave);
/* Frees what the handlers have kept, but not config. */
void monitor_server_clear(struct monitor_server *server);

/* The handlers: request and reply are the operation's structs, reply all zero before; *fd is a descriptor to go along with
 * the reply, which is closed then. They return 0 or a negative errno. */
#define X(id, name, lane) \
	int monitor_do_##name(struct monitor_server *server, const struct monitor_##name##_request *request, \
			      struct monitor_##name##_reply *reply, int *fd);
MONITOR_OPERATIONS(X)
#undef X

#endif
