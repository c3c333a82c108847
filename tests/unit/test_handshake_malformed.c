/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Handshakes made by hand: broken ones, hostile ones, and their neighbours that are fine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handshake.h"
#include "tls_builder.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES(literal) literal, sizeof(literal) - 1
#define OCTETS(literal) (const uint8_t *)(literal), sizeof(literal) - 1
#define RANDOM "\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10"

static struct builder stream;
static struct handshake *handshake;

static int begin(void **state)
{
	(void)state;
	builder_init(&stream);
	handshake = handshake_new();
	return handshake ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	free(stream.bytes);
	handshake_free(handshake);
	return 0;
}

static const struct tls_stream *taken(enum direction direction)
{
	return &handshake_facts(handshake)->stream[direction];
}

/* Byte by byte, so that every limit is met as early as it can be. Empties the stream. */
static bool take(enum direction direction)
{
	for (size_t i = 0; i < stream.n; i++)
		handshake_take(handshake, direction, stream.bytes + i, 1);
	stream.n = 0;
	return handshake_wants(handshake, direction);
}

static void restart(void)
{
	handshake_free(handshake);
	handshake = handshake_new();
	assert_non_null(handshake);
	stream.n = 0;
}

static void begin_server(uint16_t version, uint16_t suite)
{
	restart();
	put_server_hello(&stream, version, suite);
	assert_true(take(FROM_SERVER));
	assert_true(handshake_facts(handshake)->server.hello);
}

/* Where each direction starts; none of these is TLS. */
static const struct {
	const char *bytes;
	size_t n;
} no_records[] = {
	{ BYTES("220 mail.example.com ESMTP\r\n") }, { BYTES("\x16\x02\x01\x00\x05") }, /* major version */
	{ BYTES("\x16\x03\x05\x00\x05") },						/* minor version */
	{ BYTES("\x13\x03\x01\x00\x05") },						/* type */
	{ BYTES("\x19\x03\x01\x00\x05") },	     { BYTES("\x16\x03\x01\x40\x01") }, /* too long for plaintext */
	{ BYTES("\x18\x03\x01\x48\x01") },						/* too long for anything */
	{ BYTES("\x17\x03\x01\x00\x05") },						/* data without a hello */
	{ BYTES("\x14\x03\x01\x00\x01\x01") },	     /* ChangeCipherSpec without a hello */
	{ BYTES("\x15\x03\x01\x00\x03") },	     /* half an alert */
	{ BYTES("\x15\x03\x01\x00\x0a") },	     /* five alerts at once */
	{ BYTES("\x16\x03\x01\x00\x04\x0b\0\0\0") }, /* Certificate first */
	{ BYTES("\x16\x03\x01\x00\x04\x14\0\0\0") }, /* Finished first */
};

static void what_is_no_tls_is_not_read(void **state)
{
	(void)state;
	for (int direction = FROM_CLIENT; direction <= FROM_SERVER; direction++) {
		for (size_t i = 0; i < COUNT(no_records); i++) {
			restart();
			put_bytes(&stream, no_records[i].bytes, no_records[i].n);
			assert_false(take((enum direction)direction));
			assert_true(taken((enum direction)direction)->malformed);
			put_client_hello(&stream, 23, "", 0); /* what comes behind is ignored */
			assert_false(take((enum direction)direction));
			assert_int_equal(handshake_facts(handshake)->client.hellos, 0);
		}
	}
}

static const struct {
	uint16_t type;
	const char *content;
	size_t n;
	bool good;
} client_extensions[] = {
	{ 0, BYTES("\0\4\0\0\1a"), true },
	{ 0, BYTES("\0\3\0\0\0"), true },  /* an empty name: present, not valid */
	{ 0, BYTES("\0\4\1\0\1a"), true }, /* no host name */
	{ 0, BYTES(""), false },
	{ 0, BYTES("\0\0"), false },
	{ 0, BYTES("\0\5\0\0\1a"), false },	    /* list beyond the extension */
	{ 0, BYTES("\0\4\0\0\2a"), false },	    /* name beyond the list */
	{ 0, BYTES("\0\4\0\0\1ab"), false },	    /* something behind the list */
	{ 0, BYTES("\0\10\0\0\1a\0\0\1b"), false }, /* two host names */
	{ 10, BYTES("\0\2\0\x1d"), true },
	{ 10, BYTES("\0\3\0\x1d\0"), false }, /* half a number */
	{ 10, BYTES("\0\4\0\x1d"), false },
	{ 13, BYTES("\0\2\4\3\0"), false },
	{ 16, BYTES("\0\3\2h2"), true },
	{ 16, BYTES("\0\0"), false },
	{ 16, BYTES("\0\1\0"), false }, /* an empty protocol */
	{ 16, BYTES("\0\3\3h2"), false },
	{ 16, BYTES("\0\4\2h2\0"), false },
	{ 43, BYTES("\2\3\4"), true },
	{ 43, BYTES("\3\3\4\3"), false },
	{ 43, BYTES("\4\3\4"), false },
	{ 51, BYTES("\0\5\0\x1d\0\1k"), true },
	{ 51, BYTES("\0\0"), true },
	{ 51, BYTES("\0\5\0\x1d\0\2k"), false },
	{ 51, BYTES("\0\2\0\x1d"), false },
	{ 0x0a0a, BYTES("x"), true },
	{ 0xfe0d, BYTES("anything"), true },
};

static void extensions_of_a_client_hello(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(client_extensions); i++) {
		restart();
		put_client_hello(&stream, client_extensions[i].type, client_extensions[i].content,
				 client_extensions[i].n);
		assert_int_equal(take(FROM_CLIENT), client_extensions[i].good);
		assert_int_equal(taken(FROM_CLIENT)->malformed, !client_extensions[i].good);
		assert_int_equal(handshake_facts(handshake)->client.ja4[0] != 0, client_extensions[i].good);
	}
}

/* Every prefix and every length that is off by something: never a crash, never a fact out of thin air. */
static void a_client_hello_cut_short(void **state)
{
	(void)state;
	struct builder body;
	builder_init(&body);
	put_client_hello_head(&body);
	size_t head = body.n, start = put_begin(&body, 2);
	put_extension(&body, 0, BYTES("\0\4\0\0\1a"));
	put_extension(&body, 43, BYTES("\2\3\4"));
	put_end(&body, 2, start);
	for (size_t n = 0; n <= body.n; n++) {
		restart();
		put_message(&stream, 1, body.bytes, n);
		bool whole = n == head || n == body.n; /* without extensions it is whole, too */
		assert_int_equal(take(FROM_CLIENT), whole);
		assert_int_equal(taken(FROM_CLIENT)->malformed, !whole);
	}
	put(&body, 1, 0);
	restart();
	put_message(&stream, 1, body.bytes, body.n); /* one byte too many */
	assert_false(take(FROM_CLIENT));
	free(body.bytes);
}

static void a_repeated_extension_is_malformed(void **state)
{
	(void)state;
	for (unsigned repeated = 0; repeated <= 1; repeated++) {
		struct builder body;
		builder_init(&body);
		put_client_hello_head(&body);
		size_t start = put_begin(&body, 2);
		put_extension(&body, 23, "", 0);
		put_extension(&body, repeated ? 23 : 22, "", 0);
		put_end(&body, 2, start);
		restart();
		put_message(&stream, 1, body.bytes, body.n);
		assert_int_equal(take(FROM_CLIENT), !repeated);
		free(body.bytes);
	}
}

static void extensions_are_not_without_number(void **state)
{
	(void)state;
	for (unsigned n = 128; n <= 129; n++) {
		struct builder body;
		builder_init(&body);
		put_client_hello_head(&body);
		size_t start = put_begin(&body, 2);
		for (unsigned i = 0; i < n; i++)
			put_extension(&body, (uint16_t)(0x4000 + i), "", 0);
		put_end(&body, 2, start);
		restart();
		put_message(&stream, 1, body.bytes, body.n);
		assert_int_equal(take(FROM_CLIENT), n == 128);
		free(body.bytes);
	}
}

static void a_hostile_server_name_is_kept_but_not_valid(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		size_t n;
		bool valid;
	} names[] = {
		{ BYTES("mail.example.com"), true },
		{ BYTES("_dmarc-1.example"), true },
		{ BYTES("a\0b"), false },
		{ BYTES("a\n{\"x\":1}"), false },
		{ BYTES("\x1b[2J"), false },
		{ BYTES("m\xc3\xbcnchen.example"), false },
		{ BYTES("a b"), false },
		{ BYTES(""), false },
	};
	for (size_t i = 0; i < COUNT(names); i++) {
		struct builder content;
		builder_init(&content);
		size_t list = put_begin(&content, 2);
		put(&content, 1, 0);
		put(&content, 2, names[i].n);
		put_bytes(&content, names[i].name, names[i].n);
		put_end(&content, 2, list);
		restart();
		put_client_hello(&stream, 0, content.bytes, content.n);
		assert_true(take(FROM_CLIENT));
		const struct tls_client_facts *client = &handshake_facts(handshake)->client;
		assert_true(client->server_name_present);
		assert_int_equal(client->server_name_valid, names[i].valid);
		assert_int_equal(client->server_name_length, names[i].n);
		assert_memory_equal(client->server_name, names[i].name, names[i].n);
		free(content.bytes);
	}
}

static void a_long_server_name_is_cut(void **state)
{
	(void)state;
	for (size_t n = 253; n <= 1000; n += 747) {
		struct builder content;
		builder_init(&content);
		put(&content, 2, n + 3);
		put(&content, 1, 0);
		put(&content, 2, n);
		put_fill(&content, 'a', n);
		restart();
		put_client_hello(&stream, 0, content.bytes, content.n);
		assert_true(take(FROM_CLIENT));
		assert_int_equal(handshake_facts(handshake)->client.server_name_length, n < 255 ? n : 255);
		assert_int_equal(handshake_facts(handshake)->client.server_name_valid, n == 253);
		free(content.bytes);
	}
}

/* 20,000 suites: counted all, kept some. */
static void long_lists_are_counted(void **state)
{
	(void)state;
	struct builder body;
	builder_init(&body);
	put_hello_head(&body, 0x0303, 1);
	put(&body, 2, 40000);
	put_fill(&body, 0x33, 40000);
	put(&body, 2, 0x0100);
	restart();
	struct builder message;
	builder_init(&message);
	put(&message, 1, 1);
	put(&message, 3, body.n);
	put_bytes(&message, body.bytes, body.n);
	put_records(&stream, 22, message.bytes, message.n, 1000);
	assert_true(take(FROM_CLIENT));
	assert_int_equal(handshake_facts(handshake)->client.suites.count, 20000);
	assert_int_equal(handshake_facts(handshake)->client.suites.kept, TLS_LIST_MAX);
	assert_memory_equal(handshake_facts(handshake)->client.ja4, "t12i990000_", 11);
	free(body.bytes);
	free(message.bytes);
}

static const struct {
	const char *body;
	size_t n;
	bool good;
} server_hellos[] = {
	{ BYTES("\3\3" RANDOM "\0\xc0\x2f\0"), true },
	{ BYTES("\3\0" RANDOM "\0\0\5\0"), true },		       /* SSL 3.0 */
	{ BYTES("\3\3" RANDOM "\0\xc0\x2f\0\0\0"), true },	       /* no extensions */
	{ BYTES("\3\3" RANDOM "\0\x13\1\0\0\6\0\x2b\0\2\3\4"), true }, /* TLS 1.3 */
	{ BYTES("\3\4" RANDOM "\0\x13\1\0"), false },		       /* never in the legacy field */
	{ BYTES("\2\0" RANDOM "\0\xc0\x2f\0"), false },
	{ BYTES("\3\3" RANDOM "\0\x13\1\0\0\6\0\x2b\0\2\3\3"), false }, /* supported_versions: below 1.3 */
	{ BYTES("\3\3" RANDOM "\0\x13\1\0\0\7\0\x2b\0\3\3\4\0"), false },
	{ BYTES("\3\3" RANDOM "\0\xc0\x2f\0\0"), false },
	{ BYTES("\3\3" RANDOM "\0\xc0\x2f\0\0\1\0"), false },
	{ BYTES("\3\3" RANDOM "\0\xc0\x2f\0\0\4\0\x17\0\1"), false },
	{ BYTES("\3\3" RANDOM "\0\xc0\x2f"), false },
	{ BYTES("\3\3" RANDOM "\x21"), false },					     /* session id over 32 bytes */
	{ BYTES("\3\3" RANDOM "\0\xc0\x2f\0\0\11\0\x10\0\5\0\3\2h2"), true },	     /* ALPN */
	{ BYTES("\3\3" RANDOM "\0\xc0\x2f\0\0\14\0\x10\0\x08\0\6\2h2\2h3"), false }, /* two protocols */
	{ BYTES("\3\3" RANDOM "\0\x13\1\0\0\10\0\x33\0\4\0\x1d\0\1"), false },	     /* key beyond the share */
};

static void server_hellos_good_and_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(server_hellos); i++) {
		restart();
		put_message(&stream, 2, (const uint8_t *)server_hellos[i].body, server_hellos[i].n);
		assert_int_equal(take(FROM_SERVER), server_hellos[i].good);
		assert_int_equal(taken(FROM_SERVER)->malformed, !server_hellos[i].good);
		assert_int_equal(handshake_facts(handshake)->server.hello, server_hellos[i].good);
	}
}

/* What may follow a ServerHello of TLS 1.2 with an ECDHE or DHE suite. */
static const struct {
	uint16_t suite;
	uint8_t type;
	const char *body;
	size_t n;
	bool good;
} server_messages[] = {
	{ 0xc02f, 0, BYTES(""), true }, /* HelloRequest */
	{ 0xc02f, 0, BYTES("x"), false },
	{ 0xc02f, 22, BYTES("CertificateStatus"), true }, /* not looked into */
	{ 0xc02f, 11, BYTES("\0\0\0"), true },
	{ 0xc02f, 11, BYTES("\0\0\4\0\0\1x"), true },
	{ 0xc02f, 11, BYTES("\0\0\3\0\0\0"), false }, /* an empty certificate */
	{ 0xc02f, 11, BYTES("\0\0\4\0\0\2x"), false },
	{ 0xc02f, 11, BYTES("\0\0\5\0\0\1x"), false },
	{ 0xc02f, 11, BYTES("\0\0\4\0\0\1xy"), false },
	{ 0xc02f, 11, BYTES("\0\0"), false },
	{ 0xc02f, 12, BYTES("\3\0\x1d"), true },
	{ 0xc02f, 12, BYTES("\1"), true }, /* explicit curve */
	{ 0xc02f, 12, BYTES("\3\0"), false },
	{ 0xc02f, 12, BYTES(""), false },
	{ 0x009f, 12, BYTES("\0\1\1\0\1\2\0\1\3"), true },
	{ 0x009f, 12, BYTES("\0\0\0\0\0\0"), true },
	{ 0x009f, 12, BYTES("\0\1\1\0\1\2\0\2\3"), false },
	{ 0xc035, 12, BYTES("\0\1h\3\0\x1d"), true }, /* ECDHE_PSK: a hint comes first */
	{ 0xc035, 12, BYTES("\0\4h\3\0\x1d"), false },
	{ 0x002f, 12, BYTES("anything"), true },
	{ 0xc02f, 4, BYTES("\0\0\0\0\0\1t"), true }, /* NewSessionTicket */
	{ 0xc02f, 4, BYTES("\0\0\0\0\0\2t"), false },
	{ 0xc02f, 2, BYTES("\3\3" RANDOM "\0\xc0\x2f\0"), false }, /* a second ServerHello */
	{ 0xc02f, 20, BYTES("Finished"), false },		   /* never in clear */
	{ 0xc02f, 250, BYTES("?"), true },
};

static void messages_behind_a_server_hello(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(server_messages); i++) {
		begin_server(0x0303, server_messages[i].suite);
		put_message(&stream, server_messages[i].type, (const uint8_t *)server_messages[i].body,
			    server_messages[i].n);
		assert_int_equal(take(FROM_SERVER), server_messages[i].good);
		assert_int_equal(taken(FROM_SERVER)->malformed, !server_messages[i].good);
	}
}

#define RANDOM24 "\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10"

/* clang-format off */
static const struct {
	const char *body;
	size_t n;
	bool good;
} client_heads[] = {
	{ BYTES("\3\3" RANDOM "\0\0\2\0\x2f\1\0"), true },
	{ BYTES("\3\4" RANDOM "\0\0\2\0\x2f\1\0"), true },         /* no offer of TLS 1.3 yet */
	{ BYTES("\2\3" RANDOM "\0\0\2\0\x2f\1\0"), false },
	{ BYTES("\3\3" RANDOM "\0\0\0\1\0"), false },               /* no suite */
	{ BYTES("\3\3" RANDOM "\0\0\3\0\x2f\0\1\0"), false },       /* one and a half */
	{ BYTES("\3\3" RANDOM "\0\0\2\0\x2f\0"), false },           /* no compression method, not even none */
	{ BYTES("\3\3" RANDOM "\x20" RANDOM "\0\2\0\x2f\1\0"), true },
	{ BYTES("\3\3" RANDOM "\x21" RANDOM "x\0\2\0\x2f\1\0"), false }, /* session id over 32 bytes */
};
/* clang-format on */

static void heads_of_a_client_hello(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(client_heads); i++) {
		restart();
		put_message(&stream, 1, (const uint8_t *)client_heads[i].body, client_heads[i].n);
		assert_int_equal(take(FROM_CLIENT), client_heads[i].good);
		assert_int_equal(taken(FROM_CLIENT)->malformed, !client_heads[i].good);
		if (client_heads[i].good)
			assert_int_equal(handshake_facts(handshake)->client.version_max, 0x0303);
	}
}

static void the_sentinel_is_eight_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		size_t n;
		enum tls_sentinel sentinel;
	} hellos[] = {
		{ BYTES("\3\3" RANDOM24 "DOWNGRD\0"
			"\0\xc0\x2f\0"),
		  TLS_SENTINEL_TLS11 },
		{ BYTES("\3\3" RANDOM24 "DOWNGRD\1"
			"\0\xc0\x2f\0"),
		  TLS_SENTINEL_TLS12 },
		{ BYTES("\3\3" RANDOM24 "DOWNGRD\2"
			"\0\xc0\x2f\0"),
		  TLS_SENTINEL_NONE },
		{ BYTES("\3\3" RANDOM24 "DOWNGRX\1"
			"\0\xc0\x2f\0"),
		  TLS_SENTINEL_NONE },
	};
	for (size_t i = 0; i < COUNT(hellos); i++) {
		restart();
		put_message(&stream, 2, (const uint8_t *)hellos[i].body, hellos[i].n);
		assert_true(take(FROM_SERVER));
		assert_int_equal(handshake_facts(handshake)->server.sentinel, hellos[i].sentinel);
	}
}

/* A key share means nothing without TLS 1.3; compression is told; a raw public key is no certificate. */
static void rare_answers_of_a_server(void **state)
{
	(void)state;
	const struct tls_server_facts *server;
	put_message(&stream, 2, OCTETS("\3\3" RANDOM "\0\xc0\x2f\1\0\11\0\x33\0\5\0\x1d\0\1k"));
	assert_true(take(FROM_SERVER));
	server = &handshake_facts(handshake)->server;
	assert_int_equal(server->group, 0);
	assert_true(server->compression);
	restart();
	put_message(&stream, 2, OCTETS("\3\3" RANDOM "\0\xc0\x2f\0\0\5\0\x14\0\1\2"));
	put_message(&stream, 11, OCTETS("\0\0\3key"));
	assert_true(take(FROM_SERVER));
	server = &handshake_facts(handshake)->server;
	assert_true(server->raw_public_key && !server->compression);
	assert_false(taken(FROM_SERVER)->certificates.seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_no_tls_is_not_read, begin, end),
		cmocka_unit_test_setup_teardown(extensions_of_a_client_hello, begin, end),
		cmocka_unit_test_setup_teardown(a_client_hello_cut_short, begin, end),
		cmocka_unit_test_setup_teardown(a_repeated_extension_is_malformed, begin, end),
		cmocka_unit_test_setup_teardown(extensions_are_not_without_number, begin, end),
		cmocka_unit_test_setup_teardown(a_hostile_server_name_is_kept_but_not_valid, begin, end),
		cmocka_unit_test_setup_teardown(a_long_server_name_is_cut, begin, end),
		cmocka_unit_test_setup_teardown(long_lists_are_counted, begin, end),
		cmocka_unit_test_setup_teardown(server_hellos_good_and_bad, begin, end),
		cmocka_unit_test_setup_teardown(messages_behind_a_server_hello, begin, end),
		cmocka_unit_test_setup_teardown(heads_of_a_client_hello, begin, end),
		cmocka_unit_test_setup_teardown(the_sentinel_is_eight_bytes, begin, end),
		cmocka_unit_test_setup_teardown(rare_answers_of_a_server, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
