/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "certificate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "escape.h"

#define CHAIN_DEPTH_MAX 10
#define RSA_BITS_MIN 2048
#define EC_BITS_MIN 224

struct certificate_store {
	X509_STORE *anchors;
};

struct certificate_store *certificate_store_open(const char *file, char *error, size_t error_size)
{
	struct certificate_store *store = calloc(1, sizeof(*store));
	int ok;

	if (store)
		store->anchors = X509_STORE_new();
	if (!store || !store->anchors) {
		snprintf(error, error_size, "no memory for the trust anchors");
		certificate_store_free(store);
		return NULL;
	}
	ERR_clear_error();
	ok = file ? X509_STORE_load_file(store->anchors, file) : X509_STORE_set_default_paths(store->anchors);
	if (!ok) {
		const char *reason = ERR_reason_error_string(ERR_peek_error());
		snprintf(error, error_size, "%s: no certificates can be read from it%s%s", file ? file : "the system's store",
			 reason ? ": " : "", reason ? reason : "");
		certificate_store_free(store);
		store = NULL;
	}
	ERR_clear_error();
	return store;
}

void certificate_store_free(struct certificate_store *store)
{
	if (!store)
		return;
	X509_STORE_free(store->anchors);
	free(store);
}

/* ---- one certificate -------------------------------------------------------------------------------------- */

static X509 *read_der(const struct tls_certificate *blob)
{
	const unsigned char *at = blob->der;
	X509 *x509;

	if (!blob->der || !blob->length || blob->length > CERTIFICATE_DER_MAX)
		return NULL;
	x509 = d2i_X509(NULL, &at, (long)blob->length);
	if (x509 && at != blob->der + blob->length) {
		X509_free(x509); /* what stands behind it is no part of it */
		x509 = NULL;
	}
	return x509;
}

/* Escaped, so that no control byte, no NUL and no trick of direction is left in it. */
static void put_text(char *text, size_t size, const void *bytes, long length)
{
	escape_text(text, size, bytes, length > 0 ? (size_t)length : 0);
}

static void put_distinguished_name(char *text, size_t size, const X509_NAME *name)
{
	const unsigned long flags = XN_FLAG_SEP_COMMA_PLUS | XN_FLAG_DN_REV | XN_FLAG_FN_SN | XN_FLAG_DUMP_UNKNOWN_FIELDS |
				    ASN1_STRFLGS_ESC_2253 | ASN1_STRFLGS_ESC_QUOTE | ASN1_STRFLGS_UTF8_CONVERT |
				    ASN1_STRFLGS_DUMP_UNKNOWN | ASN1_STRFLGS_DUMP_DER;
	BIO *memory = BIO_new(BIO_s_mem());
	char *bytes = NULL;

	text[0] = '\0';
	if (!memory)
		return;
	if (X509_NAME_print_ex(memory, name, 0, flags) >= 0) {
		long length = BIO_get_mem_data(memory, &bytes); /* not as an argument beside bytes: which comes first is open */
		put_text(text, size, bytes, length);
	}
	BIO_free(memory);
}

static int64_t seconds_of(const ASN1_TIME *time)
{
	struct tm broken;
	return time && ASN1_TIME_to_tm(time, &broken) ? (int64_t)timegm(&broken) : 0;
}

static void read_key(struct certificate *certificate, const X509 *x509)
{
	const EVP_PKEY *key = X509_get0_pubkey(x509);
	const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
	int bits = key ? EVP_PKEY_get_bits(key) : 0, base = key ? EVP_PKEY_get_base_id(key) : 0;

	certificate->key_bits = bits > 0 ? (unsigned)bits : 0;
	if (type)
		put_text(certificate->key_type, sizeof(certificate->key_type), type, (long)strlen(type));
	if (base == EVP_PKEY_RSA || base == EVP_PKEY_RSA_PSS || base == EVP_PKEY_DSA || base == EVP_PKEY_DH)
		certificate->weak_key = bits < RSA_BITS_MIN;
	else if (base == EVP_PKEY_EC)
		certificate->weak_key = bits < EC_BITS_MIN;
}

static void read_signature(struct certificate *certificate, X509 *x509)
{
	const char *name = OBJ_nid2ln(X509_get_signature_nid(x509));
	int digest = NID_undef;

	if (name)
		put_text(certificate->signature, sizeof(certificate->signature), name, (long)strlen(name));
	if (!X509_get_signature_info(x509, &digest, NULL, NULL, NULL))
		return;
	certificate->weak_signature = digest == NID_md2 || digest == NID_md4 || digest == NID_md5 || digest == NID_sha1 ||
				      digest == NID_md5_sha1;
}

static void read_digests(struct certificate *certificate, const X509 *x509)
{
	unsigned char *key = NULL;
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &key);

	X509_digest(x509, EVP_sha256(), certificate->sha256, NULL);
	if (length > 0)
		EVP_Digest(key, (size_t)length, certificate->key_sha256, NULL, EVP_sha256(), NULL);
	OPENSSL_free(key);
}

static void read_serial(struct certificate *certificate, const X509 *x509)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x509);
	const unsigned char *bytes = ASN1_STRING_get0_data(serial);
	int length = ASN1_STRING_length(serial);
	size_t used = 0;

	for (int i = 0; i < length && used + 3 <= sizeof(certificate->serial); i++)
		used += (size_t)snprintf(certificate->serial + used, sizeof(certificate->serial) - used, "%02x", bytes[i]);
}

static void describe(struct certificate *certificate, X509 *x509)
{
	const X509_NAME *subject = X509_get_subject_name(x509), *issuer = X509_get_issuer_name(x509);

	memset(certificate, 0, sizeof(*certificate));
	put_distinguished_name(certificate->subject, sizeof(certificate->subject), subject);
	put_distinguished_name(certificate->issuer, sizeof(certificate->issuer), issuer);
	certificate->self_issued = !X509_NAME_cmp(subject, issuer);
	certificate->not_before = seconds_of(X509_get0_notBefore(x509));
	certificate->not_after = seconds_of(X509_get0_notAfter(x509));
	read_serial(certificate, x509);
	read_key(certificate, x509);
	read_signature(certificate, x509);
	read_digests(certificate, x509);
}

/* ---- names ------------------------------------------------------------------------------------------------ */

/* Returns whether the certificate has a subjectAltName extension, be it malformed. */
static bool has_alternative_names(const X509 *x509)
{
	return X509_get_ext_by_NID(x509, NID_subject_alt_name, -1) >= 0;
}

static bool put_name(char *text, const GENERAL_NAME *name)
{
	const ASN1_STRING *string;
	char address[INET6_ADDRSTRLEN];
	int family;

	if (name->type == GEN_DNS) {
		string = name->d.dNSName;
		put_text(text, CERTIFICATE_NAME_SIZE, ASN1_STRING_get0_data(string), ASN1_STRING_length(string));
		return true;
	}
	if (name->type != GEN_IPADD)
		return false;
	string = name->d.iPAddress;
	family = ASN1_STRING_length(string) == 4 ? AF_INET : ASN1_STRING_length(string) == 16 ? AF_INET6 : AF_UNSPEC;
	if (family == AF_UNSPEC || !inet_ntop(family, ASN1_STRING_get0_data(string), address, sizeof(address)))
		return false;
	snprintf(text, CERTIFICATE_NAME_SIZE, "%s", address);
	return true;
}

static void list_names(struct certificate_check *check, const X509 *x509)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
	char spare[CERTIFICATE_NAME_SIZE];

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		bool room = check->name_count < CERTIFICATE_NAMES_MAX;
		if (!put_name(room ? check->names[check->name_count] : spare, sk_GENERAL_NAME_value(names, i)))
			continue;
		check->name_count += room;
		check->name_total++;
	}
	GENERAL_NAMES_free(names);
}

static bool is_address(const char *name)
{
	unsigned char address[16];
	return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/*
 * RFC 9525 section 6: a DNS-ID, its wildcard the complete left-most label and standing for one label, or an IP-ID. A name
 * in the subject counts only where the certificate is so old that it has no subjectAltName.
 */
static enum certificate_name_result match_name(X509 *x509, const char *name)
{
	const unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
	bool modern = has_alternative_names(x509);
	char host[256];
	size_t length;

	if (is_address(name))
		return X509_check_ip_asc(x509, name, 0) == 1 ? CERTIFICATE_NAME_MATCHED : CERTIFICATE_NAME_MISMATCH;
	length = strnlen(name, sizeof(host));
	if (length && name[length - 1] == '.')
		length--;
	/* OpenSSL takes a leading dot for "any name below" */
	if (!length || length >= sizeof(host) || name[0] == '.')
		return CERTIFICATE_NAME_MISMATCH;
	memcpy(host, name, length);
	host[length] = '\0';
	if (modern && X509_check_host(x509, host, length, flags | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1)
		return CERTIFICATE_NAME_MATCHED;
	if (!modern && X509_check_host(x509, host, length, flags, NULL) == 1)
		return CERTIFICATE_NAME_CN_ONLY;
	return CERTIFICATE_NAME_MISMATCH;
}

/* ---- chain ------------------------------------------------------------------------------------------------ */

static void note_time_error(struct certificate_check *check, enum certificate_validity validity)
{
	if (check->validity == CERTIFICATE_VALID)
		check->validity = validity;
}

/* Notes each thing that is wrong and goes on, so that one fault does not hide another. */
static int note_error(int ok, X509_STORE_CTX *context)
{
	struct certificate_check *check = X509_STORE_CTX_get_app_data(context);
	int error = X509_STORE_CTX_get_error(context);
	bool timely = true;

	if (ok || error == X509_V_OK)
		return 1;
	if (error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD)
		note_time_error(check, CERTIFICATE_EXPIRED);
	else if (error == X509_V_ERR_CERT_NOT_YET_VALID || error == X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD)
		note_time_error(check, CERTIFICATE_NOT_YET_VALID);
	else
		timely = false;
	if (check->verify_error == X509_V_OK || (!timely && !check->untrusted)) {
		check->verify_error = error;
		check->verify_depth = X509_STORE_CTX_get_error_depth(context);
	}
	check->untrusted |= !timely;
	return 1;
}

/* Keys and signatures of the chain as it was put together. Nobody relies on the signature of a trust anchor, nor on that of
 * a certificate authority that signed itself. */
static void find_weak(struct certificate_check *check, STACK_OF(X509) *chain)
{
	int n = sk_X509_num(chain);

	for (int i = 0; i < n; i++) {
		struct certificate certificate;
		X509 *x509 = sk_X509_value(chain, i);
		bool is_root = (check->trusted && i == n - 1) || (i > 0 && X509_self_signed(x509, 0) == 1);
		describe(&certificate, x509);
		check->key_weak |= certificate.weak_key || (certificate.weak_signature && !is_root);
	}
	if (check->trusted && n > 0)
		put_distinguished_name(check->anchor, sizeof(check->anchor),
				       X509_get_subject_name(sk_X509_value(chain, n - 1)));
}

static int verify(const struct certificate_store *store, X509 *leaf, STACK_OF(X509) *others, int64_t now,
		  struct certificate_check *check)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *parameters;
	int result = -ENOMEM;

	if (!context || !X509_STORE_CTX_init(context, store->anchors, leaf, others) ||
	    !X509_STORE_CTX_set_default(context, "ssl_server") ||
	    !X509_STORE_CTX_set_app_data(context, check))
		goto out;
	parameters = X509_STORE_CTX_get0_param(context);
	X509_VERIFY_PARAM_set_time(parameters, (time_t)now);
	X509_VERIFY_PARAM_set_depth(parameters, CHAIN_DEPTH_MAX);
	X509_STORE_CTX_set_verify_cb(context, note_error);
	/* an error that is not the callback's to pass over: no memory, or a chain that leads nowhere */
	if (X509_verify_cert(context) != 1 && !check->untrusted) {
		check->untrusted = true;
		check->verify_error = X509_STORE_CTX_get_error(context);
	}
	check->trusted = !check->untrusted;
	find_weak(check, X509_STORE_CTX_get0_chain(context));
	result = 0;
out:
	X509_STORE_CTX_free(context);
	return result;
}

/* Reads what was sent. Returns the peer's own certificate, or NULL; the others go to others. */
static X509 *read_chain(const struct tls_certificate *chain, unsigned count, STACK_OF(X509) *others,
			struct certificate_check *check)
{
	X509 *leaf = NULL;

	for (unsigned i = 0; i < count; i++) {
		X509 *x509 = i < TLS_CERTIFICATES_MAX ? read_der(&chain[i]) : NULL;
		if (!x509) {
			check->unread++;
			if (!i)
				return NULL;
			continue;
		}
		describe(&check->list[check->count++], x509);
		if (!i)
			leaf = x509;
		else if (!sk_X509_push(others, x509))
			X509_free(x509);
	}
	return leaf;
}

int certificate_check(const struct certificate_store *store, const struct tls_certificate *chain, unsigned count,
		      const char *name, int64_t now, struct certificate_check *check)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	X509 *leaf;
	int result = -EINVAL;

	memset(check, 0, sizeof(*check));
	check->verify_text = "";
	leaf = others ? read_chain(chain, count, others, check) : NULL;
	if (leaf) {
		check->readable = true;
		list_names(check, leaf);
		if (name && *name)
			check->name = match_name(leaf, name);
		result = verify(store, leaf, others, now, check);
		check->self_signed = check->untrusted && X509_self_signed(leaf, 0) == 1;
		check->name_mismatch = check->name == CERTIFICATE_NAME_MISMATCH;
		check->expired = check->validity != CERTIFICATE_VALID;
		check->verify_text = X509_verify_cert_error_string(check->verify_error);
	} else if (!others) {
		result = -ENOMEM;
	}
	if (result)
		check->untrusted = true;
	X509_free(leaf);
	sk_X509_pop_free(others, X509_free);
	ERR_clear_error();
	return result;
}

bool certificate_is_good(const struct certificate_check *check)
{
	return check->readable && !check->untrusted && !check->name_mismatch && !check->expired && !check->key_weak;
}

const char *certificate_validity_name(enum certificate_validity validity)
{
	return validity == CERTIFICATE_VALID ? "valid" : validity == CERTIFICATE_EXPIRED ? "expired" : "not-yet-valid";
}

const char *certificate_name_result_name(enum certificate_name_result result)
{
	switch (result) {
	case CERTIFICATE_NAME_MATCHED: return "matched";
	case CERTIFICATE_NAME_CN_ONLY: return "cn-only";
	case CERTIFICATE_NAME_MISMATCH: return "mismatch";
	case CERTIFICATE_NAME_NOT_CHECKED: break;
	}
	return "not-checked";
}

const char *certificate_digest_text(const uint8_t digest[CERTIFICATE_DIGEST_SIZE],
				    char text[CERTIFICATE_DIGEST_TEXT_SIZE])
{
	for (size_t i = 0; i < CERTIFICATE_DIGEST_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}
