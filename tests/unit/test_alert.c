/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "alert.h"
#include "config.h"
#include "facts.h"
#include "session.h"

#define REPEAT 3600

static struct config config;
static struct alerts *alerts;

/* What was emitted: how many alerts, how many they stand for, and the last of them. */
static struct {
	unsigned count;
	uint64_t stands_for;
	struct alert last;
	uint64_t last_id;
	char account[ACCOUNT_SIZE];
	char subject[128];
	unsigned of_severity[SEVERITY_COUNT];
} emitted;

static void emit(void *context, const struct alert *alert)
{
	assert_ptr_equal(context, &emitted);
	emitted.count++;
	emitted.stands_for += 1 + alert->suppressed;
	emitted.last = *alert;
	emitted.last_id = alert->session->id;
	emitted.of_severity[alert->severity]++;
	strcpy(emitted.subject, alert->session->identity ? alert->session->identity->check.subject : "");
	strcpy(emitted.account, alert->session->account ? alert->session->account : "");
}

static int setup(void **state)
{
	(void)state;
	memset(&config, 0, sizeof(config));
	memset(&emitted, 0, sizeof(emitted));
	config.alerts.minimum = SEVERITY_NOTICE;
	config.alerts.repeat_s = REPEAT;
	config.alerts.rate = 60;
	alerts = alerts_new(&config, emit, &emitted);
	return alerts ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	alerts_free(alerts);
	return 0;
}

static struct timespec at(time_t seconds)
{
	return (struct timespec){ 1700000000 + seconds, 0 };
}

static struct session make_session(uint64_t id)
{
	struct session session = { .id = id };
	session.last.flow_id = id;
	session.last.pid = 100;
	session.last.uid = 111;
	session.last.cgroup_id = 7;
	session.last.server_port = 25;
	memcpy(session.last.comm, "smtp", 4);
	session.last.server_address[15] = 1;
	return session;
}

static void raise_at(const struct session *session, enum finding finding, time_t seconds)
{
	alerts_raise(alerts, session, finding, SEVERITY_ERROR, at(seconds));
}

static struct alert_counts counts(void)
{
	struct alert_counts now;
	alerts_counts(alerts, &now);
	return now;
}

static void the_first_is_told_at_once(void **state)
{
	(void)state;
	struct session session = make_session(1);
	raise_at(&session, FINDING_CLEARTEXT_MAIL, 0);
	assert_int_equal(emitted.count, 1);
	assert_int_equal(emitted.last.finding, FINDING_CLEARTEXT_MAIL);
	assert_int_equal(emitted.last.severity, SEVERITY_ERROR);
	assert_int_equal(emitted.last.suppressed, 0);
	assert_int_equal(emitted.last.time.tv_sec, at(0).tv_sec);
	assert_int_equal(emitted.last_id, 1);
}

static void likes_are_counted_and_told_with_the_next_one(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		struct session session = make_session(i);
		raise_at(&session, FINDING_CLEARTEXT_MAIL, i);
	}
	assert_int_equal(emitted.count, 1);
	struct session later = make_session(99);
	raise_at(&later, FINDING_CLEARTEXT_MAIL, REPEAT);
	assert_int_equal(emitted.count, 2);
	assert_int_equal(emitted.last.suppressed, 9);
	assert_int_equal(emitted.last_id, 99);
	assert_int_equal(counts().suppressed, 9);
}

static void likes_are_told_when_their_time_is_over(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		struct session session = make_session(i);
		char account[] = "bob";
		session.account = account;
		raise_at(&session, FINDING_CLEARTEXT_AUTH, i);
		memset(account, 'x', 3); /* the alerts must not lean on what the caller frees */
	}
	alerts_tick(alerts, at(REPEAT - 1));
	assert_int_equal(emitted.count, 1);
	alerts_tick(alerts, at(REPEAT));
	assert_int_equal(emitted.count, 2);
	assert_int_equal(emitted.stands_for, 10);
	assert_int_equal(emitted.last_id, 9);
	assert_int_equal(emitted.last.time.tv_sec, at(9).tv_sec);
	assert_string_equal(emitted.account, "bob");

	/* that began another time of silence; nothing came in it, so nothing is told and the key is forgotten */
	alerts_tick(alerts, at(2 * REPEAT));
	assert_int_equal(emitted.count, 2);
	assert_int_equal(counts().keys, 0);
}

static void another_key_is_told(void **state)
{
	(void)state;
	struct session session = make_session(1);
	raise_at(&session, FINDING_CLEARTEXT_AUTH, 0);

	struct session variants[8];
	for (unsigned i = 0; i < 8; i++)
		variants[i] = make_session(i + 2);
	char account[] = "bob";
	variants[0].last.server_address[15] = 2;
	variants[1].last.server_port = 587;
	variants[2].last.uid = 112;
	variants[3].last.cgroup_id = 8;
	memcpy(variants[4].last.comm, "smtpd", 5);
	variants[5].last.facts = FACT(BLOCKED);
	variants[6].account = account;
	for (unsigned i = 0; i < 7; i++)
		raise_at(&variants[i], FINDING_CLEARTEXT_AUTH, 1);
	assert_int_equal(emitted.count, 8);
	raise_at(&session, FINDING_CLEARTEXT_MAIL, 1);
	assert_int_equal(emitted.count, 9);
	alerts_raise(alerts, &session, FINDING_CLEARTEXT_AUTH, SEVERITY_CRITICAL, at(1));
	assert_int_equal(emitted.count, 10);
	variants[7].last.pid = 200; /* the same sender */
	raise_at(&variants[7], FINDING_CLEARTEXT_AUTH, 1);
	assert_int_equal(emitted.count, 10);
}

static void blocked_and_exposed_do_not_hide_each_other(void **state)
{
	(void)state;
	struct session exposed = make_session(1), blocked = make_session(2);
	blocked.last.facts = FACT(BLOCKED);
	raise_at(&exposed, FINDING_CLEARTEXT_AUTH, 0);
	raise_at(&blocked, FINDING_CLEARTEXT_AUTH, 1);
	assert_int_equal(emitted.last_id, 2);
	raise_at(&exposed, FINDING_CLEARTEXT_AUTH, 2);
	assert_int_equal(emitted.count, 2);
}

/* Switched to block mode in the middle: the credential had left already, the mail had not. */
static void only_what_did_not_leave_was_blocked(void **state)
{
	(void)state;
	struct session session = make_session(1);
	session.last.facts = FACT(CREDENTIAL_CLEAR) | FACT(MAIL_CLEAR) | FACT(BLOCKED);
	session.last.stopped = FACT(MAIL_CLEAR);
	assert_false(alert_was_blocked(&session, FINDING_CLEARTEXT_AUTH));
	assert_true(alert_was_blocked(&session, FINDING_CLEARTEXT_MAIL));
	assert_true(alert_was_blocked(&session, FINDING_STARTTLS_MISSING));
	session.last.facts &= ~FACT(BLOCKED);
	assert_false(alert_was_blocked(&session, FINDING_CLEARTEXT_MAIL));
}

static void below_the_minimum_is_counted_only(void **state)
{
	(void)state;
	struct session session = make_session(1);
	alerts_raise(alerts, &session, FINDING_STARTTLS_UNUSED, SEVERITY_INFO, at(0));
	assert_int_equal(emitted.count, 0);
	assert_int_equal(counts().below, 1);
	alerts_raise(alerts, &session, FINDING_STARTTLS_UNUSED, SEVERITY_NOTICE, at(0));
	assert_int_equal(emitted.count, 1);
	alerts_tick(alerts, at(10 * REPEAT));
	assert_int_equal(emitted.count, 1);
}

/* 200 senders at the same moment, 60 alerts a minute: the rest follows in the next minutes, none is lost. */
static void the_rate_delays_and_loses_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct session session = make_session(i);
		session.last.uid = i;
		raise_at(&session, FINDING_CLEARTEXT_MAIL, 0);
	}
	assert_int_equal(emitted.count, 60);
	assert_int_equal(counts().suppressed, 140);
	alerts_tick(alerts, at(0));
	assert_int_equal(emitted.count, 60);
	alerts_tick(alerts, at(1));
	assert_int_equal(emitted.count, 61);
	alerts_tick(alerts, at(61));
	assert_int_equal(emitted.count, 121);
	alerts_tick(alerts, at(121));
	alerts_tick(alerts, at(181));
	assert_int_equal(emitted.count, 200);
	assert_int_equal(emitted.stands_for, 200);
}

static void the_gravest_is_told_first(void **state)
{
	(void)state;
	config.alerts.rate = 1;
	for (unsigned i = 0; i < 12; i++) {
		struct session session = make_session(i);
		session.last.uid = i;
		alerts_raise(alerts, &session, FINDING_CLEARTEXT_MAIL, i % 2 ? SEVERITY_CRITICAL : SEVERITY_NOTICE, at(0));
	}
	assert_int_equal(emitted.of_severity[SEVERITY_NOTICE], 1);
	for (unsigned minute = 1; minute <= 6; minute++)
		alerts_tick(alerts, at(60 * minute));
	assert_int_equal(emitted.of_severity[SEVERITY_CRITICAL], 6);
	assert_int_equal(emitted.of_severity[SEVERITY_NOTICE], 1);
}

static void the_table_is_bounded_and_what_gives_way_is_counted(void **state)
{
	(void)state;
	const unsigned raised = 2 * ALERT_KEYS_MAX;
	for (unsigned i = 0; i < raised; i++) {
		struct session session = make_session(i);
		session.last.uid = i;
		raise_at(&session, FINDING_CLEARTEXT_MAIL, 0);
	}
	assert_int_equal(counts().keys, ALERT_KEYS_MAX);
	assert_true(counts().untold > 0);
	alerts_flush(alerts, at(1));
	assert_int_equal(emitted.stands_for + counts().untold, raised);
	assert_int_equal(counts().raised, raised);
}

/* What waits for its window outlives the session in the table, and what that owned. */
static void a_held_alert_has_an_identity_of_its_own(void **state)
{
	(void)state;
	struct session session = make_session(1);
	struct identity_record *record = calloc(1, sizeof(*record));
	assert_non_null(record);
	session.identity = record;
	record->check.made = true;
	strcpy(record->check.subject, "CN=first");
	alerts_raise(alerts, &session, FINDING_CERTIFICATE_UNTRUSTED, SEVERITY_WARNING, at(0));
	session.id = 2;
	alerts_raise(alerts, &session, FINDING_CERTIFICATE_UNTRUSTED, SEVERITY_WARNING, at(1));
	memset(record, 0xff, sizeof(*record));
	free(record);
	session.identity = NULL;
	assert_int_equal(emitted.count, 1);
	alerts_flush(alerts, at(2));
	assert_int_equal(emitted.count, 2);
	assert_string_equal(emitted.subject, "CN=first");
}

static void flush_tells_all(void **state)
{
	(void)state;
	struct session session = make_session(1);
	for (unsigned i = 0; i < 5; i++)
		raise_at(&session, FINDING_CLEARTEXT_MAIL, i);
	alerts_flush(alerts, at(5));
	assert_int_equal(emitted.count, 2);
	assert_int_equal(emitted.stands_for, 5);
	alerts_flush(alerts, at(5));
	assert_int_equal(emitted.count, 2);
}

static void a_clock_set_back_costs_one_window(void **state)
{
	(void)state;
	struct session session = make_session(1);
	raise_at(&session, FINDING_CLEARTEXT_MAIL, 100 * REPEAT);
	raise_at(&session, FINDING_CLEARTEXT_MAIL, 0);
	alerts_tick(alerts, at(REPEAT));
	assert_int_equal(emitted.count, 2);
	assert_int_equal(emitted.stands_for, 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_first_is_told_at_once),
		TEST(likes_are_counted_and_told_with_the_next_one),
		TEST(likes_are_told_when_their_time_is_over),
		TEST(another_key_is_told),
		TEST(blocked_and_exposed_do_not_hide_each_other),
		TEST(only_what_did_not_leave_was_blocked),
		TEST(below_the_minimum_is_counted_only),
		TEST(the_rate_delays_and_loses_nothing),
		TEST(the_gravest_is_told_first),
		TEST(the_table_is_bounded_and_what_gives_way_is_counted),
		TEST(a_held_alert_has_an_identity_of_its_own),
		TEST(flush_tells_all),
		TEST(a_clock_set_back_costs_one_window),
	};
	return cmocka_run_group_tests_name("alert", tests, NULL, NULL);
}
