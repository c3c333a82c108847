/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps that the socket hooks and the witness's uprobes, which are an object of their own, both use. */
#ifndef SMTPWARD_BPF_SHARED_MAPS_H
#define SMTPWARD_BPF_SHARED_MAPS_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "event.h"
#include "forward.h"
#include "witness.h"

/* 2 MiB: 6,000 events; the agent maps it twice. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 * 1024 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* A flow by HELLO_KEY_BYTES of its ClientHello.random, from the ClientHello to the flow's end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WITNESS_FLOWS_MAX);
	__type(key, __u64);
	__type(value, struct hello);
} hellos SEC(".maps");

/* How many flows are in hellos. While it is 0 a uprobe has nothing to do. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __s64);
} hello_count SEC(".maps");

/* What is known of the peer, by flow id. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WITNESS_FLOWS_MAX);
	__type(key, __u64);
	__type(value, struct witness);
} witnesses SEC(".maps");

/* What the agent says of the peer, by flow id. Here it is made and removed only. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WITNESS_FLOWS_MAX);
	__type(key, __u64);
	__type(value, struct peer_verdict);
} verdicts SEC(".maps");

/* Places for what will be known of the flow's peer. demanded: policy asks for it. */
static __always_inline void peer_note(__u64 flow_id, bool demanded)
{
	struct witness witness = { .demanded = demanded };
	struct peer_verdict verdict = { .identity = IDENTITY_UNDECIDED };
	bpf_map_update_elem(&witnesses, &flow_id, &witness, BPF_NOEXIST);
	bpf_map_update_elem(&verdicts, &flow_id, &verdict, BPF_NOEXIST);
}

static __always_inline void peer_forget(__u64 flow_id)
{
	bpf_map_delete_elem(&witnesses, &flow_id);
	bpf_map_delete_elem(&verdicts, &flow_id);
}

static __always_inline __u32 peer_verdict_of(__u64 flow_id)
{
	struct peer_verdict *verdict = bpf_map_lookup_elem(&verdicts, &flow_id);
	return verdict ? verdict->identity : IDENTITY_UNDECIDED;
}

/* Connections that the TC programs leave alone: see struct forward_note. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FORWARD_NOTES_MAX);
	__type(key, struct forward_note);
	__type(value, __u8);
} passed_over SEC(".maps");

/* Atomic although each CPU has its own: a program that sends may be interrupted, on its CPU, by one that receives. */
static __always_inline void count(__u32 id)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &id);
	if (counter)
		__sync_fetch_and_add(counter, 1);
}

/* The ring had no room for an event; kind is COUNTER_LOST_*. */
static __always_inline void count_lost(__u32 kind)
{
	count(COUNTER_EVENTS_LOST);
	count(kind);
}

#endif
