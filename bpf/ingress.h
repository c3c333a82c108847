/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The server's bytes: the same gate and chunks. Nothing is ever dropped here, and two CPUs may be in it at once. */
#ifndef SMTPWARD_BPF_INGRESS_H
#define SMTPWARD_BPF_INGRESS_H

#include "dialogue_server.h"
#include "direction.h"

/* As client_chunk(), for the server's bytes, which are never taken back. */
__noinline int server_chunk(struct __sk_buff *skb, __u32 offset)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk || offset >= skb->len)
		return 0;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow)
		return 0;
	struct server_parser *server = &flow->server;
	__u32 left = skb->len - offset;
	__u32 taken = server_skip(server, left);
	if (taken)
		return (int)taken;
	__u32 n = left < CHUNK ? left : CHUNK;
	barrier_var(n);
	n = ((n - 1) & (CHUNK - 1)) + 1;
	if (bpf_skb_load_bytes(skb, offset, flow->server_chunk, n)) {
		count(COUNTER_HELPER_FAILED);
		return 0;
	}
	WRITE_ONCE(flow->server_taken, server_run(server, flow->server_chunk, n));
	for (int i = 0; i < SERVER_STEPS; i++) {
		__u32 at = READ_ONCE(flow->server_taken);
		if (at >= n || server->skip || server->opaque)
			break;
		server_byte(server, &flow->client, flow->server_chunk[at & (CHUNK - 1)]);
		WRITE_ONCE(flow->server_taken, at + 1);
	}
	taken = flow->server_taken;
	server_count(server, taken);
	return (int)taken;
}

__noinline int server_round(struct __sk_buff *skb, __u32 offset)
{
	for (int i = 0; i < CHUNKS_OF_ROUND; i++) {
		int taken = server_chunk(skb, offset);
		if (taken <= 0)
			break;
		offset += (__u32)taken;
	}
	return (int)offset;
}

static __always_inline void server_lost(struct flow *flow)
{
	if (!(flow->server.facts & FACT(SERVER_GAP)))
		count(COUNTER_GAPS);
	flow->server.facts |= FACT(SERVER_GAP);
	flow->server.opaque = 1;
}

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

/* Takes the server's parser through a segment. Returns false if bytes are missing. */
static __always_inline bool server_segment(struct __sk_buff *skb, struct flow *flow, const struct segment *segment)
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
		return true;
	}
	if (ahead <= 0 && ahead + (__s32)segment->length <= 0)
		return true; /* seen before */
	if (!flow->server_has_next || ahead > 0)
		return false;
	__u32 start = segment->payload + (__u32)-ahead, offset = start, before = start;
	bool was_in_tls = flow->server.in_tls;
	bool was_clear = !(flow->server.facts & FACT(SERVER_DATA)) && !flow->server.tls.legacy;
	/* at the start of a record, or what looks like a ServerHello is the middle of something else */
	bool hello_is_new = !(flow->server.facts & FACT(SERVER_HELLO)) &&
			    (!was_in_tls || (flow->server.tls.position == 0 && flow->server.skip == 0));
	flow->server_next = segment->sequence + segment->length;
	for (int i = 0; i < ROUNDS_MAX && offset < skb->len; i++) {
		before = offset;
		offset = (__u32)server_round(skb, before);
		if (offset == before)
			break;
	}
	if (offset < skb->len && offset != before)
		server_give_up(&flow->server);
	if (flow->server.facts & FACT(SERVER_CAP))
		count(COUNTER_CAPS); /* once: the parser is opaque now */
	if (was_clear)
		tell_handshake(skb, start, was_in_tls, flow->server.in_tls, 1);
	if (hello_is_new && (flow->server.facts & FACT(SERVER_HELLO))) {
		int version = server_hello_version(skb, start);
		if (version >= VERSION_LOWEST && version <= VERSION_HIGHEST)
			flow->tls_version = (__u16)version;
	}
	return offset >= skb->len || offset != before;
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
	if (!server_segment(skb, flow, &segment))
		server_lost(flow);
	if (!ingress_leave(flow))
		server_lost(flow);
	return PASS;
}

#endif
