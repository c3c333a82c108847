/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets that were there first: what the agent finds out about them at its start (sock_diag), for the hooks to go on with
 * at the socket's next segment. Key of the map is the socket's cookie. All integers in host byte order.
 */
#ifndef SMTPWARD_ADOPTED_H
#define SMTPWARD_ADOPTED_H

#include <linux/types.h>

#define ADOPTED_MAX 16384

struct adopted {
	__u64 flow_id;   /* given by the agent */
	__u64 opened_ns; /* CLOCK_MONOTONIC of when it was found */
	__u64 netns_cookie; /* 0: not known */
	__u64 cgroup_id;    /* cgroup v2 of the socket */
	__u32 pid; /* a process that has the socket; 0: not known */
	__u32 uid; /* the socket's owner */
	__u32 rule_id;
	__u32 sequence; /* events sent about it: 1 if it was announced */
	__u16 client_port;
	__u16 server_port;
	__u8 implicit_tls;
	__u8 require;  /* enum policy_require, of the rule */
	__u8 from_start; /* 1: neither side has sent anything yet */
	__u8 reserved;
	__u8 client_address[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 server_address[16];
	char comm[16]; /* not NUL-terminated if it fills the field */
};

_Static_assert(sizeof(struct adopted) == 32 + 16 + 8 + 48, "adopted ABI: no implicit padding");

/* What smtpward_announce is run with (BPF_PROG_TEST_RUN wants a packet: the first bytes are an Ethernet header). */
struct announcement {
	__u8 ethernet[16]; /* zero */
	__u64 socket_cookie;
	struct adopted adopted;
};

#endif
