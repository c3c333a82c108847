/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parts of kernel.h share: the loaded object, its attachment and its pins. Nobody else includes this. */
#ifndef SMTPWARD_KERNEL_OBJECT_H
#define SMTPWARD_KERNEL_OBJECT_H

#include <pthread.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel.h"

/* The generated header is not held to our warnings. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "smtpward.skel.h"
#pragma GCC diagnostic pop

#include "pins.h"

#define PIN_ROUND_IS_PINNED(round) ((round) & 1)

struct cgroup;
struct kernel_witness;
struct kernel_forward;

#define HOOKS 5

struct kernel {
	struct smtpward_bpf *bpf;
	struct cgroup *cgroup;
	struct sock_diag *diag;
	struct kernel_witness *witness; /* NULL: switched off */
	struct kernel_forward *forward; /* NULL: the configuration names no interface */
	int library_reader;
	int links[HOOKS]; /* descriptors; -1: not attached */
	struct kernel_hook hooks[HOOKS];
	struct settings settings;
	pthread_mutex_t place_lock; /* of pin_path: it is the only thing here that changes while other threads look */
	char pin_path[128];
	int pin_lock; /* tells that an agent is at work here; -1: nothing is pinned */
	bool pinned;  /* the pins below pin_path are ours */
	_Atomic unsigned pin_round; /* goes up each time that it is pinned or unpinned */
	bool maps_adopted; /* from a killed agent */
	bool had_pins;     /* an earlier agent has left some, of any version */
	bool pins_in_use;  /* by an agent that is at work */
	enum exit_action on_exit;
	__u64 blocked_swept;    /* where the next sweep of the blocked flows goes on; 0: at the first */
	_Atomic unsigned replacing; /* objects of other ABI versions that are still at work here */
	time_t replacing_since; /* seconds of CLOCK_MONOTONIC */
	uint64_t adopt_position; /* of kernel_adopt_tidy(): key of the map */
};

/* kernel_attach.c. Attaches the hooks, by those that are pinned where there are any. Returns NULL, or the first that could not
 * be had: its error says why. */
const struct kernel_hook *kernel_attach(struct kernel *kernel);

/* kernel_policy.c: write the port map; write settings. Return 0 or a negative errno. */
int kernel_write_ports(struct kernel *kernel, const struct config *config);
int kernel_write_settings(struct kernel *kernel);

/* kernel_adopt.c. Looks for the connections that were there before the hooks, and hands them over to these. What could not
 * be looked at is counted. */
void kernel_adopt(struct kernel *kernel, const struct config *config);
/* Forgets some of those that have ended without a segment. */
void kernel_adopt_tidy(struct kernel *kernel);

/* kernel_witness.c. Without uprobes all else goes on: why there is no witness is told by kernel_witness_state(). */
void kernel_witness_open(struct kernel *kernel, const struct config *config);
/* leave: those that are pinned go on without the agent. */
void kernel_witness_close(struct kernel *kernel, bool leave);

/* kernel_forward.c. Open loads the TC programs and puts them on the interfaces; an interface that cannot be had is told by
 * kernel_forward_hook(). Pin: so that they go on without an agent; below pin_path, which is emptied elsewhere. They
 * return 0 or a negative errno. Close: as kernel_close(). */
int kernel_forward_open(struct kernel *kernel, const struct config *config);
void kernel_forward_close(struct kernel *kernel, bool leave);
int kernel_forward_pin(struct kernel *kernel);
void kernel_forward_unpinned(struct kernel *kernel);

/* kernel_pins.c. Where the pins of this attach point are. Returns false if another agent is at work on them: whoever took
 * these over would take its hooks, and read its events. */
bool kernel_pins_place(struct kernel *kernel);
/* Before the object is loaded: takes over the maps of an agent that was killed, if they are there and alike. */
void kernel_pins_adopt_maps(struct kernel *kernel);
/* The pinned link of a hook, now running program; or -1. */
int kernel_pins_adopt_link(const struct kernel *kernel, const char *hook, int program);
/* Pins over whatever is at path, which is below pin_path, in one step: an agent that is killed meanwhile leaves the old one
 * or the new one, and not neither. Returns 0 or a negative errno. */
int kernel_pin_one(const struct kernel *kernel, int fd, const char *path);
/* Pins maps and links, over those that are there. Returns 0 or a negative errno; then what was pinned before may be left. */
int kernel_pin(struct kernel *kernel);
/* Once the hooks are on another cgroup: the pins, if there are any, go along. */
void kernel_pins_follow(struct kernel *kernel);
/* Calls found with each folder of this attach point that is of another ABI version. Returns how many there were. */
unsigned kernel_pins_others(const struct kernel *kernel, void (*found)(struct kernel *kernel, const char *folder),
			    struct kernel *context);
/* Whether the map behind fd can take the place of map. */
bool kernel_map_is_alike(const struct bpf_map *map, int fd);
/* Removes all pins of this attach point, an earlier agent's too. What nobody else holds is detached. */
void kernel_unpin(struct kernel *kernel);

/* kernel_replace.c. Once our own hooks are attached and pinned: objects of other versions get no new flows. */
void kernel_replace_start(struct kernel *kernel);
/* To be called every few seconds: lets go of those that have no flows left. */
void kernel_replace_tidy(struct kernel *kernel);

/* kernel_blocked.c. Before the object is loaded: takes the map of blocked flows that is there. */
void kernel_blocked_adopt(struct kernel *kernel);
/* Pins it, if none is pinned. Returns 0 or a negative errno. */
int kernel_blocked_pin(struct kernel *kernel);
/* Removes that pin with the last of the others. */
void kernel_blocked_unpin(void);
/* Before the hooks are attached, where the maps are new: the egress program looks at the packets to these ports, and to
 * those of blocked flows. Returns 0 or a negative errno. */
int kernel_blocked_note_ports(struct kernel *kernel, const struct config *config);
/* To be called every few seconds: ends the sockets of blocked flows that still have one, and forgets the others. */
void kernel_blocked_sweep(struct kernel *kernel);

#endif
