/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps, and what a flow's storage holds. */
#ifndef SMTPWARD_BPF_MAPS_H
#define SMTPWARD_BPF_MAPS_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dialogue.h"
#include "event.h"
#include "policy.h"
#include "shared_maps.h"

#define CHUNK 64 /* bytes loaded at once; a power of two */

/*
 * A flow, in its socket's storage. Identity is written at connect; client, work, chunks and the flags by the
 * egress direction, under the socket lock; server by the ingress direction.
 */
struct flow {
	__u8 settled; /* TLS is established and told: egress looks at nothing any more */
	__u8 blocked; /* a segment was dropped: nothing with payload leaves any more */
	__u8 watched; /* 0: the storage is left over from an earlier connection */
	__u8 opened;
	__u8 end; /* enum flow_end */
	__u8 armed; /* header option callbacks are on */
	__u8 server_has_next;
	__u8 client_has_next;
	__u32 client_next; /* sequence number of the client's next byte */
	__u32 server_next;
	__u32 sequence; /* events sent */

	struct client_parser client; /* as of the last segment that passed */
	struct server_parser server;
	struct client_parser work; /* client, taken through the segment at hand */

	__u64 flow_id;
	__u64 opened_ns;
	__u64 stopped;
	__u64 socket_cookie;
	__u64 netns_cookie;
	__u64 cgroup_id;
	__u64 bytes_sent;
	__u64 bytes_received;
	__u64 hello_key; /* key of the flow in the hello map; 0: it has none */
	__u64 held_since; /* application data waits, or has waited; 0: it never did */
	__u64 held_ns;    /* how long it waited; 0: it did not, or still does */
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 rule_id;
	__u16 client_port;
	__u16 server_port;
	__u8 require;
	__u8 implicit_tls;
	__u8 client_seen; /* egress saw payload */
	__u8 undecided;   /* of the rule, as require */
	__u8 enforced;    /* block mode, and the rule's action is block */
	__u8 sender_is_new; /* the process has not connected before */
	__u16 min_tls;      /* of the rule */
	__u8 client_address[16];
	__u8 server_address[16];
	char comm[16];

#ifdef SMTPWARD_FORWARD
	__u32 ifindex; /* in place of the lock, which an LRU map cannot have */
#else
	struct bpf_spin_lock ingress_lock; /* of the two below */
#endif
	__u8 ingress_busy;                 /* a segment is being read */
	__u8 ingress_raced;                /* another came meanwhile, on another CPU */
	__u16 tls_version;       /* chosen in the ServerHello; 0: not read. Written by the ingress direction */
	__u16 pieces_lost; /* handshake events that found the ring full */
	__u8 adopted;            /* the flow was there before the hooks: adopt.h */
	__u8 client_fin;         /* of an adopted flow: seen. Written by the egress direction; the next one by ingress */
	__u8 server_fin;
	__u8 more_reserved;
	__u32 handshake_sent[2]; /* bytes of the TLS handshake that the agent was sent; by direction, 1 is the server's */
	__u32 client_taken; /* bytes of the chunk that are read */
	__u32 server_taken;
	__u8 client_chunk[CHUNK]; /* wiped after use: it may hold a secret */
	__u8 server_chunk[CHUNK];
};

#ifndef SMTPWARD_FORWARD
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTS_MAX);
	__type(key, __u16); /* host byte order */
	__type(value, __u8); /* enum port_kind */
} ports SEC(".maps");

/*
 * The remote ports of all flows there were. Most packets are of other ports, and this tells so without a call: where
 * returns are guarded (retpolines, SRSO), the call that asks for a socket's storage is a third of what such a packet
 * costs. A byte for each port, since bits would need an atomic "or", which 5.10 lacks.
 */
struct flow_ports {
	__u8 used[65536];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_ports);
} flow_ports SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* See HEARTBEAT_MAX_NS. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} heartbeat SEC(".maps");

/* See WAKE_INTERVAL_NS: CLOCK_MONOTONIC of the last wake-up for an alert. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} last_wake SEC(".maps");

#ifndef SMTPWARD_FORWARD
/* Processes (thread groups) that have connected lately: the agent looks for the TLS library of each, once. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u8);
} senders SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * POLICY_MAX_RULES); /* another policy's are in before those of the last one go */
	__type(key, struct policy_key);
	__type(value, struct policy_entry);
} rules SEC(".maps");

#ifndef SMTPWARD_FORWARD
/* Before a flow's first packet. */
static __always_inline void flow_port_note(__u16 port)
{
	__u32 zero = 0;
	struct flow_ports *seen = bpf_map_lookup_elem(&flow_ports, &zero);
	if (seen)
		seen->used[MASKED_INDEX(port, 0xffff)] = 1;
}

/* Whether the packet may be of a flow. */
static __always_inline bool flow_port_is_used(const struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct flow_ports *seen = bpf_map_lookup_elem(&flow_ports, &zero);
	return seen && seen->used[MASKED_INDEX(bpf_ntohl(skb->remote_port), 0xffff)];
}

/* The flow is of a socket of this host: a TC program that meets it on an interface is to leave it alone. */
static __always_inline void flow_pass_over(const struct flow *flow)
{
	struct forward_note note = { .connection = { .client_port = flow->client_port, .server_port = flow->server_port } };
	__u8 yes = 1;
	__builtin_memcpy(note.connection.client_address, flow->client_address, 16);
	__builtin_memcpy(note.connection.server_address, flow->server_address, 16);
	bpf_map_update_elem(&passed_over, &note, &yes, BPF_ANY);
}

/* The same of its SYN, which may come by at the host's interfaces with another address: from a container, through NAT. */
static __always_inline void flow_pass_over_syn(const struct flow *flow, __u32 isn)
{
	struct forward_note note = { .connection = { .server_port = flow->server_port }, .isn = isn };
	__u8 yes = 1;
	__builtin_memcpy(note.connection.server_address, flow->server_address, 16);
	bpf_map_update_elem(&passed_over, &note, &yes, BPF_ANY);
}
#endif

/* 0: a flow of this host's own. */
static __always_inline __u32 flow_ifindex(const struct flow *flow)
{
#ifdef SMTPWARD_FORWARD
	return flow->ifindex;
#else
	(void)flow;
	return 0;
#endif
}
#endif
