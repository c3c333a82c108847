/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The client's bytes: in-order gate, dialogue step, verdict. What is dropped leaves the flow as it was. */
#ifndef SMTPWARD_BPF_EGRESS_H
#define SMTPWARD_BPF_EGRESS_H

#include "apply.h"
#include "blocked_map.h"
#include "decide.h"
#include "direction.h"

static __always_inline int block(struct flow *flow)
{
	condemn(flow);
	blocked_note(flow);
	count(COUNTER_SEGMENTS_DROPPED);
	emit(flow, EVENT_BLOCKED);
	return DROP;
}

static __noinline int egress(struct __sk_buff *skb, struct flow *flow)
{
	struct segment segment = {};
	if (!flow->blocked && is_settled(flow)) {
		flow->settled = 1;
		emit(flow, EVENT_PROGRESS);
		return PASS;
	}
	if (!segment_read(skb, &segment)) {
		count(COUNTER_HELPER_FAILED);
		return flow->blocked ? DROP : PASS;
	}
	if (segment.syn && !flow->client_has_next) {
		flow->client_has_next = 1;
		flow->client_next = segment.sequence;
		flow_pass_over(flow);
		flow_pass_over_syn(flow, segment.sequence - 1);
	}
	if (segment.length == 0)
		return PASS;
	if (flow->adopted && blocked_is_known(flow->socket_cookie))
		flow->blocked = 1; /* by an object of another version, which may be gone by now */
	if (flow->blocked) {
		count(COUNTER_SEGMENTS_DROPPED);
		return DROP;
	}
	flow->client_seen = 1;
	__s32 ahead = (__s32)(segment.sequence - flow->client_next);
	if (ahead <= 0 && ahead + (__s32)segment.length <= 0)
		return PASS; /* sent before */
	if (ahead > 0 && is_held(flow)) { /* a queue between TCP and here (NFQUEUE) hides from TCP that a segment was dropped */
		hold(flow);
		return DROP;
	}
	flow->work = flow->client;
	if (!flow->client_has_next || ahead > 0)
		client_has_gap(&flow->work);
	count(COUNTER_SEGMENTS_PARSED);
	bool was_in_tls = client_in_tls(&flow->client);
	bool was_clear = !(flow->client.facts & FACT(CLIENT_FINISHED));
	__u32 offset = segment.payload + (ahead < 0 ? (__u32)-ahead : 0);
	client_segment(skb, flow, offset, skb->len);
	/* A receiver takes the urgent byte out of the stream, so commands are not what they look like; no mail program does this. */
	if (segment.urgent && !flow->work.server_in_tls)
		client_give_up(&flow->work);
	switch (segment_verdict(flow)) {
	case VERDICT_BLOCK:
		return block(flow);
	case VERDICT_HOLD:
		if (!flow->held_since && (flow->work.facts & ~flow->client.facts & FACT(CLIENT_HELLO)))
			note_hello(skb, flow, offset); /* with early data behind it: the verdict needs a place to go to */
		hold(flow);
		return DROP;
	case VERDICT_PASS:
		break;
	}
	bool hello_now = !(flow->client.facts & FACT(CLIENT_HELLO)) && (flow->work.facts & FACT(CLIENT_HELLO));
	commit(flow, segment.sequence + segment.length);
	if (hello_now)
		note_hello(skb, flow, offset);
	if (was_clear && !flow->client.left_tls) /* plaintext may be a secret */
		tell_handshake(skb, offset, was_in_tls, client_in_tls(&flow->client), 0);
	return PASS;
}

/* A socket of which this object knows nothing. What another version of it has blocked stays blocked. */
static __noinline int egress_without_storage(struct __sk_buff *skb)
{
	struct segment segment = {};
	if (!blocked_is_known(bpf_get_socket_cookie(skb)) || (segment_read(skb, &segment) && segment.length == 0))
		return PASS;
	count(COUNTER_SEGMENTS_DROPPED);
	return DROP;
}

#endif
