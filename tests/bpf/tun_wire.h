/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The other end of a wire, in the test's own hands: a TUN interface, and behind it a server whose TCP is written here, so
 * that each of its segments can come late, twice, spoilt or not at all, and the client's be left without an answer.
 */
#ifndef SMTPWARD_TEST_BPF_TUN_WIRE_H
#define SMTPWARD_TEST_BPF_TUN_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TUN_PIECE_MAX 1400 /* bytes of a segment at most: it is never cut further */

struct tun_wire {
	int fd;             /* of the interface */
	int client;         /* the client's socket */
	uint16_t client_port, server_port;
	uint32_t client_start, server_start; /* sequence numbers of the first bytes */
	uint32_t client_acked; /* bytes of the client's stream that the server has acknowledged */
	uint32_t said;         /* bytes of its own that the server has sent: where its acknowledgements stand */
	uint32_t delivered;    /* segments that the client's socket must count, with the handshake's */
	FILE *capture;      /* where every packet goes, too: a pcap file of raw IP; NULL: nowhere */
};

/* A segment of the client's. */
struct tun_segment {
	uint32_t offset; /* of its stream */
	size_t length;
	uint8_t bytes[2048];
};

/* Makes the interface in this network namespace. Returns NULL, or why it cannot be. */
const char *tun_wire_open(struct tun_wire *wire);
void tun_wire_close(struct tun_wire *wire);

/* Connects a socket to the server's port. Fails the test if that does not come about. */
void tun_wire_connect(struct tun_wire *wire, uint16_t port);
/* The client resets the connection. */
void tun_wire_reset(struct tun_wire *wire);

/* The next segment of the client's with a payload. Returns false if none comes within so many milliseconds. */
bool tun_wire_hear(struct tun_wire *wire, struct tun_segment *segment, int milliseconds);
/* Acknowledges the client's stream up to there. */
void tun_wire_acknowledge(struct tun_wire *wire, uint32_t offset);
/* Sends a segment of the server's; spoilt: with a wrong checksum. Returns once the client's TCP has dealt with it; false if
 * it was dropped before the hooks saw it. */
bool tun_wire_say(struct tun_wire *wire, uint32_t offset, const uint8_t *bytes, size_t length, bool spoilt);

#endif
