/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every dialogue vector over real loopback sockets gives in the kernel what it gives in user space. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "adopt.h"
#include "dialogue_run.h"
#include "lab.h"
#include "said.h"
#include "vectors.h"

static uint8_t segment[VECTOR_SEGMENT_MAX];

/* Plays the vector's first steps over a real connection; piece: of each segment's sends. */
static void play(const struct vector *vector, struct lab_connection *connection, unsigned steps, size_t piece,
		 uint64_t bytes[2])
{
	for (unsigned i = 0; i < steps; i++) {
		size_t length = vector_segment(&vector->steps[i], segment);
		bool client = vector->steps[i].side == VECTOR_CLIENT;
		lab_send(client ? connection->client : connection->server, client ? connection->server : connection->client, segment,
			 length, piece);
		bytes[client ? 0 : 1] += length;
	}
}

static struct lab_connection begin(const struct vector *vector, enum lab_family family)
{
	uint16_t port = vector->implicit_tls ? lab.implicit_port : lab.starttls_port;
	return vector->midway ? join_midway(family, port) : lab_connect(family, port);
}

static bool vector_agrees(const struct vector *vector, enum lab_family family, size_t piece)
{
	uint64_t bytes[2] = { 0 };
	struct dialogue_run run = { 0 };
	lab_forget_events();
	struct lab_connection connection = begin(vector, family);
	play(vector, &connection, vector_steps(vector), piece, bytes);
	struct flow_event kernel = lab_close(&connection);
	dialogue_run_vector(&run, vector, MODE_MONITOR, &dialogue_run_encrypted, NULL);
	struct flow_event user = dialogue_run_event(&run, EVENT_CLOSED);
	assert_int_equal(user.facts, vector->facts);
	if (!vector->midway) {
		assert_int_equal(kernel.bytes_sent, bytes[0]);
		/* a FIN of the server's that comes together with the ACK of ours counts as a byte, and does not show */
		assert_in_range(kernel.bytes_received - bytes[1], 0, 1);
	}
	return same(vector->name, &kernel, &user);
}

static void vectors_over(enum lab_family family)
{
	unsigned failed = 0;
	lab_needed();
	lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
	for (size_t i = 0; i < vector_count; i++)
		failed += !vector_agrees(&vectors[i], family, SIZE_MAX);
	assert_int_equal(failed, 0);
}

static void vectors_over_ipv4(void **state)
{
	(void)state;
	vectors_over(LAB_IPV4);
}

static void vectors_over_ipv6(void **state)
{
	(void)state;
	vectors_over(LAB_IPV6);
}

static void vectors_over_mapped_ipv4(void **state)
{
	(void)state;
	vectors_over(LAB_MAPPED);
}

static size_t longest_step(const struct vector *vector)
{
	size_t longest = 0;
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], segment);
		longest = length > longest ? length : longest;
	}
	return longest;
}

static void vectors_in_one_byte_segments(void **state)
{
	(void)state;
	unsigned failed = 0;
	lab_needed();
	lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
	for (size_t i = 0; i < vector_count; i++)
		if (!vectors[i].whole_only && longest_step(&vectors[i]) < 2000)
			failed += !vector_agrees(&vectors[i], LAB_IPV4, 1);
	assert_int_equal(failed, 0);
}

/* Block mode: the step that is to be stopped never comes to the server, and the flow is blocked once. */
static void vectors_blocked(void **state)
{
	(void)state;
	unsigned failed = 0;
	lab_needed();
	lab_set(MODE_BLOCK, &dialogue_run_encrypted, false, false);
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *vector = &vectors[i];
		struct dialogue_run run = { 0 };
		uint64_t bytes[2] = { 0 };
		if (!vector->stops || longest_step(vector) > 60000) /* more than one segment */
			continue;
		lab_forget_events();
		struct lab_connection connection = begin(vector, LAB_IPV4);
		play(vector, &connection, vector->stops - 1, SIZE_MAX, bytes);
		size_t length = vector_segment(&vector->steps[vector->stops - 1], segment);
		assert_int_equal(send(connection.client, segment, length, MSG_NOSIGNAL), length);
		struct flow_event kernel = *lab_wait(connection.client_port, EVENT_BLOCKED);
		dialogue_run_vector(&run, vector, MODE_BLOCK, &dialogue_run_encrypted, NULL);
		struct flow_event user = dialogue_run_event(&run, EVENT_BLOCKED);
		failed += !same(vector->name, &kernel, &user);
		assert_int_equal(lab_waiting(connection.server), 0);
		assert_int_equal(lab_count(connection.client_port, EVENT_BLOCKED), 1);
		lab_reset(&connection);
	}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_over_ipv4),
		cmocka_unit_test(vectors_over_ipv6),
		cmocka_unit_test(vectors_over_mapped_ipv4),
		cmocka_unit_test(vectors_in_one_byte_segments),
		cmocka_unit_test(vectors_blocked),
	};
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
