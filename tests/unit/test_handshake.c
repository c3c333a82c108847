/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Real handshakes: what is read from the wire is what OpenSSL says of them. */
#include "cipher_suite.h"
#include "handshake_run.h"
#include "tls_names.h"

#define ALERT_HANDSHAKE_FAILURE 40
#define ALERT_UNKNOWN_CA 48
#define ALERT_PROTOCOL_VERSION 70

static const struct tls_stream *stream_of(const struct handshake *handshake, enum direction direction)
{
	return &handshake_facts(handshake)->stream[direction];
}

static void set_version(SSL_CTX *context, int version)
{
	assert_true(SSL_CTX_set_min_proto_version(context, version));
	assert_true(SSL_CTX_set_max_proto_version(context, version));
}

/* Both directions were read up to a record that is encrypted, and nothing was wrong with them. */
static void assert_read_to_the_end(const struct handshake *handshake, const struct tape *tape)
{
	for (int i = FROM_CLIENT; i <= FROM_SERVER; i++) {
		const struct tls_stream *stream = stream_of(handshake, (enum direction)i);
		assert_false(stream->malformed || stream->lost || stream->over_limit);
		assert_true(stream->encrypted);
		assert_true(stream->encrypted_at < tape->n[i]);
		uint8_t type = tape->bytes[i][stream->encrypted_at];
		assert_int_equal(type, handshake_facts(handshake)->server.version == TLS_VERSION_13 ? 23 : 22);
		assert_false(handshake_wants(handshake, (enum direction)i));
		assert_int_equal(stream->alerts_sent, 0);
	}
}

/* What can be compared with OpenSSL's own answer, in any handshake that succeeded. */
static void assert_agrees(const struct handshake *handshake, const struct pair *pair)
{
	const struct tls_facts *facts = handshake_facts(handshake);
	assert_read_to_the_end(handshake, &pair->tape);
	assert_true(facts->server.hello);
	assert_int_equal(facts->server.version, SSL_version(pair->client));
	assert_int_equal(facts->server.suite, SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(pair->client)));
	assert_int_equal(facts->resumed, SSL_session_reused(pair->client) ? TLS_RESUMED_YES : TLS_RESUMED_NO);
	if (facts->server.version < TLS_VERSION_13)
		assert_int_equal(facts->server.extended_master_secret, SSL_get_extms_support(pair->client) == 1);
	assert_false(facts->downgrade);
	assert_int_equal(strlen(facts->client.ja4), JA4_SIZE - 1);
	assert_int_equal(facts->client.ja4[0], 't');
}

static struct handshake *play_and_read(struct pair *pair)
{
	assert_true(pair_play(pair));
	struct handshake *handshake = read_tape(&pair->tape);
	assert_agrees(handshake, pair);
	return handshake;
}

static void every_version_is_read(void **state)
{
	(void)state;
	static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct pair *pair = pair_new();
		set_version(pair->server_context, versions[i]);
		struct handshake *handshake = play_and_read(pair);
		const struct tls_facts *facts = handshake_facts(handshake);
		assert_int_equal(facts->server.version, versions[i]);
		assert_int_equal(facts->client.version_max, TLS_VERSION_13);
		assert_int_equal(facts->client.versions.count, 4);
		assert_int_equal(facts->client.legacy_version, TLS_VERSION_12);
		assert_int_equal(facts->stream[FROM_CLIENT].record_version, TLS_VERSION_10);
		assert_int_equal(facts->stream[FROM_SERVER].certificates.seen, versions[i] < TLS1_3_VERSION);
		assert_int_equal(facts->server.sentinel, TLS_SENTINEL_NONE);
		handshake_free(handshake);
		pair_free(pair);
	}
}

/* A client of one version only: below 1.3 it sends no supported_versions. */
static void an_old_client_offers_its_legacy_version(void **state)
{
	(void)state;
	struct pair *pair = pair_new();
	set_version(pair->client_context, TLS1_1_VERSION);
	struct handshake *handshake = play_and_read(pair);
	const struct tls_facts *facts = handshake_facts(handshake);
	assert_int_equal(facts->client.version_max, TLS_VERSION_11);
	assert_int_equal(facts->client.versions.count, 0);
	assert_memory_equal(facts->client.ja4, "t11i", 4);
	assert_int_equal(facts->server.sentinel, TLS_SENTINEL_TLS11);
	handshake_free(handshake);
	pair_free(pair);
}

/* The server could do more and says so; that is a downgrade only where the client had offered more. */
static void the_sentinel_counts_where_more_was_offered(void **state)
{
	(void)state;
	struct pair *old = pair_new(), *new = pair_new();
	set_version(old->client_context, TLS1_2_VERSION);
	struct handshake *handshake = play_and_read(old);
	assert_int_equal(handshake_facts(handshake)->server.sentinel, TLS_SENTINEL_TLS12);
	handshake_free(handshake);

	assert_true(pair_play(new));
	handshake = new_handshake();
	take_all_of(handshake, &old->tape, FROM_SERVER);
	assert_false(handshake_facts(handshake)->downgrade); /* what was offered is not known */
	take_all_of(handshake, &new->tape, FROM_CLIENT);
	assert_true(handshake_facts(handshake)->downgrade);
	handshake_free(handshake);
	pair_free(old);
	pair_free(new);
}

static const struct {
	const char *ciphers;
	uint16_t suite;
	bool weak, static_rsa, dhe, ecdhe;
} ciphers[] = {
	{ "ECDHE-RSA-AES128-GCM-SHA256", 0xc02f, false, false, false, true },
	{ "ECDHE-RSA-CHACHA20-POLY1305", 0xcca8, false, false, false, true },
	{ "DHE-RSA-AES256-GCM-SHA384", 0x009f, false, false, true, false },
	{ "AES128-SHA", 0x002f, false, true, false, false },
	{ "NULL-SHA256", 0x003b, true, true, false, false },
	{ "ECDHE-RSA-NULL-SHA", 0xc010, true, false, false, true },
	{ "ADH-AES128-SHA", 0x0034, true, false, true, false },
	{ "AECDH-AES256-SHA", 0xc019, true, false, false, true },
};

static void key_exchange_and_weakness_follow_the_suite(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		struct pair *pair = pair_new();
		set_version(pair->server_context, TLS1_2_VERSION);
		assert_true(SSL_CTX_set_cipher_list(pair->server_context, ciphers[i].ciphers));
		assert_true(SSL_CTX_set1_groups_list(pair->server_context, "P-384"));
		struct handshake *handshake = play_and_read(pair);
		const struct tls_server_facts *server = &handshake_facts(handshake)->server;
		assert_int_equal(server->suite, ciphers[i].suite);
		assert_int_equal(cipher_weakness(server->suite) != NULL, ciphers[i].weak);
		assert_int_equal(cipher_is_static_rsa(server->suite), ciphers[i].static_rsa);
		assert_int_equal(server->group, ciphers[i].ecdhe ? 0x0018 : 0);
		EVP_PKEY *key = NULL;
		if (ciphers[i].dhe) {
			assert_int_equal(SSL_get_peer_tmp_key(pair->client, &key), 1);
			assert_int_equal(server->dh_bits, EVP_PKEY_get_bits(key));
		} else {
			assert_int_equal(server->dh_bits, 0);
		}
		EVP_PKEY_free(key);
		handshake_free(handshake);
		pair_free(pair);
	}
}

static void groups_of_tls13_come_from_the_key_share(void **state)
{
	(void)state;
	struct pair *pair = pair_new();
	assert_true(SSL_CTX_set1_groups_list(pair->client_context, "X25519:P-256"));
	struct handshake *handshake = play_and_read(pair);
	const struct tls_facts *facts = handshake_facts(handshake);
	assert_int_equal(facts->server.group, 0x001d);
	assert_false(facts->server.hello_retry_request);
	assert_int_equal(facts->client.groups.count, 2);
	assert_int_equal(facts->client.groups.values[1], 0x0017);
	assert_int_equal(facts->client.key_shares.count, 1);
	assert_int_equal(facts->client.key_shares.values[0], 0x001d);
	handshake_free(handshake);
	pair_free(pair);
}

static void hello_retry_request(void **state)
{
	(void)state;
	for (int compatible = 0; compatible <= 1; compatible++) {
		struct pair *pair = pair_new();
		assert_true(SSL_CTX_set1_groups_list(pair->client_context, "X25519:P-256"));
		assert_true(SSL_CTX_set1_groups_list(pair->server_context, "P-256"));
		if (!compatible) /* no ChangeCipherSpec between the two hellos */
			SSL_CTX_clear_options(pair->client_context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
		struct handshake *handshake = play_and_read(pair);
		const struct tls_facts *facts = handshake_facts(handshake);
		assert_true(facts->server.hello_retry_request);
		assert_int_equal(facts->server.retry_group, 0x0017);
		assert_int_equal(facts->server.group, 0x0017);
		assert_int_equal(facts->client.hellos, 2);
		assert_int_equal(facts->client.key_shares.values[0], 0x001d);
		assert_int_equal(facts->client.key_shares_retry.count, 1);
		assert_int_equal(facts->client.key_shares_retry.values[0], 0x0017);
		assert_int_equal(facts->stream[FROM_CLIENT].change_cipher_spec, compatible);
		handshake_free(handshake);
		pair_free(pair);
	}
}

/* The ticket offered is the ticket issued; without tickets the session id is. */
static void resumption_up_to_tls12(void **state)
{
	(void)state;
	for (int tickets = 0; tickets <= 1; tickets++) {
		struct pair *pair = pair_new();
		set_version(pair->client_context, TLS1_2_VERSION);
		if (!tickets)
			SSL_CTX_set_options(pair->server_context, SSL_OP_NO_TICKET);
		struct handshake *first = play_and_read(pair);
		const struct tls_server_facts *issued = &handshake_facts(first)->server;
		assert_int_equal(issued->ticket.present, tickets);
		assert_true(pair_play_again(pair));
		assert_true(SSL_session_reused(pair->client));
		struct handshake *second = read_tape(&pair->tape);
		assert_agrees(second, pair);
		const struct tls_facts *facts = handshake_facts(second);
		assert_false(facts->stream[FROM_SERVER].certificates.seen);
		assert_int_equal(facts->client.ticket.present, tickets);
		if (tickets)
			assert_memory_equal(facts->client.ticket.hash, issued->ticket.hash, TLS_TICKET_HASH_SIZE);
		else
			assert_memory_equal(facts->client.session_id.bytes, issued->session_id.bytes, 32);
		handshake_free(first);
		handshake_free(second);
		pair_free(pair);
	}
}

static void resumption_in_tls13(void **state)
{
	(void)state;
	struct pair *pair = pair_new();
	SSL_CTX_set_max_early_data(pair->server_context, 1024);
	struct handshake *handshake = play_and_read(pair);
	assert_false(handshake_facts(handshake)->client.psk);
	handshake_free(handshake);
	assert_true(pair_play_again(pair));
	assert_true(SSL_session_reused(pair->client));
	handshake = read_tape(&pair->tape);
	assert_agrees(handshake, pair);
	assert_true(handshake_facts(handshake)->client.psk);
	assert_false(handshake_facts(handshake)->client.early_data);
	handshake_free(handshake);

	pair->early = true; /* the server does not read it, so the handshake ends here */
	pair_play_again(pair);
	handshake = read_tape(&pair->tape);
	assert_true(handshake_facts(handshake)->client.early_data);
	assert_true(handshake_facts(handshake)->stream[FROM_CLIENT].encrypted);
	handshake_free(handshake);
	pair_free(pair);
}

/* A client that offers a session which the server does not know any more. */
static void a_refused_resumption_is_none(void **state)
{
	(void)state;
	struct pair *pair = pair_new();
	set_version(pair->client_context, TLS1_2_VERSION);
	assert_true(pair_play(pair));
	unsigned char keys[80] = { 1 };
	assert_true(SSL_CTX_set_tlsext_ticket_keys(pair->server_context, keys, sizeof(keys)));
	assert_true(pair_play_again(pair));
	assert_false(SSL_session_reused(pair->client));
	struct handshake *handshake = read_tape(&pair->tape);
	assert_agrees(handshake, pair);
	assert_true(handshake_facts(handshake)->client.ticket.present);
	handshake_free(handshake);
	pair_free(pair);
}

static void assert_is_certificate(const struct tls_certificate *found, X509 *expected)
{
	unsigned char *der = NULL;
	int n = i2d_X509(expected, &der);
	assert_int_equal(found->length, n);
	assert_memory_equal(found->der, der, (size_t)n);
	OPENSSL_free(der);
}

static int accept_any(int good, X509_STORE_CTX *context)
{
	(void)good;
	(void)context;
	return 1;
}

static void certificates_of_both_sides(void **state)
{
	(void)state;
	for (int with = 0; with <= 1; with++) {
		struct pair *pair = pair_new();
		set_version(pair->client_context, TLS1_2_VERSION);
		SSL_CTX_set_verify(pair->server_context, SSL_VERIFY_PEER, accept_any);
		if (with)
			use_identity(pair->client_context, &ec_identity);
		struct handshake *handshake = play_and_read(pair);
		const struct tls_facts *facts = handshake_facts(handshake);
		assert_true(facts->server.certificate_request);
		assert_int_equal(facts->stream[FROM_SERVER].certificates.count, 1);
		assert_is_certificate(&facts->stream[FROM_SERVER].certificates.list[0], rsa_identity.certificate);
		assert_true(facts->stream[FROM_CLIENT].certificates.seen);
		assert_int_equal(facts->stream[FROM_CLIENT].certificates.count, with);
		if (with)
			assert_is_certificate(&facts->stream[FROM_CLIENT].certificates.list[0],
					      ec_identity.certificate);
		handshake_free(handshake);
		pair_free(pair);
	}
}

/* Some 35 KiB over several records, and small records too: 512 bytes each. */
static void a_long_chain_spans_records(void **state)
{
	(void)state;
	for (int small = 0; small <= 1; small++) {
		struct pair *pair = pair_new();
		set_version(pair->client_context, TLS1_2_VERSION);
		for (int i = 0; i < 7; i++)
			assert_true(SSL_CTX_add1_chain_cert(pair->server_context, large_identity.certificate));
		if (small)
			assert_true(SSL_CTX_set_max_send_fragment(pair->server_context, 512));
		struct handshake *handshake = play_and_read(pair);
		const struct tls_certificates *chain = &stream_of(handshake, FROM_SERVER)->certificates;
		assert_int_equal(chain->count, 8);
		assert_int_equal(chain->sent, 8);
		assert_is_certificate(&chain->list[7], large_identity.certificate);
		handshake_free(handshake);
		pair_free(pair);
	}
}

static void only_so_many_certificates_are_kept(void **state)
{
	(void)state;
	struct pair *pair = pair_new();
	set_version(pair->client_context, TLS1_2_VERSION);
	for (int i = 0; i < 19; i++)
		assert_true(SSL_CTX_add1_chain_cert(pair->server_context, ec_identity.certificate));
	struct handshake *handshake = play_and_read(pair);
	const struct tls_certificates *chain = &stream_of(handshake, FROM_SERVER)->certificates;
	assert_int_equal(chain->count, TLS_CERTIFICATES_MAX);
	assert_int_equal(chain->sent, 20);
	handshake_free(handshake);
	pair_free(pair);
}

static int take_first_protocol(SSL *ssl, const unsigned char **out, unsigned char *length, const unsigned char *in,
			       unsigned in_length, void *argument)
{
	(void)ssl;
	(void)in_length;
	(void)argument;
	*out = in + 1;
	*length = in[0];
	return SSL_TLSEXT_ERR_OK;
}

/* 12 protocols make the ClientHello too large for one record of 512 bytes. */
static void names_of_server_and_protocols(void **state)
{
	(void)state;
	unsigned char protocols[12 * 41] = "\004smtp";
	struct pair *pair = pair_new();
	set_version(pair->server_context, TLS1_2_VERSION);
	for (size_t i = 5; i + 41 <= sizeof(protocols); i += 41) {
		protocols[i] = 40;
		memset(protocols + i + 1, 'p', 40);
	}
	assert_int_equal(SSL_CTX_set_alpn_protos(pair->client_context, protocols, 5 + 11 * 41), 0);
	SSL_CTX_set_alpn_select_cb(pair->server_context, take_first_protocol, NULL);
	assert_true(SSL_CTX_set_max_send_fragment(pair->client_context, 512));
	pair_ready(pair);
	SSL_set_tlsext_host_name(pair->client, "mail.example.com");
	struct handshake *handshake = play_and_read(pair);
	const struct tls_facts *facts = handshake_facts(handshake);
	assert_true(facts->client.server_name_present && facts->client.server_name_valid);
	assert_int_equal(facts->client.server_name_length, strlen("mail.example.com"));
	assert_memory_equal(facts->client.server_name, "mail.example.com", strlen("mail.example.com"));
	assert_int_equal(facts->client.protocols_offered, 12);
	assert_int_equal(facts->client.protocols[0].length, 4);
	assert_memory_equal(facts->client.protocols[0].bytes, "smtp", 4);
	assert_int_equal(facts->client.protocols[1].length, 40);
	assert_int_equal(facts->server.protocol.length, 4);
	assert_memory_equal(facts->server.protocol.bytes, "smtp", 4);
	assert_memory_equal(facts->client.ja4, "t13d", 4);
	assert_memory_equal(facts->client.ja4 + 8, "sp_", 3);
	handshake_free(handshake);
	pair_free(pair);
}

static void assert_alert(const struct handshake *handshake, enum direction direction, unsigned description)
{
	const struct tls_stream *stream = stream_of(handshake, direction);
	enum direction other = direction == FROM_CLIENT ? FROM_SERVER : FROM_CLIENT;
	assert_int_equal(stream_of(handshake, other)->alerts_sent, 0);
	assert_int_equal(stream->alerts_sent, 1);
	assert_int_equal(stream->alerts[0].level, 2);
	assert_int_equal(stream->alerts[0].description, description);
	assert_false(stream->malformed || stream->encrypted);
}

static void alerts_before_encryption(void **state)
{
	(void)state;
	struct pair *pair = pair_new();
	set_version(pair->client_context, TLS1_VERSION);
	set_version(pair->server_context, TLS1_3_VERSION);
	assert_false(pair_play(pair));
	struct handshake *handshake = read_tape(&pair->tape);
	assert_alert(handshake, FROM_SERVER, ALERT_PROTOCOL_VERSION);
	assert_int_equal(stream_of(handshake, FROM_SERVER)->alerts[0].at, 0);
	handshake_free(handshake);
	pair_free(pair);

	pair = pair_new();
	set_version(pair->server_context, TLS1_2_VERSION);
	assert_true(SSL_CTX_set_cipher_list(pair->client_context, "AES128-SHA"));
	assert_true(SSL_CTX_set_cipher_list(pair->server_context, "AES256-SHA"));
	assert_false(pair_play(pair));
	handshake = read_tape(&pair->tape);
	assert_alert(handshake, FROM_SERVER, ALERT_HANDSHAKE_FAILURE);
	assert_false(handshake_facts(handshake)->server.hello);
	handshake_free(handshake);
	pair_free(pair);
}

/* In TLS 1.3 too: OpenSSL turns to its new keys with its second flight only, so its alert before that can be read. */
static void the_client_refuses_the_certificate(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct pair *pair = pair_new();
		set_version(pair->client_context, version);
		SSL_CTX_set_verify(pair->client_context, SSL_VERIFY_PEER, NULL);
		assert_false(pair_play(pair));
		struct handshake *handshake = read_tape(&pair->tape);
		assert_alert(handshake, FROM_CLIENT, ALERT_UNKNOWN_CA);
		assert_true(stream_of(handshake, FROM_CLIENT)->alerts[0].at > 0);
		assert_int_equal(handshake_facts(handshake)->server.version, version);
		handshake_free(handshake);
		pair_free(pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_is_read),
		cmocka_unit_test(an_old_client_offers_its_legacy_version),
		cmocka_unit_test(the_sentinel_counts_where_more_was_offered),
		cmocka_unit_test(key_exchange_and_weakness_follow_the_suite),
		cmocka_unit_test(groups_of_tls13_come_from_the_key_share),
		cmocka_unit_test(hello_retry_request),
		cmocka_unit_test(resumption_up_to_tls12),
		cmocka_unit_test(resumption_in_tls13),
		cmocka_unit_test(a_refused_resumption_is_none),
		cmocka_unit_test(certificates_of_both_sides),
		cmocka_unit_test(a_long_chain_spans_records),
		cmocka_unit_test(only_so_many_certificates_are_kept),
		cmocka_unit_test(names_of_server_and_protocols),
		cmocka_unit_test(alerts_before_encryption),
		cmocka_unit_test(the_client_refuses_the_certificate),
	};
	return cmocka_run_group_tests(tests, make_identities, free_identities);
}
