/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The dialogue machine by the table of vectors: each whole, trickled byte by byte, and in every two-way split of
 * every step, with equal facts; and the runs that pass over bytes against the machine that reads each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialogue_run.h"
#include "vectors.h"

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

static void print_facts(const char *label, uint64_t facts)
{
	static const char *const names[] = {
#define X(id, name) name,
		FACTS(X)
#undef X
	};
	print_error("  %s:", label);
	for (unsigned bit = 0; bit < FACT_COUNT; bit++)
		if (facts & 1ULL << bit)
			print_error(" %s", names[bit]);
	print_error("\n");
}

static bool is_as_expected(const struct vector *vector, const struct flow_event *event)
{
	return event->facts == vector->facts && event->greeting_code == vector->codes.greeting &&
	       event->ehlo_code == vector->codes.ehlo && event->starttls_code == vector->codes.starttls &&
	       event->auth_code == vector->codes.auth && strcmp(event->mechanism, text_or_empty(vector->mechanism)) == 0 &&
	       strcmp(event->account, text_or_empty(vector->account)) == 0 &&
	       (!vector->server_name || strcmp(event->server_name, vector->server_name) == 0) &&
	       event->client_alert == vector_alert(vector->client_alert) &&
	       event->server_alert == vector_alert(vector->server_alert);
}

/* Plays and compares. Returns whether it was as expected, and says what was not. */
static bool check(const struct vector *vector, const struct dialogue_cut *cut, bool bytewise)
{
	struct dialogue_run run = { .bytewise = bytewise };
	dialogue_run_vector(&run, vector, MODE_MONITOR, &dialogue_run_encrypted, cut);
	struct flow_event event = dialogue_run_event(&run, EVENT_CLOSED);
	if (is_as_expected(vector, &event))
		return true;
	print_error("%s%s", vector->name, bytewise ? ", without runs" : "");
	if (cut && cut->every_byte)
		print_error(", byte by byte");
	else if (cut)
		print_error(", step %d cut at %zu", cut->step + 1, cut->at);
	print_error(": codes %u %u %u %u, mechanism '%s', account '%s', server '%s', alerts %u %u\n", event.greeting_code,
		    event.ehlo_code, event.starttls_code, event.auth_code, event.mechanism, event.account, event.server_name,
		    event.client_alert, event.server_alert);
	print_facts("missing", vector->facts & ~event.facts);
	print_facts("too many", event.facts & ~vector->facts);
	return false;
}

static void vectors_whole(void **state)
{
	(void)state;
	unsigned failed = 0;
	for (size_t i = 0; i < vector_count; i++)
		failed += !check(&vectors[i], NULL, false) || !check(&vectors[i], NULL, true);
	assert_int_equal(failed, 0);
}

static void vectors_byte_by_byte(void **state)
{
	(void)state;
	static const struct dialogue_cut every = { .every_byte = true };
	unsigned failed = 0;
	for (size_t i = 0; i < vector_count; i++)
		failed += !vectors[i].whole_only && (!check(&vectors[i], &every, false) || !check(&vectors[i], &every, true));
	assert_int_equal(failed, 0);
}

/* Every place to cut, of a long segment those near its ends and near a chunk's edges. */
static bool cut_is_wanted(size_t at, size_t length)
{
	return at < 300 || length - at < 300 || (at < 5000 && (at + 1) % 64 < 3) || at % 4999 == 0;
}

static void vectors_in_two_way_splits(void **state)
{
	(void)state;
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	unsigned failed = 0;
	for (size_t i = 0; i < vector_count; i++) {
		bool good = true;
		for (unsigned step = 0; good && !vectors[i].whole_only && step < vector_steps(&vectors[i]); step++) {
			size_t length = vector_segment(&vectors[i].steps[step], segment);
			for (size_t at = 1; good && at < length; at++) {
				const struct dialogue_cut cut = { .step = (int)step, .at = at };
				good = !cut_is_wanted(at, length) || check(&vectors[i], &cut, false);
			}
		}
		failed += !good;
	}
	assert_int_equal(failed, 0);
}

/* A split can only be given up for a reason that the table tells, and for few. */
static void few_vectors_are_not_split(void **state)
{
	(void)state;
	unsigned count = 0;
	for (size_t i = 0; i < vector_count; i++)
		count += vectors[i].whole_only != NULL;
	assert_in_range(count, 0, 3);
}

static void vectors_are_well_formed(void **state)
{
	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		unsigned steps = vector_steps(&vectors[i]);
		assert_in_range(steps, 1, VECTOR_STEPS_MAX);
		assert_in_range(vectors[i].stops, 0, steps);
		for (unsigned step = 0; step < steps; step++)
			assert_in_range(vectors[i].steps[step].length * vectors[i].steps[step].repeat, 1, VECTOR_SEGMENT_MAX);
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(vectors[i].name, vectors[other].name);
	}
}

/* ---- the runs against the machine ------------------------------------------------------------------------- */

static const char *const words[] = {
	"EHLO a", "HELO", "STARTTLS", "AUTH PLAIN", "AUTH LOGIN", "AUTH ", "MAIL FROM:<a>", "RCPT TO:<b>", "DATA", "BDAT 70", "BDAT ",
	"QUIT", "LHLO", "220", "250-", "250 ", "334 ", "354 ", "454", "XXXXXXXA", "X-ANONYMOUSTLS", "\r\n", "\r\n", "\r\n", "\n", "\r",
	".\r\n", " ", "=", "*", "AHVzZXIAcGFzcw==", "\x16\x03\x01", "\x14\x03\x03\x01\x01", "\x17\x03\x03", "\x15\x03\x03", "\x01", "\xff",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "-", "\x02\x40", "\t",
};

/* A segment of protocol words and noise, so that most states are reached. */
static size_t random_segment(uint8_t *segment, size_t size)
{
	size_t length = 0, pieces = 1 + (size_t)rand() % 12;
	for (size_t i = 0; i < pieces; i++) {
		const char *word = words[(size_t)rand() % (sizeof(words) / sizeof(words[0]))];
		size_t n = strlen(word);
		if (rand() % 8 == 0)
			segment[length++] = (uint8_t)rand();
		if (length + n + 1 > size)
			break;
		memcpy(segment + length, word, n);
		length += n;
	}
	return length;
}

static void runs_agree_with_single_bytes(void **state)
{
	(void)state;
	uint8_t segment[512];
	srand(20240711);
	for (unsigned flow = 0; flow < 4000; flow++) {
		struct dialogue_run with_runs = { .bytewise = false }, without = { .bytewise = true };
		dialogue_run_start(&with_runs, flow % 4 == 0, MODE_MONITOR, &dialogue_run_encrypted);
		dialogue_run_start(&without, flow % 4 == 0, MODE_MONITOR, &dialogue_run_encrypted);
		for (unsigned i = 0; i < 30; i++) {
			size_t length = random_segment(segment, sizeof(segment));
			if (length && rand() % 2) {
				dialogue_run_client(&with_runs, segment, length);
				dialogue_run_client(&without, segment, length);
			} else if (length) {
				dialogue_run_server(&with_runs, segment, length);
				dialogue_run_server(&without, segment, length);
			}
			struct flow_event a = dialogue_run_event(&with_runs, EVENT_PROGRESS);
			struct flow_event b = dialogue_run_event(&without, EVENT_PROGRESS);
			assert_memory_equal(&a, &b, sizeof(a));
			assert_int_equal(with_runs.client.state, without.client.state);
			assert_int_equal(with_runs.client.commands, without.client.commands);
			assert_int_equal(with_runs.server.replies, without.server.replies);
			assert_int_equal(with_runs.client.skip, without.client.skip);
		}
	}
}

/* Nothing of a password stays in the parsers once its line is over; the user name may. */
static void no_secret_stays_behind(void **state)
{
	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		struct dialogue_run run = { 0 };
		dialogue_run_vector(&run, &vectors[i], MODE_MONITOR, &dialogue_run_encrypted, NULL);
		const void *parsers[] = { &run.client, &run.work };
		for (unsigned p = 0; p < 2; p++) {
			assert_null(memmem(parsers[p], sizeof(run.client), "hunter2", 7));
			assert_null(memmem(parsers[p], sizeof(run.client), "pa55", 4));
			/* the ends of the base64 of a response, in upper case, as a word would be kept, in either byte order */
			assert_null(memmem(parsers[p], sizeof(run.client), "YTU1", 4));
			assert_null(memmem(parsers[p], sizeof(run.client), "1UTY", 4));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_well_formed),
		cmocka_unit_test(vectors_whole),
		cmocka_unit_test(vectors_byte_by_byte),
		cmocka_unit_test(vectors_in_two_way_splits),
		cmocka_unit_test(few_vectors_are_not_split),
		cmocka_unit_test(runs_agree_with_single_bytes),
		cmocka_unit_test(no_secret_stays_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
