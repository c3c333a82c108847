/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the table of dialogues is written in. */
#ifndef SMTPWARD_TEST_VECTORS_SHORTHAND_H
#define SMTPWARD_TEST_VECTORS_SHORTHAND_H

/* clang-format off */
#define C(text)          { VECTOR_CLIENT, 1, text, sizeof(text) - 1 }
#define S(text)          { VECTOR_SERVER, 1, text, sizeof(text) - 1 }
#define C_TIMES(n, text) { VECTOR_CLIENT, n, text, sizeof(text) - 1 }
#define S_TIMES(n, text) { VECTOR_SERVER, n, text, sizeof(text) - 1 }

/* usual steps */
#define GREETING S("220 mx.example ESMTP\r\n")
#define EHLO     C("EHLO client.example\r\n")
#define OFFER    S("250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 8BITMIME\r\n")
#define NO_OFFER S("250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
#define STARTTLS C("STARTTLS\r\n")
#define GO       S("220 go ahead\r\n")
#define MAIL     C("MAIL FROM:<a@client.example>\r\n")
#define RCPT     C("RCPT TO:<b@mx.example>\r\n")
#define OK       S("250 ok\r\n")
#define QUIT     C("QUIT\r\n")
#define BYE      S("221 bye\r\n")

/* usual facts */
#define GREETED  FACT(GREETING_ACCEPTED)
#define HELLOED  (GREETED | FACT(EHLO_SENT) | FACT(EHLO_ACCEPTED))
#define OFFERED  (HELLOED | FACT(STARTTLS_OFFERED))
#define ASKED    (OFFERED | FACT(STARTTLS_ASKED))
#define ACCEPTED (ASKED | FACT(STARTTLS_ACCEPTED))
#define MAILED   (FACT(MAIL_CLEAR) | FACT(WOULD_BLOCK))
#define AUTHED   (FACT(AUTH_CLEAR) | FACT(CREDENTIAL_CLEAR) | FACT(WOULD_BLOCK))
#define TLS_UP   (FACT(CLIENT_HELLO) | FACT(SERVER_HELLO) | FACT(CLIENT_FINISHED) | FACT(CLIENT_DATA) | FACT(SERVER_DATA))
#define LEFT     FACT(QUIT_SENT)

#define HELO     C("HELO client.example\r\n")
#define HELO_OK  S("250 mx.example\r\n")
#define RSET     C("RSET\r\n")

/* A row of the catalogue: KNOWN(OFFER, "what is done", "where it is known from"). */
#define KNOWN(chapter, text, from) .group = CATALOGUE_##chapter, .what = text, .source = from

#define FOUND(id) FINDING_MASK(FINDING_##id)

/* A record's filling: were it read as SMTP, it would show. */
#define FILL12  "\r\nAUTH PLAIN"
#define FILL16  "\r\nAUTH PLAIN x\r\n"
#define FILL64  FILL16 FILL16 FILL16 FILL16
#define FILL256 FILL64 FILL64 FILL64 FILL64
/* A ClientHello's: nothing that may not leave in clear, since the server may not speak TLS at all */
#define HELLO16  "\r\nSTARTTLS xxx\r\n"
#define HELLO64  HELLO16 HELLO16 HELLO16 HELLO16
#define HELLO508 HELLO64 HELLO64 HELLO64 HELLO64 HELLO64 HELLO64 HELLO64 HELLO16 HELLO16 HELLO16 "\r\nQUIT now\r\n"
#define FILL508 FILL256 FILL64 FILL64 FILL64 FILL16 FILL16 FILL16 FILL12

/* TLS records (RFC 8446 section 5.1) with types and lengths as real ones have */
#define CLIENT_HELLO   "\x16\x03\x01\x02\x00" "\x01\x00\x01\xfc" HELLO508
#define SERVER_HELLO   "\x16\x03\x03\x00\x7a" "\x02\x00\x00\x76" FILL64 FILL16 FILL16 FILL16 "\r\nAUTH"
#define CCS            "\x14\x03\x03\x00\x01\x01"
#define FLIGHT_13      "\x17\x03\x03\x04\x00" FILL256 FILL256 FILL256 FILL256 /* EncryptedExtensions to Finished */
#define FINISHED_13    "\x17\x03\x03\x00\x45" FILL64 "AUTH "
#define CERTIFICATE_13 "\x17\x03\x03\x02\x00" FILL256 FILL256
#define ALERT_13       "\x17\x03\x03\x00\x13" FILL16 "abc"
#define APPLICATION    "\x17\x03\x03\x00\x30" FILL16 FILL16 FILL16
#define CERTIFICATE_12 "\x16\x03\x03\x04\x00" "\x0b\x00\x03\xfc" FILL256 FILL256 FILL256 FILL64 FILL64 FILL64 FILL16 FILL16 FILL16 FILL12
#define HELLO_DONE_12  "\x16\x03\x03\x00\x04" "\x0e\x00\x00\x00"
#define KEY_12         "\x16\x03\x03\x00\x46" "\x10\x00\x00\x42" FILL64 "ab"
#define FINISHED_12    "\x16\x03\x03\x00\x28" FILL16 FILL16 "\r\nAUTH P"
#define ALERT_12       "\x15\x03\x03\x00\x1a" FILL16 "\r\nAUTH PLA"
#define ALERT_PLAIN    "\x15\x03\x03\x00\x02\x02" /* fatal; the description follows */

#define TLS_13 C(CLIENT_HELLO), S(SERVER_HELLO CCS FLIGHT_13), C(CCS FINISHED_13), C(APPLICATION), S(APPLICATION)
/* clang-format on */

#endif
