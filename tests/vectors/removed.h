/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* STARTTLS taken out of the EHLO reply, or written over. Rows of vectors[]. */
/* clang-format off */

/* A client that sends its mail all the same, and one that leaves; reply: to EHLO. */
#define REMOVED(id, text, from, reply)                                                                                \
	{ .name = "removed-" id "-mail", KNOWN(OFFER, text "; the client sends its mail in clear", from),              \
	  .steps = { GREETING, EHLO, S(reply), MAIL, OK, RCPT, OK, QUIT, BYE },                                        \
	  .facts = HELLOED | MAILED | FACT(RECIPIENT_CLEAR) | LEFT, .codes = { 220, 250 }, .outcome = OUTCOME_CLEARTEXT, \
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_MISSING), .cause = "starttls-missing", .stops = 4 },      \
	{ .name = "removed-" id "-leaves", KNOWN(OFFER, text "; the client leaves", from),                             \
	  .steps = { GREETING, EHLO, S(reply), QUIT, BYE },                                                            \
	  .facts = HELLOED | LEFT, .codes = { 220, 250 }, .outcome = OUTCOME_REFUSED, .findings = FOUND(STARTTLS_MISSING) }

#define OVERWRITTEN(id, text, from, reply)                                                                            \
	{ .name = "masked-" id "-mail", KNOWN(OFFER, text "; the client sends its mail in clear", from),               \
	  .steps = { GREETING, EHLO, S(reply), MAIL, OK, RCPT, OK, QUIT, BYE },                                        \
	  .facts = HELLOED | FACT(STARTTLS_MASKED) | MAILED | FACT(RECIPIENT_CLEAR) | LEFT, .codes = { 220, 250 },     \
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_MASKED),                    \
	  .cause = "starttls-masked", .stops = 4 },                                                                    \
	{ .name = "masked-" id "-leaves", KNOWN(OFFER, text "; the client leaves", from),                              \
	  .steps = { GREETING, EHLO, S(reply), QUIT, BYE },                                                            \
	  .facts = HELLOED | FACT(STARTTLS_MASKED) | LEFT, .codes = { 220, 250 }, .outcome = OUTCOME_REFUSED,          \
	  .findings = FOUND(STARTTLS_MASKED) }

	REMOVED("first-keyword", "the first keyword, STARTTLS, is taken out of the EHLO reply", STRIPPING,
		"250-mx.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250 8BITMIME\r\n"),
	REMOVED("middle-keyword", "STARTTLS is taken out of the middle of the EHLO reply", STRIPPING,
		"250-mx.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"),
	REMOVED("last-keyword-repaired", "the last line, STARTTLS, is taken out, and the hyphen before it made a blank", STRIPPING,
		"250-mx.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250 8BITMIME\r\n"),
	REMOVED("only-keyword", "the only keyword, STARTTLS, is taken out", STRIPPING, "250 mx.example\r\n"),
	REMOVED("all-but-the-greeting", "the EHLO reply is cut down to that of HELO", STRIPPING, "250 mx.example at your service\r\n"),
	REMOVED("by-blanks", "STARTTLS is overwritten with blanks, the length kept", STRIPPING,
		"250-mx.example\r\n250-PIPELINING\r\n250-        \r\n250 8BITMIME\r\n"),
	REMOVED("by-a-keyword-twice", "STARTTLS is overwritten with a keyword that stands there already", STRIPPING,
		"250-mx.example\r\n250-8BITMIME\r\n250-8BITMIME\r\n250 SIZE\r\n"),
	REMOVED("to-an-empty-reply", "an EHLO reply of a code and a blank", REPLY_RULES, "250 \r\n"),
	REMOVED("to-a-bare-code", "an EHLO reply of the code alone", REPLY_RULES, "250\r\n"),
	REMOVED("into-the-greeting-line", "STARTTLS is moved to the first line, where it is text and no keyword", EHLO_RULES,
		"250-STARTTLS\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
	REMOVED("to-a-parameter", "STARTTLS is made a parameter of another keyword", EHLO_RULES,
		"250-mx.example\r\n250-PIPELINING STARTTLS\r\n250 8BITMIME\r\n"),
	REMOVED("by-a-hyphen", "STARTTLS becomes START-TLS, a keyword that nobody knows", EHLO_RULES,
		"250-mx.example\r\n250-START-TLS\r\n250 8BITMIME\r\n"),
	REMOVED("by-a-homoglyph", "the first A of STARTTLS becomes the Cyrillic letter, two bytes in UTF-8", EHLO_RULES,
		"250-mx.example\r\n250-ST\xd0\x90RTTLS\r\n250 8BITMIME\r\n"),
	REMOVED("and-other-keywords-masked", "a firewall without allow-tls writes X over each keyword that it does not know", CISCO,
		"250-mx.example\r\n250-XXXXXXXXXXXXXXXXXXXX\r\n250-SIZE 10240000\r\n250-XXXXXXXXXXXXXXXXXXX\r\n250 XXXXX\r\n"),
	REMOVED("and-a-negative-line-instead", "STARTTLS stands on a line with a negative code", REPLY_RULES,
		"250-mx.example\r\n550-STARTTLS\r\n250 8BITMIME\r\n"),
	REMOVED("by-a-nul", "the last letter of STARTTLS becomes NUL, which ends the keyword", EHLO_RULES,
		"250-mx.example\r\n250-STARTTL\0\r\n250 SIZE\r\n"),
	{ .name = "removed-last-keyword-unrepaired-waits",
	  KNOWN(OFFER, "the last line, STARTTLS, is taken out, and the reply never ends; the client gives up", STRIPPING),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n") },
	  .facts = GREETED | FACT(EHLO_SENT), .codes = { 220 }, .outcome = OUTCOME_UNKNOWN },
	{ .name = "removed-last-keyword-unrepaired-mail",
	  KNOWN(OFFER, "the last line, STARTTLS, is taken out, and the reply never ends; the client sends its mail all the same", STRIPPING),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n"), MAIL, OK },
	  .facts = GREETED | FACT(EHLO_SENT) | MAILED, .codes = { 220 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL), .cause = "not-known", .stops = 4 },

	OVERWRITTEN("250-xxxxxxxx", "STARTTLS becomes XXXXXXXX in the middle of the reply", MASKING,
		    "250-mx.example\r\n250-XXXXXXXX\r\n250 8BITMIME\r\n"),
	OVERWRITTEN("250-xxxxxxxa-last", "STARTTLS becomes XXXXXXXA on the last line", CISCO,
		    "250-mx.example\r\n250-8BITMIME\r\n250 XXXXXXXA\r\n"),
	OVERWRITTEN("250-xxxxxxxa-first", "STARTTLS becomes XXXXXXXA on the first line of keywords", CISCO,
		    "250-mx.example\r\n250-XXXXXXXA\r\n250-SIZE\r\n250 8BITMIME\r\n"),
	OVERWRITTEN("250-xxxxxxxb", "STARTTLS becomes XXXXXXXB", CISCO, "250-mx.example\r\n250-XXXXXXXB\r\n250 SIZE\r\n"),
	OVERWRITTEN("mixed-case", "a mask in both cases", MASKING, "250-mx.example\r\n250-xXxXxXxA\r\n250 SIZE\r\n"),
	OVERWRITTEN("lower-case", "a mask in lower case", MASKING, "250-mx.example\r\n250-xxxxxxxa\r\n250 SIZE\r\n"),
	OVERWRITTEN("stars", "STARTTLS becomes eight asterisks", MASKING, "250-mx.example\r\n250-********\r\n250 SIZE\r\n"),
	OVERWRITTEN("hyphens", "STARTTLS becomes eight hyphens", MASKING, "250-mx.example\r\n250---------\r\n250 SIZE\r\n"),
	OVERWRITTEN("zeros", "STARTTLS becomes eight times 0", MASKING, "250-mx.example\r\n250-00000000\r\n250 SIZE\r\n"),
	OVERWRITTEN("high-bytes", "STARTTLS becomes eight bytes that are no ASCII", MASKING,
		    "250-mx.example\r\n250-\xff\xff\xff\xff\xff\xff\xff\xff\r\n250 SIZE\r\n"),
	OVERWRITTEN("first-letter", "STARTTLS with another first letter", STRIPPING, "250-mx.example\r\n250-XTARTTLS\r\n250 SIZE\r\n"),
	OVERWRITTEN("last-letter", "STARTTLS with another last letter", STRIPPING, "250-mx.example\r\n250-STARTTLX\r\n250 SIZE\r\n"),
	OVERWRITTEN("middle-letter", "STARTTLS with a letter changed in the middle", STRIPPING,
		    "250-mx.example\r\n250-STARXTLS\r\n250 SIZE\r\n"),
	OVERWRITTEN("two-letters", "STARTTLS with two letters changed", STRIPPING, "250-mx.example\r\n250-STXRTTLX\r\n250 SIZE\r\n"),
	OVERWRITTEN("swapped-letters", "STARTTLS with two letters swapped", STRIPPING, "250-mx.example\r\n250-STRATTLS\r\n250 SIZE\r\n"),
	OVERWRITTEN("homoglyph-of-one-byte", "the first A of STARTTLS becomes a letter of one byte that looks like it", STRIPPING,
		    "250-mx.example\r\n250-ST\xc1RTTLS\r\n250 SIZE\r\n"),
	OVERWRITTEN("digit", "the last letter of STARTTLS becomes 5", STRIPPING, "250-mx.example\r\n250-STARTTL5\r\n250 SIZE\r\n"),

	{ .name = "masked-greeting-leaves", KNOWN(OFFER, "the greeting becomes asterisks, STARTTLS is gone; the client leaves", CISCO),
	  .steps = { S("220 ********************************\r\n"), EHLO, NO_OFFER, QUIT, BYE },
	  .facts = HELLOED | FACT(BANNER_MASKED) | LEFT, .codes = { 220, 250 }, .outcome = OUTCOME_REFUSED,
	  .findings = FOUND(STARTTLS_MASKED) },
	{ .name = "masked-greeting-of-x", KNOWN(OFFER, "the greeting becomes X", CISCO),
	  .steps = { S("220 XXXXXXXXXXXXXXXXXXXXXXXXXXXXXX\r\n"), EHLO, NO_OFFER, MAIL, OK },
	  .facts = HELLOED | FACT(BANNER_MASKED) | MAILED, .codes = { 220, 250 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_MASKED), .cause = "starttls-masked", .stops = 4 },
	{ .name = "greeting-without-esmtp-client-says-helo",
	  KNOWN(OFFER, "the word ESMTP is taken out of the greeting, and the client does not try EHLO", "Postfix: smtp_always_send_ehlo"),
	  .steps = { S("220 mx.example ready\r\n"), HELO, HELO_OK, MAIL, OK },
	  .facts = GREETED | FACT(HELO_SENT) | FACT(HELO_ACCEPTED) | MAILED, .codes = { 220 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL), .cause = "helo-only", .stops = 4 },
	{ .name = "sixty-mechanisms-and-no-starttls", KNOWN(OFFER, "sixty SASL mechanisms and no STARTTLS; the client leaves", AUTH_RULES),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250-AUTH"), S_TIMES(60, " X-MECHANISM-NAME"), S("\r\n250 SIZE\r\n"), QUIT, BYE },
	  .facts = HELLOED | FACT(AUTH_OFFERED) | LEFT, .codes = { 220, 250 }, .outcome = OUTCOME_REFUSED,
	  .findings = FOUND(STARTTLS_MISSING) },
	{ .name = "auth-offered-in-clear-and-no-starttls", KNOWN(OFFER, "AUTH is offered in clear and STARTTLS is not; the client leaves", AUTH_RULES),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n250 AUTH PLAIN LOGIN\r\n"), QUIT, BYE },
	  .facts = HELLOED | FACT(AUTH_OFFERED) | LEFT, .codes = { 220, 250 }, .outcome = OUTCOME_REFUSED,
	  .findings = FOUND(STARTTLS_MISSING) },
	{ .name = "offer-buried-under-keywords",
	  KNOWN(OFFER, "STARTTLS behind three hundred keywords, where a client with a small buffer does not look; it sends its mail in clear", REPLY_RULES),
	  .steps = { GREETING, EHLO, S("250-mx.example\r\n"), S_TIMES(300, "250-X-NOBODY-KNOWS-THIS\r\n"), S("250 STARTTLS\r\n"), MAIL, OK },
	  .facts = OFFERED | MAILED, .codes = { 220, 250 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_UNUSED), .cause = "starttls-unused", .stops = 6 },
	{ .name = "offer-behind-an-overlong-line",
	  KNOWN(OFFER, "STARTTLS behind a line of 2 KB, where a client with a small buffer loses it; it sends its mail in clear", "RFC 5321 section 4.5.3.1.5"),
	  .steps = { GREETING, EHLO, S("250-mx.example "), S_TIMES(2000, "x"), S("\r\n250 STARTTLS\r\n"), MAIL, OK },
	  .facts = OFFERED | MAILED, .codes = { 220, 250 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_UNUSED), .cause = "starttls-unused", .stops = 6 },
	{ .name = "offer-taken-back-by-a-second-ehlo",
	  KNOWN(OFFER, "STARTTLS is offered, and gone from the reply to a second EHLO; the client sends its mail in clear", STRIPPING),
	  .steps = { GREETING, EHLO, OFFER, EHLO, NO_OFFER, MAIL, OK },
	  .facts = OFFERED | MAILED, .codes = { 220, 250 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_UNUSED), .cause = "starttls-unused", .stops = 6 },
