// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "fault_options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, NUMBER, TEXT, RAW };

static const char *const kind_names[] = {
	[FLAG] = "",
	[NUMBER] = "=NUMBER",
	[TEXT] = "=TEXT",
	[RAW] = "=BYTES (\\r \\n \\t \\\\ \\xHH)",
};

#define FAULT(name, kind, member, help) { name, kind, offsetof(struct faults, member), help }

static const struct fault {
	const char *name;
	enum kind kind;
	size_t offset;
	const char *help;
} table[] = {
	FAULT("greeting", RAW, greeting, "the whole greeting, verbatim"),
	FAULT("greet-code", NUMBER, greet_code, "code of the greeting"),
	FAULT("mask-banner", FLAG, mask_banner, "greeting overwritten with '*'"),
	FAULT("strip", FLAG, strip, "no STARTTLS in the EHLO reply"),
	FAULT("mask", RAW, mask, "this keyword in STARTTLS's place"),
	FAULT("ehlo-text", RAW, ehlo_text, "the whole EHLO reply, verbatim"),
	FAULT("ehlo-code", NUMBER, ehlo_code, "code of the EHLO reply; keywords only with 2xx"),
	FAULT("helo-code", NUMBER, helo_code, "code of the HELO reply"),
	FAULT("ehlo-blank-line", FLAG, ehlo_blank_line, "a blank line inside the EHLO reply"),
	FAULT("ehlo-unended", FLAG, ehlo_unended, "only '250-' lines, then silence"),
	FAULT("starttls-last", FLAG, starttls_last, "STARTTLS as the last line of the EHLO reply"),
	FAULT("auth", TEXT, auth, "mechanisms offered, space separated"),
	FAULT("auth-tls-only", FLAG, auth_tls_only, "AUTH is offered inside TLS only"),
	FAULT("auth-code", NUMBER, auth_code, "answer to a finished AUTH (default 235)"),
	FAULT("starttls-code", NUMBER, starttls_code, "code of the answer to STARTTLS; TLS begins after 2xx"),
	FAULT("starttls-text", RAW, starttls_text, "the whole answer to STARTTLS, verbatim"),
	FAULT("starttls-silent", FLAG, starttls_silent, "no answer to STARTTLS"),
	FAULT("starttls-close", FLAG, starttls_close, "close instead of an answer to STARTTLS"),
	FAULT("starttls-reset", FLAG, starttls_reset, "reset instead of an answer to STARTTLS"),
	FAULT("inject", RAW, inject, "bytes behind the 220, in its segment"),
	FAULT("inject-next", RAW, inject_next, "bytes behind the 220, in the next segment"),
	FAULT("after-220", TEXT, after_220, "silent, close, reset, garbage, plaintext, alert-N"),
	FAULT("after-hello", TEXT, after_hello, "at the ClientHello: silent, close, reset, garbage, plaintext, alert-N"),
	FAULT("tls-min", TEXT, tls_min, "lowest version: 1.0 1.1 1.2 1.3"),
	FAULT("tls-max", TEXT, tls_max, "highest version"),
	FAULT("no-tickets", FLAG, no_tickets, "sessions are resumed from the server's cache, by their id; not by a ticket"),
	FAULT("groups", TEXT, groups, "OpenSSL list of key exchange groups"),
	FAULT("ciphers", TEXT, ciphers, "OpenSSL cipher list, up to TLS 1.2"),
	FAULT("plaintext-on-tls", FLAG, plaintext_on_tls, "greet in clear where TLS is implicit"),
	FAULT("mail-code", NUMBER, mail_code, "answer to MAIL"),
	FAULT("rcpt-code", NUMBER, rcpt_code, "answer to RCPT"),
	FAULT("data-code", NUMBER, data_code, "answer to DATA"),
	FAULT("flood-kb", NUMBER, flood_kb, "kilobytes of flood-text in the EHLO reply's place, then the connection ends"),
	FAULT("flood-text", RAW, flood_text, "what is said again and again (default: a line of an EHLO reply)"),
	FAULT("flood-greeting", FLAG, flood_greeting, "the flood in the greeting's place, at once"),
	FAULT("flood-go-on", FLAG, flood_go_on, "behind the flood the connection goes on, with an honest reply"),
	FAULT("lf-only", FLAG, lf_only, "lines end in LF alone"),
	FAULT("segment", NUMBER, segment, "bytes in a segment at most"),
	FAULT("patience-ms", NUMBER, patience_ms, "closes where the client says nothing for that long"),
	FAULT("drip-ms", NUMBER, drip_ms, "pause between segments"),
};

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

/* Reads the escape behind a backslash at *at; returns the byte or -1. */
static int read_escape(const char **at)
{
	char hex[3] = { 0 };

	switch (*(*at)++) {
	case 'r':
		return '\r';
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case '\\':
		return '\\';
	case 'x':
		if (!isxdigit((unsigned char)(*at)[0]) || !isxdigit((unsigned char)(*at)[1]))
			return -1;
		memcpy(hex, *at, 2);
		*at += 2;
		return (int)strtoul(hex, NULL, 16);
	default:
		return -1;
	}
}

static const char *set_raw(struct bytes *bytes, const char *text)
{
	char *data = malloc(strlen(text) + 1);
	size_t length = 0;
	int byte;

	if (!data)
		return "no memory";
	while (*text) {
		byte = (unsigned char)*text++;
		if (byte == '\\')
			byte = read_escape(&text);
		if (byte < 0) {
			free(data);
			return "a backslash takes r, n, t, backslash or xHH";
		}
		data[length++] = (char)byte;
	}
	free(bytes->data);
	bytes->data = data;
	bytes->length = length;
	return NULL;
}

static const char *set_number(unsigned *number, const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || value > 1000000)
		return "takes a number up to 1000000";
	*number = (unsigned)value;
	return NULL;
}

static const char *set_text(char **member, const char *text)
{
	free(*member);
	*member = strdup(text);
	return *member ? NULL : "no memory";
}

static const struct fault *find(const char *name, size_t length)
{
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		if (strlen(table[i].name) == length && strncmp(table[i].name, name, length) == 0)
			return &table[i];
	}
	return NULL;
}

const char *faults_set(struct faults *faults, const char *text)
{
	const char *equals = strchr(text, '=');
	const struct fault *fault = find(text, equals ? (size_t)(equals - text) : strlen(text));
	void *member;

	if (!fault)
		return "no such behaviour";
	if ((fault->kind == FLAG) != !equals)
		return equals ? "takes no value" : "takes a value";

	member = (char *)faults + fault->offset;
	switch (fault->kind) {
	case FLAG:
		*(bool *)member = true;
		return NULL;
	case NUMBER:
		return set_number(member, equals + 1);
	case TEXT:
		return set_text(member, equals + 1);
	case RAW:
		return set_raw(member, equals + 1);
	}
	return "no such kind";
}

void faults_help(FILE *out)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		fprintf(out, "  %s%s: %s\n", table[i].name, kind_names[table[i].kind], table[i].help);
}
