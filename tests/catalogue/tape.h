/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Real TLS handshakes, made at test time: two OpenSSL ends that talk to each other, and certificates for them. */
#ifndef SMTPWARD_TEST_TAPE_H
#define SMTPWARD_TEST_TAPE_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "vectors.h"

#define TAPE_NAME "mx.server.example" /* the server's */

/* A certificate with its key, and what goes with it on the wire. */
struct leaf {
	X509 *certificate, *chain; /* chain: one more, or NULL */
	EVP_PKEY *key;
	X509 *issuer;
	EVP_PKEY *issuer_key;
};

/* Which certificate, where it is not the good one. */
struct leaf_options {
	const char *names;  /* subjectAltName as OpenSSL writes it; NULL: "DNS:mx.example"; "": none */
	const char *common_name;
	long from, until;   /* seconds from now; 0: an hour ago, in an hour */
	unsigned rsa_bits;  /* 0: EC P-256 */
	const EVP_MD *digest; /* of the signature; NULL: SHA-256 */
	bool unknown_authority, self_signed, by_a_leaf, without_intermediate, intermediate_expired;
	bool nul_in_name;   /* mx.example NUL .evil.example */
};

/* Never fails: it aborts. What it returns stays. */
const struct leaf *leaf_make(const struct leaf_options *options);
/* The authority's own certificate. */
X509 *authority_certificate(void);

/* The two ends, to be narrowed down, of whatever version and suite; the server has the leaf (NULL: none). */
struct ends {
	SSL_CTX *client, *server;
	bool verify;      /* the client checks chain and name */
	bool resumed;     /* a second handshake with the first one's session */
	bool plain_start; /* TLS from the first byte */
};
struct ends ends_make(const struct leaf *leaf);

/*
 * Plays the ends against each other until nothing more is said, with a byte of application data each way where the
 * handshake succeeds, and writes it as steps behind the STARTTLS dialogue into vector. The ends are freed.
 */
void ends_play(struct ends *ends, struct vector *vector);

/* Notes that memory stays until the process ends, so that it counts as no leak. Returns it; aborts where it is NULL. */
void *keep(void *memory);
/* A step with a copy of the bytes. */
struct vector_step step_of(enum vector_side side, const void *bytes, size_t length);
/* The steps up to the 220 to STARTTLS; returns how many. */
unsigned steps_to_starttls(struct vector *vector);

#endif
