/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a captured frame to its TCP segment: link layer, IP, TCP. Pure; every byte is hostile, and any of them may be
 * missing: a frame may be cut short by the capture's snap length.
 */
#ifndef SMTPWARD_CAPTURE_FRAME_H
#define SMTPWARD_CAPTURE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One TCP segment. Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d; numbers are in host byte order. */
struct capture_segment {
	uint64_t time_ns; /* since the epoch; for the caller to fill */
	uint8_t from[16], to[16];
	uint16_t from_port, to_port;
	uint32_t sequence;
	uint32_t acknowledged; /* valid if ack */
	bool syn, fin, reset, ack, urgent;
	const uint8_t *bytes; /* payload, within the frame */
	uint32_t captured;    /* bytes of it that are there */
	uint32_t length;      /* that there were */
	struct {              /* of a fragment; bytes are of the packet's payload then, and there is nothing of TCP */
		uint32_t id, offset;
		bool more;
	} fragment;
};

enum frame_kind {
	FRAME_TCP,
	FRAME_FRAGMENT,  /* of an IP packet with TCP in it */
	FRAME_OTHER,     /* no TCP */
	FRAME_MALFORMED, /* or cut so short that there is no TCP header */
};

/* Whether frames of this link type (a DLT_* of libpcap's) can be read. */
bool capture_link_is_known(int link_type);

/* Reads a frame of captured bytes, of length ones there were. segment is filled for FRAME_TCP and FRAME_FRAGMENT; it points
 * into bytes. */
enum frame_kind capture_frame(int link_type, const uint8_t *bytes, size_t captured, size_t length, struct capture_segment *segment);

/* Reads what was put together of fragments, with the addresses in segment. */
enum frame_kind capture_packet_payload(const uint8_t *bytes, size_t length, struct capture_segment *segment);

#endif
