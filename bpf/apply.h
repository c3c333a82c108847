/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a verdict on the client's segment, which flow->work has gone through, makes of the flow. */
#ifndef SMTPWARD_BPF_APPLY_H
#define SMTPWARD_BPF_APPLY_H

#include "emit.h"
#include "maps.h"

/* Facts that an alert may have to be raised for at once. */
#define FACTS_TO_TELL (FACT(CREDENTIAL_CLEAR) | FACT(MAIL_CLEAR) | FACT(CLIENT_CAP) | FACT(WOULD_BLOCK))

/* Nothing that may come is of interest any more. */
static __always_inline bool is_settled(const struct flow *flow)
{
	return facts_tls_established(flow->client.facts | flow->server.facts) && (flow->client.facts & FACT(CLIENT_PROCEEDED));
}

/* It goes no further, and nothing with payload behind it does. */
static __always_inline void condemn(struct flow *flow)
{
	flow->stopped = facts_known(flow->work.facts) & ~flow->client.facts; /* what was a guess there has left the host */
	flow->client = flow->work; /* nothing is parsed on this flow any more; this is for the record */
	flow->client.facts |= FACT(BLOCKED);
	flow->blocked = 1;
	count(COUNTER_FLOWS_BLOCKED);
}

/*
 * Not yet. The sender's TCP presents the segment again: as its timer says, or at once where the agent pushes the socket. The
 * agent is told, once, that its verdict is waited for.
 */
static __always_inline void hold(struct flow *flow)
{
	count(COUNTER_SEGMENTS_DROPPED);
	if (flow->held_since)
		return;
	flow->held_since = bpf_ktime_get_ns();
	flow->client.facts |= FACT(HELD);
	emit(flow, EVENT_HELD);
}

/* It passes: what was read of it holds. next: number of the byte behind it. */
static __always_inline void commit(struct flow *flow, __u32 next)
{
	__u64 new_facts = facts_known(flow->work.facts) & ~facts_known(flow->client.facts);
	__u32 demands = flow->work.demands;
	flow->client = flow->work;
	flow->client_next = next;
	if (new_facts & FACT(CLIENT_GAP))
		count(COUNTER_GAPS);
	if (new_facts & FACT(CLIENT_CAP))
		count(COUNTER_CAPS);
	if (flow->held_since && !flow->held_ns)
		flow->held_ns = bpf_ktime_get_ns() - flow->held_since;
	/* a second AUTH on the flow may show another account: each is told, once */
	if ((new_facts & FACTS_TO_TELL) || ((demands & DEMAND_AUTH) && (flow->client.facts & FACT(CREDENTIAL_CLEAR))))
		emit(flow, EVENT_PROGRESS);
}

#endif
