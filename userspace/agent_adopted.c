/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that were there before the hooks. Their sockets cannot be asked to tell of their end (that takes the connect), so
 * those that end with a reset or a time-out are found by looking for the socket.
 */
#include <time.h>

#include "agent.h"
#include "monitor.h"
#include "session.h"

#define SWEEP_MAX 256  /* sockets asked for at once */
#define WALK_MAX 16384 /* sessions looked at for that */

static bool is_open_adopted(const struct session *session)
{
	return session->last.adopted && !session->closed.tv_sec;
}

/* The session behind the one that was looked at last, or the oldest. */
static const struct session *next_after(struct sessions *sessions, uint64_t id)
{
	const struct session last = { .id = id }; /* they are walked by id */
	const struct session *next = id ? sessions_newer(sessions, &last) : NULL;
	return next ? next : sessions_oldest(sessions);
}

void agent_sweep_adopted(struct agent *agent)
{
	const struct session *session = agent->has_adopted ? next_after(agent->sessions, agent->adopted_position) : NULL;
	unsigned asked = 0;
	for (unsigned i = 0; session && i < WALK_MAX && asked < SWEEP_MAX; i++) {
		if (is_open_adopted(session)) {
			if (monitor_find_socket(agent->monitor, &session->last))
				return; /* too many under way: the next sweep goes on */
			asked++;
		}
		agent->adopted_position = session->id;
		session = sessions_newer(agent->sessions, session);
	}
	if (!session)
		agent->adopted_position = 0;
}

void agent_end_adopted(struct agent *agent, uint64_t flow_id)
{
	struct timespec now;
	agent_read_events(agent); /* what it did last may still be in the ring, and so may its end */
	struct session *session = sessions_find(agent->sessions, flow_id);
	if (!session || !is_open_adopted(session))
		return;
	struct flow_event event = session->last;
	clock_gettime(CLOCK_MONOTONIC, &now);
	event.time_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
	event.reason = EVENT_CLOSED;
	event.sequence++;
	event.sender_is_new = 0;
	agent_take_flow(agent, &event);
}
