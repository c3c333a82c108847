/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers of the TLS protocol and their names. Cipher suites: cipher_name(). */
#ifndef SMTPWARD_TLS_NAMES_H
#define SMTPWARD_TLS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

enum { TLS_VERSION_SSL3 = 0x0300, TLS_VERSION_10, TLS_VERSION_11, TLS_VERSION_12, TLS_VERSION_13 };

#define TLS_NAME_SIZE 32

/* "SSL 2.0", "SSL 3.0", "1.0" to "1.3"; "0xNNNN" for anything else. Writes it to text and returns text. */
const char *tls_version_name(uint16_t version, char text[TLS_NAME_SIZE]);

/* A key-exchange group as in IANA's registry ("x25519", "X25519MLKEM768"), or "0xNNNN". Returns text. */
const char *tls_group_name(uint16_t group, char text[TLS_NAME_SIZE]);

/* A signature scheme as in IANA's registry ("rsa_pss_rsae_sha256"), or "0xNNNN". Returns text. */
const char *tls_signature_name(uint16_t scheme, char text[TLS_NAME_SIZE]);

/* Name of a TLS alert (RFC 8446 section 6), "unknown" for a code that has none. */
const char *tls_alert_name(unsigned description);

/* Values that clients throw in to keep servers tolerant (RFC 8701); they mean nothing. */
static inline bool tls_is_grease(uint16_t value)
{
	return (value & 0x0f0f) == 0x0a0a && (value >> 8) == (value & 0xff);
}

#endif
