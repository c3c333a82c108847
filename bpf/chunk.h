/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A segment's bytes through the dialogue machine, and those of a TLS handshake to the agent. The same for a socket's flow and
 * for a forwarded one: whoever includes this has said before how the flow of the packet at hand is found,
 *
 *	static __always_inline struct flow *flow_at_hand(struct __sk_buff *skb, __u32 *end);
 *
 * which returns NULL if there is none, and in *end the offset where the packet's payload ends.
 */
#ifndef SMTPWARD_BPF_CHUNK_H
#define SMTPWARD_BPF_CHUNK_H

#include "dialogue_client.h"
#include "dialogue_server.h"
#include "emit.h"
#include "hello.h"
#include "maps.h"

/* Bytes of a chunk that go through the whole machine; the others are runs in which nothing can happen. */
#define CLIENT_STEPS 4
#define SERVER_STEPS 8

/*
 * Chunks of a segment: 4 KiB of one-letter commands, or all of the parse cap in lines of usual length. Taken in rounds,
 * which are a function of their own: the verifier walks 64 and 64 of them, and not 4096.
 */
#define CHUNKS_OF_ROUND 64
#define ROUNDS_MAX 64

/* ---- the client's bytes ------------------------------------------------------------------------------------- */

/*
 * Takes flow->work through the bytes at offset. Returns how many it took, 0 to stop. A function of its own, so
 * that the verifier walks the loop once; the context is the one pointer that 5.10 allows as an argument.
 */
__noinline int client_chunk(struct __sk_buff *skb, __u32 offset)
{
	__u32 end;
	struct flow *flow = flow_at_hand(skb, &end);
	if (!flow || offset >= end)
		return 0;
	struct client_parser *work = &flow->work;
	__u32 left = end - offset;
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

static __always_inline void client_has_gap(struct client_parser *client)
{
	client->facts |= FACT(CLIENT_GAP);
	client->state = CLIENT_OPAQUE;
}

/* Takes flow->work through the segment's bytes from offset to end. */
static __always_inline void client_segment(struct __sk_buff *skb, struct flow *flow, __u32 offset, __u32 end)
{
	__u32 before = offset;
	client_segment_start(&flow->work, &flow->server);
	for (int i = 0; i < ROUNDS_MAX && offset < end; i++) {
		before = offset;
		offset = (__u32)client_round(skb, before);
		if (offset == before)
			break;
	}
	__builtin_memset(flow->client_chunk, 0, sizeof(flow->client_chunk));
	if (offset >= end)
		return;
	if (offset != before)
		client_overworked(&flow->work);
	else
		client_has_gap(&flow->work);
}

/* ---- a handshake's ------------------------------------------------------------------------------------------ */

__noinline int handshake_chunk(struct __sk_buff *skb, __u32 offset, __u32 from_server)
{
	__u32 end;
	struct flow *flow = flow_at_hand(skb, &end);
	return flow ? handshake_piece(skb, flow, offset, end, from_server) : 0;
}

/*
 * Tells the agent the handshake bytes of a segment that a parser has gone through. was and is: the parser is in TLS,
 * before and after. TLS that begins anywhere but at a segment's start is none that a TLS library has begun.
 */
static __always_inline void tell_handshake(struct __sk_buff *skb, __u32 offset, bool was, bool is, __u32 from_server)
{
	__u8 first = 0;
	if (!was && !is)
		return;
	if (!was && (bpf_skb_load_bytes(skb, offset, &first, 1) || !tls_type_is_valid(first)))
		return;
	for (int i = 0; i < HANDSHAKE_LIMIT / HANDSHAKE_CHUNK; i++) {
		int sent = handshake_chunk(skb, offset, from_server);
		if (sent <= 0)
			break;
		offset += (__u32)sent;
	}
}

/* ---- the server's bytes, which are never taken back ---------------------------------------------------------- */

__noinline int server_chunk(struct __sk_buff *skb, __u32 offset)
{
	__u32 end;
	struct flow *flow = flow_at_hand(skb, &end);
	if (!flow || offset >= end)
		return 0;
	struct server_parser *server = &flow->server;
	__u32 left = end - offset;
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

static __always_inline void server_has_gap(struct flow *flow)
{
	if (!(flow->server.facts & FACT(SERVER_GAP)))
		count(COUNTER_GAPS);
	flow->server.facts |= FACT(SERVER_GAP);
	flow->server.opaque = 1;
}

/* Takes the server's parser through the segment's bytes from start to end. */
static __always_inline void server_segment(struct __sk_buff *skb, struct flow *flow, __u32 start, __u32 end)
{
	__u32 offset = start, before = start;
	bool was_in_tls = flow->server.in_tls;
	bool was_clear = !(flow->server.facts & FACT(SERVER_DATA)) && !flow->server.tls.legacy;
	/* at the start of a record, or what looks like a ServerHello is the middle of something else */
	bool hello_is_new = !(flow->server.facts & FACT(SERVER_HELLO)) &&
			    (!was_in_tls || (flow->server.tls.position == 0 && flow->server.skip == 0));
	for (int i = 0; i < ROUNDS_MAX && offset < end; i++) {
		before = offset;
		offset = (__u32)server_round(skb, before);
		if (offset == before)
			break;
	}
	if (offset < end && offset != before)
		server_give_up(&flow->server);
	else if (offset < end)
		server_has_gap(flow);
	if (flow->server.facts & FACT(SERVER_CAP))
		count(COUNTER_CAPS); /* once: the parser is opaque now */
	if (was_clear)
		tell_handshake(skb, start, was_in_tls, flow->server.in_tls, 1);
	if (hello_is_new && (flow->server.facts & FACT(SERVER_HELLO))) {
		int version = server_hello_version(skb, start);
		if (version >= VERSION_LOWEST && version <= VERSION_HIGHEST)
			flow->tls_version = (__u16)version;
	}
}

#endif
