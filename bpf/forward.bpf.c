// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The TC programs: SMTP that this host forwards, for virtual machines, routed containers, other hosts.
 *
 * On each interface they are on both the way in and the way out: the client's packets come in on the interface at its
 * side and go out by the one at the server's, so either alone sees both directions. A packet that passes two hooks is
 * read at the first one; at the second its bytes are old.
 */
#define SMTPWARD_FORWARD

#include "apply.h"
#include "forward_begin.h"
#include "chunk.h"
#include "reset.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define NEXT (-1) /* TC_ACT_UNSPEC, TCX_NEXT: whoever else is there decides */
#define DROP 2    /* TC_ACT_SHOT, TCX_DROP */

#define SEEN_INTERVAL_NS 1000000000ULL

/* ---- the client's segments ---------------------------------------------------------------------------------- */

/* Functions of their own, as client_chunk() is. */
__noinline int reset_ends(struct __sk_buff *skb, __u32 client_next, __u32 how)
{
	struct scratch *packet = scratch_of_cpu();
	return packet && reset_both_ends(skb, &packet->at, client_next, how & EGRESS, how & ETHERNET);
}

static __always_inline int drop_blocked(struct __sk_buff *skb, const struct forward *forward, __u32 how)
{
	count(COUNTER_SEGMENTS_DROPPED);
	if (reset_ends(skb, forward->flow.client_next, how)) {
		count(COUNTER_FORWARDS_RESET);
		return NEXT;
	}
	count(COUNTER_FORWARDS_UNRESET);
	return DROP;
}

/* The flow goes no further. There is no socket here to be destroyed, so its session is over with that. */
static __always_inline void block(struct forward *forward)
{
	struct flow *flow = &forward->flow;
	condemn(flow);
	emit(flow, EVENT_BLOCKED);
	close_flow(forward, FLOW_END_RESET);
}

/* A place for the agent's verdict on the peer. Nobody's TLS library is asked: it is on another machine. */
static __always_inline void note_peer(const struct flow *flow)
{
	peer_note(flow->flow_id, flow->enforced && (flow->require == REQUIRE_VERIFIED || flow->min_tls));
}

/* Takes flow->work through the segment. */
static __always_inline void read_client(struct __sk_buff *skb, struct forward *forward, const struct cursor *at, __s32 ahead)
{
	struct flow *flow = &forward->flow;
	flow->work = flow->client;
	flow->work.server_unseen = !flow->server_has_next;
	if (ahead > 0 || forward->head.client_lost)
		client_has_gap(&flow->work);
	forward->head.client_lost = 0;
	count(COUNTER_SEGMENTS_PARSED);
	client_segment(skb, flow, at->payload + (ahead < 0 ? (__u32)-ahead : 0), at->end);
	if (at->first_fragment)
		client_has_gap(&flow->work); /* the rest of the segment comes without its header */
	/* a receiver takes the urgent byte out of the stream, so commands are not what they look like */
	if (at->urgent && !flow->work.server_in_tls)
		client_give_up(&flow->work);
}

/* Returns what is to become of the segment. */
static __always_inline enum verdict take_client(struct __sk_buff *skb, struct forward *forward, const struct cursor *at, __s32 ahead)
{
	struct flow *flow = &forward->flow;
	bool was_in_tls = client_in_tls(&flow->client);
	bool was_clear = !(flow->client.facts & FACT(CLIENT_FINISHED));
	read_client(skb, forward, at, ahead);
	enum verdict verdict = segment_verdict(flow);
	if (!(flow->client.facts & FACT(CLIENT_HELLO)) && (flow->work.facts & FACT(CLIENT_HELLO)) && verdict != VERDICT_BLOCK)
		note_peer(flow);
	if (verdict != VERDICT_PASS)
		return verdict;
	__u32 next = at->sequence + at->length;
	flow->bytes_sent += next - flow->client_next;
	commit(flow, next);
	if (was_clear && !flow->client.left_tls) /* plaintext may be a secret */
		tell_handshake(skb, at->payload + (ahead < 0 ? (__u32)-ahead : 0), was_in_tls, client_in_tls(&flow->client), 0);
	return VERDICT_PASS;
}

/*
 * A session was taken for over, and goes on: by a reset that its client never got, or since the client did not know yet that
 * the server had closed. A FIN that was seen stays one. Returns false while another packet is just ending it.
 */
static __always_inline bool reopen(struct forward *forward)
{
	struct flow *flow = &forward->flow;
	__u64 key = busy_key(forward, BUSY_END);
	if (!enter(key))
		return false;
	if (forward->head.closed) {
		forward->head.closed = forward->head.opened = 0;
		flow->opened_ns = bpf_ktime_get_ns();
		flow->flow_id = new_flow_id(flow->opened_ns);
		flow->sequence = 0;
		flow->end = FLOW_END_NONE;
		forward->head.flow_id = flow->flow_id;
	}
	leave(key);
	return true;
}

/* Of a segment that meets another. Returns what is to become of it. */
static __always_inline int turn_away(struct forward *forward)
{
	if (forward->flow.enforced)
		return DROP; /* it comes again */
	forward->head.client_lost = 1;
	return NEXT;
}

static __always_inline int client_payload(struct __sk_buff *skb, struct scratch *packet, struct forward *forward, __u32 how)
{
	struct cursor *at = &packet->at;
	struct flow *flow = &forward->flow;
	__s32 ahead = (__s32)(at->sequence - flow->client_next);
	if (flow->blocked)
		return drop_blocked(skb, forward, how);
	if (at->cut ? ahead < 0 : ahead <= 0 && ahead + (__s32)at->length <= 0)
		return NEXT; /* met before */
	if (flow->settled || is_settled(flow)) {
		if (!flow->settled)
			emit(flow, EVENT_PROGRESS);
		flow->settled = 1;
		flow->bytes_sent += at->sequence + at->length - flow->client_next;
		flow->client_next = at->sequence + at->length;
		return NEXT;
	}
	if (ahead > 0 && is_held(flow)) {
		hold(flow);
		return DROP;
	}
	if (forward->head.closed && !reopen(forward))
		return turn_away(forward);
	open_flow(forward);
	__u64 key = busy_key(forward, BUSY_CLIENT);
	if (!enter(key))
		return turn_away(forward);
	flow->client_seen = 1;
	enum verdict verdict = take_client(skb, forward, at, ahead);
	if (verdict == VERDICT_BLOCK)
		block(forward);
	leave(key);
	if (verdict == VERDICT_BLOCK)
		return drop_blocked(skb, forward, how);
	if (verdict == VERDICT_PASS)
		return NEXT;
	hold(flow);
	return DROP;
}

/* ---- the server's segments ---------------------------------------------------------------------------------- */

static __always_inline void server_payload(struct __sk_buff *skb, const struct cursor *at, struct forward *forward)
{
	struct flow *flow = &forward->flow;
	__u32 after = at->sequence + at->length;
	__s32 ahead = (__s32)(at->sequence - flow->server_next);
	if (!flow->server_has_next && (flow->client.facts & FACT(MIDWAY))) {
		flow->server_has_next = 1; /* it begins with what comes first */
		flow->server_next = at->sequence;
		ahead = 0;
	}
	if (flow->server_has_next && (at->cut ? ahead < 0 : ahead <= 0 && ahead + (__s32)at->length <= 0))
		return; /* met before */
	if (!forward->head.closed)
		open_flow(forward);
	__u64 key = busy_key(forward, BUSY_SERVER);
	if (!enter(key)) {
		forward->head.server_lost = 1;
		return;
	}
	if (!flow->server_has_next || ahead > 0 || forward->head.server_lost) {
		if (!flow->settled)
			server_has_gap(flow);
	}
	flow->bytes_received += flow->server_has_next ? after - flow->server_next : at->length;
	flow->server_has_next = 1;
	flow->server_next = after;
	if (!flow->settled && !flow->server.opaque) {
		server_segment(skb, flow, at->payload + (__u32)-ahead, at->end);
		if (at->first_fragment)
			server_has_gap(flow);
	}
	leave(key);
}

/* ---- the end ------------------------------------------------------------------------------------------------ */

/*
 * RST and FIN. A reset counts only with the number that its receiver would take (RFC 5961), or anybody could end the
 * watching. A FIN counts one: who has closed, and is sent something, answers with a reset behind it.
 */
static __always_inline void take_end(const struct cursor *at, struct forward *forward, bool from_server)
{
	struct flow *flow = &forward->flow;
	struct forward_head *head = &forward->head;
	__u32 next = from_server ? flow->server_next : flow->client_next;
	__s32 after = (__s32)(at->sequence + at->length - next);
	__u8 fin_seen = from_server ? head->server_fin : head->client_fin;
	if (at->rst) {
		if (after == 0 || after == fin_seen || (from_server && !flow->server_has_next))
			close_flow(forward, fin_seen && flow->end ? flow->end : FLOW_END_RESET);
		return;
	}
	if (!at->fin || after < 0)
		return;
	if (flow->end == FLOW_END_NONE)
		flow->end = from_server ? FLOW_END_SERVER : FLOW_END_CLIENT;
	if (from_server)
		head->server_fin = 1;
	else
		head->client_fin = 1;
	if ((head->client_fin || from_server) && (head->server_fin || !flow->server_has_next))
		close_flow(forward, flow->end);
}

/* ---- the programs ------------------------------------------------------------------------------------------- */

/* The connection, with the client first. Of two followed ports, a SYN tells which is the server's; else the flow that is
 * there. Returns whether the packet is the server's. */
static __always_inline bool find_connection(struct scratch *packet)
{
	const struct cursor *at = &packet->at;
	struct forward_key *key = &packet->key;
	bool from_server = !port_kind(at->destination_port);
	if (at->syn)
		from_server = at->ack;
	__builtin_memcpy(key->client_address, at->source, 16);
	__builtin_memcpy(key->server_address, at->destination, 16);
	key->client_port = at->source_port;
	key->server_port = at->destination_port;
	if (!from_server && !at->syn && port_kind(at->source_port) && !bpf_map_lookup_elem(&forwards, key))
		from_server = true; /* the other way round it is to be found, or made */
	if (from_server) {
		__builtin_memcpy(key->client_address, at->destination, 16);
		__builtin_memcpy(key->server_address, at->source, 16);
		key->client_port = at->destination_port;
		key->server_port = at->source_port;
	}
	return from_server;
}

static __always_inline void note_seen(struct forward *forward)
{
	__u64 now = bpf_ktime_get_ns();
	if (now - forward->head.seen_ns > SEEN_INTERVAL_NS)
		forward->head.seen_ns = now;
}

static __always_inline int take_packet(struct __sk_buff *skb, struct scratch *packet, __u32 how)
{
	struct cursor *at = &packet->at;
	int action = NEXT;
	bool from_server = find_connection(packet);
	if (!port_kind(packet->key.server_port))
		return NEXT; /* a SYN to or from the wrong side */
	struct forward *forward = bpf_map_lookup_elem(&forwards, &packet->key);
	if ((how & EGRESS) && is_own(skb)) {
		if (forward)
			bpf_map_delete_elem(&forwards, &packet->key);
		if (forward || at->syn)
			pass_over(&packet->key);
		return NEXT;
	}
	if (!from_server && at->syn && !on_syn(skb, packet, how & EGRESS))
		return NEXT;
	forward = begin_flow(skb, packet, forward, from_server, how & EGRESS);
	if (!forward)
		return NEXT;
	note_seen(forward);
	if (at->length || at->first_fragment) {
		if (from_server)
			server_payload(skb, at, forward);
		else
			action = client_payload(skb, packet, forward, how);
	}
	if (action == NEXT && !forward->flow.blocked && (at->rst || at->fin))
		take_end(at, forward, from_server);
	return action;
}

/* A function of its own, so that the verifier walks the headers' ways once and not all that follows for each of them. */
__noinline int read_headers(struct __sk_buff *skb, __u32 ethernet)
{
	struct scratch *packet = scratch_of_cpu();
	return packet && frame_read(skb, ethernet ? FORWARD_ETHERNET_HEADER : 0, &packet->at);
}

static __noinline int take(struct __sk_buff *skb, __u32 how)
{
	struct scratch *packet = scratch_of_cpu();
	if (!packet || !read_headers(skb, how & ETHERNET))
		return NEXT;
	if (!port_kind(packet->at.source_port) && !port_kind(packet->at.destination_port))
		return NEXT;
	return take_packet(skb, packet, how);
}

SEC("tc")
int smtpward_tc_in(struct __sk_buff *skb)
{
	return take(skb, ETHERNET);
}

SEC("tc")
int smtpward_tc_out(struct __sk_buff *skb)
{
	return take(skb, ETHERNET | EGRESS);
}

/* Interfaces without a link layer header: tunnels, PPP. */
SEC("tc")
int smtpward_l3_in(struct __sk_buff *skb)
{
	return take(skb, 0);
}

SEC("tc")
int smtpward_l3_out(struct __sk_buff *skb)
{
	return take(skb, EGRESS);
}
