/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A flow joined midway: how the dialogue is found again.
 *
 * The client may be anywhere: at a command, in the middle of a message, in TLS. A line of a message may read AUTH, so the
 * client's bytes alone prove nothing. What proves something is the server's answer: within a message body no server says
 * anything, and some answers are given to one command only.
 *
 * What the client sends between two replies is a group. The parser reads it as commands, as a guess; a line that is no
 * command ends the guess (CLIENT_LOST) until the server speaks again. When the client goes on after the reply, the guess is
 * looked at:
 *
 *   - Each line of it must have been answered, with yes, and nothing more.
 *   - Behind EHLO a reply with EHLO keywords, behind STARTTLS 220, behind AUTH 334 or 235, behind DATA 354: certain.
 *   - Behind any other command 25x: two such groups in a row. The first may have begun in the middle of a line ("NOOP MAIL"),
 *     so nothing of what it seems to say is kept, but it shows that a line begins behind it. One alone might also be the end
 *     of a BDAT chunk that looks like a command, the chunk's 250 being taken for the answer; for two of them it would take
 *     a message that is sent line by line, in chunks that do not wait for each other's reply.
 *   - 354 that is no answer to anything else: the client's next byte is the first of a message.
 *
 * Then FACT(RESYNCED) is set, and what was guessed in that group holds. Until then facts_known() keeps it from everybody.
 * The server's direction guesses nothing: while the dialogue is lost it notes only facts that such a certain answer shows.
 */
#ifndef SMTPWARD_DIALOGUE_MIDWAY_H
#define SMTPWARD_DIALOGUE_MIDWAY_H

#include "dialogue.h"

static __always_inline int dialogue_is_lost(const struct client_parser *client)
{
	return facts_are_lost(client->facts);
}

/* This is no command, or none that proves anything: the group is given up. It may be a secret. */
static __always_inline void client_lose(struct client_parser *client)
{
	client->state = CLIENT_LOST;
	client->word = 0;
	client->word_length = 0;
}

/* A line begins. Those that wait for their reply (RFC 2920 section 3.1) are the last of a group, or none of it is one. */
static __always_inline int client_line_is_possible(const struct client_parser *client, __u8 byte)
{
	__u8 after = client->after;
	if (byte < 'A' || byte > 'z' || client->lines == 255)
		return 0;
	return after != COMMAND_EHLO && after != COMMAND_STARTTLS && after != COMMAND_AUTH && after != COMMAND_DATA;
}

/* A word begins a line: is it a command that every server answers with one reply, and one that is no guess about content? */
static __always_inline int client_verb_is_possible(const struct client_parser *client, __u8 verb)
{
	__u32 word = (__u32)client->word;
	if (verb == COMMAND_OTHER)
		return client->word_length == 4 && (word == WORD4('R', 'S', 'E', 'T') || word == WORD4('N', 'O', 'O', 'P'));
	return verb != COMMAND_BDAT && verb != COMMAND_LHLO;
}

/* What the server's answer makes of the group: 2, a command for certain; 1, it may be; 0, none, or not to be told. */
static __always_inline __u32 client_group_proof(const struct client_parser *client, const struct server_parser *server)
{
	__u16 code = server->last_code;
	__u32 said = server->said - client->said, agreed = server->agreed - client->agreed;
	if (client->state != CLIENT_LINE || said != client->lines || agreed != said || server->in_reply || server->column)
		return 0;
	if (client->after == COMMAND_DATA)
		return code == 354 ? 2 : 0;
	if (client->lines > 1 && !client->evidence)
		return code / 10 == 25; /* its first line may be the end of one */
	switch (client->after) {
	case COMMAND_EHLO: return server->keywords ? 2 : 0;
	case COMMAND_STARTTLS: return code == 220 ? 2 : 0;
	case COMMAND_AUTH: return code == 334 || code == 235 ? 2 : 0;
	}
	return code / 10 == 25;
}

/* Nothing of the guess holds. */
static __always_inline void client_forget_guess(struct client_parser *client)
{
	client->facts = FACT(MIDWAY);
	client->after = COMMAND_OTHER;
	client->anonymoustls = 0;
	client->account_step = ACCOUNT_NOT_READ;
	client->account_length = 0;
	client->account_known = 0;
	client->mechanism_length = 0;
	client->word = 0;
	client->word_length = 0;
	__builtin_memset(client->account, 0, sizeof(client->account));
	__builtin_memset(client->mechanism, 0, sizeof(client->mechanism));
}

/* The client goes on. If the server has spoken meanwhile, a group is over. */
static __always_inline void client_find_dialogue(struct client_parser *client, const struct server_parser *server)
{
	if (server->said == client->said || client->state == CLIENT_OPAQUE)
		return;
	__u32 proof = client_group_proof(client, server);
	int answered = client->state == CLIENT_LINE && client->lines && client->after != COMMAND_DATA;
	if (proof == 1 && client->evidence) {
		proof = 2;
	} else if (proof < 2) {
		client_forget_guess(client);
		client->evidence = proof == 1;
		if (server->last_code == 354 && !server->in_reply && !answered) {
			client->after = COMMAND_DATA;
			proof = 2;
		}
	}
	if (proof == 2)
		client->facts |= FACT(RESYNCED);
	else
		client->after = COMMAND_OTHER;
	/* all is answered, and the server's queue is empty */
	client->commands = server->replies;
	client->pending_head = server->pending_tail;
	client->cut = 0;
	client->said = server->said;
	client->agreed = server->agreed;
	client->lines = 0;
	client->state = CLIENT_LINE;
}

#endif
