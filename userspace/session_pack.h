/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A session in a tenth of its bytes, for the many that wait. A handshake that is being read and certificates that are
 * not yet checked cannot be packed; what else a session owns is packed with it.
 */
#ifndef SMTPWARD_SESSION_PACK_H
#define SMTPWARD_SESSION_PACK_H

#include <stdbool.h>
#include <stdint.h>

struct session;
struct packed_session;
struct shared_text;

/* Texts that many packed sessions share (cgroups), each kept once and as long as one of them needs it. Starts as NULL. */
struct shared_texts {
	struct shared_text *by_text;
};

/* Whether session_pack() can have it. */
bool session_is_packable(const struct session *session);
/* Packs a session that is packable, which goes into the result: the caller frees it no more. NULL without memory; then
 * the session is as it was. */
struct packed_session *session_pack(struct session *session, struct shared_texts *texts);
/* The reverse. Returns NULL without memory, and then packed is as it was. */
struct session *session_unpack(struct packed_session *packed, struct shared_texts *texts);
/* Unpacks what does not own anything: a copy, to be freed with session_free(). */
struct session *session_unpack_copy(const struct packed_session *packed);
uint64_t packed_session_id(const struct packed_session *packed);
void packed_session_free(struct packed_session *packed, struct shared_texts *texts);

/* Frees a session and what it owns. NULL is fine. */
void session_free(struct session *session);

#endif
