/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "facts.h"
#include "session.h"
#include "session_table.h"

struct sessions {
	struct table table;
	unsigned keep, open_max;
	uint64_t evicted;
	unsigned unseen; /* of the closed ones */
	uint64_t given_up_ns; /* opened_ns of the youngest that was given up */
	uint64_t burdened[SESSIONS_BURDENED_MAX]; /* ids; in turn, but for places that became free */
	unsigned turn;
	uint64_t shed;
	struct session *walked; /* the copy that sessions_newer() returned */
	bool real_time; /* the events' times are of CLOCK_REALTIME */
};

struct sessions *sessions_new(unsigned keep, unsigned open_max)
{
	struct sessions *sessions = calloc(1, sizeof(*sessions));
	if (sessions) {
		if (getrandom(&sessions->table.seed, sizeof(sessions->table.seed), GRND_NONBLOCK) < 0)
			sessions->table.seed = (uintptr_t)sessions;
		sessions->keep = keep;
		sessions->open_max = open_max;
	}
	return sessions;
}

void sessions_set_real_time(struct sessions *sessions)
{
	sessions->real_time = true;
}

void sessions_set_awake(struct sessions *sessions, unsigned count)
{
	sessions->table.awake_max = count < TABLE_AWAKE_MAX ? count : TABLE_AWAKE_MAX;
}

void sessions_free(struct sessions *sessions)
{
	if (!sessions)
		return;
	table_clear(&sessions->table);
	session_free(sessions->walked);
	free(sessions);
}

static bool is_closed(const struct session *session)
{
	return session->closed.tv_sec != 0;
}

/* The wall-clock time of an event's time: of a CLOCK_MONOTONIC one by the clocks' present difference. */
static struct timespec wall_clock(const struct sessions *sessions, uint64_t monotonic_ns)
{
	struct timespec wall, monotonic;
	if (sessions->real_time)
		return (struct timespec){ .tv_sec = (time_t)(monotonic_ns / 1000000000U), .tv_nsec = (long)(monotonic_ns % 1000000000U) };
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

/* ---- what cannot be packed -------------------------------------------------------------------------------- */

#define PLACES_TRIED 64

/* The session that has this place, if it still needs it; else NULL. */
static struct table_entry *who_needs(const struct sessions *sessions, unsigned place)
{
	uint64_t id = sessions->burdened[place];
	struct table_entry *entry = id ? table_find(&sessions->table, id) : NULL;
	return entry && entry->awake && !session_is_packable(entry->body) ? entry : NULL;
}

/* What was read so far has to do. */
static void shed(struct sessions *sessions, struct session *session)
{
	summarize_handshake(session);
	handshake_free(session->handshake);
	session->handshake = NULL;
	if (session->identity)
		identity_drop_certificates(session->identity);
	sessions->shed++;
}

/* Finds the session a place, before it takes what cannot be packed: the oldest one's where all are taken. */
static void take_place(struct sessions *sessions, struct session *session)
{
	unsigned place = sessions->turn;

	if (session->burden && sessions->burdened[session->burden - 1] == session->id)
		return;
	for (unsigned i = 0; i < PLACES_TRIED && who_needs(sessions, place); i++)
		place = (place + 1) % SESSIONS_BURDENED_MAX;
	if (who_needs(sessions, place)) {
		place = sessions->turn;
		shed(sessions, who_needs(sessions, place)->body);
	}
	sessions->burdened[place] = session->id;
	session->burden = (uint16_t)(place + 1);
	sessions->turn = (place + 1) % SESSIONS_BURDENED_MAX;
}

uint64_t sessions_shed(const struct sessions *sessions)
{
	return sessions->shed;
}

struct identity_record *sessions_identity(struct sessions *sessions, uint64_t id, struct session **session)
{
	*session = sessions_find(sessions, id);
	if (!*session || is_closed(*session))
		return NULL;
	take_place(sessions, *session);
	summarize_handshake(*session);
	return session_identity(*session);
}

void sessions_take_handshake(struct sessions *sessions, const struct handshake_event *event)
{
	struct session *session = sessions_find(sessions, event->flow_id);
	enum direction direction = event->from_server ? FROM_SERVER : FROM_CLIENT;
	if (!session || is_closed(session) || event->length > sizeof(event->bytes))
		return;
	if (!session->handshake && !session->tls && event->offset == 0) {
		take_place(sessions, session);
		session->handshake = handshake_new();
	}
	if (!session->handshake)
		return;
	if (session->handshake_read[direction] != event->offset)
		handshake_lost(session->handshake, direction);
	handshake_take(session->handshake, direction, event->bytes, event->length);
	session->handshake_read[direction] = event->offset + event->length;
}

static void forget(struct sessions *sessions, struct table_entry *entry)
{
	sessions->unseen -= entry->unseen;
	table_remove(&sessions->table, entry);
}

/* The session itself is spared: its caller goes on with it. */
static void close_session(struct sessions *sessions, struct session *session, struct timespec when)
{
	struct table *table = &sessions->table;
	struct table_entry *entry = table_find(table, session->id);
	session->closed = when;
	table_close(table, entry);
	entry->unseen = (session->last.facts & FACT(UNSEEN)) != 0;
	sessions->unseen += entry->unseen;
	if (table_count(table, TABLE_CLOSED) > sessions->keep && table_count(table, TABLE_CLOSED) > 1)
		forget(sessions, table_first(table, TABLE_CLOSED));
}

/*
 * Of a flow whose session was given up and is forgotten by now. Which ones those were is not kept, but they were the
 * oldest; so this may be another old flow, all of whose events so far were lost.
 */
static bool may_be_given_up(const struct sessions *sessions, const struct flow_event *event)
{
	return event->sequence > 1 && event->opened_ns <= sessions->given_up_ns;
}

static struct session *make(struct sessions *sessions, const struct flow_event *event)
{
	struct session *session = table_add(&sessions->table, event->flow_id);
	if (!session)
		return NULL;
	session->opened = wall_clock(sessions, event->opened_ns);
	session->given_up = may_be_given_up(sessions, event);
	session->events_missed = session->given_up ? 0 : event->sequence - 1;
	return session;
}

/* A session that was given up lives: its findings must be told, which were not told yet. */
static struct session *revive(struct sessions *sessions, struct session *session, const struct flow_event *event)
{
	uint32_t told = session->findings_told;
	forget(sessions, table_find(&sessions->table, session->id));
	session = make(sessions, event);
	if (!session)
		return NULL;
	session->given_up = true;
	session->findings_told = told;
	return session;
}

/* The session that an event goes into, or NULL. */
static struct session *session_for(struct sessions *sessions, const struct flow_event *event)
{
	struct session *session = sessions_find(sessions, event->flow_id);
	bool ends = event->reason == EVENT_CLOSED;
	if (!session)
		return ends && may_be_given_up(sessions, event) ? NULL : make(sessions, event);
	if (is_closed(session))
		return session->given_up && !ends ? revive(sessions, session, event) : NULL;
	session->events_missed += event->sequence - session->last.sequence - 1;
	return session;
}

struct session *sessions_take(struct sessions *sessions, const struct flow_event *event)
{
	struct session *session = session_for(sessions, event);
	if (!session)
		return NULL;
	struct flow_event older = session->last;
	if (event->pieces_lost > older.pieces_lost)
		session->events_missed += event->pieces_lost - older.pieces_lost;
	session->last = *event;
	keep_worse_exposure(&session->last, &older);
	summarize_handshake(session);
	if (event->reason == EVENT_CLOSED)
		close_session(sessions, session, wall_clock(sessions, event->time_ns));
	return session;
}

struct session *sessions_surplus(struct sessions *sessions)
{
	struct table *table = &sessions->table;
	return table_count(table, TABLE_OPEN) > sessions->open_max ? table_wake(table, table_first(table, TABLE_OPEN)) : NULL;
}

void sessions_give_up(struct sessions *sessions, struct session *session, struct timespec now)
{
	bool surplus = table_count(&sessions->table, TABLE_OPEN) > sessions->open_max;
	if (surplus && session->last.opened_ns > sessions->given_up_ns)
		sessions->given_up_ns = session->last.opened_ns;
	if (surplus)
		sessions->evicted++;
	else
		session->events_missed++; /* the one that told its end */
	session->given_up = true;
	handshake_free(session->handshake);
	session->handshake = NULL;
	close_session(sessions, session, now);
}

struct session *sessions_find(struct sessions *sessions, uint64_t id)
{
	struct table_entry *entry = table_find(&sessions->table, id);
	return entry ? table_wake(&sessions->table, entry) : NULL;
}

/* ---- walking ---------------------------------------------------------------------------------------------- */

/* Does not wake what it meets: a walk would put all those to sleep that are in use. Without memory, one is left out. */
static const struct session *show(struct sessions *sessions, struct table_entry *entry)
{
	while (entry) {
		struct session *session = entry->awake ? entry->body : session_unpack_copy(entry->body);
		session_free(sessions->walked);
		sessions->walked = entry->awake ? NULL : session;
		if (session)
			return session;
		entry = table_newer(&sessions->table, entry);
	}
	return NULL;
}

const struct session *sessions_oldest(struct sessions *sessions)
{
	return show(sessions, table_first(&sessions->table, TABLE_ALL));
}

const struct session *sessions_newer(struct sessions *sessions, const struct session *session)
{
	struct table_entry *entry = table_find(&sessions->table, session->id);
	return entry ? show(sessions, table_newer(&sessions->table, entry)) : NULL;
}

unsigned sessions_open_count(const struct sessions *sessions)
{
	return table_count(&sessions->table, TABLE_OPEN);
}

unsigned sessions_closed_count(const struct sessions *sessions)
{
	return table_count(&sessions->table, TABLE_CLOSED);
}

unsigned sessions_unseen_count(const struct sessions *sessions)
{
	return sessions->unseen;
}

uint64_t sessions_evicted(const struct sessions *sessions)
{
	return sessions->evicted;
}
