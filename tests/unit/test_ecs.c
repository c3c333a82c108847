/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ecs.h"
#include "facts.h"
#include "session.h"

static struct session session;
static struct alert alert;

static int setup(void **state)
{
	(void)state;
	memset(&session, 0, sizeof(session));
	session.id = 0xabc;
	session.opened = (struct timespec){ 1700000000, 0 };
	session.judgement.outcome = OUTCOME_CLEARTEXT;
	session.account = strdup("bob");
	session.cgroup = strdup("/system.slice/postfix.service");
	struct flow_event *flow = &session.last;
	flow->facts = FACT(GREETING_ACCEPTED) | FACT(AUTH_CLEAR) | FACT(WOULD_BLOCK);
	flow->pid = 812;
	flow->uid = 0;
	flow->client_port = 40000;
	flow->server_port = 587;
	memcpy(flow->comm, "smtp", 4);
	strcpy(flow->mechanism, "PLAIN");
	strcpy(flow->account, "never shown");
	strcpy(flow->server_name, "mx.example.com");
	memcpy(flow->client_address, (const uint8_t[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 7 }, 16);
	memcpy(flow->server_address, (const uint8_t[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1 }, 16);
	alert = (struct alert){ .session = &session, .finding = FINDING_CLEARTEXT_AUTH, .severity = SEVERITY_CRITICAL,
				.time = { 1700000000, 7000000 } };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(session.account);
	free(session.cgroup);
	return 0;
}

/* The value at a path with dots. */
static json_t *at(json_t *event, const char *path)
{
	char copy[128], *rest = copy, *name;
	strcpy(copy, path);
	while (event && (name = strsep(&rest, ".")))
		event = json_object_get(event, name);
	return event;
}

static void assert_at(json_t *event, const char *path, const char *expected)
{
	json_t *value = at(event, path);
	if (!json_is_string(value))
		fail_msg("no string at %s", path);
	assert_string_equal(json_string_value(value), expected);
}

/* Of a forwarded session there is an interface, and nobody's process. */
static void a_forwarded_sender_is_an_address(void **state)
{
	char sentence[ECS_SENTENCE_SIZE];
	(void)state;
	session.last.ifindex = 4;
	session.last.pid = 0;
	session.last.uid = UINT32_MAX;
	strcpy(session.interface, "tap7");
	assert_non_null(strstr(ecs_sentence(&alert, sentence), "192.0.2.7 (forwarded) to mx.example.com[192.0.2.1]:587: "));
	json_t *event = ecs_alert(&alert);
	assert_null(at(event, "process"));
	assert_null(at(event, "user"));
	assert_true(json_is_true(at(event, "smtpward.forwarded")));
	assert_at(event, "smtpward.interface", "tap7");
	json_decref(event);
}

static void an_alert_says_all(void **state)
{
	static const char *const strings[][2] = {
		{ "@timestamp", "2023-11-14T22:13:20.007Z" },
		{ "ecs.version", ECS_VERSION },
		{ "event.kind", "alert" },
		{ "event.action", "cleartext-auth" },
		{ "event.outcome", "success" },
		{ "event.reason", "A credential was offered to the server without encryption" },
		{ "event.start", "2023-11-14T22:13:20.000Z" },
		{ "log.level", "critical" },
		{ "source.ip", "192.0.2.7" },
		{ "destination.ip", "192.0.2.1" },
		{ "destination.domain", "mx.example.com" },
		{ "process.name", "smtp" },
		{ "user.id", "0" },
		{ "user.name", "root" },
		{ "network.transport", "tcp" },
		{ "network.type", "ipv4" },
		{ "network.protocol", "smtp" },
		{ "network.application", "submission" },
		{ "rule.id", "cleartext-auth" },
		{ "smtpward.session", "0000000000000abc" },
		{ "smtpward.outcome", "cleartext" },
		{ "smtpward.auth.mechanism", "PLAIN" },
		{ "smtpward.auth.account", "bob" },
		{ "smtpward.cgroup", "/system.slice/postfix.service" },
	};
	(void)state;
	alert.suppressed = 3;
	json_t *event = ecs_alert(&alert);
	assert_non_null(event);
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		assert_at(event, strings[i][0], strings[i][1]);
	assert_int_equal(json_integer_value(at(event, "process.pid")), 812);
	assert_int_equal(json_integer_value(at(event, "destination.port")), 587);
	assert_int_equal(json_integer_value(at(event, "event.severity")), 99);
	assert_int_equal(json_integer_value(at(event, "smtpward.suppressed")), 3);
	assert_true(json_is_false(at(event, "tls.established")));
	assert_true(json_is_false(at(event, "smtpward.blocked")));
	assert_true(json_is_true(at(event, "smtpward.would_block")));
	assert_true(json_is_null(at(event, "smtpward.linked_session")));
	assert_int_equal(json_array_size(at(event, "smtpward.facts")), 3);
	assert_int_equal(json_array_size(at(event, "related.ip")), 2);
	assert_string_equal(json_string_value(json_array_get(at(event, "related.user"), 1)), "bob");
	json_decref(event);
}

static void the_sentence_tells_who_where_what_and_what_to_do(void **state)
{
	(void)state;
	char sentence[ECS_SENTENCE_SIZE];
	alert.suppressed = 3;
	assert_string_equal(ecs_sentence(&alert, sentence),
			    "smtp (pid 812, user root) to mx.example.com[192.0.2.1]:587: a credential was offered to the "
			    "server without encryption (PLAIN, account bob); block mode would have stopped it; 3 more like "
			    "it were not reported one by one. What to do: smtpward explain cleartext-auth");

	alert.finding = FINDING_TLS_HANDSHAKE_FAILED;
	alert.suppressed = 0;
	session.last.facts = FACT(SERVER_ALERT) | FACT(BLOCKED);
	session.last.server_alert = 48;
	session.last.uid = 4000000000U;
	session.last.server_name[0] = '\0';
	assert_string_equal(ecs_sentence(&alert, sentence),
			    "smtp (pid 812, uid 4000000000) to [192.0.2.1]:587: the TLS handshake did not complete (alert "
			    "from the server: unknown_ca); smtpward blocked it. What to do: smtpward explain "
			    "tls-handshake-failed");

	alert.finding = FINDING_PLAINTEXT_ON_TLS_PORT;
	assert_non_null(strstr(ecs_sentence(&alert, sentence), ":587: SMTP in clear on a port"));

	/* the credential had left before the session was blocked: nobody shall take it for safe */
	alert.finding = FINDING_CLEARTEXT_AUTH;
	session.last.facts = FACT(CREDENTIAL_CLEAR) | FACT(BLOCKED);
	assert_null(strstr(ecs_sentence(&alert, sentence), "smtpward blocked it"));
	session.last.stopped = FACT(CREDENTIAL_CLEAR);
	assert_non_null(strstr(ecs_sentence(&alert, sentence), "; smtpward blocked it"));
}

/* A session's account may be switched off or hashed; the flow's own is never told. */
static void only_the_account_that_may_be_told_is_told(void **state)
{
	(void)state;
	json_t *event = ecs_alert(&alert);
	char *text = json_dumps(event, JSON_COMPACT);
	assert_null(strstr(text, "never shown"));
	free(text);
	json_decref(event);

	free(session.account);
	session.account = NULL;
	event = ecs_alert(&alert);
	text = json_dumps(event, JSON_COMPACT);
	assert_null(strstr(text, "never shown"));
	assert_true(json_is_null(at(event, "smtpward.auth.account")));
	assert_non_null(strstr(ecs_message(event), "(PLAIN);"));
	free(text);
	json_decref(event);
}

static void hostile_names_are_escaped(void **state)
{
	(void)state;
	memset(session.last.server_name, '\x1b', sizeof(session.last.server_name));
	memset(session.last.comm, '\xff', sizeof(session.last.comm)); /* neither ends with NUL */
	free(session.account);
	session.account = strdup("a\n\"\\\xe2\x80\xae");
	json_t *event = ecs_alert(&alert);
	assert_non_null(event);
	char *text = json_dumps(event, JSON_COMPACT);
	assert_non_null(text);
	for (const char *byte = text; *byte; byte++)
		assert_in_range((unsigned char)*byte, 0x20, 0x7e);
	assert_at(event, "smtpward.auth.account", "a\\x0a\"\\\\\\xe2\\x80\\xae");
	assert_int_equal(strlen(json_string_value(at(event, "destination.domain"))), 4 * SERVER_NAME_SIZE);
	free(text);
	json_decref(event);
}

static void every_finding_makes_a_whole_event(void **state)
{
	(void)state;
	for (unsigned finding = 0; finding < FINDING_COUNT; finding++) {
		for (unsigned outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
			alert.finding = (enum finding)finding;
			session.judgement.outcome = (enum outcome)outcome;
			session.judgement.cause_name = "starttls-missing";
			session.linked_id = 5;
			session.last.facts = (1ULL << FACT_COUNT) - 1;
			json_t *event = ecs_alert(&alert);
			assert_at(event, "rule.id", finding_name((enum finding)finding));
			assert_at(event, "smtpward.outcome", outcome_name((enum outcome)outcome));
			assert_non_null(strstr(ecs_message(event), "What to do: smtpward explain "));
			json_decref(event);
		}
	}
}

/* What is not known is left out of the schema's own fields and null in ours. */
static void an_empty_session_is_no_crash(void **state)
{
	(void)state;
	teardown(NULL);
	memset(&session, 0, sizeof(session));
	json_t *event = ecs_alert(&alert);
	assert_non_null(event);
	assert_null(json_object_get(event, "process"));
	assert_null(json_object_get(event, "user"));
	assert_null(at(event, "destination.domain"));
	assert_true(json_is_null(at(event, "smtpward.cgroup")));
	assert_at(event, "network.type", "ipv6");
	json_decref(event);
}

static void the_start_names_every_hook(void **state)
{
	(void)state;
	const struct kernel_hook hooks[] = {
		{ .name = "cgroup/connect4", .attached = true },
		{ .name = "cgroup/connect6", .attached = false, .error = "no IPv6\n" },
	};
	enum severity severity;
	json_t *event = ecs_startup(MODE_BLOCK, "/sys/fs/cgroup", hooks, 2, (struct timespec){ 0, 0 }, &severity);
	assert_int_equal(severity, SEVERITY_WARNING);
	assert_at(event, "event.kind", "state");
	assert_at(event, "log.level", "warning");
	assert_at(event, "smtpward.mode", "block");
	assert_at(event, "smtpward.version", SMTPWARD_VERSION);
	json_t *second = json_array_get(at(event, "smtpward.hooks"), 1);
	assert_at(second, "name", "cgroup/connect6");
	assert_at(second, "error", "no IPv6\\x0a");
	assert_true(json_is_false(at(second, "attached")));
	assert_string_equal(ecs_message(event), "smtpward " SMTPWARD_VERSION
						" started in block mode: 1 of 2 hooks attached at /sys/fs/cgroup; not "
						"attached: cgroup/connect6 (no IPv6\\x0a)");
	json_decref(event);

	event = ecs_startup(MODE_MONITOR, "/", hooks, 1, (struct timespec){ 0, 0 }, &severity);
	assert_int_equal(severity, SEVERITY_NOTICE);
	assert_true(json_is_null(at(json_array_get(at(event, "smtpward.hooks"), 0), "error")));
	json_decref(event);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_alert_says_all),
		TEST(a_forwarded_sender_is_an_address),
		TEST(the_sentence_tells_who_where_what_and_what_to_do),
		TEST(only_the_account_that_may_be_told_is_told),
		TEST(hostile_names_are_escaped),
		TEST(every_finding_makes_a_whole_event),
		TEST(an_empty_session_is_no_crash),
		TEST(the_start_names_every_hook),
	};
	return cmocka_run_group_tests_name("ecs", tests, NULL, NULL);
}
