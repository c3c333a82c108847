/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "session_pack.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "handshake.h"
#include "pack.h"
#include "session.h"

/* What is between the id and the first pointer to something owned; judgement's are to static texts. The id stands in
 * the last event again, and is not packed there. */
#define PLAIN_START (offsetof(struct session, id) + sizeof(uint64_t))
#define PLAIN_SIZE (offsetof(struct session, cgroup) - PLAIN_START)
#define ACCOUNT_MAX 255 /* longer than ACCOUNT_SIZE, and than a hash's text */

struct packed_session {
	uint64_t id;
	struct shared_text *cgroup;
	uint8_t has_tls, has_identity, account_length;
	uint8_t bytes[]; /* session, tls, identity, account */
};

#define BOUND (PACK_BOUND(PLAIN_SIZE) + PACK_BOUND(sizeof(struct tls_summary)) + PACK_BOUND(sizeof(struct identity_record)) + ACCOUNT_MAX)

/* ---- texts ------------------------------------------------------------------------------------------------ */

struct shared_text {
	UT_hash_handle hh;
	unsigned users;
	char text[];
};

static struct shared_text *text_share(struct shared_texts *texts, const char *text)
{
	struct shared_text *shared = NULL;
	size_t length = strlen(text);
	HASH_FIND(hh, texts->by_text, text, length, shared);
	if (!shared) {
		shared = calloc(1, sizeof(*shared) + length + 1);
		if (!shared)
			return NULL;
		memcpy(shared->text, text, length + 1);
		HASH_ADD(hh, texts->by_text, text[0], length, shared);
	}
	shared->users++;
	return shared;
}

static void text_leave(struct shared_texts *texts, struct shared_text *shared)
{
	if (!shared || --shared->users)
		return;
	HASH_DEL(texts->by_text, shared);
	free(shared);
}

/* ---- sessions --------------------------------------------------------------------------------------------- */

void session_free(struct session *session)
{
	if (!session)
		return;
	handshake_free(session->handshake);
	if (session->identity)
		identity_clear(session->identity);
	free(session->identity);
	free(session->tls);
	free(session->cgroup);
	free(session->account);
	free(session);
}

bool session_is_packable(const struct session *session)
{
	const struct identity_record *identity = session->identity;
	if (session->handshake || (session->account && strlen(session->account) > ACCOUNT_MAX))
		return false;
	return !identity || (!identity->wire.count && !identity->heard.count);
}

struct packed_session *session_pack(struct session *session, struct shared_texts *texts)
{
	uint8_t bytes[BOUND], *end;
	size_t account_length = session->account ? strlen(session->account) : 0;
	struct packed_session *packed;

	session->last.flow_id = 0;
	end = pack(bytes, (const uint8_t *)session + PLAIN_START, PLAIN_SIZE);
	session->last.flow_id = session->id;
	if (session->tls)
		end = pack(end, session->tls, sizeof(*session->tls));
	if (session->identity)
		end = pack(end, session->identity, sizeof(*session->identity));
	if (account_length)
		memcpy(end, session->account, account_length);
	end += account_length;
	packed = malloc(offsetof(struct packed_session, bytes) + (size_t)(end - bytes));
	if (!packed)
		return NULL;
	packed->id = session->id;
	packed->cgroup = session->cgroup ? text_share(texts, session->cgroup) : NULL;
	if (session->cgroup && !packed->cgroup) {
		free(packed);
		return NULL;
	}
	packed->has_tls = session->tls != NULL;
	packed->has_identity = session->identity != NULL;
	packed->account_length = (uint8_t)account_length;
	memcpy(packed->bytes, bytes, (size_t)(end - bytes));
	session_free(session);
	return packed;
}

struct session *session_unpack_copy(const struct packed_session *packed)
{
	struct session *session = calloc(1, sizeof(*session));
	const uint8_t *in;

	if (!session)
		return NULL;
	session->id = packed->id;
	in = unpack(packed->bytes, (uint8_t *)session + PLAIN_START, PLAIN_SIZE);
	session->last.flow_id = packed->id;
	if (packed->has_tls) {
		session->tls = malloc(sizeof(*session->tls));
		if (!session->tls)
			goto no_memory;
		in = unpack(in, session->tls, sizeof(*session->tls));
	}
	if (packed->has_identity) {
		session->identity = malloc(sizeof(*session->identity));
		if (!session->identity)
			goto no_memory;
		in = unpack(in, session->identity, sizeof(*session->identity));
	}
	if (packed->account_length)
		session->account = strndup((const char *)in, packed->account_length);
	if (packed->cgroup)
		session->cgroup = strdup(packed->cgroup->text);
	if ((!packed->account_length || session->account) && (!packed->cgroup || session->cgroup))
		return session;
no_memory:
	session_free(session);
	return NULL;
}

struct session *session_unpack(struct packed_session *packed, struct shared_texts *texts)
{
	struct session *session = session_unpack_copy(packed);
	if (session)
		packed_session_free(packed, texts);
	return session;
}

uint64_t packed_session_id(const struct packed_session *packed)
{
	return packed->id;
}

void packed_session_free(struct packed_session *packed, struct shared_texts *texts)
{
	text_leave(texts, packed->cgroup);
	free(packed);
}
