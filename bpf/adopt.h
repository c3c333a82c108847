/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that were there first. The agent puts what it knows of such a socket into a map; the first segment of it that comes
 * by, in either direction, makes the flow's storage. sockops are of no use to them: the callback for a change of state has
 * to be asked for at the connect. So their end is read off FIN and RST, or found by the agent.
 */
#ifndef SMTPWARD_BPF_ADOPT_H
#define SMTPWARD_BPF_ADOPT_H

#include "adopted.h"
#include "blocked_map.h"
#include "decide.h"
#include "emit.h"
#include "hello.h"
#include "maps.h"
#include "segment.h"

/* By socket cookie. Entries go at the first segment, or with the socket (the agent looks). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* it is empty mostly */
	__uint(max_entries, ADOPTED_MAX);
	__type(key, __u64);
	__type(value, struct adopted);
} adopted SEC(".maps");

static __always_inline void adopt_identity(struct flow *flow, const struct adopted *entry, __u64 cookie)
{
	flow->flow_id = entry->flow_id;
	flow->opened_ns = entry->opened_ns;
	flow->socket_cookie = cookie;
	flow->netns_cookie = entry->netns_cookie;
	flow->cgroup_id = entry->cgroup_id;
	flow->pid = entry->pid;
	flow->tid = entry->pid;
	flow->uid = entry->uid;
	flow->sequence = entry->sequence;
	flow->client_port = entry->client_port;
	flow->server_port = entry->server_port;
	flow->implicit_tls = entry->implicit_tls;
	__builtin_memcpy(flow->client_address, entry->client_address, 16);
	__builtin_memcpy(flow->server_address, entry->server_address, 16);
	__builtin_memcpy(flow->comm, entry->comm, sizeof(flow->comm));
}

/*
 * Where the two directions are read from. The client's is sure: all that TCP has sent lies before snd_nxt. The server's begins
 * with the first segment that comes, unless nothing has come yet.
 */
static __always_inline void adopt_position(struct flow *flow, const struct bpf_tcp_sock *tcp)
{
	__u32 in_flight = tcp->snd_nxt - tcp->snd_una;
	bool silent = tcp->bytes_received == 0 && tcp->bytes_acked <= 1; /* the SYN counts one */
	flow->client_next = tcp->snd_nxt;
	flow->client_has_next = 1;
	if (silent && in_flight == 0) {
		flow->server_next = tcp->rcv_nxt;
		flow->server_has_next = 1;
		dialogue_start(&flow->client, &flow->server, flow->implicit_tls);
	} else if (silent && in_flight == 1 && tcp->bytes_acked == 0) { /* a SYN without data */
		dialogue_start(&flow->client, &flow->server, flow->implicit_tls);
	} else {
		dialogue_join(&flow->client, &flow->server, flow->implicit_tls);
	}
}

/*
 * Makes storage for the segment's socket, if it is one of those. Returns 1 if there is some now. A function of its own, for the
 * verifier's sake, as client_chunk() is.
 */
__noinline int adopt(struct __sk_buff *skb)
{
	struct policy_rule rule = {};
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 0;
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct adopted *found = bpf_map_lookup_elem(&adopted, &cookie), entry;
	struct bpf_tcp_sock *tcp;
	if (!found)
		return 0;
	entry = *found; /* a deleted element may be another's at once (since Linux 6.1) */
	if (bpf_map_delete_elem(&adopted, &cookie)) /* of two CPUs, one gets it */
		return 0;
	tcp = bpf_tcp_sock(sk);
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!flow || !tcp) {
		count(COUNTER_STORAGE_FAILED);
		return 0;
	}
	adopt_identity(flow, &entry, cookie);
	adopt_position(flow, tcp);
	rule_for(flow, &rule);
	flow_pass_over(flow);
	flow->adopted = 1;
	flow->opened = 1;
	count(COUNTER_FLOWS_ADOPTED);
	if (!flow->sequence)
		emit(flow, EVENT_OPENED);
	WRITE_ONCE(flow->watched, 1);
	return 1;
}

/*
 * The end of such a flow, behind a segment of it that passed. A FIN or RST from the network may be forged; what the client
 * itself has sent is sure: behind its FIN it sends nothing more, and the agent finds those that end otherwise.
 */
__noinline int adopted_end(struct __sk_buff *skb, __u32 from_server)
{
	struct segment segment = {};
	struct bpf_sock *sk = skb->sk;
	struct flow *flow;
	if (!sk || !segment_read(skb, &segment) || !(segment.fin || segment.rst))
		return 0;
	flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow)
		return 0;
	if (from_server && segment.fin)
		flow->server_fin = 1;
	if (!from_server && segment.fin)
		flow->client_fin = 1;
	if (flow->end == FLOW_END_NONE && segment.fin)
		flow->end = from_server ? FLOW_END_SERVER : FLOW_END_CLIENT;
	if (!from_server && segment.rst)
		flow->end = FLOW_END_RESET;
	else if (!flow->client_fin || !flow->server_fin)
		return 0;
	flow->watched = 0;
	if (flow->blocked)
		blocked_forget(flow->socket_cookie);
	emit(flow, EVENT_CLOSED);
	forget_hello(flow);
	return 1;
}

/*
 * Run by the agent once for each such socket, so that its session is known before anything of it is seen; this is the way
 * into the ring for user space. Returns 0, or 1 if the ring is full.
 */
SEC("tc")
int smtpward_announce(struct __sk_buff *skb)
{
	struct announcement told;
	struct flow_event *event;
	if (bpf_skb_load_bytes(skb, 0, &told, sizeof(told)))
		return 1;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_lost(COUNTER_LOST_FLOW);
		return 1;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->flow_id = told.adopted.flow_id;
	event->time_ns = told.adopted.opened_ns;
	event->opened_ns = told.adopted.opened_ns;
	event->facts = told.adopted.from_start ? 0 : FACT(MIDWAY);
	event->socket_cookie = told.socket_cookie;
	event->netns_cookie = told.adopted.netns_cookie;
	event->cgroup_id = told.adopted.cgroup_id;
	event->pid = told.adopted.pid;
	event->tid = told.adopted.pid;
	event->uid = told.adopted.uid;
	event->rule_id = told.adopted.rule_id;
	event->require = told.adopted.require;
	event->sequence = 1;
	event->client_port = told.adopted.client_port;
	event->server_port = told.adopted.server_port;
	event->reason = EVENT_OPENED;
	event->implicit_tls = told.adopted.implicit_tls;
	event->client_alert = TLS_ALERT_NONE;
	event->server_alert = TLS_ALERT_NONE;
	event->adopted = 1;
	__builtin_memcpy(event->client_address, told.adopted.client_address, 16);
	__builtin_memcpy(event->server_address, told.adopted.server_address, 16);
	__builtin_memcpy(event->comm, told.adopted.comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count(COUNTER_EVENTS_SENT);
	return 0;
}

#endif
