/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "fallback.h"

#include "facts.h"
#include "history.h"
#include "policy.h"
#include "session.h"

void fallback_judge(struct history *history, struct session *session, struct timespec now)
{
	const uint32_t exposure = FINDING_MASK(FINDING_CLEARTEXT_AUTH) | FINDING_MASK(FINDING_CLEARTEXT_MAIL);
	struct judgement *judgement = &session->judgement;
	if (!(judgement->findings & exposure))
		return;
	if (!session->linked_id)
		session->linked_id = history_fallback_of(history, session, now);
	if (!session->linked_id) {
		history_exposed(history, session, now);
		return;
	}
	judgement->findings |= FINDING_MASK(FINDING_TLS_FALLBACK);
	judgement->severity[FINDING_TLS_FALLBACK] = session->last.require == REQUIRE_NONE ? SEVERITY_INFO : SEVERITY_ERROR;
	if (judgement->cause_name) {
		judgement->cause = FINDING_TLS_FALLBACK;
		judgement->cause_name = finding_name(FINDING_TLS_FALLBACK);
	}
}

/* A handshake that failed, or a STARTTLS that led to none. */
static bool tls_was_tried_in_vain(const struct session *session)
{
	enum outcome outcome = session->judgement.outcome;
	bool stopped_in_tls = outcome == OUTCOME_BLOCKED && (session->last.facts & FACT(CLIENT_HELLO)); /* for its peer's identity */
	return outcome == OUTCOME_FAILED || stopped_in_tls ||
	       (outcome == OUTCOME_REFUSED && (session->last.facts & FACT(STARTTLS_ASKED)));
}

struct session *fallback_end(struct history *history, struct sessions *sessions, const struct session *session, struct timespec now)
{
	if (!tls_was_tried_in_vain(session))
		return NULL;
	const uint64_t failed_id = session->id;
	history_tls_failed(history, session, now);
	uint64_t id = history_fallback_to(history, session, now);
	struct session *exposed = id ? sessions_find(sessions, id) : NULL;
	if (!exposed || exposed->linked_id)
		return NULL;
	exposed->linked_id = failed_id;
	fallback_judge(history, exposed, now);
	return exposed;
}
