/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "probe_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>

#include "cipher_suite.h"
#include "escape.h"
#include "tls_names.h"

/*
 * Everything is taken that a server may have to offer, however weak: what is weak is said, and cannot be seen otherwise.
 * The library makes no check of its own.
 */
static SSL_CTX *make_context(int minimum, int maximum)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context)
		return NULL;
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_LEGACY_SERVER_CONNECT);
	if (SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0") == 1 &&
	    SSL_CTX_set_min_proto_version(context, minimum) == 1 && SSL_CTX_set_max_proto_version(context, maximum) == 1)
		return context;
	SSL_CTX_free(context);
	return NULL;
}

static bool is_address(const char *name)
{
	uint8_t address[16];
	return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static int handshake(const char *name, struct probe_link *link, int minimum, int maximum)
{
	SSL_CTX *context = make_context(minimum, maximum);
	SSL *ssl = context ? SSL_new(context) : NULL;

	SSL_CTX_free(context); /* the SSL keeps it */
	if (!ssl)
		return -ENOMEM;
	if (!is_address(name))
		SSL_set_tlsext_host_name(ssl, name);
	probe_link_step(link, PROBE_STEP_MS);
	return probe_link_handshake(link, ssl);
}

static void describe_error(struct probe_tls *tls, int error)
{
	const char *reason = error == -EPROTO ? ERR_reason_error_string(ERR_peek_error()) : NULL;

	if (tls->alerted)
		snprintf(tls->error, sizeof(tls->error), "%s alert %u: %s", tls->alert_from_server ? "the server sent" : "sent",
			 tls->alert, tls_alert_name(tls->alert));
	else
		snprintf(tls->error, sizeof(tls->error), "%s%s%s", probe_error_text(error), reason ? ": " : "",
			 reason ? reason : "");
}

static void describe(struct probe_tls *tls, SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	int group = (int)SSL_get_negotiated_group(ssl);
	const char *group_name = group ? SSL_group_to_name(ssl, group) : NULL;
	EVP_PKEY *key = NULL;

	tls->version = (uint16_t)SSL_version(ssl);
	tls->suite = cipher ? SSL_CIPHER_get_protocol_id(cipher) : 0;
	cipher_name(tls->suite, tls->cipher);
	if (group_name)
		snprintf(tls->group, sizeof(tls->group), "%s", group_name);
	else if (SSL_get_peer_tmp_key(ssl, &key))
		snprintf(tls->group, sizeof(tls->group), "%s %d bits", EVP_PKEY_get0_type_name(key), EVP_PKEY_get_bits(key));
	EVP_PKEY_free(key);
}

static void check(const struct probe_options *options, struct probe_server *server, SSL *ssl)
{
	STACK_OF(X509) *sent = SSL_get_peer_cert_chain(ssl);
	struct tls_certificate chain[TLS_CERTIFICATES_MAX] = { 0 };
	unsigned char *der[TLS_CERTIFICATES_MAX] = { 0 };
	unsigned count = 0;

	for (int i = 0; i < sk_X509_num(sent) && count < TLS_CERTIFICATES_MAX; i++, count++) {
		int length = i2d_X509(sk_X509_value(sent, i), &der[count]);
		if (length > 0)
			chain[count] = (struct tls_certificate){ der[count], (size_t)length };
	}
	certificate_check(options->store, chain, count, server->name, (int64_t)time(NULL), &server->certificate);
	server->checked = true;
	for (unsigned i = 0; i < count; i++)
		OPENSSL_free(der[i]);
}

int probe_tls_start(const struct probe_options *options, struct probe_server *server, struct probe_link *link)
{
	int result;

	server->tls.tried = true;
	link->tls = &server->tls;
	result = handshake(server->name, link, TLS1_VERSION, TLS1_3_VERSION);
	if (result) {
		describe_error(&server->tls, result);
		return result;
	}
	server->tls.established = true;
	describe(&server->tls, link->ssl);
	check(options, server, link->ssl);
	return 0;
}

enum probe_answer probe_tls_try(const struct probe_server *server, struct probe_link *link, uint16_t version)
{
	int result = handshake(server->name, link, version, version);

	if (!result)
		return PROBE_YES;
	/* silence may have another reason; a server that ends the handshake has understood */
	return result == -EPROTO || result == -ENODATA || result == -ECONNRESET ? PROBE_NO : PROBE_NOT_KNOWN;
}
