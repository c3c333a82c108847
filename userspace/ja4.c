/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ja4.h"
#include "sha256.h"
#include "tls_names.h"

#define HASH_DIGITS 12
#define LIST_SIZE(count) (5 * (count) + 1) /* bytes of its text, with what stands behind it */
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16

static const char digits[] = "0123456789abcdef";

/* Writes "002f,0035,...". Returns its end. */
static char *put_list(char *text, const uint16_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			*text++ = ',';
		for (int shift = 12; shift >= 0; shift -= 4)
			*text++ = digits[values[i] >> shift & 15];
	}
	return text;
}

/* Writes twelve digits; zeros stand for a text with nothing in it. */
static bool put_hash(char *hash_text, const char *text, size_t n)
{
	uint8_t hash[SHA256_SIZE] = { 0 };
	if (n && !sha256(text, n, hash))
		return false;
	for (size_t i = 0; i < HASH_DIGITS / 2; i++) {
		*hash_text++ = digits[hash[i] >> 4];
		*hash_text++ = digits[hash[i] & 15];
	}
	*hash_text = 0;
	return true;
}

static int by_value(const void *left, const void *right)
{
	return (int)*(const uint16_t *)left - (int)*(const uint16_t *)right;
}

/* The list without GREASE, to be freed by the caller; NULL without memory. */
static uint16_t *without_grease(const struct ja4_list *list, size_t *count)
{
	uint16_t *values = malloc((list->count + 1) * sizeof(*values));
	*count = 0;
	for (size_t i = 0; values && i < list->count; i++) {
		if (!tls_is_grease(list->values[i]))
			values[(*count)++] = list->values[i];
	}
	return values;
}

static const char *version_text(uint16_t version)
{
	switch (version) {
	case 0x0002: return "s2";
	case TLS_VERSION_SSL3: return "s3";
	case TLS_VERSION_10: return "10";
	case TLS_VERSION_11: return "11";
	case TLS_VERSION_12: return "12";
	case TLS_VERSION_13: return "13";
	default: return "00";
	}
}

static bool is_alphanumeric(uint8_t byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

/* First and last character; those of the hexadecimal form where they are not letters or digits both. */
static void protocol_text(const uint8_t *protocol, size_t length, char text[3])
{
	text[0] = text[1] = '0';
	text[2] = 0;
	if (!protocol || length == 0)
		return;
	uint8_t first = protocol[0], last = protocol[length - 1];
	bool plain = is_alphanumeric(first) && is_alphanumeric(last);
	text[0] = plain ? (char)first : digits[first >> 4];
	text[1] = plain ? (char)last : digits[last & 15];
}

static bool suites_hash(uint16_t *suites, size_t count, char *hash_text)
{
	char *text = malloc(LIST_SIZE(count));
	qsort(suites, count, sizeof(*suites), by_value);
	bool good = text && put_hash(hash_text, text, (size_t)(put_list(text, suites, count) - text));
	free(text);
	return good;
}

/* Server name and ALPN are told in the first part, and left out here. */
static bool extensions_hash(uint16_t *extensions, size_t count, const uint16_t *signatures, size_t signature_count,
			    char *hash_text)
{
	char *text = malloc(LIST_SIZE(count) + LIST_SIZE(signature_count)), *end = text;
	size_t kept = 0;
	if (!text)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (extensions[i] != EXTENSION_SERVER_NAME && extensions[i] != EXTENSION_ALPN)
			extensions[kept++] = extensions[i];
	}
	qsort(extensions, kept, sizeof(*extensions), by_value);
	end = put_list(end, extensions, kept);
	if (signature_count > 0 && kept > 0) {
		*end++ = '_';
		end = put_list(end, signatures, signature_count);
	}
	bool good = put_hash(hash_text, text, (size_t)(end - text));
	free(text);
	return good;
}

static unsigned two_digits(size_t count)
{
	return count > 99 ? 99 : (unsigned)count;
}

bool ja4_text(const struct ja4_input *input, char text[JA4_SIZE])
{
	size_t suites, extensions, signatures;
	uint16_t *suite = without_grease(&input->suites, &suites);
	uint16_t *extension = without_grease(&input->extensions, &extensions);
	uint16_t *signature = without_grease(&input->signature_algorithms, &signatures);
	char protocol[3], suite_hash[HASH_DIGITS + 1], extension_hash[HASH_DIGITS + 1];
	text[0] = 0;
	bool good = suite && extension && signature && suites_hash(suite, suites, suite_hash) &&
		    extensions_hash(extension, extensions, signature, signatures, extension_hash);
	if (good) {
		protocol_text(input->protocol, input->protocol_length, protocol);
		snprintf(text, JA4_SIZE, "t%s%c%02u%02u%s_%s_%s", version_text(input->version),
			 input->server_name ? 'd' : 'i', two_digits(suites), two_digits(extensions), protocol,
			 suite_hash, extension_hash);
	}
	free(suite);
	free(extension);
	free(signature);
	return good;
}
