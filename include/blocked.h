/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The blocked flows, by socket: key and value of a map that outlives agents and objects of every version.
 *
 * A flow's state is in its socket's storage, and that belongs to one object: another version of it begins with nothing
 * and would let a blocked flow go. So whoever blocks a flow writes it down here, and whoever finds no storage for a
 * socket looks here. The layout is FROZEN: objects of different EVENT_ABI_VERSIONs share the map. Whatever has to
 * change gets another BLOCKED_LAYOUT, and the object then has both maps.
 */
#ifndef SMTPWARD_BLOCKED_H
#define SMTPWARD_BLOCKED_H

#include <linux/types.h>

#define BLOCKED_LAYOUT 1
#define BLOCKED_PIN "blocked-1" /* its name in /sys/fs/bpf/smtpward; the number is BLOCKED_LAYOUT */
#define BLOCKED_FLOWS_MAX 65536

/* The key is SO_COOKIE: 64 bits, never used again while the machine is up. */
struct blocked_flow {
	__u64 flow_id;
	__u64 blocked_ns;   /* CLOCK_MONOTONIC */
	__u64 netns_cookie; /* SO_NETNS_COOKIE; 0: not known */
	__u32 pid;          /* process that called connect(); 0: not known */
	__u32 uid;
	__u16 client_port; /* host byte order */
	__u16 server_port;
	__u32 reserved; /* 0 */
	__u8 client_address[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 server_address[16];
};

_Static_assert(sizeof(struct blocked_flow) == 72, "frozen layout");
_Static_assert(__builtin_offsetof(struct blocked_flow, pid) == 24, "frozen layout");
_Static_assert(__builtin_offsetof(struct blocked_flow, client_port) == 32, "frozen layout");
_Static_assert(__builtin_offsetof(struct blocked_flow, client_address) == 40, "frozen layout");

#endif
