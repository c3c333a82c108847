/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TLS cipher suites: the names of IANA's registry, and what RFC 9325 has to say of each. */
#ifndef SMTPWARD_CIPHER_SUITE_H
#define SMTPWARD_CIPHER_SUITE_H

#include <stdbool.h>
#include <stdint.h>

enum key_exchange {
	KEY_EXCHANGE_UNKNOWN,
	KEY_EXCHANGE_RSA, /* the client encrypts the secret to the server's key: no forward secrecy */
	KEY_EXCHANGE_DH,  /* static: the key is in the certificate */
	KEY_EXCHANGE_DHE,
	KEY_EXCHANGE_ECDH, /* static */
	KEY_EXCHANGE_ECDHE,
	KEY_EXCHANGE_OTHER, /* PSK alone, Kerberos, SRP, GOST, password */
	KEY_EXCHANGE_TLS13, /* not the suite's business */
};

struct cipher_facts {
	enum key_exchange key_exchange;
	unsigned bits; /* of security that the cipher gives: 3DES 112, NULL 0 */
	bool null;     /* no encryption */
	bool rc4;
	bool export_grade;
	bool anonymous; /* the server does not authenticate itself */
	bool psk;
	bool single_des;
	bool triple_des;
	bool aead;
	bool forward_secrecy;
	bool static_rsa;
};

#define CIPHER_NAME_SIZE 56

/* Writes the suite's name in IANA's registry, or "0xNNNN" where it has none. Returns text. */
const char *cipher_name(uint16_t suite, char text[CIPHER_NAME_SIZE]);

/* What the suite is. Returns false, with *facts all zero, for a suite that is not known. */
bool cipher_facts(uint16_t suite, struct cipher_facts *facts);

/* Why the suite must not be used (RFC 9325 section 4.1): no encryption, export grade, no authentication, RC4,
 * less than 112 bits. NULL where none of that holds or the suite is not known. */
const char *cipher_weakness(uint16_t suite);

/* Key transport by the server's RSA key, which RFC 9325 section 4.1 advises against. */
bool cipher_is_static_rsa(uint16_t suite);

#endif
