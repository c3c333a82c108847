/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tls.h"

#include <fcntl.h>
#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	if (!certificate)
		return NULL;
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"bench.example", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	if (!X509_sign(certificate, key, EVP_sha256())) {
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

static SSL *make_server(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = key ? make_certificate(key) : NULL;
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *server = NULL;
	if (certificate && context && SSL_CTX_use_certificate(context, certificate) == 1 &&
	    SSL_CTX_use_PrivateKey(context, key) == 1)
		server = SSL_new(context);
	if (server)
		SSL_set_accept_state(server);
	SSL_CTX_free(context);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return server;
}

static SSL *make_client(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *client = context ? SSL_new(context) : NULL;
	if (client)
		SSL_set_connect_state(client);
	SSL_CTX_free(context);
	return client;
}

static void set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

/* One step of one side. Returns 1 when it is through, 0 to go on, -1 if it failed. */
static int step(SSL *side)
{
	int result = SSL_do_handshake(side);
	if (result == 1)
		return 1;
	int error = SSL_get_error(side, result);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static int shake_hands(struct tls_pair *pair)
{
	int client = 0, server = 0;
	while (client >= 0 && server >= 0 && !(client && server)) {
		client = step(pair->client);
		server = step(pair->server);
	}
	return client < 0 || server < 0 ? -1 : 0;
}

int tls_pair_open(struct tls_pair *pair, int client, int server)
{
	pair->client = make_client();
	pair->server = make_server();
	if (!pair->client || !pair->server || SSL_set_fd(pair->client, client) != 1 || SSL_set_fd(pair->server, server) != 1)
		return -1;
	set_blocking(client, false); /* one thread plays both sides */
	set_blocking(server, false);
	int result = shake_hands(pair);
	set_blocking(client, true);
	set_blocking(server, true);
	return result;
}

void tls_pair_close(struct tls_pair *pair)
{
	SSL_free(pair->client);
	SSL_free(pair->server);
}

/* ---- a script --------------------------------------------------------------------------------------------- */

static bool use_memory(SSL *side)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (!in || !out) {
		BIO_free(in);
		BIO_free(out);
		return false;
	}
	SSL_set_bio(side, in, out); /* they are the SSL's now */
	return true;
}

/* What one side has written becomes the script's next message, and goes to the other side. */
static bool pass_on(struct tls_script *script, SSL *from, SSL *to, bool from_server)
{
	struct tls_message *message = &script->messages[script->count];
	int length = (int)BIO_ctrl_pending(SSL_get_wbio(from));
	if (length == 0)
		return true;
	if (script->count == TLS_SCRIPT_MAX || (size_t)length > sizeof(message->bytes))
		return false;
	script->count++;
	message->from_server = from_server;
	message->length = (size_t)length;
	return BIO_read(SSL_get_wbio(from), message->bytes, length) == length &&
	       BIO_write(SSL_get_rbio(to), message->bytes, length) == length;
}

static bool write_script(struct tls_script *script, const struct tls_pair *pair)
{
	static const char data[TLS_SCRIPT_DATA];
	bool client = false, server = false;
	for (unsigned turn = 0; turn < TLS_SCRIPT_MAX && !(client && server); turn++) {
		int result = step(pair->client);
		client = result == 1;
		if (result < 0 || !pass_on(script, pair->client, pair->server, false))
			return false;
		result = step(pair->server);
		server = result == 1;
		if (result < 0 || !pass_on(script, pair->server, pair->client, true))
			return false;
	}
	return client && server && SSL_write(pair->client, data, sizeof(data)) > 0 &&
	       pass_on(script, pair->client, pair->server, false) && SSL_write(pair->server, data, sizeof(data)) > 0 &&
	       pass_on(script, pair->server, pair->client, true);
}

int tls_script_make(struct tls_script *script)
{
	struct tls_pair pair = { .client = make_client(), .server = make_server() };
	bool made = pair.client && pair.server && use_memory(pair.client) && use_memory(pair.server);
	script->count = 0;
	made = made && write_script(script, &pair);
	tls_pair_close(&pair);
	return made ? 0 : -1;
}
