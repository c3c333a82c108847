/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Versions, suites and the downgrade sentinel: real handshakes where OpenSSL still makes them, else hellos made by hand. */
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "must.h"
#include "scenario.h"
#include "tape.h"
#include "unit/tls_builder.h"

#include "vectors/shorthand.h"
#include "vectors/sources.h"

#define TLS_CODES .codes = { 220, 250, 220 }
#define HELLOS (FACT(CLIENT_HELLO) | FACT(SERVER_HELLO))
#define OLD_TLS "RFC 8996; RFC 9325 section 3.1.1"

static struct vector *vector_make(const char *name, const char *what, const char *source, uint32_t findings)
{
	struct vector *vector = keep(calloc(1, sizeof(*vector)));
	*vector = (struct vector){ .name = name, .what = what, .source = source, .facts = ACCEPTED | TLS_UP, TLS_CODES,
				   .group = findings ? CATALOGUE_STRENGTH : CATALOGUE_TRAP, .outcome = OUTCOME_ENCRYPTED, .findings = findings };
	return vector;
}

static struct scenario scenario_of(const struct vector *vector, uint16_t version, uint16_t suite)
{
	return (struct scenario){ .name = vector->name, .what = vector->what, .source = vector->source, .group = vector->group,
				  .flows = { { .vector = vector } }, .outcome = vector->outcome, .findings = vector->findings,
				  .tls_version = version, .suite = suite };
}

/* ---- made by hand ----------------------------------------------------------------------------------------- */

static const struct suite_row {
	const char *name, *what, *source;
	uint16_t version, suite;
	uint32_t findings;
} suite_rows[] = {
	{ "ssl-3.0", "the server answers with SSL 3.0", "RFC 7568; CVE-2014-3566 (POODLE)", 0x0300, 0xc014, FOUND(TLS_VERSION_WEAK) },
	{ "tls-1.0-by-hand", "a ServerHello of TLS 1.0", OLD_TLS "; CVE-2011-3389 (BEAST)", 0x0301, 0xc014, FOUND(TLS_VERSION_WEAK) },
	{ "tls-1.1-by-hand", "a ServerHello of TLS 1.1", OLD_TLS, 0x0302, 0xc014, FOUND(TLS_VERSION_WEAK) },
	{ "null-sha", "TLS_RSA_WITH_NULL_SHA: no encryption", "RFC 9325 section 4.1", 0x0303, 0x0002, FOUND(TLS_CIPHER_WEAK) },
	{ "null-md5", "TLS_RSA_WITH_NULL_MD5: no encryption", "RFC 9325 section 4.1", 0x0303, 0x0001, FOUND(TLS_CIPHER_WEAK) },
	{ "null-null", "TLS_NULL_WITH_NULL_NULL: nothing at all", "RFC 5246 appendix A.5", 0x0303, 0x0000, FOUND(TLS_CIPHER_WEAK) },
	{ "ecdhe-null", "TLS_ECDHE_RSA_WITH_NULL_SHA: no encryption", "RFC 9325 section 4.1", 0x0303, 0xc010, FOUND(TLS_CIPHER_WEAK) },
	{ "rc4-md5", "TLS_RSA_WITH_RC4_128_MD5", "RFC 7465; CVE-2013-2566, CVE-2015-2808", 0x0303, 0x0004, FOUND(TLS_CIPHER_WEAK) },
	{ "rc4-sha", "TLS_RSA_WITH_RC4_128_SHA", "RFC 7465; CVE-2013-2566, CVE-2015-2808", 0x0303, 0x0005, FOUND(TLS_CIPHER_WEAK) },
	{ "ecdhe-rc4", "TLS_ECDHE_RSA_WITH_RC4_128_SHA", "RFC 7465", 0x0303, 0xc011, FOUND(TLS_CIPHER_WEAK) },
	{ "export-rc4-40", "TLS_RSA_EXPORT_WITH_RC4_40_MD5", "CVE-2015-0204 (FREAK); RFC 9325 section 4.1", 0x0303, 0x0003, FOUND(TLS_CIPHER_WEAK) },
	{ "export-des40", "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA", "CVE-2015-0204 (FREAK)", 0x0303, 0x0008, FOUND(TLS_CIPHER_WEAK) },
	{ "export-dhe", "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", "CVE-2015-4000 (Logjam)", 0x0303, 0x0014, FOUND(TLS_CIPHER_WEAK) },
	{ "anonymous-dh", "TLS_DH_anon_WITH_AES_128_CBC_SHA: nobody's certificate", "RFC 9325 section 4.1", 0x0303, 0x0034, FOUND(TLS_CIPHER_WEAK) },
	{ "anonymous-ecdh", "TLS_ECDH_anon_WITH_AES_128_CBC_SHA: nobody's certificate", "RFC 9325 section 4.1", 0x0303, 0xc018, FOUND(TLS_CIPHER_WEAK) },
	{ "anonymous-rc4", "TLS_DH_anon_WITH_RC4_128_MD5", "RFC 7465", 0x0303, 0x0018, FOUND(TLS_CIPHER_WEAK) },
	{ "des", "TLS_RSA_WITH_DES_CBC_SHA", "RFC 5469", 0x0303, 0x0009, FOUND(TLS_CIPHER_WEAK) },
	{ "triple-des", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "CVE-2016-2183 (Sweet32)", 0x0303, 0x000a, FOUND(TLS_CIPHER_WEAK) },
	{ "static-rsa", "TLS_RSA_WITH_AES_128_CBC_SHA: no forward secrecy (info)", "RFC 9325 section 4.1", 0x0303, 0x002f, FOUND(TLS_CIPHER_WEAK) },
	{ "tls-1.0-and-rc4", "TLS 1.0 with RC4", OLD_TLS "; RFC 7465", 0x0301, 0x0005, FOUND(TLS_VERSION_WEAK) | FOUND(TLS_CIPHER_WEAK) },
	{ "ecdhe-gcm", "TLS 1.2 with TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "RFC 9325 section 4.2", 0x0303, 0xc02f, 0 },
	{ "ecdhe-chacha20", "TLS 1.2 with TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "RFC 7905", 0x0303, 0xcca8, 0 },
	{ "dhe-gcm", "TLS 1.2 with TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "RFC 9325 section 4.2", 0x0303, 0x009f, 0 },
	{ "dhe-rsa-cbc", "TLS 1.2 with TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "RFC 5246", 0x0303, 0x0033, 0 },
};

#define SUITE_ROWS (sizeof(suite_rows) / sizeof(suite_rows[0]))

static struct scenario by_hand(const struct suite_row *row)
{
	static const char server_name[] = "\x00\x0d\x00\x00\x0a" "mx.example";
	struct vector *vector = vector_make(row->name, row->what, row->source, row->findings);
	struct builder client, server;
	unsigned n = steps_to_starttls(vector);
	builder_init(&client);
	builder_init(&server);
	put_client_hello(&client, 0, server_name, sizeof(server_name) - 1);
	put_server_hello(&server, row->version, row->suite);
	put_bytes(&server, HELLO_DONE_12, sizeof(HELLO_DONE_12) - 1);
	const struct vector_step rest[] = { C(KEY_12 CCS FINISHED_12), S(CCS FINISHED_12), C(APPLICATION), S(APPLICATION) };
	vector->steps[n++] = step_of(VECTOR_CLIENT, client.bytes, client.n);
	vector->steps[n++] = step_of(VECTOR_SERVER, server.bytes, server.n);
	memcpy(&vector->steps[n], rest, sizeof(rest));
	free(client.bytes);
	free(server.bytes);
	return scenario_of(vector, row->version, row->suite);
}

/* ---- real ------------------------------------------------------------------------------------------------- */

static const struct real_row {
	const char *name, *what, *source;
	int client_max, server_max; /* 0: TLS 1.2 */
	const char *ciphers;
	bool resumed, with_certificate;
	uint32_t findings;
	uint16_t version;
} real_rows[] = {
	{ "tls-1.0", "a whole handshake of TLS 1.0", OLD_TLS, TLS1_VERSION, 0, NULL, false, true, FOUND(TLS_VERSION_WEAK), 0x0301 },
	{ "tls-1.1", "a whole handshake of TLS 1.1", OLD_TLS, TLS1_1_VERSION, 0, NULL, false, true, FOUND(TLS_VERSION_WEAK), 0x0302 },
	{ "tls-1.1-by-the-server", "a server that speaks TLS 1.1 at most", OLD_TLS, 0, TLS1_1_VERSION, NULL, false, true,
	  FOUND(TLS_VERSION_WEAK), 0x0302 },
	{ "anonymous-real", "a whole handshake with ADH-AES128-SHA", "RFC 9325 section 4.1", 0, 0, "ADH-AES128-SHA", false, false,
	  FOUND(TLS_CIPHER_WEAK), 0x0303 },
	{ "anonymous-ecdh-real", "a whole handshake with AECDH-AES128-SHA", "RFC 9325 section 4.1", 0, 0, "AECDH-AES128-SHA", false, false,
	  FOUND(TLS_CIPHER_WEAK), 0x0303 },
	{ "null-real", "a whole handshake with ECDHE-ECDSA-NULL-SHA", "RFC 9325 section 4.1", 0, 0, "ECDHE-ECDSA-NULL-SHA", false, true,
	  FOUND(TLS_CIPHER_WEAK), 0x0303 },
	{ "tls-1.2-real", "a whole handshake of TLS 1.2", "RFC 5246", 0, 0, NULL, false, true, 0, 0x0303 },
	{ "tls-1.2-resumed-real", "a resumed session of TLS 1.2: no certificate", "RFC 5246 section 7.3", 0, 0, NULL, true, true, 0, 0x0303 },
	{ "tls-1.3-real", "a whole handshake of TLS 1.3", "RFC 8446", TLS1_3_VERSION, TLS1_3_VERSION, NULL, false, true, 0, 0x0304 },
	{ "tls-1.3-resumed-real", "a resumed session of TLS 1.3", "RFC 8446 section 2.2", TLS1_3_VERSION, TLS1_3_VERSION, NULL, true, true, 0, 0x0304 },
};

#define REAL_ROWS (sizeof(real_rows) / sizeof(real_rows[0]))

static struct ends ends_of(const struct real_row *row)
{
	struct ends ends = ends_make(row->with_certificate ? leaf_make(&(struct leaf_options){ 0 }) : NULL);
	if (row->client_max)
		MUST(SSL_CTX_set_max_proto_version(ends.client, row->client_max));
	if (row->server_max)
		MUST(SSL_CTX_set_max_proto_version(ends.server, row->server_max));
	if (row->ciphers)
		MUST(SSL_CTX_set_cipher_list(ends.client, row->ciphers));
	ends.resumed = row->resumed;
	return ends;
}

static struct scenario real(const struct real_row *row)
{
	struct vector *vector = vector_make(row->name, row->what, row->source, row->findings);
	struct ends ends = ends_of(row);
	ends_play(&ends, vector);
	vector->facts |= FACT(CLIENT_PROCEEDED);
	return scenario_of(vector, row->version, 0);
}

/* ---- the downgrade sentinel (RFC 8446 section 4.1.3) -------------------------------------------------------- */

#define SENTINEL "RFC 8446 section 4.1.3"

/* A client that offers TLS 1.3, and the flight of a server that could do it and was asked for less: a real one's. */
static struct vector *downgraded(const char *name, const char *what)
{
	const struct real_row offered = { .client_max = TLS1_3_VERSION, .server_max = TLS1_3_VERSION, .with_certificate = true };
	const struct real_row arrived = { .server_max = TLS1_3_VERSION, .with_certificate = true };
	struct vector honest = { .name = NULL };
	struct vector *vector = vector_make(name, what, SENTINEL, FOUND(TLS_DOWNGRADE_SENTINEL));
	struct ends ends = ends_of(&offered);
	ends_play(&ends, &honest);
	ends = ends_of(&arrived);
	ends_play(&ends, vector);
	vector->steps[5] = honest.steps[5]; /* the ClientHello */
	vector->facts |= FACT(CLIENT_PROCEEDED);
	return vector;
}

static size_t sentinels(struct scenario *list)
{
	static const struct vector_step refusal = C(ALERT_PLAIN "\x2f"), none = { .side = VECTOR_END };
	struct vector *blind = downgraded("sentinel-ignored", "a ClientHello cut down to TLS 1.2 on its way; the client does not look at the sentinel");
	struct vector *strict = downgraded("sentinel-refused", "a ClientHello cut down to TLS 1.2 on its way; the client sees the sentinel and refuses");
	strict->steps[7] = refusal;
	strict->steps[8] = none;
	strict->facts = ACCEPTED | HELLOS | FACT(CLIENT_ALERT);
	strict->client_alert = 47;
	strict->outcome = OUTCOME_FAILED;
	strict->findings = FOUND(TLS_DOWNGRADE_SENTINEL) | FOUND(TLS_HANDSHAKE_FAILED);
	list[0] = scenario_of(blind, 0x0303, 0);
	list[1] = scenario_of(strict, 0x0303, 0);
	/* a client that offers TLS 1.2 itself sees the sentinel, too, and nobody has cut it down */
	const struct real_row old_client = { .server_max = TLS1_3_VERSION, .with_certificate = true };
	struct vector *honest = vector_make("sentinel-to-an-old-client", "the sentinel in the answer to a client that offers no more than TLS 1.2", SENTINEL, 0);
	struct ends ends = ends_of(&old_client);
	ends_play(&ends, honest);
	honest->facts |= FACT(CLIENT_PROCEEDED);
	list[2] = scenario_of(honest, 0x0303, 0);
	return 3;
}

size_t tls_scenarios(struct scenario *list)
{
	size_t count = 0;
	for (size_t i = 0; i < SUITE_ROWS; i++)
		list[count++] = by_hand(&suite_rows[i]);
	for (size_t i = 0; i < REAL_ROWS; i++)
		list[count++] = real(&real_rows[i]);
	return count + sentinels(list + count);
}
