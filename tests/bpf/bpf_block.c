/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel stops, how a stopped flow ends without an agent, and which rule it goes by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "blocked.h"
#include "dialogue_run.h"
#include "lab.h"

static void say(int from, int to, const char *text)
{
	lab_send(from, to, (const uint8_t *)text, strlen(text), SIZE_MAX);
}

static void write_only(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static int fresh(void **state)
{
	(void)state;
	if (!lab.missing) {
		lab_set(MODE_BLOCK, &dialogue_run_encrypted, false, false);
		lab_forget_events();
	}
	return 0;
}

/* A connection at the point where the client may say AUTH or MAIL. */
static struct lab_connection greeted(void)
{
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.starttls_port);
	say(connection.server, connection.client, "220 mx.example\r\n");
	say(connection.client, connection.server, "EHLO a\r\n");
	say(connection.server, connection.client, "250-mx.example\r\n250 AUTH PLAIN\r\n");
	return connection;
}

/*
 * With no agent to destroy the socket, TCP presents the dropped bytes again until the kernel's own way ends it. That
 * is waited for: it takes a repetition.
 */
static void split_auth_never_completes(void **state)
{
	(void)state;
	lab_needed();
	uint64_t dropped = lab_counter(COUNTER_SEGMENTS_DROPPED);
	struct lab_connection connection = greeted();
	struct pollfd ended = { .fd = connection.client, .events = POLLIN };
	int error = 0;
	socklen_t size = sizeof(error);
	say(connection.client, connection.server, "AU"); /* may still become anything */
	write_only(connection.client, "TH PLAIN " LAB_SECRET "\r\n");
	struct flow_event event = *lab_wait(connection.client_port, EVENT_BLOCKED);
	assert_int_equal(event.stopped, FACT(AUTH_CLEAR) | FACT(CREDENTIAL_CLEAR));
	assert_string_equal(event.account, "user");
	send(connection.client, "QUIT\r\n", 6, MSG_NOSIGNAL);
	assert_int_equal(poll(&ended, 1, 30000), 1);
	assert_int_equal(getsockopt(connection.client, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	assert_int_equal(error, ETIMEDOUT);
	struct flow_event closed = *lab_wait(connection.client_port, EVENT_CLOSED);
	assert_int_equal(closed.end, FLOW_END_RESET);
	assert_int_equal(closed.stopped, event.stopped);
	assert_int_equal(lab_waiting(connection.server), 0);
	assert_int_equal(lab_count(connection.client_port, EVENT_BLOCKED), 1);
	assert_true(lab_counter(COUNTER_SEGMENTS_DROPPED) - dropped >= 2);
	close(connection.client);
	close(connection.server);
}

static void command_split_into_bytes_never_completes(void **state)
{
	(void)state;
	static const char command[] = "MAIL FROM:<a>\r\n";
	lab_needed();
	struct lab_connection connection = greeted();
	for (size_t i = 0; i < 4; i++) {
		const char byte[2] = { command[i] };
		say(connection.client, connection.server, byte);
	}
	write_only(connection.client, command + 4);
	struct flow_event event = *lab_wait(connection.client_port, EVENT_BLOCKED);
	assert_int_equal(event.stopped & FACT(MAIL_CLEAR), FACT(MAIL_CLEAR));
	assert_int_equal(lab_waiting(connection.server), 0);
	lab_reset(&connection);
}

/* A receiver takes the urgent byte out of the stream: "MA", "x", "IL" is MAIL to it. */
static void urgent_byte_hides_no_command(void **state)
{
	(void)state;
	char got[64];
	lab_needed();
	struct lab_connection connection = greeted();
	say(connection.client, connection.server, "MA");
	assert_int_equal(send(connection.client, "x", 1, MSG_OOB | MSG_NOSIGNAL), 1);
	send(connection.client, "IL FROM:<a>\r\n", 13, MSG_NOSIGNAL);
	assert_int_equal(lab_wait(connection.client_port, EVENT_BLOCKED)->stopped, FACT(CLIENT_CAP));
	assert_int_equal(recv(connection.server, got, sizeof(got), MSG_DONTWAIT), -1);
	lab_reset(&connection);
}

/* A server that speaks no TLS answers the first of these lines with 500 and obeys the second. */
static void record_header_hides_no_command(void **state)
{
	(void)state;
	static const char record[] = "\x16\x03\x01\x40\x01\x01 hello\r\nMAIL FROM:<a>\r\n";
	lab_needed();
	struct lab_connection connection = greeted();
	write_only(connection.client, record);
	assert_int_equal(lab_wait(connection.client_port, EVENT_BLOCKED)->stopped & FACT(MAIL_CLEAR), FACT(MAIL_CLEAR));
	assert_int_equal(lab_waiting(connection.server), 0);
	lab_reset(&connection);
}

/* The bytes of a handshake are told; those of a client that goes on in clear when it has failed are none. */
static void plaintext_behind_a_client_hello_is_not_told(void **state)
{
	(void)state;
	static const uint8_t client_hello[64] = { 0x16, 3, 1, 0, 59, 1 };
	const char *const later[] = { "AUTH PLAIN " LAB_SECRET "\r\n", "\x16\x03\x01\x40\x01\x01\r\nAUTH PLAIN " LAB_SECRET "\r\n" };
	lab_needed();
	lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
	for (size_t i = 0; i < 2; i++) {
		struct lab_connection connection = greeted();
		say(connection.client, connection.server, "STARTTLS\r\n");
		say(connection.server, connection.client, "220 go\r\n");
		lab_send(connection.client, connection.server, client_hello, 64, SIZE_MAX);
		say(connection.server, connection.client, "500 what\r\n");
		say(connection.client, connection.server, later[i]);
		struct flow_event event = lab_close(&connection);
		assert_int_equal(event.facts & FACT(CREDENTIAL_CLEAR), FACT(CREDENTIAL_CLEAR));
		assert_string_equal(event.account, "user");
	}
	assert_int_equal(lab.leaks, 0);
}

static void monitor_only_marks(void **state)
{
	(void)state;
	lab_needed();
	lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
	struct lab_connection connection = greeted();
	say(connection.client, connection.server, "MAIL FROM:<a>\r\n");
	struct flow_event event = lab_close(&connection);
	assert_int_equal(event.facts & (FACT(WOULD_BLOCK) | FACT(BLOCKED)), FACT(WOULD_BLOCK));
	assert_int_equal(lab_count(connection.client_port, EVENT_BLOCKED), 0);
}

static void action_monitor_only_marks_in_block_mode(void **state)
{
	(void)state;
	struct policy_rule rule = dialogue_run_encrypted;
	rule.action = ACTION_MONITOR;
	lab_needed();
	lab_set(MODE_BLOCK, &rule, false, false);
	struct lab_connection connection = greeted();
	say(connection.client, connection.server, "MAIL FROM:<a>\r\n");
	assert_int_equal(lab_close(&connection).facts & (FACT(WOULD_BLOCK) | FACT(BLOCKED)), FACT(WOULD_BLOCK));
}

static void nothing_required_passes(void **state)
{
	(void)state;
	const struct policy_rule rule = { .require = REQUIRE_NONE, .action = ACTION_BLOCK };
	lab_needed();
	lab_set(MODE_BLOCK, &rule, false, false);
	struct lab_connection connection = greeted();
	say(connection.client, connection.server, "MAIL FROM:<a>\r\n");
	assert_int_equal(lab_close(&connection).facts & (FACT(WOULD_BLOCK) | FACT(BLOCKED) | FACT(MAIL_CLEAR)), FACT(MAIL_CLEAR));
}

static void mode_changes_at_the_next_command(void **state)
{
	(void)state;
	lab_needed();
	lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
	struct lab_connection connection = greeted();
	say(connection.client, connection.server, "MAIL FROM:<a>\r\n");
	say(connection.server, connection.client, "250 ok\r\n");
	say(connection.client, connection.server, "DATA\r\n");
	say(connection.server, connection.client, "354 go\r\n");
	say(connection.client, connection.server, "first half\r\n");
	lab_set(MODE_BLOCK, &dialogue_run_encrypted, false, false);
	say(connection.client, connection.server, "AUTH PLAIN in the second half\r\n.\r\n"); /* never inside a message */
	say(connection.server, connection.client, "250 ok\r\n");
	say(connection.client, connection.server, "RSET\r\n");
	say(connection.server, connection.client, "250 ok\r\n");
	write_only(connection.client, "MAIL FROM:<b>\r\n");
	lab_wait(connection.client_port, EVENT_BLOCKED);
	assert_int_equal(lab_waiting(connection.server), 0);
	lab_reset(&connection);
}

/* ---- which rule ------------------------------------------------------------------------------------------- */

static struct policy_key key_of(uint64_t scope, const char *address, unsigned bits, uint16_t port)
{
	struct policy_key key = { .prefix_length = POLICY_KEY_FIXED_BITS + bits, .scope_high = (uint32_t)(scope >> 32),
				  .scope_low = (uint32_t)scope, .port = port };
	assert_int_equal(inet_pton(AF_INET6, address, key.address), 1);
	return key;
}

/* The rule that a flow over family to port goes by. */
static uint32_t rule_of(enum lab_family family, uint16_t port)
{
	struct lab_connection connection = lab_connect(family, port);
	uint32_t rule = lab_wait(connection.client_port, EVENT_OPENED)->rule_id;
	lab_close(&connection);
	lab_forget_events();
	return rule;
}

static void rules_by_prefix_and_port(void **state)
{
	(void)state;
	lab_needed();
	const struct policy_key keys[] = {
		key_of(POLICY_SCOPE_ANY, "::ffff:127.0.0.0", 96 + 8, 0),
		key_of(POLICY_SCOPE_ANY, "::ffff:127.0.0.0", 96 + 8, lab.implicit_port),
		key_of(POLICY_SCOPE_ANY, "::ffff:127.0.0.1", 128, lab.starttls_port),
		key_of(POLICY_SCOPE_ANY, "::1", 128, 0),
		key_of(POLICY_SCOPE_ANY, "::ffff:127.0.0.2", 128, 0),
		key_of(POLICY_SCOPE_USER(getuid()), "::", 0, 0), /* not looked at: the settings say that there is none */
	};
	for (uint32_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct policy_rule rule = { .id = i + 1, .require = REQUIRE_ENCRYPTED };
		lab_rule(&keys[i], &rule);
	}
	assert_int_equal(rule_of(LAB_IPV4, lab.starttls_port), 3);  /* the longest prefix */
	assert_int_equal(rule_of(LAB_IPV4, lab.implicit_port), 2);  /* of two alike the one that names the port */
	assert_int_equal(rule_of(LAB_MAPPED, lab.starttls_port), 3); /* IPv4, whatever the socket's family */
	assert_int_equal(rule_of(LAB_IPV6, lab.starttls_port), 4);
	lab_no_rule(&keys[2]);
	assert_int_equal(rule_of(LAB_IPV4, lab.starttls_port), 1);
	const struct policy_key longer = key_of(POLICY_SCOPE_ANY, "::ffff:127.0.0.1", 128, 0);
	const struct policy_rule rule = { .id = 9 };
	lab_rule(&longer, &rule);
	assert_int_equal(rule_of(LAB_IPV4, lab.implicit_port), 9); /* a longer prefix beats the port */
	lab_no_rule(&longer);
	for (uint32_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (i != 2)
			lab_no_rule(&keys[i]);
	assert_int_equal(rule_of(LAB_IPV4, lab.starttls_port), 0); /* the fallback */
}

static void rules_by_scope(void **state)
{
	(void)state;
	lab_needed();
	const struct policy_key any = key_of(POLICY_SCOPE_ANY, "::ffff:127.0.0.1", 128, lab.starttls_port);
	const struct policy_key user = key_of(POLICY_SCOPE_USER(getuid()), "::", 0, 0);
	const struct policy_key other_user = key_of(POLICY_SCOPE_USER(12345), "::", 0, 0);
	const struct policy_key cgroup = key_of(POLICY_SCOPE_CGROUP(lab.cgroup_id), "::", 0, 0);
	const struct policy_key other_cgroup = key_of(POLICY_SCOPE_CGROUP(lab.cgroup_id + 1), "::", 0, 0);
	const struct policy_rule rules[] = { { .id = 1 }, { .id = 2 }, { .id = 3 }, { .id = 4 }, { .id = 5 } };
	lab_set(MODE_BLOCK, &dialogue_run_encrypted, true, true);
	lab_rule(&any, &rules[0]);
	lab_rule(&other_user, &rules[2]);
	lab_rule(&other_cgroup, &rules[4]);
	assert_int_equal(rule_of(LAB_IPV4, lab.starttls_port), 1);
	lab_rule(&user, &rules[1]);
	assert_int_equal(rule_of(LAB_IPV4, lab.starttls_port), 2); /* the narrower scope, whatever the prefix */
	assert_int_equal(rule_of(LAB_IPV6, lab.implicit_port), 2);
	lab_rule(&cgroup, &rules[3]);
	assert_int_equal(rule_of(LAB_IPV4, lab.starttls_port), 4);
	lab_no_rule(&any);
	lab_no_rule(&user);
	lab_no_rule(&other_user);
	lab_no_rule(&cgroup);
	lab_no_rule(&other_cgroup);
}

/* The decision, not only the rule's number: an exception for one destination within what is demanded of all. */
static void an_exception_passes(void **state)
{
	(void)state;
	lab_needed();
	const struct policy_key key = key_of(POLICY_SCOPE_ANY, "::ffff:127.0.0.1", 128, 0);
	const struct policy_rule none = { .id = 1, .require = REQUIRE_NONE };
	lab_rule(&key, &none);
	struct lab_connection connection = greeted();
	say(connection.client, connection.server, "MAIL FROM:<a>\r\n");
	struct flow_event event = lab_close(&connection);
	assert_int_equal(event.facts & (FACT(WOULD_BLOCK) | FACT(BLOCKED)), 0);
	assert_int_equal(event.require, REQUIRE_NONE);
	lab_no_rule(&key);
}

static const uint8_t encrypted[64] = { 0x17, 3, 3, 0, 59 };

/* Hellos, the server's flight, the client's Finished: next comes its first application data. */
static struct lab_connection shake_hands(void)
{
	static const uint8_t client_hello[64] = { 0x16, 3, 1, 0, 59, 1 };
	static const uint8_t server_hello[64] = { 0x16, 3, 3, 0, 59, 2 };
	const struct policy_rule rule = { .require = REQUIRE_VERIFIED, .action = ACTION_BLOCK, .undecided = DOUBT_BLOCK };
	lab_set(MODE_BLOCK, &rule, false, false);
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	lab_send(connection.client, connection.server, client_hello, 64, SIZE_MAX);
	lab_send(connection.server, connection.client, server_hello, 64, SIZE_MAX);
	lab_send(connection.server, connection.client, encrypted, 64, SIZE_MAX);
	lab_send(connection.client, connection.server, encrypted, 64, SIZE_MAX);
	return connection;
}

static void undecided_verification_blocks_application_data(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = shake_hands();
	assert_int_equal(send(connection.client, encrypted, 64, MSG_NOSIGNAL), 64);
	assert_int_equal(lab_wait(connection.client_port, EVENT_BLOCKED)->stopped, FACT(CLIENT_DATA));
	assert_int_equal(lab_waiting(connection.server), 0);
	lab_reset(&connection);
}

/* It is presented again by TCP's timer, and by whoever pushes the socket; by then its facts look like those of TLS that is up. */
static void blocked_application_data_stays_blocked(void **state)
{
	static const uint8_t long_record[133] = { 0x17, 3, 3, 0, 128 };
	int off = 0;
	(void)state;
	lab_needed();
	struct lab_connection connection = shake_hands();
	assert_int_equal(send(connection.client, long_record, sizeof(long_record), MSG_NOSIGNAL), sizeof(long_record));
	assert_int_equal(lab_wait(connection.client_port, EVENT_BLOCKED)->stopped, FACT(CLIENT_DATA) | FACT(CLIENT_PROCEEDED));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(setsockopt(connection.client, IPPROTO_TCP, TCP_CORK, &off, sizeof(off)), 0);
		usleep(100000);
		assert_int_equal(lab_waiting(connection.server), 0);
	}
	lab_reset(&connection);
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
	return cookie;
}

static bool is_known_as_blocked(uint64_t cookie, struct blocked_flow *entry)
{
	return bpf_map_lookup_elem(lab_map("blocked"), &cookie, entry) == 0;
}

/* For objects of other versions: who it was, as long as the socket is there. */
static void a_blocked_flow_is_written_down(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = greeted();
	struct blocked_flow entry;
	uint64_t cookie = cookie_of(connection.client);
	assert_false(is_known_as_blocked(cookie, &entry));
	write_only(connection.client, "MAIL FROM:<a>\r\n");
	struct flow_event event = *lab_wait(connection.client_port, EVENT_BLOCKED);
	assert_true(is_known_as_blocked(cookie, &entry));
	assert_int_equal(entry.flow_id, event.flow_id);
	assert_int_equal(entry.pid, event.pid);
	assert_int_equal(entry.uid, event.uid);
	assert_int_equal(entry.netns_cookie, event.netns_cookie);
	assert_int_equal(entry.client_port, event.client_port);
	assert_int_equal(entry.server_port, event.server_port);
	assert_memory_equal(entry.client_address, event.client_address, 16);
	assert_memory_equal(entry.server_address, event.server_address, 16);
	assert_true(entry.blocked_ns > event.opened_ns);
	lab_reset(&connection);
	assert_false(is_known_as_blocked(cookie, &entry));
}

/* A socket without storage, as those of another version's object are to this one. */
static void what_another_version_blocked_stays_blocked(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.other_port);
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	const struct blocked_flow entry = { .flow_id = 1 };
	struct blocked_flow found;
	struct sockaddr_storage address;
	uint64_t cookie = cookie_of(connection.client), dropped = lab_counter(COUNTER_SEGMENTS_DROPPED);
	uint8_t used[65536] = { 0 };
	uint32_t zero = 0;
	used[lab.other_port] = used[lab.starttls_port] = used[lab.implicit_port] = 1;
	assert_false(lab_has_storage(connection.client));
	assert_int_equal(bpf_map_update_elem(lab_map("flow_ports"), &zero, used, BPF_ANY), 0);
	say(connection.client, connection.server, "EHLO a\r\n");
	assert_int_equal(bpf_map_update_elem(lab_map("blocked"), &cookie, &entry, BPF_ANY), 0);
	write_only(connection.client, "AUTH PLAIN " LAB_SECRET "\r\n");
	for (unsigned waited = 0; waited < 10000 && lab_counter(COUNTER_SEGMENTS_DROPPED) < dropped + 2; waited++)
		usleep(1000);
	assert_true(lab_counter(COUNTER_SEGMENTS_DROPPED) >= dropped + 2);
	assert_int_equal(lab_waiting(connection.server), 0);
	/* connected again it is another flow, with the same cookie */
	assert_int_equal(connect(connection.client, &nowhere, sizeof(nowhere)), 0);
	unsigned size = lab_address(LAB_IPV4, lab.other_port, &address);
	assert_int_equal(connect(connection.client, (struct sockaddr *)&address, size), 0);
	assert_int_equal(cookie_of(connection.client), cookie);
	assert_false(is_known_as_blocked(cookie, &found));
	close(connection.server);
	connection.server = lab_accept(lab.other_port);
	say(connection.client, connection.server, "EHLO b\r\n");
	close(connection.client);
	close(connection.server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(split_auth_never_completes, fresh),
		cmocka_unit_test_setup(command_split_into_bytes_never_completes, fresh),
		cmocka_unit_test_setup(urgent_byte_hides_no_command, fresh),
		cmocka_unit_test_setup(record_header_hides_no_command, fresh),
		cmocka_unit_test_setup(plaintext_behind_a_client_hello_is_not_told, fresh),
		cmocka_unit_test_setup(monitor_only_marks, fresh),
		cmocka_unit_test_setup(action_monitor_only_marks_in_block_mode, fresh),
		cmocka_unit_test_setup(nothing_required_passes, fresh),
		cmocka_unit_test_setup(mode_changes_at_the_next_command, fresh),
		cmocka_unit_test_setup(rules_by_prefix_and_port, fresh),
		cmocka_unit_test_setup(rules_by_scope, fresh),
		cmocka_unit_test_setup(an_exception_passes, fresh),
		cmocka_unit_test_setup(undecided_verification_blocks_application_data, fresh),
		cmocka_unit_test_setup(blocked_application_data_stays_blocked, fresh),
		cmocka_unit_test_setup(a_blocked_flow_is_written_down, fresh),
		cmocka_unit_test_setup(what_another_version_blocked_stays_blocked, fresh),
	};
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
