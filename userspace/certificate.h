/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A peer's certificates, checked as a mail client should: chain, validity, keys and name.
 *
 * The input is hostile; what is taken of it is bounded. Nothing is fetched (no AIA, no OCSP, no CRL), and there is no
 * clock: the caller says what time it is.
 */
#ifndef SMTPWARD_CERTIFICATE_H
#define SMTPWARD_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_facts.h"

#define CERTIFICATE_DER_MAX 65536 /* bytes of one certificate; a longer one is not read */
#define CERTIFICATE_TEXT_SIZE 512
#define CERTIFICATE_NAME_SIZE 300
#define CERTIFICATE_NAMES_MAX 32
#define CERTIFICATE_DIGEST_SIZE 32 /* SHA-256 */

/* The trust anchors. */
struct certificate_store;

/* Reads the anchors from a file of PEM certificates, or, if file is NULL, the system's. Returns NULL with one line in
 * error. */
struct certificate_store *certificate_store_open(const char *file, char *error, size_t error_size);
void certificate_store_free(struct certificate_store *store);

enum certificate_validity { CERTIFICATE_VALID, CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID };

enum certificate_name_result {
	CERTIFICATE_NAME_NOT_CHECKED, /* no name was given */
	CERTIFICATE_NAME_MATCHED,     /* by a subjectAltName (RFC 9525) */
	CERTIFICATE_NAME_CN_ONLY,     /* by the common name, there being no subjectAltName at all: outdated */
	CERTIFICATE_NAME_MISMATCH,
};

/* One certificate. All texts are escaped (escape.h): they can be shown. */
struct certificate {
	char subject[CERTIFICATE_TEXT_SIZE]; /* RFC 4514, cut where it is longer; "" for an empty one */
	char issuer[CERTIFICATE_TEXT_SIZE];
	char serial[48];   /* hexadecimal, cut */
	char key_type[24]; /* "RSA", "EC", "ED25519" ...; "" if the key cannot be read */
	unsigned key_bits;
	char signature[48]; /* algorithm: "sha256WithRSAEncryption" */
	int64_t not_before; /* seconds since the epoch; 0: cannot be read */
	int64_t not_after;
	uint8_t sha256[CERTIFICATE_DIGEST_SIZE];
	uint8_t key_sha256[CERTIFICATE_DIGEST_SIZE]; /* of the SubjectPublicKeyInfo */
	bool self_issued;			     /* subject and issuer are the same */
	bool weak_key;				     /* RSA, DSA or DH below 2048 bits, EC below 224 */
	bool weak_signature;			     /* MD2, MD4, MD5 or SHA-1 */
};

struct certificate_check {
	bool readable;	 /* the peer's own certificate could be read; if not, nothing below it is known */
	unsigned count;	 /* of list: what was sent, the peer's own first */
	unsigned unread; /* sent, but malformed or over a limit: left out */
	struct certificate list[TLS_CERTIFICATES_MAX];
	unsigned name_count; /* subjectAltNames of the peer's certificate, of the kinds DNS and IP address */
	unsigned name_total; /* more than name_count where there are too many */
	char names[CERTIFICATE_NAMES_MAX][CERTIFICATE_NAME_SIZE]; /* escaped */
	bool trusted;		 /* the chain leads to a trust anchor, whatever the time is */
	bool self_signed;	 /* not trusted: the peer's own certificate is its own issuer */
	char anchor[CERTIFICATE_TEXT_SIZE];	/* trusted: the anchor's subject */
	enum certificate_validity validity;	/* of the whole chain */
	enum certificate_name_result name;
	int verify_error; /* OpenSSL's X509_V_ERR_*: the first that is no matter of time, else of time; 0: none. The name is
			     not a part of it */
	int verify_depth; /* which certificate, 0 being the peer's own */
	const char *verify_text; /* static */
	/* findings */
	bool untrusted;
	bool name_mismatch;
	bool expired; /* or not yet valid */
	bool key_weak;
};

/*
 * Checks count certificates in DER, the peer's own first, against store, at time now (seconds since the epoch).
 * name: the host name or IP address that was wanted; NULL or "": none. No pointer into the input is kept. Returns 0, or
 * -ENOMEM, -EINVAL where there is no certificate; then check->untrusted is set and nothing else.
 */
int certificate_check(const struct certificate_store *store, const struct tls_certificate *chain, unsigned count,
		      const char *name, int64_t now, struct certificate_check *check);

/* Whether all of it is in order: trusted, valid, strong, and the name, if one was given, matches by subjectAltName or, the
 * old way, by common name. */
bool certificate_is_good(const struct certificate_check *check);

/* Words for JSON and people: "valid", "expired", "not-yet-valid"; "matched", "cn-only", "mismatch", "not-checked". */
const char *certificate_validity_name(enum certificate_validity validity);
const char *certificate_name_result_name(enum certificate_name_result result);

#define CERTIFICATE_DIGEST_TEXT_SIZE (2 * CERTIFICATE_DIGEST_SIZE + 1)
/* Writes a digest in lower-case hexadecimal. Returns text. */
const char *certificate_digest_text(const uint8_t digest[CERTIFICATE_DIGEST_SIZE],
				    char text[CERTIFICATE_DIGEST_TEXT_SIZE]);

#endif
