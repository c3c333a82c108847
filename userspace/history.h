/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The memory behind tls-fallback: which sender's TLS failed with which server, and when; and what went there in clear,
 * for the end of a failed session may be heard of after that. Pure: no clock, no I/O.
 *
 * Same server: the same address, whatever the port (a sender may fall back from 465 to 25), or the same name in
 * the greeting (one server behind several addresses). Same sender: the same user and program name, and besides
 * the same process or the same cgroup: Postfix takes another process of the same service for the retry.
 *
 * A TLS session that succeeds in between takes nothing back. It shows that TLS works with this server, which
 * makes a session in clear after a failed one more of a reason to look, not less.
 */
#ifndef SMTPWARD_HISTORY_H
#define SMTPWARD_HISTORY_H

#include <stdint.h>
#include <time.h>

struct history;
struct session;

#define HISTORY_MAX 4096

/*
 * window_s: how long a failure is remembered; max: so many (server, sender) keys at most, the one whose failure is
 * the longest ago gives way, and as many for what went in clear. A session makes up to four keys. Returns NULL without
 * memory.
 */
struct history *history_new(unsigned window_s, unsigned max);
void history_free(struct history *history);

/* Another window from now on, for what is remembered already too. */
void history_set_window(struct history *history, unsigned window_s);

/* Notes that TLS failed in the session. now is of one clock, always the same, best one that never jumps. Without
 * memory nothing is noted. */
void history_tls_failed(struct history *history, const struct session *session, struct timespec now);

/*
 * Returns the id of the newest failed session that session, which goes in clear, may be the fallback of: same
 * server, same sender, within the window, and opened before session. 0 if there is none.
 */
uint64_t history_fallback_of(struct history *history, const struct session *session, struct timespec now);

/* Notes that the session went in clear, as history_tls_failed() does. */
void history_exposed(struct history *history, const struct session *session, struct timespec now);

/*
 * The same from the other end: the id of the newest session in clear that may be the fallback of failed; 0 if there is none.
 */
uint64_t history_fallback_to(struct history *history, const struct session *failed, struct timespec now);

/* Returns how many keys of failures are remembered, those that are past the window included until they are met. */
unsigned history_count(const struct history *history);

#endif
