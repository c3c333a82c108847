/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The server's bytes: the same gate and chunks. Nothing is ever dropped here, and two CPUs may be in it at once. */
#ifndef SMTPWARD_BPF_INGRESS_H
#define SMTPWARD_BPF_INGRESS_H

#include "direction.h"

/*
 * Two segments of a flow can come in on two CPUs at once, where interrupts or receive steering move. One parser cannot
 * take both: the second one is lost to it, and the first one notes the gap when it is done.
 */
static __always_inline bool ingress_enter(struct flow *flow)
{
	bpf_spin_lock(&flow->ingress_lock);
	bool free = !flow->ingress_busy;
	flow->ingress_busy = 1;
	if (!free)
		flow->ingress_raced = 1;
	bpf_spin_unlock(&flow->ingress_lock);
	return free;
}

/* Returns false if another segment was turned away meanwhile; then no other will be let in, either. */
static __always_inline bool ingress_leave(struct flow *flow)
{
	bpf_spin_lock(&flow->ingress_lock);
	bool alone = !flow->ingress_raced;
	if (alone)
		flow->ingress_busy = 0;
	bpf_spin_unlock(&flow->ingress_lock);
	return alone;
}

/*
 * Bytes that were read come again, or what follows them is missing. TCP looks at checksum, time stamps and window only
 * behind this hook: where the socket has not got what was read by now, that copy was dropped, and the one that takes its
 * place may say something else.
 */
static __always_inline bool first_copy_was_dropped(struct __sk_buff *skb, const struct flow *flow, const struct segment *segment)
{
	__u32 end = segment->sequence + segment->length;
	struct bpf_sock *sk = skb->sk;
	struct bpf_tcp_sock *tcp = sk ? bpf_tcp_sock(sk) : 0;
	if (!tcp)
		return false;
	if ((__s32)(end - flow->server_next) > 0)
		end = flow->server_next;
	return (__s32)(end - tcp->rcv_nxt) > 0;
}

/* In order, and only once. */
static __always_inline void take_server(struct __sk_buff *skb, struct flow *flow, const struct segment *segment)
{
	if (!flow->server_has_next && flow->adopted) {
		flow->server_has_next = 1;
		flow->server_next = segment->sequence;
	}
	__s32 ahead = (__s32)(segment->sequence - flow->server_next);
	if (ahead != 0 && flow->server_has_next && first_copy_was_dropped(skb, flow, segment)) {
		server_withdraw(&flow->server);
		flow->tls_version = 0; /* read from that copy, perhaps */
		count(COUNTER_GAPS);
		return;
	}
	if (ahead <= 0 && ahead + (__s32)segment->length <= 0)
		return; /* seen before */
	if (!flow->server_has_next || ahead > 0) {
		server_has_gap(flow);
		return;
	}
	flow->server_next = segment->sequence + segment->length;
	server_segment(skb, flow, segment->payload + (__u32)-ahead, skb->len);
}

static __noinline int ingress(struct __sk_buff *skb, struct flow *flow)
{
	struct segment segment = {};
	if (!segment_read(skb, &segment)) {
		count(COUNTER_HELPER_FAILED);
		return PASS;
	}
	if (segment.syn) {
		flow->server_has_next = 1;
		flow->server_next = segment.sequence;
	}
	if (segment.length == 0 || !ingress_enter(flow))
		return PASS;
	take_server(skb, flow, &segment);
	if (!ingress_leave(flow))
		server_has_gap(flow);
	return PASS;
}

#endif
