/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* AUTH: the mechanism's name, and of a SASL response the user name. Nothing else of a response is kept. */
#ifndef SMTPWARD_DIALOGUE_CLIENT_SASL_H
#define SMTPWARD_DIALOGUE_CLIENT_SASL_H

#include "dialogue.h"

/* One decoded byte of a SASL response. Only what can be a user name is kept. */
static __always_inline void client_account_byte(struct client_parser *client, __u8 byte)
{
	if (client->account_step == ACCOUNT_PLAIN_AUTHZID) {
		if (byte == 0)
			client->account_step = ACCOUNT_PLAIN_AUTHCID;
		return;
	}
	if (client->account_step == ACCOUNT_PLAIN_AUTHCID && byte == 0) {
		client->account_step = ACCOUNT_PLAIN_PASSWD;
		return;
	}
	if (client->account_step == ACCOUNT_PLAIN_PASSWD) {
		/*
		 * message = [authzid] NUL authcid NUL passwd, passwd = 1*SAFE (RFC 4616 section 2). Without a password
		 * behind it, what looks like the authcid may be one: "user NUL password NUL" is a known mistake.
		 */
		client->account_known = byte != 0;
		client->account_step = ACCOUNT_NOT_READ;
		client->base64 = 0;
		client->base64_bits = 0;
		return;
	}
	if (client->account_length < ACCOUNT_SIZE - 1) {
		client->account[MASKED_INDEX(client->account_length, ACCOUNT_SIZE - 1)] = (char)byte;
		client->account_length++;
	}
}

/* The value of a base64 digit, or 64 (RFC 4648 section 4). */
static __always_inline __u32 base64_value(__u8 byte)
{
	if (byte >= 'A' && byte <= 'Z')
		return (__u32)byte - 'A';
	if (byte >= 'a' && byte <= 'z')
		return (__u32)byte - 'a' + 26;
	if (byte >= '0' && byte <= '9')
		return (__u32)byte - '0' + 52;
	return byte == '+' ? 62 : byte == '/' ? 63 : 64;
}

/* No more of the response is the user name: behind padding or a blank, a careless client may have put the password. */
static __always_inline void client_account_end(struct client_parser *client)
{
	client->account_step = client->account_step >= ACCOUNT_LOGIN ? ACCOUNT_LOGIN_READ : ACCOUNT_NOT_READ;
	client->base64 = 0;
	client->base64_bits = 0;
}

static __always_inline void client_response_byte(struct client_parser *client, __u8 byte)
{
	if (client->response_length == 0)
		client->response_first = byte;
	if (client->response_length < 255)
		client->response_length++;
	if (client->account_step == ACCOUNT_NOT_READ || client->account_step == ACCOUNT_LOGIN_READ)
		return;
	__u32 value = base64_value(byte);
	if (value > 63) {
		if (byte != '=' || client->response_length > 1) /* an empty response is one "=" */
			client_account_end(client);
		return;
	}
	client->base64 = client->base64 << 6 | value;
	client->base64_bits += 6;
	if (client->base64_bits >= 8) {
		__u32 bits = MASKED_INDEX(client->base64_bits - 8U, 7);
		__u8 decoded = (__u8)(client->base64 >> bits);
		client->base64 &= (1U << bits) - 1;
		client->base64_bits = (__u8)bits;
		client_account_byte(client, decoded);
	}
}

static __always_inline void client_response_start(struct client_parser *client)
{
	client->response_length = 0;
	client->response_first = 0;
	client->base64 = 0;
	client->base64_bits = 0;
	client->word = 0;
	client->word_length = 0;
}

static __always_inline void client_forget_account(struct client_parser *client)
{
	__builtin_memset(client->account, 0, sizeof(client->account));
	client->account_length = 0;
	client->account_known = 0;
}

/* A SASL response is complete, on the AUTH line or on its own. */
static __always_inline void client_response_end(struct client_parser *client)
{
	if (client->response_length == 0)
		return; /* AUTH without initial response */
	if (client->response_length == 1 && (client->response_first == '=' || client->response_first == '*')) {
		/* RFC 4954 section 4: an empty initial response; a cancelled exchange. LOGIN's user name was empty. */
		if (client->account_step >= ACCOUNT_LOGIN)
			client->account_step = ACCOUNT_NOT_READ;
		return;
	}
	client->facts |= FACT(CREDENTIAL_CLEAR);
	if (client->account_step >= ACCOUNT_LOGIN)
		client->account_known = 1;
	else if (!client->account_known)
		client_forget_account(client); /* a PLAIN message cut short: the rest may be a password */
	client->account_step = ACCOUNT_NOT_READ;
	/* nothing of the response itself is kept */
	client->base64 = 0;
	client->base64_bits = 0;
	client->response_first = 0;
}

/* This is no mechanism's name, and may be a secret. */
static __always_inline void client_mechanism_reject(struct client_parser *client)
{
	__builtin_memset(client->mechanism, 0, sizeof(client->mechanism));
	client->mechanism[0] = '?';
	client->mechanism_length = MECHANISM_SIZE - 1;
	client->word = 0;
}

/* The mechanism's name is complete: which user name can be cut out of what follows? */
static __always_inline void client_mechanism_end(struct client_parser *client)
{
	client->account_step = ACCOUNT_NOT_READ;
	if (client->mechanism_length == 5) {
		if (client->word == (WORD4('P', 'L', 'A', 'I') << 8 | 'N'))
			client->account_step = ACCOUNT_PLAIN_AUTHZID;
		else if (client->word == (WORD4('L', 'O', 'G', 'I') << 8 | 'N'))
			client->account_step = ACCOUNT_LOGIN;
	}
	/* Both cases in a word look like base64: a response, with the mechanism left out. */
	if (client->mechanism_cases == 3 && client->account_step == ACCOUNT_NOT_READ)
		client_mechanism_reject(client);
}

static __always_inline void client_mechanism_byte(struct client_parser *client, __u8 byte)
{
	__u8 upper = ascii_upper(byte);
	if (client->mechanism_length >= MECHANISM_SIZE - 1)
		return;
	/* sasl-mech = 1*20(UPPER-ALPHA / DIGIT / HYPHEN / UNDERSCORE), RFC 4422 section 3.1 */
	int letter = upper >= 'A' && upper <= 'Z';
	if ((!letter && !(upper >= '0' && upper <= '9') && upper != '-' && upper != '_') ||
	    client->mechanism_length >= MECHANISM_NAME_MAX) {
		client_mechanism_reject(client);
		return;
	}
	if (letter)
		client->mechanism_cases |= upper == byte ? 2 : 1;
	client->mechanism[MASKED_INDEX(client->mechanism_length, MECHANISM_SIZE - 1)] = (char)upper;
	client->mechanism_length++;
	client->word = client->word << 8 | upper;
}

#endif
