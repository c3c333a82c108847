/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The blocked flows as every version of the object knows them; see include/blocked.h. */
#ifndef SMTPWARD_BPF_BLOCKED_MAP_H
#define SMTPWARD_BPF_BLOCKED_MAP_H

#include "blocked.h"
#include "maps.h"

/* Not an LRU map: what is evicted from one would be released. Where it is full, the flow's own storage still blocks it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BLOCKED_FLOWS_MAX);
	__type(key, __u64); /* SO_COOKIE */
	__type(value, struct blocked_flow);
} blocked SEC(".maps");

static __always_inline void blocked_note(const struct flow *flow)
{
	__u64 cookie = flow->socket_cookie;
	struct blocked_flow entry = {
		.flow_id = flow->flow_id,
		.blocked_ns = bpf_ktime_get_ns(),
		.netns_cookie = flow->netns_cookie,
		.pid = flow->pid,
		.uid = flow->uid,
		.client_port = flow->client_port,
		.server_port = flow->server_port,
	};
	__builtin_memcpy(entry.client_address, flow->client_address, sizeof(entry.client_address));
	__builtin_memcpy(entry.server_address, flow->server_address, sizeof(entry.server_address));
	if (bpf_map_update_elem(&blocked, &cookie, &entry, BPF_ANY))
		count(COUNTER_HELPER_FAILED);
}

static __always_inline bool blocked_is_known(__u64 cookie)
{
	return bpf_map_lookup_elem(&blocked, &cookie) != 0;
}

/* At the socket's end, and where it is connected again: it keeps its cookie then. */
static __always_inline void blocked_forget(__u64 cookie)
{
	bpf_map_delete_elem(&blocked, &cookie);
}

#endif
