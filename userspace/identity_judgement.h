/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Judgement of a server's identity: what a session's outcome is, and what policy lets pass. Pure, as judgement.h. */
#ifndef SMTPWARD_IDENTITY_JUDGEMENT_H
#define SMTPWARD_IDENTITY_JUDGEMENT_H

#include "event.h"
#include "identity.h"
#include "judgement.h"
#include "tls_summary.h"

/*
 * Makes `encrypted` exact, and adds the findings about certificates: call it after judge_handshake(). tls and record may
 * be NULL.
 */
void judge_identity(const struct flow_event *event, const struct tls_summary *tls, const struct identity_record *record,
		    struct judgement *judgement);

/*
 * The word on the peer that the event's rule demands: IDENTITY_VERIFIED lets application data pass, IDENTITY_REFUSED stops
 * it, IDENTITY_LEFT_OPEN leaves it to `undecided`. policy_name: the rule's, or NULL. tls and record may be NULL.
 */
enum identity identity_verdict(const struct flow_event *event, const struct tls_summary *tls,
			       const struct identity_record *record, const char *policy_name);

#endif
