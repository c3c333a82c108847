/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What senders made of their servers, for sessions that are resumed later: then there is no certificate and no check, and
 * the verdict of the session that is resumed holds on.
 *
 * Up to TLS 1.2 the resumed session is known by its session id or its ticket. In TLS 1.3 nothing in clear tells it: the
 * same sender's earlier sessions with the same server stand for it where they all came to the same.
 */
#ifndef SMTPWARD_RESUMPTION_H
#define SMTPWARD_RESUMPTION_H

struct resumption;
struct session;

#define RESUMPTION_MAX 4096

/* max: so many sessions are remembered; the one that was not met for longest goes first. NULL without memory. */
struct resumption *resumption_new(unsigned max);
void resumption_free(struct resumption *resumption);

/* Remembers what the sender of a session that is over made of its server, if that is known. */
void resumption_note(struct resumption *resumption, const struct session *session);

/* If session is a resumed one: fills resumed_check and resumed_id of its identity record, where they are known. */
void resumption_look_up(struct resumption *resumption, struct session *session);

#endif
