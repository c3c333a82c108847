/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A reply code where another one belongs: to the greeting, EHLO, HELO, RSET, QUIT and STARTTLS. Rows of vectors[]. */
/* clang-format off */

/* EHLO refused, and the client falls back to HELO (RFC 5321 section 3.2 has it do so). */
#define EHLO_ANSWERED(number, answer)                                                                                 \
	{ .name = "ehlo-answered-" #number "-then-helo",                                                               \
	  KNOWN(HELLO, "EHLO is answered with " #number ", so the client says HELO and sends its mail in clear", HELO_RULES), \
	  .steps = { GREETING, EHLO, S(#number answer), HELO, HELO_OK, MAIL, OK },                                      \
	  .facts = GREETED | FACT(EHLO_SENT) | FACT(EHLO_REFUSED) | FACT(HELO_SENT) | FACT(HELO_ACCEPTED) | MAILED,    \
	  .codes = { 220, number }, .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(EHLO_REFUSED), \
	  .cause = "ehlo-refused", .stops = 6 },                                                                       \
	{ .name = "ehlo-answered-" #number "-leaves", KNOWN(HELLO, "EHLO is answered with " #number "; the client leaves", HELO_RULES), \
	  .steps = { GREETING, EHLO, S(#number answer), QUIT, BYE },                                                    \
	  .facts = GREETED | FACT(EHLO_SENT) | FACT(EHLO_REFUSED) | LEFT, .codes = { 220, number }, .outcome = OUTCOME_REFUSED }

	EHLO_ANSWERED(354, " what\r\n"),
	EHLO_ANSWERED(421, " again\r\n"),
	EHLO_ANSWERED(500, " 5.5.1 Command unrecognized: \"XXXX client.example\"\r\n"), /* the verb was masked on its way */
	EHLO_ANSWERED(501, " what\r\n"),
	EHLO_ANSWERED(502, " what\r\n"),
	EHLO_ANSWERED(504, " what\r\n"),
	EHLO_ANSWERED(530, " what\r\n"),
	EHLO_ANSWERED(550, " what\r\n"),

/* A code that clients take for a yes, and no keywords. */
#define EHLO_TAKEN(number)                                                                                            \
	{ .name = "ehlo-answered-" #number "-then-helo",                                                               \
	  KNOWN(HELLO, "EHLO is answered with " #number " and no keywords; the client says HELO and sends its mail in clear", REPLY_RULES), \
	  .steps = { GREETING, EHLO, S(#number " mx.example\r\n"), HELO, HELO_OK, MAIL, OK },                           \
	  .facts = HELLOED | FACT(HELO_SENT) | FACT(HELO_ACCEPTED) | MAILED, .codes = { 220, number },                  \
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_MISSING),                   \
	  .cause = "starttls-missing", .stops = 6 }

	EHLO_TAKEN(220),
	EHLO_TAKEN(221),

#define HELO_ANSWERED(number, accepted)                                                                               \
	{ .name = "helo-answered-" #number,                                                                            \
	  KNOWN(HELLO, "HELO is answered with " #number "; the client sends its mail all the same", HELO_RULES),       \
	  .steps = { GREETING, HELO, S(#number " what\r\n"), MAIL, OK },                                                \
	  .facts = GREETED | FACT(HELO_SENT) | (accepted) | MAILED, .codes = { 220 }, .outcome = OUTCOME_CLEARTEXT,    \
	  .findings = FOUND(CLEARTEXT_MAIL), .cause = "helo-only", .stops = 4 }

	HELO_ANSWERED(220, FACT(HELO_ACCEPTED)),
	HELO_ANSWERED(221, FACT(HELO_ACCEPTED)),
	HELO_ANSWERED(354, 0),
	HELO_ANSWERED(421, 0),
	HELO_ANSWERED(500, 0),
	HELO_ANSWERED(501, 0),
	HELO_ANSWERED(502, 0),
	HELO_ANSWERED(504, 0),
	HELO_ANSWERED(530, 0),
	HELO_ANSWERED(550, 0),

/* Nothing was asked for yet and nothing sent: nobody knows what it would have come to. */
#define GREETED_WITH(number)                                                                                          \
	{ .name = "greeted-with-" #number, KNOWN(HELLO, "the greeting is " #number "; the client leaves", REPLY_RULES), \
	  .steps = { S(#number " mx.example\r\n"), QUIT, BYE },                                                         \
	  .facts = FACT(GREETING_REFUSED) | LEFT, .codes = { number }, .outcome = OUTCOME_UNKNOWN },                   \
	{ .name = "greeted-with-" #number "-client-goes-on",                                                           \
	  KNOWN(HELLO, "the greeting is " #number ", and STARTTLS is not offered; the client sends its mail", REPLY_RULES), \
	  .steps = { S(#number " mx.example\r\n"), EHLO, NO_OFFER, MAIL, OK },                                          \
	  .facts = FACT(GREETING_REFUSED) | FACT(EHLO_SENT) | FACT(EHLO_ACCEPTED) | MAILED, .codes = { number, 250 },  \
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_MISSING),                   \
	  .cause = "starttls-missing", .stops = 4 }

	GREETED_WITH(354),
	GREETED_WITH(421),
	GREETED_WITH(500),
	GREETED_WITH(501),
	GREETED_WITH(502),
	GREETED_WITH(504),
	GREETED_WITH(530),
	GREETED_WITH(550),
	{ .name = "greeted-with-221", KNOWN(TRAP, "a greeting of 221, which clients take", REPLY_RULES),
	  .steps = { S("221 mx.example\r\n"), EHLO, OFFER, STARTTLS, GO, TLS_13 },
	  .facts = ACCEPTED | TLS_UP, .codes = { 221, 250, 220 }, .outcome = OUTCOME_ENCRYPTED },

/* Whatever answers RSET, it is no answer to the STARTTLS behind it, and 354 no beginning of a message. */
#define RSET_ANSWERED(number)                                                                                         \
	{ .name = "rset-answered-" #number, KNOWN(TRAP, "RSET is answered with " #number " before a STARTTLS that works", REPLY_RULES), \
	  .steps = { GREETING, EHLO, OFFER, RSET, S(#number " what\r\n"), STARTTLS, GO, TLS_13 },                       \
	  .facts = ACCEPTED | TLS_UP, .codes = { 220, 250, 220 }, .outcome = OUTCOME_ENCRYPTED }

	RSET_ANSWERED(220),
	RSET_ANSWERED(221),
	RSET_ANSWERED(354),
	RSET_ANSWERED(421),
	RSET_ANSWERED(500),
	RSET_ANSWERED(501),
	RSET_ANSWERED(502),
	RSET_ANSWERED(504),
	RSET_ANSWERED(530),
	RSET_ANSWERED(550),

/* The same for QUIT; what the client left for is what there is to tell. */
#define QUIT_ANSWERED(number)                                                                                         \
	{ .name = "quit-answered-" #number, KNOWN(TRAP, "QUIT is answered with " #number, REPLY_RULES),                \
	  .steps = { GREETING, EHLO, OFFER, QUIT, S(#number " what\r\n") },                                             \
	  .facts = OFFERED | LEFT, .codes = { 220, 250 }, .outcome = OUTCOME_UNKNOWN }

	QUIT_ANSWERED(220),
	QUIT_ANSWERED(354),
	QUIT_ANSWERED(421),
	QUIT_ANSWERED(500),
	QUIT_ANSWERED(501),
	QUIT_ANSWERED(502),
	QUIT_ANSWERED(504),
	QUIT_ANSWERED(530),
	QUIT_ANSWERED(550),

#define STARTTLS_REFUSED_WITH(number)                                                                                 \
	{ .name = "starttls-answered-" #number "-mail",                                                                \
	  KNOWN(REQUEST, "STARTTLS is answered with " #number "; the client sends its mail in clear", IGNORED),        \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S(#number " what\r\n"), MAIL, OK },                               \
	  .facts = ASKED | FACT(STARTTLS_REFUSED) | MAILED, .codes = { 220, 250, number }, .outcome = OUTCOME_CLEARTEXT, \
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_REFUSED), .cause = "starttls-refused", .stops = 6 },      \
	{ .name = "starttls-answered-" #number "-leaves",                                                              \
	  KNOWN(REQUEST, "STARTTLS is answered with " #number "; the client leaves", ANSWER_RULES),                    \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S(#number " what\r\n"), QUIT, BYE },                              \
	  .facts = ASKED | FACT(STARTTLS_REFUSED) | LEFT, .codes = { 220, 250, number }, .outcome = OUTCOME_REFUSED,   \
	  .findings = FOUND(STARTTLS_REFUSED) }

	STARTTLS_REFUSED_WITH(421),
	STARTTLS_REFUSED_WITH(454),
	STARTTLS_REFUSED_WITH(500),
	STARTTLS_REFUSED_WITH(501),
	STARTTLS_REFUSED_WITH(502),
	STARTTLS_REFUSED_WITH(503),
	STARTTLS_REFUSED_WITH(530),
	STARTTLS_REFUSED_WITH(554),

#define STARTTLS_MISANSWERED(number)                                                                                  \
	{ .name = "starttls-answered-" #number "-tls",                                                                 \
	  KNOWN(REQUEST, "STARTTLS is answered with " #number ", and the client starts TLS", ANSWER_RULES),            \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S(#number " what\r\n"), TLS_13 },                                 \
	  .facts = ASKED | FACT(STARTTLS_BAD_REPLY) | TLS_UP, .codes = { 220, 250, number }, .outcome = OUTCOME_ENCRYPTED, \
	  .findings = FOUND(STARTTLS_BAD_REPLY) },                                                                     \
	{ .name = "starttls-answered-" #number "-leaves",                                                              \
	  KNOWN(REQUEST, "STARTTLS is answered with " #number "; the client leaves", ANSWER_RULES),                    \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S(#number " what\r\n"), QUIT, BYE },                              \
	  .facts = ASKED | FACT(STARTTLS_BAD_REPLY) | FACT(PLAIN_AFTER_STARTTLS) | LEFT, .codes = { 220, 250, number }, \
	  .outcome = OUTCOME_REFUSED, .findings = FOUND(STARTTLS_BAD_REPLY) },                                         \
	{ .name = "starttls-answered-" #number "-mail",                                                                \
	  KNOWN(REQUEST, "STARTTLS is answered with " #number "; the client sends its mail in clear", IGNORED),        \
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S(#number " what\r\n"), MAIL, OK },                               \
	  .facts = ASKED | FACT(STARTTLS_BAD_REPLY) | FACT(PLAIN_AFTER_STARTTLS) | MAILED, .codes = { 220, 250, number }, \
	  .outcome = OUTCOME_CLEARTEXT, .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_BAD_REPLY),                 \
	  .cause = "starttls-bad-reply", .stops = 6 }

	STARTTLS_MISANSWERED(200),
	STARTTLS_MISANSWERED(221),
	STARTTLS_MISANSWERED(250),
	{ .name = "starttls-answered-354-mail", KNOWN(REQUEST, "STARTTLS is answered with 354; the client sends its mail in clear", IGNORED),
	  .steps = { GREETING, EHLO, OFFER, STARTTLS, S("354 what\r\n"), MAIL, OK },
	  .facts = ASKED | FACT(STARTTLS_BAD_REPLY) | MAILED, .codes = { 220, 250, 354 }, .outcome = OUTCOME_CLEARTEXT,
	  .findings = FOUND(CLEARTEXT_MAIL) | FOUND(STARTTLS_BAD_REPLY), .cause = "starttls-bad-reply", .stops = 6 },
