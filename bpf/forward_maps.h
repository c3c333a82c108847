/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps that only the TC programs have, and the lock that one of them makes. */
#ifndef SMTPWARD_BPF_FORWARD_MAPS_H
#define SMTPWARD_BPF_FORWARD_MAPS_H

#include "forward.h"
#include "frame.h"
#include "maps.h"

struct forward {
	struct forward_head head;
	struct flow flow;
};

/* The flows that are followed. The least recently used one makes room; the agent notices that it is gone. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FORWARD_FLOWS_MAX);
	__type(key, struct forward_key);
	__type(value, struct forward);
} forwards SEC(".maps");

/* SYNs that were not answered yet: whoever sends many of them drives no flow out. */
struct syn {
	__u32 first;   /* number of the client's first byte */
	__u32 ifindex; /* where it was met */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FORWARD_FLOWS_MAX);
	__type(key, struct forward_key);
	__type(value, struct syn);
} syns SEC(".maps");

/* Flow id of each segment that is being read, or flow that is being ended: see busy_key(). An entry is a lock: 5.10 has no atomic
 * operation that tells what was there, and LRU maps no bpf_spin_lock. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FORWARD_BUSY_MAX);
	__type(key, __u64);
	__type(value, __u8);
} busy SEC(".maps");

/* What is done to a flow by one packet at a time; two bits of its id, which change once in weeks. */
enum busy { BUSY_SERVER = 0, BUSY_END = 1, BUSY_CLIENT = 2 };

static __always_inline __u64 busy_key(const struct forward *forward, enum busy with)
{
	return forward->head.flow_id ^ (__u64)with << 61;
}

static __always_inline bool enter(__u64 key)
{
	__u8 yes = 1;
	return bpf_map_update_elem(&busy, &key, &yes, BPF_NOEXIST) == 0;
}

static __always_inline void leave(__u64 key)
{
	bpf_map_delete_elem(&busy, &key);
}

/* A flow with nothing in it: too large for the stack. Never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct forward);
} blank SEC(".maps");

/*
 * The packet at hand. TC programs run with softirqs off, in both directions, so nobody else of this CPU's gets at it,
 * but for those that a packet of our own meets (reset.h).
 */
struct scratch {
	struct cursor at;
	struct forward_key key; /* its connection */
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *scratch_of_cpu(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratch, &zero);
}

static __always_inline struct flow *flow_at_hand(struct __sk_buff *skb, __u32 *end)
{
	struct scratch *packet = scratch_of_cpu();
	(void)skb;
	if (!packet)
		return 0;
	*end = packet->at.end;
	struct forward *forward = bpf_map_lookup_elem(&forwards, &packet->key);
	return forward ? &forward->flow : 0;
}

#endif
