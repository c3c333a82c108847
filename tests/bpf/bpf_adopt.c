/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flows that were there before the hooks: how these take them over, and how they end. */
#include "adopt.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "facts.h"

#define AUTH "AUTH PLAIN " LAB_SECRET "\r\n"

static const struct policy_rule encrypted = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK };

static void client_says(const struct lab_connection *connection, const char *text)
{
	lab_send(connection->client, connection->server, (const uint8_t *)text, strlen(text), SIZE_MAX);
}

static void server_says(const struct lab_connection *connection, const char *text)
{
	lab_send(connection->server, connection->client, (const uint8_t *)text, strlen(text), SIZE_MAX);
}

static void monitor(void)
{
	lab_needed();
	lab_set(MODE_MONITOR, &encrypted, false, false);
	lab_forget_events();
}

/* What the agent has found out is what the events say. */
static void check_identity(const struct flow_event *event, const struct lab_connection *connection, uint16_t port)
{
	const struct adopted adopted = adopted_of(connection, port);
	assert_int_equal(event->flow_id, adopted.flow_id);
	assert_int_equal(event->pid, adopted.pid);
	assert_int_equal(event->uid, adopted.uid);
	assert_int_equal(event->cgroup_id, adopted.cgroup_id);
	assert_int_equal(event->client_port, adopted.client_port);
	assert_int_equal(event->server_port, port);
	assert_int_equal(event->socket_cookie, cookie_of(connection->client));
	assert_int_equal(event->implicit_tls, adopted.implicit_tls);
	assert_int_equal(event->require, REQUIRE_ENCRYPTED);
	assert_int_equal(event->adopted, 1);
	assert_string_equal(event->comm, "sender");
	assert_memory_equal(event->server_address, adopted.server_address, 16);
}

static void taken_over_by_whatever_comes_first(void **state)
{
	(void)state;
	monitor();
	for (unsigned i = 0; i < 2 * LAB_FAMILIES; i++) {
		struct lab_connection connection = join_midway(i / 2, lab.starttls_port);
		assert_true(is_waiting(&connection));
		assert_false(lab_has_storage(connection.client));
		if (i % 2)
			client_says(&connection, "NOOP\r\n");
		else
			server_says(&connection, "250 ok\r\n");
		const struct flow_event *event = lab_wait(connection.client_port, EVENT_OPENED);
		check_identity(event, &connection, lab.starttls_port);
		assert_int_equal(event->facts, FACT(MIDWAY));
		assert_int_equal(event->sequence, 1);
		assert_true(lab_has_storage(connection.client));
		assert_false(is_waiting(&connection));
		struct flow_event end = lab_close(&connection);
		assert_int_equal(end.facts, FACT(MIDWAY));
		assert_int_equal(end.sequence, 2);
		lab_forget_events();
	}
}

/* Nothing has been said: the flow is followed from its first byte, as any other. */
static void silent_so_far_is_from_the_start(void **state)
{
	(void)state;
	monitor();
	for (unsigned i = 0; i < LAB_FAMILIES; i++) {
		struct lab_connection connection = connect_before(i, lab.starttls_port);
		hand_over(&connection, lab.starttls_port);
		server_says(&connection, "220 mx.example\r\n");
		client_says(&connection, "EHLO x\r\n");
		server_says(&connection, "250-mx.example\r\n250 SIZE\r\n");
		client_says(&connection, "MAIL FROM:<a>\r\n");
		const struct flow_event *event = lab_wait(connection.client_port, EVENT_PROGRESS);
		assert_int_equal(event->facts, FACT(GREETING_ACCEPTED) | FACT(EHLO_SENT) | FACT(EHLO_ACCEPTED) | FACT(MAIL_CLEAR) |
						       FACT(WOULD_BLOCK));
		lab_close(&connection);
		lab_forget_events();
	}
}

/* The client may speak first; and what has been said by only one of them is a beginning that was missed. */
static void half_a_beginning_is_midway(void **state)
{
	(void)state;
	monitor();
	struct lab_connection connection = connect_before(LAB_IPV4, lab.implicit_port);
	hand_over(&connection, lab.implicit_port);
	client_says(&connection, "\x16\x03\x01");
	assert_int_equal(lab_wait(connection.client_port, EVENT_OPENED)->facts, 0);
	lab_close(&connection);
	for (int from_server = 0; from_server < 2; from_server++) {
		connection = connect_before(LAB_IPV4, lab.starttls_port);
		if (from_server)
			server_says(&connection, "220 mx.example\r\n");
		else
			client_says(&connection, "EHLO x\r\n");
		hand_over(&connection, lab.starttls_port);
		server_says(&connection, "250 ok\r\n");
		assert_int_equal(lab_wait(connection.client_port, EVENT_OPENED)->facts, FACT(MIDWAY));
		lab_close(&connection);
	}
}

static void others_are_left_alone(void **state)
{
	(void)state;
	monitor();
	struct lab_connection connection = connect_before(LAB_IPV4, lab.starttls_port);
	note_port(lab.starttls_port);
	client_says(&connection, AUTH);
	server_says(&connection, "235 ok\r\n");
	client_says(&connection, "NOOP\r\n");
	assert_false(lab_has_storage(connection.client));
	assert_int_equal(lab_count(connection.client_port, EVENT_OPENED), 0);
	close(connection.client);
	close(connection.server);
}

/* Bytes that are on their way when the flow is taken over, both ways, make no gap. */
static void what_is_under_way_is_no_gap(void **state)
{
	(void)state;
	monitor();
	struct lab_connection connection = join_midway(LAB_IPV4, lab.starttls_port);
	for (int i = 0; i < 50; i++) {
		client_says(&connection, "NOOP\r\n");
		server_says(&connection, "250 ok\r\n");
	}
	struct flow_event end = lab_close(&connection);
	assert_int_equal(end.facts, FACT(MIDWAY) | FACT(RESYNCED));
}

static void the_end(void **state)
{
	(void)state;
	static const struct {
		bool server_first, reset;
		uint8_t end;
	} cases[] = { { false, false, FLOW_END_CLIENT }, { true, false, FLOW_END_SERVER }, { false, true, FLOW_END_RESET } };
	monitor();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lab_connection connection = join_midway(LAB_IPV6, lab.starttls_port);
		server_says(&connection, "250 ok\r\n");
		if (cases[i].server_first) {
			uint8_t nothing;
			shutdown(connection.server, SHUT_WR);
			assert_int_equal(recv(connection.client, &nothing, 1, 0), 0);
			assert_int_equal(lab_count(connection.client_port, EVENT_CLOSED), 0);
		}
		struct flow_event event = cases[i].reset ? lab_reset(&connection) : lab_close(&connection);
		assert_int_equal(event.end, cases[i].end);
		assert_int_equal(event.adopted, 1);
		assert_int_equal(lab_count(connection.client_port, EVENT_CLOSED), 1);
	}
}

static int64_t handshakes_known(void)
{
	uint32_t zero = 0;
	int64_t count = -1;
	assert_int_equal(bpf_map_lookup_elem(lab_map("hello_count"), &zero, &count), 0);
	return count;
}

/* While the kernel knows a handshake's random, each probe of a TLS library has to look for it. */
static void its_handshake_is_forgotten_at_the_end(void **state)
{
	(void)state;
	static const uint8_t hello[64] = { 0x16, 3, 1, 0, 59, 1, 0, 0, 55, 3, 3, [19] = 1 };
	const struct settings settings = { .fallback = encrypted, .mode = MODE_MONITOR, .witness = 1 };
	uint32_t zero = 0;
	monitor();
	assert_int_equal(bpf_map_update_elem(lab_map("settings"), &zero, &settings, BPF_ANY), 0);
	struct lab_connection connection = connect_before(LAB_IPV4, lab.implicit_port);
	hand_over(&connection, lab.implicit_port);
	lab_send(connection.client, connection.server, hello, sizeof(hello), SIZE_MAX);
	assert_int_equal(handshakes_known(), 1);
	lab_close(&connection);
	assert_int_equal(handshakes_known(), 0);
}

/* A flow is not over because somebody says so: what the client sends behind it is still looked at. */
static void the_servers_fin_alone_ends_nothing(void **state)
{
	(void)state;
	lab_needed();
	lab_set(MODE_BLOCK, &encrypted, false, false);
	lab_forget_events();
	struct lab_connection connection = join_midway(LAB_IPV4, lab.starttls_port);
	client_says(&connection, "RSET\r\n");
	server_says(&connection, "250 ok\r\n");
	client_says(&connection, "NOOP\r\n");
	server_says(&connection, "250 ok\r\n");
	shutdown(connection.server, SHUT_WR);
	assert_int_equal(send(connection.client, AUTH, strlen(AUTH), MSG_NOSIGNAL), strlen(AUTH));
	const struct flow_event *event = lab_wait(connection.client_port, EVENT_BLOCKED);
	assert_int_equal(event->stopped, FACT(RESYNCED) | FACT(AUTH_CLEAR) | FACT(CREDENTIAL_CLEAR));
	assert_int_equal(lab_waiting(connection.server), 0);
	lab_reset(&connection);
	assert_int_equal(lab.leaks, 0);
}

/* `unknown: block` stops what is not known; otherwise it passes. */
static void doubt_follows_the_policy(void **state)
{
	(void)state;
	struct policy_rule rule = encrypted;
	lab_needed();
	for (int strict = 0; strict < 2; strict++) {
		rule.unknown = strict ? DOUBT_BLOCK : DOUBT_PASS;
		lab_set(MODE_BLOCK, &rule, false, false);
		lab_forget_events();
		struct lab_connection connection = join_midway(LAB_IPV4, lab.starttls_port);
		assert_int_equal(send(connection.client, "x\r\n", 3, MSG_NOSIGNAL), 3);
		if (strict) {
			assert_int_equal(lab_wait(connection.client_port, EVENT_BLOCKED)->facts, FACT(MIDWAY) | FACT(BLOCKED));
			assert_int_equal(lab_waiting(connection.server), 0);
		} else {
			lab_send(connection.server, connection.client, (const uint8_t *)"250 ok\r\n", 8, 8);
			assert_int_equal(lab_waiting(connection.server), 3);
		}
		lab_reset(&connection);
	}
}

/* The way into the ring. */
static void announced(void **state)
{
	(void)state;
	monitor();
	struct lab_connection connection = join_midway(LAB_IPV4, lab.starttls_port);
	struct announcement told = { .socket_cookie = cookie_of(connection.client), .adopted = adopted_of(&connection, lab.starttls_port) };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &told, .data_size_in = sizeof(told), .repeat = 1);
	told.adopted.require = REQUIRE_ENCRYPTED;
	assert_int_equal(bpf_prog_test_run_opts(lab_program("smtpward_announce"), &options), 0);
	assert_int_equal(options.retval, 0);
	const struct flow_event *event = lab_wait(connection.client_port, EVENT_OPENED);
	check_identity(event, &connection, lab.starttls_port);
	assert_int_equal(event->facts, FACT(MIDWAY));
	assert_int_equal(event->sequence, 1);
	/* a packet that is too short is none */
	options.data_size_in = 64;
	assert_int_equal(bpf_prog_test_run_opts(lab_program("smtpward_announce"), &options), 0);
	assert_int_equal(options.retval, 1);
	server_says(&connection, "250 ok\r\n");
	lab_close(&connection);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_over_by_whatever_comes_first),
		cmocka_unit_test(silent_so_far_is_from_the_start),
		cmocka_unit_test(half_a_beginning_is_midway),
		cmocka_unit_test(others_are_left_alone),
		cmocka_unit_test(what_is_under_way_is_no_gap),
		cmocka_unit_test(the_end),
		cmocka_unit_test(its_handshake_is_forgotten_at_the_end),
		cmocka_unit_test(the_servers_fin_alone_ends_nothing),
		cmocka_unit_test(doubt_follows_the_policy),
		cmocka_unit_test(announced),
	};
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
