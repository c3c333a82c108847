/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of a server's identity: what the sender's own TLS library said (the witness), the certificates from
 * wire and witness, and the agent's own check of them.
 */
#ifndef SMTPWARD_IDENTITY_H
#define SMTPWARD_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certificate.h"
#include "event.h"
#include "finding.h"
#include "tls_facts.h"
#include "witness.h"

#define CHAIN_BYTES_MAX (64 * 1024) /* of a session's certificates; a longer chain is not checked */

/* Certificates as they come, the server's own first. */
struct certificate_chain {
	struct tls_certificate list[TLS_CERTIFICATES_MAX]; /* der is owned */
	uint32_t read[TLS_CERTIFICATES_MAX];               /* bytes of each so far */
	unsigned count;
	uint32_t bytes;
	bool broken; /* pieces are missing, or it is too long */
};

/* What the library said. All zero: nothing. */
struct witness_word {
	uint8_t library; /* enum witness_library; 0: there was no witness */
	uint8_t named;   /* enum witness_identity: what the check was for, or a check of the name alone */
	uint8_t mode;    /* enum witness_mode */
	bool handshake_done;
	bool checked;   /* the chain was */
	bool name_checked, name_matched; /* by a call of its own (GnuTLS) */
	bool name_by_call;               /* name is that call's: the check of the chain had none */
	bool asked;     /* the application asked for the result of the check */
	int32_t result; /* of the check: what the call returned */
	uint32_t error; /* of the check: 0 for none, else the library's number; or WITNESS_ERROR_UNKNOWN */
	uint32_t asked_error;
	uint32_t pid;
	uint8_t name_length;
	char name[WITNESS_NAME_SIZE]; /* hostile; NUL-terminated for a host name */
};

enum certificate_source { CERTIFICATE_FROM_NOWHERE, CERTIFICATE_FROM_WIRE, CERTIFICATE_FROM_WITNESS };
enum name_source { NAME_FROM_NOWHERE, NAME_FROM_POLICY, NAME_FROM_LIBRARY, NAME_FROM_SNI };

/* The agent's own check, as far as it is kept. */
struct own_check {
	enum certificate_source from;
	enum name_source name_from;
	char name[256];
	bool made;
	bool partial; /* the chain may be longer than what was seen of it, and no anchor was found: trust is not known */
	bool self_signed;
	bool untrusted, name_mismatch, expired, key_weak;
	bool name_matched;
	int64_t not_after;
	uint8_t sha256[CERTIFICATE_DIGEST_SIZE];
	char subject[128]; /* escaped */
	const char *verify_text; /* static; NULL: nothing was wrong with the chain */
};

/* What the sender's library made of the server. */
enum sender_check {
	SENDER_UNKNOWN,       /* it was not heard, or the application has a check of its own in its place */
	SENDER_VERIFIED,      /* chain and name (or a pinned key) were checked and found good */
	SENDER_CHAIN_ONLY,    /* the chain was found good, and no name was part of it */
	SENDER_FOUND_FAULT,   /* the check failed */
	SENDER_DID_NOT_CHECK, /* the handshake is done, and no check was made */
};

struct identity_record {
	struct witness_word witness;
	struct certificate_chain wire, heard; /* heard: by the witness */
	bool certificates_seen;
	uint8_t wire_digest[CERTIFICATE_DIGEST_SIZE], heard_digest[CERTIFICATE_DIGEST_SIZE]; /* of the server's own */
	bool wire_seen, heard_seen;
	struct own_check check;
	bool checked_elsewhere; /* the sender has another process for the check, and makes none in its library */
	enum sender_check resumed_check; /* of the session that this one resumes */
	enum outcome resumed_outcome;    /* its outcome; OUTCOME_UNKNOWN: not known */
	uint64_t resumed_id;             /* that session; 0: not known */
	uint8_t told;                    /* enum identity: the verdict that the kernel was given */
};

/* Frees what the record holds; the record itself is the caller's. */
void identity_clear(struct identity_record *record);
/* Frees the certificates: they have been checked, and only what was found is kept. */
void identity_drop_certificates(struct identity_record *record);

void identity_take_witness(struct identity_record *record, const struct witness_event *event);
void identity_take_certificate(struct identity_record *record, const struct certificate_event *event);
/* The Certificate message as it was read from the wire, once. */
void identity_take_wire(struct identity_record *record, const struct tls_certificates *certificates);

/* What the sender made of the server, by all that is known now. */
enum sender_check identity_sender_check(const struct identity_record *record);

/* Where wire, witness and own check do not say the same; each a static text. Returns how many, at most max. */
#define DISAGREEMENTS_MAX 3
unsigned identity_disagreements(const struct identity_record *record, const char *texts[DISAGREEMENTS_MAX]);

/* Words for JSON and people; NULL for a library that is none. */
const char *witness_library_name(unsigned library);
const char *sender_check_name(enum sender_check check);

#endif
