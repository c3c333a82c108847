/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Outcome, findings and severities by what sender and agent made of the server, and the verdict that policy gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "facts.h"
#include "identity_judgement.h"
#include "policy.h"
#include "tls_names.h"

/* ---- what is made of the server --------------------------------------------------------------------------- */

enum sender {
	VERIFIED,
	VERIFIED_LONG, /* for a name that is too long to be told */
	PINNED,
	GNUTLS_VERIFIED,
	CHAIN_STRICT,
	CHAIN_LENIENT,
	CHAIN_ANY, /* the mode is not known */
	VERIFIED_SEVERAL, /* for one of several names; the first of them is told */
	FAULT_18, FAULT_20, FAULT_10, FAULT_62, FAULT_64,
	FAULT_23,         /* revoked */
	GNUTLS_REVOKED,
	GNUTLS_UNTRUSTED, GNUTLS_NAME, GNUTLS_EXPIRED, GNUTLS_NOT_ACTIVE, GNUTLS_NAME_CALL,
	GNUTLS_NO_RESULT, /* the call itself failed */
	NOT_MADE,
	RESUMED_VERIFIED, RESUMED_CHAIN_ONLY, RESUMED_FAULT,
	UNKNOWN,
};

static const struct {
	uint8_t library, named, mode;
	int32_t result;
	uint32_t error;
	bool name_call_failed;
	enum sender_check resumed;
} senders[] = {
	[VERIFIED] = { WITNESS_OPENSSL, WITNESS_NAMED_HOST, WITNESS_MODE_STRICT, .result = 1 },
	[VERIFIED_LONG] = { WITNESS_OPENSSL, WITNESS_NAMED_LONG, WITNESS_MODE_STRICT, .result = 1 },
	[PINNED] = { WITNESS_OPENSSL, WITNESS_PINNED, WITNESS_MODE_STRICT, .result = 1 },
	[GNUTLS_VERIFIED] = { WITNESS_GNUTLS, WITNESS_NAMED_HOST },
	[CHAIN_STRICT] = { WITNESS_OPENSSL, .mode = WITNESS_MODE_STRICT, .result = 1 },
	[CHAIN_LENIENT] = { WITNESS_OPENSSL, .mode = WITNESS_MODE_LENIENT, .result = 1 },
	[CHAIN_ANY] = { WITNESS_OPENSSL, .result = 1 },
	[VERIFIED_SEVERAL] = { WITNESS_OPENSSL, WITNESS_NAMED_SEVERAL, WITNESS_MODE_STRICT, .result = 1 },
	[FAULT_23] = { WITNESS_OPENSSL, WITNESS_NAMED_HOST, WITNESS_MODE_LENIENT, .result = 1, .error = 23 },
	[GNUTLS_REVOKED] = { WITNESS_GNUTLS, WITNESS_NAMED_HOST, .error = 0x62 },
	[FAULT_18] = { WITNESS_OPENSSL, WITNESS_NAMED_HOST, WITNESS_MODE_LENIENT, .result = 1, .error = 18 },
	[FAULT_20] = { WITNESS_OPENSSL, WITNESS_NAMED_HOST, WITNESS_MODE_LENIENT, .result = 0, .error = 20 },
	[FAULT_10] = { WITNESS_OPENSSL, WITNESS_NAMED_HOST, WITNESS_MODE_LENIENT, .result = 1, .error = 10 },
	[FAULT_62] = { WITNESS_OPENSSL, WITNESS_NAMED_HOST, WITNESS_MODE_LENIENT, .result = 1, .error = 62 },
	[FAULT_64] = { WITNESS_OPENSSL, WITNESS_NAMED_ADDRESS, WITNESS_MODE_LENIENT, .result = 1, .error = 64 },
	[GNUTLS_UNTRUSTED] = { WITNESS_GNUTLS, WITNESS_NAMED_HOST, .error = 0x42 },
	[GNUTLS_NAME] = { WITNESS_GNUTLS, WITNESS_NAMED_HOST, .error = 0x4002 },
	[GNUTLS_EXPIRED] = { WITNESS_GNUTLS, WITNESS_NAMED_HOST, .error = 0x402 },
	[GNUTLS_NOT_ACTIVE] = { WITNESS_GNUTLS, WITNESS_NAMED_HOST, .error = 0x202 },
	[GNUTLS_NAME_CALL] = { WITNESS_GNUTLS, WITNESS_NAMED_HOST, .name_call_failed = true },
	[GNUTLS_NO_RESULT] = { WITNESS_GNUTLS, WITNESS_NAMED_HOST, .result = -49, .error = WITNESS_ERROR_UNKNOWN },
	[NOT_MADE] = { WITNESS_GNUTLS },
	[RESUMED_VERIFIED] = { WITNESS_OPENSSL, .resumed = SENDER_VERIFIED },
	[RESUMED_CHAIN_ONLY] = { WITNESS_OPENSSL, .resumed = SENDER_CHAIN_ONLY },
	[RESUMED_FAULT] = { WITNESS_OPENSSL, .resumed = SENDER_FOUND_FAULT },
	[UNKNOWN] = { 0 },
};

/* What the agent's own check found: bits. */
enum own { NONE = 0, MADE = 1, UNTRUSTED = 3, MISMATCH = 5, EXPIRED = 9, WEAK = 17, PARTIAL = 33 };

static struct identity_record record_of(enum sender sender, unsigned own, enum name_source from)
{
	struct identity_record record = { .resumed_check = senders[sender].resumed };
	struct witness_word *word = &record.witness;
	word->library = senders[sender].library;
	word->named = senders[sender].named;
	word->mode = senders[sender].mode;
	word->result = senders[sender].result;
	word->error = senders[sender].error;
	word->name_checked = senders[sender].name_call_failed;
	word->handshake_done = word->library != 0;
	word->checked = sender < NOT_MADE;
	if (word->named == WITNESS_NAMED_HOST || word->named == WITNESS_NAMED_SEVERAL)
		strcpy(word->name, "mx.example");
	record.heard_seen = record.certificates_seen = sender <= NOT_MADE;
	record.check = (struct own_check){
		.made = own & MADE,
		.untrusted = (own & UNTRUSTED) == UNTRUSTED,
		.name_mismatch = (own & MISMATCH) == MISMATCH,
		.expired = (own & EXPIRED) == EXPIRED,
		.key_weak = (own & WEAK) == WEAK,
		.partial = (own & PARTIAL) == PARTIAL,
		.name_from = own & MADE ? from : NAME_FROM_NOWHERE,
	};
	record.check.name_matched = (own & MADE) && from != NAME_FROM_NOWHERE && !record.check.name_mismatch;
	return record;
}

/* Where the session is: open or over, and whether the client sent more than a QUIT. */
enum story { ON, ON_OVER, STARTED, LEFT };

static struct flow_event event_of(enum story story, uint16_t port, enum policy_require require)
{
	struct flow_event event = { .server_port = port, .require = (uint8_t)require, .implicit_tls = 1 };
	event.facts = FACT(TLS_FROM_START) | FACT(CLIENT_HELLO) | FACT(SERVER_HELLO) | FACT(CLIENT_FINISHED) |
		      FACT(CLIENT_DATA) | FACT(SERVER_DATA);
	if (story == ON || story == ON_OVER)
		event.facts |= FACT(CLIENT_PROCEEDED);
	event.reason = story == ON_OVER || story == LEFT ? EVENT_CLOSED : EVENT_PROGRESS;
	return event;
}

static const struct tls_summary tls13 = { .version = TLS_VERSION_13, .suite = 0x1301 };

static struct judgement judged(const struct flow_event *event, const struct identity_record *record)
{
	struct judgement judgement;
	judge(event, &judgement);
	judge_handshake(event, &tls13, &judgement);
	judge_identity(event, &tls13, record, &judgement);
	return judgement;
}

/* ---- outcome and findings --------------------------------------------------------------------------------- */

#define TRUST FINDING_MASK(FINDING_CERTIFICATE_UNTRUSTED)
#define NAME FINDING_MASK(FINDING_CERTIFICATE_NAME_MISMATCH)
#define TIME FINDING_MASK(FINDING_CERTIFICATE_EXPIRED)
#define KEY FINDING_MASK(FINDING_CERTIFICATE_KEY_WEAK)
#define SKIP FINDING_MASK(FINDING_VERIFICATION_SKIPPED)

enum { NOWHERE = NAME_FROM_NOWHERE, POLICY = NAME_FROM_POLICY, LIBRARY = NAME_FROM_LIBRARY, SNI = NAME_FROM_SNI };
enum { INFO = SEVERITY_INFO, WARN = SEVERITY_WARNING, ERROR = SEVERITY_ERROR };

/* Outcome and findings do not hang on the port; severities do. */
static const struct {
	enum sender sender;
	unsigned own;
	int from;
	enum story story;
	enum outcome outcome;
	uint32_t findings;
} cases[] = {
	{ VERIFIED, NONE, NOWHERE, ON, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, MADE, LIBRARY, ON, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, MADE, LIBRARY, ON_OVER, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, MADE, LIBRARY, STARTED, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, MADE, LIBRARY, LEFT, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, MADE, POLICY, ON, OUTCOME_VERIFIED, 0 },
	{ VERIFIED_LONG, MADE, SNI, ON, OUTCOME_VERIFIED, 0 },
	{ PINNED, MADE, SNI, ON, OUTCOME_VERIFIED, 0 },
	{ GNUTLS_VERIFIED, MADE, LIBRARY, ON, OUTCOME_VERIFIED, 0 },
	/* a private authority is the sender's business, and so is how it matches names; a weak key is not */
	{ VERIFIED, UNTRUSTED, LIBRARY, ON, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, EXPIRED, LIBRARY, ON, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, MISMATCH, LIBRARY, ON, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, UNTRUSTED | MISMATCH | EXPIRED | WEAK, SNI, ON_OVER, OUTCOME_VERIFIED, KEY },
	{ PINNED, UNTRUSTED | MISMATCH, SNI, ON, OUTCOME_VERIFIED, 0 },
	{ VERIFIED, MISMATCH, POLICY, ON, OUTCOME_UNVERIFIED, NAME }, /* it verified another one */
	{ VERIFIED, WEAK, LIBRARY, ON, OUTCOME_VERIFIED, KEY },

	{ CHAIN_STRICT, MADE, SNI, ON, OUTCOME_VERIFIED, 0 },
	{ CHAIN_STRICT, MADE, POLICY, ON, OUTCOME_VERIFIED, 0 },
	{ CHAIN_STRICT, UNTRUSTED, SNI, ON, OUTCOME_VERIFIED, 0 },
	{ CHAIN_STRICT, MISMATCH, SNI, ON, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ CHAIN_STRICT, MISMATCH, SNI, ON_OVER, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ CHAIN_STRICT, MISMATCH, POLICY, ON, OUTCOME_UNVERIFIED, NAME }, /* the sender skipped nothing */
	{ CHAIN_LENIENT, MISMATCH, POLICY, ON, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ CHAIN_STRICT, MISMATCH, SNI, LEFT, OUTCOME_ENCRYPTED, NAME }, /* it looked itself, and left */
	{ CHAIN_STRICT, MADE, NOWHERE, ON, OUTCOME_ENCRYPTED, 0 },
	{ CHAIN_STRICT, NONE, NOWHERE, ON, OUTCOME_ENCRYPTED, 0 },
	{ CHAIN_LENIENT, MADE, SNI, ON, OUTCOME_UNVERIFIED, SKIP },
	{ CHAIN_LENIENT, NONE, NOWHERE, ON_OVER, OUTCOME_UNVERIFIED, SKIP },
	{ CHAIN_LENIENT, MISMATCH, SNI, ON, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ CHAIN_ANY, MADE, SNI, ON, OUTCOME_ENCRYPTED, 0 },
	{ CHAIN_ANY, MISMATCH, SNI, ON, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ CHAIN_ANY, NONE, NOWHERE, ON, OUTCOME_ENCRYPTED, 0 },

	{ FAULT_18, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, TRUST | SKIP },
	{ FAULT_18, UNTRUSTED, LIBRARY, ON, OUTCOME_UNVERIFIED, TRUST | SKIP },
	{ FAULT_18, UNTRUSTED | MISMATCH, LIBRARY, ON_OVER, OUTCOME_UNVERIFIED, TRUST | NAME | SKIP },
	{ FAULT_20, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, TRUST | SKIP },
	{ FAULT_10, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, TIME | SKIP },
	{ FAULT_10, EXPIRED, LIBRARY, ON, OUTCOME_UNVERIFIED, TIME | SKIP },
	{ FAULT_62, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ FAULT_62, MADE, LIBRARY, ON, OUTCOME_UNVERIFIED, NAME | SKIP }, /* it is its name that counts */
	{ FAULT_64, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ GNUTLS_UNTRUSTED, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, TRUST | SKIP },
	{ GNUTLS_NAME, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ GNUTLS_EXPIRED, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, TIME | SKIP },
	{ GNUTLS_NOT_ACTIVE, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, TIME | SKIP },
	{ GNUTLS_NAME_CALL, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, NAME | SKIP },
	{ GNUTLS_NO_RESULT, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, SKIP },
	/* not yet known whether it goes on; then it has not */
	{ FAULT_18, NONE, NOWHERE, STARTED, OUTCOME_ENCRYPTED, TRUST },
	{ FAULT_18, NONE, NOWHERE, LEFT, OUTCOME_FAILED, TRUST },
	{ FAULT_62, NONE, NOWHERE, LEFT, OUTCOME_FAILED, NAME },
	{ GNUTLS_EXPIRED, NONE, NOWHERE, LEFT, OUTCOME_FAILED, TIME },

	{ NOT_MADE, MADE, SNI, ON, OUTCOME_UNVERIFIED, SKIP },
	{ NOT_MADE, NONE, NOWHERE, ON_OVER, OUTCOME_UNVERIFIED, SKIP },
	{ NOT_MADE, UNTRUSTED | MISMATCH, SNI, ON, OUTCOME_UNVERIFIED, TRUST | NAME | SKIP },
	{ NOT_MADE, MADE, SNI, STARTED, OUTCOME_ENCRYPTED, 0 },
	{ NOT_MADE, MADE, SNI, LEFT, OUTCOME_ENCRYPTED, 0 },
	{ NOT_MADE, PARTIAL, SNI, ON, OUTCOME_UNVERIFIED, SKIP },

	{ RESUMED_VERIFIED, NONE, NOWHERE, ON, OUTCOME_VERIFIED, 0 },
	{ RESUMED_CHAIN_ONLY, NONE, NOWHERE, ON, OUTCOME_ENCRYPTED, 0 },
	{ RESUMED_FAULT, NONE, NOWHERE, ON, OUTCOME_UNVERIFIED, SKIP },

	{ UNKNOWN, NONE, NOWHERE, ON, OUTCOME_ENCRYPTED, 0 },
	{ UNKNOWN, MADE, SNI, ON_OVER, OUTCOME_ENCRYPTED, 0 }, /* the agent's word is not the client's */
	{ UNKNOWN, UNTRUSTED, SNI, ON, OUTCOME_ENCRYPTED, TRUST },
	{ UNKNOWN, EXPIRED | MISMATCH, SNI, ON, OUTCOME_ENCRYPTED, TIME | NAME },
	{ UNKNOWN, WEAK, SNI, ON, OUTCOME_ENCRYPTED, KEY },
};

/* port, what is demanded: the severity of any of the findings but a weak key's, and of that */
static const struct {
	uint16_t port;
	enum policy_require require;
	int severity, weak;
} grades[] = {
	{ 25, REQUIRE_ENCRYPTED, INFO, INFO },
	{ 587, REQUIRE_ENCRYPTED, WARN, WARN },
	{ 465, REQUIRE_ENCRYPTED, WARN, WARN },
	{ 25, REQUIRE_VERIFIED, ERROR, WARN },
	{ 587, REQUIRE_VERIFIED, ERROR, WARN },
	{ 25, REQUIRE_NONE, INFO, INFO },
	{ 587, REQUIRE_NONE, INFO, INFO },
};

static struct judgement judge_case(size_t number, size_t grade)
{
	const struct identity_record record =
		record_of(cases[number].sender, cases[number].own, (enum name_source)cases[number].from);
	const struct flow_event event = event_of(cases[number].story, grades[grade].port, grades[grade].require);
	return judged(&event, &record);
}

static void each_case_has_its_outcome_and_findings(void **state)
{
	(void)state;
	unsigned failed = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t grade = 0; grade < sizeof(grades) / sizeof(grades[0]); grade++) {
			const struct judgement judgement = judge_case(i, grade);
			if (judgement.outcome == cases[i].outcome && judgement.findings == cases[i].findings)
				continue;
			print_error("case %zu: %s, findings %#x for %#x\n", i, outcome_name(judgement.outcome),
				    judgement.findings, cases[i].findings);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

static void severity_follows_port_and_demand(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].sender == UNKNOWN)
			continue;
		for (size_t grade = 0; grade < sizeof(grades) / sizeof(grades[0]); grade++) {
			const struct judgement judgement = judge_case(i, grade);
			for (int finding = 0; finding < FINDING_COUNT; finding++) {
				bool weak = finding == FINDING_CERTIFICATE_KEY_WEAK;
				if (judgement.findings & FINDING_MASK(finding))
					assert_int_equal(judgement.severity[finding],
							 weak ? grades[grade].weak : grades[grade].severity);
			}
		}
	}
}

/* It may have anchors of its own. */
static void an_unheard_sender_may_trust_what_the_agent_does_not(void **state)
{
	(void)state;
	const struct identity_record record = record_of(UNKNOWN, UNTRUSTED | MISMATCH | EXPIRED, NAME_FROM_SNI);
	const struct flow_event event = event_of(ON, 587, REQUIRE_ENCRYPTED);
	const struct judgement judgement = judged(&event, &record);
	assert_int_equal(judgement.findings, TRUST | NAME | TIME);
	assert_int_equal(judgement.severity[FINDING_CERTIFICATE_UNTRUSTED], SEVERITY_INFO);
	assert_int_equal(judgement.severity[FINDING_CERTIFICATE_NAME_MISMATCH], SEVERITY_WARNING);
	assert_int_equal(judgement.severity[FINDING_CERTIFICATE_EXPIRED], SEVERITY_WARNING);
}

/* Then the name that the library was told is nobody's business. */
static void the_name_that_policy_demands_goes_before_the_senders(void **state)
{
	(void)state;
	const struct identity_record record = record_of(FAULT_62, MADE, NAME_FROM_POLICY);
	const struct flow_event event = event_of(ON, 587, REQUIRE_VERIFIED);
	assert_int_equal(judged(&event, &record).findings & NAME, 0);
}

static void a_blocked_session_tells_what_was_wrong(void **state)
{
	(void)state;
	const struct identity_record record = record_of(FAULT_18, NONE, NAME_FROM_NOWHERE);
	struct flow_event event = event_of(LEFT, 587, REQUIRE_VERIFIED);
	event.facts |= FACT(BLOCKED);
	event.stopped = FACT(CLIENT_DATA);
	const struct judgement judgement = judged(&event, &record);
	assert_int_equal(judgement.outcome, OUTCOME_BLOCKED);
	assert_int_equal(judgement.findings, TRUST);
	assert_int_equal(judgement.severity[FINDING_CERTIFICATE_UNTRUSTED], SEVERITY_ERROR);
}

static void a_failed_handshake_tells_what_was_wrong(void **state)
{
	(void)state;
	const struct identity_record record = record_of(FAULT_62, NONE, NAME_FROM_NOWHERE);
	struct flow_event event = event_of(LEFT, 587, REQUIRE_ENCRYPTED);
	event.facts = FACT(CLIENT_HELLO) | FACT(SERVER_HELLO) | FACT(CLIENT_ALERT);
	const struct judgement judgement = judged(&event, &record);
	assert_int_equal(judgement.outcome, OUTCOME_FAILED);
	assert_int_equal(judgement.findings, NAME | FINDING_MASK(FINDING_TLS_HANDSHAKE_FAILED));
}

static void a_verified_server_makes_no_clear_mail_good(void **state)
{
	(void)state;
	const struct identity_record good = record_of(VERIFIED, MADE, NAME_FROM_LIBRARY);
	const struct identity_record bad = record_of(FAULT_18, UNTRUSTED, NAME_FROM_LIBRARY);
	struct flow_event event = event_of(ON_OVER, 25, REQUIRE_ENCRYPTED);
	event.facts |= FACT(MAIL_CLEAR);
	assert_int_equal(judged(&event, &good).outcome, OUTCOME_CLEARTEXT);
	const struct judgement judgement = judged(&event, &bad);
	assert_int_equal(judgement.outcome, OUTCOME_CLEARTEXT);
	assert_int_equal(judgement.findings & (TRUST | SKIP), 0);
}

static void an_unknown_story_stays_unknown(void **state)
{
	(void)state;
	const struct identity_record record = record_of(VERIFIED, UNTRUSTED | WEAK, NAME_FROM_LIBRARY);
	struct flow_event event = event_of(STARTED, 25, REQUIRE_ENCRYPTED);
	event.facts = FACT(CLIENT_HELLO) | FACT(SERVER_HELLO);
	const struct judgement judgement = judged(&event, &record);
	assert_int_equal(judgement.outcome, OUTCOME_UNKNOWN);
	assert_int_equal(judgement.findings, 0);
}

static void nothing_known_changes_nothing(void **state)
{
	(void)state;
	const struct identity_record record = record_of(FAULT_18, UNTRUSTED, NAME_FROM_LIBRARY);
	const struct flow_event event = event_of(ON, 587, REQUIRE_ENCRYPTED);
	struct judgement before, after;
	judge(&event, &before);
	after = before;
	judge_identity(&event, NULL, &record, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	judge_identity(&event, &tls13, NULL, &after);
	assert_memory_equal(&before, &after, sizeof(before));
}

/* Nothing left before the agent's own check had said yes. */
static void policy_makes_up_for_a_sender_that_does_not_check(void **state)
{
	static const enum sender senders_at_fault[] = { NOT_MADE, FAULT_20, CHAIN_LENIENT };
	(void)state;
	for (size_t i = 0; i < sizeof(senders_at_fault) / sizeof(senders_at_fault[0]); i++) {
		struct identity_record record = record_of(senders_at_fault[i], MADE, NAME_FROM_SNI);
		struct flow_event event = event_of(ON, 587, REQUIRE_VERIFIED);
		event.enforced = 1;
		assert_int_equal(judged(&event, &record).outcome, OUTCOME_UNVERIFIED);
		record.told = IDENTITY_VERIFIED;
		struct judgement judgement = judged(&event, &record);
		assert_int_equal(judgement.outcome, OUTCOME_VERIFIED);
		assert_int_equal(judgement.findings, SKIP);
		assert_int_equal(judgement.severity[FINDING_VERIFICATION_SKIPPED], SEVERITY_INFO);
		event.enforced = 0; /* then nothing waited for the agent */
		judgement = judged(&event, &record);
		assert_int_equal(judgement.outcome, OUTCOME_UNVERIFIED);
		assert_int_equal(judgement.severity[FINDING_VERIFICATION_SKIPPED], SEVERITY_ERROR);
		event.enforced = 1;
		event.require = REQUIRE_ENCRYPTED; /* or it was asked for the version alone */
		assert_int_equal(judged(&event, &record).outcome, OUTCOME_UNVERIFIED);
		event.require = REQUIRE_VERIFIED;
		record.told = IDENTITY_LEFT_OPEN;
		assert_int_equal(judged(&event, &record).outcome, OUTCOME_UNVERIFIED);
		record.told = IDENTITY_VERIFIED;
		event.facts |= FACT(MAIL_CLEAR);
		assert_int_equal(judged(&event, &record).outcome, OUTCOME_CLEARTEXT);
	}
}

static void a_resumed_session_comes_to_what_the_first_one_came_to(void **state)
{
	static const struct {
		enum sender sender;
		enum outcome before;
		enum story story;
		enum outcome outcome;
	} resumed[] = {
		{ RESUMED_CHAIN_ONLY, OUTCOME_VERIFIED, ON, OUTCOME_VERIFIED },
		{ RESUMED_CHAIN_ONLY, OUTCOME_UNVERIFIED, ON, OUTCOME_UNVERIFIED },
		{ RESUMED_CHAIN_ONLY, OUTCOME_ENCRYPTED, ON, OUTCOME_ENCRYPTED },
		{ RESUMED_VERIFIED, OUTCOME_UNVERIFIED, ON, OUTCOME_UNVERIFIED }, /* for a name that policy did not want */
		{ RESUMED_FAULT, OUTCOME_FAILED, ON, OUTCOME_UNVERIFIED },
		{ RESUMED_FAULT, OUTCOME_FAILED, LEFT, OUTCOME_FAILED },
		{ RESUMED_FAULT, OUTCOME_UNVERIFIED, LEFT, OUTCOME_FAILED },
		{ RESUMED_VERIFIED, OUTCOME_VERIFIED, LEFT, OUTCOME_VERIFIED },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(resumed) / sizeof(resumed[0]); i++) {
		struct identity_record record = record_of(resumed[i].sender, NONE, NAME_FROM_NOWHERE);
		const struct flow_event event = event_of(resumed[i].story, 587, REQUIRE_ENCRYPTED);
		record.resumed_id = 7;
		record.resumed_outcome = resumed[i].before;
		enum outcome outcome = judged(&event, &record).outcome;
		if (outcome != resumed[i].outcome)
			print_error("case %zu: %s\n", i, outcome_name(outcome));
		assert_int_equal(outcome, resumed[i].outcome);
	}
}

/* The library has made a check all the same, and it is that one that counts. */
static void a_check_goes_before_the_resumed_session(void **state)
{
	(void)state;
	struct identity_record record = record_of(FAULT_18, NONE, NAME_FROM_NOWHERE);
	const struct flow_event event = event_of(ON, 587, REQUIRE_ENCRYPTED);
	record.resumed_id = 7;
	record.resumed_check = SENDER_VERIFIED;
	record.resumed_outcome = OUTCOME_VERIFIED;
	assert_int_equal(judged(&event, &record).outcome, OUTCOME_UNVERIFIED);
}

/* ---- the verdict ------------------------------------------------------------------------------------------ */

static const char *const verdict_names[] = {
	[IDENTITY_UNDECIDED] = "undecided", [IDENTITY_VERIFIED] = "verified", [IDENTITY_REFUSED] = "refused",
	[IDENTITY_LEFT_OPEN] = "left open",
};

enum { PASSES = IDENTITY_VERIFIED, REFUSED = IDENTITY_REFUSED, OPEN = IDENTITY_LEFT_OPEN };

/* Application data waits, and `require: verified` holds it. name: that of the rule. */
static const struct {
	enum sender sender;
	unsigned own;
	int from;
	const char *name;
	int verdict;
} verdicts[] = {
	{ VERIFIED, NONE, NOWHERE, NULL, PASSES },
	{ VERIFIED, UNTRUSTED | MISMATCH | EXPIRED, LIBRARY, NULL, PASSES }, /* the sender's own anchors */
	{ VERIFIED, UNTRUSTED, POLICY, "mx.example", PASSES },
	{ VERIFIED, NONE, NOWHERE, "mx.example", PASSES },
	{ VERIFIED, NONE, NOWHERE, "MX.Example", PASSES },
	{ VERIFIED, NONE, NOWHERE, "other.example", OPEN },
	{ VERIFIED, MADE, POLICY, "other.example", PASSES }, /* the certificate is for both */
	{ VERIFIED, UNTRUSTED, POLICY, "other.example", PASSES },
	{ VERIFIED, MISMATCH, POLICY, "other.example", REFUSED },
	{ VERIFIED, NONE, NOWHERE, "mx.exampl", OPEN },
	{ VERIFIED, NONE, NOWHERE, "mx.example.org", OPEN },
	{ GNUTLS_VERIFIED, NONE, NOWHERE, "mx.example", PASSES },
	{ VERIFIED_SEVERAL, NONE, NOWHERE, NULL, PASSES },
	{ VERIFIED_SEVERAL, NONE, NOWHERE, "mx.example", OPEN }, /* it may have been another that matched */
	{ VERIFIED_SEVERAL, MISMATCH, POLICY, "mx.example", REFUSED },
	{ VERIFIED_LONG, NONE, NOWHERE, NULL, PASSES },
	{ VERIFIED_LONG, NONE, NOWHERE, "mx.example", OPEN },
	{ PINNED, UNTRUSTED, SNI, NULL, PASSES },
	{ PINNED, NONE, NOWHERE, "mx.example", OPEN },
	{ PINNED, UNTRUSTED, POLICY, "mx.example", PASSES },
	{ PINNED, MISMATCH, POLICY, "mx.example", REFUSED },

	{ CHAIN_STRICT, NONE, NOWHERE, NULL, OPEN },
	{ CHAIN_STRICT, MADE, NOWHERE, NULL, OPEN },
	{ CHAIN_STRICT, MADE, SNI, NULL, PASSES },
	{ CHAIN_STRICT, UNTRUSTED | EXPIRED, SNI, NULL, PASSES },
	{ CHAIN_STRICT, MISMATCH, SNI, NULL, REFUSED },
	{ CHAIN_LENIENT, MADE, SNI, NULL, PASSES }, /* whatever it would have done: chain and name are good */
	{ CHAIN_LENIENT, MISMATCH, SNI, NULL, REFUSED },
	{ CHAIN_ANY, MADE, POLICY, "mx.example", PASSES },
	{ CHAIN_ANY, MISMATCH, POLICY, "mx.example", REFUSED },
	{ CHAIN_ANY, NONE, NOWHERE, "mx.example", OPEN },

	{ FAULT_18, NONE, NOWHERE, NULL, REFUSED },
	{ FAULT_18, UNTRUSTED, LIBRARY, NULL, REFUSED },
	{ FAULT_20, NONE, NOWHERE, NULL, REFUSED },
	{ FAULT_20, MADE, LIBRARY, NULL, PASSES }, /* a sender without anchors finds fault with every server */
	{ FAULT_20, MADE, NOWHERE, NULL, REFUSED },
	{ FAULT_20, MISMATCH, LIBRARY, NULL, REFUSED },
	{ FAULT_20, EXPIRED, LIBRARY, NULL, REFUSED },
	{ FAULT_20, MADE, POLICY, "mx.example", PASSES },
	{ FAULT_20, MISMATCH, POLICY, "mx.example", REFUSED },
	{ FAULT_10, NONE, NOWHERE, NULL, REFUSED },
	{ FAULT_10, MADE, LIBRARY, NULL, REFUSED },
	{ FAULT_10, MADE, POLICY, "mx.example", REFUSED }, /* policy overrules the name, and nothing else */
	{ FAULT_23, MADE, POLICY, "mx.example", REFUSED },
	{ GNUTLS_REVOKED, MADE, LIBRARY, NULL, REFUSED }, /* and untrusted: the agent knows better only of that */
	{ GNUTLS_REVOKED, MADE, POLICY, "mx.example", REFUSED },
	{ FAULT_62, NONE, NOWHERE, NULL, REFUSED },
	{ FAULT_62, MADE, SNI, NULL, REFUSED },
	{ FAULT_62, NONE, NOWHERE, "mx.example", REFUSED },
	{ FAULT_62, MADE, POLICY, "other.example", PASSES }, /* policy's name goes before the sender's */
	{ FAULT_62, UNTRUSTED, POLICY, "other.example", REFUSED },
	{ FAULT_62, MISMATCH, POLICY, "other.example", REFUSED },
	{ GNUTLS_UNTRUSTED, NONE, NOWHERE, NULL, REFUSED },
	{ GNUTLS_UNTRUSTED, MADE, LIBRARY, NULL, PASSES },
	{ GNUTLS_NAME, MADE, SNI, NULL, REFUSED },
	{ GNUTLS_EXPIRED, MADE, LIBRARY, NULL, REFUSED },
	{ GNUTLS_NAME_CALL, MADE, SNI, NULL, REFUSED },
	{ GNUTLS_NO_RESULT, MADE, LIBRARY, NULL, REFUSED },
	{ GNUTLS_NO_RESULT, NONE, NOWHERE, NULL, REFUSED },

	{ NOT_MADE, MADE, SNI, NULL, PASSES }, /* policy demands that the server be verified: by whom, is all one */
	{ NOT_MADE, NONE, NOWHERE, NULL, OPEN },
	{ NOT_MADE, MADE, NOWHERE, NULL, OPEN },
	{ NOT_MADE, UNTRUSTED, SNI, NULL, REFUSED },
	{ NOT_MADE, MISMATCH, SNI, NULL, REFUSED },
	{ NOT_MADE, EXPIRED, SNI, NULL, REFUSED },
	{ NOT_MADE, MADE, POLICY, "mx.example", PASSES },
	{ NOT_MADE, PARTIAL, SNI, NULL, OPEN },
	{ NOT_MADE, PARTIAL, POLICY, "mx.example", OPEN },
	{ NOT_MADE, PARTIAL | MISMATCH, SNI, NULL, REFUSED },
	{ GNUTLS_UNTRUSTED, PARTIAL, LIBRARY, NULL, REFUSED },

	{ UNKNOWN, NONE, NOWHERE, NULL, OPEN },
	{ UNKNOWN, MADE, SNI, NULL, PASSES },
	{ UNKNOWN, WEAK, SNI, NULL, PASSES },
	{ UNKNOWN, MADE, NOWHERE, NULL, OPEN },
	{ UNKNOWN, UNTRUSTED, SNI, NULL, REFUSED },
	{ UNKNOWN, MISMATCH, SNI, NULL, REFUSED },
	{ UNKNOWN, EXPIRED, SNI, NULL, REFUSED },
	{ UNKNOWN, MADE, POLICY, "mx.example", PASSES },

	{ RESUMED_VERIFIED, NONE, NOWHERE, NULL, PASSES },
	{ RESUMED_VERIFIED, NONE, NOWHERE, "mx.example", OPEN }, /* for which name, is not known */
	{ RESUMED_CHAIN_ONLY, NONE, NOWHERE, NULL, OPEN },
	{ RESUMED_FAULT, NONE, NOWHERE, NULL, REFUSED },
};

static struct flow_event waiting(enum policy_require require, uint16_t min_tls)
{
	struct flow_event event = event_of(STARTED, 587, require);
	event.facts &= ~(FACT(CLIENT_DATA) | FACT(SERVER_DATA));
	event.facts |= FACT(HELD);
	event.reason = EVENT_HELD;
	event.enforced = 1;
	event.min_tls = min_tls;
	return event;
}

static void each_case_has_its_verdict(void **state)
{
	(void)state;
	unsigned failed = 0;
	const struct flow_event event = waiting(REQUIRE_VERIFIED, 0);
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		const struct identity_record record =
			record_of(verdicts[i].sender, verdicts[i].own, (enum name_source)verdicts[i].from);
		enum identity verdict = identity_verdict(&event, &tls13, &record, verdicts[i].name);
		enum identity without_tls = identity_verdict(&event, NULL, &record, verdicts[i].name);
		if ((int)verdict == verdicts[i].verdict && without_tls == verdict)
			continue;
		print_error("case %zu: %s\n", i, verdict_names[verdict]);
		failed++;
	}
	assert_int_equal(failed, 0);
}

static void a_verified_session_that_is_resumed_passes(void **state)
{
	(void)state;
	const struct flow_event event = waiting(REQUIRE_VERIFIED, 0);
	struct identity_record record = record_of(RESUMED_CHAIN_ONLY, NONE, NAME_FROM_NOWHERE);
	record.resumed_id = 7;
	record.resumed_outcome = OUTCOME_VERIFIED;
	assert_int_equal(identity_verdict(&event, &tls13, &record, NULL), IDENTITY_VERIFIED);
	assert_int_equal(identity_verdict(&event, &tls13, &record, "mx.example"), IDENTITY_LEFT_OPEN);
	record.resumed_outcome = OUTCOME_ENCRYPTED;
	assert_int_equal(identity_verdict(&event, &tls13, &record, NULL), IDENTITY_LEFT_OPEN);
	record = record_of(FAULT_18, NONE, NAME_FROM_NOWHERE);
	record.resumed_id = 7;
	record.resumed_outcome = OUTCOME_VERIFIED;
	assert_int_equal(identity_verdict(&event, &tls13, &record, NULL), IDENTITY_REFUSED);
}

static void where_nothing_is_known_it_is_left_open(void **state)
{
	(void)state;
	const struct flow_event event = waiting(REQUIRE_VERIFIED, 0);
	assert_int_equal(identity_verdict(&event, &tls13, NULL, NULL), IDENTITY_LEFT_OPEN);
	assert_int_equal(identity_verdict(&event, NULL, NULL, "mx.example"), IDENTITY_LEFT_OPEN);
}

static void where_nothing_is_demanded_it_passes(void **state)
{
	(void)state;
	const struct identity_record record = record_of(FAULT_18, UNTRUSTED, NAME_FROM_LIBRARY);
	struct flow_event event = waiting(REQUIRE_ENCRYPTED, 0);
	assert_int_equal(identity_verdict(&event, &tls13, &record, NULL), IDENTITY_VERIFIED);
	assert_int_equal(identity_verdict(&event, NULL, NULL, NULL), IDENTITY_VERIFIED);
	event.require = REQUIRE_NONE;
	assert_int_equal(identity_verdict(&event, &tls13, &record, NULL), IDENTITY_VERIFIED);
}

static void an_older_version_is_refused(void **state)
{
	(void)state;
	const struct identity_record good = record_of(VERIFIED, MADE, NAME_FROM_LIBRARY);
	const struct identity_record bad = record_of(FAULT_18, UNTRUSTED, NAME_FROM_LIBRARY);
	const struct tls_summary tls12 = { .version = TLS_VERSION_12 }, unread = { .version = 0 };
	struct flow_event event = waiting(REQUIRE_ENCRYPTED, TLS_VERSION_13);
	assert_int_equal(identity_verdict(&event, &tls13, NULL, NULL), IDENTITY_VERIFIED);
	assert_int_equal(identity_verdict(&event, &tls13, &bad, NULL), IDENTITY_VERIFIED);
	assert_int_equal(identity_verdict(&event, &tls12, &good, NULL), IDENTITY_REFUSED);
	assert_int_equal(identity_verdict(&event, &unread, &good, NULL), IDENTITY_LEFT_OPEN);
	assert_int_equal(identity_verdict(&event, NULL, &good, NULL), IDENTITY_LEFT_OPEN);
	event.min_tls = TLS_VERSION_12;
	assert_int_equal(identity_verdict(&event, &tls12, NULL, NULL), IDENTITY_VERIFIED);
	event.require = REQUIRE_VERIFIED; /* both are demanded */
	assert_int_equal(identity_verdict(&event, &tls12, &good, NULL), IDENTITY_VERIFIED);
	assert_int_equal(identity_verdict(&event, &tls12, &bad, NULL), IDENTITY_REFUSED);
	assert_int_equal(identity_verdict(&event, &tls12, NULL, NULL), IDENTITY_LEFT_OPEN);
	assert_int_equal(identity_verdict(&event, &unread, &good, NULL), IDENTITY_LEFT_OPEN);
	assert_int_equal(identity_verdict(&event, &unread, &bad, NULL), IDENTITY_REFUSED); /* whatever the version is */
	event.min_tls = TLS_VERSION_13;
	assert_int_equal(identity_verdict(&event, &tls12, &good, NULL), IDENTITY_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_case_has_its_outcome_and_findings),
		cmocka_unit_test(severity_follows_port_and_demand),
		cmocka_unit_test(an_unheard_sender_may_trust_what_the_agent_does_not),
		cmocka_unit_test(the_name_that_policy_demands_goes_before_the_senders),
		cmocka_unit_test(a_blocked_session_tells_what_was_wrong),
		cmocka_unit_test(a_failed_handshake_tells_what_was_wrong),
		cmocka_unit_test(a_verified_server_makes_no_clear_mail_good),
		cmocka_unit_test(an_unknown_story_stays_unknown),
		cmocka_unit_test(nothing_known_changes_nothing),
		cmocka_unit_test(policy_makes_up_for_a_sender_that_does_not_check),
		cmocka_unit_test(a_resumed_session_comes_to_what_the_first_one_came_to),
		cmocka_unit_test(a_check_goes_before_the_resumed_session),
		cmocka_unit_test(each_case_has_its_verdict),
		cmocka_unit_test(a_verified_session_that_is_resumed_passes),
		cmocka_unit_test(where_nothing_is_known_it_is_left_open),
		cmocka_unit_test(where_nothing_is_demanded_it_passes),
		cmocka_unit_test(an_older_version_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
