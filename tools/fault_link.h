/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One connection of the fault-making SMTP server: its bytes, in clear or in TLS, and the record of them. */
#ifndef FAULT_LINK_H
#define FAULT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <openssl/ssl.h>

#include "fault_options.h"

#define LINK_BUFFER_SIZE 65536

struct link {
	unsigned id; /* counts the connections from 1 */
	int fd;
	SSL *ssl; /* NULL: in clear */
	SSL_CTX *tls;
	const struct faults *faults;
	bool implicit_tls;
	size_t length; /* bytes waiting in buffer */
	char buffer[LINK_BUFFER_SIZE];
};

/* Opens the record, a file of JSON lines that every connection appends to. NULL: no record. Returns 0 or -errno. */
int record_open(const char *path);
/* Appends {"connection", "event", "layer", "data"}; layer and data may be NULL. Bytes are written as the
 * characters U+0000 to U+00FF. */
void record(unsigned connection, const char *event, const char *layer, const char *data, size_t length);

/* Reads more bytes into the buffer. Returns how many, 0 at the end, -1 on an error or if the buffer is full. */
ssize_t link_fill(struct link *link);
/* Takes one line without its line end (CRLF or LF) into line, NUL-terminated; a longer line is cut. Returns its
 * length, or -1 where the connection ended. */
ssize_t link_read_line(struct link *link, char *line, size_t size);
/* Skips n bytes of payload, or up to the end of DATA. Return false where the connection ended. */
bool link_skip(struct link *link, size_t n);
bool link_skip_data(struct link *link);
/* Reads and records until the client ends the connection. */
void link_swallow(struct link *link);
/* Writes bytes, segmented as the faults say. Returns false on an error. */
bool link_write(struct link *link, const char *data, size_t length);
/* Writes one reply line. */
__attribute__((format(printf, 2, 3))) bool link_reply(struct link *link, const char *format, ...);
/* Runs the server's side of a TLS handshake; waiting plaintext is forgotten. */
bool link_start_tls(struct link *link);
/* Makes the coming close() send an RST. */
void link_reset(struct link *link);

#endif
