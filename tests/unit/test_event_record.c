/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which records of the ring are believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "event_record.h"
#include "facts.h"
#include "event_ring.h"
#include "policy.h"

enum { NONE, FLOW, HANDSHAKE, WITNESS, CERTIFICATE };

static int taken; /* what the reader was called for */

static void take_flow(void *context, const struct flow_event *event)
{
	(void)event;
	*(int *)context = FLOW;
}

static void take_handshake(void *context, const struct handshake_event *event)
{
	(void)event;
	*(int *)context = HANDSHAKE;
}

static void take_witness(void *context, const struct witness_event *event)
{
	(void)event;
	*(int *)context = WITNESS;
}

static void take_certificate(void *context, const struct certificate_event *event)
{
	(void)event;
	*(int *)context = CERTIFICATE;
}

static const struct event_reader reader = { .flow = take_flow, .handshake = take_handshake, .witness = take_witness,
					     .certificate = take_certificate, .context = &taken };

/* What the record is taken for; what event_record_take() says must be the same. */
static int kind_of(const void *record, size_t size)
{
	taken = NONE;
	bool valid = event_record_take(&reader, record, size);
	assert_int_equal(valid, taken != NONE);
	return taken;
}

static struct flow_event flow = { .flow_id = 1, .sequence = 1, .reason = EVENT_OPENED };
static struct handshake_event handshake = { .flow_id = 1, .length = HANDSHAKE_CHUNK };
static struct witness_event witness = { .flow_id = 1, .library = WITNESS_OPENSSL, .kind = WITNESS_CHAIN,
					      .named = WITNESS_NAMED_HOST, .name = "mx.example" };
static struct certificate_event certificate = { .flow_id = 1, .total = CERTIFICATE_BYTES_MAX, .length = 1 };

static void each_kind_goes_its_way(void **state)
{
	(void)state;
	assert_int_equal(kind_of(&flow, sizeof(flow)), FLOW);
	assert_int_equal(kind_of(&handshake, sizeof(handshake)), HANDSHAKE);
	assert_int_equal(kind_of(&witness, sizeof(witness)), WITNESS);
	assert_int_equal(kind_of(&certificate, sizeof(certificate)), CERTIFICATE);
}

static void another_size_is_none(void **state)
{
	uint64_t bytes[256] = { 1 };
	(void)state;
	for (size_t size = 0; size < sizeof(bytes); size++) {
		if (size == sizeof(flow) || size == sizeof(handshake) || size == sizeof(witness) || size == sizeof(certificate))
			continue;
		assert_int_equal(kind_of(bytes, size), NONE);
	}
}

/* One of the records above with one value out of range. */
#define BAD(good, member, value)                                        \
	do {                                                             \
		__typeof__(good) bad_one = good;                         \
		bad_one.member = value;                                  \
		assert_int_equal(kind_of(&bad_one, sizeof(bad_one)), NONE); \
	} while (0)

static void a_flow_out_of_range_is_none(void **state)
{
	struct flow_event full = flow;
	(void)state;
	BAD(flow, flow_id, 0);
	BAD(flow, sequence, 0);
	BAD(flow, time_ns, 1ULL << 62);
	BAD(flow, opened_ns, UINT64_MAX);
	BAD(flow, held_ns, 1ULL << 62);
	BAD(flow, reason, 0);
	BAD(flow, reason, EVENT_HELD + 1);
	BAD(flow, end, FLOW_END_RESET + 1);
	BAD(flow, require, REQUIRE_VERIFIED + 1);
	BAD(flow, undecided, DOUBT_BLOCK + 1);
	BAD(flow, facts, 1ULL << FACT_COUNT);
	BAD(flow, stopped, 1ULL << FACT_COUNT);
	memset(full.account, 'a', sizeof(full.account));
	assert_int_equal(kind_of(&full, sizeof(full)), NONE);
	full = flow;
	memset(full.mechanism, 'a', sizeof(full.mechanism));
	assert_int_equal(kind_of(&full, sizeof(full)), NONE);
	full = flow;
	memset(full.server_name, 'a', sizeof(full.server_name));
	assert_int_equal(kind_of(&full, sizeof(full)), NONE);
	full.server_name[sizeof(full.server_name) - 1] = 0;
	assert_int_equal(kind_of(&full, sizeof(full)), FLOW);
}

static void a_handshake_out_of_range_is_none(void **state)
{
	struct handshake_event bad = handshake;
	(void)state;
	bad.length = HANDSHAKE_CHUNK + 1;
	assert_int_equal(kind_of(&bad, sizeof(bad)), NONE);
	bad.length = 0;
	assert_int_equal(kind_of(&bad, sizeof(bad)), NONE);
	bad = handshake;
	bad.from_server = 2;
	assert_int_equal(kind_of(&bad, sizeof(bad)), NONE);
	bad = handshake;
	bad.offset = HANDSHAKE_LIMIT + 1;
	assert_int_equal(kind_of(&bad, sizeof(bad)), NONE);
}

static void a_witness_out_of_range_is_none(void **state)
{
	struct witness_event full = witness;
	(void)state;
	BAD(witness, flow_id, 0);
	BAD(witness, time_ns, 1ULL << 62);
	BAD(witness, library, 0);
	BAD(witness, library, WITNESS_GNUTLS + 1);
	BAD(witness, kind, 0);
	BAD(witness, kind, WITNESS_RESULT + 1);
	BAD(witness, named, WITNESS_NAMED_SEVERAL + 1);
	BAD(witness, mode, WITNESS_MODE_STRICT + 1);
	BAD(witness, name_length, WITNESS_NAME_SIZE + 1);
	memset(full.name, 'a', sizeof(full.name));
	assert_int_equal(kind_of(&full, sizeof(full)), NONE);
}

static void a_certificate_out_of_range_is_none(void **state)
{
	(void)state;
	BAD(certificate, flow_id, 0);
	BAD(certificate, length, 0);
	BAD(certificate, length, CERTIFICATE_CHUNK + 1);
	BAD(certificate, total, CERTIFICATE_BYTES_MAX + 1);
	BAD(certificate, total, 0);
	BAD(certificate, offset, CERTIFICATE_BYTES_MAX);
	BAD(certificate, offset, UINT32_MAX);
	BAD(certificate, index, WITNESS_CERTIFICATES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_goes_its_way),
		cmocka_unit_test(another_size_is_none),
		cmocka_unit_test(a_flow_out_of_range_is_none),
		cmocka_unit_test(a_handshake_out_of_range_is_none),
		cmocka_unit_test(a_witness_out_of_range_is_none),
		cmocka_unit_test(a_certificate_out_of_range_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
