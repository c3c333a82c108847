/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "must.h"

#include "vectors/shorthand.h"
#include "vectors/sources.h"

#define SCENARIOS_MAX 1000
#define FELL_BACK FOUND(TLS_FALLBACK)
#define IN_CLEAR (FOUND(CLEARTEXT_MAIL) | FELL_BACK)
#define RETRY "Exim: tls_tempfail_tryclear; Postfix: TLS_README, opportunistic TLS; RFC 7435"

/*
 * TLS is prevented on a first flow, and a second one of the same sender goes in clear. Ports are those that the vectors
 * belong to: of STARTTLS (25, 587) or of implicit TLS (465).
 */
static const struct pair {
	const char *name, *what, *first, *second;
	enum { SAME_PLACE, OTHER_ADDRESS, OTHER_PORT } place; /* of the second flow */
	uint32_t findings;                                     /* of the second */
	const char *cause;
	enum outcome outcome;
	enum catalogue_group group;
} pairs[] = {
	{ "fallback-after-an-alert", "a handshake fails by an alert; mail in clear on a new flow", "server-alert-40", "offered-but-unused", SAME_PLACE,
	  IN_CLEAR | FOUND(STARTTLS_UNUSED), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-after-a-reset", "a handshake fails by a reset; mail in clear on a new flow", "client-hello-then-reset", "offered-but-unused", SAME_PLACE,
	  IN_CLEAR | FOUND(STARTTLS_UNUSED), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-after-garbage", "the ClientHello is answered with garbage; mail in clear on a new flow", "client-hello-then-garbage",
	  "missing-client-sends-mail", SAME_PLACE, IN_CLEAR | FOUND(STARTTLS_MISSING), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-after-silence", "the 220 is followed by silence; mail in clear on a new flow", "accepted-then-silence", "offered-but-unused", SAME_PLACE,
	  IN_CLEAR | FOUND(STARTTLS_UNUSED), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-after-an-unanswered-starttls", "STARTTLS is answered with a reset; mail in clear on a new flow", "starttls-unanswered-reset",
	  "offered-but-unused", SAME_PLACE, IN_CLEAR | FOUND(STARTTLS_UNUSED), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-after-a-refused-starttls", "STARTTLS is refused with 454; mail in clear on a new flow", "starttls-answered-454-leaves",
	  "offered-but-unused", SAME_PLACE, IN_CLEAR | FOUND(STARTTLS_UNUSED), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-with-a-login", "a handshake fails; a login in clear on a new flow", "server-alert-40", "auth-plain-initial", SAME_PLACE,
	  FELL_BACK | FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_UNUSED), NULL, OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-by-helo", "a handshake fails; the next flow says HELO at once", "client-hello-then-fin", "helo-only", SAME_PLACE, IN_CLEAR,
	  "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-from-465-to-25", "TLS fails on a port of implicit TLS; mail in clear on one of STARTTLS", "reset-on-465", "offered-but-unused", SAME_PLACE,
	  IN_CLEAR | FOUND(STARTTLS_UNUSED), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-from-587-to-25", "a handshake fails on port 587; mail in clear on port 25", "server-alert-40", "offered-but-unused", OTHER_PORT,
	  IN_CLEAR | FOUND(STARTTLS_UNUSED), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-from-465-to-587-login", "TLS is not answered on port 465; a login in clear on port 587", "silence-on-465",
	  "auth-plain-initial", SAME_PLACE, FELL_BACK | FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_UNUSED), NULL, OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-from-587-to-465-in-clear", "a handshake fails on a port of STARTTLS; plaintext on one of implicit TLS", "server-alert-40",
	  "plaintext-on-465-mail", SAME_PLACE, IN_CLEAR | FOUND(PLAINTEXT_ON_TLS_PORT), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "fallback-to-another-address", "a handshake fails; mail in clear to another address of the server that greets with the same name",
	  "server-alert-40", "offered-but-unused", OTHER_ADDRESS, IN_CLEAR | FOUND(STARTTLS_UNUSED), "tls-fallback", OUTCOME_CLEARTEXT, CATALOGUE_FALLBACK },
	{ "retry-by-tls", "a handshake fails, and the next one works: no fallback", "server-alert-40", "starttls-tls13", SAME_PLACE, 0, NULL,
	  OUTCOME_ENCRYPTED, CATALOGUE_TRAP },
	{ "clear-behind-a-good-session", "a session by TLS, and another one in clear: no fallback, but STARTTLS unused", "starttls-tls13",
	  "offered-but-unused", SAME_PLACE, FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_UNUSED), "starttls-unused", OUTCOME_CLEARTEXT, CATALOGUE_TRAP },
	{ "failure-of-another-server", "a handshake fails; mail in clear to another server that greets with another name", "server-alert-40",
	  "another-name-and-mail", OTHER_ADDRESS, FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_MISSING), "starttls-missing", OUTCOME_CLEARTEXT, CATALOGUE_TRAP },
};

const struct vector *vector_by_name(const char *name)
{
	for (size_t i = 0; i < vector_count; i++)
		if (strcmp(vectors[i].name, name) == 0)
			return &vectors[i];
	fprintf(stderr, "there is no vector %s\n", name);
	abort();
}

static struct scenario of_vector(const struct vector *vector)
{
	return (struct scenario){ .name = vector->name, .what = vector->what, .source = vector->source, .group = vector->group,
				  .flows = { { .vector = vector } }, .outcome = vector->outcome, .findings = vector->findings,
				  .cause = vector->cause };
}

static struct scenario of_pair(const struct pair *pair)
{
	return (struct scenario){ .name = pair->name, .what = pair->what, .source = RETRY, .group = pair->group,
				  .flows = { { .vector = vector_by_name(pair->first), .other_port = pair->place == OTHER_PORT },
					     { .vector = vector_by_name(pair->second), .other_address = pair->place == OTHER_ADDRESS } },
				  .outcome = pair->outcome, .findings = pair->findings, .cause = pair->cause };
}

/* A first handshake is made to fail, so that the client offers less in the next one. */
static struct scenario version_dance(const struct scenario *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].name, "tls-1.0") == 0)
			return (struct scenario){ .name = "version-dance", .what = "a handshake is reset, and the client tries again with TLS 1.0",
						  .source = "CVE-2014-3566 (POODLE); RFC 7507", .group = CATALOGUE_STRENGTH,
						  .flows = { { .vector = vector_by_name("client-hello-then-reset") },
							     { .vector = list[i].flows[0].vector } },
						  .outcome = OUTCOME_ENCRYPTED, .findings = FOUND(TLS_VERSION_WEAK), .tls_version = 0x0301 };
	abort();
}

const struct scenario *scenarios(size_t *count)
{
	static struct scenario list[SCENARIOS_MAX];
	static size_t made;
	if (!made) {
		for (size_t i = 0; i < vector_count; i++)
			if (vectors[i].group != CATALOGUE_NOT)
				list[made++] = of_vector(&vectors[i]);
		for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
			list[made++] = of_pair(&pairs[i]);
		MUST(made + 200 < SCENARIOS_MAX);
		made += tls_scenarios(list + made);
		list[made] = version_dance(list, made);
		made++;
		made += certificate_scenarios(list + made);
	}
	*count = made;
	return list;
}
