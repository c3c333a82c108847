/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certificate.h"

#define NOW 1800000000LL
#define DAY 86400LL

/* What a certificate of these tests is made of. */
struct recipe {
	const char *cn;	 /* NULL: an empty subject */
	const char *san; /* as in openssl.cnf; NULL: none */
	bool authority;
	const char *usage; /* extendedKeyUsage */
	int64_t not_before, not_after; /* days from NOW */
	EVP_PKEY *key;
	X509 *issuer; /* NULL: itself */
	EVP_PKEY *issuer_key;
	const EVP_MD *digest; /* NULL: SHA-256 */
};

static EVP_PKEY *ca_key, *leaf_key;
static X509 *ca, *intermediate;
static EVP_PKEY *intermediate_key;
static struct certificate_store *store;
static char ca_path[] = "/tmp/smtpward-test-certificate-XXXXXX";
static struct certificate_check check;

static void add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(x509, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static X509 *make(const struct recipe *recipe)
{
	static long serial = 1;
	X509 *x509 = X509_new(), *issuer = recipe->issuer ? recipe->issuer : x509;
	EVP_PKEY *key = recipe->key ? recipe->key : leaf_key;
	EVP_PKEY *signer = recipe->issuer_key ? recipe->issuer_key : recipe->issuer ? ca_key : key;
	bool plain = EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519;
	int64_t from = recipe->not_before ? recipe->not_before : -1, to = recipe->not_after ? recipe->not_after : 30;

	assert_non_null(x509);
	X509_set_version(x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), serial++);
	ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)(NOW + from * DAY));
	ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)(NOW + to * DAY));
	X509_set_pubkey(x509, key);
	if (recipe->cn)
		X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8, (const unsigned char *)recipe->cn,
					   -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(issuer));
	add_extension(x509, issuer, NID_basic_constraints, recipe->authority ? "critical,CA:TRUE" : "CA:FALSE");
	if (recipe->usage)
		add_extension(x509, issuer, NID_ext_key_usage, recipe->usage);
	if (recipe->san)
		add_extension(x509, issuer, NID_subject_alt_name, recipe->san);
	assert_true(X509_sign(x509, signer, plain ? NULL : recipe->digest ? recipe->digest : EVP_sha256()) > 0);
	return x509;
}

/* Checks up to three certificates as sent in this order, and frees them but for the lasting ones. */
static int run_check(const char *name, int64_t now, X509 *first, X509 *second, X509 *third)
{
	X509 *sent[] = { first, second, third };
	struct tls_certificate chain[3] = { 0 };
	unsigned char *der[3] = { 0 };
	unsigned count = 0;
	int result;

	for (unsigned i = 0; i < 3 && sent[i]; i++, count++) {
		int length = i2d_X509(sent[i], &der[i]);
		assert_true(length > 0);
		chain[i] = (struct tls_certificate){ der[i], (size_t)length };
	}
	result = certificate_check(store, chain, count, name, now, &check);
	for (unsigned i = 0; i < 3; i++) {
		OPENSSL_free(der[i]);
		if (sent[i] != ca && sent[i] != intermediate)
			X509_free(sent[i]);
	}
	return result;
}

static int check_leaf(const struct recipe *recipe, const char *name)
{
	return run_check(name, NOW, make(recipe), NULL, NULL);
}

static void assert_findings(bool untrusted, bool name_mismatch, bool expired, bool key_weak)
{
	assert_int_equal(check.untrusted, untrusted);
	assert_int_equal(check.trusted, !untrusted);
	assert_int_equal(check.name_mismatch, name_mismatch);
	assert_int_equal(check.expired, expired);
	assert_int_equal(check.key_weak, key_weak);
	assert_int_equal(certificate_is_good(&check), !untrusted && !name_mismatch && !expired && !key_weak);
}

static int setup(void **state)
{
	char error[256];
	FILE *file;

	(void)state;
	ca_key = EVP_EC_gen("P-256");
	leaf_key = EVP_EC_gen("P-256");
	intermediate_key = EVP_EC_gen("P-256");
	ca = make(&(struct recipe){ .cn = "Test CA", .authority = true, .key = ca_key, .not_before = -1000, .not_after = 1000 });
	intermediate = make(&(struct recipe){ .cn = "Test intermediate", .authority = true, .key = intermediate_key, .issuer = ca,
					      .not_before = -1000, .not_after = 1000 });
	file = fdopen(mkstemp(ca_path), "w");
	PEM_write_X509(file, ca);
	fclose(file);
	store = certificate_store_open(ca_path, error, sizeof(error));
	return store ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink(ca_path);
	certificate_store_free(store);
	X509_free(ca);
	X509_free(intermediate);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(leaf_key);
	EVP_PKEY_free(intermediate_key);
	return 0;
}

/* ---- chain ------------------------------------------------------------------------------------------------ */

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(check_leaf(&(struct recipe){ .cn = "mx.example", .issuer = ca, .san = "DNS:mx.example,IP:192.0.2.1" },
				    "mx.example"),
			 0);
	assert_findings(false, false, false, false);
	assert_true(check.readable);
	assert_int_equal(check.count, 1);
	assert_int_equal(check.verify_error, X509_V_OK);
	assert_string_equal(check.list[0].subject, "CN=mx.example");
	assert_string_equal(check.list[0].issuer, "CN=Test CA");
	assert_string_equal(check.anchor, "CN=Test CA");
	assert_string_equal(check.list[0].key_type, "EC");
	assert_int_equal(check.list[0].key_bits, 256);
	assert_string_equal(check.list[0].signature, "ecdsa-with-SHA256");
	assert_int_equal(check.list[0].not_before, NOW - DAY);
	assert_int_equal(check.list[0].not_after, NOW + 30 * DAY);
	assert_int_equal(check.name_count, 2);
	assert_string_equal(check.names[0], "mx.example");
	assert_string_equal(check.names[1], "192.0.2.1");
}

static void test_chain_with_intermediate(void **state)
{
	const struct recipe leaf = { .cn = "x", .issuer = intermediate, .issuer_key = intermediate_key, .san = "DNS:mx.example" };

	(void)state;
	run_check("mx.example", NOW, make(&leaf), intermediate, NULL);
	assert_findings(false, false, false, false);
	assert_int_equal(check.count, 2);
	run_check("mx.example", NOW, make(&leaf), ca, intermediate); /* any order, and the root with it */
	assert_findings(false, false, false, false);
	run_check("mx.example", NOW, make(&leaf), NULL, NULL);
	assert_findings(true, false, false, false);
	assert_int_equal(check.verify_error, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	assert_false(check.self_signed);
}

static void test_self_signed(void **state)
{
	(void)state;
	check_leaf(&(struct recipe){ .cn = "mx.example", .san = "DNS:mx.example" }, "mx.example");
	assert_findings(true, false, false, false);
	assert_true(check.self_signed);
	assert_int_equal(check.verify_error, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
	assert_string_equal(check.anchor, "");
}

static void test_unknown_authority(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *other = make(&(struct recipe){ .cn = "Other CA", .authority = true, .key = key });

	(void)state;
	run_check("mx.example", NOW,
		  make(&(struct recipe){ .cn = "x", .issuer = other, .issuer_key = key, .san = "DNS:mx.example" }), other, NULL);
	assert_findings(true, false, false, false);
	assert_int_equal(check.verify_error, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
	EVP_PKEY_free(key);
}

/* The name of the authority, signed with another key. */
static void test_forged_signature(void **state)
{
	(void)state;
	check_leaf(&(struct recipe){ .cn = "x", .issuer = ca, .issuer_key = leaf_key, .san = "DNS:mx.example" }, "mx.example");
	assert_findings(true, false, false, false);
	assert_int_equal(check.verify_error, X509_V_ERR_CERT_SIGNATURE_FAILURE);
}

static void test_issuer_is_no_authority(void **state)
{
	X509 *plain = make(&(struct recipe){ .cn = "no authority", .issuer = ca, .key = intermediate_key });

	(void)state;
	run_check("mx.example", NOW,
		  make(&(struct recipe){ .cn = "x", .issuer = plain, .issuer_key = intermediate_key, .san = "DNS:mx.example" }),
		  plain, NULL);
	assert_findings(true, false, false, false);
}

static void test_purpose(void **state)
{
	(void)state;
	check_leaf(&(struct recipe){ .issuer = ca, .san = "DNS:a.example", .usage = "serverAuth" }, "a.example");
	assert_findings(false, false, false, false);
	assert_string_equal(check.list[0].subject, "");
	check_leaf(&(struct recipe){ .issuer = ca, .san = "DNS:a.example", .usage = "clientAuth" }, "a.example");
	assert_findings(true, false, false, false);
	assert_int_equal(check.verify_error, X509_V_ERR_INVALID_PURPOSE);
}

/* ---- validity --------------------------------------------------------------------------------------------- */

static void test_validity(void **state)
{
	const struct recipe recipe = { .cn = "x", .issuer = ca, .san = "DNS:a.example", .not_before = -10, .not_after = 10 };
	static const struct {
		int64_t now;
		enum certificate_validity validity;
	} cases[] = {
		{ NOW - 11 * DAY, CERTIFICATE_NOT_YET_VALID }, { NOW - 9 * DAY, CERTIFICATE_VALID }, { NOW, CERTIFICATE_VALID },
		{ NOW + 9 * DAY, CERTIFICATE_VALID },	       { NOW + 11 * DAY, CERTIFICATE_EXPIRED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run_check("a.example", cases[i].now, make(&recipe), NULL, NULL);
		assert_int_equal(check.validity, cases[i].validity);
		assert_findings(false, false, cases[i].validity != CERTIFICATE_VALID, false);
	}
	assert_int_equal(check.verify_error, X509_V_ERR_CERT_HAS_EXPIRED);
}

static void test_expired_intermediate(void **state)
{
	X509 *old = make(&(struct recipe){ .cn = "Old", .authority = true, .key = intermediate_key, .issuer = ca, .not_before = -20,
					   .not_after = -10 });

	(void)state;
	run_check("a.example", NOW,
		  make(&(struct recipe){ .cn = "x", .issuer = old, .issuer_key = intermediate_key, .san = "DNS:a.example" }), old,
		  NULL);
	assert_findings(false, false, true, false);
	assert_int_equal(check.verify_depth, 1);
}

/* One fault must not hide another. */
static void test_all_at_once(void **state)
{
	EVP_PKEY *weak = EVP_RSA_gen(1024);

	(void)state;
	check_leaf(&(struct recipe){ .cn = "x", .san = "DNS:a.example", .key = weak, .not_before = -20, .not_after = -10 },
		   "b.example");
	assert_findings(true, true, true, true);
	assert_int_equal(check.verify_error, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
	EVP_PKEY_free(weak);
}

/* ---- keys ------------------------------------------------------------------------------------------------- */

static void check_key(EVP_PKEY *key, const char *type, unsigned bits, bool weak)
{
	assert_non_null(key);
	check_leaf(&(struct recipe){ .cn = "x", .issuer = ca, .key = key, .san = "DNS:a.example" }, "a.example");
	assert_findings(false, false, false, weak);
	assert_string_equal(check.list[0].key_type, type);
	assert_int_equal(check.list[0].key_bits, bits);
	EVP_PKEY_free(key);
}

static void test_keys(void **state)
{
	(void)state;
	check_key(EVP_RSA_gen(1024), "RSA", 1024, true);
	check_key(EVP_RSA_gen(2048), "RSA", 2048, false);
	check_key(EVP_EC_gen("P-192"), "EC", 192, true);
	check_key(EVP_EC_gen("P-224"), "EC", 224, false);
	check_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ED25519", 256, false);
}

static void test_signatures(void **state)
{
	const EVP_MD *weak[] = { EVP_sha1(), EVP_md5() };
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *authority;

	(void)state;
	/* ECDSA with MD5 has no name, so these are signed by RSA; by nobody known, but that is not what is asked */
	for (size_t i = 0; i < 2; i++) {
		X509 *leaf;
		authority = make(&(struct recipe){ .cn = "RSA CA", .authority = true, .key = key });
		leaf = make(&(struct recipe){ .cn = "x", .issuer = authority, .issuer_key = key, .san = "DNS:a.example",
					      .digest = weak[i] });
		run_check("a.example", NOW, leaf, authority, NULL);
		assert_findings(true, false, false, true);
		assert_true(check.list[0].weak_signature);
	}
	check_leaf(&(struct recipe){ .cn = "x", .issuer = ca, .san = "DNS:a.example", .digest = EVP_sha1() }, "a.example");
	assert_findings(false, false, false, true);
	/* what a root says of itself, nobody relies on */
	authority = make(&(struct recipe){ .cn = "RSA CA", .authority = true, .key = key, .digest = EVP_sha1() });
	run_check("a.example", NOW,
		  make(&(struct recipe){ .cn = "x", .issuer = authority, .issuer_key = key, .san = "DNS:a.example" }), authority,
		  NULL);
	assert_findings(true, false, false, false);
	assert_true(check.list[1].weak_signature);
	EVP_PKEY_free(key);
}

/* ---- names ------------------------------------------------------------------------------------------------ */

static void test_names(void **state)
{
	enum { YES = CERTIFICATE_NAME_MATCHED, CN = CERTIFICATE_NAME_CN_ONLY, NO = CERTIFICATE_NAME_MISMATCH };
	static const struct {
		const char *cn, *san, *name;
		int result;
	} cases[] = {
		{ "x", "DNS:mx.example.org", "mx.example.org", YES },
		{ "x", "DNS:MX.Example.ORG", "mx.example.org", YES },
		{ "x", "DNS:mx.example.org", "MX.EXAMPLE.ORG", YES },
		{ "x", "DNS:mx.example.org", "mx.example.org.", YES },
		{ "x", "DNS:mx.example.org", "mx.example.or", NO },
		{ "x", "DNS:mx.example.org", "a.mx.example.org", NO },
		{ "x", "DNS:a.example,DNS:mx.example.org", "mx.example.org", YES },
		{ "x", "DNS:*.example.org", "mx.example.org", YES },
		{ "x", "DNS:*.example.org", "example.org", NO },
		{ "x", "DNS:*.example.org", "a.mx.example.org", NO },
		{ "x", "DNS:m*.example.org", "mx.example.org", NO },
		{ "x", "DNS:*x.example.org", "mx.example.org", NO },
		{ "x", "DNS:mx.*.org", "mx.example.org", NO },
		{ "x", "DNS:*.org", "example.org", NO },
		{ "x", "DNS:*", "org", NO },
		{ "x", "DNS:mx.example.org", ".example.org", NO },
		{ "x", "DNS:mx.example.org", ".", NO },
		{ "x", "IP:192.0.2.1", "192.0.2.1", YES },
		{ "x", "IP:192.0.2.1", "192.0.2.2", NO },
		{ "x", "IP:2001:db8::1", "2001:db8:0::1", YES },
		{ "x", "DNS:192.0.2.1", "192.0.2.1", NO },
		{ "192.0.2.1", NULL, "192.0.2.1", NO },
		{ "mx.example.org", NULL, "mx.example.org", CN },
		{ "mx.example.org", NULL, "a.example.org", NO },
		{ "mx.example.org", "DNS:a.example.org", "mx.example.org", NO },
		{ "mx.example.org", "IP:192.0.2.1", "mx.example.org", NO },
		{ "mx.example.org", "email:a@example.org", "mx.example.org", NO },
		{ "x", "DNS:mx.example.org", NULL, CERTIFICATE_NAME_NOT_CHECKED },
		{ "x", "DNS:mx.example.org", "", CERTIFICATE_NAME_NOT_CHECKED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check_leaf(&(struct recipe){ .cn = cases[i].cn, .san = cases[i].san, .issuer = ca }, cases[i].name);
		if ((int)check.name != cases[i].result)
			fail_msg("%s for %s: %s", cases[i].san ? cases[i].san : cases[i].cn, cases[i].name,
				 certificate_name_result_name(check.name));
		assert_findings(false, cases[i].result == NO, false, false);
	}
}

static void test_over_long_name(void **state)
{
	char name[600];

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	check_leaf(&(struct recipe){ .cn = "x", .san = "DNS:mx.example", .issuer = ca }, name);
	assert_findings(false, true, false, false);
}

/* A NUL in a name once made "good.example\0.evil.example" pass for good.example. */
static void test_nul_in_name(void **state)
{
	static const unsigned char evil[] = "good.example\0.evil.example";
	X509 *x509 = make(&(struct recipe){ .cn = "x", .issuer = ca });
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	(void)state;
	ASN1_STRING_set(text, evil, sizeof(evil) - 1);
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	sk_GENERAL_NAME_push(names, name);
	assert_int_equal(X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, 0), 1);
	GENERAL_NAMES_free(names);
	assert_true(X509_sign(x509, ca_key, EVP_sha256()) > 0);
	run_check("good.example", NOW, x509, NULL, NULL);
	assert_findings(false, true, false, false);
	assert_string_equal(check.names[0], "good.example\\x00.evil.example");
}

static void test_hostile_subject(void **state)
{
	char cn[65];

	(void)state;
	check_leaf(&(struct recipe){ .cn = "\033[2J\r\nrow", .san = "DNS:a.example", .issuer = ca }, "a.example");
	for (const char *at = check.list[0].subject; *at; at++)
		assert_true(*at >= ' ' && *at < 0x7f);
	memset(cn, '\x01', sizeof(cn) - 1);
	cn[64] = '\0';
	check_leaf(&(struct recipe){ .cn = cn, .san = "DNS:a.example", .issuer = ca }, "a.example");
	assert_true(strlen(check.list[0].subject) < CERTIFICATE_TEXT_SIZE);
}

static void test_many_names(void **state)
{
	char san[4096] = "DNS:a0.example";
	size_t used = strlen(san);

	(void)state;
	for (int i = 1; i < 100; i++)
		used += (size_t)snprintf(san + used, sizeof(san) - used, ",DNS:a%d.example", i);
	check_leaf(&(struct recipe){ .cn = "x", .san = san, .issuer = ca }, "a99.example");
	assert_findings(false, false, false, false);
	assert_int_equal(check.name_count, CERTIFICATE_NAMES_MAX);
	assert_int_equal(check.name_total, 100);
	assert_string_equal(check.names[CERTIFICATE_NAMES_MAX - 1], "a31.example");
}

/* ---- input ------------------------------------------------------------------------------------------------ */

static void assert_unreadable(const uint8_t *der, size_t length)
{
	const struct tls_certificate chain = { der, length };

	assert_int_equal(certificate_check(store, &chain, 1, "a.example", NOW, &check), -EINVAL);
	assert_false(check.readable);
	assert_true(check.untrusted);
	assert_false(certificate_is_good(&check));
}

static void test_malformed(void **state)
{
	X509 *x509 = make(&(struct recipe){ .cn = "x", .issuer = ca, .san = "DNS:a.example" });
	static uint8_t large[CERTIFICATE_DER_MAX + 1];
	unsigned char *der = NULL;
	int length = i2d_X509(x509, &der);

	(void)state;
	assert_true(length > 0);
	for (int cut = 0; cut < length; cut += 7) {
		uint8_t *exact = malloc((size_t)cut + 1); /* so that the sanitizer sees a read behind the end */
		memcpy(exact, der, (size_t)cut);
		assert_unreadable(exact, (size_t)cut);
		free(exact);
	}
	memcpy(large, der, (size_t)length);
	assert_unreadable(large, (size_t)length + 1);
	assert_unreadable(large, sizeof(large));
	assert_unreadable(NULL, 0);
	assert_int_equal(certificate_check(store, NULL, 0, "a.example", NOW, &check), -EINVAL);
	assert_true(check.untrusted);
	OPENSSL_free(der);
	X509_free(x509);
}

/* Each byte of a certificate turned over: never a good result that was not signed. */
static void test_no_changed_byte_passes(void **state)
{
	X509 *x509 = make(&(struct recipe){ .cn = "x", .issuer = ca, .san = "DNS:a.example" });
	unsigned char *der = NULL;
	int length = i2d_X509(x509, &der);

	(void)state;
	for (int i = 0; i < length; i++) {
		const struct tls_certificate chain = { der, (size_t)length };
		der[i] ^= 0x21;
		certificate_check(store, &chain, 1, "a.example", NOW, &check);
		assert_false(certificate_is_good(&check));
		der[i] ^= 0x21;
	}
	OPENSSL_free(der);
	X509_free(x509);
}

static void test_too_many_certificates(void **state)
{
	struct tls_certificate chain[TLS_CERTIFICATES_MAX + 4];
	X509 *x509 = make(&(struct recipe){ .cn = "x", .issuer = ca, .san = "DNS:a.example" });
	unsigned char *der = NULL;
	int length = i2d_X509(x509, &der);

	(void)state;
	for (size_t i = 0; i < TLS_CERTIFICATES_MAX + 4; i++)
		chain[i] = (struct tls_certificate){ der, (size_t)length };
	assert_int_equal(certificate_check(store, chain, TLS_CERTIFICATES_MAX + 4, "a.example", NOW, &check), 0);
	assert_findings(false, false, false, false);
	assert_int_equal(check.count, TLS_CERTIFICATES_MAX);
	assert_int_equal(check.unread, 4);
	OPENSSL_free(der);
	X509_free(x509);
}

static void test_fingerprints(void **state)
{
	X509 *x509 = make(&(struct recipe){ .cn = "x", .issuer = ca, .san = "DNS:a.example" });
	unsigned char *der = NULL, *key = NULL, digest[32];
	char text[CERTIFICATE_DIGEST_TEXT_SIZE];
	int length = i2d_X509(x509, &der), key_length = i2d_PUBKEY(leaf_key, &key);

	(void)state;
	run_check("a.example", NOW, x509, NULL, NULL);
	EVP_Digest(der, (size_t)length, digest, NULL, EVP_sha256(), NULL);
	assert_memory_equal(check.list[0].sha256, digest, sizeof(digest));
	EVP_Digest(key, (size_t)key_length, digest, NULL, EVP_sha256(), NULL);
	assert_memory_equal(check.list[0].key_sha256, digest, sizeof(digest));
	memset(digest, 0xa5, sizeof(digest));
	assert_string_equal(certificate_digest_text(digest, text),
			    "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5");
	OPENSSL_free(der);
	OPENSSL_free(key);
}

static void test_store(void **state)
{
	struct certificate_store *system;
	char error[256] = "";

	(void)state;
	assert_null(certificate_store_open("/nonexistent/ca.pem", error, sizeof(error)));
	assert_non_null(strstr(error, "/nonexistent/ca.pem"));
	assert_null(certificate_store_open("/dev/null", error, sizeof(error)));
	assert_non_null(strstr(error, "/dev/null"));
	/* our authority is not among the system's */
	system = certificate_store_open(NULL, error, sizeof(error));
	assert_non_null(system);
	struct certificate_store *own = store;
	store = system;
	check_leaf(&(struct recipe){ .cn = "x", .issuer = ca, .san = "DNS:a.example" }, "a.example");
	store = own;
	assert_findings(true, false, false, false);
	certificate_store_free(system);
	certificate_store_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_chain_with_intermediate),
		cmocka_unit_test(test_self_signed),
		cmocka_unit_test(test_unknown_authority),
		cmocka_unit_test(test_forged_signature),
		cmocka_unit_test(test_issuer_is_no_authority),
		cmocka_unit_test(test_purpose),
		cmocka_unit_test(test_validity),
		cmocka_unit_test(test_expired_intermediate),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_over_long_name),
		cmocka_unit_test(test_nul_in_name),
		cmocka_unit_test(test_hostile_subject),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_no_changed_byte_passes),
		cmocka_unit_test(test_too_many_certificates),
		cmocka_unit_test(test_fingerprints),
		cmocka_unit_test(test_store),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
