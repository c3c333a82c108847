/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "session.h"

struct sessions {
	struct session *by_id; /* uthash */
	struct session *by_age; /* utlist: the head is the oldest */
	struct session *open_ones, *closed_ones; /* utlist: who is evicted next is found without a search */
	unsigned keep, open_max;
	unsigned open, closed;
	uint64_t evicted;
};

struct sessions *sessions_new(unsigned keep, unsigned open_max)
{
	struct sessions *sessions = calloc(1, sizeof(*sessions));
	if (sessions) {
		sessions->keep = keep;
		sessions->open_max = open_max;
	}
	return sessions;
}

static bool is_closed(const struct session *session)
{
	return session->closed.tv_sec != 0;
}

static void free_contents(struct session *session)
{
	handshake_free(session->handshake);
	if (session->identity)
		identity_clear(session->identity);
	free(session->identity);
	free(session->tls);
	free(session->cgroup);
	free(session->account);
}

static void forget(struct sessions *sessions, struct session *session)
{
	if (is_closed(session)) {
		DL_DELETE2(sessions->closed_ones, session, peer_prev, peer_next);
		sessions->closed--;
	} else {
		DL_DELETE2(sessions->open_ones, session, peer_prev, peer_next);
		sessions->open--;
	}
	HASH_DEL(sessions->by_id, session);
	DL_DELETE(sessions->by_age, session);
	free_contents(session);
	free(session);
}

void sessions_free(struct sessions *sessions)
{
	if (!sessions)
		return;
	while (sessions->by_age)
		forget(sessions, sessions->by_age);
	free(sessions);
}

/* Gives up the first of a list, other than spared, which is the last. */
static void evict(struct sessions *sessions, struct session *list, const struct session *spared)
{
	if (list && list != spared)
		forget(sessions, list);
}

static struct session *make(struct sessions *sessions, uint64_t id)
{
	struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return NULL;
	session->id = id;
	HASH_ADD(hh, sessions->by_id, id, sizeof(session->id), session);
	DL_APPEND(sessions->by_age, session);
	DL_APPEND2(sessions->open_ones, session, peer_prev, peer_next);
	sessions->open++;
	if (sessions->open > sessions->open_max) {
		evict(sessions, sessions->open_ones, session);
		sessions->evicted++;
	}
	return session;
}

/* The wall-clock time of a CLOCK_MONOTONIC time, by the clocks' present difference. */
static struct timespec wall_clock(uint64_t monotonic_ns)
{
	struct timespec wall, monotonic;
	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	int64_t age = monotonic.tv_sec * 1000000000L + monotonic.tv_nsec - (int64_t)monotonic_ns;
	int64_t when = wall.tv_sec * 1000000000L + wall.tv_nsec - age;
	return (struct timespec){ .tv_sec = when / 1000000000L, .tv_nsec = when % 1000000000L };
}

/* Of two exposures on one flow the worse one is kept: its account is the one to be rotated. */
static void keep_worse_exposure(struct flow_event *newer, const struct flow_event *older)
{
	if (!older->mechanism[0] || !(older->facts & FACT(CREDENTIAL_CLEAR)))
		return;
	if ((newer->facts & FACT(CREDENTIAL_CLEAR)) && newer->mechanism[0] &&
	    mechanism_exposure(newer->mechanism) >= mechanism_exposure(older->mechanism) &&
	    (newer->account[0] || strcmp(newer->mechanism, older->mechanism) != 0))
		return;
	memcpy(newer->mechanism, older->mechanism, sizeof(newer->mechanism));
	memcpy(newer->account, older->account, sizeof(newer->account));
}

struct identity_record *session_identity(struct session *session)
{
	if (!session->identity)
		session->identity = calloc(1, sizeof(*session->identity));
	return session->identity;
}

/* Brings session->tls up to date; a handshake that is over is not kept, for the sake of memory. */
static void summarize_handshake(struct session *session)
{
	bool over = session->last.reason == EVENT_CLOSED || facts_tls_established(session->last.facts);
	if (!session->handshake)
		return;
	if (!session->tls)
		session->tls = malloc(sizeof(*session->tls));
	const struct tls_facts *facts = handshake_facts(session->handshake);
	if (session->tls)
		tls_summarize(facts, session->tls);
	if (facts->stream[FROM_SERVER].certificates.count && session_identity(session))
		identity_take_wire(session->identity, &facts->stream[FROM_SERVER].certificates);
	if (over) {
		handshake_free(session->handshake);
		session->handshake = NULL;
	}
}

struct identity_record *sessions_identity(struct sessions *sessions, uint64_t id, struct session **session)
{
	*session = sessions_find(sessions, id);
	if (!*session || is_closed(*session))
		return NULL;
	summarize_handshake(*session);
	return session_identity(*session);
}

void sessions_take_handshake(struct sessions *sessions, const struct handshake_event *event)
{
	struct session *session = sessions_find(sessions, event->flow_id);
	enum direction direction = event->from_server ? FROM_SERVER : FROM_CLIENT;
	if (!session || is_closed(session) || event->length > sizeof(event->bytes))
		return;
	if (!session->handshake && !session->tls && event->offset == 0)
		session->handshake = handshake_new();
	if (!session->handshake)
		return;
	if (session->handshake_read[direction] != event->offset)
		handshake_lost(session->handshake, direction);
	handshake_take(session->handshake, direction, event->bytes, event->length);
	session->handshake_read[direction] = event->offset + event->length;
}

static void close_session(struct sessions *sessions, struct session *session, struct timespec when)
{
	session->closed = when;
	DL_DELETE2(sessions->open_ones, session, peer_prev, peer_next);
	DL_APPEND2(sessions->closed_ones, session, peer_prev, peer_next);
	sessions->open--;
	sessions->closed++;
	if (sessions->closed > sessions->keep)
		evict(sessions, sessions->closed_ones, session);
}

struct session *sessions_take(struct sessions *sessions, const struct flow_event *event)
{
	struct session *session = sessions_find(sessions, event->flow_id);
	if (!session) {
		session = make(sessions, event->flow_id);
		if (!session)
			return NULL;
		session->opened = wall_clock(event->opened_ns);
		session->events_missed = event->sequence - 1;
	} else if (is_closed(session)) {
		return session; /* nothing comes after the close */
	} else {
		session->events_missed += event->sequence - session->last.sequence - 1;
	}
	struct flow_event older = session->last;
	if (event->pieces_lost > older.pieces_lost)
		session->events_missed += event->pieces_lost - older.pieces_lost;
	session->last = *event;
	keep_worse_exposure(&session->last, &older);
	summarize_handshake(session);
	if (event->reason == EVENT_CLOSED)
		close_session(sessions, session, wall_clock(event->time_ns));
	return session;
}

void sessions_give_up(struct sessions *sessions, struct session *session, struct timespec now)
{
	session->events_missed++;
	handshake_free(session->handshake);
	session->handshake = NULL;
	close_session(sessions, session, now);
}

struct session *sessions_find(struct sessions *sessions, uint64_t id)
{
	struct session *session = NULL;
	HASH_FIND(hh, sessions->by_id, &id, sizeof(id), session);
	return session;
}

struct session *sessions_oldest(struct sessions *sessions)
{
	return sessions->by_age;
}

unsigned sessions_open_count(const struct sessions *sessions)
{
	return sessions->open;
}

unsigned sessions_closed_count(const struct sessions *sessions)
{
	return sessions->closed;
}

uint64_t sessions_evicted(const struct sessions *sessions)
{
	return sessions->evicted;
}
