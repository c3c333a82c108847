/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A session: what the agent knows of one flow, from its events. */
#ifndef SMTPWARD_SESSION_H
#define SMTPWARD_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

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
	uint32_t events_missed; /* holes in the events' sequence, and lost events of the other kinds */
	char interface[16];     /* that a forwarded flow was first seen on; "" if it is none, or its name is not known */
	uint32_t handshake_read[2]; /* bytes of the handshake, by direction */
	uint16_t burden;        /* its place among those that cannot be packed, from 1; or the one it had */
	bool given_up;          /* its end was counted before it came: see sessions_give_up() */
	char *cgroup;           /* path below the cgroup root; NULL: not known. Owned */
	struct handshake *handshake; /* being read; NULL before TLS and once it is over. Owned */
	struct identity_record *identity; /* of the server; NULL before anything is known of it. Owned */
	struct tls_summary *tls;     /* what was read of it; NULL without TLS. Owned */
	char *account;          /* what may be told of the account (name, hash) or NULL. Owned */
};

#define SESSION_ID_TEXT_SIZE 17

/* Sessions with a handshake half read or with certificates: each may be some ten kilobytes, which a peer decides. */
#define SESSIONS_BURDENED_MAX 4096

/* Writes the session's id as 16 hexadecimal digits. Returns text. */
const char *session_id_text(uint64_t id, char text[SESSION_ID_TEXT_SIZE]);
/* Reads what session_id_text() wrote; returns false if text is anything else. */
bool session_id_parse(const char *text, uint64_t *id);

/*
 * The table: open sessions, and the newest closed ones. Most of them are waiting for something to happen, and are kept
 * packed (session_pack.h). A session that is asked for is unpacked, and packed again when others have been; so a
 * pointer to one is good until the next event is taken in, and no longer.
 */
struct sessions;

/* keep: how many closed sessions stay for the CLI; open_max: limit of open ones, see sessions_surplus(). Returns NULL
 * without memory. */
struct sessions *sessions_new(unsigned keep, unsigned open_max);
void sessions_free(struct sessions *sessions);
/* From now on the events' times are nanoseconds since the epoch, as in a capture file, and not of CLOCK_MONOTONIC. */
void sessions_set_real_time(struct sessions *sessions);
/* Before the first event: count sessions, TABLE_AWAKE_MAX at most, that were asked for last are not packed, for who asks for
 * hundreds in turn. */
void sessions_set_awake(struct sessions *sessions, unsigned count);

/*
 * Finds or makes the event's session and takes the event in. Does not judge. Returns NULL where nothing is taken in: the
 * session is over, or given up and this is its end; or there is no memory.
 */
struct session *sessions_take(struct sessions *sessions, const struct flow_event *event);

/* The session's record of its server's identity, made where there is none. NULL without memory. */
struct identity_record *session_identity(struct session *session);
/* The same, by the session's id, with its handshake read as far as it came. NULL: the session is not known, or over, or
 * there is no memory. */
struct identity_record *sessions_identity(struct sessions *sessions, uint64_t id, struct session **session);

/* Takes in a piece of a session's TLS handshake. A piece of an unknown session, and one behind a hole, is passed over. */
void sessions_take_handshake(struct sessions *sessions, const struct handshake_event *event);

/* The oldest open session while there are more than open_max, else NULL: for sessions_give_up(). */
struct session *sessions_surplus(struct sessions *sessions);
/*
 * Closes a session whose end was lost, or that is one too many. now is of CLOCK_REALTIME. When its end comes all the same,
 * that is passed over; if something else comes before, there is a session of that id again, marked given_up.
 */
void sessions_give_up(struct sessions *sessions, struct session *session, struct timespec now);

/* Returns the session called id, or NULL. The pointer is good until the next event is taken in. */
struct session *sessions_find(struct sessions *sessions, uint64_t id);
/*
 * Walks through all sessions, the oldest first: sessions_newer() goes on from one that this or sessions_oldest() has
 * returned. NULL at the end. What is returned may be a copy, good until the next call of one of the two: to change a
 * session, find it.
 */
const struct session *sessions_oldest(struct sessions *sessions);
const struct session *sessions_newer(struct sessions *sessions, const struct session *session);
unsigned sessions_open_count(const struct sessions *sessions);
unsigned sessions_closed_count(const struct sessions *sessions);
/* How many open sessions were given up because of open_max. */
uint64_t sessions_evicted(const struct sessions *sessions);
/* Of the closed ones: flows whose bytes passed the hooks by (UNSEEN). */
unsigned sessions_unseen_count(const struct sessions *sessions);
/* How many sessions lost a handshake half read, or certificates, because SESSIONS_BURDENED_MAX others had some, too. */
uint64_t sessions_shed(const struct sessions *sessions);

#endif
