/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who the server is: from the witness's events to a verdict, and what waits for that. */
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "agent.h"
#include "config.h"
#include "facts.h"
#include "identity_check.h"
#include "identity_judgement.h"
#include "monitor.h"
#include "resumption.h"
#include "session.h"

/* The name that the session's rule demands, or NULL. Rules of a configuration that is gone have no name any more. */
static const char *policy_name(const struct agent *agent, const struct session *session)
{
	uint32_t id = session->last.rule_id;
	if (session->last.require != REQUIRE_VERIFIED || id == 0 || id > agent->config->rule_count)
		return NULL;
	return agent->config->rules[id - 1].name;
}

/*
 * OpenSMTPD's process that talks to the server has no trust anchors: another one checks the chain, and looks at the name
 * with code of its own. (Postfix's smtpd connects to no server.)
 */
static bool is_opensmtpd(const struct flow_event *event)
{
	return strncmp(event->comm, "smtpd", sizeof(event->comm)) == 0;
}

static void check(struct agent *agent, struct session *session)
{
	bool resumed = session->tls && session->tls->resumed == TLS_RESUMED_YES; /* nothing else may ever be heard of it */
	struct identity_record *record = resumed ? session_identity(session) : session->identity;
	if (!record)
		return;
	record->checked_elsewhere = is_opensmtpd(&session->last);
	if (!record->witness.checked)
		resumption_look_up(agent->resumption, session);
	identity_check(agent->identity_checker, record, policy_name(agent, session), session->tls ? session->tls->server_name : NULL,
		       time(NULL));
}

/* Whether the kernel stops application data, or may do so, until it knows the peer. */
static bool is_demanded(const struct flow_event *event)
{
	return event->enforced && (event->require == REQUIRE_VERIFIED || event->min_tls) &&
	       !facts_tls_established(event->facts) && !(event->facts & FACT(BLOCKED)) && event->reason != EVENT_CLOSED;
}

/* Whether the library has made its check: GnuTLS does so behind the handshake. */
static bool has_spoken(const struct identity_record *record)
{
	enum sender_check check = record ? identity_sender_check(record) : SENDER_UNKNOWN;
	return check != SENDER_UNKNOWN && check != SENDER_DID_NOT_CHECK;
}

/*
 * Gives the kernel a verdict that it has not. Before the application data is there, only one that is certain: what is
 * left open then may yet be told by the library.
 */
static void tell_verdict(struct agent *agent, struct session *session)
{
	const struct flow_event *event = &session->last;
	bool waiting = event->reason == EVENT_HELD;
	enum identity verdict = identity_verdict(event, session->tls, session->identity, policy_name(agent, session));
	if (!waiting && (verdict == IDENTITY_LEFT_OPEN || (verdict == IDENTITY_REFUSED && !has_spoken(session->identity))))
		return;
	if (monitor_set_identity(agent->monitor, event->flow_id, verdict))
		return; /* over already */
	if (session->identity)
		session->identity->told = (uint8_t)verdict;
	if (!waiting)
		return;
	if (event->ifindex)
		return; /* its sender's TCP presents the data again */
	if (monitor_release_socket(agent->monitor, event, session->identity ? session->identity->witness.pid : 0))
		agent->counts.release_failed++;
}

/* In monitor mode the kernel does not wait, and so cannot tell what it would have come to. */
static void note_would_block(const struct agent *agent, struct session *session)
{
	struct flow_event *event = &session->last;
	if (event->enforced || event->require == REQUIRE_NONE || !facts_tls_established(event->facts))
		return;
	enum identity verdict = identity_verdict(event, session->tls, session->identity, policy_name(agent, session));
	if (verdict == IDENTITY_REFUSED || (verdict == IDENTITY_LEFT_OPEN && event->undecided == DOUBT_BLOCK))
		event->facts |= FACT(WOULD_BLOCK);
}

void agent_judge_identity(struct agent *agent, struct session *session)
{
	const struct flow_event *event = &session->last;
	check(agent, session);
	if (is_demanded(event) && (event->reason == EVENT_HELD || session->identity))
		tell_verdict(agent, session);
	note_would_block(agent, session);
	judge_identity(event, session->tls, session->identity, &session->judgement);
	if (event->reason != EVENT_CLOSED)
		return;
	resumption_note(agent->resumption, session);
	if (session->identity)
		identity_drop_certificates(session->identity);
}

void agent_take_certificate(void *context, const struct certificate_event *event)
{
	struct agent *agent = context;
	struct session *session;
	agent->counts.events_read++;
	struct identity_record *record = sessions_identity(agent->sessions, event->flow_id, &session);
	if (record)
		identity_take_certificate(record, event);
}

/* The library's word: where policy waits for it, the verdict is given at once, before the application data is there. */
void agent_take_witness(void *context, const struct witness_event *event)
{
	struct agent *agent = context;
	struct session *session;
	struct timespec now;
	agent->counts.events_read++;
	struct identity_record *record = sessions_identity(agent->sessions, event->flow_id, &session);
	if (!record)
		return;
	identity_take_witness(record, event);
	if (!is_demanded(&session->last))
		return;
	check(agent, session);
	tell_verdict(agent, session);
	clock_gettime(CLOCK_MONOTONIC, &now);
	durations_add(&agent->verdict_time, (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec - event->time_ns);
}
