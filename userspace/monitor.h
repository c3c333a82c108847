/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The agent's way to the monitor, and through it to the kernel: the calls of kernel.h, as far as the agent may have
 * them. The agent has no capability of its own. Where the monitor is gone every call returns -EPIPE.
 */
#ifndef SMTPWARD_MONITOR_H
#define SMTPWARD_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "event.h"
#include "kernel.h"
#include "monitor_protocol.h"

struct monitor;

/* lanes: connected sockets, orders: where the monitor's orders come from; taken over. NULL without memory. */
struct monitor *monitor_new(const int lanes[LANE_COUNT], int orders);
void monitor_free(struct monitor *monitor);

/* Descriptor on which a byte is an enum monitor_order, and the end of file the monitor's end. */
int monitor_orders_fd(const struct monitor *monitor);

/*
 * Loads and attaches all that config says. Returns the descriptor of the ring's map, which is the caller's, and its size
 * in *ring_size; or -1, and fills problem: then nothing is left attached.
 */
int monitor_start(struct monitor *monitor, const struct config *config, uint64_t *ring_size, struct kernel_problem *problem);
/* The agent is at work (again): whoever waited for the start or for a reload is told. */
void monitor_started(struct monitor *monitor);
/* Lets go of the kernel: what stays there is as the configuration's on_exit says. */
void monitor_stop(struct monitor *monitor);
/* The agent's sign of life, every second: for the kernel, which else waits for no verdict, and for the service manager. */
void monitor_heartbeat(struct monitor *monitor);

/* As in kernel.h. */
int monitor_set_mode(struct monitor *monitor, enum policy_mode mode);
enum policy_mode monitor_mode(const struct monitor *monitor);
int monitor_set_identity(struct monitor *monitor, uint64_t flow_id, enum identity identity);
void monitor_counters(struct monitor *monitor, uint64_t counters[COUNTER_COUNT]);
/* The monitor's own capabilities, in words. */
void monitor_privileges(struct monitor *monitor, char text[256]);
const char *monitor_cgroup(const struct monitor *monitor);
char *monitor_cgroup_path(struct monitor *monitor, uint64_t cgroup_id);
/* Name of an interface that forwarded flows are watched on. False: it is not, or not any more. */
bool monitor_interface(struct monitor *monitor, uint32_t ifindex, char name[16]);
/* The pointers that these return are good until the next call of the same function. */
const struct kernel_hook *monitor_hooks(struct monitor *monitor, unsigned *count);
const struct kernel_witness_state *monitor_witness_state(struct monitor *monitor);
const struct kernel_library *monitor_witness_library(struct monitor *monitor, unsigned *position);

/* Puts config's rules into force. Returns 0 or a negative errno; then the old ones are in force. */
int monitor_set_policy(struct monitor *monitor, const struct config *config);
/* Looks after rules that end and cgroups that appear; to be called every minute. */
void monitor_policy_again(struct monitor *monitor);

/* Opens the configuration's file for reading. Returns a descriptor, the caller's, or a negative errno. */
int monitor_open_config(struct monitor *monitor);
/* For config_set_user_lookup(): context is the monitor. */
bool monitor_user_id(void *context, const char *name, uint32_t *uid);
/* Opens the file of JSON lines for appending. Returns the same. Any thread may call it; it may take long. */
int monitor_open_sink(struct monitor *monitor);

/*
 * Errands: nobody waits. They return 0, -EAGAIN if too many are under way, or another negative errno. What became of
 * one is told later, by monitor_read_answers().
 */
int monitor_destroy_socket(struct monitor *monitor, const struct flow_event *event);
int monitor_find_socket(struct monitor *monitor, const struct flow_event *event);
int monitor_release_socket(struct monitor *monitor, const struct flow_event *event, uint32_t pid);
void monitor_tidy_sockets(struct monitor *monitor);
void monitor_witness_sender(struct monitor *monitor, uint32_t pid);
void monitor_witness_tidy(struct monitor *monitor);

/* Descriptor to poll for answers. */
int monitor_answers_fd(const struct monitor *monitor);
/* Hands every answer that is there to take: result is 0 or a negative errno, as kernel.h says of the call. */
void monitor_read_answers(struct monitor *monitor,
			  void (*take)(void *context, enum monitor_operation operation, uint64_t flow_id, int result), void *context);
/* Errands that could not be given to the monitor, since it had too many. */
uint64_t monitor_errands_lost(const struct monitor *monitor);

#endif
