/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The witness: what the sender's own TLS library concluded of the peer. ABI between the uprobes, the egress program and
 * the agent. Public data and return values only.
 *
 * A library's session is found to be a flow's by ClientHello.random: the egress program notes it from the wire, the
 * uprobe reads it out of the session's memory. Threads, descriptors, processes that pass a socket on: nothing of that
 * has to be guessed, and what does not match is nobody's.
 */
#ifndef SMTPWARD_WITNESS_H
#define SMTPWARD_WITNESS_H

#include <linux/types.h>

#include "compiler.h"

/* The half of ClientHello.random that is taken; the other half may begin with a clock (RFC 5246 section 7.4.1.2). */
#define HELLO_RANDOM_AT 11 /* record header 5, handshake header 4, legacy_version 2 */
#define HELLO_KEY_AT (HELLO_RANDOM_AT + 8)
#define HELLO_KEY_BYTES 8

#define WITNESS_NAME_SIZE 128 /* a host name that the library was told to check; a longer one counts as not read */
#define WITNESS_FLOWS_MAX 8192
#define WITNESS_CERTIFICATES_MAX 16 /* of a flow */
#define CERTIFICATE_CHUNK 512 /* what BPF can set to zero in one go */
#define CERTIFICATE_BYTES_MAX (16 * 1024) /* of one certificate */

/* Value of the hello map. Another user's process can know the random, too: its word does not count. */
struct hello {
	__u64 flow_id;
	__u32 uid; /* of the process that connected */
	__u32 pid;
};

/* What may be known of a flow's peer, as far as it decides whether application data may leave. */
enum identity {
	IDENTITY_UNDECIDED = 0,
	IDENTITY_VERIFIED = 1,
	IDENTITY_REFUSED = 2,
	IDENTITY_LEFT_OPEN = 3, /* nobody can tell, and nobody will: the rule's `undecided` decides */
};

/*
 * A flow's entry, from its ClientHello to its end. The place of one that is removed is another flow's at once, while a uprobe
 * may still write to it: so what lets data pass says which flow it is about.
 */
struct witness {
	__u64 good_for; /* the flow's id: the library's check found nothing wrong, and a name, an address or a pinned key was part of it */
	__u64 name_for; /* the flow's id ^ hash of the name that was checked; 0: none was */
	__u8 checked;   /* the library made its check of the chain */
	__u8 handshake_done; /* the library's handshake call has returned success */
	__u8 certificates;   /* passed on so far */
	__u8 demanded;       /* policy asks for it: the agent is woken for each word of the witness */
	__u8 lost;           /* events about this flow that found the ring full; 255: or more */
	__u8 reserved[3];
};

/*
 * The agent's word on a flow's peer, which goes before the witness's. In a map of its own, with an entry for as long as there
 * is one above: whoever writes from user space writes a whole value, and would undo what the witness has noted meanwhile.
 */
struct peer_verdict {
	__u32 identity; /* enum identity */
};

enum witness_library { WITNESS_OPENSSL = 1, WITNESS_GNUTLS = 2 };

enum witness_kind {
	WITNESS_HANDSHAKE = 1, /* the handshake call has returned success */
	WITNESS_CHAIN = 2,     /* the chain was checked; and the name, where there is one */
	WITNESS_NAME = 3,      /* a name was held against the certificate, by a call of its own (GnuTLS) */
	WITNESS_RESULT = 4,    /* the application asked for the check's result (SSL_get_verify_result) */
};

/* What a name in a witness_event is. */
enum witness_identity {
	WITNESS_NAMED_NONE = 0,
	WITNESS_NAMED_HOST = 1,
	WITNESS_NAMED_ADDRESS = 2, /* name holds 4 or 16 bytes */
	WITNESS_NAMED_LONG = 3,    /* there was one, too long to be read */
	WITNESS_NAMED_SEVERAL = 5, /* one of several was found; name is the first, which may be another */
	WITNESS_PINNED = 4,        /* a pinned key or certificate matched (DANE's TLSA records; Postfix's fingerprints) */
};

/* Whether the handshake was to fail with the check (OpenSSL's SSL_VERIFY_PEER). */
enum witness_mode { WITNESS_MODE_UNKNOWN = 0, WITNESS_MODE_LENIENT = 1, WITNESS_MODE_STRICT = 2 };

#define WITNESS_ERROR_UNKNOWN 0xffffffffU

struct witness_event {
	__u64 flow_id;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 pid; /* process that runs the handshake; not always the one that connected */
	__u32 tid;
	__s32 result; /* what the function returned */
	__u32 error;  /* OpenSSL: X509_V_ERR_*; GnuTLS: GNUTLS_CERT_* bits; 0: all is well; WITNESS_ERROR_UNKNOWN */
	__u8 library; /* enum witness_library */
	__u8 kind;    /* enum witness_kind */
	__u8 named;   /* enum witness_identity */
	__u8 name_length;
	__u8 mode; /* enum witness_mode */
	__u8 reserved[3];
	char name[WITNESS_NAME_SIZE]; /* hostile bytes; NUL-terminated where it is a host name */
};

_Static_assert(sizeof(struct witness_event) == 40 + WITNESS_NAME_SIZE, "event ABI: no implicit padding");

/* A piece of a certificate, in DER, as the library got it from the peer. */
struct certificate_event {
	__u64 flow_id;
	__u32 total;  /* bytes of the certificate */
	__u32 offset; /* of the first byte here */
	__u16 length;
	__u8 index; /* certificates of the flow, from 0: the peer's own first */
	__u8 reserved[5];
	__u8 bytes[CERTIFICATE_CHUNK];
};

_Static_assert(sizeof(struct certificate_event) == 24 + CERTIFICATE_CHUNK, "event ABI: no implicit padding");

/* Where OpenSSL keeps what the witness reads; see library.h. All zero: not known. */
struct openssl_layout {
	__u16 error, param, dane; /* in X509_STORE_CTX */
	__u16 hosts, ip;          /* in X509_VERIFY_PARAM */
	__u16 known; /* 1: all of the above are */
	__u16 ex_data; /* in X509_STORE_CTX: the stack that has the SSL; 0: not known */
	__u16 verify_mode, is_server; /* in SSL: a matter of libssl; 0 where they are not known */
};

/*
 * Where a session's memory has ClientHello.random: at inner bytes behind the session, or, with outer not 0, behind the
 * pointer that stands at outer.
 */
struct random_place {
	__u16 outer;
	__u16 inner; /* 0: not known */
};

/* A library file that is watched; the uprobes get its place in the array as their cookie. */
struct witness_library_state {
	struct openssl_layout layout;
	struct random_place place; /* learnt from the first handshake that is found */
	__u32 searches;            /* for that place */
	__u32 library;             /* enum witness_library */
	__u32 partner;             /* of a libcrypto: the index of the libssl that goes with it, and 1 more; 0: none */
	__u32 text_before, text_after; /* bytes of code before and behind SSL_do_handshake */
};

#define WITNESS_LIBRARIES_MAX 64

/* FNV-1a, 64 bits, of a name in lower case, the way both sides compare names. Never 0. */
static __always_inline __u64 name_hash_step(__u64 hash, __u8 byte)
{
	if (byte >= 'A' && byte <= 'Z')
		byte = (__u8)(byte + 32);
	return (hash ^ byte) * 0x100000001b3ULL;
}

#define NAME_HASH_START 0xcbf29ce484222325ULL

static inline __u64 name_hash(const char *name)
{
	__u64 hash = NAME_HASH_START;
	while (*name)
		hash = name_hash_step(hash, (__u8)*name++);
	return hash;
}

#endif
