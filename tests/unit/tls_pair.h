/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A TLS client and a TLS server (OpenSSL) in one process, and a recording of what they say to each other. */
#ifndef SMTPWARD_TESTS_TLS_PAIR_H
#define SMTPWARD_TESTS_TLS_PAIR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls_facts.h"

#define TAPE_SIZE (256 * 1024)
#define TURNS_MAX 512

/* Both directions, and in which order they spoke. */
struct tape {
	uint8_t bytes[2][TAPE_SIZE];
	size_t n[2];
	struct {
		enum direction direction;
		size_t n;
	} turns[TURNS_MAX];
	size_t turn_count;
};

struct pair {
	SSL_CTX *client_context, *server_context;
	SSL *client, *server;
	struct tape tape;
	bool early; /* the client begins with early data */
};

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
};

static struct identity rsa_identity, ec_identity, large_identity;

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(extension);
	assert_true(X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

/* Self-signed; comment_size bytes of comment make it large. */
static struct identity make_identity(EVP_PKEY *key, size_t comment_size)
{
	struct identity identity = { key, X509_new() };
	X509 *certificate = identity.certificate;
	assert_non_null(key);
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
				   (const unsigned char *)"mail.example.com", -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	if (comment_size > 0) {
		char *comment = calloc(1, comment_size + 1);
		memset(comment, 'c', comment_size);
		add_extension(certificate, NID_netscape_comment, comment);
		free(comment);
	}
	assert_true(X509_sign(certificate, key, EVP_sha256()));
	return identity;
}

static int make_identities(void **state)
{
	(void)state;
	rsa_identity = make_identity(EVP_RSA_gen(2048), 0);
	ec_identity = make_identity(EVP_EC_gen("P-256"), 0);
	large_identity = make_identity(EVP_EC_gen("P-256"), 5000);
	return 0;
}

static int free_identities(void **state)
{
	(void)state;
	struct identity *all[] = { &rsa_identity, &ec_identity, &large_identity };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		X509_free(all[i]->certificate);
		EVP_PKEY_free(all[i]->key);
	}
	return 0;
}

static void use_identity(SSL_CTX *context, const struct identity *identity)
{
	assert_int_equal(SSL_CTX_use_certificate(context, identity->certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, identity->key), 1);
}

/* Both sides at their most tolerant; the test narrows them down. */
static SSL_CTX *make_context(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);
	assert_non_null(context);
	SSL_CTX_set_security_level(context, 0);
	assert_true(SSL_CTX_set_min_proto_version(context, TLS1_VERSION));
	assert_true(SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION));
	assert_true(SSL_CTX_set_cipher_list(context, "ALL:COMPLEMENTOFALL"));
	SSL_CTX_set_dh_auto(context, 1);
	return context;
}

static struct pair *pair_new(void)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	pair->client_context = make_context(TLS_client_method());
	pair->server_context = make_context(TLS_server_method());
	use_identity(pair->server_context, &rsa_identity);
	SSL_CTX_set_session_id_context(pair->server_context, (const unsigned char *)"test", 4);
	return pair;
}

static void pair_free(struct pair *pair)
{
	SSL_free(pair->client);
	SSL_free(pair->server);
	SSL_CTX_free(pair->client_context);
	SSL_CTX_free(pair->server_context);
	free(pair);
}

/* Takes a turn: what from has to say goes to the tape and to the other side. Returns whether there was anything. */
static bool pass_on(struct tape *tape, enum direction direction, SSL *from, SSL *to)
{
	uint8_t *at = tape->bytes[direction] + tape->n[direction];
	int n = BIO_read(SSL_get_wbio(from), at, (int)(TAPE_SIZE - tape->n[direction]));
	if (n <= 0)
		return false;
	assert_true(tape->turn_count < TURNS_MAX);
	tape->turns[tape->turn_count].direction = direction;
	tape->turns[tape->turn_count++].n = (size_t)n;
	tape->n[direction] += (size_t)n;
	assert_int_equal(BIO_write(SSL_get_rbio(to), at, n), n);
	return true;
}

/* Makes the two SSL objects, for the test to change. */
static void pair_ready(struct pair *pair)
{
	pair->client = SSL_new(pair->client_context);
	pair->server = SSL_new(pair->server_context);
	SSL_set_bio(pair->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_bio(pair->server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(pair->client);
	SSL_set_accept_state(pair->server);
}

/* Plays the handshake to its end, and one byte each way behind it. Returns whether it succeeded. */
static bool pair_play(struct pair *pair)
{
	char byte;
	size_t written;
	bool talking = true;
	if (!pair->client)
		pair_ready(pair);
	if (pair->early)
		assert_int_equal(SSL_write_early_data(pair->client, "e", 1, &written), 1);
	while (talking) {
		SSL_do_handshake(pair->client);
		talking = pass_on(&pair->tape, FROM_CLIENT, pair->client, pair->server);
		SSL_do_handshake(pair->server);
		talking |= pass_on(&pair->tape, FROM_SERVER, pair->server, pair->client);
	}
	ERR_clear_error();
	if (!SSL_is_init_finished(pair->client) || !SSL_is_init_finished(pair->server))
		return false;
	SSL_write(pair->client, "c", 1);
	pass_on(&pair->tape, FROM_CLIENT, pair->client, pair->server);
	SSL_write(pair->server, "s", 1);
	pass_on(&pair->tape, FROM_SERVER, pair->server, pair->client);
	SSL_read(pair->client, &byte, 1);
	SSL_read(pair->server, &byte, 1);
	ERR_clear_error();
	return true;
}

/* Another handshake between the same two, the session of the last one offered again. */
static bool pair_play_again(struct pair *pair)
{
	SSL_SESSION *session = SSL_get1_session(pair->client);
	SSL_set_shutdown(pair->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_shutdown(pair->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(pair->client);
	SSL_free(pair->server);
	memset(&pair->tape, 0, sizeof(pair->tape));
	pair_ready(pair);
	assert_int_equal(SSL_set_session(pair->client, session), 1);
	SSL_SESSION_free(session);
	return pair_play(pair);
}

#endif
