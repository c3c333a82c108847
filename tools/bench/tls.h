/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Both ends of a TLS session in one thread, over two connected sockets. */
#ifndef SMTPWARD_BENCH_TLS_H
#define SMTPWARD_BENCH_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct tls_pair {
	SSL *client;
	SSL *server;
};

/* Does the handshake, with a certificate made up on the spot. Returns 0, or -1 with OpenSSL's error queue filled. The
 * sockets stay the caller's; both block before and after. */
int tls_pair_open(struct tls_pair *pair, int client, int server);
void tls_pair_close(struct tls_pair *pair);

/* The bytes of a handshake and of some data in both directions, message by message, to be said again on many
 * connections: who only watches cannot tell. */
#define TLS_SCRIPT_MAX 12
#define TLS_SCRIPT_DATA 100 /* bytes of data */

struct tls_message {
	bool from_server;
	size_t length;
	uint8_t bytes[4096];
};

struct tls_script {
	unsigned count;
	struct tls_message messages[TLS_SCRIPT_MAX];
};

/* Returns 0, or -1 with OpenSSL's error queue filled. */
int tls_script_make(struct tls_script *script);

#endif
