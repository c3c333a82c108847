/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a hook sees of two streams of bytes, and what was really said. Segments come as the wire brings them: cut, late,
 * twice, in another order, spoilt. `seen` goes the way of the BPF programs: their in-order gates, and the machine
 * behind them. `said` gets the same bytes as the client's TCP puts them together, at the moment it has them.
 */
#ifndef SMTPWARD_TEST_SEQUENCE_H
#define SMTPWARD_TEST_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dialogue_run.h"

#define SEQUENCE_BYTES_MAX 32768 /* of the server's stream */

struct sequence {
	struct dialogue_run seen, said;
	uint32_t client_next;   /* where the egress gate is, and the client's stream */
	uint32_t server_next;   /* where the ingress gate is */
	uint32_t server_taken;  /* what the client's TCP has in one piece */
	uint8_t stream[SEQUENCE_BYTES_MAX]; /* of the server's */
	bool here[SEQUENCE_BYTES_MAX];      /* has come, whole */
};

/* mode and port's kind as in dialogue_run.h. */
void sequence_start(struct sequence *sequence, bool implicit_tls, uint8_t mode);
/* A segment of the client's at offset of its stream; it never leaves anything out. Returns false if it is dropped. */
bool sequence_client(struct sequence *sequence, uint32_t offset, const uint8_t *bytes, size_t length);
/* A segment of the server's comes by the hook. spoilt: its checksum is wrong, so that TCP drops it behind the hook. */
void sequence_server(struct sequence *sequence, uint32_t offset, const uint8_t *bytes, size_t length, bool spoilt);

/*
 * Whether `seen` keeps to what was said: without a gap the two are the same, and with one `seen` tells nothing that is
 * not so. Returns NULL, or what it tells wrongly.
 */
const char *sequence_fault(const struct sequence *sequence);

#endif
