/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes a pcap file of raw IP: TCP connections made up around given bytes, with sequence numbers, acknowledgements and
 * checksums as they should be, so that any reader takes them.
 */
#ifndef SMTPWARD_CAPTURE_WRITE_H
#define SMTPWARD_CAPTURE_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tls_facts.h"

#define WRITE_PAYLOAD_MAX 65000 /* of one frame; longer bytes become several */
#define WRITE_HOLE 1000         /* sequence numbers that a gap takes */

/* A connection being written. Fill addresses (IPv4 as ::ffff:a.b.c.d) and ports, by enum direction: that end's; the rest 0. */
struct written_flow {
	uint8_t address[2][16];
	uint16_t port[2];
	uint32_t next[2]; /* sequence numbers; where they begin is free */
};

/* Each returns false where the stream could not be written. Times are nanoseconds since the epoch. */
bool capture_write_header(FILE *stream);
/* SYN, SYN and ACK, ACK. A connection without it is one whose beginning was not captured. */
bool capture_write_open(FILE *stream, struct written_flow *flow, uint64_t time_ns);
bool capture_write_bytes(FILE *stream, struct written_flow *flow, enum direction direction, const uint8_t *bytes, size_t count,
			 bool urgent, uint64_t time_ns);
/* Bytes of this direction are missing: what follows shows it. */
void capture_write_gap(struct written_flow *flow, enum direction direction);
bool capture_write_finish(FILE *stream, struct written_flow *flow, enum direction direction, uint64_t time_ns);
bool capture_write_reset(FILE *stream, struct written_flow *flow, enum direction direction, uint64_t time_ns);

#endif
