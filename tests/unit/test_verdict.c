/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The verdict: as a function, and as what block mode stops of each vector, however its segments are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "dialogue_run.h"
#include "vectors.h"
#include "verdict.h"

static enum verdict verdict(uint64_t facts, uint32_t demands, struct policy_rule rule)
{
	const struct peer nothing_known = { .identity = IDENTITY_UNDECIDED };
	return verdict_of(facts, demands, &rule, &nothing_known);
}

static enum verdict verdict_about(enum identity identity, uint16_t tls_version, uint32_t demands, struct policy_rule rule)
{
	const struct peer peer = { .identity = identity, .tls_version = tls_version };
	return verdict_of(FACT(CLIENT_HELLO) | FACT(SERVER_HELLO) | FACT(CLIENT_FINISHED), demands, &rule, &peer);
}

#define ENCRYPTED ((struct policy_rule){ .require = REQUIRE_ENCRYPTED })
#define VERIFIED ((struct policy_rule){ .require = REQUIRE_VERIFIED })
#define NONE ((struct policy_rule){ .require = REQUIRE_NONE, .unknown = DOUBT_BLOCK, .undecided = DOUBT_BLOCK })

static void demands_are_condemned(void **state)
{
	(void)state;
	static const uint32_t demands[] = { DEMAND_AUTH, DEMAND_CREDENTIAL, DEMAND_MAIL, DEMAND_CAP, DEMAND_AUTH | DEMAND_MAIL };
	for (size_t i = 0; i < sizeof(demands) / sizeof(demands[0]); i++) {
		assert_int_equal(verdict(FACT(EHLO_SENT), demands[i], ENCRYPTED), VERDICT_BLOCK);
		assert_int_equal(verdict(FACT(EHLO_SENT), demands[i], VERIFIED), VERDICT_BLOCK);
		assert_int_equal(verdict(FACT(EHLO_SENT), demands[i], NONE), VERDICT_PASS);
	}
	assert_int_equal(verdict(FACT(EHLO_SENT), 0, ENCRYPTED), VERDICT_PASS);
}

static void tls_data_needs_a_verified_peer(void **state)
{
	(void)state;
	struct policy_rule rule = VERIFIED;
	assert_int_equal(verdict(FACT(CLIENT_DATA), DEMAND_TLS_DATA, ENCRYPTED), VERDICT_PASS);
	assert_int_equal(verdict(FACT(CLIENT_DATA), DEMAND_TLS_DATA, rule), VERDICT_HOLD);
	assert_int_equal(verdict_about(IDENTITY_VERIFIED, 0x0304, DEMAND_TLS_DATA, rule), VERDICT_PASS);
	assert_int_equal(verdict_about(IDENTITY_REFUSED, 0x0304, DEMAND_TLS_DATA, rule), VERDICT_BLOCK);
	assert_int_equal(verdict_about(IDENTITY_LEFT_OPEN, 0x0304, DEMAND_TLS_DATA, rule), VERDICT_PASS);
	/* the client's Finished has to pass: a library that checks later waits for the server's answer to it */
	assert_int_equal(verdict_about(IDENTITY_UNDECIDED, 0x0304, DEMAND_TLS_FINISHED, rule), VERDICT_PASS);
	assert_int_equal(verdict_undecided(&rule), VERDICT_PASS);
	rule.undecided = DOUBT_BLOCK;
	assert_int_equal(verdict_about(IDENTITY_LEFT_OPEN, 0x0304, DEMAND_TLS_DATA, rule), VERDICT_BLOCK);
	assert_int_equal(verdict_undecided(&rule), VERDICT_BLOCK);
}

static void a_version_below_the_minimum_is_condemned(void **state)
{
	(void)state;
	struct policy_rule rule = ENCRYPTED;
	rule.min_tls = 0x0303;
	assert_int_equal(verdict_about(IDENTITY_UNDECIDED, 0x0302, DEMAND_TLS_FINISHED, rule), VERDICT_BLOCK);
	assert_int_equal(verdict_about(IDENTITY_VERIFIED, 0x0302, DEMAND_TLS_DATA, rule), VERDICT_BLOCK);
	assert_int_equal(verdict_about(IDENTITY_UNDECIDED, 0x0303, DEMAND_TLS_FINISHED, rule), VERDICT_PASS);
	assert_int_equal(verdict_about(IDENTITY_UNDECIDED, 0x0304, DEMAND_TLS_DATA, rule), VERDICT_PASS);
	/* a version that was not read: somebody has to tell */
	assert_int_equal(verdict_about(IDENTITY_UNDECIDED, 0, DEMAND_TLS_FINISHED, rule), VERDICT_PASS);
	assert_int_equal(verdict_about(IDENTITY_UNDECIDED, 0, DEMAND_TLS_DATA, rule), VERDICT_HOLD);
	rule.min_tls = 0;
	assert_int_equal(verdict_about(IDENTITY_UNDECIDED, 0x0301, DEMAND_TLS_DATA, rule), VERDICT_PASS);
}

static void doubt_follows_the_policy(void **state)
{
	(void)state;
	static const uint64_t doubts[] = { FACT(CLIENT_GAP), FACT(SERVER_GAP), FACT(MIDWAY) };
	for (size_t i = 0; i < sizeof(doubts) / sizeof(doubts[0]); i++) {
		struct policy_rule rule = ENCRYPTED;
		assert_int_equal(verdict(doubts[i], 0, rule), VERDICT_PASS);
		rule.unknown = DOUBT_BLOCK;
		assert_int_equal(verdict(doubts[i], 0, rule), VERDICT_BLOCK);
		assert_int_equal(verdict(doubts[i], 0, NONE), VERDICT_PASS);
	}
	/* joined midway, a line may be one of a message */
	assert_int_equal(verdict(FACT(MIDWAY), DEMAND_AUTH, ENCRYPTED), VERDICT_PASS);
	/* once the dialogue is found again, it is a command */
	assert_int_equal(verdict(FACT(MIDWAY) | FACT(RESYNCED), DEMAND_AUTH, ENCRYPTED), VERDICT_BLOCK);
	struct policy_rule strict = ENCRYPTED;
	strict.unknown = DOUBT_BLOCK;
	assert_int_equal(verdict(FACT(MIDWAY) | FACT(RESYNCED), 0, strict), VERDICT_PASS);
	/* what was read in order before the gap stands */
	assert_int_equal(verdict(FACT(CLIENT_GAP), DEMAND_AUTH, ENCRYPTED), VERDICT_BLOCK);
}

/* Bytes that are missing, or were made to be, take nothing back of what is known to be bad. */
static void a_gap_excuses_nothing(void **state)
{
	(void)state;
	const uint64_t facts = FACT(CLIENT_HELLO) | FACT(SERVER_HELLO) | FACT(CLIENT_FINISHED) | FACT(SERVER_GAP);
	const struct peer refused = { .identity = IDENTITY_REFUSED }, old = { .tls_version = 0x0301 },
			  open = { .identity = IDENTITY_LEFT_OPEN }, good = { .identity = IDENTITY_VERIFIED };
	struct policy_rule rule = VERIFIED;
	assert_int_equal(verdict_of(facts, DEMAND_TLS_DATA, &rule, &refused), VERDICT_BLOCK);
	assert_int_equal(verdict_of(facts, DEMAND_TLS_DATA, &rule, &open), VERDICT_PASS);
	assert_int_equal(verdict_of(facts | FACT(MIDWAY), DEMAND_TLS_DATA, &rule, &refused), VERDICT_PASS);
	/* nor is anything known to be good that may be about other bytes than the client got */
	rule.unknown = DOUBT_BLOCK;
	assert_int_equal(verdict_of(facts, DEMAND_TLS_DATA, &rule, &good), VERDICT_BLOCK);
	rule = ENCRYPTED;
	assert_int_equal(verdict_of(facts, DEMAND_TLS_DATA, &rule, &refused), VERDICT_PASS);
	rule.min_tls = 0x0303;
	assert_int_equal(verdict_of(facts, DEMAND_TLS_FINISHED, &rule, &old), VERDICT_BLOCK);
}

static void mail_over_lmtp_is_not_condemned(void **state)
{
	(void)state;
	assert_int_equal(verdict(FACT(LHLO_SENT), DEMAND_MAIL, ENCRYPTED), VERDICT_PASS);
	assert_int_equal(verdict(FACT(LHLO_SENT), DEMAND_AUTH, ENCRYPTED), VERDICT_BLOCK);
	assert_int_equal(verdict(FACT(LHLO_SENT) | FACT(EHLO_SENT), DEMAND_MAIL, ENCRYPTED), VERDICT_BLOCK);
}

static void both_switches_enforce(void **state)
{
	(void)state;
	struct policy_rule rule = ENCRYPTED;
	assert_false(verdict_is_enforced(&rule, MODE_BLOCK));
	rule.action = ACTION_BLOCK;
	assert_true(verdict_is_enforced(&rule, MODE_BLOCK));
	assert_false(verdict_is_enforced(&rule, MODE_MONITOR));
}

static void vectors_stop_where_they_must(void **state)
{
	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		struct dialogue_run run = { 0 };
		unsigned stopped = dialogue_run_vector(&run, &vectors[i], MODE_BLOCK, &dialogue_run_encrypted, NULL);
		if (stopped != vectors[i].stops)
			print_error("%s\n", vectors[i].name);
		assert_int_equal(stopped, vectors[i].stops);
		assert_int_equal(run.blocked, stopped != 0);
		/* what monitor mode calls would-block is what block mode stops */
		assert_int_equal((vectors[i].facts & FACT(WOULD_BLOCK)) != 0, stopped != 0);
	}
}

/* What has left the host when a vector is stopped: the client's bytes before the piece that was dropped. */
static void no_cut_lets_a_command_through(void **state)
{
	(void)state;
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *vector = &vectors[i];
		if (!vector->stops || vector->whole_only)
			continue;
		size_t length = vector_segment(&vector->steps[vector->stops - 1], segment);
		for (size_t at = 0; at < length && at < 400; at++) {
			/* at 0: byte by byte */
			const struct dialogue_cut cut = { .every_byte = at == 0, .step = (int)vector->stops - 1, .at = at };
			struct dialogue_run run = { 0 };
			unsigned stopped = dialogue_run_vector(&run, vector, MODE_BLOCK, &dialogue_run_encrypted, &cut);
			assert_int_equal(stopped, vector->stops);
			if (vector->midway)
				continue; /* those that led back into the dialogue had left */
			/* the fact that was stopped is among those of the dropped piece, so its command was not complete before */
			assert_int_not_equal(run.stopped & (FACT(AUTH_CLEAR) | FACT(MAIL_CLEAR) | FACT(CLIENT_CAP)), 0);
			assert_int_equal(run.client.facts & ~run.stopped & (FACT(AUTH_CLEAR) | FACT(MAIL_CLEAR) | FACT(CREDENTIAL_CLEAR)), 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(demands_are_condemned),
		cmocka_unit_test(tls_data_needs_a_verified_peer),
		cmocka_unit_test(a_version_below_the_minimum_is_condemned),
		cmocka_unit_test(doubt_follows_the_policy),
		cmocka_unit_test(a_gap_excuses_nothing),
		cmocka_unit_test(mail_over_lmtp_is_not_condemned),
		cmocka_unit_test(both_switches_enforce),
		cmocka_unit_test(vectors_stop_where_they_must),
		cmocka_unit_test(no_cut_lets_a_command_through),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
