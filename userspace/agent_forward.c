/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Forwarded flows have no socket that says when they are over: those that fall silent, or have to make room for others in
 * the kernel's map, are asked after.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent.h"
#include "forward.h"
#include "monitor.h"
#include "session.h"

#define SWEEP_MAX 256 /* asked after at once: the longest not asked after first */
#define FORWARDS_MAX (2 * FORWARD_FLOWS_MAX) /* the kernel follows half of that; the other half may be told of yet */

struct open_forward {
	uint64_t flow_id;
	struct forward_key connection;
	uint32_t ifindex;
	UT_hash_handle hh; /* in order of when they were asked after */
};

static void forget(struct agent *agent, struct open_forward *forward)
{
	HASH_DEL(agent->forwards, forward);
	free(forward);
}

static struct open_forward *find(struct agent *agent, uint64_t flow_id)
{
	struct open_forward *forward = NULL;
	HASH_FIND(hh, agent->forwards, &flow_id, sizeof(flow_id), forward);
	return forward;
}

static void remember(struct agent *agent, const struct flow_event *event)
{
	struct open_forward *forward = HASH_COUNT(agent->forwards) < FORWARDS_MAX ? calloc(1, sizeof(*forward)) : NULL;
	if (!forward)
		return;
	forward->flow_id = event->flow_id;
	forward->ifindex = event->ifindex;
	forward->connection.client_port = event->client_port;
	forward->connection.server_port = event->server_port;
	memcpy(forward->connection.client_address, event->client_address, sizeof(event->client_address));
	memcpy(forward->connection.server_address, event->server_address, sizeof(event->server_address));
	HASH_ADD(hh, agent->forwards, flow_id, sizeof(forward->flow_id), forward);
}

void agent_note_forward(struct agent *agent, struct session *session)
{
	const struct flow_event *event = &session->last;
	struct open_forward *known = find(agent, event->flow_id);
	if (!session->interface[0])
		monitor_interface(agent->monitor, event->ifindex, session->interface);
	if (!known && event->reason != EVENT_CLOSED)
		remember(agent, event);
	else if (known && event->reason == EVENT_CLOSED)
		forget(agent, known);
}

void agent_sweep_forwards(struct agent *agent)
{
	unsigned asked = HASH_COUNT(agent->forwards) < SWEEP_MAX ? HASH_COUNT(agent->forwards) : SWEEP_MAX;
	while (asked-- > 0) {
		struct open_forward *forward = agent->forwards;
		struct flow_event event = { .flow_id = forward->flow_id,
					    .ifindex = forward->ifindex,
					    .client_port = forward->connection.client_port,
					    .server_port = forward->connection.server_port };
		memcpy(event.client_address, forward->connection.client_address, sizeof(event.client_address));
		memcpy(event.server_address, forward->connection.server_address, sizeof(event.server_address));
		if (monitor_find_socket(agent->monitor, &event))
			return; /* too many under way: the next sweep goes on */
		HASH_DEL(agent->forwards, forward);
		HASH_ADD(hh, agent->forwards, flow_id, sizeof(forward->flow_id), forward);
	}
}

void agent_give_up_forward(struct agent *agent, uint64_t flow_id, int error)
{
	agent_read_events(agent); /* its last event may still wait */
	struct session *session = sessions_find(agent->sessions, flow_id);
	struct open_forward *known = find(agent, flow_id);
	if (known)
		forget(agent, known);
	if (!session || session->closed.tv_sec)
		return;
	if (error == -ETIMEDOUT)
		agent->counts.forwards_idle++;
	else
		agent->counts.forwards_evicted++;
	agent_give_up(agent, session, error == -ETIMEDOUT ? "idle" : "evicted");
}

void agent_forget_forwards(struct agent *agent)
{
	while (agent->forwards)
		forget(agent, agent->forwards);
}
