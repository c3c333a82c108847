/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy as the kernel sees it: keys and values of the rule map, and the settings.
 */
#ifndef SMTPWARD_POLICY_H
#define SMTPWARD_POLICY_H

#include <linux/types.h>

enum policy_mode { MODE_MONITOR = 0, MODE_BLOCK = 1 };

/* What is demanded of a flow before AUTH or MAIL may leave. */
enum policy_require { REQUIRE_NONE = 0, REQUIRE_ENCRYPTED = 1, REQUIRE_VERIFIED = 2 };

/* What is done in block mode where the demand is not met. In monitor mode nothing is ever stopped. */
enum policy_action { ACTION_MONITOR = 0, ACTION_BLOCK = 1 };

/* What is done where nothing can be known (a gap; no witness). */
enum policy_doubt { DOUBT_PASS = 0, DOUBT_BLOCK = 1 };

struct policy_rule {
	__u32 id;       /* the rule's place in the configuration, from 1; 0 is the default */
	__u8 require;   /* enum policy_require */
	__u8 action;    /* enum policy_action */
	__u8 unknown;   /* enum policy_doubt: a gap, or joined midway */
	__u8 undecided; /* enum policy_doubt: require verified, and no verdict */
	__u64 name_hash; /* of the name that the peer must have been checked for; 0: any that the sender chose */
	__u16 min_tls;   /* 0x0303, 0x0304; 0: any version */
	__u16 reserved[3];
};

/*
 * Key of the LPM trie. Scope and port stand in front of the address, so a rule fixes both and a prefix of
 * the address; the kernel looks up each scope with the port and with port 0 (any) and takes, within the
 * narrowest scope that has a match, the longest address prefix, then the one that names the port.
 */
struct policy_key {
	__u32 prefix_length; /* in bits, counted from scope: POLICY_KEY_FIXED_BITS + those of the address */
	__u32 scope_high;    /* high and low half of the scope: any, a cgroup or a user */
	__u32 scope_low;
	__u16 port;    /* host byte order; 0: any */
	__u16 reserved; /* 0 */
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d, so that its prefix is 96 + n */
};

#define POLICY_KEY_FIXED_BITS 96

#define POLICY_SCOPE_ANY 0ULL
#define POLICY_SCOPE_USER(uid) (1ULL << 63 | (__u64)(__u32)(uid))
#define POLICY_SCOPE_CGROUP(cgroup_id) (cgroup_id) /* an inode number: never 0, and never has bit 63 */

struct policy_entry {
	struct policy_rule rule;
	__u32 address_bits; /* of the prefix, 0 to 128: to choose between two matches */
	__u32 reserved;
};

#define POLICY_MAX_RULES 4096

/* The one element of the settings array; written by the agent at any time, read once per decision. */
struct settings {
	struct policy_rule fallback; /* where no rule matches */
	__u8 mode;                   /* enum policy_mode */
	__u8 has_user_rules;         /* 0: the scope need not be looked up */
	__u8 has_cgroup_rules;
	__u8 witness; /* 1: the sender's TLS library is asked; 0: nobody looks for a handshake's session */
	__u32 agent_pid;
	__u64 hold_ns; /* application data is held back so long at most, while the peer's identity is undecided */
};

/* The one element of the heartbeat array: CLOCK_MONOTONIC of the agent's last sign of life. */
#define HEARTBEAT_MAX_NS (5 * 1000000000ULL) /* an older one: there is no agent, and nobody to decide */

/* Value of the port map. */
enum port_kind { PORT_STARTTLS = 1, PORT_IMPLICIT_TLS = 2 };

#define PORTS_MAX 64

#endif
