/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The life of a flow in the kernel: how connections begin and end, and which sockets are none of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "dialogue_run.h"
#include "lab.h"

static const char greeting[] = "220 mx.example\r\n", ehlo[] = "EHLO client.example\r\n";

static void say(int from, int to, const char *text)
{
	lab_send(from, to, (const uint8_t *)text, strlen(text), SIZE_MAX);
}

static int fresh(void **state)
{
	(void)state;
	if (!lab.missing) {
		lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
		lab_forget_events();
	}
	return 0;
}

static void identity_and_addresses(void **state)
{
	(void)state;
	static const uint8_t v4[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, v6[16] = { [15] = 1 };
	char comm[16] = "";
	FILE *file = fopen("/proc/self/comm", "re");
	lab_needed();
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%15s", comm), 1);
	fclose(file);
	for (enum lab_family family = 0; family < LAB_FAMILIES; family++) {
		uint64_t cookie = 0;
		socklen_t size = sizeof(cookie);
		struct lab_connection connection = lab_connect(family, lab.starttls_port);
		struct flow_event event = *lab_wait(connection.client_port, EVENT_OPENED);
		assert_int_equal(getsockopt(connection.client, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
		assert_int_equal(event.socket_cookie, cookie);
		assert_int_equal(event.pid, getpid());
		assert_int_equal(event.uid, getuid());
		assert_int_equal(event.cgroup_id, lab.cgroup_id);
		assert_string_equal(event.comm, comm);
		assert_int_equal(event.server_port, lab.starttls_port);
		assert_memory_equal(event.client_address, family == LAB_IPV6 ? v6 : v4, 16);
		assert_memory_equal(event.server_address, family == LAB_IPV6 ? v6 : v4, 16);
		lab_close(&connection);
	}
}

static void events_are_numbered_without_holes(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.starttls_port);
	say(connection.server, connection.client, greeting);
	say(connection.client, connection.server, "HELO a\r\n");
	say(connection.client, connection.server, "MAIL FROM:<a>\r\n");
	lab_close(&connection);
	assert_int_equal(lab.count, 3);
	for (unsigned i = 0; i < lab.count; i++) {
		assert_int_equal(lab.events[i].sequence, i + 1);
		assert_int_equal(lab.events[i].flow_id, lab.events[0].flow_id);
	}
	assert_int_equal(lab.events[0].reason, EVENT_OPENED);
	assert_int_equal(lab.events[1].reason, EVENT_PROGRESS);
	assert_int_equal(lab.events[2].reason, EVENT_CLOSED);
}

/* A second AUTH is told as it comes. Half a response of "user NUL password" must not show the password's half. */
static void an_account_is_told_only_when_it_is_known(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.starttls_port);
	say(connection.server, connection.client, greeting);
	say(connection.client, connection.server, "EHLO a\r\n");
	say(connection.server, connection.client, "250 mx.example\r\n");
	say(connection.client, connection.server, "AUTH PLAIN AHVzZXIAcGFzcw==\r\n");
	assert_string_equal(lab_wait(connection.client_port, EVENT_PROGRESS)->account, "user");
	say(connection.server, connection.client, "535 wrong\r\n");
	lab_forget_events();
	say(connection.client, connection.server, "AUTH PLAIN dXNlcgBodW50ZXIy");
	const struct flow_event *event = lab_wait(connection.client_port, EVENT_PROGRESS);
	assert_string_equal(event->mechanism, "PLAIN");
	for (size_t i = 0; i < ACCOUNT_SIZE; i++)
		assert_int_equal(event->account[i], 0);
	lab_reset(&connection);
}

static void other_ports_are_left_alone(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.other_port);
	say(connection.client, connection.server, "AUTH PLAIN AHVzZXIAcGFzcw==\r\n");
	assert_false(lab_has_storage(connection.client));
	close(connection.client);
	close(connection.server);
	struct lab_connection watched = lab_connect(LAB_IPV4, lab.starttls_port); /* comes behind what may have come */
	lab_close(&watched);
	assert_int_equal(lab_count(connection.client_port, EVENT_OPENED), 0);
	assert_int_equal(lab_count(connection.client_port, EVENT_CLOSED), 0);
}

/* A server's socket in the watched cgroup: its local port is watched, but what it sends is no client's. */
static void accepted_sockets_have_no_storage(void **state)
{
	(void)state;
	struct sockaddr_storage address;
	lab_needed();
	int listener = lab_socket(LAB_IPV4);
	unsigned size = lab_address(LAB_IPV4, 0, &address);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	size = lab_address(LAB_IPV4, lab_local_port(listener), &address);
	int client = lab_socket(LAB_IPV4);
	assert_int_equal(connect(client, (struct sockaddr *)&address, size), 0);
	int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(accepted >= 0);
	assert_false(lab_has_storage(accepted));
	say(accepted, client, "AUTH PLAIN AHVzZXIAcGFzcw==\r\n");
	assert_false(lab_has_storage(accepted));
	close(accepted);
	close(client);
	close(listener);
	struct lab_connection watched = lab_connect(LAB_IPV4, lab.starttls_port);
	assert_true(lab_has_storage(watched.client));
	assert_false(lab_has_storage(watched.server));
	lab_close(&watched);
	assert_int_equal(lab.count, 2); /* of the last one alone */
}

static void a_socket_connected_again_is_another_flow(void **state)
{
	(void)state;
	struct sockaddr_storage address;
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	lab_needed();
	struct lab_connection first = lab_connect(LAB_IPV4, lab.starttls_port);
	say(first.server, first.client, greeting);
	say(first.client, first.server, "HELO a\r\n");
	say(first.client, first.server, "AUTH PLAIN AHVzZXIAcGFzcw==\r\n");
	assert_int_equal(connect(first.client, &nowhere, sizeof(nowhere)), 0);
	close(first.server);
	struct flow_event before = *lab_wait(first.client_port, EVENT_CLOSED);
	assert_string_equal(before.account, "user");

	unsigned size = lab_address(LAB_IPV4, lab.implicit_port, &address);
	assert_int_equal(connect(first.client, (struct sockaddr *)&address, size), 0);
	struct lab_connection second = { .client = first.client, .server = lab_accept(lab.implicit_port),
					 .client_port = lab_local_port(first.client) };
	struct flow_event after = lab_close(&second);
	assert_int_not_equal(after.flow_id, before.flow_id);
	assert_int_equal(after.facts, 0);
	assert_int_equal(after.implicit_tls, 1);
	assert_string_equal(after.mechanism, "");
	assert_string_equal(after.account, "");
	assert_int_equal(after.sequence, 2);
}

static void a_socket_connected_again_elsewhere_is_none(void **state)
{
	(void)state;
	struct sockaddr_storage address;
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	lab_needed();
	struct lab_connection first = lab_connect(LAB_IPV4, lab.starttls_port);
	assert_int_equal(connect(first.client, &nowhere, sizeof(nowhere)), 0);
	close(first.server);
	lab_wait(first.client_port, EVENT_CLOSED);
	lab_forget_events();
	unsigned size = lab_address(LAB_IPV4, lab.other_port, &address);
	assert_int_equal(connect(first.client, (struct sockaddr *)&address, size), 0);
	int server = lab_accept(lab.other_port);
	assert_false(lab_has_storage(first.client));
	say(first.client, server, "AUTH PLAIN AHVzZXIAcGFzcw==\r\n");
	close(first.client);
	close(server);
	lab_read_events();
	assert_int_equal(lab.count, 0);
}

static void connect_without_blocking(void **state)
{
	(void)state;
	struct sockaddr_storage address;
	int error = 0;
	socklen_t length = sizeof(error);
	lab_needed();
	struct lab_connection connection = { .client = lab_socket(LAB_IPV6) };
	unsigned size = lab_address(LAB_IPV6, lab.starttls_port, &address);
	assert_int_equal(fcntl(connection.client, F_SETFL, O_NONBLOCK), 0);
	if (connect(connection.client, (struct sockaddr *)&address, size) < 0) {
		struct pollfd ready = { .fd = connection.client, .events = POLLOUT };
		assert_int_equal(errno, EINPROGRESS);
		assert_int_equal(poll(&ready, 1, 10000), 1);
	}
	assert_int_equal(getsockopt(connection.client, SOL_SOCKET, SO_ERROR, &error, &length), 0);
	assert_int_equal(error, 0);
	connection.server = lab_accept(lab.starttls_port);
	connection.client_port = lab_local_port(connection.client);
	say(connection.server, connection.client, greeting);
	say(connection.client, connection.server, ehlo);
	assert_int_equal(lab_close(&connection).facts, FACT(GREETING_ACCEPTED) | FACT(EHLO_SENT));
}

static bool allow_fast_open(void)
{
	/* client and server, data in the SYN without a cookie, on every listener (Documentation/networking/ip-sysctl) */
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_fastopen", "we");
	bool allowed = file && fputs("1543\n", file) >= 0;
	return file && fclose(file) == 0 && allowed;
}

static void bytes_in_the_syn(void **state)
{
	(void)state;
	static const char both[] = "EHLO client.example\r\nSTARTTLS\r\n";
	struct sockaddr_storage address;
	struct tcp_info info;
	socklen_t info_size = sizeof(info);
	char received[64];
	lab_needed();
	if (!allow_fast_open()) {
		print_message("TCP Fast Open cannot be switched on\n");
		skip();
	}
	struct lab_connection connection = { .client = lab_socket(LAB_IPV4) };
	unsigned size = lab_address(LAB_IPV4, lab.starttls_port, &address);
	assert_int_equal(sendto(connection.client, both, strlen(both), MSG_FASTOPEN, (struct sockaddr *)&address, size), strlen(both));
	connection.server = lab_accept(lab.starttls_port);
	connection.client_port = lab_local_port(connection.client);
	assert_int_equal(recv(connection.server, received, sizeof(received), 0), strlen(both));
	assert_int_equal(getsockopt(connection.client, IPPROTO_TCP, TCP_INFO, &info, &info_size), 0);
	assert_int_not_equal(info.tcpi_options & TCPI_OPT_SYN_DATA, 0); /* or this has tested nothing */
	say(connection.server, connection.client, "220 mx.example\r\n250-mx.example\r\n250 STARTTLS\r\n220 go\r\n");
	struct flow_event event = lab_close(&connection);
	assert_int_equal(event.facts, FACT(GREETING_ACCEPTED) | FACT(EHLO_SENT) | FACT(EHLO_ACCEPTED) | FACT(STARTTLS_OFFERED) |
					      FACT(STARTTLS_ASKED) | FACT(STARTTLS_ACCEPTED));
	assert_int_equal(event.starttls_code, 220);
}

static void who_ended_it(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.starttls_port);
	assert_int_equal(lab_close(&connection).end, FLOW_END_CLIENT);

	connection = lab_connect(LAB_IPV4, lab.starttls_port);
	say(connection.server, connection.client, greeting);
	shutdown(connection.server, SHUT_WR);
	char byte;
	assert_int_equal(recv(connection.client, &byte, 1, 0), 0);
	struct flow_event event = lab_close(&connection);
	assert_int_equal(event.end, FLOW_END_SERVER);
	assert_int_equal(event.bytes_received, strlen(greeting));
	assert_int_equal(event.bytes_sent, 0);

	connection = lab_connect(LAB_IPV4, lab.starttls_port);
	assert_int_equal(lab_reset(&connection).end, FLOW_END_RESET);
}

static bool is_told_of_the_sender(uint16_t port)
{
	struct lab_connection connection = lab_connect(LAB_IPV4, port);
	bool told = lab_wait(connection.client_port, EVENT_OPENED)->sender_is_new;
	lab_close(&connection);
	return told;
}

/*
 * The agent looks for a process's TLS library once it hears of it: not at a connection that comes to nothing. And again
 * after a while: the process may have loaded another by then, or be another one with the same number.
 */
static void a_sender_is_new_until_it_is_told(void **state)
{
	(void)state;
	const uint8_t kind = PORT_STARTTLS;
	const uint16_t nobody_listens = 1;
	uint32_t pid = (uint32_t)getpid();
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	/* an hour; where the machine has not run for that long yet, the difference is still right */
	uint64_t long_ago = ((uint64_t)now.tv_sec - 3600) * 1000000000ULL;
	struct sockaddr_storage address;
	lab_needed();
	bpf_map_delete_elem(lab_map("senders"), &pid);
	assert_int_equal(bpf_map_update_elem(lab_map("ports"), &nobody_listens, &kind, BPF_ANY), 0);
	int refused = lab_socket(LAB_IPV4);
	unsigned size = lab_address(LAB_IPV4, nobody_listens, &address);
	assert_int_equal(connect(refused, (struct sockaddr *)&address, size), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(refused);
	assert_true(is_told_of_the_sender(lab.starttls_port));
	assert_false(is_told_of_the_sender(lab.starttls_port));
	assert_int_equal(bpf_map_update_elem(lab_map("senders"), &pid, &long_ago, BPF_EXIST), 0);
	assert_true(is_told_of_the_sender(lab.starttls_port));
	assert_int_equal(bpf_map_delete_elem(lab_map("ports"), &nobody_listens), 0);
}

/* What is stopped in a SYN may never come to be a connection. */
static void what_was_never_opened_is_not_closed(void **state)
{
	(void)state;
	const struct policy_rule encrypted = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK };
	static const char auth[] = "AUTH PLAIN " LAB_SECRET "\r\n";
	const uint8_t kind = PORT_STARTTLS;
	const uint16_t nobody_listens = 1;
	struct sockaddr_storage address;
	lab_needed();
	if (!allow_fast_open()) {
		print_message("TCP Fast Open cannot be switched on\n");
		skip();
	}
	lab_set(MODE_BLOCK, &encrypted, false, false);
	assert_int_equal(bpf_map_update_elem(lab_map("ports"), &nobody_listens, &kind, BPF_ANY), 0);
	uint64_t opened = lab_counter(COUNTER_FLOWS_OPENED), closed = lab_counter(COUNTER_FLOWS_CLOSED),
		 blocked = lab_counter(COUNTER_FLOWS_BLOCKED);
	int client = lab_socket(LAB_IPV4);
	unsigned size = lab_address(LAB_IPV4, nobody_listens, &address);
	assert_int_equal(sendto(client, auth, strlen(auth), MSG_FASTOPEN, (struct sockaddr *)&address, size), -1);
	close(client);
	assert_int_equal(lab_counter(COUNTER_FLOWS_BLOCKED), blocked + 1); /* or this has tested nothing */
	assert_int_equal(lab_counter(COUNTER_FLOWS_OPENED), opened);
	assert_int_equal(lab_counter(COUNTER_FLOWS_CLOSED), closed);
	assert_int_equal(bpf_map_delete_elem(lab_map("ports"), &nobody_listens), 0);
}

#define UID_NONE 0xffffffffU

/* Nobody is known to have connected it, so no user's rule holds, not root's either. */
static void a_socket_whose_connect_was_not_seen_is_nobodys(void **state)
{
	(void)state;
	const struct policy_rule encrypted = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK }, none = { .require = REQUIRE_NONE };
	const struct policy_key root = { .prefix_length = POLICY_KEY_FIXED_BITS, .scope_high = POLICY_SCOPE_USER(0) >> 32 };
	const uint8_t kind = PORT_STARTTLS;
	struct sockaddr_storage address;
	char received[64];
	int on = 1;
	lab_needed();
	if (!allow_fast_open()) {
		print_message("TCP Fast Open cannot be switched on\n");
		skip();
	}
	lab_set(MODE_MONITOR, &encrypted, true, false);
	lab_rule(&root, &none);
	struct lab_connection connection = { .client = lab_socket(LAB_IPV4) };
	unsigned size = lab_address(LAB_IPV4, lab.starttls_port, &address);
	assert_int_equal(bpf_map_delete_elem(lab_map("ports"), &lab.starttls_port), 0);
	/* connect() comes back at once, and the first bytes send the SYN */
	assert_int_equal(setsockopt(connection.client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)), 0);
	assert_int_equal(connect(connection.client, (struct sockaddr *)&address, size), 0);
	assert_int_equal(bpf_map_update_elem(lab_map("ports"), &lab.starttls_port, &kind, BPF_ANY), 0);
	assert_int_equal(send(connection.client, ehlo, strlen(ehlo), MSG_NOSIGNAL), strlen(ehlo));
	connection.server = lab_accept(lab.starttls_port);
	connection.client_port = lab_local_port(connection.client);
	assert_int_equal(recv(connection.server, received, sizeof(received), 0), strlen(ehlo));
	const struct flow_event *event = lab_wait(connection.client_port, EVENT_OPENED);
	assert_int_equal(event->pid, 0);
	assert_int_equal(event->uid, UID_NONE);
	assert_int_equal(event->require, REQUIRE_ENCRYPTED);
	lab_no_rule(&root);
	lab_close(&connection);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(identity_and_addresses, fresh),
		cmocka_unit_test_setup(events_are_numbered_without_holes, fresh),
		cmocka_unit_test_setup(an_account_is_told_only_when_it_is_known, fresh),
		cmocka_unit_test_setup(other_ports_are_left_alone, fresh),
		cmocka_unit_test_setup(accepted_sockets_have_no_storage, fresh),
		cmocka_unit_test_setup(a_socket_connected_again_is_another_flow, fresh),
		cmocka_unit_test_setup(a_socket_connected_again_elsewhere_is_none, fresh),
		cmocka_unit_test_setup(connect_without_blocking, fresh),
		cmocka_unit_test_setup(bytes_in_the_syn, fresh),
		cmocka_unit_test_setup(who_ended_it, fresh),
		cmocka_unit_test_setup(a_sender_is_new_until_it_is_told, fresh),
		cmocka_unit_test_setup(what_was_never_opened_is_not_closed, fresh),
		cmocka_unit_test_setup(a_socket_whose_connect_was_not_seen_is_nobodys, fresh),
	};
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
