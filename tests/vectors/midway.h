/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that were there first: the steps are what is seen of them. What leads back into the dialogue, and what must not.
 * Rows of vectors[].
 */
/* clang-format off */

#define JOINED FACT(MIDWAY)
#define FOUND_AGAIN (FACT(MIDWAY) | FACT(RESYNCED))
#define RSET C("RSET\r\n")
#define NOOP C("NOOP\r\n")
#define CREDENTIAL "AUTH PLAIN AHVzZXJAbXguZXhhbXBsZQBodW50ZXIyLXBhNTU=\r\n"
#define UNKNOWN_MIDWAY .facts = JOINED, .outcome = OUTCOME_UNKNOWN
/* A line of a message may say anything. */
#define TRAP "MAIL FROM:<a@client.example>\r\n" CREDENTIAL "RCPT TO:<b@mx.example>\r\n"
#define TRAP_LINES C("MAIL FROM:<a@client.example>\r\n"), C("RCPT TO:<b@mx.example>\r\n"), C(CREDENTIAL)

	/* certain by one answer */
	{ .name = "midway-ehlo-then-mail", KNOWN(MAIL, "a connection that was there before smtpward: EHLO, no STARTTLS, mail in clear", SMTPWARD), .midway = true,
	  .steps = { EHLO, NO_OFFER, MAIL, OK, QUIT, BYE },
	  .facts = FOUND_AGAIN | FACT(EHLO_SENT) | FACT(EHLO_ACCEPTED) | MAILED | LEFT, .codes = { 0, 250, 0, 0 },
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_MISSING), .cause = "starttls-missing",
	  .stops = 3 },
	{ .name = "midway-ehlo-masked-then-auth", KNOWN(CREDENTIAL, "a connection that was there before smtpward: STARTTLS masked, a login in clear", CISCO), .midway = true,
	  .steps = { EHLO, S("250-mx.example\r\n250-SIZE 1000\r\n250-XXXXXXXA\r\n250 AUTH PLAIN\r\n"), C(CREDENTIAL), S("235 ok\r\n"), NOOP },
	  .facts = FOUND_AGAIN | FACT(EHLO_SENT) | FACT(EHLO_ACCEPTED) | FACT(STARTTLS_MASKED) | FACT(AUTH_OFFERED) | AUTHED,
	  .codes = { 0, 250, 0, 235 }, .mechanism = "PLAIN", .account = "user@mx.example",
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) | FOUND(STARTTLS_MASKED), .stops = 3 },
	{ .name = "midway-starttls-then-tls", KNOWN(TRAP, "a connection joined before its STARTTLS, which works", ANSWER_RULES), .midway = true,
	  .steps = { STARTTLS, GO, TLS_13 },
	  .facts = FOUND_AGAIN | FACT(STARTTLS_ASKED) | FACT(STARTTLS_ACCEPTED) | TLS_UP, .codes = { 0, 0, 220, 0 },
	  .outcome = OUTCOME_ENCRYPTED },
	{ .name = "midway-starttls-then-plaintext", KNOWN(HANDSHAKE, "a connection that was there before smtpward: the 220, and the client goes on in clear", IGNORED), .midway = true,
	  .steps = { STARTTLS, GO, MAIL, OK },
	  .facts = FOUND_AGAIN | FACT(STARTTLS_ASKED) | FACT(STARTTLS_ACCEPTED) | FACT(PLAIN_AFTER_STARTTLS) | MAILED,
	  .codes = { 0, 0, 220, 0 }, .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(TLS_NOT_STARTED),
	  .cause = "tls-not-started", .stops = 3 },
	/* the credential left before its answer told that it was one: found, and nothing was there to be stopped */
	{ .name = "midway-auth-by-its-answer", KNOWN(CREDENTIAL, "a connection joined at an AUTH: its answer tells that it was one", AUTH_RULES), .midway = true,
	  .steps = { C(CREDENTIAL), S("235 ok\r\n"), NOOP, OK },
	  .facts = FOUND_AGAIN | FACT(AUTH_CLEAR) | FACT(CREDENTIAL_CLEAR), .codes = { 0, 0, 0, 235 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH) },
	{ .name = "midway-auth-login-by-its-answer", .midway = true,
	  .steps = { C("AUTH LOGIN\r\n"), S("334 VXNlcm5hbWU6\r\n"), C("dXNlckBteC5leGFtcGxl\r\n"), S("334 UGFzc3dvcmQ6\r\n"),
		     C("aHVudGVyMi1wYTU1\r\n"), S("235 ok\r\n") },
	  .facts = FOUND_AGAIN | AUTHED, .codes = { 0, 0, 0, 235 }, .mechanism = "LOGIN", .account = "user@mx.example",
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH), .stops = 3 },
	{ .name = "midway-data-of-a-mail-not-seen", .midway = true,
	  .steps = { C("DATA\r\n"), S("354 go\r\n"), C(TRAP ".\r\n"), OK, C(CREDENTIAL), S("235 ok\r\n") },
	  .facts = FOUND_AGAIN | FACT(CONTENT_CLEAR) | AUTHED, .codes = { 0, 0, 0, 235 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH), .stops = 5 },
	{ .name = "midway-354-alone", .midway = true,
	  .steps = { S("354 go\r\n"), C(TRAP TRAP), C("..\r\nAUTH LOGIN\r\n.\r\n"), OK, MAIL, OK },
	  .facts = FOUND_AGAIN | FACT(CONTENT_CLEAR) | MAILED, .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL),
	  .cause = "not-known", .stops = 5 },
	{ .name = "midway-354-is-behind-other-replies", .midway = true,
	  .steps = { S("250 ok\r\n250 ok\r\n354 go\r\n"), C(TRAP), C(".\r\n"), OK, QUIT, BYE },
	  .facts = FOUND_AGAIN | FACT(CONTENT_CLEAR) | LEFT, .outcome = OUTCOME_UNKNOWN },

	/* certain by two, the first of which might have begun within a line */
	{ .name = "midway-line-by-line", .midway = true,
	  .steps = { RSET, OK, NOOP, OK, C(CREDENTIAL), S("235 ok\r\n") },
	  .facts = FOUND_AGAIN | AUTHED, .codes = { 0, 0, 0, 235 }, .mechanism = "PLAIN", .account = "user@mx.example",
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH), .stops = 5 },
	{ .name = "midway-mail-and-its-recipient", .midway = true,
	  .steps = { MAIL, OK, RCPT, OK, C("DATA\r\n"), S("354 go\r\n"), C(TRAP ".\r\n"), OK },
	  .facts = FOUND_AGAIN | FACT(RECIPIENT_CLEAR) | FACT(CONTENT_CLEAR), .outcome = OUTCOME_UNKNOWN },
	{ .name = "midway-pipelined", .midway = true,
	  .steps = { C("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"), S("250 ok\r\n250 ok\r\n354 go\r\n"), C(TRAP ".\r\n"), OK, QUIT },
	  .facts = FOUND_AGAIN | FACT(MAIL_CLEAR) | FACT(RECIPIENT_CLEAR) | FACT(CONTENT_CLEAR) | LEFT,
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL), .cause = "not-known" },
	{ .name = "midway-in-a-reply", KNOWN(CREDENTIAL, "a connection joined inside an EHLO reply; a login in clear", AUTH_RULES), .midway = true,
	  .steps = { S("LINING\r\n250 8BITMIME\r\n"), C("HELO x\r\n"), OK, C("noop\r\n"), OK, C(CREDENTIAL), S("503 no\r\n") },
	  .facts = FOUND_AGAIN | AUTHED, .codes = { 0, 0, 0, 503 }, .mechanism = "PLAIN",
	  .account = "user@mx.example", .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_AUTH), .stops = 6 },
	{ .name = "midway-chunk-of-a-mail-not-seen", .midway = true,
	  .steps = { RCPT, OK, RCPT, OK, C("BDAT 53 LAST\r\n" CREDENTIAL), OK, QUIT },
	  .facts = FOUND_AGAIN | FACT(RECIPIENT_CLEAR) | FACT(CONTENT_CLEAR) | LEFT, .outcome = OUTCOME_UNKNOWN },

	{ .name = "midway-the-next-mail", .midway = true,
	  .steps = { RSET, OK, MAIL, OK, RCPT, OK, C("DATA\r\n"), S("354 go\r\n"), C(TRAP ".\r\n"), OK },
	  .facts = FOUND_AGAIN | FACT(MAIL_CLEAR) | FACT(RECIPIENT_CLEAR) | FACT(CONTENT_CLEAR),
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL), .cause = "not-known" },
	{ .name = "midway-354-to-another-command-is-none", .midway = true,
	  .steps = { EHLO, S("354 what\r\n"), MAIL, OK, QUIT }, UNKNOWN_MIDWAY },
	{ .name = "midway-within-a-line", .midway = true,
	  .steps = { C("MAIL FROM:<a>\r\n"), S("252 maybe\r\n"), RSET, OK, NOOP, OK, QUIT, BYE },
	  .facts = FOUND_AGAIN | LEFT, .outcome = OUTCOME_UNKNOWN },
	{ .name = "midway-within-a-line-pipelined", .midway = true,
	  .steps = { C("MAIL FROM:<a>\r\nRSET\r\n"), S("252 maybe\r\n250 ok\r\n"), NOOP, OK, QUIT, BYE },
	  .facts = FOUND_AGAIN | LEFT, .outcome = OUTCOME_UNKNOWN },

	/* nothing is certain, so nothing is found */
	{ .name = "midway-one-answer-is-not-enough", .midway = true,
	  .steps = { MAIL, OK, QUIT, BYE }, UNKNOWN_MIDWAY },
	{ .name = "midway-in-a-message", KNOWN(TRAP, "a connection joined inside a message whose lines look like commands", DATA_RULES), .midway = true,
	  .steps = { TRAP_LINES, C(TRAP TRAP TRAP), C(".\r\n"), OK, MAIL, OK, QUIT, BYE }, UNKNOWN_MIDWAY },
	{ .name = "midway-in-a-message-of-commands-only", .midway = true,
	  .steps = { TRAP_LINES, TRAP_LINES, C("\r\n.\r\n"), OK, QUIT, BYE }, UNKNOWN_MIDWAY },
	{ .name = "midway-in-a-chunk-that-ends-in-a-command", .midway = true,
	  .steps = { C("text\r\n" TRAP), OK, C("BDAT 70000\r\n" TRAP), C(CREDENTIAL), OK, C(CREDENTIAL), OK }, UNKNOWN_MIDWAY },
	{ .name = "midway-auth-in-a-chunk-is-not-answered-as-auth", .midway = true,
	  .steps = { C(CREDENTIAL), OK, QUIT, BYE }, UNKNOWN_MIDWAY },
	{ .name = "midway-refused-proves-nothing", .midway = true,
	  .steps = { MAIL, S("550 spam\r\n"), RCPT, S("503 no\r\n"), C(CREDENTIAL), S("503 no\r\n"), QUIT }, UNKNOWN_MIDWAY },
	{ .name = "midway-ehlo-without-keywords-proves-nothing", .midway = true,
	  .steps = { EHLO, OK, C(CREDENTIAL), OK }, UNKNOWN_MIDWAY },
	{ .name = "midway-more-replies-than-lines", .midway = true,
	  .steps = { MAIL, S("250 ok\r\n250 ok\r\n"), RCPT, S("250 ok\r\n250 ok\r\n"), C(CREDENTIAL), OK }, UNKNOWN_MIDWAY },
	{ .name = "midway-reply-not-waited-for", .midway = true,
	  .steps = { EHLO, S("250-mx.example\r\n250-SIZE\r\n"), C(CREDENTIAL), S("250 8BITMIME\r\n"), NOOP },
	  UNKNOWN_MIDWAY, .codes = { 0, 250, 0, 0 } },
	{ .name = "midway-in-an-auth-exchange", KNOWN(TRAP, "a connection joined inside an AUTH exchange", AUTH_RULES), .midway = true,
	  .steps = { S("334 UGFzc3dvcmQ6\r\n"), C("aHVudGVyMi1wYTU1\r\n"), S("235 ok\r\n"), MAIL, OK }, UNKNOWN_MIDWAY },
	{ .name = "midway-in-tls", KNOWN(TRAP, "a connection joined inside TLS", "RFC 8446"), .midway = true,
	  .steps = { C(APPLICATION), S(APPLICATION), C(FILL64), S("250 x\r\n" FILL64), C(APPLICATION APPLICATION), S(APPLICATION) }, UNKNOWN_MIDWAY },
	{ .name = "midway-in-tls-on-its-own-port", KNOWN(TRAP, "a connection on port 465 joined inside TLS", PORT_RULES), .midway = true, .implicit_tls = true,
	  .steps = { S("\r\n250 x\r\n" APPLICATION), C(APPLICATION), S("x\r\n220 y\r\n"), C(APPLICATION) }, UNKNOWN_MIDWAY },
	{ .name = "midway-client-hello-is-no-proof", .midway = true,
	  .steps = { C(CLIENT_HELLO), S(SERVER_HELLO CCS FLIGHT_13), C(CCS FINISHED_13), C(APPLICATION), S(APPLICATION) }, UNKNOWN_MIDWAY },
	{ .name = "midway-silent", KNOWN(TRAP, "a connection that was there before smtpward, on which nothing but a time-out comes", REPLY_RULES), .midway = true, .steps = { S("421 time-out\r\n") }, UNKNOWN_MIDWAY },
