/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the reader of TLS handshakes. The input is a row of turns: one byte of flags, two bytes of length, and so
 * many bytes of one direction. What was read in these turns has to be what is read byte by byte, and with the
 * server's direction first.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../userspace/handshake.c" /* its state is looked at, too */

#define TURN_SERVER 1
#define TURN_LOST 2
#define TURN_HEADER 3

struct input {
	const uint8_t *bytes;
	size_t n;
};

struct turn {
	enum direction direction;
	bool lost;
	const uint8_t *bytes;
	size_t n;
};

static bool next_turn(struct input *input, struct turn *turn)
{
	if (input->n < TURN_HEADER)
		return false;
	turn->direction = input->bytes[0] & TURN_SERVER ? FROM_SERVER : FROM_CLIENT;
	turn->lost = input->bytes[0] & TURN_LOST;
	turn->n = (size_t)input->bytes[1] << 8 | input->bytes[2];
	turn->bytes = input->bytes + TURN_HEADER;
	input->n -= TURN_HEADER;
	if (turn->n > input->n)
		turn->n = input->n;
	input->bytes = turn->bytes + turn->n;
	input->n -= turn->n;
	return true;
}

static void read_turn(struct handshake *handshake, const struct turn *turn, bool bytewise)
{
	uint8_t *copy = malloc(turn->n ? turn->n : 1);
	memcpy(copy, turn->bytes, turn->n);
	if (turn->lost)
		handshake_lost(handshake, turn->direction);
	for (size_t i = 0; bytewise && i < turn->n; i++)
		handshake_take(handshake, turn->direction, copy + i, 1);
	if (!bytewise)
		handshake_take(handshake, turn->direction, copy, turn->n);
	free(copy);
}

static struct handshake *read_in_order(struct input input)
{
	struct handshake *handshake = handshake_new();
	struct turn turn;
	while (next_turn(&input, &turn))
		read_turn(handshake, &turn, false);
	return handshake;
}

static struct handshake *read_server_first(struct input input)
{
	struct handshake *handshake = handshake_new();
	for (int direction = FROM_SERVER; direction >= FROM_CLIENT; direction--) {
		struct input rest = input;
		for (struct turn turn; next_turn(&rest, &turn);) {
			if ((int)turn.direction == direction)
				read_turn(handshake, &turn, true);
		}
	}
	return handshake;
}

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* Touches every certificate, so that one which points outside is seen. */
static void compare_chains(struct tls_certificates *left, struct tls_certificates *right)
{
	require(left->count == right->count && left->count <= TLS_CERTIFICATES_MAX && left->count <= left->sent);
	for (unsigned i = 0; i < left->count; i++) {
		require(left->list[i].length == right->list[i].length && left->list[i].length > 0);
		require(memcmp(left->list[i].der, right->list[i].der, left->list[i].length) == 0);
	}
	memset(left->list, 0, sizeof(left->list));
	memset(right->list, 0, sizeof(right->list));
}

static void compare(struct handshake *left, struct handshake *right)
{
	for (int i = FROM_CLIENT; i <= FROM_SERVER; i++) {
		struct tls_stream *stream = &left->facts.stream[i];
		compare_chains(&stream->certificates, &right->facts.stream[i].certificates);
		require(stream->lost + stream->malformed + stream->over_limit + stream->encrypted <= 1);
		require(left->side[i].stopped == right->side[i].stopped);
		require(left->side[i].message_size <= 2 * (HANDSHAKE_MESSAGE_MAX + PLAINTEXT_MAX));
	}
	require(memcmp(&left->facts, &right->facts, sizeof(left->facts)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct input input = { bytes, n };
	struct handshake *in_order = read_in_order(input), *server_first = read_server_first(input);
	compare(in_order, server_first);
	handshake_free(in_order);
	handshake_free(server_first);
	return 0;
}
