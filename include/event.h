/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The event ABI: what the BPF object writes into the ring buffer and the agent reads.
 *
 * Every event is a whole snapshot of its flow. A lost event therefore costs timeliness, not truth: the
 * next one, at the latest the one at the flow's close, says everything again. No event carries an AUTH
 * response, a password or a message line; the account is a user name and nothing else.
 *
 * All integers are in host byte order, ports too; addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d.
 */
#ifndef SMTPWARD_EVENT_H
#define SMTPWARD_EVENT_H

#include <linux/types.h>

/* Objects of one version share their maps, and with them the flows. A test builds an agent with another one. */
#ifndef EVENT_ABI_VERSION
#define EVENT_ABI_VERSION 5
#endif

#define MECHANISM_SIZE 32     /* a SASL mechanism's name, and NUL */
#define MECHANISM_NAME_MAX 20 /* RFC 4422 section 3.1 */
#define ACCOUNT_SIZE 64   /* the user name in AUTH PLAIN or LOGIN, cut there, and NUL */
#define SERVER_NAME_SIZE 64 /* the first word of the greeting, cut there, and NUL */

enum event_reason {
	EVENT_OPENED = 1,   /* the connection is established */
	EVENT_PROGRESS = 2, /* a fact that may need an alert now, or TLS is established */
	EVENT_BLOCKED = 3,  /* a segment was dropped by policy; the agent shall destroy the socket */
	EVENT_CLOSED = 4,   /* the flow is over; nothing follows */
	EVENT_HELD = 5,     /* application data waits for the agent's word on the peer's identity */
};

/* How a flow ended, as the TCP state machine told. */
enum flow_end {
	FLOW_END_NONE = 0,   /* not yet, or not known */
	FLOW_END_CLIENT = 1, /* this host closed first */
	FLOW_END_SERVER = 2, /* the server closed first */
	FLOW_END_RESET = 3,  /* from established to closed at once: a reset, a timeout, or destroyed */
};

/* description of a TLS alert that was seen but is encrypted */
#define TLS_ALERT_NOT_READABLE 255
/* no alert seen */
#define TLS_ALERT_NONE 254

struct flow_event {
	__u64 flow_id;       /* unique while the machine is up; never 0 */
	__u64 time_ns;       /* CLOCK_MONOTONIC of this event */
	__u64 opened_ns;     /* CLOCK_MONOTONIC of connect() */
	__u64 facts;         /* FACT(...) | ... */
	__u64 stopped;       /* those of facts that are true of the dropped segment only: they never left the host */
	__u64 socket_cookie; /* SO_COOKIE */
	__u64 netns_cookie;  /* SO_NETNS_COOKIE; 0 where the kernel cannot tell */
	__u64 cgroup_id;     /* cgroup v2 of the process that called connect() */
	__u64 bytes_sent;    /* payload acknowledged by the server; final only in EVENT_CLOSED */
	__u64 bytes_received;
	__u64 held_ns; /* how long application data was held back; 0: it was not, or still is */
	__u32 pid; /* process (thread group) that called connect(), in the initial pid namespace */
	__u32 tid; /* its thread */
	__u32 uid;
	__u32 sequence; /* of this flow's events, from 1: a hole means that one was lost */
	__u32 rule_id;  /* policy rule that applied last; 0 is the default */
	__u16 client_port;
	__u16 server_port;
	__u16 greeting_code; /* 0: none yet. The code of a reply's last line, RFC 5321 section 4.2.1 */
	__u16 ehlo_code;
	__u16 starttls_code;
	__u16 auth_code;
	__u8 reason;             /* enum event_reason */
	__u8 end;                /* enum flow_end */
	__u8 require;            /* enum policy_require, of that rule */
	__u8 implicit_tls;       /* 1: server_port is configured for TLS from the first byte */
	__u8 client_alert;       /* description of the first TLS alert from the client, TLS_ALERT_* */
	__u8 server_alert;
	__u8 starttls_anonymous; /* 1: asked with X-ANONYMOUSTLS */
	__u8 undecided;          /* enum policy_doubt, of that rule */
	__u8 enforced;           /* 1: block mode, and the rule's action is block */
	__u8 sender_is_new;      /* 1: none of the process was told in the last minute */
	__u16 min_tls;           /* of that rule */
	__u8 client_address[16];
	__u8 server_address[16];
	char comm[16];                      /* not NUL-terminated if it fills the field */
	char mechanism[MECHANISM_SIZE];     /* of the last AUTH; upper case, NUL-terminated; "" if none, "?" if it can be no name */
	char account[ACCOUNT_SIZE];         /* hostile bytes; NUL-terminated; "" if not known */
	char server_name[SERVER_NAME_SIZE]; /* hostile bytes; NUL-terminated */
	__u16 pieces_lost; /* of this flow, so far: events of the other kinds that found the ring full; 65535: or more */
	__u8 adopted; /* 1: the flow was there before the hooks: byte counts are not known, and its end may not be told */
	__u8 reserved;
	__u32 ifindex; /* interface that a forwarded flow was first seen on; 0: it is of a socket of this host */
	__u32 more_reserved;
};

_Static_assert(sizeof(struct flow_event) == 88 + 20 + 12 + 12 + 32 + 16 + MECHANISM_SIZE + ACCOUNT_SIZE + SERVER_NAME_SIZE + 12,
	       "event ABI: no implicit padding");

/*
 * The clear part of a TLS handshake, as it passed: consecutive bytes of one direction, from the first TLS record on.
 * Public data, whose reading is the agent's business. A hole in offset means that an event was lost.
 */
#define HANDSHAKE_CHUNK 512 /* what BPF can set to zero in one go */
#define HANDSHAKE_LIMIT (32 * 1024) /* of each direction */

struct handshake_event {
	__u64 flow_id;
	__u32 offset; /* of the first byte */
	__u16 length;
	__u8 from_server; /* 0: from the client */
	__u8 reserved;
	__u8 bytes[HANDSHAKE_CHUNK];
};

_Static_assert(sizeof(struct handshake_event) == 16 + HANDSHAKE_CHUNK, "event ABI: no implicit padding");
_Static_assert(sizeof(struct handshake_event) != sizeof(struct flow_event), "events are told apart by their size");

/*
 * An event that may raise an alert wakes the agent, once in this time: for a little longer than that the agent looks into
 * the ring again after it has found something there.
 */
#define WAKE_INTERVAL_NS 4000000ULL

/* What the BPF programs count, in a per-CPU array. Append only. */
/* clang-format off */
#define COUNTERS(X) \
	X(FLOWS_OPENED,     "flows_opened")     /* connections established */ \
	X(FLOWS_CLOSED,     "flows_closed") \
	X(FLOWS_BLOCKED,    "flows_blocked") \
	X(SEGMENTS_PARSED,  "segments_parsed")  /* segments that went through the dialogue machine */ \
	X(SEGMENTS_DROPPED, "segments_dropped") /* by policy, repetitions included */ \
	X(EVENTS_SENT,      "events_sent") \
	X(EVENTS_LOST,      "events_lost")      /* the ring was full */ \
	X(STORAGE_FAILED,   "storage_failed")   /* no room for a flow's state (optmem_max) */ \
	X(GAPS,             "gaps")             /* flows with bytes missing */ \
	X(CAPS,             "caps")             /* flows that reached the parse cap */ \
	X(HELPER_FAILED,    "helper_failed")    /* any other BPF helper */ \
	X(LOST_FLOW,        "events_lost_flow") /* EVENTS_LOST, by kind of event */ \
	X(LOST_HANDSHAKE,   "events_lost_handshake") \
	X(LOST_WITNESS,     "events_lost_witness") \
	X(LOST_CERTIFICATE, "events_lost_certificate") \
	X(FLOWS_ADOPTED,    "flows_adopted")    /* connections that were there before the hooks, and have moved since */ \
	X(FLOWS_FOUND,      "flows_found")      /* ... those that the agent found when it started */ \
	X(NETNS_UNSEEN,     "netns_unseen")     /* network namespaces that it could not look into then */ \
	X(FORWARDS_OPENED,  "forwards_opened")  /* forwarded flows; they are among flows_opened, too */ \
	X(FORWARDS_RESET,   "forwards_reset")   /* pairs of resets sent to the ends of a blocked forwarded flow */ \
	X(FORWARDS_UNRESET, "forwards_unreset") /* segments of one that were dropped and could not be answered */ \
	X(FORWARDS_FULL,    "forwards_full")    /* no room for a forwarded flow's state */
/* clang-format on */

enum counter_id {
#define X(id, name) COUNTER_##id,
	COUNTERS(X)
#undef X
	COUNTER_COUNT
};

#endif
