/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the clear part of a TLS handshake tells. All zero means: not seen. Everything here is public, and every
 * byte string is as the peer sent it: hostile until escaped.
 */
#ifndef SMTPWARD_TLS_FACTS_H
#define SMTPWARD_TLS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ja4.h"

enum direction { FROM_CLIENT, FROM_SERVER };

#define TLS_LIST_MAX 64
#define TLS_PROTOCOLS_MAX 8
#define TLS_PROTOCOL_MAX 32
#define TLS_ALERTS_MAX 4
#define TLS_CERTIFICATES_MAX 16
#define TLS_SESSION_ID_MAX 32
#define TLS_TICKET_HASH_SIZE 16

/* Numbers in the order of the offer, GREASE left out. */
struct tls_list {
	uint16_t count; /* as offered */
	uint16_t kept;	/* of them in values */
	uint16_t values[TLS_LIST_MAX];
};

struct tls_protocol {
	uint8_t length; /* as sent; the first TLS_PROTOCOL_MAX bytes are kept */
	uint8_t bytes[TLS_PROTOCOL_MAX];
};

struct tls_session_id {
	uint8_t length;
	uint8_t bytes[TLS_SESSION_ID_MAX];
};

/* A session ticket by the start of its SHA-256: who offers it again resumes the session it was issued in. */
struct tls_ticket {
	bool present;
	uint8_t hash[TLS_TICKET_HASH_SIZE];
};

struct tls_alert {
	uint8_t level;
	uint8_t description;
	uint64_t at; /* bytes of this direction before its record */
};

struct tls_certificate {
	const uint8_t *der; /* valid as long as the handshake */
	size_t length;
};

/* A Certificate message (up to TLS 1.2), the peer's own certificate first. */
struct tls_certificates {
	bool seen;     /* the message came; with count 0 it was empty: no certificate */
	uint8_t count; /* kept */
	uint16_t sent; /* more than count where the chain was longer than TLS_CERTIFICATES_MAX */
	struct tls_certificate list[TLS_CERTIFICATES_MAX];
};

/* One direction. */
struct tls_stream {
	bool lost;		      /* a hole: nothing behind it was read */
	bool malformed;		      /* no TLS, or not as its RFCs say: nothing behind it was read */
	bool over_limit;	      /* larger than this reader takes: nothing behind it was read */
	uint16_t record_version;      /* of the first record */
	uint16_t record_version_last; /* of the last record in clear */
	bool change_cipher_spec;
	uint64_t change_cipher_spec_at; /* bytes before the first one's record */
	bool encrypted;
	uint64_t encrypted_at; /* bytes before the first encrypted record */
	uint8_t alerts_sent;   /* in clear; the first TLS_ALERTS_MAX are in alerts */
	struct tls_alert alerts[TLS_ALERTS_MAX];
	struct tls_certificates certificates;
};

/* ClientHello: the first one, except where it says otherwise. */
struct tls_client_facts {
	uint8_t hellos; /* 2 after a HelloRetryRequest */
	bool sslv2;	/* an SSLv2-compatible ClientHello; it is not read further */
	uint16_t legacy_version;
	uint16_t version_max;	  /* the highest offered, of those that are known */
	struct tls_list versions; /* supported_versions */
	struct tls_list suites;
	struct tls_list groups;
	struct tls_list signature_algorithms;
	struct tls_list key_shares;	  /* groups */
	struct tls_list key_shares_retry; /* of the second ClientHello */
	bool server_name_present;
	bool server_name_valid;	    /* characters of a host name only, and no more of them than one has */
	uint8_t server_name_length; /* of what is kept */
	char server_name[256];	    /* not ended by NUL */
	uint8_t protocols_offered;
	struct tls_protocol protocols[TLS_PROTOCOLS_MAX]; /* ALPN */
	struct tls_session_id session_id;
	bool session_ticket; /* the extension, perhaps without a ticket */
	struct tls_ticket ticket;
	bool psk;
	bool early_data;
	bool extended_master_secret;
	bool status_request;
	bool renegotiation_info; /* the extension or its SCSV */
	bool fallback_scsv;	 /* RFC 7507: an earlier attempt with a higher version failed */
	bool encrypted_client_hello;
	char ja4[JA4_SIZE]; /* "" if there is none */
};

enum tls_sentinel { TLS_SENTINEL_NONE, TLS_SENTINEL_TLS12, TLS_SENTINEL_TLS11 };

struct tls_server_facts {
	bool hello_retry_request;
	uint16_t retry_group; /* 0: not asked for another one */
	bool hello;
	uint16_t legacy_version;
	uint16_t version; /* chosen */
	uint16_t suite;
	uint16_t group;		      /* key exchange; 0: none, or not seen */
	uint16_t dh_bits;	      /* size of the prime of a DHE key exchange (up to TLS 1.2) */
	struct tls_protocol protocol; /* ALPN (up to TLS 1.2; encrypted in 1.3) */
	struct tls_session_id session_id;
	struct tls_ticket ticket;   /* issued in clear (up to TLS 1.2) */
	enum tls_sentinel sentinel; /* what the last bytes of random say, whether or not it means a downgrade */
	bool compression;
	bool psk; /* accepted: TLS 1.3 */
	bool extended_master_secret;
	bool session_ticket; /* announced */
	bool renegotiation_info;
	bool certificate_request;
	bool hello_done;
	bool raw_public_key; /* RFC 7250: the Certificate message holds no certificate */
};

enum tls_resumed { TLS_RESUMED_UNKNOWN, TLS_RESUMED_NO, TLS_RESUMED_YES };

struct tls_facts {
	struct tls_stream stream[2]; /* by enum direction */
	struct tls_client_facts client;
	struct tls_server_facts server;
	enum tls_resumed resumed;
	bool downgrade; /* the server says that it was offered less than the client did offer (RFC 8446 section 4.1.3) */
};

#endif
