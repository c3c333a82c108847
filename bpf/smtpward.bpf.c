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
#include "dialogue_client.h"
#include "dialogue_server.h"
#include "emit.h"
#include "hello.h"
#include "maps.h"
#include "segment.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PASS 1
#define DROP 0

#define AF_INET 2
#define AF_INET6 10
#define SOL_TCP 6
#define TCP_USER_TIMEOUT 18

/* Bytes of a chunk that go through the whole machine; the others are runs in which nothing can happen. */
#define CLIENT_STEPS 4
#define SERVER_STEPS 8

/*
 * Chunks of a segment: 4 KiB of one-letter commands, or all of the parse cap in lines of usual length. Taken in rounds,
 * which are a function of their own: the verifier walks 64 and 64 of them, and not 4096.
 */
#define CHUNKS_OF_ROUND 64
#define ROUNDS_MAX 64

/* ---- egress ----------------------------------------------------------------------------------------------- */

/*
 * Takes flow->work through the bytes at offset. Returns how many it took, 0 to stop. A function of its own, so
 * that the verifier walks the loop once; the context is the one pointer that 5.10 allows as an argument.
 */
__noinline int client_chunk(struct __sk_buff *skb, __u32 offset)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk || offset >= skb->len)
		return 0;
	struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
	if (!flow)
		return 0;
	struct client_parser *work = &flow->work;
	__u32 left = skb->len - offset;
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

/* Takes flow->work through the segment from offset on. */
static __always_inline void client_segment(struct __sk_buff *skb, struct flow *flow, __u32 offset)
{
	__u32 before = offset;
	client_segment_start(&flow->work, &flow->server);
	for (int i = 0; i < ROUNDS_MAX && offset < skb->len; i++) {
		before = offset;
		offset = (__u32)client_round(skb, before);
		if (offset == before)
			break;
	}
	__builtin_memset(flow->client_chunk, 0, sizeof(flow->client_chunk));
	if (offset >= skb->len)
		return;
	if (offset != before) {
		client_overworked(&flow->work);
		return;
	}
	flow->work.facts |= FACT(CLIENT_GAP);
	flow->work.state = CLIENT_OPAQUE;
}

/* Facts that an alert may have to be raised for at once. */
#define FACTS_TO_TELL (FACT(CREDENTIAL_CLEAR) | FACT(MAIL_CLEAR) | FACT(CLIENT_CAP) | FACT(WOULD_BLOCK))

/* Nothing that may come is of interest any more. */
static __always_inline bool flow_is_settled(const struct flow *flow)
{
	return facts_tls_established(flow->client.facts | flow->server.facts) && (flow->client.facts & FACT(CLIENT_PROCEEDED));
}

static __always_inline int block(struct flow *flow)
{
	flow->stopped = facts_known(flow->work.facts) & ~flow->client.facts; /* what was a guess there has left the host */
	flow->client = flow->work; /* nothing is parsed on this flow any more; this is for the record */
	flow->client.facts |= FACT(BLOCKED);
	flow->blocked = 1;
	blocked_note(flow);
	count(COUNTER_FLOWS_BLOCKED);
	count(COUNTER_SEGMENTS_DROPPED);
	emit(flow, EVENT_BLOCKED);
	return DROP;
}

/* Not yet: TCP keeps the segment and presents it again, when the agent pushes it or when its probe timer does. */
static __always_inline int hold(struct flow *flow)
{
	count(COUNTER_SEGMENTS_DROPPED);
	if (flow->held_since)
		return DROP;
	flow->held_since = bpf_ktime_get_ns();
	flow->client.facts |= FACT(HELD);
	emit(flow, EVENT_HELD);
	return DROP;
}

/* The segment leaves: what was read of it holds. */
static __always_inline void commit(struct flow *flow, const struct segment *segment)
{
	__u64 new_facts = facts_known(flow->work.facts) & ~facts_known(flow->client.facts);
	__u32 demands = flow->work.demands;
	flow->client = flow->work;
	flow->client_next = segment->sequence + segment->length;
	if (new_facts & FACT(CLIENT_GAP))
		count(COUNTER_GAPS);
	if (new_facts & FACT(CLIENT_CAP))
		count(COUNTER_CAPS);
	if (flow->held_since && !flow->held_ns)
		flow->held_ns = bpf_ktime_get_ns() - flow->held_since;
	/* a second AUTH on the flow may show another account: each is told, once */
	if ((new_facts & FACTS_TO_TELL) || ((demands & DEMAND_AUTH) && (flow->client.facts & FACT(CREDENTIAL_CLEAR))))
		emit(flow, EVENT_PROGRESS);
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

static __noinline int egress(struct __sk_buff *skb, struct flow *flow)
{
	struct segment segment = {};
	if (!flow->blocked && flow_is_settled(flow)) {
		flow->settled = 1;
		emit(flow, EVENT_PROGRESS);
		return PASS;
	}
	if (!segment_read(skb, &segment)) {
		count(COUNTER_HELPER_FAILED);
		return flow->blocked ? DROP : PASS;
	}
	if (segment.syn && !flow->client_has_next) {
		flow->client_has_next = 1;
		flow->client_next = segment.sequence;
		flow_pass_over(flow);
		flow_pass_over_syn(flow, segment.sequence - 1);
	}
	if (segment.length == 0)
		return PASS;
	if (flow->adopted && blocked_is_known(flow->socket_cookie))
		flow->blocked = 1; /* by an object of another version, which may be gone by now */
	if (flow->blocked) {
		count(COUNTER_SEGMENTS_DROPPED);
		return DROP;
	}
	flow->client_seen = 1;
	__s32 ahead = (__s32)(segment.sequence - flow->client_next);
	if (ahead <= 0 && ahead + (__s32)segment.length <= 0)
		return PASS; /* sent before */
	flow->work = flow->client;
	if (!flow->client_has_next || ahead > 0) {
		flow->work.facts |= FACT(CLIENT_GAP);
		flow->work.state = CLIENT_OPAQUE;
	}
	count(COUNTER_SEGMENTS_PARSED);
	bool was_in_tls = client_in_tls(&flow->client);
	bool was_clear = !(flow->client.facts & FACT(CLIENT_FINISHED));
	__u32 offset = segment.payload + (ahead < 0 ? (__u32)-ahead : 0);
	client_segment(skb, flow, offset);
	/* A receiver takes the urgent byte out of the stream, so commands are not what they look like; no mail program does this. */
	if (segment.urgent && !flow->work.server_in_tls)
		client_give_up(&flow->work);
	switch (segment_verdict(flow)) {
	case VERDICT_BLOCK:
		return block(flow);
	case VERDICT_HOLD:
		if (!flow->held_since && (flow->work.facts & ~flow->client.facts & FACT(CLIENT_HELLO)))
			note_hello(skb, flow, offset); /* with early data behind it: the verdict needs a place to go to */
		return hold(flow);
	case VERDICT_PASS:
		break;
	}
	bool hello_now = !(flow->client.facts & FACT(CLIENT_HELLO)) && (flow->work.facts & FACT(CLIENT_HELLO));
	commit(flow, &segment);
	if (hello_now)
		note_hello(skb, flow, offset);
	if (was_clear && !flow->client.left_tls) /* plaintext may be a secret */
		tell_handshake(skb, offset, was_in_tls, client_in_tls(&flow->client), 0);
	return PASS;
}

/* A socket of which this object knows nothing. What another version of it has blocked stays blocked. */
static __noinline int egress_without_storage(struct __sk_buff *skb)
{
	struct segment segment = {};
	if (!blocked_is_known(bpf_get_socket_cookie(skb)) || (segment_read(skb, &segment) && segment.length == 0))
		return PASS;
	count(COUNTER_SEGMENTS_DROPPED);
	return DROP;
}

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

/* ---- ingress ---------------------------------------------------------------------------------------------- */

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

/* Whether the process has not connected lately. */
static __always_inline bool sender_is_new(__u32 pid)
{
	__u8 yes = 1;
	return bpf_map_update_elem(&senders, &pid, &yes, BPF_NOEXIST) == 0;
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
	flow->sender_is_new = sender_is_new(flow->pid);
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
	if (sent && !flow->client_seen)
		flow->client.facts |= FACT(UNSEEN);
	flow->watched = 0;
	if (flow->blocked)
		blocked_forget(flow->socket_cookie);
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
