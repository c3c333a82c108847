/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Facts: what was seen on a flow, as bits. The kernel states facts; the agent judges them.
 *
 * A fact, once true, stays true for the life of the flow. Each is written by one direction only (the
 * columns below), since the two directions of a flow run on two CPUs at the same time; readers use the
 * union of both sets. The order is ABI between the BPF object and the agent: append, never reorder.
 */
#ifndef SMTPWARD_FACTS_H
#define SMTPWARD_FACTS_H

#include <linux/types.h>

/* clang-format off */
/*   identifier               name in JSON and CLI          what was seen */
#define FACTS(X)                                                                                                   \
	X(GREETING_ACCEPTED,      "greeting-accepted")      /* server: a complete 2xx greeting */                        \
	X(GREETING_REFUSED,       "greeting-refused")       /* server: a greeting that is not 2xx */                     \
	X(BANNER_MASKED,          "banner-masked")          /* server: greeting text overwritten with '*' or 'X' */      \
	X(EHLO_SENT,              "ehlo-sent")              /* client: EHLO, before TLS */                               \
	X(HELO_SENT,              "helo-sent")              /* client: HELO, before TLS */                               \
	X(EHLO_ACCEPTED,          "ehlo-accepted")          /* server: a complete 2xx reply to EHLO */                   \
	X(EHLO_REFUSED,           "ehlo-refused")           /* server: any other reply to EHLO */                        \
	X(HELO_ACCEPTED,          "helo-accepted")          /* server: a complete 2xx reply to HELO */                   \
	X(STARTTLS_OFFERED,       "starttls-offered")       /* server: keyword in the EHLO reply, not its first line */  \
	X(STARTTLS_MASKED,        "starttls-masked")        /* server: a keyword of the same length in its place */      \
	X(ANONYMOUSTLS_OFFERED,   "anonymoustls-offered")   /* server: X-ANONYMOUSTLS (Exchange) */                      \
	X(AUTH_OFFERED,           "auth-offered")           /* server: AUTH in the EHLO reply before TLS */              \
	X(STARTTLS_ASKED,         "starttls-asked")         /* client: STARTTLS or X-ANONYMOUSTLS */                     \
	X(STARTTLS_ACCEPTED,      "starttls-accepted")      /* server: 220 */                                            \
	X(STARTTLS_REFUSED,       "starttls-refused")       /* server: 4xx or 5xx */                                     \
	X(STARTTLS_BAD_REPLY,     "starttls-bad-reply")     /* server: 2xx that is not 220, 1xx, 3xx */                  \
	X(REPLY_INJECTED,         "reply-injected")         /* server: bytes behind the 220 while the client is silent */\
	X(COMMAND_INJECTED,       "command-injected")       /* client: bytes behind STARTTLS before its answer */        \
	X(PLAIN_AFTER_STARTTLS,   "plain-after-starttls")   /* client: a plaintext line after 2xx to STARTTLS */         \
	X(CLIENT_HELLO,           "client-hello")           /* client: TLS ClientHello */                                \
	X(SERVER_HELLO,           "server-hello")           /* server: TLS ServerHello */                                \
	X(CLIENT_ALERT,           "client-alert")           /* client: TLS alert before its first application data */    \
	X(SERVER_ALERT,           "server-alert")           /* server: TLS alert before its first application data */    \
	X(CLIENT_FINISHED,        "client-finished")        /* client: first encrypted handshake record */               \
	X(CLIENT_DATA,            "client-data")            /* client: application data after its Finished */            \
	X(SERVER_DATA,            "server-data")            /* server: application data record */                        \
	X(TLS_FROM_START,         "tls-from-start")         /* client: the flow's first byte is TLS */                   \
	X(SERVER_PLAIN_REPLY,     "server-plain-reply")     /* server: plaintext in answer to a ClientHello */           \
	X(PLAIN_ON_TLS_PORT,      "plain-on-tls-port")      /* either: SMTP in clear on a port of implicit TLS */        \
	X(AUTH_CLEAR,             "auth-clear")             /* client: AUTH command before TLS */                        \
	X(CREDENTIAL_CLEAR,       "credential-clear")       /* client: a SASL response before TLS */                     \
	X(MAIL_CLEAR,             "mail-clear")             /* client: MAIL (SEND, SOML, SAML) before TLS */             \
	X(RECIPIENT_CLEAR,        "recipient-clear")        /* client: RCPT before TLS */                                \
	X(CONTENT_CLEAR,          "content-clear")          /* client: message content (DATA body, BDAT) before TLS */   \
	X(LHLO_SENT,              "lhlo-sent")              /* client: LHLO, accepted; LMTP, nothing is judged */        \
	X(QUIT_SENT,              "quit-sent")              /* client: QUIT before TLS */                                \
	X(CLIENT_GAP,             "client-gap")             /* client: bytes missing, nothing read after them */         \
	X(SERVER_GAP,             "server-gap")             /* server: bytes missing, nothing read after them */         \
	X(CLIENT_CAP,             "client-cap")             /* client: parse cap reached before TLS */                   \
	X(SERVER_CAP,             "server-cap")             /* server: parse cap reached before TLS */                   \
	X(MIDWAY,                 "midway")                 /* the flow's beginning was not seen */                      \
	X(UNSEEN,                 "unseen")                 /* the flow moved bytes that the hooks did not see */        \
	X(NO_STORAGE,             "no-storage")             /* the kernel had no room for the flow's state */            \
	X(BLOCKED,                "blocked")                /* client: a segment was dropped by policy */                \
	X(WOULD_BLOCK,            "would-block")            /* client: block mode would have dropped a segment */  \
	X(HELD,                   "held")                   /* client: application data waited for the peer's verdict */ \
	X(CLIENT_PROCEEDED,       "client-proceeded")       /* client: more application data than a QUIT */        \
	X(STARTTLS_LATE,          "starttls-late")          /* client: STARTTLS behind a credential or MAIL in clear */  \
	X(RESYNCED,               "resynced")               /* client: joined midway, and the dialogue was found again */
/* clang-format on */

enum fact_bit {
#define X(id, name) FACT_BIT_##id,
	FACTS(X)
#undef X
	FACT_COUNT
};

_Static_assert(FACT_COUNT <= 64, "facts fit one word");

/* The mask of a fact: FACT(EHLO_SENT). A macro, because a C enum constant is an int. */
#define FACT(id) (1ULL << FACT_BIT_##id)

/* The flow was joined midway, and what its bytes mean is not known (yet): dialogue_midway.h. */
static inline int facts_are_lost(__u64 facts)
{
	return (facts & (FACT(MIDWAY) | FACT(RESYNCED))) == FACT(MIDWAY);
}

/*
 * Those of a flow's facts (of both directions) that are certain: to be told, and to be judged by. As long as the dialogue
 * is lost, the parsers' other facts are guesses that the server has yet to confirm.
 */
static inline __u64 facts_known(__u64 facts)
{
	const __u64 certain = FACT(MIDWAY) | FACT(CLIENT_GAP) | FACT(SERVER_GAP) | FACT(UNSEEN) | FACT(NO_STORAGE) | FACT(BLOCKED) |
			      FACT(WOULD_BLOCK);
	return facts_are_lost(facts) ? facts & certain : facts;
}

/*
 * TLS is established: application data went both ways. Where segments of the server's were lost in its handshake,
 * the client's application data alone tells, since it sends none before it has got all of that.
 */
static inline int facts_tls_established(__u64 facts)
{
	if (!(facts & FACT(CLIENT_DATA)))
		return 0;
	return (facts & FACT(SERVER_DATA)) || ((facts & FACT(SERVER_HELLO)) && (facts & FACT(SERVER_GAP)));
}

#endif
