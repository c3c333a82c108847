/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Block mode on forwarded flows: what is stopped, and the two resets that are made of it, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

#include "dialogue_run.h"
#include "forward_lab.h"
#include "witness.h"

static uint8_t bytes[VECTOR_SEGMENT_MAX];

#define LOGIN_LINE "AUTH PLAIN AHVzZXIAcGFzcw==\r\n"
#define SAY(connection, text) flab_send(connection, false, text, sizeof(text) - 1)
#define ANSWER(connection, text) flab_send(connection, true, text, sizeof(text) - 1)

static struct flab_connection greeted(enum frame_form form, bool egress)
{
	struct flab_connection connection = flab_connect(form, FLAB_STARTTLS_PORT);
	connection.egress = egress;
	ANSWER(&connection, "220 mx.example ESMTP\r\n");
	SAY(&connection, "EHLO client.example\r\n");
	ANSWER(&connection, "250 mx.example\r\n");
	return connection;
}

/* An RST as one end would send it. */
static size_t expected_reset(const struct flab_connection *connection, bool from_server, uint32_t sequence, uint32_t acknowledged,
			     bool unfinished, uint8_t *frame)
{
	struct segment segment = flab_segment(connection, from_server, NULL, 0, RST | ACK);
	segment.sequence = sequence;
	segment.acknowledged = acknowledged;
	segment.bare = true;
	segment.unfinished = unfinished;
	return frame_make(&segment, frame);
}

static bool same_frame(const char *what, enum frame_form form, const uint8_t *frame, size_t length, const uint8_t *expected,
		       size_t expected_length)
{
	if (length == expected_length && memcmp(frame, expected, length) == 0)
		return true;
	print_error("%s, %s: %zu bytes, not %zu\n", frame_form_names[form], what, length, expected_length);
	for (size_t i = 0; i < length && i < expected_length; i++) {
		if (frame[i] != expected[i])
			print_error("  byte %zu is %02x, not %02x\n", i, frame[i], expected[i]);
	}
	return false;
}

/* Runs a segment that is to be stopped; returns whether both resets are as they should be. */
static bool is_reset(const struct flab_connection *connection, const struct segment *segment, uint32_t client_next)
{
	uint8_t expected[FRAME_MAX], captured[FRAME_MAX];
	flab_forget_captured();
	assert_int_equal(flab_run(segment, connection->egress), FLAB_NEXT);
	size_t length = expected_reset(connection, false, client_next, segment->acknowledged, segment->unfinished, expected);
	bool good = same_frame("to the server", connection->form, flab.out, flab.out_length, expected, length);
	size_t captured_length = flab_captured(captured, sizeof(captured));
	length = expected_reset(connection, true, segment->acknowledged, segment->sequence + (uint32_t)segment->length,
				segment->unfinished, expected);
	return same_frame("to the client", connection->form, captured, captured_length, expected, length) && good;
}

static void resets_in_every_form(void **state)
{
	unsigned failed = 0;
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	for (enum frame_form form = 0; form < FORM_COUNT; form++) {
		for (unsigned variant = 0; variant < 4; variant++) {
			flab_forget_events();
			struct flab_connection connection = greeted(form, variant & 1);
			struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
			segment.unfinished = variant & 2;
			if (form == FORM_BOTH_HOOKS && variant & 1)
				continue; /* that is the way out already */
			failed += !is_reset(&connection, &segment, connection.client_next);
			assert_int_equal(flab_count(connection.client_port, EVENT_BLOCKED), 1);
			assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 1);
			/* presented again, in one with bytes that had passed, or cut otherwise: the same resets, and no other event */
			failed += !is_reset(&connection, &segment, connection.client_next);
			segment.sequence -= 4;
			failed += !is_reset(&connection, &segment, connection.client_next);
			segment.sequence += 4;
			segment.length = 3;
			failed += !is_reset(&connection, &segment, connection.client_next);
			assert_int_equal(flab_count(connection.client_port, EVENT_BLOCKED), 1);
			assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 1);
		}
	}
	assert_int_equal(failed, 0);
}

/* A reset is for whoever still talks; what has no payload passes, or the ends could not tear down by themselves. */
static void without_payload_a_blocked_flows_segments_pass(void **state)
{
	static const uint8_t flags[] = { ACK, FIN | ACK, RST, RST | ACK };
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	struct flab_connection connection = greeted(FORM_IPV4, false);
	struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
	assert_true(is_reset(&connection, &segment, connection.client_next));
	for (unsigned i = 0; i < 2 * sizeof(flags); i++) {
		uint8_t frame[FRAME_MAX];
		segment = flab_segment(&connection, i & 1, NULL, 0, flags[i / 2]);
		size_t length = frame_make(&segment, frame);
		assert_int_equal(flab_run(&segment, false), FLAB_NEXT);
		assert_true(same_frame("without payload", FORM_IPV4, flab.out, flab.out_length, frame, length));
	}
}

/* The step that each vector says is stopped, in IPv4 and IPv6; those before it pass. */
static void vectors_blocked(void **state)
{
	unsigned failed = 0, played = 0;
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *vector = &vectors[i];
		struct dialogue_run run = { 0 };
		if (vector->midway && vector->steps[0].side == VECTOR_SERVER)
			continue; /* here the client's first segment makes the flow */
		if (!vector->stops || vector_segment(&vector->steps[vector->stops - 1], bytes) > 2000)
			continue;
		flab_forget_events();
		uint16_t port = vector->implicit_tls ? FLAB_IMPLICIT_PORT : FLAB_STARTTLS_PORT;
		enum frame_form form = i & 1 ? FORM_IPV6 : FORM_IPV4;
		struct flab_connection connection = vector->midway ? flab_join(form, port) : flab_connect(form, port);
		bool passed = true;
		for (unsigned step = 0; step + 1 < vector->stops; step++) {
			size_t length = vector_segment(&vector->steps[step], bytes);
			for (size_t at = 0; at < length; at += 1400) {
				uint32_t before = connection.client_next + connection.server_next;
				size_t n = length - at < 1400 ? length - at : 1400;
				flab_send(&connection, vector->steps[step].side == VECTOR_SERVER, bytes + at, n);
				passed = passed && connection.client_next + connection.server_next == before + n;
			}
		}
		size_t length = vector_segment(&vector->steps[vector->stops - 1], bytes);
		struct segment segment = flab_segment(&connection, false, bytes, length, PSH | ACK);
		dialogue_run_vector(&run, vector, MODE_BLOCK, &dialogue_run_encrypted, NULL);
		struct flow_event user = dialogue_run_event(&run, EVENT_BLOCKED);
		passed = passed && is_reset(&connection, &segment, connection.client_next);
		const struct flow_event *event = flab_event(connection.client_port, EVENT_BLOCKED);
		if (!passed || !event || event->facts != user.facts || event->stopped != user.stopped) {
			print_error("%s: facts %#llx, not %#llx\n", vector->name, event ? (unsigned long long)event->facts : 0,
				    (unsigned long long)user.facts);
			failed++;
		}
		played++;
	}
	assert_int_equal(failed, 0);
	assert_true(played > 20);
}

static void monitor_mode_changes_nothing(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	uint64_t resets = flab_counter(COUNTER_FORWARDS_RESET);
	for (enum frame_form form = 0; form < FORM_COUNT; form++) {
		uint8_t frame[FRAME_MAX];
		struct flab_connection connection = greeted(form, false);
		struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
		size_t length = frame_make(&segment, frame);
		assert_int_equal(flab_run(&segment, false), FLAB_NEXT);
		assert_true(same_frame("in monitor mode", form, flab.out, flab.out_length, frame, length));
	}
	assert_int_equal(flab_counter(COUNTER_FORWARDS_RESET), resets);
}

/* Behind an authentication header (RFC 4302) no reset of ours would be believed: dropped, and counted. */
static void what_cannot_be_answered_is_dropped(void **state)
{
	uint8_t frame[FRAME_MAX], moved[FRAME_MAX] = { 0 };
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	struct flab_connection connection = greeted(FORM_IPV6, false);
	struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
	size_t length = frame_make(&segment, frame);
	memcpy(moved, frame, 54);
	memcpy(moved + 54 + 24, frame + 54, length - 54);
	moved[14 + 5] = (uint8_t)(moved[14 + 5] + 24);
	moved[14 + 6] = 51;
	moved[54] = 6;
	moved[55] = 4; /* 24 bytes */
	uint64_t dropped = flab_counter(COUNTER_FORWARDS_UNRESET);
	assert_int_equal(flab_run_frame(moved, length + 24, false, false), FLAB_DROP);
	assert_int_equal(flab_counter(COUNTER_FORWARDS_UNRESET), dropped + 1);
	assert_int_equal(flab_count(connection.client_port, EVENT_BLOCKED), 1);
}

static void a_first_fragment_that_is_stopped_becomes_whole(void **state)
{
	static const struct {
		enum frame_form form;
		uint16_t fragment;
	} rows[] = { { FORM_IPV4, 0x2000 }, { FORM_IPV6_FRAGMENT, 1 } };
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct flab_connection connection = greeted(rows[i].form, false);
		struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
		segment.fragment = rows[i].fragment;
		assert_true(is_reset(&connection, &segment, connection.client_next));
	}
}

/* The first application data of the vector's session, as a segment; all before it has passed. */
static struct segment first_data(struct flab_connection *connection)
{
	const struct vector *vector = NULL;
	for (size_t i = 0; i < vector_count && !vector; i++) {
		if (!vectors[i].implicit_tls && vectors[i].outcome == OUTCOME_ENCRYPTED && (vectors[i].facts & FACT(CLIENT_DATA)))
			vector = &vectors[i];
	}
	assert_non_null(vector);
	*connection = flab_connect(FORM_IPV4, FLAB_STARTTLS_PORT);
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], bytes);
		bool server = vector->steps[i].side == VECTOR_SERVER;
		struct segment segment = flab_segment(connection, server, bytes, length, PSH | ACK);
		if (flab_run(&segment, false) == FLAB_DROP)
			return segment;
		*(server ? &connection->server_next : &connection->client_next) += (uint32_t)length;
	}
	fail_msg("nothing of '%s' was held", vector->name);
	return (struct segment){ 0 };
}

static void beat(void)
{
	struct timespec now;
	uint32_t zero = 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
	assert_int_equal(bpf_map_update_elem(flab_map("heartbeat"), &zero, &ns, BPF_ANY), 0);
}

/* `require: verified`, and an agent that is alive. Returns a connection's first data, which nobody has sent yet. */
static struct segment to_be_held(struct flab_connection *connection)
{
	const struct policy_rule verified = { .require = REQUIRE_VERIFIED, .action = ACTION_BLOCK };
	flab_set(MODE_BLOCK, &verified);
	flab_forget_events();
	beat();
	return first_data(connection);
}

/* The agent's word on a flow whose data waits for it. */
static void speak(const struct flab_connection *connection, enum identity identity)
{
	const struct peer_verdict verdict = { .identity = identity };
	uint64_t flow_id = flab_event(connection->client_port, EVENT_HELD)->flow_id;
	assert_int_equal(bpf_map_update_elem(flab_map("verdicts"), &flow_id, &verdict, BPF_EXIST), 0);
}

static void data_is_held_until_the_agent_has_spoken(void **state)
{
	(void)state;
	flab_needed();
	for (unsigned refused = 0; refused < 2; refused++) {
		struct flab_connection connection;
		struct segment segment = to_be_held(&connection);
		assert_int_equal(flab_run(&segment, false), FLAB_DROP);
		assert_int_equal(flab_count(connection.client_port, EVENT_HELD), 1);
		speak(&connection, refused ? IDENTITY_REFUSED : IDENTITY_VERIFIED);
		if (refused) {
			assert_true(is_reset(&connection, &segment, connection.client_next));
			continue;
		}
		assert_int_equal(flab_run(&segment, false), FLAB_NEXT);
		assert_true(flab.out_length > 54);
		assert_int_equal(flab_count(connection.client_port, EVENT_BLOCKED), 0);
	}
}

/* The client does not know that its data waits, and sends on: what comes behind it waits, too, and is no gap. */
static void what_follows_held_data_waits_too(void **state)
{
	(void)state;
	flab_needed();
	for (unsigned refused = 0; refused < 2; refused++) {
		struct flab_connection connection;
		struct segment first = to_be_held(&connection), second = first;
		second.sequence += (uint32_t)first.length;
		assert_int_equal(flab_run(&second, false), FLAB_DROP);
		speak(&connection, refused ? IDENTITY_REFUSED : IDENTITY_VERIFIED);
		if (refused) {
			assert_int_equal(flab_run(&second, false), FLAB_DROP);
			assert_true(is_reset(&connection, &first, connection.client_next));
			continue;
		}
		assert_int_equal(flab_run(&first, false), FLAB_NEXT);
		assert_int_equal(flab_run(&second, false), FLAB_NEXT);
		connection.client_next += (uint32_t)(first.length + second.length);
		flab_close(&connection);
		assert_int_equal(flab_event(connection.client_port, EVENT_CLOSED)->facts & (FACT(CLIENT_GAP) | FACT(BLOCKED)), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resets_in_every_form),
		cmocka_unit_test(without_payload_a_blocked_flows_segments_pass),
		cmocka_unit_test(vectors_blocked),
		cmocka_unit_test(monitor_mode_changes_nothing),
		cmocka_unit_test(what_cannot_be_answered_is_dropped),
		cmocka_unit_test(a_first_fragment_that_is_stopped_becomes_whole),
		cmocka_unit_test(data_is_held_until_the_agent_has_spoken),
		cmocka_unit_test(what_follows_held_data_waits_too),
	};
	return cmocka_run_group_tests(tests, flab_setup, flab_teardown);
}
