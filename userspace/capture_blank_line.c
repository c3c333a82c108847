/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_blank_line.h"

#include <string.h>
#include <strings.h>

#include "dialogue.h"

/* No base64, no character of a mechanism's name, no blank, and nothing that alone means anything. */
#define FILL '.'
#define REPLY_FILL 'x'

static bool is_blank(uint8_t byte)
{
	return byte <= ' ';
}

/* Fills what is not blank. */
static void fill(uint8_t *bytes, size_t count, uint8_t with)
{
	for (size_t i = 0; i < count; i++)
		if (!is_blank(bytes[i]))
			bytes[i] = with;
}

/* Where the next word begins, from at on, and where it ends. */
static size_t word_start(const uint8_t *line, size_t count, size_t at)
{
	while (at < count && is_blank(line[at]))
		at++;
	return at;
}

static size_t word_end(const uint8_t *line, size_t count, size_t at)
{
	while (at < count && !is_blank(line[at]))
		at++;
	return at;
}

/* "=" is an empty response and "*" a cancelled exchange (RFC 4954 section 4), and neither is a secret. */
static bool is_no_secret(const uint8_t *bytes, size_t count)
{
	size_t start = word_start(bytes, count, 0), end = word_end(bytes, count, start);
	bool alone = word_start(bytes, count, end) == count;
	if (!alone)
		return false;
	return (end - start == 1 && (bytes[start] == '=' || bytes[start] == '*')) ||
	       (end - start == 4 && strncasecmp((const char *)bytes + start, "QUIT", 4) == 0);
}

/* Commands whose name says nothing but what it is. */
static bool is_known_word(const uint8_t *word, size_t count)
{
	static const char *const words[] = { "NOOP", "RSET", "HELP", "VRFY", "EXPN", "ETRN", "TURN", "XCLIENT", "XFORWARD" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i]) == count && strncasecmp((const char *)word, words[i], count) == 0)
			return true;
	return false;
}

static void blank_auth(uint8_t *line, size_t count, size_t at, const char *mechanism)
{
	size_t start = word_start(line, count, at), end = word_end(line, count, start);
	if (mechanism[0] == '?')
		fill(line + start, end - start, FILL); /* no mechanism's name */
	size_t initial = word_start(line, count, end);
	if (initial < count && word_end(line, count, initial) - initial == 1 && is_no_secret(line + initial, count - initial))
		return;
	fill(line + end, count - end, FILL);
}

/* BDAT: a number, and LAST (RFC 3030 section 2). */
static void blank_size(uint8_t *line, size_t count, size_t at)
{
	size_t start = word_start(line, count, at), end = word_end(line, count, start);
	for (size_t i = start; i < end; i++)
		if (line[i] < '0' || line[i] > '9')
			line[i] = FILL;
	start = word_start(line, count, end);
	if (word_end(line, count, start) - start != 4 || strncasecmp((const char *)line + start, "LAST", 4) != 0)
		fill(line + start, count - start, FILL);
}

void blank_line(uint8_t *line, size_t count, uint8_t verb, bool response, const char *mechanism)
{
	size_t start = word_start(line, count, 0), end = word_end(line, count, start);
	if (response && verb == COMMAND_OTHER) {
		if (!is_no_secret(line, count))
			fill(line, count, FILL);
		return;
	}
	switch (verb) {
	case COMMAND_EHLO:
	case COMMAND_HELO:
	case COMMAND_LHLO:
	case COMMAND_MAIL:
	case COMMAND_RCPT:
		if (response) /* a command in place of a response, or a response that looks like one */
			fill(line + end, count - end, FILL);
		return;
	case COMMAND_AUTH:
		blank_auth(line, count, end, mechanism);
		return;
	case COMMAND_BDAT:
		blank_size(line, count, end);
		return;
	case COMMAND_OTHER:
		if (!is_known_word(line + start, end - start)) {
			fill(line, count, FILL);
			return;
		}
		break;
	}
	fill(line + end, count - end, FILL);
}

void blank_reply(uint8_t *line, size_t count, bool is_reply, bool told)
{
	size_t at = 0;
	/* the code's digits stay in any case: whether they were one shows only behind them */
	while (at < count && at < 3 && line[at] >= '0' && line[at] <= '9')
		at++;
	if (is_reply && at < count && at == 3)
		at++;
	if (!is_reply || told)
		fill(line + at, count - at, REPLY_FILL);
}
