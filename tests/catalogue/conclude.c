/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "facts.h"
#include "fallback.h"
#include "history.h"
#include "identity_check.h"
#include "identity_judgement.h"
#include "must.h"
#include "path.h"
#include "policy.h"
#include "session.h"

struct conclude {
	struct sessions *sessions;
	struct history *history;
};

/* One for all: it reads a file of authorities. */
static struct identity_checker *checker(void)
{
	static struct identity_checker *made;
	char error[256];
	if (!made)
		made = identity_checker_new(scenario_trust(), error, sizeof(error));
	MUST(made);
	return made;
}

struct conclude *conclude_new(void)
{
	struct conclude *conclude = calloc(1, sizeof(*conclude));
	MUST(conclude);
	conclude->sessions = sessions_new(8, 8);
	conclude->history = history_new(3600, 64);
	MUST(conclude->sessions && conclude->history);
	return conclude;
}

void conclude_free(struct conclude *conclude)
{
	sessions_free(conclude->sessions);
	history_free(conclude->history);
	free(conclude);
}

void conclude_flow_event(struct conclude *conclude, const struct flow_event *event)
{
	struct timespec now;
	struct session *session = sessions_take(conclude->sessions, event);
	MUST(session);
	clock_gettime(CLOCK_MONOTONIC, &now);
	judge(&session->last, &session->judgement);
	judge_handshake(&session->last, session->tls, &session->judgement);
	if (session->identity)
		identity_check(checker(), session->identity, NULL, session->tls ? session->tls->server_name : NULL, time(NULL));
	judge_identity(&session->last, session->tls, session->identity, &session->judgement);
	fallback_judge(conclude->history, session, now);
	if (event->reason == EVENT_CLOSED)
		fallback_end(conclude->history, conclude->sessions, session, now);
}

void conclude_handshake_event(struct conclude *conclude, const struct handshake_event *event)
{
	sessions_take_handshake(conclude->sessions, event);
}

void conclude_take(struct conclude *conclude, uint64_t flow_id, struct conclusion *conclusion)
{
	const struct session *session = sessions_find(conclude->sessions, flow_id);
	MUST(session && session->closed.tv_sec);
	conclusion_of(session, conclusion);
}

void conclusion_of(const struct session *session, struct conclusion *conclusion)
{
	const struct flow_event *last = &session->last;
	memset(conclusion, 0, sizeof(*conclusion));
	conclusion->facts = last->facts;
	conclusion->greeting = last->greeting_code;
	conclusion->ehlo = last->ehlo_code;
	conclusion->starttls = last->starttls_code;
	conclusion->auth = last->auth_code;
	conclusion->client_alert = last->client_alert;
	conclusion->server_alert = last->server_alert;
	memcpy(conclusion->mechanism, last->mechanism, sizeof(conclusion->mechanism));
	memcpy(conclusion->account, last->account, sizeof(conclusion->account));
	conclusion->outcome = session->judgement.outcome;
	conclusion->findings = session->judgement.findings;
	if (session->judgement.cause_name)
		snprintf(conclusion->cause, sizeof(conclusion->cause), "%s", session->judgement.cause_name);
	if (session->tls) {
		conclusion->tls_version = session->tls->version;
		conclusion->suite = session->tls->suite;
	}
}

/* ---- compared with what is written down ------------------------------------------------------------------- */

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
	for (unsigned bit = 0; bit < FACT_COUNT; bit++)
		if (facts & 1ULL << bit)
			printf("    %s: fact %s\n", label, names[bit]);
}

static void print_findings(const char *label, uint32_t findings)
{
	for (unsigned finding = 0; finding < FINDING_COUNT; finding++)
		if (findings & FINDING_MASK(finding))
			printf("    %s: finding %s\n", label, finding_name((enum finding)finding));
}

static bool same_number(const char *what, unsigned is, unsigned expected)
{
	if (is != expected)
		printf("    %s: %u, expected %u\n", what, is, expected);
	return is == expected;
}

static bool same_text(const char *what, const char *is, const char *expected)
{
	bool same = strcmp(is, text_or_empty(expected)) == 0;
	if (!same)
		printf("    %s: '%s', expected '%s'\n", what, is, text_or_empty(expected));
	return same;
}

static bool same_dialogue(const struct vector *vector, const struct conclusion *is)
{
	bool good = is->facts == vector->facts;
	print_facts("missing", vector->facts & ~is->facts);
	print_facts("too many", is->facts & ~vector->facts);
	good &= same_number("greeting", is->greeting, vector->codes.greeting);
	good &= same_number("EHLO", is->ehlo, vector->codes.ehlo);
	good &= same_number("STARTTLS", is->starttls, vector->codes.starttls);
	good &= same_number("AUTH", is->auth, vector->codes.auth);
	good &= same_number("alert of the client", is->client_alert, vector_alert(vector->client_alert));
	good &= same_number("alert of the server", is->server_alert, vector_alert(vector->server_alert));
	good &= same_text("mechanism", is->mechanism, vector->mechanism);
	return good & same_text("account", is->account, vector->account);
}

bool conclusion_fits(const struct scenario *scenario, const char *path, const struct conclusion *is)
{
	const struct vector *last = scenario->flows[1].vector ? scenario->flows[1].vector : scenario->flows[0].vector;
	bool good = same_dialogue(last, is);
	good &= is->findings == scenario->findings;
	print_findings("missing", scenario->findings & ~is->findings);
	print_findings("too many", is->findings & ~scenario->findings);
	good &= same_text("outcome", outcome_name(is->outcome), outcome_name(scenario->outcome));
	good &= same_text("cause", is->cause, scenario->cause);
	if (scenario->tls_version)
		good &= same_number("TLS version", is->tls_version, scenario->tls_version);
	if (scenario->suite)
		good &= same_number("cipher suite", is->suite, scenario->suite);
	if (!good)
		printf("  ^ %s, %s\n", scenario->name, path);
	return good;
}
