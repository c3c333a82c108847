/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One recording read in many ways; the facts have to be the same in all of them. */
#ifndef SMTPWARD_TESTS_HANDSHAKE_RUN_H
#define SMTPWARD_TESTS_HANDSHAKE_RUN_H

#include "handshake.h"
#include "tls_pair.h"

static struct handshake *new_handshake(void)
{
	struct handshake *handshake = handshake_new();
	assert_non_null(handshake);
	return handshake;
}

static void assert_same_chain(const struct tls_certificates *left, const struct tls_certificates *right)
{
	assert_int_equal(left->count, right->count);
	for (unsigned i = 0; i < left->count; i++) {
		assert_int_equal(left->list[i].length, right->list[i].length);
		assert_memory_equal(left->list[i].der, right->list[i].der, left->list[i].length);
	}
}

/* Certificates by their content, all else byte by byte: the facts were all zero once. */
static void assert_same_facts(const struct handshake *left, const struct handshake *right)
{
	struct tls_facts *copies = calloc(2, sizeof(*copies));
	memcpy(&copies[0], handshake_facts(left), sizeof(copies[0]));
	memcpy(&copies[1], handshake_facts(right), sizeof(copies[1]));
	for (int i = FROM_CLIENT; i <= FROM_SERVER; i++) {
		assert_same_chain(&copies[0].stream[i].certificates, &copies[1].stream[i].certificates);
		memset(copies[0].stream[i].certificates.list, 0, sizeof(copies[0].stream[i].certificates.list));
		memset(copies[1].stream[i].certificates.list, 0, sizeof(copies[1].stream[i].certificates.list));
		assert_int_equal(handshake_wants(left, (enum direction)i), handshake_wants(right, (enum direction)i));
	}
	assert_memory_equal(&copies[0], &copies[1], sizeof(copies[0]));
	free(copies);
}

/* A copy of its own for each chunk, so that the sanitizer sees a read beyond it. */
static void take_chunk(struct handshake *handshake, enum direction direction, const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n);
	memcpy(copy, bytes, n);
	bool more = handshake_take(handshake, direction, copy, n);
	assert_int_equal(more, handshake_wants(handshake, direction));
	free(copy);
}

/* In the order of the recording, in chunks of 1 to chunk_max bytes, of random size if seed is not 0. */
static void take_turns(struct handshake *handshake, const struct tape *tape, size_t chunk_max, unsigned seed)
{
	size_t at[2] = { 0, 0 };
	for (size_t i = 0; i < tape->turn_count; i++) {
		enum direction direction = tape->turns[i].direction;
		for (size_t left = tape->turns[i].n, n; left > 0; left -= n) {
			n = seed ? 1 + (size_t)rand_r(&seed) % chunk_max : chunk_max;
			n = n < left ? n : left;
			take_chunk(handshake, direction, tape->bytes[direction] + at[direction], n);
			at[direction] += n;
		}
	}
}

static void take_all_of(struct handshake *handshake, const struct tape *tape, enum direction direction)
{
	if (tape->n[direction] > 0)
		take_chunk(handshake, direction, tape->bytes[direction], tape->n[direction]);
}

/* Reads the recording turn by turn, and then in every other way. The caller frees the handshake. */
static struct handshake *read_tape(const struct tape *tape)
{
	struct handshake *handshake = new_handshake();
	take_turns(handshake, tape, TAPE_SIZE, 0);
	for (unsigned way = 0; way < 24; way++) {
		struct handshake *other = new_handshake();
		if (way == 0) {
			take_all_of(other, tape, FROM_CLIENT);
			take_all_of(other, tape, FROM_SERVER);
		} else if (way == 1) {
			take_all_of(other, tape, FROM_SERVER);
			take_all_of(other, tape, FROM_CLIENT);
		} else if (way == 2) {
			take_turns(other, tape, 1, 0);
		} else {
			take_turns(other, tape, way % 2 ? 16 : 1500, way);
		}
		assert_same_facts(handshake, other);
		handshake_free(other);
	}
	return handshake;
}

#endif
