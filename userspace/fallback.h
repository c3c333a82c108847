/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What one session makes of another: in clear, behind one of the same sender's whose TLS failed with the same server. */
#ifndef SMTPWARD_FALLBACK_H
#define SMTPWARD_FALLBACK_H

#include <time.h>

struct history;
struct session;
struct sessions;

/*
 * Behind judge(): adds tls-fallback to a session in clear, or stopped on the way there, that is the retry of one whose TLS
 * failed, and names that one in linked_id. now: as for history.h.
 */
void fallback_judge(struct history *history, struct session *session, struct timespec now);

/*
 * For a session that is over: if it tried TLS in vain, history knows from now on. What its sender did next may have been
 * quicker than that end, for the server, or who is in between, may take its time with the FIN. Returns the session that turns
 * out to be its fallback only now, judged; NULL if there is none. The table may pack another one away for it.
 */
struct session *fallback_end(struct history *history, struct sessions *sessions, const struct session *session, struct timespec now);

#endif
