/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Outcome, findings, severities and causes: by the table of vectors, and what the table does not reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "dialogue_run.h"
#include "judgement.h"
#include "vectors.h"

#define FOUND(id) FINDING_MASK(FINDING_##id)

static void print_findings(const char *label, uint32_t findings)
{
	print_error("  %s:", label);
	for (int finding = 0; finding < FINDING_COUNT; finding++)
		if (findings & FINDING_MASK(finding))
			print_error(" %s", finding_name((enum finding)finding));
	print_error("\n");
}

static struct judgement judge_vector(const struct vector *vector, uint8_t mode, enum event_reason reason)
{
	struct dialogue_run run = { 0 };
	struct judgement judgement;
	dialogue_run_vector(&run, vector, mode, &dialogue_run_encrypted, NULL);
	struct flow_event event = dialogue_run_event(&run, reason);
	judge(&event, &judgement);
	return judgement;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void vectors_when_closed(void **state)
{
	(void)state;
	unsigned failed = 0;
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *vector = &vectors[i];
		struct judgement judgement = judge_vector(vector, MODE_MONITOR, EVENT_CLOSED);
		if (judgement.outcome == vector->outcome && judgement.findings == vector->findings &&
		    same_text(judgement.cause_name, vector->cause) &&
		    (judgement.outcome == OUTCOME_UNKNOWN) == (judgement.unknown_reason != NULL))
			continue;
		failed++;
		print_error("%s: outcome %s, cause %s, unknown for %s\n", vector->name, outcome_name(judgement.outcome),
			    judgement.cause_name ? judgement.cause_name : "none",
			    judgement.unknown_reason ? judgement.unknown_reason : "none");
		print_findings("missing", vector->findings & ~judgement.findings);
		print_findings("too many", judgement.findings & ~vector->findings);
	}
	assert_int_equal(failed, 0);
}

/* Whatever is found while a flow is open must hold when it is closed: alerts cannot be taken back. */
static void vectors_while_open(void **state)
{
	(void)state;
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	unsigned failed = 0;
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *vector = &vectors[i];
		struct dialogue_run run = { 0 };
		dialogue_run_begin(&run, vector, MODE_MONITOR, &dialogue_run_encrypted);
		for (unsigned step = 0; step < vector_steps(vector); step++) {
			struct judgement judgement;
			size_t length = vector_segment(&vector->steps[step], segment);
			if (vector->steps[step].side == VECTOR_CLIENT)
				dialogue_run_client(&run, segment, length);
			else
				dialogue_run_server(&run, segment, length);
			struct flow_event event = dialogue_run_event(&run, EVENT_PROGRESS);
			judge(&event, &judgement);
			if (judgement.findings & ~vector->findings) {
				print_findings(vector->name, judgement.findings & ~vector->findings);
				failed++;
			}
		}
	}
	assert_int_equal(failed, 0);
}

/*
 * What is true of a part of a flow, and not of all: an EHLO reply without an offer that came behind one with it; a masked
 * greeting that has gone by; LMTP, whose LHLO has.
 */
static uint32_t findings_of_a_part(const struct vector *vector, uint32_t whole)
{
	const uint32_t offered_before = FOUND(STARTTLS_UNUSED) | FOUND(STARTTLS_REFUSED) | FOUND(STARTTLS_MASKED) | FOUND(TLS_NOT_STARTED);
	if (whole & offered_before)
		whole |= FOUND(STARTTLS_MISSING);
	return strcmp(vector->name, "trap-lmtp") == 0 ? whole | FOUND(CLEARTEXT_MAIL) : whole;
}

/* What is said of a flow joined at byte at of step from is what is said of all of it, or less. */
static bool joined_is_true(const struct vector *vector, unsigned from, size_t at)
{
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	struct dialogue_run whole = { 0 }, joined = { 0 };
	struct judgement all, part;
	dialogue_run_vector(&whole, vector, MODE_MONITOR, &dialogue_run_encrypted, NULL);
	dialogue_run_start(&joined, vector->implicit_tls, MODE_MONITOR, &dialogue_run_encrypted);
	dialogue_run_midway(&joined);
	for (unsigned step = from; step < vector_steps(vector); step++) {
		size_t length = vector_segment(&vector->steps[step], segment), skip = step == from ? at : 0;
		if (vector->steps[step].side == VECTOR_CLIENT)
			dialogue_run_client(&joined, segment + skip, length - skip);
		else
			dialogue_run_server(&joined, segment + skip, length - skip);
	}
	struct flow_event whole_end = dialogue_run_event(&whole, EVENT_CLOSED), joined_end = dialogue_run_event(&joined, EVENT_CLOSED);
	judge(&whole_end, &all);
	judge(&joined_end, &part);
	/* a server that says 354 to anything, or a chunk that it does not take, makes commands look like content */
	uint64_t untrue = joined_end.facts & ~(whole_end.facts | FACT(MIDWAY) | FACT(RESYNCED) | FACT(CONTENT_CLEAR));
	all.findings = findings_of_a_part(vector, all.findings);
	if (!untrue && !(part.findings & ~all.findings))
		return true;
	print_error("%s, joined at byte %zu of step %u: facts %#llx are not true\n", vector->name, at, from + 1, (unsigned long long)untrue);
	print_findings("not true", part.findings & ~all.findings);
	return false;
}

static void joined_midway_nothing_is_told_that_is_not_so(void **state)
{
	(void)state;
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	unsigned failed = 0;
	for (size_t i = 0; i < vector_count; i++) {
		for (unsigned step = 0; !vectors[i].midway && step < vector_steps(&vectors[i]); step++) {
			size_t length = vector_segment(&vectors[i].steps[step], segment);
			for (size_t at = 0; at < length && at < 80; at++)
				failed += !joined_is_true(&vectors[i], step, at);
		}
	}
	assert_int_equal(failed, 0);
}

static void vectors_blocked(void **state)
{
	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *vector = &vectors[i];
		struct judgement monitored = judge_vector(vector, MODE_MONITOR, EVENT_CLOSED);
		struct judgement judgement = judge_vector(vector, MODE_BLOCK, EVENT_CLOSED);
		if (!vector->stops) {
			assert_int_equal(judgement.outcome, monitored.outcome);
			assert_int_equal(judgement.findings, monitored.findings);
			continue;
		}
		if (judgement.outcome != OUTCOME_BLOCKED)
			print_error("%s: %s\n", vector->name, outcome_name(judgement.outcome));
		assert_int_equal(judgement.outcome, OUTCOME_BLOCKED);
		assert_null(judgement.unknown_reason);
		/* something must be found, or nobody learns what was stopped; and nothing has to be rotated */
		assert_int_not_equal(judgement.findings, 0);
		if (judgement.findings & FINDING_MASK(FINDING_CLEARTEXT_AUTH))
			assert_in_range(judgement.severity[FINDING_CLEARTEXT_AUTH], 0, SEVERITY_WARNING);
		if (judgement.findings & FINDING_MASK(FINDING_CLEARTEXT_MAIL))
			assert_in_range(judgement.severity[FINDING_CLEARTEXT_MAIL], 0, SEVERITY_WARNING);
	}
}

static struct flow_event clear_auth(const char *mechanism, uint16_t port)
{
	struct flow_event event = { .reason = EVENT_CLOSED, .require = REQUIRE_ENCRYPTED, .server_port = port,
				    .facts = FACT(AUTH_CLEAR) | FACT(CREDENTIAL_CLEAR) };
	strncpy(event.mechanism, mechanism, sizeof(event.mechanism) - 1);
	return event;
}

static enum severity auth_severity(const char *mechanism, uint16_t port)
{
	struct judgement judgement;
	struct flow_event event = clear_auth(mechanism, port);
	judge(&event, &judgement);
	assert_int_equal(judgement.findings, FINDING_MASK(FINDING_CLEARTEXT_AUTH));
	return judgement.severity[FINDING_CLEARTEXT_AUTH];
}

static void severity_follows_mechanism_and_port(void **state)
{
	(void)state;
	assert_int_equal(auth_severity("PLAIN", 587), SEVERITY_CRITICAL);
	assert_int_equal(auth_severity("LOGIN", 465), SEVERITY_CRITICAL);
	assert_int_equal(auth_severity("XOAUTH2", 2525), SEVERITY_CRITICAL);
	assert_int_equal(auth_severity("PLAIN", 25), SEVERITY_ERROR);
	assert_int_equal(auth_severity("CRAM-MD5", 587), SEVERITY_ERROR);
	assert_int_equal(auth_severity("SCRAM-SHA-256", 25), SEVERITY_WARNING);
	assert_int_equal(auth_severity("GSSAPI", 587), SEVERITY_NOTICE);
	assert_int_equal(auth_severity("EXTERNAL", 25), SEVERITY_INFO);
}

static void mechanisms_are_known(void **state)
{
	(void)state;
	static const struct {
		const char *mechanism;
		enum exposure exposure;
	} cases[] = {
		{ "PLAIN", EXPOSURE_SECRET },        { "LOGIN", EXPOSURE_SECRET },	  { "XOAUTH2", EXPOSURE_SECRET },
		{ "OAUTHBEARER", EXPOSURE_SECRET },  { "CRAM-MD5", EXPOSURE_GUESSABLE },  { "DIGEST-MD5", EXPOSURE_GUESSABLE },
		{ "NTLM", EXPOSURE_GUESSABLE },	     { "SCRAM-SHA-1", EXPOSURE_GUESSABLE }, { "SCRAM-SHA-256-PLUS", EXPOSURE_GUESSABLE },
		{ "GSSAPI", EXPOSURE_NOTHING },	     { "EXTERNAL", EXPOSURE_NOTHING },	  { "SCRAM", EXPOSURE_SECRET },
		{ "X-UNHEARD-OF", EXPOSURE_SECRET }, { "", EXPOSURE_SECRET },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(mechanism_exposure(cases[i].mechanism), cases[i].exposure);
}

static void nothing_demanded_is_only_told(void **state)
{
	(void)state;
	struct judgement judgement;
	struct flow_event event = clear_auth("PLAIN", 587);
	event.require = REQUIRE_NONE;
	judge(&event, &judgement);
	assert_int_equal(judgement.findings, FINDING_MASK(FINDING_CLEARTEXT_AUTH));
	assert_int_equal(judgement.severity[FINDING_CLEARTEXT_AUTH], SEVERITY_INFO);
}

static void what_is_missing_makes_unknown(void **state)
{
	(void)state;
	static const struct {
		uint64_t fact;
		const char *reason;
	} cases[] = {
		{ FACT(CLIENT_GAP), "gap" },	 { FACT(SERVER_GAP), "gap" }, { FACT(MIDWAY), "midway" },
		{ FACT(SERVER_CAP), "truncated" }, { FACT(UNSEEN), "unseen" },	{ FACT(NO_STORAGE), "no-storage" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct judgement judgement;
		/* but for the doubt, a downgrade */
		struct flow_event event = { .reason = EVENT_CLOSED, .server_port = 25, .require = REQUIRE_ENCRYPTED,
					    .facts = FACT(EHLO_SENT) | FACT(EHLO_ACCEPTED) | FACT(STARTTLS_ASKED) | cases[i].fact };
		judge(&event, &judgement);
		assert_int_equal(judgement.outcome, OUTCOME_UNKNOWN);
		assert_string_equal(judgement.unknown_reason, cases[i].reason);
		assert_int_equal(judgement.findings, 0);
		/* what the client sent is certain all the same */
		event.facts |= FACT(MAIL_CLEAR);
		judge(&event, &judgement);
		assert_int_equal(judgement.outcome, OUTCOME_CLEARTEXT);
		assert_int_equal(judgement.findings, FINDING_MASK(FINDING_CLEARTEXT_MAIL));
	}
}

static void stopped_mail_behind_sent_auth_is_cleartext(void **state)
{
	(void)state;
	struct judgement judgement;
	struct flow_event event = clear_auth("PLAIN", 587); /* monitored; then the mode was changed */
	event.facts |= FACT(MAIL_CLEAR) | FACT(BLOCKED);
	event.stopped = FACT(MAIL_CLEAR);
	judge(&event, &judgement);
	assert_int_equal(judgement.outcome, OUTCOME_CLEARTEXT);
	assert_int_equal(judgement.severity[FINDING_CLEARTEXT_AUTH], SEVERITY_CRITICAL);
	assert_int_equal(judgement.severity[FINDING_CLEARTEXT_MAIL], SEVERITY_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_when_closed),
		cmocka_unit_test(vectors_while_open),
		cmocka_unit_test(vectors_blocked),
		cmocka_unit_test(joined_midway_nothing_is_told_that_is_not_so),
		cmocka_unit_test(severity_follows_mechanism_and_port),
		cmocka_unit_test(mechanisms_are_known),
		cmocka_unit_test(nothing_demanded_is_only_told),
		cmocka_unit_test(what_is_missing_makes_unknown),
		cmocka_unit_test(stopped_mail_behind_sent_auth_is_cleartext),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
