/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A session: what the agent knows of one flow, from its events. */
#ifndef SMTPWARD_SESSION_H
#define SMTPWARD_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <uthash.h>
#include <utlist.h>

#include "event.h"
#include "handshake.h"
#include "identity.h"
#include "judgement.h"
#include "tls_summary.h"

struct session {
	uint64_t id; /* the flow id; printed with session_id_text() */
	struct timespec opened; /* CLOCK_REALTIME */
	struct timespec closed; /* zero while the flow is open */
	struct flow_event last; /* the newest snapshot; its mechanism and account are those of the worst exposure */
	struct judgement judgement;
	uint64_t linked_id;    /* the session that tls-fallback refers to; 0: none */
	uint32_t findings_told; /* FINDING_MASK: an alert was raised already */
	uint32_t events_missed; /* holes in the events' sequence */
	char interface[16];     /* that a forwarded flow was first seen on; "" if it is none, or its name is not known */
	char *cgroup;           /* path below the cgroup root; NULL: not known. Owned */
	struct handshake *handshake; /* being read; NULL before TLS and once it is over. Owned */
	uint32_t handshake_read[2];  /* bytes of it, by direction */
	struct identity_record *identity; /* of the server; NULL before anything is known of it. Owned */
	struct tls_summary *tls;     /* what was read of it; NULL without TLS. Owned */
	char *account;          /* what may be told of the account (name, hash) or NULL. Owned */
	UT_hash_handle hh;
	struct session *prev, *next; /* by age: the oldest first */
	struct session *peer_prev, *peer_next; /* the open ones by age, or the closed ones by their end */
};

#define SESSION_ID_TEXT_SIZE 17

/* Writes the session's id as 16 hexadecimal digits. Returns text. */
const char *session_id_text(uint64_t id, char text[SESSION_ID_TEXT_SIZE]);
/* Reads what session_id_text() wrote; returns false if text is anything else. */
bool session_id_parse(const char *text, uint64_t *id);

struct sessions; /* the table: open sessions, and the newest closed ones */

/* keep: how many closed sessions stay for the CLI; open_max: limit of open ones, the oldest is given up (as
 * unknown) beyond it. Returns NULL without memory. */
struct sessions *sessions_new(unsigned keep, unsigned open_max);
void sessions_free(struct sessions *sessions);

/* Finds or makes the event's session and takes the event in. Does not judge. Returns NULL only without memory. */
struct session *sessions_take(struct sessions *sessions, const struct flow_event *event);

/* The session's record of its server's identity, made where there is none. NULL without memory. */
struct identity_record *session_identity(struct session *session);
/* The same, by the session's id, with its handshake read as far as it came. NULL: the session is not known, or over, or
 * there is no memory. */
struct identity_record *sessions_identity(struct sessions *sessions, uint64_t id, struct session **session);

/* Takes in a piece of a session's TLS handshake. A piece of an unknown session, and one behind a hole, is passed over. */
void sessions_take_handshake(struct sessions *sessions, const struct handshake_event *event);

/* Closes a session whose last event was lost: nothing more will come. now is of CLOCK_REALTIME. */
void sessions_give_up(struct sessions *sessions, struct session *session, struct timespec now);

/* Returns the session called id, or NULL. The pointer is valid until the next sessions_take(). */
struct session *sessions_find(struct sessions *sessions, uint64_t id);
/* The oldest session; walk with ->next. NULL if there is none. */
struct session *sessions_oldest(struct sessions *sessions);
unsigned sessions_open_count(const struct sessions *sessions);
unsigned sessions_closed_count(const struct sessions *sessions);
/* How many open sessions were given up because of open_max. */
uint64_t sessions_evicted(const struct sessions *sessions);

#endif
