/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tape.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "must.h"

#include "vectors/shorthand.h"

#define FLIGHT_MAX 65536

struct kept {
	void *memory;
	struct kept *next;
};

void *keep(void *memory)
{
	static struct kept *list;
	struct kept *one = malloc(sizeof(*one));
	MUST(memory && one);
	*one = (struct kept){ memory, list };
	list = one;
	return memory;
}

struct vector_step step_of(enum vector_side side, const void *bytes, size_t length)
{
	char *copy = keep(malloc(length));
	memcpy(copy, bytes, length);
	return (struct vector_step){ .side = side, .repeat = 1, .bytes = copy, .length = length };
}

unsigned steps_to_starttls(struct vector *vector)
{
	const struct vector_step steps[] = { GREETING, EHLO, OFFER, STARTTLS, GO };
	memcpy(vector->steps, steps, sizeof(steps));
	return sizeof(steps) / sizeof(steps[0]);
}

/* An end at its most tolerant. */
static SSL_CTX *context_make(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);
	MUST(context);
	SSL_CTX_set_security_level(context, 0);
	MUST(SSL_CTX_set_min_proto_version(context, TLS1_VERSION) && SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION));
	MUST(SSL_CTX_set_cipher_list(context, "ALL:COMPLEMENTOFALL"));
	SSL_CTX_set_dh_auto(context, 1);
	return context;
}

struct ends ends_make(const struct leaf *leaf)
{
	struct ends ends = { .client = context_make(TLS_client_method()), .server = context_make(TLS_server_method()) };
	SSL_CTX_set_session_id_context(ends.server, (const unsigned char *)"catalogue", 9);
	if (!leaf)
		return ends;
	MUST(SSL_CTX_use_certificate(ends.server, leaf->certificate) == 1 && SSL_CTX_use_PrivateKey(ends.server, leaf->key) == 1);
	if (leaf->chain)
		MUST(SSL_CTX_add1_chain_cert(ends.server, leaf->chain) == 1);
	else
		SSL_CTX_set_mode(ends.server, SSL_MODE_NO_AUTO_CHAIN);
	return ends;
}

struct talk {
	SSL *client, *server;
	struct vector *vector; /* NULL: not written down */
	unsigned steps;
};

static void talk_start(struct talk *talk, const struct ends *ends, SSL_SESSION *session)
{
	talk->client = SSL_new(ends->client);
	talk->server = SSL_new(ends->server);
	MUST(talk->client && talk->server && SSL_set_tlsext_host_name(talk->client, TAPE_NAME));
	SSL_set_bio(talk->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_bio(talk->server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(talk->client);
	SSL_set_accept_state(talk->server);
	if (session)
		MUST(SSL_set_session(talk->client, session) == 1);
	if (!ends->verify)
		return;
	MUST(X509_STORE_add_cert(SSL_CTX_get_cert_store(ends->client), authority_certificate()));
	SSL_set_verify(talk->client, SSL_VERIFY_PEER, NULL);
	MUST(SSL_set1_host(talk->client, TAPE_NAME));
}

/* What from has to say goes to the other end, as one segment. Returns whether there was anything. */
static bool pass_on(struct talk *talk, enum vector_side side)
{
	static uint8_t flight[FLIGHT_MAX];
	SSL *from = side == VECTOR_CLIENT ? talk->client : talk->server, *to = side == VECTOR_CLIENT ? talk->server : talk->client;
	int n = BIO_read(SSL_get_wbio(from), flight, sizeof(flight));
	if (n <= 0)
		return false;
	MUST(BIO_write(SSL_get_rbio(to), flight, n) == n);
	if (talk->vector) {
		MUST(talk->steps < VECTOR_STEPS_MAX);
		talk->vector->steps[talk->steps++] = step_of(side, flight, (size_t)n);
	}
	return true;
}

static void talk_through(struct talk *talk)
{
	/* well over a QUIT's length: the client has gone on with this server */
	static const char mail[] = "EHLO client.example\r\nMAIL FROM:<somebody@client.example>\r\nRCPT TO:<somebody@" TAPE_NAME
				   ">\r\nRCPT TO:<somebody.else@" TAPE_NAME ">\r\nDATA\r\n";
	static const char answer[] = "250 " TAPE_NAME "\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n";
	bool more = true;
	while (more) {
		SSL_do_handshake(talk->client);
		more = pass_on(talk, VECTOR_CLIENT);
		SSL_do_handshake(talk->server);
		more |= pass_on(talk, VECTOR_SERVER);
	}
	ERR_clear_error();
	if (!SSL_is_init_finished(talk->client) || !SSL_is_init_finished(talk->server))
		return;
	MUST(SSL_write(talk->client, mail, sizeof(mail) - 1) > 0 && pass_on(talk, VECTOR_CLIENT));
	MUST(SSL_write(talk->server, answer, sizeof(answer) - 1) > 0 && pass_on(talk, VECTOR_SERVER));
	char sink[512];
	SSL_read(talk->client, sink, sizeof(sink)); /* a session's tickets are taken in */
	ERR_clear_error();
}

static void talk_end(struct talk *talk)
{
	SSL_set_shutdown(talk->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_shutdown(talk->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(talk->client);
	SSL_free(talk->server);
}

void ends_play(struct ends *ends, struct vector *vector)
{
	struct talk talk = { .vector = NULL };
	SSL_SESSION *session = NULL;
	if (ends->resumed) {
		talk_start(&talk, ends, NULL);
		talk_through(&talk);
		session = SSL_get1_session(talk.client);
		talk_end(&talk);
	}
	talk.vector = vector;
	talk.steps = ends->plain_start ? 0 : steps_to_starttls(vector);
	talk_start(&talk, ends, session);
	talk_through(&talk);
	MUST(!session || SSL_session_reused(talk.client));
	talk_end(&talk);
	SSL_SESSION_free(session);
	SSL_CTX_free(ends->client);
	SSL_CTX_free(ends->server);
}
