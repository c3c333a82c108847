/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One connection of the probe, in clear and then in TLS. Whatever the server does, each call ends by the deadline.
 *
 * Everything that goes over the wire passes the dialogue machine too, so that the probe's facts are those that the agent
 * would have seen.
 */
#ifndef SMTPWARD_PROBE_LINK_H
#define SMTPWARD_PROBE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "dialogue.h"
#include "probe.h"

#define PROBE_BYTES_MAX (512 * 1024) /* from the server, on one connection */
#define PROBE_STEP_MS 20000	     /* for a connection, a reply, a handshake */

struct probe_link {
	int fd;
	int64_t end;	  /* of all connections together, CLOCK_MONOTONIC in milliseconds */
	int64_t step_end; /* of what is done now */
	SSL *ssl;	  /* NULL: in clear */
	struct client_parser client;
	struct server_parser server;
	uint64_t received;
	size_t length; /* bytes waiting in buffer */
	uint8_t buffer[4096];
	struct probe_tls *tls; /* where alerts are noted, or NULL */
};

int64_t probe_now_ms(void);

/* Connects. Returns 0 or a negative errno; then there is nothing to close. */
int probe_link_open(struct probe_link *link, const struct sockaddr *address, socklen_t size, bool implicit_tls, int64_t end);
void probe_link_close(struct probe_link *link);

/* The next step may take ms milliseconds, but not longer than all may. */
void probe_link_step(struct probe_link *link, int64_t ms);

/* All of these return 0 or a negative errno: -ETIMEDOUT, -ENODATA (the server closed), -EMSGSIZE (too much), -EPROTO ... */
int probe_link_send(struct probe_link *link, const void *bytes, size_t length);
/* Waits for bytes and appends them to the buffer. */
int probe_link_fill(struct probe_link *link);
/* Takes bytes that are here within ms, without waiting for more; 0 also where none came. */
int probe_link_peek(struct probe_link *link, int64_t ms);
/* The client's side of a handshake. What waits in the buffer is TLS, or the caller has emptied it. */
int probe_link_handshake(struct probe_link *link, SSL *ssl);

/* What such an error says of the server. */
const char *probe_error_text(int error);

#endif
