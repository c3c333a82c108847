/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both directions of a socket's bytes have in common: where the flow is, and what a hook returns. */
#ifndef SMTPWARD_BPF_DIRECTION_H
#define SMTPWARD_BPF_DIRECTION_H

#include "maps.h"
#include "segment.h"

#define PASS 1
#define DROP 0

static __always_inline struct flow *flow_at_hand(struct __sk_buff *skb, __u32 *end)
{
	struct bpf_sock *sk = skb->sk;
	*end = skb->len;
	return sk ? bpf_sk_storage_get(&flows, sk, 0, 0) : 0;
}

#include "chunk.h"

#endif
