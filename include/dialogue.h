/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SMTP dialogue machine (RFC 5321, 3207, 4954, 3030): from bytes to facts.
 *
 * Compiled twice, by clang into the BPF object and by gcc into the agent and the tests; no libc, no helpers,
 * no allocation. One parser for each direction, each written by its own direction only; a step reads the other
 * direction's parser, which may be a moment behind but never ahead of the wire.
 */
#ifndef SMTPWARD_DIALOGUE_H
#define SMTPWARD_DIALOGUE_H

#include <linux/types.h>

#include "compiler.h"
#include "event.h"
#include "facts.h"
#include "tls_record.h"

#define CLIENT_CAP_BYTES (64 * 1024)  /* command bytes read before TLS; message content does not count */
#define SERVER_CAP_BYTES (256 * 1024) /* reply bytes read before TLS */

#define BODY_TAIL 64 /* so many bytes at the end of a segment are read for the end of a DATA body */

/* A word is kept as its last eight bytes, upper case, first byte highest; its length tells longer ones apart. */
#define WORD4(a, b, c, d) ((__u64)(a) << 24 | (__u64)(b) << 16 | (__u64)(c) << 8 | (__u64)(d))
#define WORD8(a, b, c, d, e, f, g, h) (WORD4(a, b, c, d) << 32 | WORD4(e, f, g, h))
#define WORD_STARTTLS WORD8('S', 'T', 'A', 'R', 'T', 'T', 'L', 'S')
#define WORD_ANONYMOUSTLS WORD8('Y', 'M', 'O', 'U', 'S', 'T', 'L', 'S') /* the end of X-ANONYMOUSTLS */
#define ANONYMOUSTLS_LENGTH 14

/* What a command is, as far as its reply or what follows it matters. */
enum command {
	COMMAND_OTHER, /* also an empty line */
	COMMAND_EHLO,
	COMMAND_HELO,
	COMMAND_STARTTLS,
	COMMAND_AUTH, /* the command and each SASL response */
	COMMAND_DATA,
	/* below: answered like COMMAND_OTHER */
	COMMAND_MAIL,
	COMMAND_RCPT,
	COMMAND_BDAT,
	COMMAND_QUIT,
	COMMAND_LHLO,
};

/* What in the present segment asks for a verdict. */
#define DEMAND_AUTH 1       /* an AUTH command */
#define DEMAND_CREDENTIAL 2 /* a SASL response */
#define DEMAND_MAIL 4       /* a MAIL command */
#define DEMAND_CAP 8        /* the parse cap is reached in it */
#define DEMAND_TLS_DATA 16  /* application data after the handshake */
#define DEMAND_TLS_FINISHED 32 /* the client's last flight of the handshake */

enum client_state {
	CLIENT_LINE,      /* at the start of a line */
	CLIENT_VERB,      /* in its first word */
	CLIENT_REST,      /* anywhere behind, until LF */
	CLIENT_MECHANISM, /* AUTH, first argument */
	CLIENT_INITIAL,   /* AUTH, initial response */
	CLIENT_RESPONSE,  /* a SASL response, on a line of its own */
	CLIENT_SIZE,      /* BDAT, first argument */
	CLIENT_TLS,
	CLIENT_RECORD, /* in a TLS record, while nothing shows that the server takes it for one */
	CLIENT_OPAQUE, /* nothing is read any more */
	CLIENT_LOST,   /* joined midway: nothing is read until the server has answered something */
	/* a DATA body: behind any byte, CR, CRLF, CRLF "." and CRLF "." CR */
	CLIENT_BODY,
	CLIENT_BODY_CR,
	CLIENT_BODY_CRLF,
	CLIENT_BODY_DOT,
	CLIENT_BODY_DOT_CR,
};

/* Where a user name is being cut out of SASL responses. */
enum account_step {
	ACCOUNT_NOT_READ,
	ACCOUNT_PLAIN_AUTHZID,
	ACCOUNT_PLAIN_AUTHCID,
	ACCOUNT_PLAIN_PASSWD,
	ACCOUNT_LOGIN,
	ACCOUNT_LOGIN_READ, /* the response goes on behind the name */
};

/* Where CLIENT_RECORD is in a line, if a line it is. */
enum scan { SCAN_REST, SCAN_LINE, SCAN_VERB };

#define PENDING_MAX 8 /* commands of interest that wait for their reply; a power of two */

struct client_parser {
	__u64 facts;
	__u64 skip;   /* bytes to pass unread: the rest of a BDAT chunk or of a TLS record */
	__u64 word;   /* the word being read, see WORD8 */
	__u64 number; /* BDAT's chunk size; in CLIENT_RECORD, bytes of it still to come */
	__u32 commands; /* lines sent that the server will answer */
	__u32 cut;      /* ordinal of an EHLO reply that the client did not wait for */
	__u32 parsed;
	__u32 demands;
	__u32 unsolicited;          /* server->unsolicited when the DATA body began */
	__u32 base64;               /* bits of a sextet not yet used */
	__u32 pending[PENDING_MAX]; /* ordinal << 8 | enum command; a queue that the server's parser reads */
	__u8 pending_head;
	__u8 state;  /* enum client_state */
	__u8 after;  /* enum command: the last line that was a command */
	__u8 verb;   /* enum command: of the line being read */
	__u8 word_length;
	__u8 response_length; /* of a SASL response, or digits of a chunk's size; up to 255 */
	__u8 response_first;  /* its first byte */
	__u8 base64_bits;
	__u8 account_step;   /* enum account_step */
	__u8 account_length; /* bytes in account so far */
	__u8 account_known;  /* 1: account is a user name, complete, and no part of it a password */
	__u8 mechanism_length;
	__u8 implicit_tls;    /* the port is one of TLS from the first byte */
	__u8 anonymoustls;    /* STARTTLS was asked with X-ANONYMOUSTLS */
	__u8 alert;           /* TLS_ALERT_* or the description */
	__u8 finished_now;    /* the flight of the Finished is in the present segment, and not over yet */
	__u8 scan;            /* enum scan */
	__u8 server_in_tls;   /* as of the present segment: the server speaks TLS, so records are records */
	__u8 server_said_hello; /* as of the present segment: a ServerHello has come, or may have been missed */
	__u8 server_unseen;   /* nothing of the server's passes here (a forwarded flow whose ways differ) */
	__u8 left_tls;        /* plaintext stood where a TLS record should */
	__u8 mechanism_cases; /* 1: the mechanism's name has lower case letters, 2: upper */
	__u8 lines;    /* while lost: of the present group, see dialogue_midway.h */
	__u8 evidence; /* while lost: 1, the group before was answered as commands are */
	__u32 said;    /* while lost: server->said and server->agreed when the group began */
	__u32 agreed;
	struct tls_record tls;
	char mechanism[MECHANISM_SIZE];
	char account[ACCOUNT_SIZE];
};

struct server_parser {
	__u64 facts;
	__u64 skip;
	__u64 word;
	__u32 replies;     /* complete replies so far, without greeting and unsolicited ones */
	__u32 unsolicited; /* positive replies to nothing */
	__u32 said;        /* complete replies of any kind */
	__u32 agreed;      /* those of them that were positive, 2xx and 3xx */
	__u32 parsed;
	__u16 code;      /* of the line being read */
	__u16 last_code; /* of the last complete reply */
	__u16 greeting_code;
	__u16 ehlo_code;
	__u16 starttls_code;
	__u16 auth_code;
	__u8 pending_tail;
	__u8 column; /* of the line being read, up to 255; CR does not count */
	__u8 line_bad;  /* the line does not begin with a reply code */
	__u8 separator; /* the byte behind the code; LF if there is none */
	__u8 in_reply;  /* between the first and last line of a reply */
	__u8 later_line; /* in a reply, not on its first line */
	__u8 kind;      /* enum reply_kind */
	__u8 word_length;
	__u8 word_ended;
	__u8 in_tls;
	__u8 opaque;
	__u8 greeted;
	__u8 text_length; /* of the greeting, up to 255 */
	__u8 text_masked; /* '*' and 'X' in it */
	__u8 implicit_tls;
	__u8 alert;
	__u8 name_length;
	__u8 keywords; /* in the reply being read, or in the last one: EHLO keywords that every server has some of; up to 255 */
	__u8 reserved[6];
	struct tls_record tls;
	char name[SERVER_NAME_SIZE];
};

enum reply_kind {
	/* 0 to COMMAND_DATA: the reply to that command */
	REPLY_GREETING = 64,
	REPLY_UNSOLICITED,
};

/* Both parsers at the start of a flow; memory must be zero. */
static __always_inline void dialogue_start(struct client_parser *client, struct server_parser *server, int implicit_tls)
{
	client->alert = TLS_ALERT_NONE;
	server->alert = TLS_ALERT_NONE;
	client->implicit_tls = implicit_tls ? 1 : 0;
	server->implicit_tls = implicit_tls ? 1 : 0;
}

/*
 * The same for a flow that was there first, of which an unknown part has passed by: the next bytes may be anything. Nothing
 * is certain until dialogue_midway.h has found the dialogue again: take the facts through facts_known().
 */
static __always_inline void dialogue_join(struct client_parser *client, struct server_parser *server, int implicit_tls)
{
	dialogue_start(client, server, implicit_tls);
	client->facts = FACT(MIDWAY);
	server->greeted = 1;
}

static __always_inline __u8 ascii_upper(__u8 byte)
{
	return byte >= 'a' && byte <= 'z' ? (__u8)(byte - 32) : byte;
}

/* What C and Python take for a blank, line ends apart. */
static __always_inline int byte_is_blank(__u8 byte)
{
	return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f' || (byte >= 0x1c && byte <= 0x1f);
}

/* Index of the first of n bytes, 64 at most, that is stop; n if none is. */
static __always_inline __u32 bytes_until(const __u8 *bytes, __u32 n, __u8 stop)
{
	__u32 i;
	barrier_var(n); /* or clang leaves the limit of 64 out and asks for i == n, from which 5.10 learns nothing */
	for (i = 0; i < 64 && i < n; i++) {
		if (bytes[i] == stop)
			break;
	}
	return i;
}

/* The command that a line begins with: word has its last eight bytes, in upper case, length how many it had in all. */
static __always_inline __u8 client_verb(__u64 word, __u8 length)
{
	if (length == 8 && word == WORD_STARTTLS)
		return COMMAND_STARTTLS;
	if (length == ANONYMOUSTLS_LENGTH && word == WORD_ANONYMOUSTLS)
		return COMMAND_STARTTLS;
	if (length != 4)
		return COMMAND_OTHER;
	switch ((__u32)word) {
	case WORD4('E', 'H', 'L', 'O'): return COMMAND_EHLO;
	case WORD4('H', 'E', 'L', 'O'): return COMMAND_HELO;
	case WORD4('L', 'H', 'L', 'O'): return COMMAND_LHLO;
	case WORD4('A', 'U', 'T', 'H'): return COMMAND_AUTH;
	case WORD4('M', 'A', 'I', 'L'):
	case WORD4('S', 'E', 'N', 'D'): /* RFC 821 section 3.4: these three begin a transaction as MAIL does */
	case WORD4('S', 'O', 'M', 'L'):
	case WORD4('S', 'A', 'M', 'L'): return COMMAND_MAIL;
	case WORD4('R', 'C', 'P', 'T'): return COMMAND_RCPT;
	case WORD4('D', 'A', 'T', 'A'): return COMMAND_DATA;
	case WORD4('B', 'D', 'A', 'T'): return COMMAND_BDAT;
	case WORD4('Q', 'U', 'I', 'T'): return COMMAND_QUIT;
	}
	return COMMAND_OTHER;
}

#endif
