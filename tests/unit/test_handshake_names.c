/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names of the TLS registries, and what is concluded from a cipher suite's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "cipher_suite.h"
#include "tls_names.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	uint16_t suite;
	const char *name;
	const char *weakness;
	unsigned bits;
	bool static_rsa, aead, forward_secrecy;
} suites[] = {
	{ 0x0000, "TLS_NULL_WITH_NULL_NULL", "no encryption", 0, false, false, false },
	{ 0x0002, "TLS_RSA_WITH_NULL_SHA", "no encryption", 0, true, false, false },
	{ 0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5", "export grade", 40, true, false, false },
	{ 0x0005, "TLS_RSA_WITH_RC4_128_SHA", "RC4", 128, true, false, false },
	{ 0x0006, "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5", "export grade", 40, true, false, false },
	{ 0x0009, "TLS_RSA_WITH_DES_CBC_SHA", "less than 112 bits", 56, true, false, false },
	{ 0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", NULL, 112, true, false, false },
	{ 0x0014, "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", "export grade", 40, false, false, true },
	{ 0x0017, "TLS_DH_anon_EXPORT_WITH_RC4_40_MD5", "export grade", 40, false, false, true },
	{ 0x0026, "TLS_KRB5_EXPORT_WITH_DES_CBC_40_SHA", "export grade", 40, false, false, false },
	{ 0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", NULL, 128, true, false, false },
	{ 0x0031, "TLS_DH_RSA_WITH_AES_128_CBC_SHA", NULL, 128, false, false, false },
	{ 0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA", "server not authenticated", 128, false, false, true },
	{ 0x0094, "TLS_RSA_PSK_WITH_AES_128_CBC_SHA", NULL, 128, false, false, false },
	{ 0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", NULL, 256, true, true, false },
	{ 0x1301, "TLS_AES_128_GCM_SHA256", NULL, 128, false, true, true },
	{ 0x1303, "TLS_CHACHA20_POLY1305_SHA256", NULL, 256, false, true, true },
	{ 0xc016, "TLS_ECDH_anon_WITH_RC4_128_SHA", "server not authenticated", 128, false, false, true },
	{ 0xc00e, "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA", NULL, 128, false, false, false },
	{ 0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", NULL, 128, false, true, true },
	{ 0xc0aa, "TLS_PSK_DHE_WITH_AES_128_CCM_8", NULL, 128, false, true, true },
	{ 0xc0b4, "TLS_SHA256_SHA256", "no encryption", 0, false, false, true },
	{ 0xc100, "TLS_GOSTR341112_256_WITH_KUZNYECHIK_CTR_OMAC", NULL, 256, false, false, false },
	{ 0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", NULL, 256, false, true, true },
};

static void facts_follow_from_the_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(suites); i++) {
		struct cipher_facts facts;
		char name[CIPHER_NAME_SIZE];
		const char *weakness = cipher_weakness(suites[i].suite);
		assert_string_equal(cipher_name(suites[i].suite, name), suites[i].name);
		assert_true(cipher_facts(suites[i].suite, &facts));
		assert_int_equal(facts.bits, suites[i].bits);
		assert_int_equal(facts.aead, suites[i].aead);
		assert_int_equal(facts.forward_secrecy, suites[i].forward_secrecy);
		assert_int_equal(cipher_is_static_rsa(suites[i].suite), suites[i].static_rsa);
		if (suites[i].weakness)
			assert_string_equal(weakness, suites[i].weakness);
		else
			assert_null(weakness);
	}
}

static void what_is_not_known_is_a_number(void **state)
{
	(void)state;
	static const uint16_t unknown[] = { 0x0a0a, 0x001c, 0x00c8, 0xfeff, 0xffff };
	char text[CIPHER_NAME_SIZE], name[TLS_NAME_SIZE];
	struct cipher_facts facts;
	for (size_t i = 0; i < COUNT(unknown); i++) {
		assert_memory_equal(cipher_name(unknown[i], text), "0x", 2);
		assert_false(cipher_facts(unknown[i], &facts));
		assert_null(cipher_weakness(unknown[i]));
	}
	assert_string_equal(cipher_name(0xfeff, text), "0xFEFF");
	assert_string_equal(tls_group_name(0x0a0b, name), "0x0A0B");
	assert_string_equal(tls_version_name(0x0305, name), "0x0305");
	assert_string_equal(tls_signature_name(0, name), "0x0000");
}

/* Signalling values have a name and are no cipher. */
static void signalling_values_are_no_cipher(void **state)
{
	(void)state;
	char text[CIPHER_NAME_SIZE];
	struct cipher_facts facts;
	assert_string_equal(cipher_name(0x00ff, text), "TLS_EMPTY_RENEGOTIATION_INFO_SCSV");
	assert_string_equal(cipher_name(0x5600, text), "TLS_FALLBACK_SCSV");
	assert_false(cipher_facts(0x00ff, &facts));
	assert_null(cipher_weakness(0x5600));
}

/* Every entry is found (the table is in order), and no name is cut or used twice. */
static void each_suite_is_found(void **state)
{
	(void)state;
	static char names[400][CIPHER_NAME_SIZE];
	size_t known = 0;
	for (unsigned suite = 0; suite <= UINT16_MAX; suite++) {
		cipher_name((uint16_t)suite, names[known]);
		if (strncmp(names[known], "TLS_", 4) != 0)
			continue;
		assert_true(strlen(names[known]) < CIPHER_NAME_SIZE - 1);
		for (size_t i = 0; i < known; i++)
			assert_string_not_equal(names[i], names[known]);
		assert_true(++known < COUNT(names));
	}
	assert_int_equal(known, 352);
}

static enum key_exchange key_exchange_of(int nid)
{
	switch (nid) {
	case NID_kx_rsa:
	case NID_kx_rsa_psk: return KEY_EXCHANGE_RSA;
	case NID_kx_dhe:
	case NID_kx_dhe_psk: return KEY_EXCHANGE_DHE;
	case NID_kx_ecdhe:
	case NID_kx_ecdhe_psk: return KEY_EXCHANGE_ECDHE;
	case NID_kx_any: return KEY_EXCHANGE_TLS13;
	default: return KEY_EXCHANGE_OTHER;
	}
}

/* All that OpenSSL knows, which is what most clients can negotiate. */
static void openssl_agrees(void **state)
{
	(void)state;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(context, 0);
	assert_true(SSL_CTX_set_cipher_list(context, "ALL:COMPLEMENTOFALL"));
	STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(context);
	assert_true(sk_SSL_CIPHER_num(ciphers) > 50);
	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
		uint16_t suite = SSL_CIPHER_get_protocol_id(cipher);
		struct cipher_facts facts;
		char name[CIPHER_NAME_SIZE];
		assert_string_equal(cipher_name(suite, name), SSL_CIPHER_standard_name(cipher));
		assert_true(cipher_facts(suite, &facts));
		assert_int_equal(facts.bits, SSL_CIPHER_get_bits(cipher, NULL));
		assert_int_equal(facts.aead, SSL_CIPHER_is_aead(cipher));
		assert_int_equal(facts.key_exchange, key_exchange_of(SSL_CIPHER_get_kx_nid(cipher)));
		assert_int_equal(facts.anonymous, SSL_CIPHER_get_auth_nid(cipher) == NID_auth_null);
		assert_int_equal(facts.null, SSL_CIPHER_get_cipher_nid(cipher) == NID_undef);
	}
	SSL_CTX_free(context);
}

static void groups_versions_and_signatures_have_names(void **state)
{
	(void)state;
	char name[TLS_NAME_SIZE];
	assert_string_equal(tls_group_name(0x001d, name), "x25519");
	assert_string_equal(tls_group_name(0x0017, name), "secp256r1");
	assert_string_equal(tls_group_name(0x11ec, name), "X25519MLKEM768");
	assert_string_equal(tls_group_name(0x0100, name), "ffdhe2048");
	assert_string_equal(tls_version_name(0x0002, name), "SSL 2.0");
	assert_string_equal(tls_version_name(0x0300, name), "SSL 3.0");
	assert_string_equal(tls_version_name(0x0301, name), "1.0");
	assert_string_equal(tls_version_name(0x0304, name), "1.3");
	assert_string_equal(tls_signature_name(0x0804, name), "rsa_pss_rsae_sha256");
}

static void grease_is_two_equal_bytes_that_end_in_a(void **state)
{
	(void)state;
	unsigned found = 0;
	for (unsigned value = 0; value <= UINT16_MAX; value++)
		found += tls_is_grease((uint16_t)value);
	assert_int_equal(found, 16);
	assert_true(tls_is_grease(0x0a0a));
	assert_true(tls_is_grease(0xfafa));
	assert_false(tls_is_grease(0x0a1a));
	assert_false(tls_is_grease(0x0b0b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_follow_from_the_name),
		cmocka_unit_test(what_is_not_known_is_a_number),
		cmocka_unit_test(signalling_values_are_no_cipher),
		cmocka_unit_test(each_suite_is_found),
		cmocka_unit_test(openssl_agrees),
		cmocka_unit_test(groups_versions_and_signatures_have_names),
		cmocka_unit_test(grease_is_two_equal_bytes_that_end_in_a),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
