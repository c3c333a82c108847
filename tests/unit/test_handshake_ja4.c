/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* JA4 against the examples that its specification prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handshake.h"
#include "ja4.h"
#include "tls_builder.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIST(array)                 \
	{                           \
		array, COUNT(array) \
	}

static const uint16_t suites[] = {
	0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9,
	0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
};
static const uint16_t extensions[] = {
	0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d,
	0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
};
static const uint16_t signatures[] = { 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601 };

static void assert_ja4(const struct ja4_input *input, const char *expected)
{
	char text[JA4_SIZE];
	assert_true(ja4_text(input, text));
	assert_string_equal(text, expected);
}

static struct ja4_input example(void)
{
	struct ja4_input input = {
		.version = 0x0304,
		.server_name = true,
		.suites = LIST(suites),
		.extensions = LIST(extensions),
		.signature_algorithms = LIST(signatures),
		.protocol = (const uint8_t *)"h2",
		.protocol_length = 2,
	};
	return input;
}

static void the_examples_of_the_specification(void **state)
{
	(void)state;
	struct ja4_input input = example();
	assert_ja4(&input, "t13d1516h2_8daaf6152771_e5627efa2ab1");
	input.signature_algorithms.count = 0;
	assert_ja4(&input, "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

static void nothing_gives_zeros(void **state)
{
	(void)state;
	struct ja4_input input = { .version = 0x0301 };
	assert_ja4(&input, "t10i000000_000000000000_000000000000");
	input = example();
	input.suites.count = 0;
	input.extensions.count = 2; /* 001b and SNI */
	input.signature_algorithms.count = 0;
	input.protocol = NULL;
	assert_ja4(&input, "t13d000200_000000000000_6a56a9214df7");
	input.extensions.values = extensions + 1;
	input.extensions.count = 1; /* SNI alone: counted, not hashed */
	assert_ja4(&input, "t13d000100_000000000000_000000000000");
}

static void grease_and_order_do_not_count(void **state)
{
	(void)state;
	uint16_t more_suites[COUNT(suites) + 2] = { 0x3a3a }, more_extensions[COUNT(extensions) + 2] = { 0xfafa };
	uint16_t more_signatures[COUNT(signatures) + 1] = { 0x0a0a };
	struct ja4_input input = example();
	for (size_t i = 0; i < COUNT(suites); i++)
		more_suites[COUNT(suites) - i] = suites[i];
	for (size_t i = 0; i < COUNT(extensions); i++)
		more_extensions[COUNT(extensions) - i] = extensions[i];
	memcpy(more_signatures + 1, signatures, sizeof(signatures));
	more_suites[COUNT(suites) + 1] = more_extensions[COUNT(extensions) + 1] = 0xdada;
	input.suites = (struct ja4_list)LIST(more_suites);
	input.extensions = (struct ja4_list)LIST(more_extensions);
	input.signature_algorithms = (struct ja4_list)LIST(more_signatures);
	assert_ja4(&input, "t13d1516h2_8daaf6152771_e5627efa2ab1");
	input.suites.count--; /* not GREASE: 0x0a1a would be two different bytes */
	more_suites[0] = 0x0a1a;
	char text[JA4_SIZE];
	assert_true(ja4_text(&input, text));
	assert_memory_equal(text, "t13d1616h2_", 11);
}

static void counts_stop_at_99(void **state)
{
	(void)state;
	uint16_t many[120];
	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = (uint16_t)(0x100 + i);
	struct ja4_input input = { .version = 0x0303, .suites = LIST(many), .extensions = LIST(many) };
	char text[JA4_SIZE];
	assert_true(ja4_text(&input, text));
	assert_memory_equal(text, "t12i999900_", 11);
}

static const struct {
	const char *protocol;
	size_t n;
	const char *shown;
} protocols[] = {
	{ "h2", 2, "h2" },
	{ "http/1.1", 8, "h1" },
	{ "x", 1, "xx" },
	{ "", 0, "00" },
	{ "\xab", 1, "ab" },
	{ "\xab\xcd", 2, "ad" },
	{ "\x30\xab", 2, "3b" },
	{ "\x30\x31\xab\xcd", 4, "3d" },
	{ "\x30\xab\xcd\x31", 4, "01" },
};

static void the_protocol_is_shown_by_its_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(protocols); i++) {
		struct ja4_input input = { .version = 0x0302 };
		char text[JA4_SIZE];
		input.protocol = (const uint8_t *)protocols[i].protocol;
		input.protocol_length = protocols[i].n;
		assert_true(ja4_text(&input, text));
		assert_memory_equal(text, "t11i0000", 8);
		assert_memory_equal(text + 8, protocols[i].shown, 2);
	}
}

static void versions(void **state)
{
	(void)state;
	static const struct {
		uint16_t version;
		const char *shown;
	} all[] = {
		{ 0x0304, "13" }, { 0x0303, "12" }, { 0x0302, "11" }, { 0x0301, "10" },
		{ 0x0300, "s3" }, { 0x0002, "s2" }, { 0x7f1c, "00" }, { 0, "00" },
	};
	for (size_t i = 0; i < COUNT(all); i++) {
		struct ja4_input input = { .version = all[i].version };
		char text[JA4_SIZE];
		assert_true(ja4_text(&input, text));
		assert_memory_equal(text + 1, all[i].shown, 2);
	}
}

/* The content that the reader looks into, for the extensions of the example. */
static void put_content(struct builder *body, uint16_t type)
{
	static const uint16_t offered[] = { 0x5a5a, 0x0303, 0x0304 };
	size_t start = put_begin(body, 2);
	switch (type) {
	case 0x0000: put_bytes(body, "\0\004\0\0\001a", 6); break;
	case 0x0010: put_bytes(body, "\0\014\002h2\010http/1.1", 14); break;
	case 0x000d: put_list(body, 2, signatures, COUNT(signatures)); break;
	case 0x002b: put_list(body, 1, offered, COUNT(offered)); break;
	case 0x0033: put_bytes(body, "\0\005\0\x1d\0\001k", 7); break;
	case 0x000a: put_bytes(body, "\0\002\0\x1d", 4); break;
	default: break;
	}
	put_end(body, 2, start);
}

/* The whole way: bytes of a ClientHello with the example's lists, GREASE among them. */
static void a_client_hello_is_fingerprinted(void **state)
{
	(void)state;
	struct builder body, stream;
	builder_init(&body);
	builder_init(&stream);
	put_hello_head(&body, 0x0303, 7);
	size_t start = put_begin(&body, 2);
	put(&body, 2, 0x8a8a);
	for (size_t i = 0; i < COUNT(suites); i++)
		put(&body, 2, suites[i]);
	put_end(&body, 2, start);
	put(&body, 2, 0x0100);
	start = put_begin(&body, 2);
	put_extension(&body, 0x1a1a, "", 0);
	for (size_t i = 0; i < COUNT(extensions); i++) {
		put(&body, 2, extensions[i]);
		put_content(&body, extensions[i]);
	}
	put_end(&body, 2, start);
	put_message(&stream, 1, body.bytes, body.n);

	struct handshake *handshake = handshake_new();
	assert_true(handshake_take(handshake, FROM_CLIENT, stream.bytes, stream.n));
	const struct tls_client_facts *client = &handshake_facts(handshake)->client;
	assert_string_equal(client->ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
	assert_int_equal(client->suites.count, COUNT(suites));
	assert_int_equal(client->versions.count, 2);
	assert_int_equal(client->version_max, 0x0304);
	assert_int_equal(client->protocols_offered, 2);
	handshake_free(handshake);
	free(body.bytes);
	free(stream.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_examples_of_the_specification), cmocka_unit_test(nothing_gives_zeros),
		cmocka_unit_test(grease_and_order_do_not_count),     cmocka_unit_test(counts_stop_at_99),
		cmocka_unit_test(the_protocol_is_shown_by_its_ends), cmocka_unit_test(versions),
		cmocka_unit_test(a_client_hello_is_fingerprinted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
