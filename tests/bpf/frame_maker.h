/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames made by hand: one TCP segment in each form that a TC program may meet it in. */
#ifndef SMTPWARD_TEST_BPF_FRAME_MAKER_H
#define SMTPWARD_TEST_BPF_FRAME_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 3000 /* bpf_prog_test_run takes a page, less what skbs need */

enum frame_form {
	FORM_IPV4,
	FORM_VLAN,
	FORM_QINQ,
	FORM_THREE_TAGS,
	FORM_IPV4_OPTIONS,    /* 40 bytes */
	FORM_TCP_OPTIONS,     /* 40 bytes */
	FORM_PADDED,          /* bytes behind the IP packet */
	FORM_IPV4_ATOMIC,     /* DF */
	FORM_IPV6,
	FORM_IPV6_VLAN,
	FORM_IPV6_HOP_BY_HOP,
	FORM_IPV6_THREE,      /* hop-by-hop, routing, destination options */
	FORM_IPV6_FRAGMENT,   /* a fragment header, and no other fragment (RFC 6946) */
	FORM_IPV6_PADDED,
	FORM_GSO,             /* the skb says that it is several segments */
	FORM_BOTH_HOOKS,      /* met on the way in, and again on the way out */
	FORM_COUNT
};

extern const char *const frame_form_names[FORM_COUNT];

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

struct segment {
	enum frame_form form;
	bool from_server;
	uint16_t client_port, server_port;
	uint32_t sequence, acknowledged;
	uint8_t flags;
	const uint8_t *payload;
	size_t length;
	uint16_t fragment;   /* IPv4: that field; IPv6 with a fragment header: its offset and M */
	bool unfinished;     /* the checksum is left to the hardware */
	bool bare;           /* as a reset is: no TCP options, no window, no padding */
};

/* Writes the frame to bytes, FRAME_MAX long, with all checksums. Returns its length. */
size_t frame_make(const struct segment *segment, uint8_t *bytes);
/* Offsets in a frame of that form. */
size_t frame_ip(enum frame_form form);
size_t frame_tcp(enum frame_form form);
/* The client's and the server's address, as the agent has them. */
void frame_addresses(enum frame_form form, uint8_t client[16], uint8_t server[16]);

#endif
