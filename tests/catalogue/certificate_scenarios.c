/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Servers that are not whom they should be, over TLS 1.2, where the certificate is to be seen. Each with a client that
 * goes on and one that refuses.
 */
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "must.h"
#include "scenario.h"
#include "tape.h"

#include "vectors/shorthand.h"
#include "vectors/sources.h"

#define TLS_CODES .codes = { 220, 250, 220 }
#define IDENTITY "RFC 9525; RFC 7817 section 3"
#define PATH_RULES "RFC 5280 section 6.1"

enum {
	NO_ALERT = 0,
	ALERT_BAD_CERTIFICATE = 42,
	ALERT_EXPIRED = 45,
	ALERT_UNKNOWN_CA = 48,
};

static const struct row {
	const char *name, *what, *source;
	struct leaf_options leaf;
	uint32_t findings;
	unsigned alert; /* of the client that refuses; NO_ALERT: it takes the certificate */
} rows[] = {
	{ "good", "a certificate in order", IDENTITY, { 0 }, 0, NO_ALERT },
	{ "wildcard", "a wildcard in the leftmost label", "RFC 9525 section 6.3", { .names = "DNS:*.server.example" }, 0, NO_ALERT },
	{ "name-only-in-cn", "the name in the common name only, as of old", "RFC 9525", { .names = "" }, 0, NO_ALERT },
	{ "several-names", "the name as the last of several", IDENTITY,
	  { .names = "DNS:a.example,DNS:b.example,IP:192.0.2.2,DNS:MX.SERVER.EXAMPLE" }, 0, NO_ALERT },
	{ "wrong-name", "a certificate for another name", IDENTITY, { .names = "DNS:other.example" }, FOUND(CERTIFICATE_NAME_MISMATCH),
	  ALERT_BAD_CERTIFICATE },
	{ "name-in-cn-but-another-in-san", "the name in the common name, another one in subjectAltName", IDENTITY,
	  { .names = "DNS:other.example" , .common_name = TAPE_NAME }, FOUND(CERTIFICATE_NAME_MISMATCH), ALERT_BAD_CERTIFICATE },
	{ "wildcard-one-label-too-deep", "a wildcard that would have to cover two labels", "RFC 9525 section 6.3", { .names = "DNS:*.example" },
	  FOUND(CERTIFICATE_NAME_MISMATCH), ALERT_BAD_CERTIFICATE },
	{ "wildcard-of-the-level-below", "a wildcard for the names below the server's", "RFC 9525 section 6.3", { .names = "DNS:*.mx.server.example" },
	  FOUND(CERTIFICATE_NAME_MISMATCH), ALERT_BAD_CERTIFICATE },
	{ "parent-domain", "a certificate for the domain above", IDENTITY, { .names = "DNS:server.example" }, FOUND(CERTIFICATE_NAME_MISMATCH),
	  ALERT_BAD_CERTIFICATE },
	{ "ip-address", "a certificate for an IP address only, where a name was asked for", IDENTITY,
	  { .names = "IP:192.0.2.2", .common_name = "192.0.2.2" }, FOUND(CERTIFICATE_NAME_MISMATCH), ALERT_BAD_CERTIFICATE },
	{ "nul-in-name", "a name that goes on behind a NUL", "M. Marlinspike, \"Null Prefix Attacks Against SSL/TLS Certificates\", 2009; CVE-2009-2408",
	  { .nul_in_name = true, .common_name = "other.example" }, FOUND(CERTIFICATE_NAME_MISMATCH), ALERT_BAD_CERTIFICATE },
	{ "expired", "a certificate whose time is over", PATH_RULES, { .from = -7200, .until = -3600 }, FOUND(CERTIFICATE_EXPIRED), ALERT_EXPIRED },
	{ "not-yet-valid", "a certificate whose time has not come", PATH_RULES, { .from = 3600, .until = 7200 }, FOUND(CERTIFICATE_EXPIRED),
	  ALERT_BAD_CERTIFICATE },
	{ "issuer-expired", "an issuer whose time is over", PATH_RULES, { .intermediate_expired = true }, FOUND(CERTIFICATE_EXPIRED), ALERT_EXPIRED },
	{ "self-signed", "a certificate signed by itself", PATH_RULES, { .self_signed = true }, FOUND(CERTIFICATE_UNTRUSTED), ALERT_UNKNOWN_CA },
	{ "unknown-authority", "a certificate of an authority that nobody knows", PATH_RULES, { .unknown_authority = true },
	  FOUND(CERTIFICATE_UNTRUSTED), ALERT_UNKNOWN_CA },
	{ "missing-intermediate", "a chain that lacks what is in between", PATH_RULES, { .without_intermediate = true },
	  FOUND(CERTIFICATE_UNTRUSTED), ALERT_UNKNOWN_CA },
	{ "issued-by-a-leaf", "a certificate issued with that of a server, which is no authority",
	  "CVE-2002-0862; RFC 5280 section 4.2.1.9", { .by_a_leaf = true }, FOUND(CERTIFICATE_UNTRUSTED), ALERT_UNKNOWN_CA },
	{ "self-signed-wrong-name-expired", "all at once: self-signed, for another name, expired", PATH_RULES,
	  { .self_signed = true, .names = "DNS:other.example", .from = -7200, .until = -3600 },
	  FOUND(CERTIFICATE_UNTRUSTED) | FOUND(CERTIFICATE_NAME_MISMATCH) | FOUND(CERTIFICATE_EXPIRED), ALERT_UNKNOWN_CA },
	{ "rsa-1024", "an RSA key of 1024 bits", "RFC 9325 section 4.5", { .rsa_bits = 1024 }, FOUND(CERTIFICATE_KEY_WEAK), NO_ALERT },
	{ "rsa-512", "an RSA key of 512 bits", "CVE-2015-0204 (FREAK); RFC 9325 section 4.5", { .rsa_bits = 512 }, FOUND(CERTIFICATE_KEY_WEAK), NO_ALERT },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static char *join(const char *before, const char *name, const char *after)
{
	char *text = keep(malloc(strlen(before) + strlen(name) + strlen(after) + 1));
	strcpy(text, before);
	strcat(text, name);
	return strcat(text, after);
}

/* verify: the client looks, and leaves where it finds fault. */
static void scenario_of(const struct row *row, const struct leaf *leaf, bool verify, struct scenario *scenario)
{
	struct vector *vector = keep(calloc(1, sizeof(*vector)));
	struct ends ends = ends_make(leaf);
	bool left = verify && row->alert != NO_ALERT;
	ends.verify = verify;
	*vector = (struct vector){
		.name = join("certificate-", row->name, verify ? "-verified" : "-not-verified"),
		.what = join(row->what, "", verify ? (left ? "; the client refuses it" : "; the client takes it") : "; the client does not look"),
		.source = row->source,
		.group = row->findings ? CATALOGUE_CERTIFICATE : CATALOGUE_TRAP,
		.facts = ACCEPTED | (left ? FACT(CLIENT_HELLO) | FACT(SERVER_HELLO) | FACT(CLIENT_ALERT) : TLS_UP | FACT(CLIENT_PROCEEDED)),
		TLS_CODES,
		.client_alert = left ? row->alert : 0,
		.outcome = left ? OUTCOME_FAILED : OUTCOME_ENCRYPTED,
		.findings = row->findings | (left ? FOUND(TLS_HANDSHAKE_FAILED) : 0),
	};
	ends_play(&ends, vector);
	*scenario = (struct scenario){ .name = vector->name, .what = vector->what, .source = vector->source, .group = vector->group,
				       .flows = { { .vector = vector } }, .outcome = vector->outcome, .findings = vector->findings,
				       .tls_version = 0x0303 };
}

size_t certificate_scenarios(struct scenario *list)
{
	const struct row signatures[] = {
		{ "signed-with-md5", "a certificate signed with MD5", "RFC 6151; Sotirov et al., \"MD5 considered harmful today\", 2008",
		  { .digest = EVP_md5(), .rsa_bits = 2048 }, FOUND(CERTIFICATE_KEY_WEAK), NO_ALERT },
		{ "signed-with-sha1", "a certificate signed with SHA-1", "RFC 9325 section 4.5",
		  { .digest = EVP_sha1(), .rsa_bits = 2048 }, FOUND(CERTIFICATE_KEY_WEAK), NO_ALERT },
	};
	size_t count = 0;
	for (size_t i = 0; i < ROWS + 2; i++) {
		const struct row *row = i < ROWS ? &rows[i] : &signatures[i - ROWS];
		const struct leaf *leaf = leaf_make(&row->leaf);
		scenario_of(row, leaf, false, &list[count++]);
		scenario_of(row, leaf, true, &list[count++]);
	}
	return count;
}
