/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The client's bytes: in-order gate, dialogue step, verdict. What is dropped leaves the flow as it was. */
#ifndef SMTPWARD_BPF_EGRESS_H
#define SMTPWARD_BPF_EGRESS_H

#include "blocked_map.h"
#include "decide.h"
#include "dialogue_client.h"
#include "direction.h"
#include "hello.h"

/*
 * Takes flow->work through the bytes at offset. Returns how many it took, 0 to stop. A function of its own, so
 * that the verifier walks the loop once; the context is the one pointer that 5.10 allows as an argument.
 */
__noinline int client_chunk(struct __sk_buff *skb, __u32 offset)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk || offset >= skb->len)
		return 0;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow)
		return 0;
	struct client_parser *work = &flow->work;
	__u32 left = skb->len - offset;
	__u32 taken = client_skip(work, left);
	if (taken)
		return (int)taken;
	__u32 n = left < CHUNK ? left : CHUNK;
	barrier_var(n);
	n = ((n - 1) & (CHUNK - 1)) + 1;
	if (bpf_skb_load_bytes(skb, offset, flow->client_chunk, n)) {
		count(COUNTER_HELPER_FAILED);
		return 0;
	}
	WRITE_ONCE(flow->client_taken, client_run(work, flow->client_chunk, n));
	for (int i = 0; i < CLIENT_STEPS; i++) {
		__u32 at = READ_ONCE(flow->client_taken); /* from memory, so that the verifier does not follow its values */
		if (at >= n || client_skip_is_due(work, left - at))
			break;
		client_byte(work, &flow->server, flow->client_chunk[at & (CHUNK - 1)]);
		WRITE_ONCE(flow->client_taken, at + 1);
	}
	taken = flow->client_taken;
	client_count(work, taken);
	return (int)taken;
}

/* A round of them. Returns the offset that it has come to; the one it was given if nothing can be taken there. */
__noinline int client_round(struct __sk_buff *skb, __u32 offset)
{
	for (int i = 0; i < CHUNKS_OF_ROUND; i++) {
		int taken = client_chunk(skb, offset);
		if (taken <= 0)
			break;
		offset += (__u32)taken;
	}
	return (int)offset;
}

/* Takes flow->work through the segment from offset on. */
static __always_inline void client_segment(struct __sk_buff *skb, struct flow *flow, __u32 offset)
{
	__u32 before = offset;
	client_segment_start(&flow->work, &flow->server);
	for (int i = 0; i < ROUNDS_MAX && offset < skb->len; i++) {
		before = offset;
		offset = (__u32)client_round(skb, before);
		if (offset == before)
			break;
	}
	__builtin_memset(flow->client_chunk, 0, sizeof(flow->client_chunk));
	if (offset >= skb->len)
		return;
	if (offset != before) {
		client_overworked(&flow->work);
		return;
	}
	flow->work.facts |= FACT(CLIENT_GAP);
	flow->work.state = CLIENT_OPAQUE;
}

/* Facts that an alert may have to be raised for at once. */
#define FACTS_TO_TELL (FACT(CREDENTIAL_CLEAR) | FACT(MAIL_CLEAR) | FACT(CLIENT_CAP) | FACT(WOULD_BLOCK))

/* Nothing that may come is of interest any more. */
static __always_inline bool flow_is_settled(const struct flow *flow)
{
	return facts_tls_established(flow->client.facts | flow->server.facts) && (flow->client.facts & FACT(CLIENT_PROCEEDED));
}

static __always_inline int block(struct flow *flow)
{
	flow->stopped = facts_known(flow->work.facts) & ~flow->client.facts; /* what was a guess there has left the host */
	flow->client = flow->work; /* nothing is parsed on this flow any more; this is for the record */
	flow->client.facts |= FACT(BLOCKED);
	flow->blocked = 1;
	blocked_note(flow);
	count(COUNTER_FLOWS_BLOCKED);
	count(COUNTER_SEGMENTS_DROPPED);
	emit(flow, EVENT_BLOCKED);
	return DROP;
}

/* Not yet: TCP keeps the segment and presents it again, when the agent pushes it or when its probe timer does. */
static __always_inline int hold(struct flow *flow)
{
	count(COUNTER_SEGMENTS_DROPPED);
	if (flow->held_since)
		return DROP;
	flow->held_since = bpf_ktime_get_ns();
	flow->client.facts |= FACT(HELD);
	emit(flow, EVENT_HELD);
	return DROP;
}

/* The segment leaves: what was read of it holds. */
static __always_inline void commit(struct flow *flow, const struct segment *segment)
{
	__u64 new_facts = facts_known(flow->work.facts) & ~facts_known(flow->client.facts);
	__u32 demands = flow->work.demands;
	flow->client = flow->work;
	flow->client_next = segment->sequence + segment->length;
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

static __noinline int egress(struct __sk_buff *skb, struct flow *flow)
{
	struct segment segment = {};
	if (!flow->blocked && flow_is_settled(flow)) {
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
	if (ahead > 0 && is_held(flow))
		return hold(flow); /* a queue between TCP and here (NFQUEUE) hides from TCP that a segment was dropped */
	flow->work = flow->client;
	if (!flow->client_has_next || ahead > 0) {
		flow->work.facts |= FACT(CLIENT_GAP);
		flow->work.state = CLIENT_OPAQUE;
	}
	count(COUNTER_SEGMENTS_PARSED);
	bool was_in_tls = client_in_tls(&flow->client);
	bool was_clear = !(flow->client.facts & FACT(CLIENT_FINISHED));
	__u32 offset = segment.payload + (ahead < 0 ? (__u32)-ahead : 0);
	client_segment(skb, flow, offset);
	/* A receiver takes the urgent byte out of the stream, so commands are not what they look like; no mail program does this. */
	if (segment.urgent && !flow->work.server_in_tls)
		client_give_up(&flow->work);
	switch (segment_verdict(flow)) {
	case VERDICT_BLOCK:
		return block(flow);
	case VERDICT_HOLD:
		if (!flow->held_since && (flow->work.facts & ~flow->client.facts & FACT(CLIENT_HELLO)))
			note_hello(skb, flow, offset); /* with early data behind it: the verdict needs a place to go to */
		return hold(flow);
	case VERDICT_PASS:
		break;
	}
	bool hello_now = !(flow->client.facts & FACT(CLIENT_HELLO)) && (flow->work.facts & FACT(CLIENT_HELLO));
	commit(flow, &segment);
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
