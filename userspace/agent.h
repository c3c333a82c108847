/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's parts, wired together once in main.c. Data flows one way: event, session, judgement, alert, sink. */
#ifndef SMTPWARD_AGENT_H
#define SMTPWARD_AGENT_H

#include <stdint.h>
#include <time.h>

struct event_base;
struct config;
struct kernel;
struct sessions;
struct history;
struct alerts;
struct sinks;
struct metrics;
struct control;

/* Counts of the agent's own; those of the BPF programs come from kernel_counters(). */
struct agent_counts {
	uint64_t events_read;
	uint64_t sockets_destroyed;
	uint64_t destroy_failed;
	uint64_t outcomes[16]; /* closed sessions, by enum outcome */
	uint64_t findings[32]; /* by enum finding, once for each session */
	uint64_t auth_clear[3]; /* sessions with a credential in clear, by enum exposure */
	uint64_t would_block;
	uint64_t verdict_events_missed; /* events lost, as seen from holes in the sequences */
};

struct agent {
	struct event_base *base;
	const char *config_path; /* as given with -c, or NULL */
	struct config *config;
	struct kernel *kernel;
	struct sessions *sessions;
	struct history *history;
	struct alerts *alerts;
	struct sinks *sinks;
	struct metrics *metrics; /* NULL: switched off */
	struct control *control;
	struct agent_counts counts;
	uint64_t events_lost; /* at the last agent_sweep() that left nothing undone */
	struct timespec started; /* CLOCK_REALTIME */
	struct timespec policy_loaded;
	struct cgroup_name *cgroup_names; /* what cgroup ids were called when they were met */
};

struct alert;

/* Takes in all the events that wait in the ring. */
void agent_read_events(struct agent *agent);
/* Where events were lost since the last call: closes the sessions whose sockets are gone, which else stayed open. */
void agent_sweep(struct agent *agent);
/* Frees what is remembered of cgroups' names. */
void agent_forget_cgroups(struct agent *agent);
/* Writes an alert to the sinks and the watchers; for alerts_new(), context is the agent. */
void agent_emit_alert(void *context, const struct alert *alert);
/* Writes a message about the agent itself to the sinks; action is a short id ("stopped"). */
void agent_say_state(struct agent *agent, const char *action, int severity, const char *message);
/* The structured start-up message: version, mode, hooks attached and not. */
void agent_say_started(struct agent *agent);

/* Changes the mode at run time and says so to the log. Returns 0 or a negative errno. */
int agent_set_mode(struct agent *agent, int mode);
/* Reads the configuration again and puts its policy into force (CLI `policy reload`, SIGHUP). What else has changed is
 * named in message and takes effect at the next start. Returns 0, or -EINVAL with the reason in message. */
int agent_reload(struct agent *agent, char *message, unsigned message_size);

#endif
