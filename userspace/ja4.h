/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* JA4, the public fingerprint of a TLS client (its ClientHello), for TLS over TCP. */
#ifndef SMTPWARD_JA4_H
#define SMTPWARD_JA4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JA4_SIZE 37

struct ja4_list {
	const uint16_t *values; /* in the order of the ClientHello; GREASE may be among them */
	size_t count;
};

struct ja4_input {
	uint16_t version; /* highest of supported_versions, or the legacy version without that extension */
	bool server_name; /* the extension is there */
	struct ja4_list suites;
	struct ja4_list extensions;
	struct ja4_list signature_algorithms;
	const uint8_t *protocol; /* the first of ALPN; NULL: none */
	size_t protocol_length;
};

/* Writes the fingerprint to text. Returns false, with text "", when there is no memory. */
bool ja4_text(const struct ja4_input *input, char text[JA4_SIZE]);

#endif
