/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of sessions: events taken in, holes counted, limits kept, the worst exposure remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "session.h"

#define KEEP 3
#define OPEN_MAX 4

static int setup(void **state)
{
	*state = sessions_new(KEEP, OPEN_MAX);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	sessions_free(*state);
	return 0;
}

static struct flow_event make_event(uint64_t id, uint32_t sequence, enum event_reason reason)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t time = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
	return (struct flow_event){ .flow_id = id, .sequence = sequence, .reason = (uint8_t)reason, .time_ns = time, .opened_ns = time };
}

static struct session *take(struct sessions *sessions, uint64_t id, uint32_t sequence, enum event_reason reason)
{
	struct flow_event event = make_event(id, sequence, reason);
	return sessions_take(sessions, &event);
}

static void events_of_a_flow_are_one_session(void **state)
{
	struct sessions *sessions = *state;
	struct session *session = take(sessions, 7, 1, EVENT_OPENED);
	assert_int_equal(session->id, 7);
	assert_int_equal(session->closed.tv_sec, 0);
	assert_ptr_equal(take(sessions, 7, 2, EVENT_PROGRESS), session);
	assert_int_equal(sessions_open_count(sessions), 1);
	assert_ptr_equal(take(sessions, 7, 3, EVENT_CLOSED), session);
	assert_int_not_equal(session->closed.tv_sec, 0);
	assert_int_equal(session->events_missed, 0);
	assert_int_equal(sessions_open_count(sessions), 0);
	assert_int_equal(sessions_closed_count(sessions), 1);
	assert_ptr_equal(sessions_find(sessions, 7), session);
	assert_null(sessions_find(sessions, 8));
}

static void holes_are_counted(void **state)
{
	struct sessions *sessions = *state;
	assert_int_equal(take(sessions, 1, 3, EVENT_PROGRESS)->events_missed, 2);
	assert_int_equal(take(sessions, 1, 4, EVENT_PROGRESS)->events_missed, 2);
	assert_int_equal(take(sessions, 1, 7, EVENT_CLOSED)->events_missed, 4);
}

static void lost_pieces_are_counted(void **state)
{
	struct sessions *sessions = *state;
	struct flow_event event = make_event(1, 1, EVENT_OPENED);
	assert_int_equal(sessions_take(sessions, &event)->events_missed, 0);
	event = make_event(1, 3, EVENT_PROGRESS);
	event.pieces_lost = 2;
	assert_int_equal(sessions_take(sessions, &event)->events_missed, 3);
	event.sequence = 4; /* said again */
	assert_int_equal(sessions_take(sessions, &event)->events_missed, 3);
	event.sequence = 5;
	event.pieces_lost = 1; /* the witness's part was evicted */
	event.reason = EVENT_CLOSED;
	assert_int_equal(sessions_take(sessions, &event)->events_missed, 3);
}

static void nothing_comes_behind_the_close(void **state)
{
	struct sessions *sessions = *state;
	take(sessions, 1, 1, EVENT_CLOSED);
	struct flow_event late = make_event(1, 2, EVENT_PROGRESS);
	late.facts = FACT(MAIL_CLEAR);
	assert_null(sessions_take(sessions, &late));
	assert_null(take(sessions, 1, 3, EVENT_CLOSED));
	assert_int_equal(sessions_find(sessions, 1)->last.facts, 0);
	assert_int_equal(sessions_closed_count(sessions), 1);
}

static void wall_clock_times_are_near(void **state)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct flow_event event = make_event(1, 1, EVENT_CLOSED);
	event.opened_ns -= 60 * 1000000000ULL;
	struct session *session = sessions_take(*state, &event);
	assert_in_range(now.tv_sec - session->opened.tv_sec, 55, 65);
	assert_in_range(session->closed.tv_sec - session->opened.tv_sec, 59, 61);
}

static void the_newest_closed_ones_are_kept(void **state)
{
	struct sessions *sessions = *state;
	for (uint64_t id = 1; id <= KEEP + 2; id++)
		take(sessions, id, 1, EVENT_CLOSED);
	assert_int_equal(sessions_closed_count(sessions), KEEP);
	assert_null(sessions_find(sessions, 1));
	assert_null(sessions_find(sessions, 2));
	assert_int_equal(sessions_oldest(sessions)->id, 3);
	assert_int_equal(sessions_evicted(sessions), 0);
}

static void unseen_ones_are_counted_as_long_as_they_are_kept(void **state)
{
	struct sessions *sessions = *state;
	struct flow_event end = make_event(1, 1, EVENT_CLOSED);
	end.facts = FACT(UNSEEN);
	sessions_take(sessions, &end);
	take(sessions, 2, 1, EVENT_CLOSED);
	assert_int_equal(sessions_unseen_count(sessions), 1);
	for (uint64_t id = 3; id < 3 + KEEP; id++)
		take(sessions, id, 1, EVENT_CLOSED);
	assert_int_equal(sessions_unseen_count(sessions), 0);
}

static void the_session_just_closed_stays(void **state)
{
	struct sessions *sessions = *state;
	take(sessions, 1, 1, EVENT_OPENED); /* the oldest, but the last to close */
	for (uint64_t id = 2; id <= KEEP + 1; id++)
		take(sessions, id, 1, EVENT_CLOSED);
	assert_non_null(take(sessions, 1, 2, EVENT_CLOSED));
	assert_non_null(sessions_find(sessions, 1));
	assert_null(sessions_find(sessions, 2));
}

/* Gives up what is too much, as the agent does. Returns how many that were. */
static unsigned give_up_surplus(struct sessions *sessions)
{
	struct timespec now;
	struct session *session;
	unsigned count = 0;
	clock_gettime(CLOCK_REALTIME, &now);
	for (; (session = sessions_surplus(sessions)); count++)
		sessions_give_up(sessions, session, now);
	return count;
}

/* One more than may be open: the first one is given up. */
static void open_one_too_many(struct sessions *sessions)
{
	for (uint64_t id = 1; id <= OPEN_MAX; id++)
		assert_non_null(take(sessions, id, 1, EVENT_OPENED));
	assert_int_equal(give_up_surplus(sessions), 0);
	assert_non_null(take(sessions, OPEN_MAX + 1, 1, EVENT_OPENED));
	assert_int_equal(give_up_surplus(sessions), 1);
}

static void too_many_open_ones_give_way(void **state)
{
	struct sessions *sessions = *state;
	open_one_too_many(sessions);
	assert_int_equal(sessions_open_count(sessions), OPEN_MAX);
	assert_int_equal(sessions_evicted(sessions), 1);
	assert_true(sessions_find(sessions, 1)->given_up);
	assert_int_not_equal(sessions_find(sessions, 1)->closed.tv_sec, 0);
	assert_int_equal(sessions_find(sessions, 1)->events_missed, 0);
	assert_false(sessions_find(sessions, OPEN_MAX + 1)->given_up);
}

/* The end of a flow whose session was given up, and has been forgotten or has not. */
static void the_end_of_one_given_up_is_no_session(void **state)
{
	struct sessions *sessions = *state;
	struct flow_event end = make_event(1, 2, EVENT_CLOSED);
	open_one_too_many(sessions);
	end.opened_ns = sessions_find(sessions, 1)->last.opened_ns;
	assert_null(sessions_take(sessions, &end));
	for (uint64_t id = 20; id < 20 + KEEP; id++)
		take(sessions, id, 1, EVENT_CLOSED);
	assert_null(sessions_find(sessions, 1));
	assert_null(sessions_take(sessions, &end));
	assert_null(sessions_find(sessions, 1));
	/* one that was opened later: it is not known, but only because what told so was lost */
	assert_int_equal(take(sessions, 40, 3, EVENT_CLOSED)->events_missed, 2);
}

/* What it did is told, once; that it ended was counted before. */
static void one_given_up_may_be_heard_of_again(void **state)
{
	struct sessions *sessions = *state;
	struct flow_event mail = make_event(1, 2, EVENT_PROGRESS);
	open_one_too_many(sessions);
	sessions_find(sessions, 1)->findings_told = 5;
	mail.opened_ns = sessions_find(sessions, 1)->last.opened_ns;
	mail.facts = FACT(MAIL_CLEAR);
	struct session *session = sessions_take(sessions, &mail);
	assert_non_null(session);
	assert_true(session->given_up);
	assert_int_equal(session->findings_told, 5);
	assert_int_equal(session->last.facts, FACT(MAIL_CLEAR));
	assert_int_equal(session->closed.tv_sec, 0);
	assert_int_equal(session->events_missed, 0);
	session = take(sessions, 1, 3, EVENT_CLOSED);
	assert_true(session->given_up);
	assert_int_not_equal(session->closed.tv_sec, 0);
	assert_null(take(sessions, 1, 4, EVENT_CLOSED));
}

static struct session *expose(struct sessions *sessions, uint32_t sequence, const char *mechanism, const char *account, uint64_t facts)
{
	struct flow_event event = make_event(1, sequence, EVENT_PROGRESS);
	event.facts = FACT(AUTH_CLEAR) | facts;
	strncpy(event.mechanism, mechanism, sizeof(event.mechanism) - 1);
	strncpy(event.account, account, sizeof(event.account) - 1);
	return sessions_take(sessions, &event);
}

static void the_worst_exposure_is_remembered(void **state)
{
	struct sessions *sessions = *state;
	struct session *session = expose(sessions, 1, "CRAM-MD5", "", FACT(CREDENTIAL_CLEAR));
	session = expose(sessions, 2, "PLAIN", "user", FACT(CREDENTIAL_CLEAR));
	assert_string_equal(session->last.mechanism, "PLAIN");
	assert_string_equal(session->last.account, "user");
	session = expose(sessions, 3, "CRAM-MD5", "", FACT(CREDENTIAL_CLEAR));
	assert_string_equal(session->last.mechanism, "PLAIN");
	assert_string_equal(session->last.account, "user");
	session = expose(sessions, 4, "LOGIN", "other", FACT(CREDENTIAL_CLEAR));
	assert_string_equal(session->last.mechanism, "LOGIN");
	assert_string_equal(session->last.account, "other");
}

static void an_attempt_without_credential_exposes_nobody(void **state)
{
	struct sessions *sessions = *state;
	expose(sessions, 1, "LOGIN", "", 0); /* cancelled */
	struct session *session = expose(sessions, 2, "CRAM-MD5", "", FACT(CREDENTIAL_CLEAR));
	assert_string_equal(session->last.mechanism, "CRAM-MD5");
}

static void ids_read_back(void **state)
{
	(void)state;
	static const uint64_t ids[] = { 1, 0xdeadbeef, UINT64_MAX };
	static const char *const bad[] = { "", "1", "00000000000000zz", "00000000000000011", "-000000000000001", "0x00000000000001",
					   " 000000000000001" };
	char text[SESSION_ID_TEXT_SIZE];
	uint64_t id;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_int_equal(strlen(session_id_text(ids[i], text)), SESSION_ID_TEXT_SIZE - 1);
		assert_true(session_id_parse(text, &id));
		assert_true(id == ids[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(session_id_parse(bad[i], &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(events_of_a_flow_are_one_session, setup, teardown),
		cmocka_unit_test_setup_teardown(holes_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_pieces_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_comes_behind_the_close, setup, teardown),
		cmocka_unit_test_setup_teardown(wall_clock_times_are_near, setup, teardown),
		cmocka_unit_test_setup_teardown(the_newest_closed_ones_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(unseen_ones_are_counted_as_long_as_they_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(the_session_just_closed_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_open_ones_give_way, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end_of_one_given_up_is_no_session, setup, teardown),
		cmocka_unit_test_setup_teardown(one_given_up_may_be_heard_of_again, setup, teardown),
		cmocka_unit_test_setup_teardown(the_worst_exposure_is_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(an_attempt_without_credential_exposes_nobody, setup, teardown),
		cmocka_unit_test(ids_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
