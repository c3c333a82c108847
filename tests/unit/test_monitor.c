/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connection between agent and monitor, from both ends: what a taken-over agent may send, and a monitor that fails. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "monitor.h"
#include "monitor_server.h"

struct fixture {
	struct monitor_server server;
	struct config config;
	int lanes[LANE_COUNT]; /* the agent's ends */
	unsigned started;
};

static void note_started(void *context)
{
	((struct fixture *)context)->started++;
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	fixture->config.ports[0].number = 25;
	fixture->config.port_count = 1;
	fixture->server.config = &fixture->config;
	fixture->server.started = note_started;
	fixture->server.context = fixture;
	pthread_mutex_init(&fixture->server.snapshot_lock, NULL);
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		int pair[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
		fixture->server.lanes[i] = pair[0];
		fixture->lanes[i] = pair[1];
	}
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	monitor_server_clear(&fixture->server);
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		close(fixture->server.lanes[i]);
		close(fixture->lanes[i]);
	}
	free(fixture);
	return 0;
}

struct packet {
	struct monitor_request_header header;
	_Alignas(8) __u8 body[MONITOR_MESSAGE_MAX];
};

/* Sends a request of length bytes on lane; returns whether the monitor goes on listening. */
static bool serve(struct fixture *fixture, enum monitor_lane lane, const struct packet *packet, size_t length)
{
	assert_int_equal(send(fixture->lanes[lane], packet, length, 0), length);
	return monitor_serve(&fixture->server, lane, MSG_DONTWAIT);
}

/* The result of a well-formed request. */
static int ask(struct fixture *fixture, enum monitor_operation operation, const void *body)
{
	const struct monitor_row *row = &monitor_rows[operation];
	struct packet packet = { .header = { .operation = operation } };
	struct {
		struct monitor_reply_header header;
		__u8 body[MONITOR_MESSAGE_MAX];
	} reply;
	int fd;
	if (body)
		memcpy(packet.body, body, row->request_size);
	assert_true(serve(fixture, row->lane, &packet, sizeof(packet.header) + row->request_size));
	assert_int_equal(monitor_receive(fixture->lanes[row->lane], &reply, sizeof(reply), &fd, MSG_DONTWAIT),
			 sizeof(reply.header) + row->reply_size);
	assert_int_equal(reply.header.operation, operation);
	if (fd >= 0)
		close(fd);
	return reply.header.result;
}

/* ---- what is no request ----------------------------------------------------------------------------------- */

static void packets_of_a_wrong_size_end_it(void **state)
{
	struct fixture *fixture = *state;
	struct packet packet;
	memset(&packet, 0, sizeof(packet));
	for (unsigned i = 0; i < MONITOR_OPERATION_COUNT; i++) {
		size_t right = sizeof(packet.header) + monitor_rows[i].request_size;
		packet.header.operation = i;
		assert_false(serve(fixture, monitor_rows[i].lane, &packet, right - 1));
		assert_false(serve(fixture, monitor_rows[i].lane, &packet, right + 1));
		assert_false(serve(fixture, monitor_rows[i].lane, &packet, sizeof(packet.header)));
		assert_false(serve(fixture, monitor_rows[i].lane, &packet, 3));
	}
	assert_int_equal(fixture->started, 0);
}

static void unknown_operations_end_it(void **state)
{
	static const __u32 numbers[] = { MONITOR_OPERATION_COUNT, MONITOR_OPERATION_COUNT + 1, 0x7fffffff, 0x80000000, 0xffffffff };
	struct fixture *fixture = *state;
	struct packet packet;
	memset(&packet, 0, sizeof(packet));
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		packet.header.operation = numbers[i];
		assert_false(serve(fixture, LANE_QUICK, &packet, sizeof(packet.header) + sizeof(struct monitor_nothing)));
	}
}

/* What takes long may not be asked where it would hold others up, and nothing runs in a thread that it is not made for. */
static void an_operation_has_one_lane(void **state)
{
	struct fixture *fixture = *state;
	struct packet packet;
	memset(&packet, 0, sizeof(packet));
	for (unsigned i = 0; i < MONITOR_OPERATION_COUNT; i++) {
		packet.header.operation = i;
		for (enum monitor_lane lane = 0; lane < LANE_COUNT; lane++) {
			if (lane != monitor_rows[i].lane)
				assert_false(serve(fixture, lane, &packet, sizeof(packet.header) + monitor_rows[i].request_size));
		}
	}
	assert_int_equal(fixture->started, 0);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void descriptors_are_not_taken(void **state)
{
	struct fixture *fixture = *state;
	const struct monitor_request_header header = { .operation = MONITOR_STARTED };
	const struct monitor_nothing body = { 0 };
	unsigned before = open_descriptors();
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(monitor_send(fixture->lanes[LANE_QUICK], &header, sizeof(header), &body, sizeof(body), 0, 0), 0);
		assert_true(monitor_serve(&fixture->server, LANE_QUICK, MSG_DONTWAIT));
	}
	assert_int_equal(open_descriptors(), before);
}

/* More than one fit where one is looked for, and the others would stay open. */
static void several_descriptors_end_it(void **state)
{
	struct fixture *fixture = *state;
	struct monitor_request_header header = { .operation = MONITOR_STARTED };
	struct monitor_nothing body = { 0 };
	struct iovec parts[] = { { &header, sizeof(header) }, { &body, sizeof(body) } };
	unsigned before = open_descriptors();
	for (unsigned count = 2; count <= 4; count++) {
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(4 * sizeof(int))];
		} space = { 0 };
		struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = &space,
					  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(count * sizeof(int)); /* of descriptor 0 */
		assert_true(sendmsg(fixture->lanes[LANE_QUICK], &message, 0) > 0);
		assert_false(monitor_serve(&fixture->server, LANE_QUICK, MSG_DONTWAIT));
	}
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(fixture->started, 0);
}

/* Requests without end, and nobody reads what comes back: the monitor has others to attend to, and does not stand still. */
static void an_agent_that_takes_no_answers(void **state)
{
	struct fixture *fixture = *state;
	const struct packet packet = { .header = { .operation = MONITOR_PRIVILEGES } };
	bool listening = true;
	alarm(20); /* it would wait for ever */
	for (unsigned i = 0; i < 10000 && listening; i++)
		listening = serve(fixture, LANE_QUICK, &packet, sizeof(packet.header) + sizeof(struct monitor_privileges_request));
	alarm(0);
	assert_false(listening);
}

static void *stop_lanes(void *server)
{
	monitor_lanes_stop(server);
	return NULL;
}

static bool is_waiting(int socket)
{
	__u8 byte;
	return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC) > 0;
}

/* However many errands are under way: the one at hand is done, and no other is begun. */
static void the_end_does_not_wait_for_errands(void **state)
{
	struct fixture *fixture = *state;
	const struct packet packet = { .header = { .operation = MONITOR_WITNESS_TIDY } };
	size_t size = sizeof(packet.header) + sizeof(struct monitor_witness_tidy_request);
	unsigned left = 0;
	pthread_t stopper;
	fixture->server.kernel = calloc(1, 65536); /* one without a witness: all of it is zero */
	assert_non_null(fixture->server.kernel);
	pthread_mutex_lock(&fixture->server.snapshot_lock); /* an errand takes it */
	assert_int_equal(send(fixture->lanes[LANE_WITNESS], &packet, size, 0), size);
	assert_int_equal(monitor_lane_start(&fixture->server, LANE_WITNESS), 0);
	while (is_waiting(fixture->server.lanes[LANE_WITNESS]))
		sched_yield();
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(send(fixture->lanes[LANE_WITNESS], &packet, size, 0), size);
	assert_int_equal(pthread_create(&stopper, NULL, stop_lanes, &fixture->server), 0);
	while (send(fixture->lanes[LANE_WITNESS], &packet, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN)
		sched_yield(); /* until it has shut the lane down */
	pthread_mutex_unlock(&fixture->server.snapshot_lock);
	pthread_join(stopper, NULL);
	while (recv(fixture->server.lanes[LANE_WITNESS], (__u8[1]){ 0 }, 1, MSG_DONTWAIT) > 0)
		left++;
	assert_true(left >= 10);
	free(fixture->server.kernel);
	fixture->server.kernel = NULL;
}

static void the_end_ends_it(void **state)
{
	struct fixture *fixture = *state;
	assert_true(monitor_serve(&fixture->server, LANE_QUICK, MSG_DONTWAIT)); /* nothing there yet */
	shutdown(fixture->lanes[LANE_QUICK], SHUT_RDWR);
	assert_false(monitor_serve(&fixture->server, LANE_QUICK, MSG_DONTWAIT));
}

/* Right in size, and otherwise anything: nothing is done with a kernel that is not there, and nothing breaks. */
static void noise_of_the_right_size(void **state)
{
	struct fixture *fixture = *state;
	__u8 body[MONITOR_MESSAGE_MAX];
	srandom(4);
	for (unsigned round = 0; round < 2000; round++) {
		enum monitor_operation operation = (enum monitor_operation)(round % MONITOR_OPERATION_COUNT);
		if (operation == MONITOR_START || monitor_rows[operation].lane == LANE_WITNESS)
			continue; /* the one would attach hooks, the others have no answer */
		for (size_t i = 0; i < sizeof(body); i++)
			body[i] = (__u8)(round % 3 == 0 ? random() : round % 3 == 1 ? 0xff : 0);
		fixture->server.stopped = false;
		ask(fixture, operation, body);
	}
}

/* ---- values ----------------------------------------------------------------------------------------------- */

static void modes_and_verdicts(void **state)
{
	struct fixture *fixture = *state;
	for (__u64 value = 0; value < 6; value++) {
		const struct monitor_set_mode_request mode = { .mode = value };
		const struct monitor_set_identity_request identity = { .flow_id = 7, .identity = value };
		assert_int_equal(ask(fixture, MONITOR_SET_MODE, &mode), value <= MODE_BLOCK ? -ENODEV : -EINVAL);
		assert_int_equal(ask(fixture, MONITOR_SET_IDENTITY, &identity), value <= IDENTITY_LEFT_OPEN ? -ENODEV : -EINVAL);
	}
	const struct monitor_set_mode_request wide = { .mode = 1ULL << 32 };
	assert_int_equal(ask(fixture, MONITOR_SET_MODE, &wide), -EINVAL);
}

static void sockets_on_other_ports_are_not_touched(void **state)
{
	static const enum monitor_operation operations[] = { MONITOR_DESTROY_SOCKET, MONITOR_FIND_SOCKET, MONITOR_RELEASE_SOCKET };
	struct fixture *fixture = *state;
	for (unsigned i = 0; i < 3; i++) {
		struct monitor_destroy_socket_request request = { .event = { .server_port = 25, .pid = 1 } };
		assert_int_equal(ask(fixture, operations[i], &request), -ENODEV);
		request.event.server_port = 22;
		assert_int_equal(ask(fixture, operations[i], &request), -EINVAL);
		request.event.server_port = 25;
		request.event.pid = 0x80000000; /* as a pid_t: a process group */
		assert_int_equal(ask(fixture, operations[i], &request), -EINVAL);
		request.event.pid = 1;
		request.pid = 1ULL << 40;
		assert_int_equal(ask(fixture, operations[i], &request), -EINVAL);
		request.pid = 1;
		request.event.socket_cookie = UINT64_MAX; /* which inet_diag takes for "any" */
		assert_int_equal(ask(fixture, operations[i], &request), -EINVAL);
	}
}

static struct monitor_policy_rule_request good_rule(void)
{
	struct monitor_policy_rule_request rule = { .key = { .prefix_length = POLICY_KEY_FIXED_BITS + 128 },
						    .rule = { .id = 1, .require = REQUIRE_VERIFIED, .min_tls = 0x0303 } };
	return rule;
}

static void begin(struct fixture *fixture, __u64 count)
{
	const struct monitor_policy_begin_request request = { .count = count };
	assert_int_equal(ask(fixture, MONITOR_POLICY_BEGIN, &request), 0);
}

static void rules_are_checked(void **state)
{
	struct fixture *fixture = *state;
	struct monitor_policy_rule_request rule;
	begin(fixture, 100);
#define REFUSED(change) \
	do { \
		rule = good_rule(); \
		change; \
		assert_int_equal(ask(fixture, MONITOR_POLICY_RULE, &rule), -EINVAL); \
	} while (0)
	REFUSED(rule.key.prefix_length = POLICY_KEY_FIXED_BITS - 1);
	REFUSED(rule.key.prefix_length = POLICY_KEY_FIXED_BITS + 129);
	REFUSED(rule.key.reserved = 1);
	REFUSED(rule.rule.require = 3);
	REFUSED(rule.rule.action = 2);
	REFUSED(rule.rule.unknown = 2);
	REFUSED(rule.rule.undecided = 2);
	REFUSED(rule.rule.min_tls = 1);
	REFUSED(rule.rule.id = POLICY_MAX_RULES + 1);
	REFUSED(rule.rule.reserved[2] = 1);
	REFUSED(rule.for_user = 2);
	REFUSED(strcpy(rule.cgroup, "../../etc"));
	REFUSED(strcpy(rule.cgroup, "a/../../etc"));
	REFUSED(strcpy(rule.cgroup, "/a/.."));
	REFUSED(strcpy(rule.cgroup, ".."));
	REFUSED(memset(rule.cgroup, 'a', sizeof(rule.cgroup)));
	rule = good_rule();
	strcpy(rule.cgroup, "/system.slice/..postfix.service");
	assert_int_equal(ask(fixture, MONITOR_POLICY_RULE, &rule), 0);
	assert_int_equal(fixture->server.staged_count, 1);
}

static void as_many_rules_as_were_said(void **state)
{
	struct fixture *fixture = *state;
	const struct monitor_policy_rule_request rule = good_rule();
	const struct monitor_policy_begin_request many = { .count = POLICY_MAX_RULES + 1 }, huge = { .count = UINT64_MAX },
						  bad = { .fallback = { .action = 9 }, .count = 1 };
	assert_int_equal(ask(fixture, MONITOR_POLICY_RULE, &rule), -ENOSPC);
	assert_int_equal(ask(fixture, MONITOR_POLICY_COMMIT, NULL), -EINVAL);
	assert_int_equal(ask(fixture, MONITOR_POLICY_BEGIN, &many), -EINVAL);
	assert_int_equal(ask(fixture, MONITOR_POLICY_BEGIN, &huge), -EINVAL);
	assert_int_equal(ask(fixture, MONITOR_POLICY_BEGIN, &bad), -EINVAL);
	begin(fixture, 2);
	assert_int_equal(ask(fixture, MONITOR_POLICY_RULE, &rule), 0);
	assert_int_equal(ask(fixture, MONITOR_POLICY_COMMIT, NULL), -EINVAL); /* one is missing */
	assert_int_equal(ask(fixture, MONITOR_POLICY_RULE, &rule), 0);
	assert_int_equal(ask(fixture, MONITOR_POLICY_RULE, &rule), -ENOSPC);
	assert_int_equal(ask(fixture, MONITOR_POLICY_COMMIT, NULL), -ENODEV); /* they are all there */
	begin(fixture, 1); /* anew: what was there is forgotten */
	assert_int_equal(fixture->server.staged_count, 0);
}

static void paths_are_not_the_agents(void **state)
{
	struct fixture *fixture = *state;
	struct monitor_user_id_request request;
	memset(&request, 'a', sizeof(request)); /* no NUL */
	assert_int_equal(ask(fixture, MONITOR_USER_ID, &request), -EINVAL);
	memset(&request, 0, sizeof(request));
	strcpy(request.name, "root");
	assert_int_equal(ask(fixture, MONITOR_USER_ID, &request), 0);
	strcpy(request.name, "no-such-user-here");
	assert_int_equal(ask(fixture, MONITOR_USER_ID, &request), -ENOENT);
	assert_int_equal(ask(fixture, MONITOR_OPEN_SINK, NULL), -ENOENT); /* the configuration has none */
	fixture->server.config_path = "/no/such/file";
	assert_int_equal(ask(fixture, MONITOR_OPEN_CONFIG, NULL), -ENOENT);
}

/* ---- the agent's end -------------------------------------------------------------------------------------- */

struct both {
	struct monitor *monitor;
	int monitors[LANE_COUNT], orders;
};

static struct both both_open(void)
{
	struct both both;
	int agents[LANE_COUNT], pair[2];
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
		both.monitors[i] = pair[0];
		agents[i] = pair[1];
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	both.orders = pair[0];
	both.monitor = monitor_new(agents, pair[1]);
	assert_non_null(both.monitor);
	return both;
}

static void both_close(struct both *both)
{
	monitor_free(both->monitor);
	for (unsigned i = 0; i < LANE_COUNT; i++)
		close(both->monitors[i]);
	close(both->orders);
}

static void a_monitor_that_is_gone(void **state)
{
	struct both both = both_open();
	struct kernel_problem problem;
	struct config config = { .mode = MODE_BLOCK };
	uint64_t counters[COUNTER_COUNT], size;
	unsigned count;
	uint32_t uid;
	(void)state;
	for (unsigned i = 0; i < LANE_COUNT; i++)
		shutdown(both.monitors[i], SHUT_RDWR);
	assert_int_equal(monitor_set_mode(both.monitor, MODE_BLOCK), -EPIPE);
	assert_int_equal(monitor_mode(both.monitor), MODE_MONITOR); /* as it was */
	assert_int_equal(monitor_set_policy(both.monitor, &config), -EPIPE);
	assert_int_equal(monitor_open_sink(both.monitor), -EPIPE);
	assert_false(monitor_user_id(both.monitor, "root", &uid));
	assert_null(monitor_cgroup_path(both.monitor, 1));
	assert_null(monitor_witness_state(both.monitor));
	monitor_hooks(both.monitor, &count);
	assert_int_equal(count, 0);
	memset(counters, 0xff, sizeof(counters));
	monitor_counters(both.monitor, counters);
	assert_int_equal(counters[0], 0);
	assert_int_equal(monitor_start(both.monitor, &config, &size, &problem), -1);
	assert_int_equal(problem.exit_code, EX_OSERR);
	assert_true(problem.text[0] != 0);
	both_close(&both);
}

static void answer(int socket, enum monitor_operation operation, int result, const void *body, size_t size, int fd)
{
	const struct monitor_reply_header header = { .operation = operation, .result = result };
	assert_int_equal(monitor_send(socket, &header, sizeof(header), body, size, fd, 0), 0);
}

static void answers_that_do_not_fit(void **state)
{
	struct both both = both_open();
	static const __u8 body[64];
	(void)state;
	answer(both.monitors[LANE_QUICK], MONITOR_SET_MODE, 0, body, sizeof(struct monitor_nothing) + 1, -1);
	assert_int_equal(monitor_set_mode(both.monitor, MODE_BLOCK), -EPROTO);
	answer(both.monitors[LANE_QUICK], MONITOR_STOP, 0, body, sizeof(struct monitor_nothing), -1);
	assert_int_equal(monitor_set_mode(both.monitor, MODE_BLOCK), -EPROTO);
	answer(both.monitors[LANE_FILES], MONITOR_OPEN_SINK, 0, body, sizeof(struct monitor_nothing), -1);
	assert_int_equal(monitor_open_sink(both.monitor), -EPROTO); /* no descriptor came along */
	answer(both.monitors[LANE_QUICK], MONITOR_SET_MODE, 0, body, sizeof(struct monitor_nothing), -1);
	assert_int_equal(monitor_set_mode(both.monitor, MODE_BLOCK), 0);
	assert_int_equal(monitor_mode(both.monitor), MODE_BLOCK);
	both_close(&both);
}

static unsigned taken;

static void take(void *context, enum monitor_operation operation, uint64_t flow_id, int result)
{
	(void)context;
	assert_int_equal(operation, MONITOR_DESTROY_SOCKET);
	assert_int_equal(flow_id, 77);
	assert_int_equal(result, -ENOENT);
	taken++;
}

/* Nobody waits for an errand, and one too many is counted. */
static void errands_do_not_wait(void **state)
{
	struct both both = both_open();
	const struct flow_event event = { .flow_id = 77 };
	const struct monitor_destroy_socket_reply reply = { .flow_id = 77 };
	unsigned sent = 0;
	(void)state;
	while (monitor_destroy_socket(both.monitor, &event) == 0 && sent < 1000000)
		sent++;
	assert_in_range(sent, 16, 999999);
	assert_int_equal(monitor_errands_lost(both.monitor), 1);
	answer(both.monitors[LANE_SOCKETS], MONITOR_DESTROY_SOCKET, -ENOENT, &reply, sizeof(reply), -1);
	answer(both.monitors[LANE_SOCKETS], MONITOR_DESTROY_SOCKET, -ENOENT, &reply, sizeof(reply), -1);
	taken = 0;
	monitor_read_answers(both.monitor, take, NULL);
	assert_int_equal(taken, 2);
	both_close(&both);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(packets_of_a_wrong_size_end_it),
		TEST(unknown_operations_end_it),
		TEST(an_operation_has_one_lane),
		TEST(descriptors_are_not_taken),
		TEST(several_descriptors_end_it),
		TEST(an_agent_that_takes_no_answers),
		TEST(the_end_does_not_wait_for_errands),
		TEST(the_end_ends_it),
		TEST(noise_of_the_right_size),
		TEST(modes_and_verdicts),
		TEST(sockets_on_other_ports_are_not_touched),
		TEST(rules_are_checked),
		TEST(as_many_rules_as_were_said),
		TEST(paths_are_not_the_agents),
		cmocka_unit_test(a_monitor_that_is_gone),
		cmocka_unit_test(answers_that_do_not_fit),
		cmocka_unit_test(errands_do_not_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
