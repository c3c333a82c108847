/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sessions whose end may never be told are looked for by their sockets: those that were there before the hooks (asking
 * a socket to tell of its end takes the connect), always; all others once events were lost.
 */
#include <time.h>

#include "agent.h"
#include "monitor.h"
#include "session.h"

#define SWEEP_MAX 256  /* sockets asked for at once */
#define WALK_MAX 16384 /* sessions looked at for that */
#define SWEEP_AGE_NS 5000000000ULL /* younger ones may yet be heard of */

static uint64_t monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* The session behind the one that was looked at last, or the oldest. */
static const struct session *next_after(struct sessions *sessions, uint64_t id)
{
	const struct session last = { .id = id }; /* they are walked by id */
	const struct session *next = id ? sessions_newer(sessions, &last) : NULL;
	return next ? next : sessions_oldest(sessions);
}

/*
 * Asks for the sockets of the next sessions that wanted() says yes of, from position on. Returns true if it came to the
 * youngest session; the next walk begins at the oldest then.
 */
static bool walk(struct agent *agent, uint64_t *position, bool (*wanted)(const struct session *session, void *context),
		 void *context)
{
	const struct session *session = next_after(agent->sessions, *position);
	unsigned asked = 0;
	for (unsigned i = 0; session && i < WALK_MAX && asked < SWEEP_MAX; i++) {
		if (wanted(session, context)) {
			if (monitor_find_socket(agent->monitor, &session->last))
				return false; /* too many under way: the next walk goes on here */
			asked++;
		}
		*position = session->id;
		session = sessions_newer(agent->sessions, session);
	}
	if (session)
		return false;
	*position = 0;
	return true;
}

/* ---- flows that were there first -------------------------------------------------------------------------- */

static bool is_open_adopted(const struct session *session, void *context)
{
	(void)context;
	return session->last.adopted && !session->closed.tv_sec;
}

void agent_end_adopted(struct agent *agent, uint64_t flow_id)
{
	agent_read_events(agent); /* what it did last may still be in the ring, and so may its end */
	struct session *session = sessions_find(agent->sessions, flow_id);
	if (!session || !is_open_adopted(session, NULL))
		return;
	struct flow_event event = session->last;
	event.time_ns = monotonic_ns();
	event.reason = EVENT_CLOSED;
	event.sequence++;
	event.sender_is_new = 0;
	agent_take_flow(agent, &event);
}

/* ---- lost events ------------------------------------------------------------------------------------------ */

struct loss {
	uint64_t now;
	bool young; /* there are some that it was too early to ask for */
};

static bool may_have_ended(const struct session *session, void *context)
{
	struct loss *loss = context;
	if (session->closed.tv_sec || session->last.ifindex || session->last.adopted)
		return false;
	if (session->last.time_ns + SWEEP_AGE_NS <= loss->now)
		return true;
	loss->young = true;
	return false;
}

/* A loss is settled when a whole walk that began after it has asked for every session. */
static void sweep_lost(struct agent *agent)
{
	struct agent_loss_walk *lost = &agent->lost;
	uint64_t counters[COUNTER_COUNT];
	struct loss loss = { .now = monotonic_ns() };
	monitor_counters(agent->monitor, counters);
	if (counters[COUNTER_EVENTS_LOST] == lost->settled)
		return;
	agent_read_events(agent); /* what was sent before the loss: a session may still be in the ring */
	if (!lost->position) {
		lost->walked = counters[COUNTER_EVENTS_LOST];
		lost->young = false;
	}
	bool whole = walk(agent, &lost->position, may_have_ended, &loss);
	lost->young |= loss.young;
	if (whole && !lost->young)
		lost->settled = lost->walked;
}

void agent_sweep(struct agent *agent)
{
	agent_sweep_forwards(agent);
	if (agent->has_adopted)
		walk(agent, &agent->adopted_position, is_open_adopted, NULL);
	sweep_lost(agent);
}
