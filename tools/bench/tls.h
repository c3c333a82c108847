/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Both ends of a TLS session in one thread, over two connected sockets. */
#ifndef SMTPWARD_BENCH_TLS_H
#define SMTPWARD_BENCH_TLS_H

#include <openssl/ssl.h>

struct tls_pair {
	SSL *client;
	SSL *server;
};

/* Does the handshake, with a certificate made up on the spot. Returns 0, or -1 with OpenSSL's error queue filled. The
 * sockets stay the caller's; both block before and after. */
int tls_pair_open(struct tls_pair *pair, int client, int server);
void tls_pair_close(struct tls_pair *pair);

#endif
