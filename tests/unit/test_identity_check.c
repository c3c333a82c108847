/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's own check: of which chain, for which name, and how long it is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "identity_check.h"

#define NOW 1800000000LL
#define DAY 86400LL

/* As in identity_check.c */
#define CHECKS_MAX 1024
#define CHECK_LIFE_S 60

static EVP_PKEY *ca_key, *leaf_key;
static X509 *ca;
static char ca_path[] = "/tmp/smtpward-test-identity-XXXXXX";
static struct identity_checker *checker;
static struct identity_record record;
static struct tls_certificate good, other, foreign; /* for mx.example; for other.example; for mx.example, self-signed */
static struct tls_certificate brief;                /* for mx.example, for a day */
static struct tls_certificate leaf, between;        /* for mx.example, by an authority between; that */

/* ---- certificates ----------------------------------------------------------------------------------------- */

static void add_extension(X509 *x509, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(x509, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* san NULL: an authority. issuer NULL: itself. */
static X509 *make(const char *cn, const char *san, X509 *issuer, EVP_PKEY *key, EVP_PKEY *signer, int64_t days)
{
	static long serial = 1;
	X509 *x509 = X509_new();
	assert_non_null(x509);
	X509_set_version(x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), serial++);
	ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)(NOW - 1000 * DAY));
	ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)(NOW + days * DAY));
	X509_set_pubkey(x509, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
				   0);
	X509_set_issuer_name(x509, X509_get_subject_name(issuer ? issuer : x509));
	add_extension(x509, NID_basic_constraints, san ? "CA:FALSE" : "critical,CA:TRUE");
	if (san)
		add_extension(x509, NID_subject_alt_name, san);
	assert_true(X509_sign(x509, signer, EVP_sha256()) > 0);
	return x509;
}

static struct tls_certificate encoded(X509 *x509)
{
	unsigned char *der = NULL;
	int length = i2d_X509(x509, &der);
	assert_true(length > 0);
	X509_free(x509);
	return (struct tls_certificate){ der, (size_t)length };
}

static int setup_group(void **state)
{
	(void)state;
	ca_key = EVP_EC_gen("P-256");
	leaf_key = EVP_EC_gen("P-256");
	ca = make("Test CA", NULL, NULL, ca_key, ca_key, 1000);
	static const char names[] = "DNS:mx.example,DNS:second.example,IP:192.0.2.1,IP:2001:db8::1";
	good = encoded(make("good", names, ca, leaf_key, ca_key, 30));
	other = encoded(make("other", "DNS:other.example", ca, leaf_key, ca_key, 30));
	foreign = encoded(make("foreign", "DNS:mx.example", NULL, leaf_key, leaf_key, 30));
	brief = encoded(make("brief", "DNS:mx.example", ca, leaf_key, ca_key, 1));
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *authority = make("Intermediate", NULL, ca, key, ca_key, 100);
	leaf = encoded(make("leaf", "DNS:mx.example", authority, leaf_key, key, 30));
	between = encoded(authority);
	EVP_PKEY_free(key);
	FILE *file = fdopen(mkstemp(ca_path), "w");
	PEM_write_X509(file, ca);
	return fclose(file);
}

static int teardown_group(void **state)
{
	struct tls_certificate *const certificates[] = { &good, &other, &foreign, &brief, &leaf, &between };
	(void)state;
	for (size_t i = 0; i < sizeof(certificates) / sizeof(certificates[0]); i++)
		OPENSSL_free((void *)(uintptr_t)certificates[i]->der);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(leaf_key);
	return unlink(ca_path);
}

static int setup(void **state)
{
	char error[256];
	(void)state;
	memset(&record, 0, sizeof(record));
	checker = identity_checker_new(ca_path, error, sizeof(error));
	return checker ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	identity_clear(&record);
	identity_checker_free(checker);
	return 0;
}

/* ---- what is checked -------------------------------------------------------------------------------------- */

static void take_wire(const struct tls_certificate *certificate)
{
	const struct tls_certificates certificates = { .seen = true, .count = 1, .sent = 1, .list = { *certificate } };
	identity_take_wire(&record, &certificates);
}

/* Up to limit bytes of it. */
static void take_part(const struct tls_certificate *certificate, unsigned index, uint32_t limit)
{
	struct certificate_event event = { .total = (uint32_t)certificate->length, .index = (uint8_t)index };
	for (uint32_t end = limit < event.total ? limit : event.total; event.offset < end; event.offset += event.length) {
		uint32_t left = end - event.offset;
		event.length = (uint16_t)(left < CERTIFICATE_CHUNK ? left : CERTIFICATE_CHUNK);
		memcpy(event.bytes, certificate->der + event.offset, event.length);
		identity_take_certificate(&record, &event);
	}
}

static void take_heard(const struct tls_certificate *certificate, unsigned index)
{
	take_part(certificate, index, UINT32_MAX);
}

static void told(enum witness_identity named, const void *name, unsigned length)
{
	record.witness.library = WITNESS_OPENSSL;
	record.witness.checked = true;
	record.witness.named = (uint8_t)named;
	record.witness.name_length = (uint8_t)length;
	memset(record.witness.name, 0, sizeof(record.witness.name));
	memcpy(record.witness.name, name, length);
}

static void check(const char *policy_name, const char *sni)
{
	identity_check(checker, &record, policy_name, sni, NOW);
}

static void assert_check(const char *name, enum name_source from, bool matched)
{
	assert_true(record.check.made);
	assert_string_equal(record.check.name, name);
	assert_int_equal(record.check.name_from, from);
	assert_int_equal(record.check.name_matched, matched);
	assert_int_equal(record.check.name_mismatch, !matched && from != NAME_FROM_NOWHERE);
}

static void a_good_chain_is_good(void **state)
{
	(void)state;
	take_heard(&good, 0);
	check(NULL, "mx.example");
	assert_check("mx.example", NAME_FROM_SNI, true);
	assert_int_equal(record.check.from, CERTIFICATE_FROM_WITNESS);
	assert_false(record.check.untrusted);
	assert_false(record.check.expired);
	assert_false(record.check.key_weak);
	assert_null(record.check.verify_text);
	assert_string_equal(record.check.subject, "CN=good");
	assert_int_equal(record.check.not_after, NOW + 30 * DAY);
	assert_memory_equal(record.check.sha256, record.heard_digest, sizeof(record.heard_digest));
}

static void a_foreign_chain_is_untrusted(void **state)
{
	(void)state;
	take_wire(&foreign);
	check(NULL, "other.example");
	assert_check("other.example", NAME_FROM_SNI, false);
	assert_true(record.check.untrusted);
	assert_non_null(record.check.verify_text);
}

static void an_expired_chain_is_expired(void **state)
{
	(void)state;
	take_wire(&good);
	identity_check(checker, &record, NULL, "mx.example", NOW + 31 * DAY);
	assert_true(record.check.made);
	assert_true(record.check.expired);
	assert_false(record.check.untrusted);
}

static void the_certificates_behind_the_first_are_used(void **state)
{
	(void)state;
	take_heard(&leaf, 0);
	take_heard(&between, 1);
	check(NULL, "mx.example");
	assert_check("mx.example", NAME_FROM_SNI, true);
	assert_false(record.check.untrusted);
}

/* GnuTLS reads the server's own certificate in the handshake, and the whole chain for the check. */
static void trust_is_not_known_before_gnutls_has_read_the_chain(void **state)
{
	(void)state;
	record.witness.library = WITNESS_GNUTLS;
	take_heard(&leaf, 0);
	check(NULL, "mx.example");
	assert_check("mx.example", NAME_FROM_SNI, true);
	assert_true(record.check.partial);
	assert_false(record.check.untrusted);
	take_heard(&leaf, 0);
	take_heard(&between, 1);
	record.witness.checked = true;
	check(NULL, "mx.example");
	assert_true(record.check.made);
	assert_false(record.check.partial);
	assert_false(record.check.untrusted);
}

static void half_a_chain_is_untrusted_where_no_more_will_come(void **state)
{
	(void)state;
	record.witness.library = WITNESS_GNUTLS;
	take_heard(&leaf, 0);
	check(NULL, "mx.example");
	assert_true(record.check.partial);
	record.witness.checked = true; /* and that was the chain */
	check(NULL, "mx.example");
	assert_false(record.check.partial);
	assert_true(record.check.untrusted);
	identity_clear(&record);
	record.witness.library = WITNESS_OPENSSL; /* reads all of it at once */
	take_heard(&leaf, 0);
	check(NULL, "mx.example");
	assert_false(record.check.partial);
	assert_true(record.check.untrusted);
	identity_clear(&record);
	record.witness.library = WITNESS_GNUTLS;
	take_wire(&leaf); /* on the wire it is whole */
	check(NULL, "mx.example");
	assert_false(record.check.partial);
	assert_true(record.check.untrusted);
	identity_clear(&record);
	record.witness.library = WITNESS_GNUTLS;
	take_heard(&foreign, 0); /* nothing can make up for that */
	check(NULL, "mx.example");
	assert_false(record.check.partial);
	assert_true(record.check.untrusted);
	assert_true(record.check.self_signed);
}

static void the_wire_goes_before_the_witness(void **state)
{
	(void)state;
	take_heard(&good, 0);
	check(NULL, "mx.example");
	assert_int_equal(record.check.from, CERTIFICATE_FROM_WITNESS);
	take_wire(&foreign);
	check(NULL, "mx.example");
	assert_int_equal(record.check.from, CERTIFICATE_FROM_WIRE);
	assert_true(record.check.untrusted);
	assert_string_equal(record.check.subject, "CN=foreign");
}

static void a_broken_wire_leaves_it_to_the_witness(void **state)
{
	(void)state;
	take_wire(&foreign);
	record.wire.broken = true;
	take_heard(&good, 0);
	check(NULL, "mx.example");
	assert_int_equal(record.check.from, CERTIFICATE_FROM_WITNESS);
	assert_check("mx.example", NAME_FROM_SNI, true);
	assert_false(record.check.untrusted);
}

static void assert_not_checked(void)
{
	check("mx.example", "mx.example");
	assert_false(record.check.made);
	assert_int_equal(record.check.from, CERTIFICATE_FROM_NOWHERE);
	assert_int_equal(record.check.name_from, NAME_FROM_NOWHERE);
	identity_clear(&record);
}

static void what_is_not_whole_is_not_checked(void **state)
{
	(void)state;
	assert_not_checked(); /* nothing */
	take_part(&good, 0, (uint32_t)good.length - 1);
	assert_not_checked();
	take_heard(&good, 0);
	take_heard(&other, 2); /* one in between is missing */
	assert_true(record.heard.broken);
	assert_not_checked();
	take_heard(&good, 0);
	take_part(&other, 1, 100);
	assert_false(record.heard.broken);
	assert_not_checked();
	take_wire(&good);
	record.wire.broken = true;
	assert_not_checked();
}

static void bytes_that_are_no_certificate_are_no_check(void **state)
{
	const uint8_t nonsense[] = "no certificate";
	const struct tls_certificate certificate = { nonsense, sizeof(nonsense) };
	(void)state;
	take_wire(&certificate);
	check(NULL, "mx.example");
	assert_false(record.check.made);
	check(NULL, "mx.example");
	assert_false(record.check.made);
	assert_false(record.check.name_matched);
}

/* What was found outlives the certificates, and is not made worse by their absence. */
static void a_check_stays_when_the_certificates_are_dropped(void **state)
{
	(void)state;
	take_wire(&good);
	check(NULL, "mx.example");
	identity_drop_certificates(&record);
	check("other.example", "other.example");
	assert_check("mx.example", NAME_FROM_SNI, true);
}

/* ---- for which name --------------------------------------------------------------------------------------- */

static void policy_goes_before_library_before_sni(void **state)
{
	(void)state;
	take_wire(&good);
	check(NULL, NULL);
	assert_check("", NAME_FROM_NOWHERE, false);
	check("", "");
	assert_check("", NAME_FROM_NOWHERE, false);
	check(NULL, "mx.example");
	assert_check("mx.example", NAME_FROM_SNI, true);
	told(WITNESS_NAMED_HOST, "other.example", 13);
	check(NULL, "mx.example");
	assert_check("other.example", NAME_FROM_LIBRARY, false);
	check("second.example", "mx.example");
	assert_check("second.example", NAME_FROM_POLICY, true);
	check("third.example", "mx.example");
	assert_check("third.example", NAME_FROM_POLICY, false);
	check("", "mx.example");
	assert_check("other.example", NAME_FROM_LIBRARY, false);
}

/* the same name, from elsewhere: it may count for more */
static void the_source_of_the_name_is_kept_up_to_date(void **state)
{
	(void)state;
	take_wire(&good);
	check(NULL, "mx.example");
	assert_check("mx.example", NAME_FROM_SNI, true);
	told(WITNESS_NAMED_HOST, "mx.example", 10);
	check(NULL, "mx.example");
	assert_check("mx.example", NAME_FROM_LIBRARY, true);
	check("mx.example", "mx.example");
	assert_check("mx.example", NAME_FROM_POLICY, true);
}

static void what_is_no_host_name_leaves_it_to_the_sni(void **state)
{
	static const struct {
		enum witness_identity named;
		const char *name;
	} cases[] = {
		{ WITNESS_NAMED_NONE, "" },	   { WITNESS_NAMED_HOST, "" },  { WITNESS_NAMED_HOST, ".example" },
		{ WITNESS_NAMED_HOST, "." },	   { WITNESS_NAMED_LONG, "" },  { WITNESS_PINNED, "" },
		{ WITNESS_NAMED_ADDRESS, "12345" }, { WITNESS_NAMED_ADDRESS, "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		identity_clear(&record);
		take_wire(&good);
		told(cases[i].named, cases[i].name, (unsigned)strlen(cases[i].name));
		check(NULL, "mx.example");
		assert_check("mx.example", NAME_FROM_SNI, true);
		identity_clear(&record);
		take_wire(&good);
		told(cases[i].named, cases[i].name, (unsigned)strlen(cases[i].name));
		check(NULL, NULL);
		assert_check("", NAME_FROM_NOWHERE, false);
	}
}

static void an_address_is_a_name(void **state)
{
	static const uint8_t v4[] = { 192, 0, 2, 1 }, strange[] = { 192, 0, 2, 2 };
	static const uint8_t v6[] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
	(void)state;
	take_wire(&good);
	told(WITNESS_NAMED_ADDRESS, v4, sizeof(v4));
	check(NULL, "other.example");
	assert_check("192.0.2.1", NAME_FROM_LIBRARY, true);
	told(WITNESS_NAMED_ADDRESS, strange, sizeof(strange));
	check(NULL, "other.example");
	assert_check("192.0.2.2", NAME_FROM_LIBRARY, false);
	told(WITNESS_NAMED_ADDRESS, v6, sizeof(v6));
	check(NULL, NULL);
	assert_check("2001:db8::1", NAME_FROM_LIBRARY, true);
	check("192.0.2.1", NULL);
	assert_check("192.0.2.1", NAME_FROM_POLICY, true);
}

static void a_name_of_any_length_ends(void **state)
{
	char name[400];
	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	take_wire(&good);
	check(name, NULL);
	assert_int_equal(strlen(record.check.name), sizeof(record.check.name) - 1);
	assert_true(record.check.name_mismatch);
}

/* ---- what is remembered ----------------------------------------------------------------------------------- */

/* A check of brief, as a session's first. Whether it was made then shows, since brief expires in a day. */
static bool is_expired_at(int64_t now, const char *name)
{
	identity_clear(&record);
	take_wire(&brief);
	identity_check(checker, &record, NULL, name, now);
	assert_true(record.check.made);
	return record.check.expired;
}

#define END (NOW + DAY) /* of brief */

static void a_check_is_remembered_for_a_minute(void **state)
{
	(void)state;
	assert_false(is_expired_at(END - 1, "mx.example"));
	assert_false(is_expired_at(END - 2 + CHECK_LIFE_S, "mx.example")); /* it is, but was not then */
	assert_true(is_expired_at(END - 1 + CHECK_LIFE_S, "mx.example"));
	assert_true(is_expired_at(END - 1 + CHECK_LIFE_S, "mx.example"));
}

static void a_memory_is_not_prolonged_by_use(void **state)
{
	(void)state;
	assert_false(is_expired_at(END - 1, "mx.example"));
	assert_false(is_expired_at(END + CHECK_LIFE_S / 2, "mx.example"));
	assert_true(is_expired_at(END + CHECK_LIFE_S, "mx.example"));
}

static void a_clock_that_is_set_back_makes_a_new_check(void **state)
{
	(void)state;
	assert_true(is_expired_at(END + 2, "mx.example"));
	assert_false(is_expired_at(END - 1, "mx.example"));
	assert_false(is_expired_at(END + 2, "mx.example")); /* as of END - 1 */
}

static void another_name_is_another_check(void **state)
{
	(void)state;
	assert_false(is_expired_at(END - 1, "mx.example"));
	assert_true(record.check.name_matched);
	assert_true(is_expired_at(END + 2, "mx.exampl"));
	assert_true(record.check.name_mismatch);
	assert_true(is_expired_at(END + 2, NULL));
	assert_false(record.check.name_mismatch);
	assert_false(is_expired_at(END + 2, "mx.example")); /* the first one is still known */
}

static void another_chain_is_another_check(void **state)
{
	(void)state;
	assert_false(is_expired_at(END - 1, "mx.example"));
	identity_clear(&record);
	take_wire(&other);
	check(NULL, "mx.example");
	assert_check("mx.example", NAME_FROM_SNI, false);
	assert_string_equal(record.check.subject, "CN=other");
	identity_clear(&record);
	take_heard(&brief, 0); /* with one more behind it */
	take_heard(&other, 1);
	identity_check(checker, &record, NULL, "mx.example", END + 2);
	assert_true(record.check.expired);
	identity_clear(&record);
	take_heard(&other, 0); /* and the other way round */
	take_heard(&brief, 1);
	check(NULL, "mx.example");
	assert_string_equal(record.check.subject, "CN=other");
}

static void the_same_chain_from_elsewhere_is_the_same_check(void **state)
{
	(void)state;
	assert_false(is_expired_at(END - 1, "mx.example"));
	identity_clear(&record);
	take_heard(&brief, 0);
	identity_check(checker, &record, "mx.example", NULL, END + 2);
	assert_check("mx.example", NAME_FROM_POLICY, true);
	assert_int_equal(record.check.from, CERTIFICATE_FROM_WITNESS);
	assert_false(record.check.expired);
}

static void a_session_keeps_its_check(void **state)
{
	(void)state;
	assert_false(is_expired_at(END - 1, "mx.example"));
	identity_check(checker, &record, NULL, "mx.example", END + 10 * DAY);
	assert_false(record.check.expired);
}

static void the_oldest_is_forgotten_when_there_are_too_many(void **state)
{
	char name[32];
	(void)state;
	assert_false(is_expired_at(END - 1, "first.example"));
	assert_false(is_expired_at(END - 1, "second.example"));
	for (unsigned i = 2; i < CHECKS_MAX; i++) {
		snprintf(name, sizeof(name), "%u.example", i);
		assert_false(is_expired_at(END - 1, name));
	}
	assert_false(is_expired_at(END + 2, "first.example")); /* all are known */
	assert_false(is_expired_at(END + 2, name));
	assert_true(is_expired_at(END + 2, "one more.example"));
	assert_false(is_expired_at(END + 2, "second.example"));
	assert_true(is_expired_at(END + 2, "first.example"));
	assert_true(is_expired_at(END + 2, "second.example")); /* has made room for that */
	assert_false(is_expired_at(END + 2, name));
}

static void a_file_without_anchors_is_no_checker(void **state)
{
	char error[256] = "";
	(void)state;
	assert_null(identity_checker_new("/nonexistent/ca.pem", error, sizeof(error)));
	assert_non_null(strstr(error, "/nonexistent/ca.pem"));
	identity_checker_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_good_chain_is_good),
		TEST(a_foreign_chain_is_untrusted),
		TEST(an_expired_chain_is_expired),
		TEST(the_certificates_behind_the_first_are_used),
		TEST(trust_is_not_known_before_gnutls_has_read_the_chain),
		TEST(half_a_chain_is_untrusted_where_no_more_will_come),
		TEST(the_wire_goes_before_the_witness),
		TEST(a_broken_wire_leaves_it_to_the_witness),
		TEST(what_is_not_whole_is_not_checked),
		TEST(bytes_that_are_no_certificate_are_no_check),
		TEST(a_check_stays_when_the_certificates_are_dropped),
		TEST(policy_goes_before_library_before_sni),
		TEST(the_source_of_the_name_is_kept_up_to_date),
		TEST(what_is_no_host_name_leaves_it_to_the_sni),
		TEST(an_address_is_a_name),
		TEST(a_name_of_any_length_ends),
		TEST(a_check_is_remembered_for_a_minute),
		TEST(a_memory_is_not_prolonged_by_use),
		TEST(a_clock_that_is_set_back_makes_a_new_check),
		TEST(another_name_is_another_check),
		TEST(another_chain_is_another_check),
		TEST(the_same_chain_from_elsewhere_is_the_same_check),
		TEST(a_session_keeps_its_check),
		TEST(the_oldest_is_forgotten_when_there_are_too_many),
		TEST(a_file_without_anchors_is_no_checker),
	};
	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
