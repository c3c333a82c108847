/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Forwarded flows: what the TC programs, the socket hooks and the agent must mean alike. ABI. */
#ifndef SMTPWARD_FORWARD_H
#define SMTPWARD_FORWARD_H

#include <linux/types.h>

#define FORWARD_FLOWS_MAX 16384 /* followed at once; some 1.2 kB of kernel memory each */
#define FORWARD_NOTES_MAX 32768 /* three of a connection */
#define FORWARD_BUSY_MAX 4096 /* locks held at once: two to a CPU at most */

/* A TCP connection, whichever way its packets go. IPv4 addresses as ::ffff:a.b.c.d, ports in host byte order. */
struct forward_key {
	__u8 client_address[16];
	__u8 server_address[16];
	__u16 client_port;
	__u16 server_port;
};

_Static_assert(sizeof(struct forward_key) == 36, "a map's key has no padding");

/*
 * A connection that the TC programs leave alone, since another vantage has it: key of the map `passed_over`. Either the
 * connection itself (isn 0), or its SYN by initial sequence number and one end, the other's address and port being 0: NAT
 * changes one of them on the way, and not the number.
 */
struct forward_note {
	struct forward_key connection;
	__u32 isn;
};

_Static_assert(sizeof(struct forward_note) == 40, "a map's key has no padding");

/* Where the value of the map `forwards` begins; the agent reads no more of it. */
struct forward_head {
	__u64 flow_id; /* 0: the entry is being made */
	__u64 seen_ns; /* CLOCK_MONOTONIC of the last packet that took the flow on */
	__u32 isn;     /* number of the client's first byte, as its SYN told; or where it was joined */
	__u8 opened;   /* EVENT_OPENED was sent */
	__u8 closed;   /* EVENT_CLOSED was sent; what comes now is late, or another session on the same connection */
	__u8 client_lost; /* a segment was turned away while another was read: a gap */
	__u8 server_lost;
	__u8 client_fin;
	__u8 server_fin;
	__u8 reserved[6];
};

_Static_assert(sizeof(struct forward_head) == 32, "ABI");

/* Set in the flow id of every forwarded flow; a socket's cookie never gets there. */
#define FORWARD_FLOW_ID (1ULL << 63)

/* The offset of the network header in what the programs get to see, by the kind of interface. */
#define FORWARD_ETHERNET_HEADER 14

/*
 * Owner's mark on clsact filters: "SW" as priority; as handle "SW", the owner, and whether the qdisc was made for it. What
 * a killed agent has left is known by that.
 */
#define FORWARD_FILTER_PRIORITY 0x5357
#define FORWARD_FILTER_HANDLE 0x53570000
#define FORWARD_FILTER_HANDLE_MASK 0xffff0000
#define FORWARD_FILTER_OWNER 0x7fff
#define FORWARD_FILTER_QDISC 1

#endif
