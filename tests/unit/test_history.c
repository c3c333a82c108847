/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "history.h"
#include "session.h"

#define WINDOW 3600

static struct history *history;

static int setup(void **state)
{
	(void)state;
	history = history_new(WINDOW, 64);
	return history ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	history_free(history);
	return 0;
}

static struct timespec at(time_t seconds)
{
	return (struct timespec){ 1000000 + seconds, 0 };
}

/* Postfix's smtp process 100 in its service's cgroup, to 192.0.2.1 */
static struct session make_session(uint64_t id)
{
	struct session session = { .id = id };
	session.last.flow_id = id;
	session.last.opened_ns = id * 1000;
	session.last.pid = 100;
	session.last.uid = 111;
	session.last.cgroup_id = 7;
	session.last.server_port = 25;
	memcpy(session.last.comm, "smtp", 4);
	memcpy(session.last.server_address, (const uint8_t[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1 }, 16);
	return session;
}

static void same_sender_and_server_is_a_fallback(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(300)), 1);
}

/* Of a forwarded flow's sender nothing is known but its address. */
static void forwarded_senders_are_told_apart_by_address(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2), other = make_session(3), local = make_session(4);
	struct session *const forwarded[] = { &failed, &clear, &other };
	for (unsigned i = 0; i < 3; i++) {
		struct flow_event *last = &forwarded[i]->last;
		last->ifindex = 3;
		last->pid = 0;
		last->cgroup_id = 0;
		last->uid = UINT32_MAX;
		memset(last->comm, 0, sizeof(last->comm));
		last->client_address[15] = i == 2 ? 9 : 8;
	}
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(300)), 1);
	assert_int_equal(history_fallback_of(history, &other, at(300)), 0);
	assert_int_equal(history_fallback_of(history, &local, at(300)), 0);
}

static void nothing_failed_is_no_fallback(void **state)
{
	(void)state;
	struct session clear = make_session(2);
	assert_int_equal(history_fallback_of(history, &clear, at(0)), 0);
}

static void another_process_of_the_service_is_the_same_sender(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	clear.last.pid = 200;
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 1);
}

static void a_process_that_changed_its_cgroup_is_the_same_sender(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	clear.last.cgroup_id = 8;
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 1);
}

static void another_sender_is_no_fallback(void **state)
{
	(void)state;
	struct session failed = make_session(1);
	history_tls_failed(history, &failed, at(0));

	struct session user = make_session(2);
	user.last.uid = 112;
	assert_int_equal(history_fallback_of(history, &user, at(1)), 0);

	struct session program = make_session(3);
	memcpy(program.last.comm, "smtpd", 5);
	assert_int_equal(history_fallback_of(history, &program, at(1)), 0);

	struct session container = make_session(4);
	container.last.pid = 200;
	container.last.cgroup_id = 8;
	assert_int_equal(history_fallback_of(history, &container, at(1)), 0);
}

/* Where the cgroup is not known, two processes have nothing in common. */
static void an_unknown_cgroup_joins_nobody(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	failed.last.cgroup_id = clear.last.cgroup_id = 0;
	clear.last.pid = 200;
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 0);
}

static void the_port_does_not_matter(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	failed.last.server_port = 465;
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 1);
}

static void another_server_is_no_fallback(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	clear.last.server_address[15] = 2;
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 0);
}

static void the_same_name_is_the_same_server(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	clear.last.server_address[15] = 2;
	strcpy(failed.last.server_name, "mx.example.com");
	strcpy(clear.last.server_name, "mx.example.com");
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 1);
	strcpy(clear.last.server_name, "mx.example.co");
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 0);
}

static void a_name_that_equals_an_address_is_another_server(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	memset(failed.last.server_address, 'a', 16);
	memset(clear.last.server_name, 'a', 16);
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 0);
}

static void the_window_ends(void **state)
{
	(void)state;
	struct session failed = make_session(1), clear = make_session(2);
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(WINDOW - 1)), 1);
	assert_int_equal(history_fallback_of(history, &clear, at(WINDOW)), 0);
	history_set_window(history, 2 * WINDOW);
	assert_int_equal(history_fallback_of(history, &clear, at(WINDOW)), 1);
}

static void the_newest_failure_is_told(void **state)
{
	(void)state;
	struct session first = make_session(1), second = make_session(2), clear = make_session(3);
	second.last.pid = 200; /* found by its cgroup, while the first is found by its process */
	history_tls_failed(history, &first, at(0));
	history_tls_failed(history, &second, at(10));
	assert_int_equal(history_fallback_of(history, &clear, at(20)), 2);
}

static void a_session_is_no_fallback_of_a_later_one_or_of_itself(void **state)
{
	(void)state;
	struct session clear = make_session(1), failed = make_session(2);
	history_tls_failed(history, &failed, at(0));
	assert_int_equal(history_fallback_of(history, &clear, at(1)), 0);
	assert_int_equal(history_fallback_of(history, &failed, at(1)), 0);
}

static void a_later_failure_does_not_hide_an_earlier_one(void **state)
{
	(void)state;
	struct session earlier = make_session(1), clear = make_session(2), later = make_session(3);
	history_tls_failed(history, &earlier, at(0));
	history_tls_failed(history, &later, at(1));
	assert_int_equal(history_fallback_of(history, &clear, at(2)), 1);
}

/* The failed session's end may be heard of only when its fallback is over. */
static void what_went_in_clear_is_found_from_the_failure(void **state)
{
	(void)state;
	struct session earlier = make_session(1), failed = make_session(2), clear = make_session(3), other = make_session(4);
	other.last.uid = 112;
	assert_int_equal(history_fallback_to(history, &failed, at(0)), 0);
	history_exposed(history, &earlier, at(0));
	assert_int_equal(history_fallback_to(history, &failed, at(0)), 0);
	history_exposed(history, &clear, at(0));
	history_exposed(history, &other, at(0));
	assert_int_equal(history_fallback_to(history, &failed, at(1)), 3);
	assert_int_equal(history_fallback_to(history, &clear, at(1)), 0);
	assert_int_equal(history_fallback_to(history, &failed, at(WINDOW)), 0);
	assert_int_equal(history_count(history), 0);
}

static void the_table_is_bounded_and_the_oldest_gives_way(void **state)
{
	(void)state;
	struct session session = make_session(1);
	for (unsigned i = 0; i < 1000; i++) {
		session = make_session(i + 1);
		session.last.server_address[14] = (uint8_t)(i >> 8);
		session.last.server_address[15] = (uint8_t)i;
		history_tls_failed(history, &session, at(i));
		assert_true(history_count(history) <= 64);
	}
	assert_int_equal(history_count(history), 64);
	struct session clear = session;
	clear.id = 2000;
	assert_int_equal(history_fallback_of(history, &clear, at(1000)), 1000);
	clear.last.server_address[14] = 0;
	clear.last.server_address[15] = 0;
	assert_int_equal(history_fallback_of(history, &clear, at(1000)), 0);
}

static void what_is_past_the_window_is_dropped(void **state)
{
	(void)state;
	struct session first = make_session(1), second = make_session(2);
	history_tls_failed(history, &first, at(0));
	second.last.server_address[15] = 9;
	history_tls_failed(history, &second, at(WINDOW));
	assert_int_equal(history_count(history), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(same_sender_and_server_is_a_fallback),
		TEST(forwarded_senders_are_told_apart_by_address),
		TEST(nothing_failed_is_no_fallback),
		TEST(another_process_of_the_service_is_the_same_sender),
		TEST(a_process_that_changed_its_cgroup_is_the_same_sender),
		TEST(another_sender_is_no_fallback),
		TEST(an_unknown_cgroup_joins_nobody),
		TEST(the_port_does_not_matter),
		TEST(another_server_is_no_fallback),
		TEST(the_same_name_is_the_same_server),
		TEST(a_name_that_equals_an_address_is_another_server),
		TEST(the_window_ends),
		TEST(the_newest_failure_is_told),
		TEST(a_session_is_no_fallback_of_a_later_one_or_of_itself),
		TEST(a_later_failure_does_not_hide_an_earlier_one),
		TEST(what_went_in_clear_is_found_from_the_failure),
		TEST(the_table_is_bounded_and_the_oldest_gives_way),
		TEST(what_is_past_the_window_is_dropped),
	};
	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
