/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The TLS record layer (RFC 8446 section 5.1), read byte by byte as far as it is in clear: type, version,
 * length, and the first two bytes of a handshake message or alert. The content of the handshake is not read
 * here; whoever wants it takes the bytes of records of type TLS_HANDSHAKE before encryption starts.
 */
#ifndef SMTPWARD_TLS_RECORD_H
#define SMTPWARD_TLS_RECORD_H

#include <linux/types.h>

#include "compiler.h"

enum tls_type { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_DATA = 23, TLS_HEARTBEAT = 24 };

enum tls_handshake_type { TLS_CLIENT_HELLO = 1, TLS_SERVER_HELLO = 2 };

#define TLS_RECORD_MAX (16384 + 2048) /* TLSCiphertext.length, RFC 5246 section 6.2.3 */

/*
 * In TLS 1.3 an alert hides in a record of type 23: two bytes, the inner type and a 16-byte tag. The shortest
 * handshake message and the shortest SMTP command under the same cipher suites are longer.
 */
#define TLS13_ALERT_LENGTH 19

/*
 * No Finished of TLS 1.2 is longer, with explicit IV, MAC and padding of any cipher suite, and no second hello of
 * TLS 1.3 (behind a HelloRetryRequest) is shorter, with a session id as all have that send ChangeCipherSpec.
 */
#define TLS12_FINISHED_MAX 104

/* Payload of a record that holds QUIT and CRLF, at most: AES-CBC with HMAC-SHA384, an IV of 16 bytes and 64 bytes of blocks. */
#define TLS_QUIT_MAX 80

/*
 * A TLS 1.3 record that holds a Finished and nothing else: 4 bytes, the hash (SHA-256 or SHA-384), the inner type, and a
 * tag of 16 or (CCM_8) 8 bytes. Certificate and CertificateVerify, which may stand before it, are never that short.
 */
static __always_inline int tls13_is_finished(__u16 length)
{
	return length == 4 + 32 + 1 + 16 || length == 4 + 48 + 1 + 16 || length == 4 + 32 + 1 + 8;
}

struct tls_record {
	__u16 length;   /* of the payload */
	__u8 position;  /* bytes read of header and payload head; 0 between records */
	__u8 type;      /* enum tls_type */
	__u8 first;     /* first byte of the payload: handshake type or alert level */
	__u8 second;    /* second byte of the payload: alert description */
	__u8 encrypted; /* 1: ChangeCipherSpec was seen, handshake messages are no longer in clear */
	__u8 legacy;    /* 1: a handshake record after ChangeCipherSpec: TLS 1.2 or older */
};

enum tls_step { TLS_INVALID, TLS_MORE, TLS_RECORD };

static __always_inline int tls_type_is_valid(__u8 type)
{
	return type >= TLS_CHANGE_CIPHER_SPEC && type <= TLS_HEARTBEAT;
}

/*
 * Takes the next byte. Returns TLS_INVALID if this is no TLS, TLS_MORE, or TLS_RECORD as soon as all that
 * matters of a record is known; its other tls_record_rest() bytes are then to be skipped.
 */
static __always_inline enum tls_step tls_record_byte(struct tls_record *record, __u8 byte)
{
	switch (record->position++) {
	case 0:
		record->type = byte;
		return tls_type_is_valid(byte) ? TLS_MORE : TLS_INVALID;
	case 1:
		return byte == 3 ? TLS_MORE : TLS_INVALID;
	case 2:
		return byte <= 4 ? TLS_MORE : TLS_INVALID;
	case 3:
		record->length = (__u16)(byte << 8);
		return TLS_MORE;
	case 4:
		record->length |= byte;
		if (record->length > TLS_RECORD_MAX)
			return TLS_INVALID;
		if (record->type == TLS_HANDSHAKE && record->length > 0)
			return TLS_MORE;
		return record->type == TLS_ALERT && record->length == 2 ? TLS_MORE : TLS_RECORD;
	case 5:
		record->first = byte;
		return record->type == TLS_HANDSHAKE ? TLS_RECORD : TLS_MORE;
	default:
		record->second = byte;
		return TLS_RECORD;
	}
}

/*
 * Whether a handshake record is encrypted. In TLS 1.3's middlebox compatibility mode the ChangeCipherSpec means
 * nothing, and a second ClientHello or ServerHello in clear may come behind it (RFC 8446 appendix D.4).
 */
static __always_inline int tls_handshake_is_encrypted(const struct tls_record *record, __u8 hello)
{
	return record->encrypted && !(record->first == hello && record->length > TLS12_FINISHED_MAX);
}

/* Bytes of the record that TLS_RECORD was returned for, still to come. Makes ready for the next record. */
static __always_inline __u32 tls_record_rest(struct tls_record *record)
{
	__u32 looked_at = record->position > 5 ? record->position - 5 : 0;
	record->position = 0;
	return record->length > looked_at ? record->length - looked_at : 0;
}

#endif
