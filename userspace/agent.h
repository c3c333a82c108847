/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's parts, wired together once in main.c. Data flows one way: event, session, judgement, alert, sink. */
#ifndef SMTPWARD_AGENT_H
#define SMTPWARD_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "durations.h"
#include "monitor_protocol.h"

struct event_base;
struct config;
struct monitor;
struct event_ring;
struct sessions;
struct history;
struct alerts;
struct sinks;
struct metrics;
struct control;
struct identity_checker;
struct resumption;
struct session;
struct witness_event;
struct certificate_event;

/* Counts of the agent's own; those of the BPF programs come from monitor_counters(). */
struct agent_counts {
	uint64_t events_read;
	uint64_t events_malformed; /* of those: not as the ABI says, and not believed */
	uint64_t sockets_destroyed;
	uint64_t destroy_failed;
	uint64_t outcomes[16]; /* closed sessions, by enum outcome */
	uint64_t findings[32]; /* by enum finding, once for each session */
	uint64_t auth_clear[3]; /* sessions with a credential in clear, by enum exposure */
	uint64_t would_block;
	uint64_t witnessed;     /* closed sessions with a TLS handshake whose sender's library was heard */
	uint64_t not_witnessed; /* ... was not */
	uint64_t held;          /* sessions whose application data waited for a verdict */
	uint64_t released, release_failed; /* sockets pushed once the verdict was there; TCP's timer has to do it */
	uint64_t forwards_evicted; /* forwarded flows whose state made room for another's while they were open */
	uint64_t forwards_idle;    /* ... of which nothing was seen for long */
	uint64_t verdict_events_missed; /* events lost, as seen from holes in the sequences */
};

/* Events were lost: all the sessions are asked for, some at a time. */
struct agent_loss_walk {
	uint64_t settled;  /* events lost whose sessions were all asked for */
	uint64_t walked;   /* events lost when the walk began */
	uint64_t position; /* as adopted_position */
	bool young;        /* the walk has passed over some */
};

struct agent {
	struct event_base *base;
	const char *config_path; /* as given with -c, or NULL */
	struct config *config;
	struct monitor *monitor;   /* the way to the kernel */
	struct event_ring *ring;
	pid_t monitor_pid;
	gid_t admin_group; /* whose members may change things; (gid_t)-1: nobody but root */
	bool monitor_gone; /* found out by the loop */
	unsigned hooks_lost; /* how many; as it was told last */
	struct sessions *sessions;
	struct history *history;
	struct identity_checker *identity_checker;
	struct resumption *resumption;
	struct durations held;          /* how long application data waited */
	struct durations verdict_time;  /* from a library's word to the agent's verdict, where policy demands one */
	struct alerts *alerts;
	struct sinks *sinks;
	struct metrics *metrics; /* NULL: switched off */
	struct control *control;
	struct agent_counts counts;
	struct open_forward *forwards; /* forwarded flows that are open */
	bool has_adopted; /* there are, or were, flows that were there before the hooks */
	uint64_t adopted_position; /* id of the session that agent_sweep() looked at last for that; 0: the next is the oldest */
	struct agent_loss_walk lost;
	struct timespec started; /* CLOCK_REALTIME */
	struct timespec policy_loaded;
	struct cgroup_name *cgroup_names; /* what cgroup ids were called when they were met */
};

struct alert;

/* Takes in what an event says of a flow, judges and tells. */
void agent_take_flow(struct agent *agent, const struct flow_event *event);

/* agent_sweep.c. To be called every few seconds: asks for the sockets of some of the sessions whose end may not be told. */
void agent_sweep(struct agent *agent);
/* The socket of a flow that was there before the hooks is gone. */
void agent_end_adopted(struct agent *agent, uint64_t flow_id);

/* agent_identity.c: the events about a server's identity, and the verdicts that policy waits for. */
void agent_take_witness(void *context, const struct witness_event *event);
void agent_take_certificate(void *context, const struct certificate_event *event);
/* Checks the session's certificates by what is known now, judges its identity, and gives the kernel the verdict where it
 * is waiting for one. Call it after judge_handshake(). */
void agent_judge_identity(struct agent *agent, struct session *session);

/* What became of an errand: for monitor_read_answers(). */
void agent_take_answer(void *context, enum monitor_operation operation, uint64_t flow_id, int result);
/* Takes in all the events that wait in the ring. */
void agent_read_events(struct agent *agent);
/* Closes a session of which nothing more will be heard, and why, if nothing else says what became of it. */
void agent_give_up(struct agent *agent, struct session *session, const char *reason);
/*
 * agent_forward.c, of forwarded flows. To be told of each event of one; asks after those that are open, every few seconds;
 * takes in the answer for one that is gone; frees what it keeps.
 */
void agent_note_forward(struct agent *agent, struct session *session);
void agent_sweep_forwards(struct agent *agent);
void agent_give_up_forward(struct agent *agent, uint64_t flow_id, int error);
void agent_forget_forwards(struct agent *agent);
/* Frees what is remembered of cgroups' names. */
void agent_forget_cgroups(struct agent *agent);
/* Writes an alert to the sinks and the watchers; for alerts_new(), context is the agent. */
void agent_emit_alert(void *context, const struct alert *alert);
/* Writes a message about the agent itself to the sinks; action is a short id ("stopped"). */
void agent_say_state(struct agent *agent, const char *action, int severity, const char *message);
/* The structured start-up message: version, mode, hooks attached and not. */
void agent_say_started(struct agent *agent);

/* To be called every few seconds: says it where hooks are not attached any more, or are again. */
void agent_look_at_hooks(struct agent *agent);

/* Changes the mode at run time and says so to the log. Returns 0 or a negative errno. */
int agent_set_mode(struct agent *agent, int mode);
/* Reads the configuration again and puts its policy into force (CLI `policy reload`, SIGHUP). What else has changed is
 * named in message and takes effect at the next start. Returns 0, or -EINVAL with the reason in message. */
int agent_reload(struct agent *agent, char *message, unsigned message_size);

#endif
