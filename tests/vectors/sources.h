/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the rows of the catalogue are known from. */
#ifndef SMTPWARD_TEST_VECTORS_SOURCES_H
#define SMTPWARD_TEST_VECTORS_SOURCES_H

/* clang-format off */
#define STRIPPING   "RFC 3207 section 6; RFC 7672 section 1.3.1"
#define CISCO       "Cisco ASA: ESMTP inspection; Durumeric et al., \"Neither Snow Nor Rain Nor MITM\", IMC 2015"
#define MASKING     "Durumeric et al., \"Neither Snow Nor Rain Nor MITM\", IMC 2015"
#define NO_STARTTLS "Poddebniak et al., \"Why TLS Is Better Without STARTTLS\", USENIX Security 2021"
#define INJECT_REPLY   "CVE-2021-38371 (Exim), CVE-2020-14954 (Mutt), CVE-2021-22947 (curl); " NO_STARTTLS
#define INJECT_COMMAND "CVE-2011-0411 (Postfix), CVE-2021-33515 (Dovecot); " NO_STARTTLS
#define IGNORED     "CVE-2016-0772 (Python smtplib); RFC 3207 section 4"
#define EHLO_RULES  "RFC 5321 section 4.1.1.1"
#define REPLY_RULES "RFC 5321 section 4.2"
#define HELO_RULES  "RFC 5321 section 3.2"
#define ANSWER_RULES "RFC 3207 section 4"
#define AUTH_RULES  "RFC 4954 sections 4 and 9"
#define ALERT_RULES "RFC 8446 section 6"
#define DATA_RULES  "RFC 5321 section 4.1.1.4"
#define BDAT_RULES  "RFC 3030"
#define PORT_RULES  "RFC 8314 section 3"
#define SMTPWARD    "our own attempts to get past smtpward"
#define OPPORTUNISM "RFC 7435 section 3; RFC 8461 section 1"
/* clang-format on */

#endif
