/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both directions of a flow's bytes have in common: how much is looked at, and what the agent is told of a handshake. */
#ifndef SMTPWARD_BPF_DIRECTION_H
#define SMTPWARD_BPF_DIRECTION_H

#include "emit.h"
#include "maps.h"
#include "segment.h"

#define PASS 1
#define DROP 0

/* Bytes of a chunk that go through the whole machine; the others are runs in which nothing can happen. */
#define CLIENT_STEPS 4
#define SERVER_STEPS 8

/*
 * Chunks of a segment: 4 KiB of one-letter commands, or all of the parse cap in lines of usual length. Taken in rounds,
 * which are a function of their own: the verifier walks 64 and 64 of them, and not 4096.
 */
#define CHUNKS_OF_ROUND 64
#define ROUNDS_MAX 64

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

#endif
