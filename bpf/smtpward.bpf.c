// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The socket hooks: connect4/6 tell who, sockops when, cgroup_skb what.
 *
 *   connect4/6   a flow begins: its storage is made, with the identity of the process
 *   sockops      addresses, established, closed; the kernel's own way to end a blocked flow
 *   cgroup_skb   bytes: in-order gate, dialogue step, verdict
 */
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "adopt.h"
#include "blocked_map.h"
#include "decide.h"
#include "egress.h"
#include "emit.h"
#include "hello.h"
#include "ingress.h"
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define AF_INET 2
#define AF_INET6 10
#define SOL_TCP 6
#define TCP_USER_TIMEOUT 18

/* ---- bytes ------------------------------------------------------------------------------------------------ */

SEC("cgroup_skb/egress")
int smtpward_egress(struct __sk_buff *skb)
{
	if (!flow_port_is_used(skb))
		return PASS;
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return PASS;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow && adopt(skb))
		flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow)
		return egress_without_storage(skb);
	if (!flow->watched)
		return PASS;
	if (!flow->settled && egress(skb, flow) == DROP)
		return DROP;
	if (flow->adopted)
		adopted_end(skb, 0);
	return PASS;
}

SEC("cgroup_skb/ingress")
int smtpward_ingress(struct __sk_buff *skb)
{
	if (!flow_port_is_used(skb))
		return PASS;
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return PASS;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow && adopt(skb))
		flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow || !flow->watched)
		return PASS;
	if (!flow->settled && !flow->server.opaque)
		ingress(skb, flow);
	if (flow->adopted)
		adopted_end(skb, 1);
	return PASS;
}

/* ---- the life of a flow ----------------------------------------------------------------------------------- */

/* 0, or enum port_kind. Port in host byte order. */
static __always_inline __u8 port_kind(__u16 port)
{
	__u8 *kind = bpf_map_lookup_elem(&ports, &port);
	return kind ? *kind : 0;
}

/* No storage for a flow that should be followed: it passes, and the agent is told that it did. */
static __always_inline void emit_without_storage(struct bpf_sock_addr *ctx, __u16 port, int family)
{
	struct flow_event *event;
	count(COUNTER_STORAGE_FAILED);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_lost(COUNTER_LOST_FLOW);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	event->time_ns = bpf_ktime_get_ns();
	event->opened_ns = event->time_ns;
	event->socket_cookie = bpf_get_socket_cookie(ctx);
	event->flow_id = event->socket_cookie << 24 | (event->time_ns >> 10 & 0xffffff);
	event->facts = FACT(NO_STORAGE);
	event->cgroup_id = bpf_get_current_cgroup_id();
	event->pid = pid_tgid >> 32;
	event->tid = (__u32)pid_tgid;
	event->uid = (__u32)bpf_get_current_uid_gid();
	event->sequence = 1;
	event->server_port = port;
	event->reason = EVENT_CLOSED;
	event->client_alert = TLS_ALERT_NONE;
	event->server_alert = TLS_ALERT_NONE;
	if (family == AF_INET) { /* a constant: connect4 may not even look at user_ip6 */
		__u32 address = ctx->user_ip4;
		event->server_address[10] = 0xff;
		event->server_address[11] = 0xff;
		__builtin_memcpy(event->server_address + 12, &address, 4);
	} else {
		__u32 address[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };
		__builtin_memcpy(event->server_address, address, 16);
	}
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
	count(COUNTER_EVENTS_SENT);
}

/* Whether the agent is to be told of the process. Asked where that is about to happen: many a connection comes to nothing. */
static __always_inline bool sender_is_new(__u32 pid)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 *told = bpf_map_lookup_elem(&senders, &pid);
	if (told && now - *told < SENDER_KNOWN_NS)
		return false;
	return bpf_map_update_elem(&senders, &pid, &now, BPF_ANY) == 0;
}

/*
 * connect(): where a flow begins, every time. A socket may be connected again and keeps its storage, so the old
 * one goes first.
 */
static __always_inline int on_connect(struct bpf_sock_addr *ctx, int family)
{
	struct bpf_sock *sk = ctx->sk;
	__u16 port = bpf_ntohs((__u16)ctx->user_port);
	if (!sk || ctx->protocol != IPPROTO_TCP)
		return PASS;
	blocked_forget(bpf_get_socket_cookie(ctx));
	struct flow *old = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (old) {
		forget_hello(old);
		bpf_sk_storage_delete(&flows, sk);
	}
	__u8 kind = port_kind(port);
	if (!kind)
		return PASS;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!flow) {
		emit_without_storage(ctx, port, family);
		return PASS;
	}
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	flow->opened_ns = bpf_ktime_get_ns();
	flow->socket_cookie = bpf_get_socket_cookie(ctx);
	flow->netns_cookie = bpf_get_netns_cookie(ctx);
	flow->flow_id = flow->socket_cookie << 24 | (flow->opened_ns >> 10 & 0xffffff);
	flow->cgroup_id = bpf_get_current_cgroup_id();
	flow->pid = pid_tgid >> 32;
	flow->tid = (__u32)pid_tgid;
	flow->uid = (__u32)bpf_get_current_uid_gid();
	flow->server_port = port;
	flow_port_note(port);
	flow->implicit_tls = kind == PORT_IMPLICIT_TLS;
	bpf_get_current_comm(flow->comm, sizeof(flow->comm));
	dialogue_start(&flow->client, &flow->server, flow->implicit_tls);
	flow->watched = 1;
	return PASS;
}

SEC("cgroup/connect4")
int smtpward_connect4(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx, AF_INET);
}

SEC("cgroup/connect6")
int smtpward_connect6(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx, AF_INET6);
}

/*
 * Every field is read, through a volatile pointer, whatever the family: else clang reads either family's through one
 * computed address, which no verifier allows.
 */
static __always_inline void note_addresses(struct flow *flow, volatile struct bpf_sock_ops *ops)
{
	__u32 *client = (__u32 *)flow->client_address;
	__u32 *server = (__u32 *)flow->server_address;
	__u32 client_ipv4 = ops->local_ip4;
	__u32 server_ipv4 = ops->remote_ip4;
	bool ipv4 = ops->family == AF_INET;
	/* IPv4 on an IPv6 socket is mapped here already */
#pragma unroll
	for (int i = 0; i < 4; i++) {
		client[i] = ops->local_ip6[i];
		server[i] = ops->remote_ip6[i];
	}
	if (ipv4) {
		client[0] = server[0] = 0;
		client[1] = server[1] = 0;
		client[2] = server[2] = bpf_htonl(0xffff);
		client[3] = client_ipv4;
		server[3] = server_ipv4;
	}
	flow->client_port = (__u16)ops->local_port;
	flow->server_port = (__u16)bpf_ntohl(ops->remote_port);
}

/* Storage for a flow whose connect() was not seen on this socket: the subflow of an MPTCP connection. */
static __always_inline struct flow *flow_without_connect(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
	__u8 kind = port_kind((__u16)bpf_ntohl(ops->remote_port));
	if (!kind)
		return 0;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!flow) {
		count(COUNTER_STORAGE_FAILED);
		return 0;
	}
	flow->opened_ns = bpf_ktime_get_ns();
	flow->socket_cookie = bpf_get_socket_cookie(ops);
	flow->flow_id = flow->socket_cookie << 24 | (flow->opened_ns >> 10 & 0xffffff);
	flow->uid = UID_NONE;
	flow->implicit_tls = kind == PORT_IMPLICIT_TLS;
	dialogue_start(&flow->client, &flow->server, flow->implicit_tls);
	flow->watched = 1;
	return flow;
}

/* The SYN is about to leave. */
static __always_inline void on_syn(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
	struct policy_rule rule = {};
	int flags = BPF_SOCK_OPS_STATE_CB_FLAG;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow)
		flow = flow_without_connect(ops, sk);
	if (!flow || !flow->watched)
		return;
	note_addresses(flow, ops);
	flow_port_note(flow->server_port); /* another program may have changed it since connect() */
	int mode = rule_for(flow, &rule);
	if (verdict_is_enforced(&rule, (__u8)mode) && rule.require != REQUIRE_NONE)
		flags |= BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG; /* these callbacks cost: only where policy can block */
	bpf_sock_ops_cb_flags_set(ops, flags);
}

static __always_inline void on_established(struct bpf_sock_ops *ops, struct flow *flow)
{
	if (flow->adopted) { /* its SYN was sent before the hooks were there; from now on it is a flow like any other */
		flow->adopted = 0;
		bpf_sock_ops_cb_flags_set(ops, BPF_SOCK_OPS_STATE_CB_FLAG);
	}
	flow->opened = 1;
	flow->sender_is_new = flow->pid && sender_is_new(flow->pid);
	count(COUNTER_FLOWS_OPENED);
	emit(flow, EVENT_OPENED);
}

static __always_inline void on_closed(struct bpf_sock_ops *ops, struct flow *flow, __u32 old_state)
{
	__u64 sent = ops->bytes_acked;
	if (sent)
		sent--; /* the SYN */
	if (sent && (old_state == BPF_TCP_FIN_WAIT2 || old_state == BPF_TCP_TIME_WAIT || old_state == BPF_TCP_CLOSING ||
		     old_state == BPF_TCP_LAST_ACK))
		sent--; /* the FIN */
	flow->bytes_sent = sent;
	flow->bytes_received = ops->bytes_received;
	if (flow->bytes_received && (flow->end == FLOW_END_SERVER || old_state == BPF_TCP_CLOSING))
		flow->bytes_received--; /* the server's FIN */
	if (sent && !flow->client_seen && !flow->adopted) /* where an object of another version has asked for the callback */
		flow->client.facts |= FACT(UNSEEN);
	flow->watched = 0;
	if (flow->blocked)
		blocked_forget(flow->socket_cookie);
	if (flow->opened && !flow->adopted) /* what was stopped in its SYN, or was there first, was not counted as opened */
		count(COUNTER_FLOWS_CLOSED);
	emit(flow, EVENT_CLOSED);
	forget_hello(flow);
}

static __always_inline void on_state(struct bpf_sock_ops *ops, struct flow *flow)
{
	__u32 old_state = ops->args[0];
	__u32 new_state = ops->args[1];
	if (!flow->opened && !flow->sequence) {
		if (new_state == BPF_TCP_CLOSE)
			forget_hello(flow);
		return; /* a connection that never came about; with TCP Fast Open it may have sent all the same */
	}
	if (flow->end == FLOW_END_NONE && old_state == BPF_TCP_ESTABLISHED)
		flow->end = new_state == BPF_TCP_FIN_WAIT1    ? FLOW_END_CLIENT
			    : new_state == BPF_TCP_CLOSE_WAIT ? FLOW_END_SERVER
							      : FLOW_END_RESET;
	if (new_state == BPF_TCP_CLOSE)
		on_closed(ops, flow, old_state);
}

/*
 * On a blocked flow that the agent has not destroyed by now, the next time-out shall be the last: the kernel's own way,
 * for when there is no agent.
 */
static __always_inline void end_at_next_timeout(struct bpf_sock_ops *ops)
{
	int milliseconds = 1;
	if (bpf_setsockopt(ops, SOL_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds)))
		count(COUNTER_HELPER_FAILED);
}

/* A segment is being made up. */
static __always_inline void on_header(struct bpf_sock_ops *ops, struct flow *flow)
{
	if (flow->blocked) {
		end_at_next_timeout(ops);
	} else if (flow->settled) {
		bpf_sock_ops_cb_flags_set(ops, BPF_SOCK_OPS_STATE_CB_FLAG);
	}
}

/* A socket of which this object knows nothing, but that an object of another version has set its callbacks on. */
static __always_inline void on_sockops_without_storage(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	if (ops->op == BPF_SOCK_OPS_STATE_CB && ops->args[1] == BPF_TCP_CLOSE)
		blocked_forget(cookie);
	else if (ops->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB && blocked_is_known(cookie))
		end_at_next_timeout(ops);
}

SEC("sockops")
int smtpward_sockops(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	if (!sk)
		return PASS;
	if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		on_syn(ops, sk);
		return PASS;
	}
	if (ops->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && ops->op != BPF_SOCK_OPS_STATE_CB &&
	    ops->op != BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		return PASS;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow) {
		on_sockops_without_storage(ops);
		return PASS;
	}
	if (!flow->watched)
		return PASS;
	if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		on_established(ops, flow);
	else if (ops->op == BPF_SOCK_OPS_STATE_CB)
		on_state(ops, flow);
	else
		on_header(ops, flow);
	return PASS;
}
