/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Certificates in pieces, what the sender's library said, and what that comes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "identity.h"

static struct identity_record record;

static int setup(void **state)
{
	(void)state;
	memset(&record, 0, sizeof(record));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	identity_clear(&record);
	return 0;
}

/* ---- certificates in pieces ------------------------------------------------------------------------------- */

static uint8_t byte_at(unsigned index, uint32_t offset)
{
	return (uint8_t)(offset * 7 + index * 31 + 1);
}

static struct certificate_event piece(unsigned index, uint32_t total, uint32_t offset, uint16_t length)
{
	struct certificate_event event = { .total = total, .offset = offset, .length = length,
					   .index = (uint8_t)index };
	for (uint32_t i = 0; i < length && i < CERTIFICATE_CHUNK; i++)
		event.bytes[i] = byte_at(index, offset + i);
	return event;
}

static void take(unsigned index, uint32_t total, uint32_t offset, uint16_t length)
{
	const struct certificate_event event = piece(index, total, offset, length);
	identity_take_certificate(&record, &event);
}

static void take_whole(unsigned index, uint32_t total)
{
	for (uint32_t offset = 0; offset < total; offset += CERTIFICATE_CHUNK) {
		uint32_t left = total - offset;
		take(index, total, offset, (uint16_t)(left < CERTIFICATE_CHUNK ? left : CERTIFICATE_CHUNK));
	}
}

static void assert_whole(unsigned index, uint32_t total)
{
	assert_true(record.heard.count > index);
	assert_int_equal(record.heard.list[index].length, total);
	assert_int_equal(record.heard.read[index], total);
	for (uint32_t i = 0; i < total; i++)
		assert_int_equal(record.heard.list[index].der[i], byte_at(index, i));
}

static void pieces_in_order_make_a_chain(void **state)
{
	uint8_t digest[CERTIFICATE_DIGEST_SIZE];
	(void)state;
	take_whole(0, 1300);
	assert_true(record.heard_seen);
	take_whole(1, 1);
	take_whole(2, CERTIFICATE_CHUNK);
	take_whole(3, 2 * CERTIFICATE_CHUNK);
	assert_false(record.heard.broken);
	assert_int_equal(record.heard.count, 4);
	assert_int_equal(record.heard.bytes, 1301 + 3 * CERTIFICATE_CHUNK);
	assert_whole(0, 1300);
	assert_whole(1, 1);
	assert_whole(2, CERTIFICATE_CHUNK);
	assert_whole(3, 2 * CERTIFICATE_CHUNK);
	SHA256(record.heard.list[0].der, 1300, digest);
	assert_memory_equal(record.heard_digest, digest, sizeof(digest)); /* of the server's own, whatever follows it */
	assert_true(record.certificates_seen);
}

static void half_a_certificate_is_not_seen(void **state)
{
	(void)state;
	take(0, 1000, 0, 512);
	assert_true(record.certificates_seen);
	assert_false(record.heard_seen);
	assert_false(record.heard.broken); /* the rest may come */
	assert_int_equal(record.heard.read[0], 512);
}

/* What came behind a missing piece is not taken, even if it would fit again. */
static void assert_broken(void)
{
	unsigned count = record.heard.count;
	uint32_t bytes = record.heard.bytes;
	assert_true(record.heard.broken);
	take_whole(count ? count : 1, 600);
	assert_true(record.heard.broken);
	assert_int_equal(record.heard.count, count);
	assert_int_equal(record.heard.bytes, bytes);
}

static void a_missing_piece_breaks_the_chain(void **state)
{
	(void)state;
	take(0, 1500, 0, 512);
	take(0, 1500, 1024, 476);
	assert_broken();
	assert_false(record.heard_seen);
}

static void a_missing_first_piece_breaks_the_chain(void **state)
{
	(void)state;
	take(0, 1500, 512, 512);
	assert_int_equal(record.heard.count, 0);
	assert_broken();
}

static void a_repeated_piece_breaks_the_chain(void **state)
{
	(void)state;
	take(0, 1500, 0, 512);
	take(0, 1500, 512, 512);
	take(0, 1500, 512, 512);
	assert_broken();
}

/* GnuTLS reads the server's own certificate in the handshake, and the whole chain for the check. */
static void the_first_piece_again_begins_anew(void **state)
{
	(void)state;
	take_whole(0, 600);
	take(1, 700, 0, 512);
	take_whole(0, 600);
	take_whole(1, 700);
	assert_false(record.heard.broken);
	assert_int_equal(record.heard.count, 2);
	assert_int_equal(record.heard.bytes, 1300);
	assert_whole(1, 700);
}

static void a_piece_behind_the_end_breaks_the_chain(void **state)
{
	(void)state;
	take(0, 600, 0, 512);
	take(0, 600, 512, 512); /* 424 too many */
	assert_broken();
	assert_int_equal(record.heard.read[0], 512);
	assert_false(record.heard_seen);
}

static void a_first_piece_that_is_too_long_breaks_the_chain(void **state)
{
	(void)state;
	take(0, 10, 0, 512);
	assert_broken();
	assert_false(record.heard_seen);
}

static void an_offset_beyond_the_total_breaks_the_chain(void **state)
{
	(void)state;
	take(0, 600, 0, 512);
	take(0, 600, 0xfffffff0, 512);
	assert_broken();
}

static void another_total_breaks_the_chain(void **state)
{
	(void)state;
	take(0, 1500, 0, 512);
	take(0, 1501, 512, 512);
	assert_broken();
}

static void a_skipped_index_breaks_the_chain(void **state)
{
	(void)state;
	take_whole(0, 600);
	take_whole(2, 600); /* the kernel sends none that is too long, but numbers it */
	assert_broken();
	assert_true(record.heard_seen); /* the server's own is there all the same */
	assert_int_equal(record.heard.count, 1);
}

static void an_earlier_index_breaks_the_chain(void **state)
{
	(void)state;
	take_whole(0, 600);
	take_whole(1, 600);
	take_whole(2, 600);
	take(1, 600, 0, 512);
	assert_broken();
}

static void the_highest_index_breaks_the_chain(void **state)
{
	(void)state;
	take(255, 600, 0, 512);
	assert_broken();
}

static void total_0_breaks_the_chain(void **state)
{
	(void)state;
	take(0, 0, 0, 0);
	assert_int_equal(record.heard.count, 0);
	assert_false(record.heard_seen);
	assert_broken();
}

static void a_length_beyond_the_event_is_not_read(void **state)
{
	(void)state;
	take(0, 2000, 0, CERTIFICATE_CHUNK + 1);
	take(0, 2000, 0, UINT16_MAX);
	assert_int_equal(record.heard.count, 0);
	take(0, 2000, 0, 512);
	take(0, 2000, 512, CERTIFICATE_CHUNK + 1);
	assert_int_equal(record.heard.read[0], 512);
	take(0, 2000, 1025, 512); /* where a reader would go on that had believed it */
	assert_broken();
}

static void as_many_certificates_as_fit_and_no_more(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TLS_CERTIFICATES_MAX; i++)
		take_whole(i, 700);
	assert_false(record.heard.broken);
	assert_int_equal(record.heard.count, TLS_CERTIFICATES_MAX);
	assert_whole(TLS_CERTIFICATES_MAX - 1, 700);
	take_whole(TLS_CERTIFICATES_MAX, 700);
	assert_true(record.heard.broken);
	assert_int_equal(record.heard.count, TLS_CERTIFICATES_MAX);
}

static void as_many_bytes_as_fit_and_no_more(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		take_whole(i, CHAIN_BYTES_MAX / 4);
	assert_false(record.heard.broken);
	assert_int_equal(record.heard.bytes, CHAIN_BYTES_MAX);
	assert_whole(3, CHAIN_BYTES_MAX / 4);
	take_whole(4, 1);
	assert_broken();
}

static void a_certificate_too_large_for_a_chain_breaks_it(void **state)
{
	(void)state;
	take(0, CHAIN_BYTES_MAX + 1, 0, 512);
	assert_int_equal(record.heard.bytes, 0);
	assert_broken();
	identity_clear(&record);
	take(0, UINT32_MAX, 0, 512);
	assert_int_equal(record.heard.bytes, 0);
	assert_broken();
}

static void dropped_certificates_leave_what_was_found(void **state)
{
	uint8_t digest[CERTIFICATE_DIGEST_SIZE];
	(void)state;
	take_whole(0, 600);
	memcpy(digest, record.heard_digest, sizeof(digest));
	identity_drop_certificates(&record);
	assert_int_equal(record.heard.count, 0);
	assert_int_equal(record.heard.bytes, 0);
	assert_true(record.heard_seen);
	assert_memory_equal(record.heard_digest, digest, sizeof(digest));
	identity_drop_certificates(&record);
	identity_clear(&record);
	assert_false(record.heard_seen);
}

/* ---- certificates from the wire --------------------------------------------------------------------------- */

static struct tls_certificates message(unsigned count, const uint8_t *der, size_t length)
{
	struct tls_certificates certificates = { .seen = true, .count = (uint8_t)count, .sent = (uint16_t)count };
	for (unsigned i = 0; i < count; i++)
		certificates.list[i] = (struct tls_certificate){ der + i, length };
	return certificates;
}

static void the_wire_is_copied_once(void **state)
{
	uint8_t der[] = { 1, 2, 3, 4, 5 }, digest[CERTIFICATE_DIGEST_SIZE];
	struct tls_certificates certificates = message(2, der, 4);
	(void)state;
	SHA256(der, 4, digest);
	identity_take_wire(&record, &certificates);
	memset(der, 0, sizeof(der));
	assert_true(record.wire_seen);
	assert_true(record.certificates_seen);
	assert_false(record.wire.broken);
	assert_int_equal(record.wire.count, 2);
	assert_int_equal(record.wire.read[1], 4);
	assert_memory_equal(record.wire.list[0].der, "\1\2\3\4", 4);
	assert_memory_equal(record.wire.list[1].der, "\2\3\4\5", 4);
	assert_memory_equal(record.wire_digest, digest, sizeof(digest));
	certificates = message(1, der, 3);
	identity_take_wire(&record, &certificates);
	assert_int_equal(record.wire.count, 2);
	assert_memory_equal(record.wire_digest, digest, sizeof(digest));
	assert_int_equal(record.heard.count, 0);
}

/* When a session is over its certificates go, and the summary is looked at again. */
static void the_wire_is_not_taken_again_once_it_is_dropped(void **state)
{
	const uint8_t der[] = { 1, 2, 3, 4 };
	const struct tls_certificates certificates = message(1, der, 4);
	(void)state;
	identity_take_wire(&record, &certificates);
	identity_drop_certificates(&record);
	identity_take_wire(&record, &certificates);
	assert_int_equal(record.wire.count, 0);
}

static void no_certificate_on_the_wire_is_none(void **state)
{
	const uint8_t der[] = { 1, 2, 3, 4 };
	struct tls_certificates certificates = message(0, der, 0);
	(void)state;
	identity_take_wire(&record, &certificates);
	certificates = message(1, der, 4);
	certificates.seen = false;
	identity_take_wire(&record, &certificates);
	assert_false(record.wire_seen);
	assert_false(record.certificates_seen);
	assert_int_equal(record.wire.count, 0);
}

static void more_on_the_wire_than_is_kept_breaks_the_chain(void **state)
{
	const uint8_t der[TLS_CERTIFICATES_MAX + 4] = { 1 };
	struct tls_certificates certificates = message(TLS_CERTIFICATES_MAX, der, 4);
	(void)state;
	certificates.sent = TLS_CERTIFICATES_MAX + 1;
	identity_take_wire(&record, &certificates);
	assert_true(record.wire.broken);
	assert_true(record.wire_seen);
}

static void too_many_bytes_on_the_wire_break_the_chain(void **state)
{
	static uint8_t der[CHAIN_BYTES_MAX / 2 + 4];
	struct tls_certificates certificates = message(2, der, CHAIN_BYTES_MAX / 2);
	(void)state;
	identity_take_wire(&record, &certificates);
	assert_false(record.wire.broken);
	identity_clear(&record);
	certificates = message(3, der, CHAIN_BYTES_MAX / 2);
	identity_take_wire(&record, &certificates);
	assert_true(record.wire.broken);
	identity_clear(&record);
	certificates = message(2, der, 10);
	certificates.list[0].length = 0;
	identity_take_wire(&record, &certificates);
	assert_true(record.wire.broken);
}

/* ---- what the library said -------------------------------------------------------------------------------- */

static struct witness_event word(enum witness_library library, enum witness_kind kind, int32_t result, uint32_t error,
				 enum witness_identity named, const char *name)
{
	struct witness_event event = { .library = (uint8_t)library, .kind = (uint8_t)kind, .result = result, .error = error,
				       .named = (uint8_t)named, .pid = 1234, .mode = WITNESS_MODE_STRICT };
	event.name_length = (uint8_t)strlen(name);
	memcpy(event.name, name, strlen(name));
	return event;
}

static void say(enum witness_library library, enum witness_kind kind, int32_t result, uint32_t error,
		enum witness_identity named, const char *name)
{
	const struct witness_event event = word(library, kind, result, error, named, name);
	identity_take_witness(&record, &event);
}

static void words_are_kept(void **state)
{
	(void)state;
	say(WITNESS_OPENSSL, WITNESS_HANDSHAKE, 1, 0, WITNESS_NAMED_NONE, "");
	assert_true(record.witness.handshake_done);
	assert_false(record.witness.checked);
	say(WITNESS_OPENSSL, WITNESS_CHAIN, 1, X509_V_ERR_HOSTNAME_MISMATCH, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(record.witness.library, WITNESS_OPENSSL);
	assert_int_equal(record.witness.pid, 1234);
	assert_true(record.witness.checked);
	assert_int_equal(record.witness.result, 1);
	assert_int_equal(record.witness.error, X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(record.witness.mode, WITNESS_MODE_STRICT);
	assert_int_equal(record.witness.named, WITNESS_NAMED_HOST);
	assert_string_equal(record.witness.name, "mx.example");
	assert_int_equal(record.witness.name_length, 10);
	assert_false(record.witness.asked);
	say(WITNESS_OPENSSL, WITNESS_RESULT, 1, X509_V_ERR_CERT_HAS_EXPIRED, WITNESS_NAMED_NONE, "");
	assert_true(record.witness.asked);
	assert_int_equal(record.witness.asked_error, X509_V_ERR_CERT_HAS_EXPIRED);
	assert_int_equal(record.witness.error, X509_V_ERR_HOSTNAME_MISMATCH);
	assert_string_equal(record.witness.name, "mx.example");
}

/* OpenSSL looks again where a first chain did not lead to an anchor. */
static void the_last_word_on_the_chain_counts(void **state)
{
	(void)state;
	say(WITNESS_OPENSSL, WITNESS_CHAIN, 0, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, WITNESS_NAMED_NONE, "");
	assert_int_equal(identity_sender_check(&record), SENDER_FOUND_FAULT);
	say(WITNESS_OPENSSL, WITNESS_CHAIN, 1, 0, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(identity_sender_check(&record), SENDER_VERIFIED);
	say(WITNESS_OPENSSL, WITNESS_CHAIN, 1, 0, WITNESS_NAMED_NONE, "");
	assert_int_equal(identity_sender_check(&record), SENDER_CHAIN_ONLY);
	assert_string_equal(record.witness.name, "");
}

static void a_hostile_name_ends(void **state)
{
	struct witness_event event = word(WITNESS_OPENSSL, WITNESS_CHAIN, 1, 0, WITNESS_NAMED_HOST, "");
	(void)state;
	memset(event.name, 'x', sizeof(event.name));
	event.name_length = 255;
	identity_take_witness(&record, &event);
	assert_int_equal(strlen(record.witness.name), WITNESS_NAME_SIZE - 1);
	assert_int_equal(record.witness.name_length, 0);
}

static void a_name_of_its_own_call_is_taken_where_there_was_none(void **state)
{
	(void)state;
	say(WITNESS_GNUTLS, WITNESS_CHAIN, 0, 0, WITNESS_NAMED_NONE, "");
	assert_int_equal(identity_sender_check(&record), SENDER_CHAIN_ONLY);
	say(WITNESS_GNUTLS, WITNESS_NAME, 1, 0, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(record.witness.named, WITNESS_NAMED_HOST);
	assert_string_equal(record.witness.name, "mx.example");
	assert_int_equal(identity_sender_check(&record), SENDER_VERIFIED);
}

static void of_several_names_the_one_that_matched_is_kept(void **state)
{
	(void)state;
	say(WITNESS_GNUTLS, WITNESS_CHAIN, 0, 0, WITNESS_NAMED_NONE, "");
	say(WITNESS_GNUTLS, WITNESS_NAME, 0, 0, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(identity_sender_check(&record), SENDER_FOUND_FAULT);
	say(WITNESS_GNUTLS, WITNESS_NAME, 1, 0, WITNESS_NAMED_HOST, "b.example");
	assert_string_equal(record.witness.name, "b.example");
	assert_int_equal(identity_sender_check(&record), SENDER_VERIFIED);
}

static void a_name_of_its_own_call_leaves_the_one_that_the_chain_was_checked_for(void **state)
{
	(void)state;
	say(WITNESS_GNUTLS, WITNESS_CHAIN, 0, 0, WITNESS_NAMED_HOST, "mx.example");
	say(WITNESS_GNUTLS, WITNESS_NAME, 1, 0, WITNESS_NAMED_HOST, "other.example");
	assert_string_equal(record.witness.name, "mx.example");
}

/* ---- what it comes to ------------------------------------------------------------------------------------- */

static void each_word_on_the_chain_has_its_meaning(void **state)
{
	enum { O = WITNESS_OPENSSL, G = WITNESS_GNUTLS };
	static const struct {
		int library;
		int32_t result;
		uint32_t error;
		enum witness_identity named;
		enum sender_check check;
	} cases[] = {
		{ O, 1, 0, WITNESS_NAMED_HOST, SENDER_VERIFIED },
		{ O, 1, 0, WITNESS_NAMED_ADDRESS, SENDER_VERIFIED },
		{ O, 1, 0, WITNESS_NAMED_LONG, SENDER_VERIFIED },
		{ O, 1, 0, WITNESS_PINNED, SENDER_VERIFIED },
		{ O, 1, 0, WITNESS_NAMED_NONE, SENDER_CHAIN_ONLY },
		{ O, 0, 0, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT }, /* the callback said no */
		{ O, -1, 0, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT },
		{ O, 0, 18, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT },
		{ O, 1, 18, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT }, /* the callback said "carry on", as Postfix's does */
		{ O, 1, 62, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT },
		{ O, 1, 20, WITNESS_NAMED_NONE, SENDER_FOUND_FAULT },
		{ O, 1, WITNESS_ERROR_UNKNOWN, WITNESS_NAMED_HOST, SENDER_UNKNOWN },
		{ O, 1, WITNESS_ERROR_UNKNOWN, WITNESS_NAMED_NONE, SENDER_UNKNOWN },
		{ O, 0, WITNESS_ERROR_UNKNOWN, WITNESS_NAMED_NONE, SENDER_FOUND_FAULT },
		{ G, 0, 0, WITNESS_NAMED_HOST, SENDER_VERIFIED },
		{ G, 0, 0, WITNESS_NAMED_LONG, SENDER_VERIFIED },
		{ G, 0, 0, WITNESS_NAMED_NONE, SENDER_CHAIN_ONLY },
		{ G, 0, 0x42, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT },
		{ G, 0, 0x4002, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT },
		{ G, 0, 0x402, WITNESS_NAMED_NONE, SENDER_FOUND_FAULT },
		{ G, -49, WITNESS_ERROR_UNKNOWN, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT }, /* no certificate found */
		{ G, -49, 0, WITNESS_NAMED_HOST, SENDER_FOUND_FAULT },
		{ G, 0, WITNESS_ERROR_UNKNOWN, WITNESS_NAMED_HOST, SENDER_UNKNOWN },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup(NULL);
		say((enum witness_library)cases[i].library, WITNESS_CHAIN, cases[i].result, cases[i].error, cases[i].named,
		    "mx.example");
		enum sender_check check = identity_sender_check(&record);
		if (check != cases[i].check)
			print_error("case %zu: %s\n", i, sender_check_name(check));
		assert_int_equal(check, cases[i].check);
	}
}

static void a_name_that_does_not_match_is_a_fault(void **state)
{
	(void)state;
	say(WITNESS_GNUTLS, WITNESS_CHAIN, 0, 0, WITNESS_NAMED_HOST, "mx.example");
	say(WITNESS_GNUTLS, WITNESS_NAME, 0, 0, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(identity_sender_check(&record), SENDER_FOUND_FAULT);
}

static void a_matching_name_mends_no_chain(void **state)
{
	(void)state;
	say(WITNESS_GNUTLS, WITNESS_CHAIN, 0, 0x42, WITNESS_NAMED_NONE, "");
	say(WITNESS_GNUTLS, WITNESS_NAME, 1, 0, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(identity_sender_check(&record), SENDER_FOUND_FAULT);
}

static void a_name_alone_is_no_check(void **state)
{
	(void)state;
	say(WITNESS_GNUTLS, WITNESS_NAME, 1, 0, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
}

static void a_result_alone_is_no_check(void **state)
{
	(void)state;
	/* 0 is what OpenSSL says where nothing was checked, too */
	say(WITNESS_OPENSSL, WITNESS_HANDSHAKE, 1, 0, WITNESS_NAMED_NONE, "");
	say(WITNESS_OPENSSL, WITNESS_RESULT, 1, 0, WITNESS_NAMED_NONE, "");
	take_whole(0, 600);
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
}

static void no_check_shows_only_when_the_handshake_is_done(void **state)
{
	(void)state;
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
	take_whole(0, 600);
	record.witness.library = WITNESS_GNUTLS;
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
	say(WITNESS_GNUTLS, WITNESS_HANDSHAKE, 1, 0, WITNESS_NAMED_NONE, "");
	assert_int_equal(identity_sender_check(&record), SENDER_DID_NOT_CHECK);
	say(WITNESS_GNUTLS, WITNESS_CHAIN, 0, 0, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(identity_sender_check(&record), SENDER_VERIFIED);
}

/* A resumed session has no certificate, and need not be checked. */
static void no_check_of_no_certificate_is_unknown(void **state)
{
	(void)state;
	say(WITNESS_GNUTLS, WITNESS_HANDSHAKE, 1, 0, WITNESS_NAMED_NONE, "");
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
	take(0, 600, 0, 512); /* and half of one is none */
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
}

/* OpenSSL always checks, unless the application has put something else in that place. */
static void no_check_by_openssl_is_unknown(void **state)
{
	(void)state;
	say(WITNESS_OPENSSL, WITNESS_HANDSHAKE, 1, 0, WITNESS_NAMED_NONE, "");
	take_whole(0, 600);
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
}

static void the_resumed_session_speaks_where_there_is_no_check(void **state)
{
	(void)state;
	record.resumed_check = SENDER_VERIFIED;
	assert_int_equal(identity_sender_check(&record), SENDER_VERIFIED);
	say(WITNESS_GNUTLS, WITNESS_HANDSHAKE, 1, 0, WITNESS_NAMED_NONE, "");
	assert_int_equal(identity_sender_check(&record), SENDER_VERIFIED);
	say(WITNESS_GNUTLS, WITNESS_CHAIN, 0, 0x42, WITNESS_NAMED_HOST, "mx.example");
	assert_int_equal(identity_sender_check(&record), SENDER_FOUND_FAULT);
}

/* OpenSMTPD's process that speaks to servers has no anchors. */
static void a_check_for_show_says_nothing(void **state)
{
	(void)state;
	record.checked_elsewhere = true;
	say(WITNESS_OPENSSL, WITNESS_CHAIN, 1, 20, WITNESS_NAMED_NONE, "");
	assert_int_equal(identity_sender_check(&record), SENDER_FOUND_FAULT); /* strict: that would have ended it */
	record.witness.mode = WITNESS_MODE_LENIENT;
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
	record.witness.mode = WITNESS_MODE_UNKNOWN;
	assert_int_equal(identity_sender_check(&record), SENDER_UNKNOWN);
	say(WITNESS_OPENSSL, WITNESS_CHAIN, 1, 0, WITNESS_NAMED_HOST, "mx.example");
	record.witness.mode = WITNESS_MODE_LENIENT;
	assert_int_equal(identity_sender_check(&record), SENDER_VERIFIED);
	say(WITNESS_GNUTLS, WITNESS_CHAIN, 0, 0x42, WITNESS_NAMED_HOST, "mx.example");
	record.witness.mode = WITNESS_MODE_UNKNOWN;
	assert_int_equal(identity_sender_check(&record), SENDER_FOUND_FAULT);
}

/* ---- disagreements ---------------------------------------------------------------------------------------- */

static const char trusts[] = "trusts the chain", faults[] = "found fault", accepts[] = "accepts the name";
static const char wire[] = "on the wire";

/* up to three parts of the texts that are expected, in their order */
static void assert_disagreements(const char *first, const char *second, const char *third)
{
	const char *expected[] = { first, second, third }, *texts[DISAGREEMENTS_MAX];
	unsigned count = identity_disagreements(&record, texts), i = 0;
	for (; i < DISAGREEMENTS_MAX && expected[i]; i++) {
		assert_true(i < count);
		assert_non_null(strstr(texts[i], expected[i]));
	}
	assert_int_equal(count, i);
}

static void checked_good(enum witness_identity named)
{
	setup(NULL);
	say(WITNESS_OPENSSL, WITNESS_CHAIN, 1, 0, named, "mx.example");
}

static void without_an_own_check_nobody_disagrees(void **state)
{
	(void)state;
	assert_disagreements(NULL, NULL, NULL);
	checked_good(WITNESS_NAMED_HOST);
	record.check.untrusted = record.check.expired = record.check.name_mismatch = true;
	assert_disagreements(NULL, NULL, NULL);
}

static void agreement_is_no_disagreement(void **state)
{
	(void)state;
	checked_good(WITNESS_NAMED_HOST);
	record.check.made = true;
	assert_disagreements(NULL, NULL, NULL);
	record.witness.error = 18;
	record.check.untrusted = true;
	assert_disagreements(NULL, NULL, NULL);
	record.check.untrusted = false;
	record.check.name_mismatch = true;
	assert_disagreements(NULL, NULL, NULL);
}

static void a_chain_that_only_the_sender_trusts(void **state)
{
	(void)state;
	for (int chain_only = 0; chain_only < 2; chain_only++) {
		checked_good(chain_only ? WITNESS_NAMED_NONE : WITNESS_NAMED_HOST);
		record.check.made = record.check.untrusted = true;
		assert_disagreements(trusts, NULL, NULL);
		record.check.untrusted = false;
		record.check.expired = true;
		assert_disagreements(trusts, NULL, NULL);
	}
}

static void a_fault_that_only_the_sender_found(void **state)
{
	(void)state;
	checked_good(WITNESS_NAMED_HOST);
	record.check.made = true;
	record.witness.error = 20;
	assert_disagreements(faults, NULL, NULL);
	record.check.expired = true;
	assert_disagreements(NULL, NULL, NULL);
}

static void half_a_chain_disagrees_with_nobody(void **state)
{
	(void)state;
	checked_good(WITNESS_NAMED_HOST);
	record.check.made = record.check.partial = true;
	assert_disagreements(NULL, NULL, NULL);
	record.witness.error = 20;
	assert_disagreements(NULL, NULL, NULL);
}

static void a_name_that_only_the_sender_accepts(void **state)
{
	(void)state;
	checked_good(WITNESS_NAMED_HOST);
	record.check.made = record.check.name_mismatch = true;
	record.check.name_from = NAME_FROM_LIBRARY;
	assert_disagreements(accepts, NULL, NULL);
	record.check.name_from = NAME_FROM_POLICY; /* another name than the one that the sender accepts */
	assert_disagreements(NULL, NULL, NULL);
	checked_good(WITNESS_PINNED); /* then the name does not matter to it */
	record.check.made = record.check.name_mismatch = true;
	assert_disagreements(NULL, NULL, NULL);
	checked_good(WITNESS_NAMED_NONE);
	record.check.made = record.check.name_mismatch = true;
	assert_disagreements(NULL, NULL, NULL);
}

static void another_certificate_on_the_wire_than_in_the_library(void **state)
{
	uint8_t der[600];
	(void)state;
	for (unsigned i = 0; i < sizeof(der); i++)
		der[i] = byte_at(0, i);
	struct tls_certificates certificates = message(1, der, sizeof(der));
	identity_take_wire(&record, &certificates);
	assert_disagreements(NULL, NULL, NULL); /* only one of the two is known */
	take_whole(0, sizeof(der));
	assert_disagreements(NULL, NULL, NULL);
	identity_clear(&record);
	der[599] ^= 1;
	identity_take_wire(&record, &certificates);
	take_whole(0, sizeof(der));
	assert_disagreements(wire, NULL, NULL);
	identity_drop_certificates(&record);
	assert_disagreements(wire, NULL, NULL);
	say(WITNESS_OPENSSL, WITNESS_CHAIN, 1, 0, WITNESS_NAMED_HOST, "mx.example");
	record.check.made = record.check.untrusted = record.check.name_mismatch = true;
	assert_disagreements(wire, trusts, accepts);
}

/* ---- words ------------------------------------------------------------------------------------------------ */

static void words_are_distinct(void **state)
{
	(void)state;
	assert_string_equal(witness_library_name(WITNESS_OPENSSL), "openssl");
	assert_string_equal(witness_library_name(WITNESS_GNUTLS), "gnutls");
	assert_null(witness_library_name(0));
	assert_null(witness_library_name(3));
	const char *last = "";
	for (int check = SENDER_UNKNOWN; check <= SENDER_DID_NOT_CHECK; check++) {
		const char *name = sender_check_name((enum sender_check)check);
		assert_non_null(name);
		assert_string_not_equal(name, last);
		last = name;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pieces_in_order_make_a_chain),
		TEST(half_a_certificate_is_not_seen),
		TEST(a_missing_piece_breaks_the_chain),
		TEST(a_missing_first_piece_breaks_the_chain),
		TEST(a_repeated_piece_breaks_the_chain),
		TEST(the_first_piece_again_begins_anew),
		TEST(a_piece_behind_the_end_breaks_the_chain),
		TEST(a_first_piece_that_is_too_long_breaks_the_chain),
		TEST(an_offset_beyond_the_total_breaks_the_chain),
		TEST(another_total_breaks_the_chain),
		TEST(a_skipped_index_breaks_the_chain),
		TEST(an_earlier_index_breaks_the_chain),
		TEST(the_highest_index_breaks_the_chain),
		TEST(total_0_breaks_the_chain),
		TEST(a_length_beyond_the_event_is_not_read),
		TEST(as_many_certificates_as_fit_and_no_more),
		TEST(as_many_bytes_as_fit_and_no_more),
		TEST(a_certificate_too_large_for_a_chain_breaks_it),
		TEST(dropped_certificates_leave_what_was_found),
		TEST(the_wire_is_copied_once),
		TEST(the_wire_is_not_taken_again_once_it_is_dropped),
		TEST(no_certificate_on_the_wire_is_none),
		TEST(more_on_the_wire_than_is_kept_breaks_the_chain),
		TEST(too_many_bytes_on_the_wire_break_the_chain),
		TEST(words_are_kept),
		TEST(the_last_word_on_the_chain_counts),
		TEST(a_hostile_name_ends),
		TEST(a_name_of_its_own_call_is_taken_where_there_was_none),
		TEST(of_several_names_the_one_that_matched_is_kept),
		TEST(a_name_of_its_own_call_leaves_the_one_that_the_chain_was_checked_for),
		TEST(each_word_on_the_chain_has_its_meaning),
		TEST(a_name_that_does_not_match_is_a_fault),
		TEST(a_matching_name_mends_no_chain),
		TEST(a_name_alone_is_no_check),
		TEST(a_result_alone_is_no_check),
		TEST(no_check_shows_only_when_the_handshake_is_done),
		TEST(no_check_of_no_certificate_is_unknown),
		TEST(no_check_by_openssl_is_unknown),
		TEST(the_resumed_session_speaks_where_there_is_no_check),
		TEST(a_check_for_show_says_nothing),
		TEST(without_an_own_check_nobody_disagrees),
		TEST(agreement_is_no_disagreement),
		TEST(a_chain_that_only_the_sender_trusts),
		TEST(a_fault_that_only_the_sender_found),
		TEST(half_a_chain_disagrees_with_nobody),
		TEST(a_name_that_only_the_sender_accepts),
		TEST(another_certificate_on_the_wire_than_in_the_library),
		TEST(words_are_distinct),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
