/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A flow's snapshot into the ring buffer. What does not fit is counted. */
#ifndef SMTPWARD_BPF_EMIT_H
#define SMTPWARD_BPF_EMIT_H

#include "facts.h"
#include "maps.h"

#define RING_URGENT_BYTES (512 * 1024)

/*
 * Waking the agent costs a context switch, so events wait for its next look, a tenth of a second at most. A blocked or
 * a held flow cannot wait, nor can one of a process whose TLS library is to be found before it is used; and a ring that
 * fills up must not.
 */
static __always_inline __u64 wake_flags(__u8 reason)
{
	if (reason == EVENT_BLOCKED || reason == EVENT_HELD || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > RING_URGENT_BYTES)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

/* Events of the flow other than this kind that were lost. */
static __always_inline __u32 pieces_lost(const struct flow *flow)
{
	__u64 flow_id = flow->flow_id;
	__u32 lost = flow->pieces_lost;
	struct witness *witness = 0;
	if (flow->client.facts & FACT(CLIENT_HELLO))
		witness = bpf_map_lookup_elem(&witnesses, &flow_id);
	return witness ? lost + witness->lost : lost;
}

/* Whether an alert may come of the event. What is established and then ends has told before. */
static __always_inline bool may_alert(__u8 reason, __u64 facts)
{
	return reason == EVENT_PROGRESS || (reason == EVENT_CLOSED && !facts_tls_established(facts));
}

/* Such an event wakes the agent, too, unless another has done so just now: then the agent is about to look again. */
static __always_inline bool wake_is_due(__u64 now)
{
	__u32 zero = 0;
	__u64 *last = bpf_map_lookup_elem(&last_wake, &zero);
	if (last && now - *last < WAKE_INTERVAL_NS)
		return false;
	if (last)
		*last = now;
	return true;
}

static __always_inline __u64 wake_flags_of(const struct flow_event *event)
{
	if (event->reason == EVENT_OPENED && event->sender_is_new)
		return BPF_RB_FORCE_WAKEUP;
	if (may_alert(event->reason, event->facts) && wake_is_due(event->time_ns))
		return BPF_RB_FORCE_WAKEUP;
	return wake_flags(event->reason);
}

static __noinline int emit(struct flow *flow, __u8 reason)
{
	const struct client_parser *client = &flow->client;
	const struct server_parser *server = &flow->server;
	struct flow_event *event;

	flow->sequence++;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_lost(COUNTER_LOST_FLOW);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->flow_id = flow->flow_id;
	event->time_ns = bpf_ktime_get_ns();
	event->opened_ns = flow->opened_ns;
	event->facts = facts_known(client->facts | server->facts);
	event->stopped = flow->stopped;
	event->socket_cookie = flow->socket_cookie;
	event->netns_cookie = flow->netns_cookie;
	event->cgroup_id = flow->cgroup_id;
	event->bytes_sent = flow->bytes_sent;
	event->bytes_received = flow->bytes_received;
	event->pid = flow->pid;
	event->tid = flow->tid;
	event->uid = flow->uid;
	event->sequence = flow->sequence;
	event->rule_id = flow->rule_id;
	event->client_port = flow->client_port;
	event->server_port = flow->server_port;
	event->greeting_code = server->greeting_code;
	event->ehlo_code = server->ehlo_code;
	event->starttls_code = server->starttls_code;
	event->auth_code = server->auth_code;
	event->reason = reason;
	event->end = flow->end;
	event->require = flow->require;
	event->implicit_tls = flow->implicit_tls;
	event->client_alert = client->alert;
	event->server_alert = server->alert;
	event->starttls_anonymous = client->anonymoustls;
	event->undecided = flow->undecided;
	event->enforced = flow->enforced;
	event->min_tls = flow->min_tls;
	event->held_ns = flow->held_ns;
	event->sender_is_new = flow->sender_is_new;
	event->ifindex = flow_ifindex(flow);
	__u32 lost_pieces = pieces_lost(flow);
	event->pieces_lost = lost_pieces > 0xffff ? 0xffff : (__u16)lost_pieces;
	event->adopted = flow->adopted;
	__builtin_memcpy(event->client_address, flow->client_address, 16);
	__builtin_memcpy(event->server_address, flow->server_address, 16);
	__builtin_memcpy(event->comm, flow->comm, sizeof(event->comm));
	bool lost = facts_are_lost(client->facts); /* then these are guesses */
	if (client->state != CLIENT_MECHANISM && !lost) /* half a name says nothing */
		__builtin_memcpy(event->mechanism, client->mechanism, MECHANISM_SIZE);
	if (client->account_known && !lost)
		__builtin_memcpy(event->account, client->account, ACCOUNT_SIZE);
	__builtin_memcpy(event->server_name, server->name, SERVER_NAME_SIZE);
	/* A parser's last byte of each text is never written, but this object does not trust itself with it. */
	event->mechanism[MECHANISM_SIZE - 1] = 0;
	event->account[ACCOUNT_SIZE - 1] = 0;
	event->server_name[SERVER_NAME_SIZE - 1] = 0;
	bpf_ringbuf_submit(event, wake_flags_of(event));
	count(COUNTER_EVENTS_SENT);
	return 0;
}

/*
 * Sends one piece of a segment's TLS handshake bytes, from offset on, up to end. Returns how many, 0 to stop: at the
 * direction's limit, or where an event is lost, since what comes behind a hole could not be read.
 */
static __always_inline int handshake_piece(struct __sk_buff *skb, struct flow *flow, __u32 offset, __u32 end, __u32 from_server)
{
	__u32 *sent = &flow->handshake_sent[from_server & 1];
	if (offset >= end || *sent >= HANDSHAKE_LIMIT)
		return 0;
	__u32 n = end - offset;
	if (n > HANDSHAKE_CHUNK)
		n = HANDSHAKE_CHUNK;
	barrier_var(n);
	n = ((n - 1) & (HANDSHAKE_CHUNK - 1)) + 1;
	struct handshake_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_lost(COUNTER_LOST_HANDSHAKE);
		flow->pieces_lost++;
		*sent = HANDSHAKE_LIMIT;
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->flow_id = flow->flow_id;
	event->offset = *sent;
	event->length = (__u16)n;
	event->from_server = (__u8)(from_server & 1);
	if (bpf_skb_load_bytes(skb, offset, event->bytes, n)) {
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
		count(COUNTER_HELPER_FAILED);
		*sent = HANDSHAKE_LIMIT;
		return 0;
	}
	bpf_ringbuf_submit(event, wake_flags(EVENT_PROGRESS));
	count(COUNTER_EVENTS_SENT);
	*sent += n;
	return (int)n;
}

#endif
