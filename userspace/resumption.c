/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "facts.h"
#include "resumption.h"
#include "session.h"
#include "tls_names.h"

enum key_kind { KEY_SESSION_ID = 1, KEY_TICKET, KEY_PEER };

/* Compared as bytes: no padding, and all of it written. */
struct key {
	uint32_t kind;
	uint32_t uid; /* of the sender */
	uint8_t bytes[TLS_SESSION_ID_MAX]; /* session id, ticket's hash, or program */
	uint8_t server[16];
	uint64_t port;
};

_Static_assert(sizeof(struct key) == 32 + TLS_SESSION_ID_MAX, "a key has no padding");

struct entry {
	struct key key;
	uint64_t session_id;
	enum sender_check check; /* SENDER_UNKNOWN: sessions with this key came to different ends */
	enum outcome outcome;
	UT_hash_handle hh;
};

struct resumption {
	struct entry *entries; /* the one that was noted longest ago is first */
	unsigned max;
};

struct resumption *resumption_new(unsigned max)
{
	struct resumption *resumption = calloc(1, sizeof(*resumption));
	if (resumption)
		resumption->max = max;
	return resumption;
}

static void forget(struct resumption *resumption, struct entry *entry)
{
	HASH_DEL(resumption->entries, entry);
	free(entry);
}

void resumption_free(struct resumption *resumption)
{
	if (!resumption)
		return;
	while (resumption->entries)
		forget(resumption, resumption->entries);
	free(resumption);
}

static struct key new_key(const struct session *session, enum key_kind kind, const void *bytes, size_t length)
{
	struct key key;
	memset(&key, 0, sizeof(key));
	key.kind = kind;
	key.uid = session->last.uid;
	memcpy(key.bytes, bytes, length < sizeof(key.bytes) ? length : sizeof(key.bytes));
	memcpy(key.server, session->last.server_address, sizeof(key.server));
	key.port = session->last.server_port;
	return key;
}

static void note(struct resumption *resumption, const struct session *session, struct key key)
{
	enum sender_check check = session->identity ? identity_sender_check(session->identity) : SENDER_UNKNOWN;
	struct entry *entry = NULL;
	HASH_FIND(hh, resumption->entries, &key, sizeof(key), entry);
	if (entry && key.kind == KEY_PEER && (entry->check != check || entry->outcome != session->judgement.outcome))
		check = SENDER_UNKNOWN;
	if (entry)
		forget(resumption, entry);
	if (HASH_COUNT(resumption->entries) >= resumption->max)
		forget(resumption, resumption->entries);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return;
	entry->key = key;
	entry->check = check;
	entry->outcome = session->judgement.outcome;
	entry->session_id = session->id;
	HASH_ADD(hh, resumption->entries, key, sizeof(entry->key), entry);
}

void resumption_note(struct resumption *resumption, const struct session *session)
{
	const struct tls_summary *tls = session->tls;
	bool known = session->identity && identity_sender_check(session->identity) != SENDER_UNKNOWN;
	if (!tls || !facts_tls_established(session->last.facts))
		return;
	/* one of which nothing is known may be the one that is resumed next */
	if (tls->version >= TLS_VERSION_13) {
		note(resumption, session, new_key(session, KEY_PEER, session->last.comm, sizeof(session->last.comm)));
		return;
	}
	if (!known)
		return;
	if (tls->issued_ticket.present)
		note(resumption, session, new_key(session, KEY_TICKET, tls->issued_ticket.hash, sizeof(tls->issued_ticket.hash)));
	if (tls->issued_id.length)
		note(resumption, session, new_key(session, KEY_SESSION_ID, tls->issued_id.bytes, tls->issued_id.length));
}

void resumption_look_up(struct resumption *resumption, struct session *session)
{
	const struct tls_summary *tls = session->tls;
	struct identity_record *record = session->identity;
	struct entry *entry = NULL;
	struct key key;
	if (!tls || tls->resumed != TLS_RESUMED_YES || record->resumed_id)
		return;
	if (tls->version >= TLS_VERSION_13)
		key = new_key(session, KEY_PEER, session->last.comm, sizeof(session->last.comm));
	else if (tls->offered_ticket.present)
		key = new_key(session, KEY_TICKET, tls->offered_ticket.hash, sizeof(tls->offered_ticket.hash));
	else
		key = new_key(session, KEY_SESSION_ID, tls->offered_id.bytes, tls->offered_id.length);
	HASH_FIND(hh, resumption->entries, &key, sizeof(key), entry);
	if (!entry || entry->check == SENDER_UNKNOWN)
		return;
	record->resumed_check = entry->check;
	record->resumed_outcome = entry->outcome;
	record->resumed_id = entry->session_id;
}
