/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "policy.h"
#include "session_json.h"

static const __u8 server_v4[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 25 };
static const __u8 client_v4[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1 };

/* A session of which nothing is known but where it goes. */
static struct session bare_session(void)
{
	struct session session = { .id = 0x1f, .opened = { .tv_sec = 1, .tv_nsec = 999999999 } };
	session.last.client_port = 40000;
	session.last.server_port = 587;
	session.last.client_alert = TLS_ALERT_NONE;
	session.last.server_alert = TLS_ALERT_NONE;
	memcpy(session.last.server_address, server_v4, 16);
	memcpy(session.last.client_address, client_v4, 16);
	return session;
}

static struct session full_session(char *cgroup, char *account)
{
	struct session session = bare_session();
	session.closed = (struct timespec){ .tv_sec = 1700000000, .tv_nsec = 5000000 };
	session.cgroup = cgroup;
	session.account = account;
	session.linked_id = 2;
	session.events_missed = 1;
	session.judgement = (struct judgement){
		.outcome = OUTCOME_CLEARTEXT,
		.findings = FINDING_MASK(FINDING_CLEARTEXT_AUTH) | FINDING_MASK(FINDING_STARTTLS_MISSING),
		.severity = { [FINDING_CLEARTEXT_AUTH] = SEVERITY_CRITICAL, [FINDING_STARTTLS_MISSING] = SEVERITY_WARNING },
		.cause_name = "starttls-missing",
	};
	session.last.facts = FACT(EHLO_SENT) | FACT(AUTH_CLEAR) | FACT(WOULD_BLOCK);
	session.last.pid = 4242;
	session.last.uid = 33;
	session.last.starttls_code = 454;
	session.last.end = FLOW_END_SERVER;
	session.last.require = REQUIRE_ENCRYPTED;
	session.last.bytes_sent = 1ULL << 40;
	session.last.bytes_received = 7;
	memcpy(session.last.comm, "0123456789abcdef", 16); /* fills the field: no NUL */
	strcpy(session.last.mechanism, "PLAIN");
	strcpy(session.last.server_name, "mx.example.com");
	return session;
}

static void assert_json(const struct session *session, const char *expected)
{
	json_t *object = session_json(session);
	char *text = json_dumps(object, JSON_COMPACT);
	assert_string_equal(text, expected);
	free(text);
	json_decref(object);
}

static void what_is_absent_is_null_or_an_empty_list(void **state)
{
	struct session session = bare_session();
	(void)state;
	assert_json(&session,
		    "{\"id\":\"000000000000001f\",\"opened\":\"1970-01-01T00:00:01.999Z\",\"closed\":null,"
		    "\"client\":{\"address\":\"192.0.2.1\",\"port\":40000},"
		    "\"server\":{\"address\":\"192.0.2.25\",\"port\":587,\"name\":null},"
		    "\"forwarded\":false,\"interface\":null,"
		    "\"process\":{\"pid\":null,\"uid\":null,\"comm\":null,\"cgroup\":null},"
		    "\"outcome\":\"unknown\",\"findings\":[],\"facts\":[],"
		    "\"starttls\":{\"offered\":false,\"asked\":false,\"reply\":null},"
		    "\"auth\":{\"mechanism\":null,\"account\":null},"
		    "\"tls\":{\"established\":false,\"from_start\":false,\"client_alert\":null,\"server_alert\":null,"
		    "\"version\":null,\"cipher\":null,\"group\":null,\"server_name\":null,\"alpn\":null,\"resumed\":null,\"ja4\":null},"
		    "\"blocked\":false,\"would_block\":false,\"midway\":false,\"bytes\":{\"sent\":0,\"received\":0},"
		    "\"severity\":null,\"cause\":null,\"unknown_reason\":null,\"linked_session\":null,\"identity\":null,"
		    "\"held_ms\":null,\"end\":null,"
		    "\"events_missed\":0,\"policy\":{\"rule\":0,\"require\":\"none\"}}");
}

/* Of a flow that was there first nobody has counted the bytes; its owner is known even where no process is. */
static void a_flow_that_was_there_first_says_so(void **state)
{
	struct session session = bare_session();
	(void)state;
	session.last.adopted = 1;
	session.last.facts = FACT(MIDWAY);
	session.last.uid = 33;
	session.last.bytes_sent = 7;
	json_t *object = session_json(&session);
	assert_true(json_is_true(json_object_get(object, "midway")));
	assert_true(json_is_null(json_object_get(json_object_get(object, "bytes"), "sent")));
	assert_true(json_is_null(json_object_get(json_object_get(object, "bytes"), "received")));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(object, "process"), "uid")), 33);
	assert_true(json_is_null(json_object_get(json_object_get(object, "process"), "pid")));
	json_decref(object);
}

static void everything_that_is_known_is_told(void **state)
{
	char cgroup[] = "/system.slice/postfix.service", account[] = "alice";
	struct session session = full_session(cgroup, account);
	(void)state;
	assert_json(&session,
		    "{\"id\":\"000000000000001f\",\"opened\":\"1970-01-01T00:00:01.999Z\","
		    "\"closed\":\"2023-11-14T22:13:20.005Z\",\"client\":{\"address\":\"192.0.2.1\",\"port\":40000},"
		    "\"server\":{\"address\":\"192.0.2.25\",\"port\":587,\"name\":\"mx.example.com\"},"
		    "\"forwarded\":false,\"interface\":null,"
		    "\"process\":{\"pid\":4242,\"uid\":33,\"comm\":\"0123456789abcdef\","
		    "\"cgroup\":\"/system.slice/postfix.service\"},"
		    "\"outcome\":\"cleartext\",\"findings\":[\"cleartext-auth\",\"starttls-missing\"],"
		    "\"facts\":[\"ehlo-sent\",\"auth-clear\",\"would-block\"],"
		    "\"starttls\":{\"offered\":false,\"asked\":false,\"reply\":454},"
		    "\"auth\":{\"mechanism\":\"PLAIN\",\"account\":\"alice\"},"
		    "\"tls\":{\"established\":false,\"from_start\":false,\"client_alert\":null,\"server_alert\":null,"
		    "\"version\":null,\"cipher\":null,\"group\":null,\"server_name\":null,\"alpn\":null,\"resumed\":null,\"ja4\":null},"
		    "\"blocked\":false,\"would_block\":true,\"midway\":false,\"bytes\":{\"sent\":1099511627776,\"received\":7},"
		    "\"severity\":\"critical\",\"cause\":\"starttls-missing\",\"unknown_reason\":null,"
		    "\"linked_session\":\"0000000000000002\",\"identity\":null,\"held_ms\":null,\"end\":\"server\",\"events_missed\":1,"
		    "\"policy\":{\"rule\":0,\"require\":\"encrypted\"}}");
}

static void a_forwarded_session_has_an_interface_and_no_process(void **state)
{
	struct session session = bare_session();
	(void)state;
	session.last.ifindex = 7;
	session.last.uid = UINT32_MAX;
	strcpy(session.interface, "tap\x1b");
	json_t *object = session_json(&session);
	assert_true(json_is_true(json_object_get(object, "forwarded")));
	assert_string_equal(json_string_value(json_object_get(object, "interface")), "tap\\x1b");
	assert_true(json_is_null(json_object_get(json_object_get(object, "process"), "uid")));
	json_decref(object);
}

static void root_is_a_user_too(void **state)
{
	struct session session = bare_session();
	json_t *object, *uid;
	(void)state;
	session.last.pid = 1;
	object = session_json(&session);
	uid = json_object_get(json_object_get(object, "process"), "uid");
	assert_true(json_is_integer(uid));
	assert_int_equal(json_integer_value(uid), 0);
	json_decref(object);
}

static json_t *tls_of(const struct session *session, json_t **object)
{
	*object = session_json(session);
	return json_object_get(*object, "tls");
}

static void alerts_have_their_names(void **state)
{
	struct session session = bare_session();
	json_t *object, *tls, *alert;
	(void)state;
	session.last.facts = FACT(CLIENT_ALERT) | FACT(SERVER_ALERT) | FACT(TLS_FROM_START) | FACT(CLIENT_DATA) | FACT(SERVER_DATA);
	session.last.client_alert = 48;
	session.last.server_alert = TLS_ALERT_NOT_READABLE;
	tls = tls_of(&session, &object);
	assert_true(json_is_true(json_object_get(tls, "established")));
	assert_true(json_is_true(json_object_get(tls, "from_start")));
	alert = json_object_get(tls, "client_alert");
	assert_int_equal(json_integer_value(json_object_get(alert, "code")), 48);
	assert_string_equal(json_string_value(json_object_get(alert, "name")), "unknown_ca");
	alert = json_object_get(tls, "server_alert");
	assert_true(json_is_null(json_object_get(alert, "code")));
	assert_string_equal(json_string_value(json_object_get(alert, "name")), "encrypted");
	json_decref(object);
}

static void every_alert_code_has_some_name(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 256; code++)
		assert_true(strlen(tls_alert_name(code)) > 0);
	assert_string_equal(tls_alert_name(40), "handshake_failure");
	assert_string_equal(tls_alert_name(120), "no_application_protocol");
	assert_string_equal(tls_alert_name(11), "unknown");
	assert_string_equal(tls_alert_name(121), "unknown");
}

static void hostile_bytes_are_escaped(void **state)
{
	char cgroup[] = "/a\nb", account[] = "bob\033[31m\xff";
	struct session session = full_session(cgroup, account);
	json_t *object;
	char *text;
	(void)state;
	strcpy(session.last.server_name, "mx\033]0;x\a\x9b\xc2\x9b");
	memcpy(session.last.comm, "sh\r\x80\0", 5);
	memcpy(session.last.mechanism, "PL\x7f", 4);
	object = session_json(&session);
	assert_non_null(object);
	text = json_dumps(object, JSON_COMPACT);
	assert_non_null(text);
	assert_non_null(strstr(text, "bob\\\\x1b[31m\\\\xff"));
	for (const char *c = text; *c; c++)
		assert_in_range((unsigned char)*c, 0x20, 0x7e);
	free(text);
	json_decref(object);
}

/* Strings without a NUL at the end of their field must not be read beyond it: the address sanitizer looks on. */
static void text_ends_with_its_field(void **state)
{
	char *field = malloc(4);
	json_t *string;
	(void)state;
	memcpy(field, "abcd", 4);
	string = text_json(field, 4);
	assert_string_equal(json_string_value(string), "abcd");
	json_decref(string);
	free(field);
}

static void a_long_text_comes_whole(void **state)
{
	char *text = malloc(5001);
	json_t *string;
	(void)state;
	memset(text, 'x', 5000);
	text[5000] = '\0';
	string = text_json(text, SIZE_MAX);
	assert_int_equal(strlen(json_string_value(string)), 5000);
	json_decref(string);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_absent_is_null_or_an_empty_list),
		cmocka_unit_test(a_flow_that_was_there_first_says_so),
		cmocka_unit_test(everything_that_is_known_is_told),
		cmocka_unit_test(a_forwarded_session_has_an_interface_and_no_process),
		cmocka_unit_test(root_is_a_user_too),
		cmocka_unit_test(alerts_have_their_names),
		cmocka_unit_test(every_alert_code_has_some_name),
		cmocka_unit_test(hostile_bytes_are_escaped),
		cmocka_unit_test(text_ends_with_its_field),
		cmocka_unit_test(a_long_text_comes_whole),
	};
	return cmocka_run_group_tests_name("session_json", tests, NULL, NULL);
}
