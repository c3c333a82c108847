/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Around STARTTLS, and what leaves in clear then: injections, AUTH, mail, ports. Rows of vectors[]. */
/* clang-format off */

/* ---- the request ---- */
	{ .name = "starttls-inserted-by-a-middlebox", KNOWN(REQUEST, "a middlebox that cannot do it offers STARTTLS; the server knows no such command", MASKING),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("502 5.5.1 unrecognized command\r\n"), MAIL, OK },
	  .facts = ASKED | FACT(STARTTLS_REFUSED) | MAILED, .codes = { 220, 250, 502 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_REFUSED), .cause = "starttls-refused", .stops = 6 },
	{ .name = "starttls-unanswered-reset", KNOWN(REQUEST, "STARTTLS is answered with a reset", STRIPPING), .ending = VECTOR_SERVER_RESETS,
	  .steps = { GREETING, EHLO, OFFER, STARTTLS },
	  .facts = ASKED, .codes = { 220, 250 }, .outcome = OUTCOME_REFUSED, .findings = FOUND(STARTTLS_UNANSWERED) },
	{ .name = "starttls-unanswered-fin", KNOWN(REQUEST, "STARTTLS is answered with the end of the connection", STRIPPING),
	  .ending = VECTOR_SERVER_CLOSES,
	  .steps = { GREETING, EHLO, OFFER, STARTTLS },
	  .facts = ASKED, .codes = { 220, 250 }, .outcome = OUTCOME_REFUSED, .findings = FOUND(STARTTLS_UNANSWERED) },
	{ .name = "starttls-unanswered-client-sends-mail", KNOWN(REQUEST, "STARTTLS is not answered, and after a while the client sends its mail", STRIPPING),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, MAIL },
	  .facts = ASKED | FACT(COMMAND_INJECTED) | MAILED, .codes = { 220, 250 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_UNANSWERED), .cause = "starttls-unanswered", .stops = 5 },
	{ .name = "starttls-reply-split-over-segments", KNOWN(TRAP, "the 220 comes in pieces", REPLY_RULES),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("2"), S("20 go"), S(" ahead\r"), S("\n"), TLS_13 },
	  .facts = ACCEPTED | TLS_UP, .codes = { 220, 250, 220 }, .outcome = OUTCOME_ENCRYPTED },
	{ .name = "starttls-refusal-sent-ahead", KNOWN(REQUEST, "a 454 stands behind the EHLO reply already, and the client takes it for the answer to STARTTLS", NO_STARTTLS),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250 STARTTLS\r\n454 not now\r\n"), STARTTLS, MAIL, OK },
	  .facts = ASKED | FACT(COMMAND_INJECTED) | FACT(STARTTLS_BAD_REPLY) | MAILED, .codes = { 220, 250, 250 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_BAD_REPLY) | FOUND(COMMAND_INJECTION), .cause = "starttls-bad-reply", .stops = 5 },
	{ .name = "starttls-asked-twice-refused-twice", KNOWN(REQUEST, "STARTTLS is refused twice; the client sends its mail in clear", IGNORED),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("454 not now\r\n"), STARTTLS, S("454 not now\r\n"), MAIL, OK },
	  .facts = ASKED | FACT(STARTTLS_REFUSED) | MAILED, .codes = { 220, 250, 454 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_REFUSED), .cause = "starttls-refused", .stops = 8 },
	{ .name = "starttls-refused-then-another-ehlo", KNOWN(REQUEST, "STARTTLS is refused and gone from the next EHLO reply", STRIPPING),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("454 not now\r\n"), EHLO, NO_OFFER, MAIL, OK },
	  .facts = ASKED | FACT(STARTTLS_REFUSED) | MAILED, .codes = { 220, 250, 454 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_REFUSED), .cause = "starttls-refused", .stops = 8 },
	{ .name = "starttls-refused-data-in-clear", KNOWN(REQUEST, "a whole message by DATA behind a refused STARTTLS", IGNORED),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("454 not now\r\n"), MAIL, OK, RCPT, OK, C("DATA\r\n"), S("354 go\r\n"),
		     C("Subject: x\r\n\r\nbody\r\n.\r\n"), OK, QUIT, BYE },
	  .facts = ASKED | FACT(STARTTLS_REFUSED) | MAILED | FACT(RECIPIENT_CLEAR) | FACT(CONTENT_CLEAR) | LEFT, .codes = { 220, 250, 454 },
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_REFUSED), .cause = "starttls-refused", .stops = 6 },
	{ .name = "starttls-refused-bdat-in-clear", KNOWN(REQUEST, "a whole message by BDAT behind a refused STARTTLS", BDAT_RULES),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("454 not now\r\n"), C("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 6 LAST\r\nbody\r\n"),
		     S("250 ok\r\n250 ok\r\n250 ok\r\n"), QUIT, BYE },
	  .facts = ASKED | FACT(STARTTLS_REFUSED) | MAILED | FACT(RECIPIENT_CLEAR) | FACT(CONTENT_CLEAR) | LEFT, .codes = { 220, 250, 454 },
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_REFUSED), .cause = "starttls-refused", .stops = 6 },
	{ .name = "anonymoustls-refused", KNOWN(REQUEST, "Exchange: X-ANONYMOUSTLS is refused; the client sends its mail in clear", "Exchange Server; RFC 3207 section 6"),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250-X-ANONYMOUSTLS\r\n250 SIZE\r\n"), C("X-ANONYMOUSTLS\r\n"), S("454 not now\r\n"), MAIL, OK },
	  .facts = HELLOED | FACT(ANONYMOUSTLS_OFFERED) | FACT(STARTTLS_ASKED) | FACT(STARTTLS_REFUSED) | MAILED, .codes = { 220, 250, 454 },
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_REFUSED) | FOUND(STARTTLS_MISSING),
	  .cause = "starttls-refused", .stops = 6 },

/* ---- injections ---- */
#define REPLY_INJECTED_BY(id, text, reply)                                                                            \
	{ .name = "injected-" id "-same-segment", KNOWN(INJECTION, text " in the segment of the 220", INJECT_REPLY),   \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("220 go ahead\r\n" reply), TLS_13 },                           \
	  .facts = ACCEPTED | FACT(REPLY_INJECTED) | TLS_UP, .codes = { 220, 250, 220 }, .outcome = OUTCOME_ENCRYPTED, \
	  .findings = FOUND(REPLY_INJECTION) },                                                                        \
	{ .name = "injected-" id "-next-segment", KNOWN(INJECTION, text " in the segment behind the 220", INJECT_REPLY), \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, GO, S(reply), TLS_13 },                                          \
	  .facts = ACCEPTED | FACT(REPLY_INJECTED) | TLS_UP, .codes = { 220, 250, 220 }, .outcome = OUTCOME_ENCRYPTED, \
	  .findings = FOUND(REPLY_INJECTION) },                                                                        \
	{ .name = "injected-" id "-client-refuses", KNOWN(INJECTION, text " behind the 220; the client leaves", INJECT_REPLY), \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("220 go ahead\r\n" reply) },                                   \
	  .facts = ACCEPTED | FACT(REPLY_INJECTED), .codes = { 220, 250, 220 }, .outcome = OUTCOME_REFUSED,            \
	  .findings = FOUND(REPLY_INJECTION) | FOUND(TLS_NOT_STARTED) }

	REPLY_INJECTED_BY("one-line", "one line of a reply", "250 injected\r\n"),
	REPLY_INJECTED_BY("ehlo-reply", "a whole EHLO reply", "250-mx.example\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n"),
	REPLY_INJECTED_BY("refusal", "a refusal", "535 5.7.8 wrong password\r\n"),

#define COMMAND_INJECTED_BY(id, command)                                                                              \
	{ .name = "injected-command-" id "-same-segment", KNOWN(INJECTION, command " in the segment of STARTTLS", INJECT_COMMAND), \
	  .steps = { GREETING, EHLO, OFFER, C("STARTTLS\r\n" command "\r\n"), GO, TLS_13 },                            \
	  .facts = ACCEPTED | FACT(COMMAND_INJECTED) | TLS_UP, .codes = { 220, 250, 220 }, .outcome = OUTCOME_ENCRYPTED, \
	  .findings = FOUND(COMMAND_INJECTION) },                                                                      \
	{ .name = "injected-command-" id "-next-segment", KNOWN(INJECTION, command " in the segment behind STARTTLS", INJECT_COMMAND), \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, C(command "\r\n"), GO, TLS_13 },                                 \
	  .facts = ACCEPTED | FACT(COMMAND_INJECTED) | TLS_UP, .codes = { 220, 250, 220 }, .outcome = OUTCOME_ENCRYPTED, \
	  .findings = FOUND(COMMAND_INJECTION) }

	COMMAND_INJECTED_BY("ehlo", "EHLO evil.example"),
	COMMAND_INJECTED_BY("rset", "RSET"),
	COMMAND_INJECTED_BY("noop", "NOOP"),
	COMMAND_INJECTED_BY("vrfy", "VRFY root"),
	{ .name = "injected-command-mail-same-segment", KNOWN(INJECTION, "MAIL FROM in the segment of STARTTLS", INJECT_COMMAND),
	  .steps = { GREETING, EHLO, OFFER, C("STARTTLS\r\nMAIL FROM:<evil@client.example>\r\n"), GO, TLS_13 },
	  .facts = ACCEPTED | FACT(COMMAND_INJECTED) | MAILED | TLS_UP, .codes = { 220, 250, 220 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(COMMAND_INJECTION) | FOUND(CLEARTEXT_MAIL), .cause = "not-known", .stops = 4 },
	{ .name = "injected-command-auth-same-segment", KNOWN(INJECTION, "AUTH PLAIN in the segment of STARTTLS", INJECT_COMMAND),
	  .steps = { GREETING, EHLO, OFFER, C("STARTTLS\r\nAUTH PLAIN AHVzZXJAbXguZXhhbXBsZQBodW50ZXIyLXBhNTU=\r\n"), GO, TLS_13 },
	  .facts = ACCEPTED | FACT(COMMAND_INJECTED) | AUTHED | TLS_UP, .codes = { 220, 250, 220 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(COMMAND_INJECTION) | FOUND(CLEARTEXT_AUTH), .stops = 4 },

/* ---- a plaintext session behind the 220 ---- */
	{ .name = "tls-not-started-auth", KNOWN(HANDSHAKE, "the 220, and the client logs in in clear as if nothing were", IGNORED),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, GO, EHLO, AUTH_OFFER, C("AUTH PLAIN AHVzZXJAbXguZXhhbXBsZQBodW50ZXIyLXBhNTU=\r\n"), DONE },
	  .facts = ACCEPTED | FACT(PLAIN_AFTER_STARTTLS) | FACT(AUTH_OFFERED) | AUTHED, .codes = { 220, 250, 220, 235 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(TLS_NOT_STARTED), .stops = 8 },
	{ .name = "handshake-fails-then-auth-in-clear", KNOWN(HANDSHAKE, "a handshake that fails, and a login in clear on the same flow", IGNORED),
	  .steps = { START, C(CLIENT_HELLO), S(ALERT_PLAIN "\x28"), C("AUTH PLAIN AHVzZXJAbXguZXhhbXBsZQBodW50ZXIyLXBhNTU=\r\n"), DONE },
	  .facts = ACCEPTED | FACT(CLIENT_HELLO) | FACT(SERVER_ALERT) | AUTHED | FACT(SERVER_PLAIN_REPLY), TLS_CODES,
	  .server_alert = 40, .mechanism = "PLAIN", .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_AUTH) | FOUND(TLS_HANDSHAKE_FAILED), .stops = 8 },

/* ---- credentials ---- */
#define SECRET_PLAIN "AHVzZXJAbXguZXhhbXBsZQBodW50ZXIyLXBhNTU="
	{ .name = "auth-before-ehlo", KNOWN(CREDENTIAL, "AUTH before EHLO", AUTH_RULES),
	  .steps = { GREETING, C("AUTH PLAIN " SECRET_PLAIN "\r\n"), S("503 say EHLO\r\n"), QUIT, BYE },
	  .facts = GREETED | AUTHED | LEFT, .codes = { 220, 0, 0, 503 }, .mechanism = "PLAIN", .account = "user@mx.example",
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH), .stops = 2 },
	{ .name = "auth-before-the-greeting", KNOWN(CREDENTIAL, "AUTH before the server has said anything", AUTH_RULES),
	  .steps = { C("EHLO client.example\r\nAUTH PLAIN " SECRET_PLAIN "\r\n"), GREETING, OFFER, DONE },
	  .facts = OFFERED | AUTHED, .codes = { 220, 250, 0, 235 }, .mechanism = "PLAIN", .account = "user@mx.example",
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_UNUSED), .stops = 1 },
	{ .name = "auth-behind-helo", KNOWN(CREDENTIAL, "AUTH behind HELO", AUTH_RULES),
	  .steps = { GREETING, HELO, HELO_OK, C("AUTH LOGIN\r\n"), S("334 VXNlcm5hbWU6\r\n"), C("dXNlckBteC5leGFtcGxl\r\n"),
		     S("334 UGFzc3dvcmQ6\r\n"), C("aHVudGVyMi1wYTU1\r\n"), DONE },
	  .facts = GREETED | FACT(HELO_SENT) | FACT(HELO_ACCEPTED) | AUTHED, .codes = { 220, 0, 0, 235 }, .mechanism = "LOGIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH), .stops = 4 },
	{ .name = "auth-after-a-refused-starttls", KNOWN(CREDENTIAL, "STARTTLS is refused, and the client logs in in clear", IGNORED),
	  .steps = { GREETING, EHLO, AUTH_OFFER, STARTTLS, S("454 not now\r\n"), C("AUTH PLAIN " SECRET_PLAIN "\r\n"), DONE },
	  .facts = ASKED | FACT(AUTH_OFFERED) | FACT(STARTTLS_REFUSED) | AUTHED, .codes = { 220, 250, 454, 235 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_REFUSED), .stops = 6 },
	{ .name = "auth-although-masked", KNOWN(CREDENTIAL, "STARTTLS is masked, and the client logs in in clear", CISCO),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250-XXXXXXXA\r\n250 AUTH PLAIN\r\n"), C("AUTH PLAIN " SECRET_PLAIN "\r\n"), DONE },
	  .facts = HELLOED | FACT(STARTTLS_MASKED) | FACT(AUTH_OFFERED) | AUTHED, .codes = { 220, 250, 0, 235 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_MASKED), .stops = 4 },
	{ .name = "auth-never-offered", KNOWN(CREDENTIAL, "AUTH although the server has not offered it", AUTH_RULES),
	  .steps = { GREETING, EHLO, OFFER, C("AUTH PLAIN " SECRET_PLAIN "\r\n"), S("502 what\r\n"), QUIT, BYE },
	  .facts = OFFERED | AUTHED | LEFT, .codes = { 220, 250, 0, 502 }, .mechanism = "PLAIN", .account = "user@mx.example",
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_UNUSED), .stops = 4 },
	{ .name = "auth-premature-530", KNOWN(CREDENTIAL, "AUTH is answered with 530, STARTTLS first: the password has left by then", AUTH_RULES),
	  .steps = { GREETING, EHLO, AUTH_OFFER, C("AUTH PLAIN " SECRET_PLAIN "\r\n"), S("530 5.7.0 Must issue a STARTTLS command first\r\n"),
		     STARTTLS, GO, TLS_13 },
	  .facts = ACCEPTED | FACT(AUTH_OFFERED) | AUTHED | FACT(STARTTLS_LATE) | TLS_UP, .codes = { 220, 250, 220, 530 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_UNUSED), .stops = 4 },
	{ .name = "auth-response-in-the-next-segment", KNOWN(CREDENTIAL, "AUTH PLAIN with its response in another segment", AUTH_RULES),
	  .steps = { GREETING, EHLO, AUTH_OFFER, C("AUTH PLAIN"), C(" "), C(SECRET_PLAIN), C("\r\n"), DONE },
	  EXPOSED("PLAIN", "user@mx.example") },
	{ .name = "auth-sixty-mechanisms", KNOWN(CREDENTIAL, "sixty SASL mechanisms, no STARTTLS, and a login in clear", AUTH_RULES),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250-AUTH"), S_TIMES(60, " X-MECHANISM-NAME"), S(" PLAIN\r\n250 SIZE\r\n"),
		     C("AUTH PLAIN " SECRET_PLAIN "\r\n"), DONE },
	  .facts = HELLOED | FACT(AUTH_OFFERED) | AUTHED, .codes = { 220, 250, 0, 235 }, .mechanism = "PLAIN", .account = "user@mx.example",
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_MISSING), .stops = 6 },
	{ .name = "auth-mechanisms-stripped-to-plain", KNOWN(CREDENTIAL, "all mechanisms but PLAIN are taken out of the offer", "RFC 4422 section 6.1"),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"), C("AUTH PLAIN " SECRET_PLAIN "\r\n"), DONE },
	  EXPOSED("PLAIN", "user@mx.example") },
	{ .name = "auth-cancelled-and-left", KNOWN(CREDENTIAL, "AUTH LOGIN is cancelled before a response: nothing was exposed", AUTH_RULES),
	  .steps = { GREETING, EHLO, AUTH_OFFER, C("AUTH LOGIN\r\n"), S("334 VXNlcm5hbWU6\r\n"), C("*\r\n"), S("501 cancelled\r\n"), QUIT, BYE },
	  .facts = AUTH_FACTS | FACT(AUTH_CLEAR) | FACT(WOULD_BLOCK) | LEFT, .codes = { 220, 250, 0, 501 }, .mechanism = "LOGIN",
	  .outcome = OUTCOME_UNKNOWN, .stops = 4 },
	{ .name = "auth-cancelled-behind-the-user-name", KNOWN(CREDENTIAL, "AUTH LOGIN is cancelled when the user name has left", AUTH_RULES),
	  .steps = { GREETING, EHLO, AUTH_OFFER, C("AUTH LOGIN\r\n"), S("334 VXNlcm5hbWU6\r\n"), C("dXNlckBteC5leGFtcGxl\r\n"),
		     S("334 UGFzc3dvcmQ6\r\n"), C("*\r\n"), S("501 cancelled\r\n"), QUIT, BYE },
	  .facts = AUTH_FACTS | AUTHED | LEFT, .codes = { 220, 250, 0, 501 }, .mechanism = "LOGIN", .account = "user@mx.example",
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_UNUSED), .stops = 4 },

/* ---- mail ---- */
	{ .name = "mail-by-data", KNOWN(MAIL, "a message by DATA in clear, STARTTLS stripped", STRIPPING),
	  .steps = { ENVELOPE, C("Subject: x\r\n\r\nbody\r\n.\r\n"), OK, QUIT, BYE }, .facts = MAIL_FACTS | FACT(CONTENT_CLEAR) | LEFT, SENT },
	{ .name = "mail-by-bdat", KNOWN(MAIL, "a message by BDAT in clear, STARTTLS stripped", BDAT_RULES),
	  .steps = { GREETING, EHLO, NO_OFFER, MAIL, OK, RCPT, OK, C("BDAT 6 LAST\r\nbody\r\n"), OK, QUIT, BYE },
	  .facts = MAIL_FACTS | FACT(CONTENT_CLEAR) | LEFT, SENT },
	{ .name = "mail-answered-530-then-starttls", KNOWN(MAIL, "MAIL in clear is answered with 530, and STARTTLS follows: sender's address has left", ANSWER_RULES),
	  .steps = { GREETING, EHLO, OFFER, MAIL, S("530 5.7.0 Must issue a STARTTLS command first\r\n"), STARTTLS, GO, TLS_13 },
	  .facts = ACCEPTED | MAILED | FACT(STARTTLS_LATE) | TLS_UP, .codes = { 220, 250, 220 }, .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_UNUSED),
	  .cause = "starttls-unused", .stops = 4 },
	{ .name = "mail-before-ehlo", KNOWN(MAIL, "MAIL without EHLO or HELO", EHLO_RULES),
	  .steps = { GREETING, MAIL, OK, QUIT, BYE },
	  .facts = GREETED | MAILED | LEFT, .codes = { 220 }, .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL),
	  .cause = "not-known", .stops = 2 },

/* ---- ports of implicit TLS ---- */
	{ .name = "plaintext-on-465-mail", .implicit_tls = true, KNOWN(PORT, "a plaintext session on a port of implicit TLS", PORT_RULES),
	  .steps = { GREETING, EHLO, NO_OFFER, MAIL, OK, RCPT, OK, QUIT, BYE },
	  .facts = HELLOED | FACT(PLAIN_ON_TLS_PORT) | MAILED | FACT(RECIPIENT_CLEAR) | LEFT, .codes = { 220, 250 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(PLAINTEXT_ON_TLS_PORT), .cause = "plaintext-on-tls-port", .stops = 4 },
	{ .name = "plaintext-on-465-auth", .implicit_tls = true, KNOWN(PORT, "a login in clear on a port of implicit TLS", PORT_RULES),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250 AUTH PLAIN\r\n"), C("AUTH PLAIN " SECRET_PLAIN "\r\n"), DONE },
	  .facts = HELLOED | FACT(PLAIN_ON_TLS_PORT) | FACT(AUTH_OFFERED) | AUTHED, .codes = { 220, 250, 0, 235 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(PLAINTEXT_ON_TLS_PORT), .stops = 4 },
	{ .name = "plaintext-greeting-on-465-client-leaves", .implicit_tls = true,
	  KNOWN(PORT, "a plaintext greeting on a port of implicit TLS; the client leaves", PORT_RULES),
	  .steps = { GREETING },
	  .facts = GREETED | FACT(PLAIN_ON_TLS_PORT), .codes = { 220 }, .outcome = OUTCOME_REFUSED, .findings = FOUND(PLAINTEXT_ON_TLS_PORT) },
	{ .name = "silence-on-465", .implicit_tls = true, KNOWN(PORT, "the ClientHello on a port of implicit TLS is not answered", PORT_RULES),
	  .steps = { C(CLIENT_HELLO) },
	  .facts = FACT(TLS_FROM_START) | FACT(CLIENT_HELLO), .outcome = OUTCOME_FAILED, .findings = FOUND(TLS_HANDSHAKE_FAILED) },
	{ .name = "reset-on-465", .implicit_tls = true, .ending = VECTOR_SERVER_RESETS,
	  KNOWN(PORT, "the ClientHello on a port of implicit TLS is answered with a reset", PORT_RULES),
	  .steps = { C(CLIENT_HELLO) },
	  .facts = FACT(TLS_FROM_START) | FACT(CLIENT_HELLO), .outcome = OUTCOME_FAILED, .findings = FOUND(TLS_HANDSHAKE_FAILED) },
