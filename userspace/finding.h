/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The vocabulary of judgement: outcomes, findings, severities, and what each finding means. */
#ifndef SMTPWARD_FINDING_H
#define SMTPWARD_FINDING_H

#include <stdint.h>

/* clang-format off */
#define OUTCOMES(X) \
	X(UNKNOWN,    "unknown")    /* a gap, joined midway, or nothing seen that would tell */ \
	X(VERIFIED,   "verified")   /* TLS, and the peer's identity checked */ \
	X(ENCRYPTED,  "encrypted")  /* TLS; nothing known of the check */ \
	X(UNVERIFIED, "unverified") /* TLS, and the check failed or was skipped */ \
	X(CLEARTEXT,  "cleartext")  /* mail or a credential left in clear */ \
	X(REFUSED,    "refused")    /* the client gave up rather than send in clear */ \
	X(FAILED,     "failed")     /* TLS was tried, nothing was sent */ \
	X(BLOCKED,    "blocked")    /* smtpward stopped it */
/* clang-format on */

enum outcome {
#define X(id, name) OUTCOME_##id,
	OUTCOMES(X)
#undef X
	OUTCOME_COUNT
};

/* clang-format off */
#define FINDINGS(X) \
	X(CLEARTEXT_AUTH,        "cleartext-auth") \
	X(CLEARTEXT_MAIL,        "cleartext-mail") \
	X(STARTTLS_MISSING,      "starttls-missing") \
	X(STARTTLS_MASKED,       "starttls-masked") \
	X(EHLO_REFUSED,          "ehlo-refused") \
	X(STARTTLS_UNUSED,       "starttls-unused") \
	X(STARTTLS_REFUSED,      "starttls-refused") \
	X(STARTTLS_UNANSWERED,   "starttls-unanswered") \
	X(STARTTLS_BAD_REPLY,    "starttls-bad-reply") \
	X(REPLY_INJECTION,       "reply-injection") \
	X(COMMAND_INJECTION,     "command-injection") \
	X(TLS_NOT_STARTED,       "tls-not-started") \
	X(TLS_HANDSHAKE_FAILED,  "tls-handshake-failed") \
	X(TLS_FALLBACK,          "tls-fallback") \
	X(PLAINTEXT_ON_TLS_PORT, "plaintext-on-tls-port") \
	X(TLS_VERSION_WEAK,      "tls-version-weak") \
	X(TLS_CIPHER_WEAK,       "tls-cipher-weak") \
	X(TLS_DOWNGRADE_SENTINEL, "tls-downgrade-sentinel") \
	X(CERTIFICATE_UNTRUSTED, "certificate-untrusted") \
	X(CERTIFICATE_NAME_MISMATCH, "certificate-name-mismatch") \
	X(CERTIFICATE_EXPIRED,   "certificate-expired") \
	X(CERTIFICATE_KEY_WEAK,  "certificate-key-weak") \
	X(VERIFICATION_SKIPPED,  "verification-skipped")
/* clang-format on */

enum finding {
#define X(id, name) FINDING_##id,
	FINDINGS(X)
#undef X
	FINDING_COUNT
};

#define FINDING_MASK(finding) (1U << (finding))

/* In ascending order. The numbers are those of syslog turned round: see severity_syslog(). */
enum severity { SEVERITY_INFO, SEVERITY_NOTICE, SEVERITY_WARNING, SEVERITY_ERROR, SEVERITY_CRITICAL, SEVERITY_COUNT };

/* What is documented of a finding; the text of `smtpward explain`, the docs' table and the alerts' summary. */
struct finding_text {
	const char *summary;   /* one line, no full stop */
	const char *meaning;   /* a paragraph: what happened, and why it matters */
	const char *signature; /* what is seen on the wire */
	const char *severity;  /* how the severity is chosen, in words */
	const char *first;     /* what to look at first, whatever the sender; NULL: nothing */
	const char *postfix;   /* what to do: in Postfix, Exim, OpenSMTPD, msmtp and in application code */
	const char *exim;
	const char *opensmtpd;
	const char *msmtp;
	const char *application;
	const char *rfc8460; /* the TLSRPT result type, RFC 8460 section 4.3 */
	const char *attack;  /* MITRE ATT&CK technique */
	const char *control; /* NIST CSF 2.0, SP 800-63, OWASP NHI */
};

const char *outcome_name(enum outcome outcome);
const char *finding_name(enum finding finding);
const char *severity_name(enum severity severity);

/* Returns the finding called name, or -1. */
int finding_by_name(const char *name);
/* Returns the outcome called name, or -1. */
int outcome_by_name(const char *name);
/* Returns the severity called name, or -1. */
int severity_by_name(const char *name);

/* Returns the syslog level (LOG_CRIT ... LOG_INFO) of a severity. */
int severity_syslog(enum severity severity);

/* Returns the finding's texts; every member but first is set, for every finding. */
const struct finding_text *finding_text(enum finding finding);

#endif
