/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "probe_dialogue.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "escape.h"
#include "facts.h"

#define REPLY_LINES_MAX 512 /* read of a reply, kept or not */
#define QUIT_MS 1000

/* ---- replies ---------------------------------------------------------------------------------------------- */

/* Takes a line, without its end, from the buffer. Returns its length or a negative errno; the line stays in the buffer until
 * forget_line(). */
static int read_line(struct probe_link *link, size_t *taken)
{
	for (;;) {
		const uint8_t *end = memchr(link->buffer, '\n', link->length);
		int result;
		if (end) {
			size_t length = (size_t)(end - link->buffer);
			*taken = length + 1;
			return (int)(length && end[-1] == '\r' ? length - 1 : length);
		}
		result = probe_link_fill(link);
		if (result)
			return result;
	}
}

static void forget_line(struct probe_link *link, size_t taken)
{
	link->length -= taken;
	memmove(link->buffer, link->buffer + taken, link->length);
}

/* Reply-line = Reply-code [ SP textstring ], with "-" for SP on all lines but the last (RFC 5321 section 4.2). */
static bool parse_line(const uint8_t *line, size_t length, struct probe_reply *reply, bool *last)
{
	if (length < 3 || !isdigit(line[0]) || !isdigit(line[1]) || !isdigit(line[2]))
		return false;
	if (length > 3 && line[3] != ' ' && line[3] != '-')
		return false;
	reply->code = (unsigned)(line[0] - '0') * 100 + (unsigned)(line[1] - '0') * 10 + (unsigned)(line[2] - '0');
	*last = length == 3 || line[3] == ' ';
	if (reply->count < PROBE_LINES_MAX)
		escape_text(reply->lines[reply->count++], PROBE_TEXT_SIZE, (const char *)line + 4, length > 4 ? length - 4 : 0);
	return true;
}

static int read_reply(struct probe_link *link, struct probe_reply *reply)
{
	bool last = false;

	memset(reply, 0, sizeof(*reply));
	for (unsigned i = 0; i < REPLY_LINES_MAX && !last; i++) {
		size_t taken = 0;
		int length = read_line(link, &taken);
		bool valid;
		if (length < 0) {
			reply->code = 0; /* a reply without an end is none */
			return length;
		}
		valid = parse_line(link->buffer, (size_t)length, reply, &last);
		forget_line(link, taken);
		/* inside a reply, clients pass over blank lines and worse */
		if (!valid && !reply->count)
			return -EBADMSG;
	}
	if (last)
		return 0;
	reply->code = 0;
	return -EMSGSIZE;
}

int probe_command(struct probe_link *link, const char *command, struct probe_reply *reply)
{
	char line[PROBE_HOST_SIZE + 64];
	int length, result = 0;

	probe_link_step(link, PROBE_STEP_MS);
	if (command) {
		length = snprintf(line, sizeof(line), "%s\r\n", command);
		result = probe_link_send(link, line, (size_t)length);
	}
	return result ? result : read_reply(link, reply);
}

/* ---- commands --------------------------------------------------------------------------------------------- */

static bool is_full_host_name(const char *name)
{
	for (const char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && *at != '-' && *at != '.')
			return false;
	return strchr(name, '.') && name[0] != '.';
}

/* The host's name, or, where it has no domain, the address literal (RFC 5321 section 4.1.4). */
static void own_name(const struct probe_link *link, char *name, size_t size)
{
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} own = { .any.sa_family = AF_UNSPEC };
	socklen_t own_size = sizeof(own);
	char address[INET6_ADDRSTRLEN] = "";

	if (!gethostname(name, size - 1)) {
		name[size - 1] = '\0';
		if (is_full_host_name(name))
			return;
	}
	getsockname(link->fd, &own.any, &own_size);
	if (own.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &own.ipv6.sin6_addr, address, sizeof(address));
		snprintf(name, size, "[IPv6:%s]", address);
	} else {
		inet_ntop(AF_INET, &own.ipv4.sin_addr, address, sizeof(address));
		snprintf(name, size, "[%s]", address);
	}
}

int probe_ehlo(struct probe_link *link, struct probe_reply *reply)
{
	char name[PROBE_HOST_SIZE], command[PROBE_HOST_SIZE + 8];

	own_name(link, name, sizeof(name));
	snprintf(command, sizeof(command), "EHLO %s", name);
	return probe_command(link, command, reply);
}

int probe_talk(struct probe_link *link, struct probe_talk *talk)
{
	int result;

	talk->step = "greeting";
	result = probe_command(link, NULL, talk->greeting);
	if (result || talk->greeting->code / 100 != 2)
		return result;
	talk->step = "EHLO";
	result = probe_ehlo(link, talk->ehlo);
	if (result || !(link->server.facts & FACT(STARTTLS_OFFERED)))
		return result;
	talk->step = "STARTTLS";
	result = probe_command(link, "STARTTLS", talk->starttls);
	/* 220 and no other code is a yes (RFC 3207 section 4) */
	return result ? result : talk->starttls->code == 220;
}

void probe_quit(struct probe_link *link)
{
	static const char quit[] = "QUIT\r\n";
	struct probe_reply bye;

	probe_link_step(link, QUIT_MS);
	if (!probe_link_send(link, quit, sizeof(quit) - 1) && !read_reply(link, &bye) && link->ssl)
		SSL_shutdown(link->ssl);
}

/* ---- AUTH ------------------------------------------------------------------------------------------------- */

static bool knows(const struct probe_mechanisms *mechanisms, const char *name)
{
	for (unsigned i = 0; i < mechanisms->count; i++)
		if (!strcmp(mechanisms->names[i], name))
			return true;
	return false;
}

/* "AUTH PLAIN LOGIN"; also "AUTH=PLAIN LOGIN" for clients of old (RFC 4954 section 3). */
static void read_auth_line(const char *line, struct probe_mechanisms *mechanisms)
{
	size_t length;

	if (strncasecmp(line, "AUTH", 4) != 0 || (line[4] != ' ' && line[4] != '='))
		return;
	line += 5;
	for (; *line; line += length) {
		char name[sizeof(mechanisms->names[0])];
		line += strspn(line, " ");
		length = strcspn(line, " ");
		if (!length || length >= sizeof(name) || mechanisms->count == PROBE_MECHANISMS_MAX)
			continue;
		for (size_t i = 0; i < length; i++)
			name[i] = (char)toupper((unsigned char)line[i]);
		name[length] = '\0';
		if (!knows(mechanisms, name))
			strcpy(mechanisms->names[mechanisms->count++], name);
	}
}

void probe_read_mechanisms(const struct probe_reply *ehlo, struct probe_mechanisms *mechanisms)
{
	mechanisms->count = 0;
	if (ehlo->code / 100 != 2)
		return;
	for (unsigned i = 1; i < ehlo->count; i++) /* the first line is the server's greeting */
		read_auth_line(ehlo->lines[i], mechanisms);
}
