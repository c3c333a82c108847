// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "fault_dialogue.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define LINE_SIZE 16384 /* an XOAUTH2 token or a Kerberos ticket fits */

/* What the server does in place of TLS, by name; true if the name was known. The connection is over then. */
static bool act(struct link *link, const char *name)
{
	unsigned char alert[] = { 0x15, 3, 3, 0, 2, 2, 0 };

	if (strcmp(name, "silent") == 0) {
		link_swallow(link);
	} else if (strcmp(name, "close") == 0) {
		return true;
	} else if (strcmp(name, "reset") == 0) {
		link_reset(link);
	} else if (strcmp(name, "garbage") == 0) {
		link_write(link, "\x80\xff\x00\x01\x02 no record \x7f\xfe", 18);
		link_swallow(link);
	} else if (strncmp(name, "alert-", 6) == 0) {
		alert[6] = (unsigned char)atoi(name + 6);
		link_write(link, (char *)alert, sizeof(alert));
		link_swallow(link);
	} else {
		return false;
	}
	return true;
}

/* Waits for the client's first record. Returns false where the connection ended. */
static bool await_hello(struct link *link)
{
	size_t wanted = 5;

	link->length = 0;
	while (link->length < wanted) {
		if (link_fill(link) <= 0)
			return false;
		if (link->length >= 5) {
			wanted = 5 + ((size_t)(unsigned char)link->buffer[3] << 8) + (unsigned char)link->buffer[4];
			if (wanted > sizeof(link->buffer))
				return false;
		}
	}
	return true;
}

/* TLS, or what the faults put in its place. Returns true if the dialogue goes on. */
static bool enter_tls(struct link *link)
{
	const struct faults *faults = link->faults;
	struct timespec pause = { 0, 50 * 1000 * 1000 };

	if (faults->after_220) {
		if (strcmp(faults->after_220, "plaintext") == 0)
			return true;
		/* in a segment of its own */
		nanosleep(&pause, NULL);
		act(link, faults->after_220);
		return false;
	}
	if (faults->after_hello) {
		if (!await_hello(link))
			return false;
		if (strcmp(faults->after_hello, "plaintext") != 0) {
			act(link, faults->after_hello);
			return false;
		}
		link_reply(link, "500 5.5.1 this is no command");
		link_swallow(link);
		return false;
	}
	return link->tls && link_start_tls(link);
}

/* More than anybody wants to read. Returns false where the connection is over. */
static bool flood(struct link *link)
{
	static const char line[] = "250-X-ONE-MORE\r\n";
	const struct faults *faults = link->faults;
	const char *text = faults->flood_text.data ? faults->flood_text.data : line;
	size_t length = faults->flood_text.data ? faults->flood_text.length : strlen(line), filled = 0;
	uint64_t left = (uint64_t)faults->flood_kb * 1024;
	char block[16384];

	while (length && filled + length <= sizeof(block)) {
		memcpy(block + filled, text, length);
		filled += length;
	}
	while (filled && left) {
		size_t n = left < filled ? (size_t)left : filled;
		if (!link_write(link, block, n))
			return false;
		left -= n;
	}
	return faults->flood_go_on;
}

static bool greet(struct link *link)
{
	const struct faults *faults = link->faults;
	unsigned code = faults->greet_code ? faults->greet_code : 220;

	if (faults->flood_greeting && !flood(link))
		return false;
	if (faults->greeting.data)
		return link_write(link, faults->greeting.data, faults->greeting.length);
	if (faults->mask_banner)
		return link_reply(link, "%u *****************************2******0***************", code);
	return link_reply(link, "%u server.example ESMTP ready", code);
}

static bool reply_keywords(struct link *link, unsigned code)
{
	const struct faults *faults = link->faults;
	bool starttls = !link->ssl && link->tls && !faults->strip;
	const char *end = faults->lf_only ? "\n" : "\r\n";
	char text[4096];
	size_t size = sizeof(text), n;

	if (faults->mask.length + (faults->auth ? strlen(faults->auth) : 0) > size / 2)
		return false;
	/* in one buffer: an honest reply is one segment */
	n = (size_t)snprintf(text, size, "%u-server.example%s%u-PIPELINING%s", code, end, code, end);
	if (faults->ehlo_blank_line)
		n += (size_t)snprintf(text + n, size - n, "%s", end);
	n += (size_t)snprintf(text + n, size - n, "%u-SIZE 10240000%s", code, end);
	if (starttls && !faults->starttls_last)
		n += (size_t)snprintf(text + n, size - n, "%u-%s%s", code,
				      faults->mask.data ? "" : "STARTTLS", faults->mask.data ? "" : end);
	if (starttls && faults->mask.data) {
		memcpy(text + n, faults->mask.data, faults->mask.length);
		n += faults->mask.length;
		n += (size_t)snprintf(text + n, size - n, "%s", end);
	}
	if (faults->auth && (link->ssl || !faults->auth_tls_only))
		n += (size_t)snprintf(text + n, size - n, "%u-AUTH %s%s", code, faults->auth, end);
	n += (size_t)snprintf(text + n, size - n, "%u-8BITMIME%s%u-CHUNKING%s", code, end, code, end);
	if (!faults->ehlo_unended)
		n += (size_t)snprintf(text + n, size - n, "%u %s%s", code,
				      starttls && faults->starttls_last ? "STARTTLS" : "SMTPUTF8", end);
	return link_write(link, text, n);
}

static bool do_ehlo(struct link *link, char *argument)
{
	const struct faults *faults = link->faults;
	unsigned code = faults->ehlo_code ? faults->ehlo_code : 250;

	(void)argument;
	if (faults->flood_kb && !faults->flood_greeting && !link->ssl && !flood(link))
		return false;
	if (faults->ehlo_text.data && !link->ssl)
		return link_write(link, faults->ehlo_text.data, faults->ehlo_text.length);
	if (code / 100 != 2)
		return link_reply(link, "%u 5.5.1 what is EHLO?", code);
	return reply_keywords(link, code);
}

static bool do_helo(struct link *link, char *argument)
{
	(void)argument;
	return link_reply(link, "%u server.example", link->faults->helo_code ? link->faults->helo_code : 250);
}

/* Writes the answer to STARTTLS, with what is injected behind it. Sets *accepted. */
static bool reply_starttls(struct link *link, bool *accepted)
{
	const struct faults *faults = link->faults;
	struct timespec pause = { 0, 50 * 1000 * 1000 };
	unsigned code = faults->starttls_code ? faults->starttls_code : 220;
	char text[8192];
	size_t n;

	if (faults->starttls_text.data && faults->starttls_text.length < sizeof(text)) {
		n = faults->starttls_text.length;
		memcpy(text, faults->starttls_text.data, n);
	} else {
		n = (size_t)snprintf(text, sizeof(text), "%u 2.0.0 as you wish%s", code, faults->lf_only ? "\n" : "\r\n");
	}
	*accepted = text[0] == '2';
	if (faults->inject.data && n + faults->inject.length < sizeof(text)) {
		memcpy(text + n, faults->inject.data, faults->inject.length);
		n += faults->inject.length;
	}
	if (!link_write(link, text, n))
		return false;
	if (!faults->inject_next.data)
		return true;
	nanosleep(&pause, NULL);
	return link_write(link, faults->inject_next.data, faults->inject_next.length);
}

static bool do_starttls(struct link *link, char *argument)
{
	const struct faults *faults = link->faults;
	bool accepted;

	(void)argument;
	if (link->ssl || !link->tls)
		return link_reply(link, "503 5.5.1 not now");
	if (faults->starttls_reset)
		link_reset(link);
	if (faults->starttls_close || faults->starttls_reset)
		return false;
	if (faults->starttls_silent) {
		link_swallow(link);
		return false;
	}
	if (!reply_starttls(link, &accepted))
		return false;
	return !accepted || enter_tls(link);
}

/* Challenges, by mechanism; one for each response that the client still owes. */
static const struct mechanism {
	const char *name;
	bool initial_response;
	const char *challenges[3];
} mechanisms[] = {
	{ "PLAIN", true, { "" } },
	{ "LOGIN", false, { "VXNlcm5hbWU6", "UGFzc3dvcmQ6" } },
	{ "CRAM-MD5", false, { "PDE4OTYuNjk3MTcwOTUyQHNlcnZlci5leGFtcGxlPg==" } },
	/* realm="server.example",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8 */
	{ "DIGEST-MD5", false,
	  { "cmVhbG09InNlcnZlci5leGFtcGxlIixub25jZT0iT0E2TUc5dEVRR20yaGgiLHFvcD0iYXV0aCIs"
	    "YWxnb3JpdGhtPW1kNS1zZXNzLGNoYXJzZXQ9dXRmLTg=",
	    "cnNwYXV0aD0wMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMA==" } },
	{ "NTLM", true, { "", "TlRMTVNTUAACAAAAAAAAADgAAAABAgAAASNFZ4mrze8AAAAAAAAAAAAAAAAwAAAA" } },
	{ "SCRAM-SHA-1", true, { "", "cj1jbGllbnRzZXJ2ZXIscz1jMkZzZEE9PSxpPTQwOTY=" } },
	{ "SCRAM-SHA-256", true, { "", "cj1jbGllbnRzZXJ2ZXIscz1jMkZzZEE9PSxpPTQwOTY=" } },
	{ "EXTERNAL", true, { "" } },
	{ "XOAUTH2", true, { "" } },
	{ "OAUTHBEARER", true, { "" } },
	{ "GSSAPI", true, { "", "" } },
	{ "", true, { "" } }, /* any other: one response */
};

static bool do_auth(struct link *link, char *argument)
{
	const struct mechanism *mechanism = mechanisms;
	char *initial = strchr(argument, ' ');
	char line[LINE_SIZE];
	unsigned code = link->faults->auth_code ? link->faults->auth_code : 235;
	unsigned first = 0;

	if (initial)
		*initial++ = '\0';
	while (*mechanism->name && strcasecmp(mechanism->name, argument) != 0)
		mechanism++;
	/* an initial response answers the first, empty challenge, or LOGIN's first question */
	if (initial)
		first = 1;
	for (unsigned i = first; i < 3 && mechanism->challenges[i]; i++) {
		if (!link_reply(link, "334 %s", mechanism->challenges[i]) || link_read_line(link, line, sizeof(line)) < 0)
			return false;
		if (strcmp(line, "*") == 0)
			return link_reply(link, "501 5.7.0 cancelled");
	}
	return link_reply(link, "%u 2.7.0 authentication answer", code);
}

static bool do_mail(struct link *link, char *argument)
{
	unsigned code = link->faults->mail_code ? link->faults->mail_code : 250;

	(void)argument;
	return link_reply(link, "%u 2.1.0 sender", code);
}

static bool do_rcpt(struct link *link, char *argument)
{
	unsigned code = link->faults->rcpt_code ? link->faults->rcpt_code : 250;

	(void)argument;
	return link_reply(link, "%u 2.1.5 recipient", code);
}

static bool do_data(struct link *link, char *argument)
{
	unsigned code = link->faults->data_code ? link->faults->data_code : 354;

	(void)argument;
	if (!link_reply(link, "%u 2.0.0 data", code))
		return false;
	if (code != 354)
		return true;
	return link_skip_data(link) && link_reply(link, "250 2.0.0 taken");
}

static bool do_bdat(struct link *link, char *argument)
{
	return link_skip(link, strtoul(argument, NULL, 10)) && link_reply(link, "250 2.0.0 taken");
}

static bool do_ok(struct link *link, char *argument)
{
	(void)argument;
	return link_reply(link, "250 2.0.0 fine");
}

static bool do_quit(struct link *link, char *argument)
{
	(void)argument;
	link_reply(link, "221 2.0.0 bye");
	return false;
}

static const struct command {
	const char *name;
	bool (*run)(struct link *link, char *argument);
} commands[] = {
	{ "EHLO", do_ehlo }, { "HELO", do_helo }, { "LHLO", do_ehlo },	  { "STARTTLS", do_starttls },
	{ "AUTH", do_auth }, { "MAIL", do_mail }, { "RCPT", do_rcpt },	  { "DATA", do_data },
	{ "BDAT", do_bdat }, { "RSET", do_ok },	  { "NOOP", do_ok },	  { "VRFY", do_ok },
	{ "QUIT", do_quit }, { "X-ANONYMOUSTLS", do_starttls },
};

static bool step(struct link *link, char *line)
{
	size_t length = strcspn(line, " ");
	char *argument = line + length + (line[length] == ' ');

	line[length] = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcasecmp(line, commands[i].name) == 0)
			return commands[i].run(link, argument);
	}
	return link_reply(link, "500 5.5.2 unknown command");
}

void dialogue_run(struct link *link)
{
	char line[LINE_SIZE];

	if (link->implicit_tls && !link->faults->plaintext_on_tls && !enter_tls(link))
		return;
	if (!greet(link))
		return;
	while (link_read_line(link, line, sizeof(line)) >= 0) {
		if (!step(link, line))
			return;
	}
}
