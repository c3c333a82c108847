/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The control socket over a real socket; the parts behind it are stubs (control_stub.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "facts.h"
#include "unit/control_stub.h"

static void status_says_how_it_is(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer = ask(fixture, "{\"command\":\"status\"}");
	assert_string_equal(text_at(answer, "health"), "ok");
	assert_int_equal(json_array_size(json_object_get(answer, "reasons")), 0);
	assert_string_equal(text_at(answer, "mode"), "monitor");
	assert_string_equal(text_at(answer, "version"), SMTPWARD_VERSION);
	assert_int_equal(json_integer_value(json_object_get(answer, "pid")), getpid());
	assert_string_equal(text_at(answer, "started"), "2023-11-14T22:13:20.000Z");
	assert_int_equal(json_array_size(json_object_get(answer, "hooks")), 2);
	assert_true(json_is_object(json_object_get(answer, "ring")));
	assert_true(json_is_array(json_object_get(answer, "sinks")));
	json_decref(answer);
}

static void what_is_lost_turns_status_red(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer;
	stub.hooks[1].attached = false;
	strcpy(stub.hooks[1].error, "no \033 room");
	stub.counters[COUNTER_STORAGE_FAILED] = 3;
	stub.counters[COUNTER_EVENTS_LOST] = 4;
	add_session(fixture)->last.facts = FACT(UNSEEN);
	answer = ask(fixture, "{\"command\":\"status\"}");
	assert_string_equal(text_at(answer, "health"), "degraded");
	assert_int_equal(json_array_size(json_object_get(answer, "reasons")), 4);
	assert_string_equal(json_string_value(json_array_get(json_object_get(answer, "reasons"), 0)),
			    "hook cgroup_skb/egress is not attached: no \\x1b room");
	json_decref(answer);
}

static void the_shape_does_not_depend_on_the_rows(void **state)
{
	struct fixture *fixture = *state;
	for (unsigned rows = 0; rows < 3; rows++) {
		json_t *answer = ask(fixture, "{\"command\":\"sessions\"}");
		json_t *list = json_object_get(answer, "sessions");
		assert_int_equal(json_object_size(answer), 1);
		assert_true(json_is_array(list));
		assert_int_equal(json_array_size(list), rows);
		json_decref(answer);
		answer = ask(fixture, "{\"command\":\"findings\"}");
		assert_int_equal(json_object_size(answer), 1);
		assert_int_equal(json_array_size(json_object_get(answer, "findings")), rows ? 1 : 0);
		json_decref(answer);
		add_session(fixture)->judgement.findings = FINDING_MASK(FINDING_STARTTLS_MISSING);
	}
}

static void findings_are_counted_by_destination(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer, *row, *destination;
	for (unsigned i = 0; i < 25; i++) {
		struct session *session = add_session(fixture);
		session->judgement.findings = FINDING_MASK(FINDING_CLEARTEXT_AUTH);
		session->judgement.severity[FINDING_CLEARTEXT_AUTH] = i == 3 ? SEVERITY_CRITICAL : SEVERITY_NOTICE;
		session->last.server_address[15] = (__u8)(i < 10 ? 200 : i); /* one ten times, fifteen once */
	}
	answer = ask(fixture, "{\"command\":\"findings\"}");
	row = json_array_get(json_object_get(answer, "findings"), 0);
	assert_string_equal(text_at(row, "finding"), "cleartext-auth");
	assert_string_equal(text_at(row, "severity"), "critical");
	assert_int_equal(json_integer_value(json_object_get(row, "sessions")), 25);
	assert_string_equal(text_at(row, "last"), "2023-11-14T22:13:44.000Z");
	assert_int_equal(json_array_size(json_object_get(row, "destinations")), 10);
	assert_int_equal(json_integer_value(json_object_get(row, "destinations_more")), 6);
	destination = json_array_get(json_object_get(row, "destinations"), 0);
	assert_string_equal(text_at(destination, "address"), "192.0.2.200");
	assert_int_equal(json_integer_value(json_object_get(destination, "sessions")), 10);
	json_decref(answer);
}

static void filters_choose(void **state)
{
	static const struct {
		const char *filter;
		const char *ids; /* the last digits of the sessions that are to come */
	} cases[] = {
		{ "\"outcome\":\"encrypted\"", "2" },
		{ "\"outcome\":\"unknown\"", "134" },
		{ "\"pid\":103", "3" },
		{ "\"open\":true", "4" },
		{ "\"open\":false", "1234" },
		{ "\"limit\":2", "34" },
		{ "\"limit\":9", "1234" },
		{ "\"outcome\":\"unknown\",\"limit\":1", "4" },
		{ "\"to\":\"192.0.2.1\"", "1" },
		{ "\"to\":\"192.0.2.0/30\"", "123" },
		{ "\"to\":\"0.0.0.0/0\"", "1234" },
		{ "\"to\":\"2001:db8::/32\"", "" },
		{ "\"to\":\"MX2.example\"", "2" },
		{ "\"to\":\"mx\"", "" },
		{ "\"since\":\"2023-11-14T22:13:22Z\"", "34" },
		{ "\"since\":\"2023-11-14T23:13:22.5+01:00\"", "34" },
		{ "\"since\":3600", "" },
	};
	struct fixture *fixture = *state;
	for (unsigned i = 1; i <= 4; i++) {
		struct session *session = add_session(fixture);
		session->last.pid = 100 + i;
		session->last.reason = i == 4 ? EVENT_PROGRESS : EVENT_CLOSED;
		session->last.server_address[15] = (__u8)i;
		session->judgement.outcome = i == 2 ? OUTCOME_ENCRYPTED : OUTCOME_UNKNOWN;
		snprintf(session->last.server_name, sizeof(session->last.server_name), "mx%u.EXAMPLE", i);
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char request[256], ids[8] = "";
		json_t *answer, *session;
		size_t index;
		snprintf(request, sizeof(request), "{\"command\":\"sessions\",%s}", cases[i].filter);
		answer = ask(fixture, request);
		json_array_foreach(json_object_get(answer, "sessions"), index, session)
			strcat(ids, text_at(session, "id") + 15);
		assert_string_equal(ids, cases[i].ids);
		json_decref(answer);
	}
}

static void a_bad_request_is_answered_and_the_connection_lives(void **state)
{
	static const struct {
		const char *request;
		const char *code;
	} cases[] = {
		{ "", "malformed" },
		{ "{", "malformed" },
		{ "[]", "malformed" },
		{ "\"status\"", "malformed" },
		{ "null", "malformed" },
		{ "{}", "malformed" },
		{ "{\"command\":1}", "malformed" },
		{ "{\"command\":\"status\",\"command\":\"mode\"}", "malformed" },
		{ "{\"command\":\"sta\\u0000tus\"}", "malformed" },
		{ "{\"command\":\"\xff\"}", "malformed" },
		{ "{\"command\":\"version\"} {}", "malformed" },
		{ "\033[31m", "malformed" },
		{ "{\"command\":\"\"}", "unknown-command" },
		{ "{\"command\":\"\\u001b[31m\"}", "unknown-command" },
		{ "{\"command\":\"STATUS\"}", "unknown-command" },
		{ "{\"command\":\"status\",\"x\":1}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"sinc\":1}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"since\":-1}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"since\":\"yesterday\"}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"since\":\"2023-11-14T22:13:22\"}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"outcome\":\"fine\"}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"outcome\":1}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"to\":\"192.0.2.0/33\"}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"pid\":0}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"pid\":1.5}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"limit\":\"1\"}", "bad-argument" },
		{ "{\"command\":\"sessions\",\"open\":1}", "bad-argument" },
		{ "{\"command\":\"mode\",\"set\":\"off\"}", "bad-argument" },
		{ "{\"command\":\"mode\",\"set\":true}", "bad-argument" },
		{ "{\"command\":\"policy-test\"}", "bad-argument" },
		{ "{\"command\":\"policy-test\",\"address\":\"x\",\"port\":25}", "bad-argument" },
		{ "{\"command\":\"policy-test\",\"address\":\"192.0.2.1\"}", "bad-argument" },
		{ "{\"command\":\"policy-test\",\"address\":\"192.0.2.1\",\"port\":65536}", "bad-argument" },
		{ "{\"command\":\"policy-test\",\"address\":\"192.0.2.1\",\"port\":25,\"user\":\"root\"}", "bad-argument" },
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *answer = ask(fixture, cases[i].request);
		assert_string_equal(text_at(json_object_get(answer, "error"), "code"), cases[i].code);
		assert_true(strlen(text_at(json_object_get(answer, "error"), "message")) > 0);
		json_decref(answer);
		assert_alive(fixture);
	}
}

/* A request of so many bytes, without its end: blanks are nothing in JSON. */
static char *padded_request(size_t length)
{
	static const char request[] = "{\"command\":\"version\"}";
	char *text = malloc(length + 1);
	memset(text, ' ', length);
	memcpy(text, request, sizeof(request) - 1);
	text[length] = '\0';
	return text;
}

static void the_limit_of_a_request_is_exact(void **state)
{
	struct fixture *fixture = *state;
	for (size_t length = CONTROL_LINE_MAX - 1; length <= CONTROL_LINE_MAX + 1; length++) {
		char *request = padded_request(length);
		json_t *answer = ask(fixture, request);
		assert_int_equal(json_object_get(answer, "error") != NULL, length > CONTROL_LINE_MAX);
		json_decref(answer);
		free(request);
		assert_alive(fixture);
	}
}

static void an_endless_line_is_answered_once_and_skipped(void **state)
{
	struct fixture *fixture = *state;
	char *part = padded_request(50000);
	json_t *answer;
	for (unsigned i = 0; i < 20; i++)
		tell(fixture, &fixture->client, part);
	tell(fixture, &fixture->client, "\n{\"command\":\"version\"}\n");
	answer = hear(fixture, &fixture->client);
	assert_string_equal(text_at(json_object_get(answer, "error"), "code"), "malformed");
	json_decref(answer);
	answer = hear(fixture, &fixture->client);
	assert_string_equal(text_at(answer, "version"), SMTPWARD_VERSION);
	json_decref(answer);
	free(part);
}

static void a_request_may_come_byte_by_byte(void **state)
{
	static const char request[] = "{\"command\":\"version\"}\n";
	struct fixture *fixture = *state;
	json_t *answer;
	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		char byte[2] = { request[i], '\0' };
		tell(fixture, &fixture->client, byte);
	}
	answer = hear(fixture, &fixture->client);
	assert_string_equal(text_at(answer, "version"), SMTPWARD_VERSION);
	json_decref(answer);
}

static void many_requests_at_once_are_all_answered(void **state)
{
	struct fixture *fixture = *state;
	for (unsigned i = 0; i < 3000; i++)
		tell(fixture, &fixture->client, i % 2 ? "{\"command\":\"version\"}\n" : "no\n");
	for (unsigned i = 0; i < 3000; i++) {
		json_t *answer = hear(fixture, &fixture->client);
		assert_non_null(json_object_get(answer, i % 2 ? "version" : "error"));
		json_decref(answer);
	}
}

static void who_has_finished_asking_is_still_answered(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer;
	for (unsigned i = 0; i < 2000; i++)
		add_session(fixture);
	tell(fixture, &fixture->client, "{\"command\":\"version\"}\n{\"command\":\"sessions\"}\n");
	shutdown(fixture->client.fd, SHUT_WR);
	json_decref(hear(fixture, &fixture->client));
	answer = hear(fixture, &fixture->client);
	assert_int_equal(json_array_size(json_object_get(answer, "sessions")), 2000);
	json_decref(answer);
	assert_closed(fixture, &fixture->client);
}

static void ten_thousand_sessions_come_whole(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer, *list;
	for (unsigned i = 0; i < 10000; i++)
		add_session(fixture);
	answer = ask(fixture, "{\"command\":\"sessions\"}");
	list = json_object_get(answer, "sessions");
	assert_int_equal(json_array_size(list), 10000);
	assert_string_equal(text_at(json_array_get(list, 0), "id"), "0000000000000001");
	assert_string_equal(text_at(json_array_get(list, 9999), "id"), "0000000000002710");
	json_decref(answer);
	assert_alive(fixture);
}

/* The table may lose sessions between two parts of an answer. */
static void sessions_that_go_meanwhile_are_left_out(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer;
	for (unsigned i = 0; i < 10000; i++)
		add_session(fixture);
	tell(fixture, &fixture->client, "{\"command\":\"sessions\"}\n");
	for (unsigned i = 0; i < 50; i++) /* so that the answer is begun, and held up by the full socket */
		event_base_loop(fixture->agent.base, EVLOOP_NONBLOCK);
	forget_sessions();
	answer = hear(fixture, &fixture->client);
	assert_in_range(json_array_size(json_object_get(answer, "sessions")), 1, 9999);
	json_decref(answer);
	assert_alive(fixture);
}

static void watchers_see_sessions_and_alerts(void **state)
{
	struct fixture *fixture = *state;
	struct session *session = add_session(fixture);
	struct alert alert = { .session = session, .finding = FINDING_CLEARTEXT_AUTH, .severity = SEVERITY_CRITICAL,
			       .suppressed = 2, .time = { .tv_sec = 1700000000 } };
	json_t *answer = ask(fixture, "{\"command\":\"watch\"}");
	char account[] = "eve\033[2J";
	assert_true(json_is_true(json_object_get(answer, "watching")));
	json_decref(answer);
	session->account = account;
	control_publish_session(fixture->agent.control, session);
	control_publish_alert(fixture->agent.control, &alert);
	answer = hear(fixture, &fixture->client);
	assert_string_equal(text_at(json_object_get(answer, "session"), "id"), "0000000000000001");
	json_decref(answer);
	answer = hear(fixture, &fixture->client);
	assert_string_equal(text_at(json_object_get(answer, "alert"), "severity"), "critical");
	assert_string_equal(text_at(json_object_get(answer, "alert"), "message"), "Somebody met cleartext-auth");
	assert_string_equal(
		text_at(json_object_get(json_object_get(json_object_get(answer, "alert"), "session"), "auth"), "account"),
		"eve\\x1b[2J");
	json_decref(answer);
	session->account = NULL;
	assert_alive(fixture);
}

static void who_does_not_watch_hears_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct client other = connect_client(fixture);
	tell(fixture, &other, "{\"command\":\"watch\"}\n");
	json_decref(hear(fixture, &other));
	control_publish_session(fixture->agent.control, add_session(fixture));
	json_decref(hear(fixture, &other));
	assert_alive(fixture); /* the very next line is the answer */
	close_client(&other);
}

static void a_watcher_that_lags_is_dropped_and_counted(void **state)
{
	struct fixture *fixture = *state;
	struct client slow = connect_client(fixture);
	struct session *session = add_session(fixture);
	tell(fixture, &slow, "{\"command\":\"watch\"}\n");
	json_decref(hear(fixture, &slow));
	for (unsigned i = 0; i < 30000 && !control_dropped(fixture->agent.control); i++)
		control_publish_session(fixture->agent.control, session);
	assert_int_equal(control_dropped(fixture->agent.control), 1);
	control_publish_session(fixture->agent.control, session);
	assert_int_equal(control_dropped(fixture->agent.control), 1);
	assert_alive(fixture);
	assert_closed(fixture, &slow);
	close_client(&slow);
}

static void one_user_gets_so_many_connections(void **state)
{
	struct fixture *fixture = *state;
	struct client clients[CONTROL_CONNECTIONS_PER_UID];
	json_t *answer;
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_PER_UID; i++)
		clients[i] = connect_client(fixture);
	answer = hear(fixture, &clients[CONTROL_CONNECTIONS_PER_UID - 1]); /* the fixture holds one already */
	assert_string_equal(text_at(json_object_get(answer, "error"), "code"), "busy");
	json_decref(answer);
	assert_closed(fixture, &clients[CONTROL_CONNECTIONS_PER_UID - 1]);
	assert_int_equal(control_refused(fixture->agent.control), 1);
	close_client(&clients[0]);
	assert_alive(fixture);
	clients[0] = connect_client(fixture);
	tell(fixture, &clients[0], "{\"command\":\"version\"}\n");
	answer = hear(fixture, &clients[0]);
	assert_non_null(json_object_get(answer, "version"));
	json_decref(answer);
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_PER_UID; i++)
		close_client(&clients[i]);
}

/* Others may have several users each, from a range of their own (subuid(5)). */
static void root_finds_room(void **state)
{
	struct fixture *fixture = *state;
	struct client others[CONTROL_CONNECTIONS_MAX], own;
	json_t *answer;
	if (geteuid())
		skip(); /* it takes root to become somebody else */
	open_path_to_all(fixture);
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		assert_int_equal(seteuid(60001 + i / CONTROL_CONNECTIONS_PER_UID), 0);
		others[i] = connect_client(fixture);
		assert_int_equal(seteuid(0), 0);
	}
	answer = hear(fixture, &others[CONTROL_CONNECTIONS_MAX - 1]); /* the fixture holds one already */
	assert_string_equal(text_at(json_object_get(answer, "error"), "code"), "busy");
	json_decref(answer);
	own = connect_client(fixture);
	tell(fixture, &own, "{\"command\":\"version\"}\n");
	answer = hear(fixture, &own);
	assert_non_null(json_object_get(answer, "version"));
	json_decref(answer);
	close_client(&own);
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		close_client(&others[i]);
}

static void the_mode_is_shown_and_set(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer = ask(fixture, "{\"command\":\"mode\"}");
	assert_string_equal(text_at(answer, "mode"), "monitor");
	json_decref(answer);
	if (geteuid())
		skip(); /* setting it takes root */
	answer = ask(fixture, "{\"command\":\"mode\",\"set\":\"block\"}");
	assert_string_equal(text_at(answer, "mode"), "block");
	assert_int_equal(stub.mode, MODE_BLOCK);
	json_decref(answer);
	stub.set_mode_result = -EIO;
	answer = ask(fixture, "{\"command\":\"mode\",\"set\":\"monitor\"}");
	assert_string_equal(text_at(json_object_get(answer, "error"), "code"), "failed");
	assert_int_equal(stub.mode, MODE_BLOCK);
	json_decref(answer);
}

static void only_root_changes_anything(void **state)
{
	static const char *const changes[] = { "{\"command\":\"mode\",\"set\":\"block\"}", "{\"command\":\"policy-reload\"}" };
	struct fixture *fixture = *state;
	struct client nobody;
	if (geteuid())
		skip(); /* it takes root to become somebody else */
	open_path_to_all(fixture);
	assert_int_equal(seteuid(65534), 0);
	nobody = connect_client(fixture);
	assert_int_equal(seteuid(0), 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		json_t *answer;
		tell(fixture, &nobody, changes[i]);
		tell(fixture, &nobody, "\n{\"command\":\"mode\"}\n");
		answer = hear(fixture, &nobody);
		assert_string_equal(text_at(json_object_get(answer, "error"), "code"), "denied");
		json_decref(answer);
		answer = hear(fixture, &nobody);
		assert_string_equal(text_at(answer, "mode"), "monitor");
		json_decref(answer);
	}
	assert_int_equal(stub.reloads, 0);
	close_client(&nobody);
}

static void reload_says_what_is_wrong(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer;
	if (geteuid())
		skip(); /* it takes root */
	answer = ask(fixture, "{\"command\":\"policy-reload\"}");
	assert_int_equal(json_integer_value(json_object_get(answer, "rules")), 5);
	json_decref(answer);
	stub.reload_error = "line 3, column 7: no such key";
	answer = ask(fixture, "{\"command\":\"policy-reload\"}");
	assert_string_equal(text_at(json_object_get(answer, "error"), "code"), "config");
	assert_string_equal(text_at(json_object_get(answer, "error"), "message"), stub.reload_error);
	json_decref(answer);
	assert_int_equal(stub.reloads, 2);
}

static void the_policy_is_listed_with_its_default(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer = ask(fixture, "{\"command\":\"policy-list\"}");
	json_t *rules = json_object_get(answer, "rules"), *first = json_array_get(rules, 0), *last = json_array_get(rules, 5);
	assert_int_equal(json_array_size(rules), 6);
	assert_string_equal(text_at(first, "to"), "192.0.2.0/24");
	assert_true(json_is_null(json_object_get(first, "port")));
	assert_string_equal(text_at(first, "require"), "encrypted");
	assert_string_equal(text_at(last, "to"), "default");
	assert_int_equal(json_integer_value(json_object_get(last, "rule")), 0);
	assert_int_equal(json_object_size(first), json_object_size(last));
	assert_true(json_is_false(json_object_get(first, "ended")));
	assert_true(json_is_true(json_object_get(json_array_get(rules, 4), "ended")));
	json_decref(answer);
}

static void the_policy_is_tried_as_the_kernel_would(void **state)
{
	static const struct {
		const char *flow;
		int rule;
		const char *cleartext; /* in block mode */
	} cases[] = {
		{ "\"address\":\"192.0.2.1\",\"port\":25", 1, "block" },
		{ "\"address\":\"::ffff:192.0.2.1\",\"port\":25", 1, "block" },
		{ "\"address\":\"192.0.2.1\",\"port\":587", 2, "pass" },
		{ "\"address\":\"192.0.3.1\",\"port\":25", 0, "would-block" },
		{ "\"address\":\"2001:db8::1\",\"port\":25", 0, "would-block" },
		{ "\"address\":\"192.0.2.1\",\"port\":25,\"user\":33", 3, "pass" },
		{ "\"address\":\"192.0.2.1\",\"port\":25,\"user\":34", 1, "block" },
		{ "\"address\":\"192.0.2.1\",\"port\":25,\"user\":33,\"cgroup\":\"system.slice/a.service/\"", 4, "block" },
		{ "\"address\":\"192.0.2.1\",\"port\":25,\"cgroup\":\"/system.slice\"", 1, "block" },
		{ "\"address\":\"192.0.2.99\",\"port\":25", 1, "block" }, /* the rule for it has ended */
	};
	struct fixture *fixture = *state;
	stub.mode = MODE_BLOCK;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char request[256];
		json_t *answer;
		snprintf(request, sizeof(request), "{\"command\":\"policy-test\",%s}", cases[i].flow);
		answer = ask(fixture, request);
		assert_int_equal(json_integer_value(json_object_get(json_object_get(answer, "rule"), "rule")), cases[i].rule);
		assert_string_equal(text_at(answer, "cleartext"), cases[i].cleartext);
		json_decref(answer);
	}
	stub.mode = MODE_MONITOR;
	json_t *answer = ask(fixture, "{\"command\":\"policy-test\",\"address\":\"192.0.2.1\",\"port\":25}");
	assert_string_equal(text_at(answer, "cleartext"), "would-block");
	json_decref(answer);
}

static void the_socket_is_for_its_group_only(void **state)
{
	struct fixture *fixture = *state;
	struct stat file;
	assert_int_equal(lstat(fixture->path, &file), 0);
	assert_true(S_ISSOCK(file.st_mode));
	assert_int_equal(file.st_mode & 0777, 0660);
	assert_int_equal(lstat(fixture->directory, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0755);
}

static void a_second_instance_is_refused_by_pid(void **state)
{
	struct fixture *fixture = *state;
	char error[256], expected[64];
	assert_null(open_control(&fixture->agent, error, sizeof(error)));
	snprintf(expected, sizeof(expected), "already running as pid %d", getpid());
	assert_non_null(strstr(error, expected));
	assert_alive(fixture);
}

static void a_stale_socket_is_replaced(void **state)
{
	struct fixture *fixture = *state;
	close_client(&fixture->client);
	close_control(fixture->agent.control);
	assert_int_equal(access(fixture->path, F_OK), -1);
	leave_stale_socket(fixture->path);
	start_control(fixture);
	fixture->client = connect_client(fixture);
	assert_alive(fixture);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	struct fixture *fixture = *state;
	char error[256], target[300];
	struct stat file;
	close_client(&fixture->client);
	close_control(fixture->agent.control);
	fixture->agent.control = NULL;
	close(creat(fixture->path, 0600));
	assert_null(open_control(&fixture->agent, error, sizeof(error)));
	assert_non_null(strstr(error, "not a socket"));
	assert_int_equal(lstat(fixture->path, &file), 0);
	assert_true(S_ISREG(file.st_mode));
	unlink(fixture->path);
	snprintf(target, sizeof(target), "%s.target", fixture->path);
	leave_stale_socket(target);
	assert_int_equal(symlink(target, fixture->path), 0);
	assert_null(open_control(&fixture->agent, error, sizeof(error)));
	assert_int_equal(lstat(fixture->path, &file), 0);
	assert_true(S_ISLNK(file.st_mode));
	assert_int_equal(access(target, F_OK), 0);
	unlink(fixture->path);
	unlink(target);
	start_control(fixture);
}

static void another_ones_socket_is_not_removed(void **state)
{
	struct fixture *fixture = *state;
	close_client(&fixture->client);
	unlink(fixture->path);
	leave_stale_socket(fixture->path);
	close_control(fixture->agent.control);
	assert_int_equal(access(fixture->path, F_OK), 0);
	start_control(fixture);
}

static void an_unusable_path_is_said(void **state)
{
	struct fixture *fixture = *state;
	struct config config = *fixture->agent.config;
	struct agent agent = fixture->agent;
	char error[256], name[200], *paths[] = { "/proc/none/x.sock", name };
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	agent.config = &config;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		config.control_socket = paths[i];
		assert_null(open_control(&agent, error, sizeof(error)));
		assert_non_null(strstr(error, paths[i]));
		assert_null(strchr(error, '\n'));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(status_says_how_it_is),
		TEST(what_is_lost_turns_status_red),
		TEST(the_shape_does_not_depend_on_the_rows),
		TEST(findings_are_counted_by_destination),
		TEST(filters_choose),
		TEST(a_bad_request_is_answered_and_the_connection_lives),
		TEST(the_limit_of_a_request_is_exact),
		TEST(an_endless_line_is_answered_once_and_skipped),
		TEST(a_request_may_come_byte_by_byte),
		TEST(many_requests_at_once_are_all_answered),
		TEST(who_has_finished_asking_is_still_answered),
		TEST(ten_thousand_sessions_come_whole),
		TEST(sessions_that_go_meanwhile_are_left_out),
		TEST(watchers_see_sessions_and_alerts),
		TEST(who_does_not_watch_hears_nothing),
		TEST(a_watcher_that_lags_is_dropped_and_counted),
		TEST(one_user_gets_so_many_connections),
		TEST(root_finds_room),
		TEST(the_mode_is_shown_and_set),
		TEST(only_root_changes_anything),
		TEST(reload_says_what_is_wrong),
		TEST(the_policy_is_listed_with_its_default),
		TEST(the_policy_is_tried_as_the_kernel_would),
		TEST(the_socket_is_for_its_group_only),
		TEST(a_second_instance_is_refused_by_pid),
		TEST(a_stale_socket_is_replaced),
		TEST(what_is_no_socket_is_left_alone),
		TEST(another_ones_socket_is_not_removed),
		TEST(an_unusable_path_is_said),
	};
	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
