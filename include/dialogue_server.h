/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The server's direction of the dialogue machine: replies, EHLO keywords, TLS records. */
#ifndef SMTPWARD_DIALOGUE_SERVER_H
#define SMTPWARD_DIALOGUE_SERVER_H

#include "dialogue.h"

/* How many bytes of a are the same as those of b at their place, 0 to 8. */
static __always_inline __u32 word_matches(__u64 a, __u64 b)
{
	const __u64 low = 0x7f7f7f7f7f7f7f7fULL;
	__u64 differ = a ^ b;
	__u64 zero = ~(((differ & low) + low) | differ | low); /* 0x80 in each byte that is zero */
	return (__u32)(((zero >> 7) * 0x0101010101010101ULL) >> 56);
}

/*
 * Whether a keyword of eight bytes stands where STARTTLS was: nearly STARTTLS, or one byte repeated at least
 * seven times, as firewalls write XXXXXXXA.
 */
static __always_inline int word_is_mask(__u64 word)
{
	return word_matches(word, WORD_STARTTLS) >= 6 || word_matches(word, (word >> 56) * 0x0101010101010101ULL) >= 7;
}

/* SIZE, PIPELINING, 8BITMIME: what tells an EHLO reply from other replies of several lines. */
static __always_inline int word_is_common(__u64 word, __u8 length)
{
	return (length == 4 && (__u32)word == WORD4('S', 'I', 'Z', 'E')) ||
	       (length == 8 && word == WORD8('8', 'B', 'I', 'T', 'M', 'I', 'M', 'E')) ||
	       (length == 10 && word == WORD8('P', 'E', 'L', 'I', 'N', 'I', 'N', 'G'));
}

/* A keyword of an EHLO reply is complete (RFC 5321 section 4.1.1.1, ehlo-keyword). */
static __always_inline void server_keyword(struct server_parser *server)
{
	__u64 word = server->word;
	__u8 length = server->word_length;
	if (server->code / 100 != 2)
		return;
	if (word_is_common(word, length))
		server->keywords = 1;
	if (length == 8 && word == WORD_STARTTLS)
		server->facts |= FACT(STARTTLS_OFFERED);
	else if (length == 8 && word_is_mask(word))
		server->facts |= FACT(STARTTLS_MASKED);
	else if (length == ANONYMOUSTLS_LENGTH && word == WORD_ANONYMOUSTLS)
		server->facts |= FACT(ANONYMOUSTLS_OFFERED);
	else if (length == 4 && (__u32)word == WORD4('A', 'U', 'T', 'H'))
		server->facts |= FACT(AUTH_OFFERED);
}

/* The client's queue says which command the reply that begins here answers. */
static __always_inline __u8 server_reply_kind(struct server_parser *server, const struct client_parser *client)
{
	if (!server->greeted)
		return REPLY_GREETING;
	if ((__s32)(server->replies - client->commands) >= 0)
		return REPLY_UNSOLICITED;
	if (server->pending_tail == client->pending_head)
		return COMMAND_OTHER;
	__u32 pending = client->pending[MASKED_INDEX(server->pending_tail, PENDING_MAX - 1)];
	__u32 ahead = ((pending >> 8) - (server->replies + 1)) & 0xffffff;
	if (ahead != 0 && ahead < 0x800000)
		return COMMAND_OTHER; /* a later one is meant */
	server->pending_tail++;
	return ahead == 0 ? (__u8)pending : COMMAND_OTHER;
}

/* Three bytes of a line are read: a reply code, or something else. */
static __always_inline void server_code(struct server_parser *server, const struct client_parser *client)
{
	int hello = (client->facts & FACT(CLIENT_HELLO)) != 0;
	if (!server->in_reply && !server->line_bad) {
		server->in_reply = 1;
		server->later_line = 0;
		server->keywords = 0;
		server->kind = server_reply_kind(server, client);
	}
	/* joined midway, three digits may stand anywhere in a record */
	if (!server->line_bad && server->implicit_tls && !(server->facts & FACT(SERVER_HELLO)) && !facts_are_lost(client->facts))
		server->facts |= FACT(PLAIN_ON_TLS_PORT);
	if (!(server->facts & FACT(STARTTLS_ACCEPTED)) || (server->facts & FACT(SERVER_HELLO)))
		return;
	/*
	 * Behind the 220 to STARTTLS nothing may come but TLS. While the client is silent, a 421 is the server's
	 * own time-out; behind a ClientHello only a positive reply cannot be the server's. Once the client has gone
	 * on in clear, so may the server.
	 */
	if (client->after != COMMAND_STARTTLS)
		return;
	if (hello ? !server->line_bad && server->code / 100 == 2
		  : client->state == CLIENT_LINE &&
			    (server->line_bad || (server->kind == REPLY_UNSOLICITED && server->code != 421)))
		server->facts |= FACT(REPLY_INJECTED);
}

/* Joined midway: whether the reply that ends here can be one to no other command than it is taken for. */
static __always_inline int server_reply_is_certain(const struct server_parser *server)
{
	__u16 code = server->code;
	switch (server->kind) {
	case COMMAND_EHLO: return code / 100 == 2 && server->keywords;
	case COMMAND_STARTTLS: return code == 220;
	case COMMAND_AUTH: return code == 334 || code == 235;
	}
	return 0;
}

/* The last line of a reply is complete. */
static __always_inline void server_reply_end(struct server_parser *server, const struct client_parser *client)
{
	__u16 code = server->code;
	__u16 class = code / 100;
	server->in_reply = 0;
	server->last_code = code;
	server->said++;
	server->agreed += class == 2 || class == 3;
	if (facts_are_lost(client->facts) && !server_reply_is_certain(server)) {
		server->replies += server->kind != REPLY_UNSOLICITED;
		return;
	}
	switch (server->kind) {
	case REPLY_GREETING:
		server->greeted = 1;
		server->greeting_code = code;
		server->facts |= class == 2 ? FACT(GREETING_ACCEPTED) : FACT(GREETING_REFUSED);
		if (server->text_length >= 8 && server->text_masked * 4 >= server->text_length * 3)
			server->facts |= FACT(BANNER_MASKED);
		return;
	case REPLY_UNSOLICITED:
		server->unsolicited += class == 2;
		return;
	case COMMAND_EHLO:
		server->ehlo_code = code;
		server->facts |= class == 2 ? FACT(EHLO_ACCEPTED) : FACT(EHLO_REFUSED);
		break;
	case COMMAND_HELO:
		if (class == 2)
			server->facts |= FACT(HELO_ACCEPTED);
		break;
	case COMMAND_STARTTLS:
		server->starttls_code = code;
		if (code == 220)
			server->facts |= FACT(STARTTLS_ACCEPTED);
		else
			server->facts |= class == 4 || class == 5 ? FACT(STARTTLS_REFUSED) : FACT(STARTTLS_BAD_REPLY);
		break;
	case COMMAND_AUTH:
		server->auth_code = code;
		break;
	}
	server->replies++;
}

/* A byte behind code and separator. */
static __always_inline void server_text_byte(struct server_parser *server, __u8 byte)
{
	if (server->kind == REPLY_GREETING && server->text_length < 255) {
		server->text_length++;
		if (byte == '*' || byte == 'X')
			server->text_masked++;
	}
	if (server->word_ended)
		return;
	if (byte <= ' ' || byte == '=') { /* "AUTH=LOGIN" of old */
		server->word_ended = server->word_length > 0;
		if (server->word_ended && server->kind == COMMAND_EHLO && server->later_line)
			server_keyword(server);
		return;
	}
	server->word = server->word << 8 | ascii_upper(byte);
	if (server->word_length < 255)
		server->word_length++;
	if (server->kind == REPLY_GREETING && !server->later_line && server->name_length < SERVER_NAME_SIZE - 1) {
		server->name[MASKED_INDEX(server->name_length, SERVER_NAME_SIZE - 1)] = (char)byte;
		server->name_length++;
	}
}

static __always_inline void server_line_end(struct server_parser *server, const struct client_parser *client)
{
	if (server->column >= 3 && !server->line_bad && server->in_reply) {
		if (server->kind == COMMAND_EHLO && server->later_line && !server->word_ended)
			server_keyword(server);
		if (server->column == 3 || server->separator != '-')
			server_reply_end(server, client);
		else
			server->later_line = 1;
	}
	server->column = 0;
}

/* Before the first byte of a line: is it TLS? */
static __always_inline void server_line_start(struct server_parser *server, const struct client_parser *client, __u8 byte)
{
	server->code = 0;
	server->line_bad = 0;
	server->separator = 0;
	server->word = 0;
	server->word_length = 0;
	server->word_ended = 0;
	if (server->in_reply && client->cut == server->replies + 1 && server->kind == COMMAND_EHLO) {
		/* the client did not wait for the end of this reply: what comes now answers its next command */
		server->in_reply = 0;
		server->replies++;
	}
	int hello = (client->facts & FACT(CLIENT_HELLO)) != 0;
	/* A server that waits for a ClientHello and gets a FIN says so with an alert: TLS, and no injected line. */
	if (!hello && !(server->facts & FACT(STARTTLS_ACCEPTED)))
		return;
	server->in_tls = (__u8)tls_type_is_valid(byte);
	server->tls.position = 0;
	if (hello && !server->in_tls && !(server->facts & FACT(SERVER_HELLO)))
		server->facts |= FACT(SERVER_PLAIN_REPLY);
}

/* An alert behind the handshake is how TLS sessions end, and no failure. */
static __always_inline void server_alert(struct server_parser *server, const struct client_parser *client)
{
	const struct tls_record *record = &server->tls;
	if (facts_tls_established(client->facts | server->facts))
		return;
	server->facts |= FACT(SERVER_ALERT);
	if (server->alert == TLS_ALERT_NONE)
		server->alert = record->length == 2 ? record->second : TLS_ALERT_NOT_READABLE;
}

static __always_inline void server_tls_record(struct server_parser *server, const struct client_parser *client)
{
	struct tls_record *record = &server->tls;
	int hidden_alert = record->type == TLS_DATA && !record->legacy && record->length <= TLS13_ALERT_LENGTH;
	if (record->type == TLS_CHANGE_CIPHER_SPEC) {
		record->encrypted = 1;
	} else if (record->type == TLS_HANDSHAKE) {
		if (tls_handshake_is_encrypted(record, TLS_SERVER_HELLO))
			record->legacy = 1;
		else if (record->first == TLS_SERVER_HELLO)
			server->facts |= FACT(SERVER_HELLO);
	} else if (record->type == TLS_ALERT || hidden_alert) {
		server_alert(server, client);
	} else if (record->type == TLS_DATA) {
		server->facts |= FACT(SERVER_DATA);
	}
}

/* Takes one byte of the server's. The caller has made sure that server->skip is 0 and server->opaque not set. */
static __always_inline void server_byte(struct server_parser *server, const struct client_parser *client, __u8 byte)
{
	if (!server->in_tls) {
		if (byte == '\r')
			return;
		if (server->column == 0)
			server_line_start(server, client, byte);
	}
	if (server->in_tls) {
		enum tls_step step = tls_record_byte(&server->tls, byte);
		if (step == TLS_RECORD) {
			server_tls_record(server, client);
			server->skip = tls_record_rest(&server->tls);
		}
		if (step != TLS_INVALID)
			return;
		server->in_tls = 0;
		server->column = 0;
		server->line_bad = 1; /* no reply can begin here */
		if ((client->facts & FACT(CLIENT_HELLO)) && !(server->facts & FACT(SERVER_HELLO)))
			server->facts |= FACT(SERVER_PLAIN_REPLY);
	}
	if (byte == '\n') {
		server_line_end(server, client);
		return;
	}
	if (server->column < 3) {
		if (byte < '0' || byte > '9')
			server->line_bad = 1;
		else
			server->code = (__u16)(server->code * 10 + byte - '0');
		if (server->column == 2)
			server_code(server, client);
	} else if (server->column == 3) {
		server->separator = byte;
		if (byte != ' ' && byte != '-' && byte != '\t')
			server->line_bad = 1; /* four digits, or a word */
	} else if (!server->line_bad && server->in_reply) {
		server_text_byte(server, byte);
	}
	if (server->column < 255)
		server->column++;
}

/* As client_run(), for the server's bytes. */
static __always_inline __u32 server_run(struct server_parser *server, const __u8 *bytes, __u32 n)
{
	__u32 i = 0;
	if (server->in_tls || server->skip || server->column < 4)
		return 0;
	int to_line_end = server->line_bad || !server->in_reply || (server->word_ended && server->kind != REPLY_GREETING) ||
			  (server->kind != REPLY_GREETING && server->kind != COMMAND_EHLO);
	if (to_line_end)
		return bytes_until(bytes, n, '\n');
	if (server->kind != COMMAND_EHLO || server->word_ended)
		return 0;
	__u64 word = server->word;
	for (; i < 16 && i < n && bytes[i] > ' ' && bytes[i] != '='; i++)
		word = word << 8 | ascii_upper(bytes[i]);
	server->word = word;
	server->word_length = server->word_length + i < 255 ? (__u8)(server->word_length + i) : 255;
	return i;
}

/*
 * What was read was a copy that the client's TCP did not take, and other bytes may stand in its place: nothing of it
 * holds, nor of what was read behind it. Where it began is not known, so all the server said is withdrawn.
 */
static __always_inline void server_withdraw(struct server_parser *server)
{
	server->facts = FACT(SERVER_GAP);
	server->greeting_code = 0;
	server->ehlo_code = 0;
	server->starttls_code = 0;
	server->auth_code = 0;
	server->last_code = 0;
	server->alert = TLS_ALERT_NONE;
	server->name_length = 0;
	__builtin_memset(server->name, 0, sizeof(server->name));
	server->opaque = 1;
}

/* As client_give_up(). */
static __always_inline void server_give_up(struct server_parser *server)
{
	server->facts |= FACT(SERVER_CAP);
	server->opaque = 1;
}

static __always_inline void server_count(struct server_parser *server, __u32 bytes)
{
	server->parsed += bytes;
	if (server->parsed > SERVER_CAP_BYTES)
		server_give_up(server);
}

/* As client_skip(). */
static __always_inline __u32 server_skip(struct server_parser *server, __u32 length)
{
	if (server->opaque)
		return length;
	__u32 skip = server->skip < length ? (__u32)server->skip : length;
	server->skip -= skip;
	return skip;
}

#endif
