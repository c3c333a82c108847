/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the findings' texts share, and those that stand in a file of their own. */
#ifndef SMTPWARD_FINDING_TEXT_H
#define SMTPWARD_FINDING_TEXT_H

#include "finding.h"

/* Advice that several findings share. */
#define POSTFIX_DEMAND                                                                                                 \
	"Demand TLS instead of preferring it: \"smtp_tls_security_level = encrypt\" for a smarthost, better \"secure\", "  \
	"which also checks the certificate. Per destination use smtp_tls_policy_maps, for example "                       \
	"\"[relay.example.com]:587 secure\". Mail then waits in the queue instead of going out in clear."
#define EXIM_DEMAND                                                                                                    \
	"In the smtp transport set \"hosts_require_tls = *\" (or the hosts in question) and \"tls_verify_hosts = *\"."
#define OPENSMTPD_DEMAND                                                                                               \
	"Write the relay as \"relay host smtp+tls://label@relay.example.com:587 auth <secrets>\"; plain \"smtp://\" is "    \
	"opportunistic and falls back to clear. For direct delivery use \"relay tls\"."
#define MSMTP_DEMAND                                                                                                   \
	"Set \"tls on\", \"tls_starttls on\" and \"tls_trust_file system\" (or a CA file). msmtp then gives up rather "    \
	"than send in clear."
#define APPLICATION_DEMAND                                                                                             \
	"Demand TLS in code. Python: smtplib's starttls(context=ssl.create_default_context()) before login(), with no "   \
	"except clause that carries on. Node: nodemailer's \"requireTLS: true\". PHP: PHPMailer's SMTPSecure = "          \
	"PHPMailer::ENCRYPTION_STARTTLS. Java: mail.smtp.starttls.required=true and "                                     \
	"mail.smtp.ssl.checkserveridentity=true."
#define ASK_SERVER                                                                                                     \
	"Look at the server from another network: \"smtpward probe HOST\", or \"openssl s_client -starttls smtp -connect "    \
	"HOST:25\". If the answer differs, something between here and there changes the dialogue."
#define OFFER_SEVERITY "warning where the client went on to log in or send mail, notice where it did not"
#define TRIED_SEVERITY "error where the client went on to log in or send mail, warning where it did not"
#define NOT_REQUIRED "; info where the policy requires nothing of the destination"
#define ADVERSARY "T1557 Adversary-in-the-Middle"
#define DOWNGRADE "T1562.010 Impair Defenses: Downgrade Attack"
#define SNIFFING "T1040 Network Sniffing"
#define MANIPULATION "T1565.002 Transmitted Data Manipulation"
#define IN_TRANSIT "NIST CSF 2.0 PR.DS-02 (data in transit)"
#define MONITORING "NIST CSF 2.0 DE.CM-01 (networks are monitored)"
#define CONFIGURATION "NIST CSF 2.0 PR.PS-01 (configuration management)"
#define CREDENTIALS                                                                                                    \
	"NIST CSF 2.0 PR.AA-04 (identity assertions are protected); NIST SP 800-63B (passwords only over an "            \
	"authenticated protected channel)"
#define NHI "OWASP NHI2:2025 Secret Leakage; OWASP NHI4:2025 Insecure Authentication"

extern const struct finding_text text_CERTIFICATE_UNTRUSTED;
extern const struct finding_text text_CERTIFICATE_NAME_MISMATCH;
extern const struct finding_text text_CERTIFICATE_EXPIRED;
extern const struct finding_text text_CERTIFICATE_KEY_WEAK;
extern const struct finding_text text_VERIFICATION_SKIPPED;

#endif
