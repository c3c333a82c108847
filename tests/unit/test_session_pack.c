/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packing: nothing is lost, whatever the bytes; and a table in which most sessions are packed behaves as any other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "handshake.h"
#include "pack.h"
#include "session.h"
#include "session_pack.h"
#include "session_table.h"

/* ---- bytes ------------------------------------------------------------------------------------------------ */

static void come_back(const uint8_t *bytes, size_t n)
{
	uint8_t *packed = malloc(PACK_BOUND(n) + 1), *again = malloc(n + 1);
	assert_non_null(packed);
	assert_non_null(again);
	memset(again, 0xee, n + 1);
	uint8_t *end = pack(packed, bytes, n);
	assert_true((size_t)(end - packed) <= PACK_BOUND(n));
	assert_ptr_equal(unpack(packed, again, n), end);
	assert_memory_equal(again, bytes, n);
	assert_int_equal(again[n], 0xee);
	free(packed);
	free(again);
}

static void all_bytes_come_back(void **state)
{
	uint8_t bytes[300];
	(void)state;
	srand(4);
	for (unsigned turn = 0; turn < 3000; turn++) {
		unsigned zeros = (unsigned)rand() % 101; /* in a hundred */
		size_t n = (size_t)rand() % sizeof(bytes);
		for (size_t i = 0; i < n; i++)
			bytes[i] = (unsigned)rand() % 100 < zeros ? 0 : (uint8_t)rand();
		come_back(bytes, n);
	}
	memset(bytes, 0xff, sizeof(bytes));
	come_back(bytes, sizeof(bytes)); /* nothing to gain */
}

static void zeros_cost_next_to_nothing(void **state)
{
	uint8_t bytes[640] = { 0 }, packed[PACK_BOUND(sizeof(bytes))];
	(void)state;
	assert_int_equal(pack(packed, bytes, sizeof(bytes)) - packed, sizeof(bytes) / 64);
}

/* ---- sessions --------------------------------------------------------------------------------------------- */

static void fill(void *bytes, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)bytes)[i] = (uint8_t)(seed * 31 + i * 7);
}

/* With everything that a packed session may own, all bytes in use. */
static struct session *full_session(void)
{
	struct session *session = calloc(1, sizeof(*session));
	assert_non_null(session);
	fill(session, offsetof(struct session, cgroup), 1);
	session->given_up = true;
	session->last.flow_id = session->id;
	session->tls = malloc(sizeof(*session->tls));
	session->identity = calloc(1, sizeof(*session->identity));
	assert_non_null(session->tls);
	assert_non_null(session->identity);
	fill(session->tls, sizeof(*session->tls), 2);
	fill(&session->identity->witness.name, sizeof(session->identity->witness.name), 3);
	fill(&session->identity->check.name, sizeof(session->identity->check.name), 4);
	session->cgroup = strdup("/system.slice/postfix.service");
	session->account = strdup("somebody@example.com");
	return session;
}

static void same_session(const struct session *a, const struct session *b)
{
	assert_memory_equal(a, b, offsetof(struct session, cgroup));
	assert_memory_equal(a->tls, b->tls, sizeof(*a->tls));
	assert_memory_equal(a->identity, b->identity, sizeof(*a->identity));
	assert_string_equal(a->cgroup, b->cgroup);
	assert_string_equal(a->account, b->account);
	assert_null(b->handshake);
}

static void a_session_comes_back_whole(void **state)
{
	struct shared_texts texts = { 0 };
	struct session *wanted = full_session();
	(void)state;
	struct packed_session *packed = session_pack(full_session(), &texts);
	assert_non_null(packed);
	assert_true(packed_session_id(packed) == wanted->id);
	struct session *copy = session_unpack_copy(packed);
	same_session(wanted, copy);
	struct session *session = session_unpack(packed, &texts);
	same_session(wanted, session);
	assert_null(texts.by_text);
	session_free(copy);
	session_free(session);
	session_free(wanted);
}

static void what_is_being_read_is_not_packed(void **state)
{
	struct session *session = full_session();
	static const uint8_t der[] = { 0x30, 0 };
	(void)state;
	assert_true(session_is_packable(session));
	session->handshake = handshake_new();
	assert_false(session_is_packable(session));
	handshake_free(session->handshake);
	session->handshake = NULL;
	const struct tls_certificates sent = { .seen = true, .count = 1, .sent = 1, .list = { { der, sizeof(der) } } };
	identity_take_wire(session->identity, &sent);
	assert_false(session_is_packable(session));
	identity_drop_certificates(session->identity);
	assert_true(session_is_packable(session));
	session_free(session);
}

static void a_text_is_kept_as_long_as_it_is_needed(void **state)
{
	struct shared_texts texts = { 0 };
	struct packed_session *packed[2];
	(void)state;
	for (unsigned i = 0; i < 2; i++)
		packed[i] = session_pack(full_session(), &texts);
	packed_session_free(packed[0], &texts);
	struct session *session = session_unpack(packed[1], &texts);
	assert_string_equal(session->cgroup, "/system.slice/postfix.service");
	assert_null(texts.by_text);
	session_free(session);
}

/* ---- the table -------------------------------------------------------------------------------------------- */

#define MANY 5000U

static struct flow_event event_of(uint64_t id, uint32_t sequence, enum event_reason reason)
{
	struct flow_event event = { .flow_id = id, .sequence = sequence, .reason = (uint8_t)reason, .opened_ns = id, .time_ns = id };
	fill(event.client_address, sizeof(event.client_address), (unsigned)id);
	event.pid = (uint32_t)(id * 3);
	return event;
}

static void check_walk(struct sessions *sessions, uint64_t from, uint64_t to)
{
	const struct session *session = sessions_oldest(sessions);
	for (uint64_t id = from; id <= to; id++, session = sessions_newer(sessions, session)) {
		assert_non_null(session);
		assert_int_equal(session->id, id);
		assert_int_equal(session->last.pid, id * 3);
	}
	assert_null(session);
}

static void many_sessions_are_found_and_walked(void **state)
{
	struct sessions *sessions = sessions_new(MANY, MANY);
	(void)state;
	for (uint64_t id = 1; id <= MANY; id++) {
		struct flow_event event = event_of(id, 1, EVENT_OPENED);
		struct session *session = sessions_take(sessions, &event);
		assert_non_null(session);
		session->linked_id = id + 1; /* what the agent adds is kept, too */
	}
	check_walk(sessions, 1, MANY);
	for (uint64_t id = MANY; id; id--) {
		struct flow_event event = event_of(id, 2, id % 2 ? EVENT_CLOSED : EVENT_PROGRESS);
		struct session *session = sessions_take(sessions, &event);
		assert_non_null(session);
		assert_int_equal(session->linked_id, id + 1);
		assert_int_equal(session->events_missed, 0);
	}
	assert_int_equal(sessions_open_count(sessions), MANY / 2);
	assert_int_equal(sessions_closed_count(sessions), MANY / 2);
	check_walk(sessions, 1, MANY);
	assert_null(sessions_find(sessions, MANY + 1));
	sessions_free(sessions);
}

static void a_pointer_is_good_until_others_are_asked_for(void **state)
{
	struct sessions *sessions = sessions_new(MANY, MANY);
	(void)state;
	struct flow_event first = event_of(1, 1, EVENT_OPENED);
	struct session *session = sessions_take(sessions, &first);
	for (uint64_t id = 2; id <= TABLE_AWAKE; id++) {
		struct flow_event event = event_of(id, 1, EVENT_OPENED);
		sessions_take(sessions, &event);
		assert_int_equal(session->id, 1); /* ASan tells if it was packed */
	}
	assert_ptr_equal(sessions_find(sessions, 1), session);
	sessions_free(sessions);
}

static void hello_of(struct sessions *sessions, uint64_t id)
{
	struct flow_event event = event_of(id, 1, EVENT_OPENED);
	struct handshake_event piece = { .flow_id = id, .length = 9, .bytes = { 22, 3, 1, 2, 0, 1, 0, 1, 252 } };
	assert_non_null(sessions_take(sessions, &event));
	sessions_take_handshake(sessions, &piece);
	assert_non_null(sessions_find(sessions, id)->handshake);
}

/* Handshakes that begin and do not go on: what they need is bounded. */
static void half_handshakes_are_bounded(void **state)
{
	struct sessions *sessions = sessions_new(10, 2 * SESSIONS_BURDENED_MAX);
	(void)state;
	for (uint64_t id = 1; id <= SESSIONS_BURDENED_MAX; id++)
		hello_of(sessions, id);
	assert_int_equal(sessions_shed(sessions), 0);
	struct flow_event event = event_of(10, 2, EVENT_CLOSED); /* gives its place back */
	sessions_take(sessions, &event);
	hello_of(sessions, SESSIONS_BURDENED_MAX + 100);
	hello_of(sessions, SESSIONS_BURDENED_MAX + 101);
	assert_int_equal(sessions_shed(sessions), 1);
	for (uint64_t id = 1; id <= 300; id++)
		hello_of(sessions, SESSIONS_BURDENED_MAX + 200 + id);
	assert_int_equal(sessions_shed(sessions), 301);
	unsigned reading = 0;
	for (const struct session *session = sessions_oldest(sessions); session; session = sessions_newer(sessions, session))
		reading += session->handshake != NULL;
	assert_int_equal(reading, SESSIONS_BURDENED_MAX);
	struct session *shed = sessions_find(sessions, 11);
	assert_null(shed->handshake);
	assert_non_null(shed->tls);
	struct handshake_event late = { .flow_id = 11, .offset = 9, .length = 4 };
	sessions_take_handshake(sessions, &late); /* read over */
	assert_null(sessions_find(sessions, 11)->handshake);
	sessions_free(sessions);
}

/* Of an unpacked one 600 bytes were there alone; ASan's own overhead is not counted. */
static void a_waiting_session_is_small(void **state)
{
	struct shared_texts texts = { 0 };
	struct session *session = calloc(1, sizeof(*session));
	(void)state;
	session->last = event_of(0x123456789abcdef0, 1, EVENT_OPENED);
	session->id = session->last.flow_id;
	session->opened.tv_sec = 1700000000;
	session->opened.tv_nsec = 999999999;
	session->last.opened_ns = session->last.time_ns = 0x123456789abc;
	memcpy(session->last.comm, "a program's name", 16);
	session->cgroup = strdup("/system.slice/postfix.service");
	struct packed_session *packed = session_pack(session, &texts);
	assert_in_range(malloc_usable_size(packed), 1, 200);
	packed_session_free(packed, &texts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_bytes_come_back),
		cmocka_unit_test(zeros_cost_next_to_nothing),
		cmocka_unit_test(a_session_comes_back_whole),
		cmocka_unit_test(what_is_being_read_is_not_packed),
		cmocka_unit_test(a_text_is_kept_as_long_as_it_is_needed),
		cmocka_unit_test(many_sessions_are_found_and_walked),
		cmocka_unit_test(a_pointer_is_good_until_others_are_asked_for),
		cmocka_unit_test(half_handshakes_are_bounded),
		cmocka_unit_test(a_waiting_session_is_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
