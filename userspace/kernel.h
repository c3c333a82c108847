/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The narrow interface to the kernel: everything that needs a capability stands behind it. Load and attach the
 * BPF object, read its events and counters, write mode and policy, destroy a socket. Nothing here judges.
 */
#ifndef SMTPWARD_KERNEL_H
#define SMTPWARD_KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"
#include "event.h"
#include "witness.h"

struct kernel;

struct kernel_hook {
	const char *name;     /* "cgroup/connect4" ... */
	bool attached;
	char error[96];       /* why not; "" if attached */
};

struct kernel_problem {
	int exit_code;   /* sysexits: EX_NOPERM 77, EX_CONFIG 78, EX_UNAVAILABLE 69, EX_OSERR 71 */
	char text[256];  /* one line */
};

/* Whether this process has the capabilities; if not, problem names the first that is missing and what for. */
bool kernel_allowed(struct kernel_problem *problem);

struct kernel_processes {
	pid_t agent;        /* whose own use of TLS libraries the witness leaves out */
	int library_reader; /* see library_reader.h; stays the caller's */
};

/* Loads the object, fills its maps from config, attaches it. Returns NULL and fills problem; then nothing of ours is left
 * attached, and what an earlier agent has left still is. */
struct kernel *kernel_open(const struct config *config, const struct kernel_processes *processes, struct kernel_problem *problem);

enum kernel_end {
	KERNEL_END_TOLD,        /* the agent was told to end: the configuration's on_exit decides */
	KERNEL_END_CRASHED,     /* what is pinned stays, as after kill -9 */
	KERNEL_END_NOT_STARTED, /* what an earlier agent has left stays */
};

/* Whether links and maps that are pinned are to stay. */
bool kernel_stays(const struct kernel *kernel, enum kernel_end end);
/* Ends it. leave: links and maps that are pinned stay, so that the kernel goes on without an agent; else nothing does. */
void kernel_close(struct kernel *kernel, bool leave);

/* Descriptor of the ring buffer's map, which event_ring_open() takes a copy of, and its size in bytes. */
int kernel_ring_fd(const struct kernel *kernel);
uint64_t kernel_ring_size(const struct kernel *kernel);

/* Takes effect at each flow's next command. Return 0 or a negative errno. */
int kernel_set_mode(struct kernel *kernel, enum policy_mode mode);
enum policy_mode kernel_mode(const struct kernel *kernel);
/* Replaces the rules by those of config that have not ended at now (seconds since the epoch). */
int kernel_set_policy(struct kernel *kernel, const struct config *config, int64_t now);

/* Ends the flow's socket (SOCK_DESTROY, by cookie, in its own network namespace): the sender gets ECONNABORTED,
 * the server an RST. Returns 0, -ENOENT if it is gone already, or another negative errno. */
int kernel_destroy_socket(struct kernel *kernel, const struct flow_event *event);

/* Whether the flow's socket is still there: 0, -ENOENT if it is gone, or another negative errno. Of a forwarded flow:
 * whether it is still followed; -ENOENT if its state made room for another's, -ETIMEDOUT if nothing of it was seen for
 * long, and now it is let go. */
int kernel_find_socket(struct kernel *kernel, const struct flow_event *event);

/* The agent's word on a flow's peer, for the egress program. Returns 0, -ENOENT if the flow is over, or another negative
 * errno. */
int kernel_set_identity(struct kernel *kernel, uint64_t flow_id, enum identity identity);
/* Pushes what the flow's socket holds back, so that it is judged again at once. pid: a process that may have the socket
 * beside the one that connected; 0: none. Returns 0 or a negative errno; then TCP's own timer does it. */
int kernel_release_socket(struct kernel *kernel, const struct flow_event *event, uint32_t pid);
/* The agent's sign of life, to be given every second: without it nothing is held back to wait for the agent. */
void kernel_heartbeat(struct kernel *kernel);

/* A library file that the witness watches. */
struct kernel_library {
	char path[256]; /* as a process that maps it calls it; hostile */
	bool gnutls;    /* else OpenSSL */
	bool readable;  /* false: OpenSSL of a build whose structures are not known; it tells certificates, and no verdict */
};

struct kernel_witness_state {
	bool active;
	bool outlives_agent; /* its probes are pinned: what it hears, the kernel goes by even when no agent runs */
	char error[160]; /* why not; "" */
	uint64_t failed; /* files that could not be probed */
};

/* NULL: switched off by the configuration. */
const struct kernel_witness_state *kernel_witness_state(const struct kernel *kernel);
/* The libraries, one a call; *position is 0 at first. NULL: that were all. */
const struct kernel_library *kernel_witness_library(const struct kernel *kernel, unsigned *position);
/* A process has connected that has not done so lately: its libraries are looked at. */
void kernel_witness_sender(struct kernel *kernel, uint32_t pid);
/* To be called every minute or so: lets go of libraries that nobody maps any more. */
void kernel_witness_tidy(struct kernel *kernel);

/* To be called every second or so: whether the hooks are at work still is told by kernel_hooks(). They end with their cgroup,
 * and a service's cgroup ends with the service; where there is another one in its place, they are attached to that. */
void kernel_follow_cgroup(struct kernel *kernel);

/* To be called every few seconds: lets go of network namespaces that nothing was asked in lately. */
void kernel_tidy(struct kernel *kernel);

/* Sums the per-CPU counters. */
void kernel_counters(const struct kernel *kernel, uint64_t counters[COUNTER_COUNT]);

/* The hooks, and in *count how many. */
const struct kernel_hook *kernel_hooks(const struct kernel *kernel, unsigned *count);
/* Path of the cgroup that the hooks are attached to, and below which cgroup_path() looks. */
const char *kernel_cgroup(const struct kernel *kernel);
/* Path, below the cgroup2 mount, of the cgroup with this id ("/", "/system.slice/postfix.service"); NULL if it
 * is gone. The caller frees it. */
char *kernel_cgroup_path(const struct kernel *kernel, uint64_t cgroup_id);

#endif
