/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stddef.h>
#include <string.h>

#include "cipher_suite.h"
#include "facts.h"
#include "judgement.h"
#include "policy.h"
#include "tls_names.h"

/* What makes the rest of a flow's story untold. */
#define FACTS_DOUBT (FACT(CLIENT_GAP) | FACT(SERVER_GAP) | FACT(SERVER_CAP) | FACT(UNSEEN) | FACT(NO_STORAGE))

/* What a judgement goes by, read off the event once. */
struct view {
	const struct flow_event *event;
	uint64_t facts;   /* all of them */
	bool closed;
	bool blocked;
	bool established;
	bool doubt;
	bool auth_sent, auth_stopped; /* a credential in clear: left the host; was stopped */
	bool mail_sent, mail_stopped;
	bool went_on; /* the client went on in clear, or tried to */
	bool final;   /* what has not happened by now will not */
	bool lmtp;    /* not SMTP: only a credential counts */
};

static bool has(const struct view *view, uint64_t facts)
{
	return (view->facts & facts) != 0;
}

#define HAS(id) has(view, FACT(id))

/*
 * Where bytes of both sides were missed before all was said that matters, or what stood in the client's place of records
 * was none, it is a guess that TLS was what they spoke to the end.
 */
static bool is_established(uint64_t facts)
{
	const uint64_t gaps = FACT(CLIENT_GAP) | FACT(SERVER_GAP);
	return facts_tls_established(facts) && (facts & gaps) != gaps;
}

static struct view view_of(const struct flow_event *event)
{
	uint64_t sent = event->facts & ~event->stopped;
	struct view view = {
		.event = event,
		.facts = event->facts,
		.closed = event->reason == EVENT_CLOSED,
		.blocked = (event->facts & FACT(BLOCKED)) != 0,
		.established = is_established(event->facts),
		.auth_sent = (sent & FACT(CREDENTIAL_CLEAR)) != 0,
		.auth_stopped = (event->stopped & (FACT(AUTH_CLEAR) | FACT(CREDENTIAL_CLEAR))) != 0,
		.mail_sent = (sent & FACT(MAIL_CLEAR)) != 0,
		.mail_stopped = (event->stopped & FACT(MAIL_CLEAR)) != 0,
	};
	view.lmtp = (event->facts & (FACT(LHLO_SENT) | FACT(EHLO_SENT) | FACT(HELO_SENT))) == FACT(LHLO_SENT);
	if (view.lmtp)
		view.mail_sent = view.mail_stopped = false;
	view.doubt = !view.established && ((event->facts & FACTS_DOUBT) || facts_are_lost(event->facts));
	view.went_on = view.auth_sent || view.mail_sent || view.auth_stopped || view.mail_stopped ||
		       (event->facts & FACT(CLIENT_CAP));
	view.final = view.closed || view.went_on;
	return view;
}

enum exposure mechanism_exposure(const char *mechanism)
{
	static const char *const guessable[] = { "CRAM-MD5", "DIGEST-MD5", "NTLM", "APOP" };
	static const char *const nothing[] = { "GSSAPI", "GS2-KRB5", "GSS-SPNEGO", "EXTERNAL", "ANONYMOUS" };
	for (size_t i = 0; i < sizeof(guessable) / sizeof(guessable[0]); i++) {
		if (strcmp(mechanism, guessable[i]) == 0)
			return EXPOSURE_GUESSABLE;
	}
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
		if (strcmp(mechanism, nothing[i]) == 0)
			return EXPOSURE_NOTHING;
	}
	return strncmp(mechanism, "SCRAM-", 6) == 0 ? EXPOSURE_GUESSABLE : EXPOSURE_SECRET;
}

/* ---- outcome ---------------------------------------------------------------------------------------------- */

static const char *doubt_reason(const struct view *view)
{
	if (HAS(NO_STORAGE))
		return "no-storage";
	if (HAS(UNSEEN))
		return "unseen";
	if (HAS(MIDWAY))
		return "midway";
	return HAS(SERVER_CAP) ? "truncated" : "gap";
}

/* The client was told, in one way or another, that there is no TLS to be had. */
static bool was_denied_tls(const struct view *view)
{
	return HAS(STARTTLS_ASKED) || HAS(STARTTLS_MASKED) || HAS(BANNER_MASKED) || HAS(EHLO_REFUSED) ||
	       HAS(PLAIN_ON_TLS_PORT) || (HAS(EHLO_ACCEPTED) && !HAS(STARTTLS_OFFERED));
}

static enum outcome outcome_of(const struct view *view, const char **unknown_reason)
{
	if (view->auth_sent || view->mail_sent)
		return OUTCOME_CLEARTEXT;
	if (view->blocked)
		return OUTCOME_BLOCKED;
	if (view->established)
		return OUTCOME_ENCRYPTED;
	if (view->doubt)
		*unknown_reason = doubt_reason(view);
	else if (!view->closed)
		*unknown_reason = "open";
	else if (view->lmtp && !HAS(CLIENT_HELLO))
		*unknown_reason = "lmtp";
	else if (HAS(CLIENT_HELLO))
		return OUTCOME_FAILED;
	else if (HAS(MIDWAY)) /* it may have sent something before */
		*unknown_reason = "midway";
	else if (was_denied_tls(view))
		return OUTCOME_REFUSED;
	else
		*unknown_reason = HAS(CLIENT_CAP) ? "truncated" : "nothing-sent";
	return OUTCOME_UNKNOWN;
}

/* ---- findings --------------------------------------------------------------------------------------------- */

static void find(struct judgement *judgement, enum finding finding, enum severity severity)
{
	judgement->findings |= FINDING_MASK(finding);
	judgement->severity[finding] = (uint8_t)severity;
}

static bool is_submission(const struct view *view)
{
	return view->event->server_port != 25; /* 587, 465 and their like carry credentials */
}

static void find_auth(const struct view *view, struct judgement *judgement)
{
	static const enum severity severities[][2] = {
		[EXPOSURE_NOTHING] = { SEVERITY_INFO, SEVERITY_NOTICE },
		[EXPOSURE_GUESSABLE] = { SEVERITY_WARNING, SEVERITY_ERROR },
		[EXPOSURE_SECRET] = { SEVERITY_ERROR, SEVERITY_CRITICAL },
	};
	if (!view->auth_sent && !view->auth_stopped)
		return;
	enum severity severity = severities[mechanism_exposure(view->event->mechanism)][is_submission(view)];
	if (!view->auth_sent && severity > SEVERITY_WARNING)
		severity = SEVERITY_WARNING; /* stopped in time: nothing to rotate, but something to mend */
	find(judgement, FINDING_CLEARTEXT_AUTH, severity);
}

/* Findings about what the server offered, known once the client has gone on in clear or gone. */
static void find_offer(const struct view *view, struct judgement *judgement)
{
	enum severity severity = view->went_on ? SEVERITY_WARNING : SEVERITY_NOTICE;
	bool masked = HAS(STARTTLS_MASKED) || HAS(BANNER_MASKED);
	if (HAS(STARTTLS_LATE) && HAS(STARTTLS_OFFERED)) /* what was found when it left in clear stays true */
		find(judgement, FINDING_STARTTLS_UNUSED, SEVERITY_WARNING);
	if (!view->final || HAS(CLIENT_HELLO) || view->event->implicit_tls)
		return;
	if (HAS(EHLO_ACCEPTED) && !HAS(STARTTLS_OFFERED))
		find(judgement, masked ? FINDING_STARTTLS_MASKED : FINDING_STARTTLS_MISSING,
		     masked ? SEVERITY_ERROR : severity);
	/* Postfix takes asterisks in the banner for a firewall that knows no EHLO, and says HELO at once. */
	if (HAS(BANNER_MASKED) && HAS(HELO_SENT) && !HAS(EHLO_SENT))
		find(judgement, FINDING_STARTTLS_MASKED, SEVERITY_ERROR);
	if (HAS(MIDWAY))
		return; /* what follows goes by what there was not */
	if (HAS(EHLO_REFUSED) && HAS(HELO_SENT) && !HAS(EHLO_ACCEPTED))
		find(judgement, FINDING_EHLO_REFUSED, severity);
	if (HAS(STARTTLS_OFFERED) && !HAS(STARTTLS_ASKED) && view->went_on)
		find(judgement, FINDING_STARTTLS_UNUSED, SEVERITY_WARNING);
}

static void find_request(const struct view *view, struct judgement *judgement)
{
	enum severity severity = view->went_on ? SEVERITY_ERROR : SEVERITY_WARNING;
	if (HAS(STARTTLS_REFUSED) && !view->established && view->final)
		find(judgement, FINDING_STARTTLS_REFUSED, severity);
	if (HAS(STARTTLS_BAD_REPLY))
		find(judgement, FINDING_STARTTLS_BAD_REPLY, view->established ? SEVERITY_NOTICE : severity);
	/* a client that did not wait for the answer may go on before it comes */
	if (HAS(STARTTLS_ASKED) && view->event->starttls_code == 0 && !HAS(CLIENT_HELLO) &&
	    (view->closed || (view->went_on && !HAS(COMMAND_INJECTED) && !HAS(STARTTLS_LATE))))
		find(judgement, FINDING_STARTTLS_UNANSWERED, severity);
	if (HAS(REPLY_INJECTED))
		find(judgement, FINDING_REPLY_INJECTION, SEVERITY_ERROR);
	/* a STARTTLS that is refused or never answered begins nothing to inject into */
	bool answered = view->event->starttls_code != 0 || (view->closed && HAS(CLIENT_HELLO));
	if ((HAS(COMMAND_INJECTED) && answered && !HAS(STARTTLS_REFUSED)) || (HAS(PLAIN_AFTER_STARTTLS) && HAS(CLIENT_HELLO)))
		find(judgement, FINDING_COMMAND_INJECTION, SEVERITY_ERROR);
}

/*
 * A handshake has failed where the flow ended before the client's Finished, or the server answered that with an
 * alert. A client that leaves after its Finished may have looked at the certificate and refused it: no failure
 * of the handshake.
 */
static bool handshake_failed(const struct view *view)
{
	if (!HAS(CLIENT_HELLO) || view->established || view->blocked || !view->closed)
		return false;
	return !HAS(CLIENT_FINISHED) || !HAS(SERVER_HELLO) || (HAS(SERVER_ALERT) && !HAS(CLIENT_ALERT));
}

static void find_handshake(const struct view *view, struct judgement *judgement)
{
	enum severity severity = view->went_on ? SEVERITY_ERROR : SEVERITY_WARNING;
	if (HAS(STARTTLS_ACCEPTED) && !HAS(CLIENT_HELLO) &&
	    (view->closed || (view->went_on && HAS(PLAIN_AFTER_STARTTLS))))
		find(judgement, FINDING_TLS_NOT_STARTED, HAS(PLAIN_AFTER_STARTTLS) ? severity : SEVERITY_NOTICE);
	if (handshake_failed(view))
		find(judgement, FINDING_TLS_HANDSHAKE_FAILED, severity);
	if (HAS(PLAIN_ON_TLS_PORT))
		find(judgement, FINDING_PLAINTEXT_ON_TLS_PORT, severity);
}

/* Why the mail went in clear: the finding that tells most, the others being its consequences. */
static void find_cause(const struct view *view, struct judgement *judgement)
{
	static const enum finding by_weight[] = {
		FINDING_PLAINTEXT_ON_TLS_PORT, FINDING_TLS_HANDSHAKE_FAILED, FINDING_TLS_NOT_STARTED, FINDING_STARTTLS_REFUSED,
		FINDING_STARTTLS_BAD_REPLY,    FINDING_STARTTLS_UNANSWERED,  FINDING_EHLO_REFUSED,    FINDING_STARTTLS_MASKED,
		FINDING_STARTTLS_MISSING,      FINDING_STARTTLS_UNUSED,
	};
	for (size_t i = 0; i < sizeof(by_weight) / sizeof(by_weight[0]); i++) {
		if (judgement->findings & FINDING_MASK(by_weight[i])) {
			judgement->cause = (int)by_weight[i];
			judgement->cause_name = finding_name(by_weight[i]);
			return;
		}
	}
	judgement->cause_name = HAS(HELO_SENT) && !HAS(EHLO_SENT) && !HAS(MIDWAY) ? "helo-only" : "not-known";
}

static void find_mail(const struct view *view, struct judgement *judgement)
{
	if (!view->mail_sent && !view->mail_stopped)
		return;
	find(judgement, FINDING_CLEARTEXT_MAIL,
	     view->mail_sent && is_submission(view) ? SEVERITY_ERROR : SEVERITY_WARNING);
	find_cause(view, judgement);
}

void judge(const struct flow_event *event, struct judgement *judgement)
{
	struct view view = view_of(event);
	memset(judgement, 0, sizeof(*judgement));
	judgement->cause = -1;
	judgement->outcome = outcome_of(&view, &judgement->unknown_reason);
	/* What the client had sent before a gap is certain; all else may look as it does because of the gap. */
	find_auth(&view, judgement);
	if (!view.doubt && !view.lmtp) {
		find_offer(&view, judgement);
		find_request(&view, judgement);
		find_handshake(&view, judgement);
	}
	find_mail(&view, judgement);
	if (event->require == REQUIRE_NONE)
		memset(judgement->severity, SEVERITY_INFO, sizeof(judgement->severity));
}

/* RFC 9325 sections 3.1.1 and 4.1. What was negotiated matters where it came to protect something. */
void judge_handshake(const struct flow_event *event, const struct tls_summary *tls, struct judgement *judgement)
{
	if (!tls)
		return;
	if (tls->downgrade)
		find(judgement, FINDING_TLS_DOWNGRADE_SENTINEL, SEVERITY_ERROR);
	if (tls->version && facts_tls_established(event->facts)) {
		if (tls->version < TLS_VERSION_12)
			find(judgement, FINDING_TLS_VERSION_WEAK, SEVERITY_WARNING);
		if (cipher_weakness(tls->suite))
			find(judgement, FINDING_TLS_CIPHER_WEAK, SEVERITY_ERROR);
		else if (cipher_is_static_rsa(tls->suite))
			find(judgement, FINDING_TLS_CIPHER_WEAK, SEVERITY_INFO);
	}
	if (event->require == REQUIRE_NONE)
		memset(judgement->severity, SEVERITY_INFO, sizeof(judgement->severity));
}
