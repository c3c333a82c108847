/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a forwarded flow begins, and which ones are none: those of this host's own sockets, and those that are followed
 * on another interface already, under the addresses they had before NAT.
 */
#ifndef SMTPWARD_BPF_FORWARD_BEGIN_H
#define SMTPWARD_BPF_FORWARD_BEGIN_H

#include "decide.h"
#include "emit.h"
#include "forward_maps.h"

#define EGRESS 1
#define ETHERNET 2

#define SOCK_STREAM 1

/* Value of passed_over: whose connection it is. The socket hooks write 1, too. */
enum { NOTED_SOCKET = 1, NOTED_FORWARD = 2 };

/* Kind of each port, from the configuration; enum port_kind, 0: not followed. Set before the object is loaded. */
const volatile __u8 port_kinds[65536];

static __always_inline __u8 port_kind(__u16 port)
{
	return port_kinds[MASKED_INDEX(port, 0xffff)];
}

/* ---- what another vantage has ------------------------------------------------------------------------------- */

static __always_inline void note_connection(struct forward_note *note, const struct forward_key *key)
{
	__builtin_memcpy(&note->connection, key, sizeof(*key));
	note->isn = 0;
}

/* A SYN, by its server or by its client. */
static __always_inline void note_syn(struct forward_note *note, const struct forward_key *key, __u32 isn, bool by_client)
{
	__builtin_memset(note, 0, sizeof(*note));
	if (by_client) {
		__builtin_memcpy(note->connection.client_address, key->client_address, 16);
		note->connection.client_port = key->client_port;
	} else {
		__builtin_memcpy(note->connection.server_address, key->server_address, 16);
		note->connection.server_port = key->server_port;
	}
	note->isn = isn;
}

/* Whether the SYN was met before under other addresses. NAT changes it between the way in and the way out, not before. */
static __always_inline bool syn_is_anothers(const struct forward_key *key, __u32 isn, bool by_client, bool egress)
{
	struct forward_note note;
	note_syn(&note, key, isn, by_client);
	__u8 *whose = bpf_map_lookup_elem(&passed_over, &note);
	return whose && (*whose == NOTED_SOCKET || egress);
}

static __always_inline void syn_is_ours(const struct forward_key *key, __u32 isn, bool by_client)
{
	struct forward_note note;
	__u8 whose = NOTED_FORWARD;
	note_syn(&note, key, isn, by_client);
	bpf_map_update_elem(&passed_over, &note, &whose, BPF_ANY);
}

static __always_inline bool is_passed_over(const struct forward_key *key)
{
	struct forward_note note;
	note_connection(&note, key);
	return bpf_map_lookup_elem(&passed_over, &note) != 0;
}

static __always_inline void pass_over(const struct forward_key *key)
{
	struct forward_note note;
	__u8 whose = NOTED_SOCKET;
	note_connection(&note, key);
	bpf_map_update_elem(&passed_over, &note, &whose, BPF_ANY);
}

/*
 * Whether a packet that leaves is of a TCP socket in this host's own hands, a container's included. (On the way in
 * skb->sk may be the sender's.) Raw and packet sockets are not: nobody else sees what they send.
 */
static __always_inline bool is_own(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return false;
	sk = bpf_sk_fullsock(sk);
	return !sk || (sk->type == SOCK_STREAM && sk->protocol == IPPROTO_TCP); /* a connection request has no full one */
}

/* Whether the client's segment is for a socket of this host: mail that comes in. */
static __always_inline bool is_for_own(struct __sk_buff *skb, const struct cursor *at)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv6);
	if (at->ipv6) {
		__builtin_memcpy(tuple.ipv6.saddr, at->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, at->destination, 16);
		tuple.ipv6.sport = bpf_htons(at->source_port);
		tuple.ipv6.dport = bpf_htons(at->destination_port);
	} else {
		__builtin_memcpy(&tuple.ipv4.saddr, at->source + 12, 4);
		__builtin_memcpy(&tuple.ipv4.daddr, at->destination + 12, 4);
		tuple.ipv4.sport = bpf_htons(at->source_port);
		tuple.ipv4.dport = bpf_htons(at->destination_port);
		size = sizeof(tuple.ipv4);
	}
	struct bpf_sock *sk = size == sizeof(tuple.ipv4)
				      ? bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0)
				      : bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bool connected = sk->state != BPF_TCP_LISTEN; /* a listener on any address would match what is only passing through */
	bpf_sk_release(sk);
	return connected;
}

/* ---- the beginning ------------------------------------------------------------------------------------------ */

static __always_inline __u64 new_flow_id(__u64 now)
{
	return FORWARD_FLOW_ID | (now & ((1ULL << 53) - 1)) << 10 | (bpf_get_smp_processor_id() & 1023);
}

/* The flow's rule as of now, so that its first event has it. */
static __always_inline void look_up_rule(struct flow *flow)
{
	struct policy_rule rule = {};
	rule_for(flow, &rule);
}

static __always_inline void tell_end(struct forward *forward, __u8 end)
{
	forward->head.closed = 1;
	forward->flow.end = end;
	if (!forward->head.opened)
		return;
	/* nothing of the server's was seen: its packets take another way */
	if (!forward->flow.server_has_next)
		forward->flow.server.facts |= FACT(SERVER_GAP);
	count(COUNTER_FLOWS_CLOSED);
	emit(&forward->flow, EVENT_CLOSED);
}

/* Of two packets that end it at once, one does. */
static __always_inline void close_flow(struct forward *forward, __u8 end)
{
	__u64 key = busy_key(forward, BUSY_END);
	if (forward->head.closed || !enter(key))
		return;
	if (!forward->head.closed)
		tell_end(forward, end);
	leave(key);
}

/* Payload has come: from now on it is a session. A connection without any makes none. */
static __always_inline void open_flow(struct forward *forward)
{
	if (forward->head.opened)
		return;
	forward->head.opened = 1;
	look_up_rule(&forward->flow);
	count(COUNTER_FLOWS_OPENED);
	count(COUNTER_FORWARDS_OPENED);
	emit(&forward->flow, EVENT_OPENED);
}

/* A flow without anything known but whose it is, in the place of what was there. NULL: no room. */
static __always_inline struct forward *make_flow(const struct scratch *packet, const struct syn *syn)
{
	const struct forward_key *key = &packet->key;
	__u32 zero = 0;
	struct forward *forward, *nothing = bpf_map_lookup_elem(&blank, &zero);
	if (!nothing || bpf_map_update_elem(&forwards, key, nothing, BPF_ANY))
		goto full;
	forward = bpf_map_lookup_elem(&forwards, key);
	if (!forward)
		goto full;
	struct flow *flow = &forward->flow;
	flow->opened_ns = bpf_ktime_get_ns();
	flow->flow_id = new_flow_id(flow->opened_ns);
	flow->ifindex = syn->ifindex;
	flow->uid = UID_NONE;
	flow->client_port = key->client_port;
	flow->server_port = key->server_port;
	__builtin_memcpy(flow->client_address, key->client_address, 16);
	__builtin_memcpy(flow->server_address, key->server_address, 16);
	flow->implicit_tls = port_kind(key->server_port) == PORT_IMPLICIT_TLS;
	flow->watched = 1;
	dialogue_start(&flow->client, &flow->server, flow->implicit_tls);
	flow->client_has_next = 1;
	forward->head.isn = syn->first;
	forward->head.seen_ns = flow->opened_ns;
	forward->head.flow_id = flow->flow_id;
	return forward;
full:
	count(COUNTER_FORWARDS_FULL);
	return 0;
}

/*
 * A client's SYN. It makes no flow yet: the server's answer does, so that nobody drives flows out by sending SYNs.
 * Returns false if the connection is another vantage's.
 */
static __always_inline bool on_syn(struct __sk_buff *skb, const struct scratch *packet, bool egress)
{
	const struct forward_key *key = &packet->key;
	struct syn syn = { .first = packet->at.sequence, .ifindex = skb->ifindex };
	__u32 isn = syn.first - 1;
	struct forward_note note;
	struct syn *known = bpf_map_lookup_elem(&syns, key);
	if (known && known->first == syn.first)
		return true; /* sent again, or met again on its way out */
	if (syn_is_anothers(key, isn, false, egress) || syn_is_anothers(key, isn, true, egress)) {
		pass_over(key);
		return false;
	}
	syn_is_ours(key, isn, false);
	syn_is_ours(key, isn, true);
	note_connection(&note, key);
	bpf_map_delete_elem(&passed_over, &note);
	bpf_map_update_elem(&syns, key, &syn, BPF_ANY);
	return true;
}

/* Whether the SYN that this packet belongs to was seen; then *syn is what it told. */
static __always_inline bool syn_was_seen(const struct scratch *packet, bool from_server, struct syn *syn)
{
	struct syn *known = bpf_map_lookup_elem(&syns, &packet->key);
	if (!known)
		return false;
	*syn = *known;
	return syn->first == (from_server ? packet->at.acknowledged : packet->at.sequence);
}

/* The server's answer to a flow that has begun with data in its SYN (TCP Fast Open): it acknowledges some of that, or none. */
static __always_inline void note_answer(struct forward *forward, const struct cursor *at)
{
	struct flow *flow = &forward->flow;
	__u32 sent = flow->client_next - forward->head.isn;
	if (flow->server_has_next || (flow->client.facts & FACT(MIDWAY)) || at->acknowledged - forward->head.isn > sent)
		return;
	flow->server_has_next = 1;
	flow->server_next = at->sequence;
}

/*
 * The flow that the packet belongs to, begun if it has to be. old: what the map holds for the connection, or NULL.
 * NULL: the packet is of no flow.
 */
static __always_inline struct forward *begin_flow(struct __sk_buff *skb, struct scratch *packet, struct forward *old,
						  bool from_server, bool egress)
{
	const struct cursor *at = &packet->at;
	struct syn syn = {};
	bool says_something = at->length > 0 || at->first_fragment;
	bool answer = from_server && at->syn && at->ack;
	if (!answer && (from_server || !says_something))
		return old;
	bool whole = (answer || !old || at->sequence != old->flow.client_next) && syn_was_seen(packet, from_server, &syn);
	if (old && (!whole || old->head.isn == syn.first)) {
		if (answer)
			note_answer(old, at);
		return old;
	}
	if (!old && (answer ? !whole : is_passed_over(&packet->key)))
		return 0;
	if (!whole && !egress && is_for_own(skb, at)) {
		pass_over(&packet->key);
		return 0;
	}
	if (!whole)
		syn = (struct syn){ .first = at->sequence, .ifindex = skb->ifindex };
	if (old)
		close_flow(old, FLOW_END_NONE);
	struct forward *forward = make_flow(packet, &syn);
	if (!forward)
		return 0;
	struct flow *flow = &forward->flow;
	flow->client_next = syn.first;
	if (answer) {
		flow->server_has_next = 1;
		flow->server_next = at->sequence;
	} else if (!whole) {
		dialogue_join(&flow->client, &flow->server, flow->implicit_tls);
	}
	return forward;
}

#endif
