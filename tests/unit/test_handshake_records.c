/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records: put together, interleaved, empty, too many; where encryption begins, and where reading ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handshake.h"
#include "tls_builder.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES(literal) (const uint8_t *)literal, sizeof(literal) - 1
#define SUPPORTED_VERSIONS 43

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

static void restart(void)
{
	handshake_free(handshake);
	handshake = handshake_new();
	assert_non_null(handshake);
	stream.n = 0;
}

static const struct tls_facts *facts(void)
{
	return handshake_facts(handshake);
}

/* Byte by byte; empties the stream. */
static bool take(enum direction direction)
{
	for (size_t i = 0; i < stream.n; i++)
		handshake_take(handshake, direction, stream.bytes + i, 1);
	stream.n = 0;
	return handshake_wants(handshake, direction);
}

static void put_record(uint8_t type, const uint8_t *bytes, size_t n)
{
	put(&stream, 1, type);
	put(&stream, 2, 0x0303);
	put(&stream, 2, n);
	put_bytes(&stream, bytes, n);
}

static void put_change_cipher_spec(void)
{
	put_record(20, BYTES("\1"));
}

/* random 0 makes it a HelloRetryRequest. */
static void put_tls13_hello(uint8_t random)
{
	static const uint8_t retry[32] = { 0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
					   0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
					   0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c };
	struct builder body;
	builder_init(&body);
	put_hello_head(&body, 0x0303, random);
	if (random == 0)
		memcpy(body.bytes + 2, retry, sizeof(retry));
	put_bytes(&body, "\x13\x01\0\0\x06\0\x2b\0\2\3\4", 11);
	put_message(&stream, 2, body.bytes, body.n);
	free(body.bytes);
}

static void put_retry(void)
{
	put_tls13_hello(0);
}

/* A ClientHello of n bytes or a little more, the message alone. */
static struct builder large_hello(size_t n)
{
	struct builder body, message;
	builder_init(&body);
	builder_init(&message);
	put_client_hello_head(&body);
	size_t start = put_begin(&body, 2);
	put(&body, 2, 0x1234);
	size_t content = put_begin(&body, 2);
	put_fill(&body, 'k', n);
	put_end(&body, 2, content);
	put_end(&body, 2, start);
	put(&message, 1, 1);
	put(&message, 3, body.n);
	put_bytes(&message, body.bytes, body.n);
	free(body.bytes);
	return message;
}

static void a_large_hello_spans_records(void **state)
{
	(void)state;
	static const size_t record_max[] = { 1, 3, 4, 512, 16384 };
	struct builder message = large_hello(6000);
	for (size_t i = 0; i < COUNT(record_max); i++) {
		restart();
		put_records(&stream, 22, message.bytes, message.n, record_max[i]);
		assert_true(take(FROM_CLIENT));
		assert_int_equal(facts()->client.hellos, 1);
		assert_int_equal(strlen(facts()->client.ja4), JA4_SIZE - 1);
	}
	free(message.bytes);
}

/* The limit holds for the length that a message claims, before its bytes come. */
static void a_message_has_a_limit(void **state)
{
	(void)state;
	for (int over = 0; over <= 1; over++) {
		restart();
		put_records(&stream, 22, (const uint8_t *)(over ? "\1\1\0\1" : "\1\1\0\0"), 4, 4);
		assert_int_equal(take(FROM_CLIENT), !over);
		assert_int_equal(facts()->stream[FROM_CLIENT].over_limit, over);
		assert_false(facts()->stream[FROM_CLIENT].malformed);
	}
}

/* Messages that mean nothing, for ever: read up to the limit, then no more. */
static void a_direction_has_a_limit(void **state)
{
	(void)state;
	uint8_t requests[16000] = { 0 }; /* 4,000 times HelloRequest */
	size_t taken = 0;
	while (handshake_wants(handshake, FROM_SERVER) && taken < 2 * HANDSHAKE_BYTES_MAX) {
		stream.n = 0;
		put_record(22, requests, sizeof(requests));
		handshake_take(handshake, FROM_SERVER, stream.bytes, stream.n);
		taken += stream.n;
	}
	assert_true(facts()->stream[FROM_SERVER].over_limit);
	assert_true(taken > HANDSHAKE_BYTES_MAX && taken < HANDSHAKE_BYTES_MAX + 2 * sizeof(requests));
}

static void empty_records_have_a_limit(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HANDSHAKE_EMPTY_RECORDS_MAX; i++)
		put_record(i % 2 ? 22 : 24, BYTES(""));
	put_client_hello(&stream, 23, "", 0);
	assert_true(take(FROM_CLIENT));
	assert_int_equal(facts()->client.hellos, 1);
	put_record(22, BYTES(""));
	assert_false(take(FROM_CLIENT));
	assert_true(facts()->stream[FROM_CLIENT].malformed);
}

/* Alerts between the records of one message, and two in one record. */
static void alerts_may_interleave(void **state)
{
	(void)state;
	struct builder message = large_hello(100);
	put_record(22, message.bytes, 50);
	put_record(21, BYTES("\1\x5a"));
	put_record(22, message.bytes + 50, message.n - 50);
	uint64_t at = stream.n;
	put_record(21, BYTES("\1\0\2\x28"));
	assert_true(take(FROM_CLIENT));
	const struct tls_stream *client = &facts()->stream[FROM_CLIENT];
	assert_int_equal(facts()->client.hellos, 1);
	assert_int_equal(client->alerts_sent, 3);
	assert_int_equal(client->alerts[0].at, 55);
	assert_int_equal(client->alerts[0].description, 90);
	assert_int_equal(client->alerts[1].level, 1);
	assert_int_equal(client->alerts[2].level, 2);
	assert_int_equal(client->alerts[2].description, 40);
	assert_int_equal(client->alerts[2].at, at);
	free(message.bytes);
}

static void more_alerts_than_are_kept_are_counted(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++)
		put_record(21, BYTES("\1\x5a"));
	assert_true(take(FROM_SERVER));
	assert_int_equal(facts()->stream[FROM_SERVER].alerts_sent, 255);
}

static void an_sslv2_hello_is_told_apart(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		bool sslv2;
	} hellos[] = {
		{ "\x80\x2e\1\3\1", true },  { "\x80\x2e\1\0\2", true },  { "\x90\x2e\1\3\3", true },
		{ "\x80\x2e\2\3\1", false }, { "\x80\x2e\1\7\1", false }, { "\x00\x2e\1\3\1", false },
	};
	for (size_t i = 0; i < COUNT(hellos); i++) {
		restart();
		put_bytes(&stream, hellos[i].bytes, 5);
		assert_false(take(FROM_CLIENT));
		assert_int_equal(facts()->client.sslv2, hellos[i].sslv2);
		assert_int_equal(facts()->stream[FROM_CLIENT].malformed, !hellos[i].sslv2);
	}
	restart(); /* nor does one come in the middle, or from a server */
	put_client_hello(&stream, 23, "", 0);
	put_bytes(&stream, hellos[0].bytes, 5);
	assert_false(take(FROM_CLIENT));
	assert_true(facts()->stream[FROM_CLIENT].malformed && !facts()->client.sslv2);
	put_bytes(&stream, hellos[0].bytes, 5);
	assert_false(take(FROM_SERVER));
	assert_true(facts()->stream[FROM_SERVER].malformed && !facts()->client.sslv2);
}

static void nothing_behind_a_hole_is_read(void **state)
{
	(void)state;
	struct builder message = large_hello(100);
	put_record(22, message.bytes, 50);
	assert_true(take(FROM_CLIENT));
	handshake_lost(handshake, FROM_CLIENT);
	assert_true(facts()->stream[FROM_CLIENT].lost);
	assert_false(handshake_wants(handshake, FROM_CLIENT));
	put_record(22, message.bytes + 50, message.n - 50);
	assert_false(take(FROM_CLIENT));
	assert_int_equal(facts()->client.hellos, 0);
	put_server_hello(&stream, 0x0303, 0xc02f); /* the other direction goes on */
	assert_true(take(FROM_SERVER));
	assert_true(facts()->server.hello);
	free(message.bytes);
}

/* Once a direction is encrypted, a hole in it is no loss. */
static void a_hole_behind_the_end_is_none(void **state)
{
	(void)state;
	put_tls13_hello(2);
	put_record(23, BYTES("secret"));
	assert_false(take(FROM_SERVER));
	handshake_lost(handshake, FROM_SERVER);
	assert_false(facts()->stream[FROM_SERVER].lost);
	assert_true(facts()->stream[FROM_SERVER].encrypted);
}

static void behind_a_server_hello_of_tls13(void **state)
{
	(void)state;
	static const struct {
		uint8_t type;
		const char *payload;
		size_t n;
		bool encrypted, malformed;
	} records
		[] = {
			{ 23, "secret", 6, true, false },     { 20, "\1", 1, false, false },
			{ 20, "\2", 1, false, true },	      { 20, "\1\1", 2, false, true },
			{ 22, "\x08\0\0\0", 4, false, true }, /* EncryptedExtensions in clear */
			{ 21, "\2\x28", 2, false, false },    { 24, "?", 1, false, false },
		};
	for (size_t i = 0; i < COUNT(records); i++) {
		restart();
		put_tls13_hello(2);
		uint64_t at = stream.n;
		put_record(records[i].type, (const uint8_t *)records[i].payload, records[i].n);
		take(FROM_SERVER);
		const struct tls_stream *server = &facts()->stream[FROM_SERVER];
		assert_int_equal(facts()->server.version, 0x0304);
		assert_int_equal(server->encrypted, records[i].encrypted);
		assert_int_equal(server->malformed, records[i].malformed);
		if (records[i].encrypted)
			assert_int_equal(server->encrypted_at, at);
	}
}

/* A key change inside a record (RFC 8446 section 5.1). */
static void nothing_shares_the_record_of_a_tls13_hello(void **state)
{
	(void)state;
	put_tls13_hello(2);
	stream.bytes[4] = (uint8_t)(stream.bytes[4] + 4);
	put_bytes(&stream, "\x08\0\0\0", 4);
	assert_false(take(FROM_SERVER));
	assert_true(facts()->stream[FROM_SERVER].malformed);
	assert_true(facts()->server.hello);
}

static void data_without_keys_is_malformed(void **state)
{
	(void)state;
	for (int changed = 0; changed <= 1; changed++) {
		restart();
		put_server_hello(&stream, 0x0303, 0xc02f);
		if (changed)
			put_change_cipher_spec();
		put_record(23, BYTES("data"));
		assert_false(take(FROM_SERVER));
		assert_int_equal(facts()->stream[FROM_SERVER].encrypted, changed);
		assert_int_equal(facts()->stream[FROM_SERVER].malformed, !changed);
	}
}

static void nothing_encrypted_inside_a_message(void **state)
{
	(void)state;
	struct builder message = large_hello(100);
	static const uint8_t types[] = { 23, 20 };
	for (size_t i = 0; i < COUNT(types); i++) {
		restart();
		put_client_hello(&stream, 23, "", 0);
		put_record(22, message.bytes, 50);
		put_record(types[i], BYTES("\1"));
		assert_false(take(FROM_CLIENT));
		assert_true(facts()->stream[FROM_CLIENT].malformed);
		assert_false(facts()->stream[FROM_CLIENT].encrypted);
	}
	free(message.bytes);
}

/* After its ChangeCipherSpec: a second ClientHello in clear, whatever the server's side is known to have said, or
 * something encrypted. */
static void what_follows_the_clients_change_cipher_spec(void **state)
{
	(void)state;
	static const uint8_t sealed[40] = { 1, 0, 0, 36, 3, 1 }, almost[40] = { 1, 0, 0, 35, 3, 3 };
	for (int with = 0; with < 4; with++) {
		restart();
		put_client_hello(&stream, 23, "", 0);
		put_change_cipher_spec();
		uint64_t at = stream.n;
		if (with == 0)
			put_client_hello(&stream, 51, "\0\5\0\x17\0\1k", 7);
		else if (with == 1)
			put_record(22, sealed, sizeof(sealed));
		else if (with == 2)
			put_record(22, almost, sizeof(almost));
		else
			put_record(22, BYTES("\1\0\0"));
		assert_int_equal(take(FROM_CLIENT), with == 0);
		assert_int_equal(facts()->client.hellos, with == 0 ? 2 : 1);
		assert_int_equal(facts()->stream[FROM_CLIENT].encrypted, with != 0);
		assert_false(facts()->stream[FROM_CLIENT].malformed);
		if (with)
			assert_int_equal(facts()->stream[FROM_CLIENT].encrypted_at, at);
	}
}

static void retries_come_once(void **state)
{
	(void)state;
	put_retry();
	put_change_cipher_spec();
	put_tls13_hello(2);
	assert_true(take(FROM_SERVER));
	assert_true(facts()->server.hello && facts()->server.hello_retry_request);
	restart();
	put_retry();
	put_retry();
	assert_false(take(FROM_SERVER));
	assert_true(facts()->stream[FROM_SERVER].malformed);
	restart();
	for (int i = 0; i < 3; i++) {
		put_client_hello(&stream, 23, "", 0);
		assert_int_equal(take(FROM_CLIENT), i < 2);
	}
	assert_true(facts()->stream[FROM_CLIENT].malformed);
}

/* Once the client has sent its ClientKeyExchange, no ClientHello can follow: what looks like one is encrypted. */
static void no_hello_behind_a_key_exchange(void **state)
{
	(void)state;
	for (int changed = 0; changed <= 1; changed++) {
		restart();
		put_client_hello(&stream, 23, "", 0);
		put_message(&stream, 16, BYTES("key"));
		if (changed)
			put_change_cipher_spec();
		put_client_hello(&stream, 23, "", 0);
		assert_false(take(FROM_CLIENT));
		assert_int_equal(facts()->client.hellos, 1);
		assert_int_equal(facts()->stream[FROM_CLIENT].encrypted, changed);
		assert_int_equal(facts()->stream[FROM_CLIENT].malformed, !changed);
	}
}

static void certificates_come_once(void **state)
{
	(void)state;
	put_server_hello(&stream, 0x0303, 0xc02f);
	put_message(&stream, 11, BYTES("\0\0\4\0\0\1x"));
	assert_true(take(FROM_SERVER));
	put_message(&stream, 11, BYTES("\0\0\4\0\0\1y"));
	assert_false(take(FROM_SERVER));
	assert_true(facts()->stream[FROM_SERVER].malformed);
	assert_int_equal(facts()->stream[FROM_SERVER].certificates.count, 1);
	assert_int_equal(facts()->stream[FROM_SERVER].certificates.list[0].der[0], 'x');
}

/* The echo of the session id says so first; a certificate, or the lack of one, in the end. */
static void resumption_by_session_id(void **state)
{
	(void)state;
	put_server_hello(&stream, 0x0303, 0xc02f);
	take(FROM_SERVER);
	assert_int_equal(facts()->resumed, TLS_RESUMED_UNKNOWN);
	put_client_hello(&stream, 23, "", 0);
	take(FROM_CLIENT);
	assert_int_equal(facts()->resumed, TLS_RESUMED_YES);
	put_message(&stream, 11, BYTES("\0\0\4\0\0\1x"));
	take(FROM_SERVER);
	assert_int_equal(facts()->resumed, TLS_RESUMED_NO);
}

static void record_versions(void **state)
{
	(void)state;
	put_client_hello(&stream, SUPPORTED_VERSIONS, "\2\3\4", 3); /* in a record of version 3.1 */
	put_change_cipher_spec();
	take(FROM_CLIENT);
	assert_int_equal(facts()->stream[FROM_CLIENT].record_version, 0x0301);
	assert_int_equal(facts()->stream[FROM_CLIENT].record_version_last, 0x0303);
	assert_true(facts()->stream[FROM_CLIENT].change_cipher_spec);
	assert_int_equal(facts()->stream[FROM_SERVER].record_version, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_large_hello_spans_records),
		TEST(a_message_has_a_limit),
		TEST(a_direction_has_a_limit),
		TEST(empty_records_have_a_limit),
		TEST(alerts_may_interleave),
		TEST(more_alerts_than_are_kept_are_counted),
		TEST(an_sslv2_hello_is_told_apart),
		TEST(nothing_behind_a_hole_is_read),
		TEST(a_hole_behind_the_end_is_none),
		TEST(behind_a_server_hello_of_tls13),
		TEST(nothing_shares_the_record_of_a_tls13_hello),
		TEST(data_without_keys_is_malformed),
		TEST(nothing_encrypted_inside_a_message),
		TEST(what_follows_the_clients_change_cipher_spec),
		TEST(retries_come_once),
		TEST(no_hello_behind_a_key_exchange),
		TEST(certificates_come_once),
		TEST(resumption_by_session_id),
		TEST(record_versions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
