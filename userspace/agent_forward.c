/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Forwarded flows have no socket that says when they are over: those that make room for others, or fall silent, are asked
 * after. */
#include <errno.h>

#include "agent.h"
#include "config.h"
#include "monitor.h"
#include "session.h"

#define SWEEP_MAX 256 /* asked after at once; the next sweep goes on behind them */

void agent_sweep_forwards(struct agent *agent)
{
	unsigned asked = 0;
	if (agent->config->tc.interface_count == 0)
		return;
	struct session *session = agent->forward_cursor ? sessions_find(agent->sessions, agent->forward_cursor) : NULL;
	session = session ? session->next : sessions_oldest(agent->sessions);
	for (agent->forward_cursor = 0; session; session = session->next) {
		if (session->closed.tv_sec || !session->last.ifindex)
			continue;
		if (asked++ == SWEEP_MAX || monitor_find_socket(agent->monitor, &session->last))
			return;
		agent->forward_cursor = session->id;
	}
	agent->forward_cursor = 0;
}

void agent_give_up_forward(struct agent *agent, uint64_t flow_id, int error)
{
	agent_read_events(agent); /* its last event may still wait */
	struct session *session = sessions_find(agent->sessions, flow_id);
	if (!session || session->closed.tv_sec)
		return;
	if (error == -ETIMEDOUT)
		agent->counts.forwards_idle++;
	else
		agent->counts.forwards_evicted++;
	agent_give_up(agent, session, error == -ETIMEDOUT ? "idle" : "evicted");
}
