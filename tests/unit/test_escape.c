/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

#define BYTES(literal) literal, sizeof(literal) - 1

static const struct {
	const char *bytes;
	size_t n;
	const char *shown;
} vectors[] = {
	{ BYTES(""), "" },
	{ BYTES("mail.example.com"), "mail.example.com" },
	{ BYTES("a\\b"), "a\\\\b" },
	{ BYTES("\"'<&%"), "\"'<&%" },
	{ BYTES("a\0b\r\n\t\x1b[31m"), "a\\x00b\\x0d\\x0a\\x09\\x1b[31m" },
	{ BYTES("\x7f"), "\\x7f" },
	{ BYTES("M\xc3\xbcnchen \xe2\x82\xac \xf0\x9f\x93\xa7"), "M\xc3\xbcnchen \xe2\x82\xac \xf0\x9f\x93\xa7" },
	{ BYTES("\xc2\x9b" "2J"), "\\xc2\\x9b2J" },          /* C1 control */
	{ BYTES("\xc2\xa0"), "\xc2\xa0" },                   /* the first behind C1 */
	{ BYTES("\xe2\x80\xaegpj"), "\\xe2\\x80\\xaegpj" },  /* right-to-left override */
	{ BYTES("\xe2\x81\xa6"), "\\xe2\\x81\\xa6" },        /* isolate */
	{ BYTES("\xe2\x80\xa8\xe2\x80\xa9"), "\\xe2\\x80\\xa8\\xe2\\x80\\xa9" },
	{ BYTES("\xef\xbb\xbf"), "\\xef\\xbb\\xbf" },        /* byte order mark */
	{ BYTES("\xf3\xa0\x81\x81"), "\\xf3\\xa0\\x81\\x81" }, /* tag */
	{ BYTES("\xc0\xaf"), "\\xc0\\xaf" },                 /* over-long */
	{ BYTES("\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf" },
	{ BYTES("\xed\xa0\x80"), "\\xed\\xa0\\x80" },        /* surrogate */
	{ BYTES("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80" }, /* above U+10FFFF */
	{ BYTES("\xff\xfe"), "\\xff\\xfe" },
	{ BYTES("\xef\xbf\xbf"), "\\xef\\xbf\\xbf" },        /* U+FFFF */
	{ BYTES("\x80"), "\\x80" },
	{ BYTES("x\xe2\x82"), "x\\xe2\\x82" },               /* cut short */
	{ BYTES("\xe2\x82X"), "\\xe2\\x82X" },
	{ BYTES("\xe2\xe2\x82\xac"), "\\xe2\xe2\x82\xac" },  /* a good one behind a broken one */
};

static void what_is_not_printable_is_escaped(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		char out[128];
		size_t length = escape_text(out, sizeof(out), vectors[i].bytes, vectors[i].n);
		assert_string_equal(out, vectors[i].shown);
		assert_int_equal(length, strlen(out));
	}
}

/* A prefix of the full text, never cut inside what stands for one character, NUL within the room given. */
static void a_small_room_cuts_between_characters(void **state)
{
	static const char bytes[] = "a\x01\xe2\x82\xac\\";
	static const size_t ends[] = { 0, 1, 5, 8, 10 };
	(void)state;
	char full[64];
	escape_text(full, sizeof(full), bytes, sizeof(bytes) - 1);
	for (size_t room = 1; room < 16; room++) {
		char *out = malloc(room); /* of exactly this size, for the address sanitizer */
		size_t expected = 0;
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			if (ends[i] < room)
				expected = ends[i];
		assert_int_equal(escape_text(out, room, bytes, sizeof(bytes) - 1), expected);
		assert_memory_equal(out, full, expected);
		assert_int_equal(out[expected], 0);
		free(out);
	}
}

static void no_room_writes_nothing(void **state)
{
	(void)state;
	char out[1] = { 'x' };
	assert_int_equal(escape_text(out, 0, "abc", 3), 0);
	assert_int_equal(out[0], 'x');
}

/* Every pair of bytes gives what another decoder of UTF-8 accepts, and fits the room promised. */
static void every_result_is_utf8(void **state)
{
	(void)state;
	for (unsigned first = 0; first < 256; first++) {
		for (unsigned second = 0; second < 256; second++) {
			const char pair[] = { (char)first, (char)second };
			char out[ESCAPED_SIZE(2)];
			size_t length = escape_text(out, sizeof(out), pair, 2);
			json_t *string = json_stringn(out, length);
			assert_non_null(string);
			json_decref(string);
			for (size_t i = 0; i < length; i++)
				assert_true((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_printable_is_escaped),
		cmocka_unit_test(a_small_room_cuts_between_characters),
		cmocka_unit_test(no_room_writes_nothing),
		cmocka_unit_test(every_result_is_utf8),
	};
	return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
