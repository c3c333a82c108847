/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An authority of the tests' own, and certificates of every bad kind. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "must.h"
#include "scenario.h"
#include "tape.h"

#define HOUR 3600L

struct issuer {
	X509 *certificate;
	EVP_PKEY *key;
};

static void extend(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	MUST(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

/* With names, dates and key, not signed. */
static X509 *draft(const char *common_name, const X509 *issuer, EVP_PKEY *key, long from, long until)
{
	static long serial = 1;
	X509 *certificate = X509_new();
	MUST(certificate && key && X509_set_version(certificate, 2));
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(certificate), from);
	X509_gmtime_adj(X509_getm_notAfter(certificate), until);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate));
	return certificate;
}

static struct issuer authority_make(const char *name, const struct issuer *above, long from, long until)
{
	struct issuer made = { .key = EVP_RSA_gen(2048) }; /* nobody signs with MD5 by EC */
	made.certificate = draft(name, above ? above->certificate : NULL, made.key, from, until);
	extend(made.certificate, NID_basic_constraints, "critical,CA:TRUE");
	extend(made.certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
	MUST(X509_sign(made.certificate, above ? above->key : made.key, EVP_sha256()));
	return made;
}

static const struct issuer *known_authority(void)
{
	static struct issuer root;
	if (!root.key)
		root = authority_make("smtpward test authority", NULL, -24 * HOUR, 24 * HOUR);
	return &root;
}

X509 *authority_certificate(void)
{
	return known_authority()->certificate;
}

static char trust_path[64];

static void forget_trust(void)
{
	unlink(trust_path);
}

const char *scenario_trust(void)
{
	if (trust_path[0])
		return trust_path;
	strcpy(trust_path, "/tmp/smtpward-catalogue-XXXXXX");
	int fd = mkstemp(trust_path);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	MUST(file && PEM_write_X509(file, authority_certificate()) && fclose(file) == 0);
	atexit(forget_trust);
	return trust_path;
}

/* A dNSName with a NUL inside, which the text form of names cannot express. */
static void extend_nul_name(X509 *certificate)
{
	static const char name[] = TAPE_NAME "\0.evil.example";
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	MUST(names && one && text && ASN1_STRING_set(text, name, sizeof(name) - 1));
	GENERAL_NAME_set0_value(one, GEN_DNS, text);
	MUST(sk_GENERAL_NAME_push(names, one) && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0));
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static void sign_leaf(struct leaf *leaf, const struct leaf_options *options, const struct issuer *issuer)
{
	const char *names = options->names ? options->names : "DNS:" TAPE_NAME;
	leaf->certificate = draft(options->common_name ? options->common_name : TAPE_NAME, issuer ? issuer->certificate : NULL, leaf->key,
				  options->from ? options->from : -HOUR, options->until ? options->until : HOUR);
	if (options->nul_in_name)
		extend_nul_name(leaf->certificate);
	else if (names[0])
		extend(leaf->certificate, NID_subject_alt_name, names);
	MUST(X509_sign(leaf->certificate, issuer ? issuer->key : leaf->key, options->digest ? options->digest : EVP_sha256()));
}

const struct leaf *leaf_make(const struct leaf_options *options)
{
	struct leaf *leaf = keep(calloc(1, sizeof(*leaf)));
	struct issuer issuer = *known_authority();
	leaf->key = options->rsa_bits ? EVP_RSA_gen(options->rsa_bits) : EVP_EC_gen("P-256");
	if (options->unknown_authority)
		issuer = authority_make("an authority that nobody knows", NULL, -24 * HOUR, 24 * HOUR);
	else if (options->intermediate_expired)
		issuer = authority_make("an authority whose time is over", known_authority(), -24 * HOUR, -HOUR);
	else if (options->without_intermediate)
		issuer = authority_make("an authority in between", known_authority(), -24 * HOUR, 24 * HOUR);
	if (options->by_a_leaf) {
		const struct leaf *signer = leaf_make(&(struct leaf_options){ .names = "DNS:other.example", .common_name = "other.example" });
		issuer = (struct issuer){ signer->certificate, signer->key };
	}
	sign_leaf(leaf, options, options->self_signed ? NULL : &issuer);
	leaf->issuer = issuer.certificate;
	leaf->issuer_key = issuer.key;
	if (options->intermediate_expired || options->by_a_leaf)
		leaf->chain = issuer.certificate;
	return leaf;
}
