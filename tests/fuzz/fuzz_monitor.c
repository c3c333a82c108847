/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the monitor's side of its protocol: an agent that was taken over may send what it likes. Only the kernel is a
 * stub, and it requires of each call what monitor_operations.c promises to have checked. The input: packets; a byte that
 * says which lane, one that says which operation, and a piece: the request's body, or (bit 7) the whole packet.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cgroup.h"
#include "config.h"
#include "fuzz.h"
#include "kernel_forward.h"
#include "monitor_server.h"
#include "notify.h"

#define WHOLE_PACKET 0x80
#define PORT 25

struct kernel {
	bool open;
};

static struct kernel kernel_stub;
static struct config config;

/* ---- the kernel -------------------------------------------------------------------------------------------- */

struct kernel *kernel_open(const struct config *at_start, const struct kernel_processes *processes, struct kernel_problem *problem)
{
	(void)processes;
	(void)problem;
	REQUIRE(at_start == &config && !kernel_stub.open);
	kernel_stub.open = true;
	return &kernel_stub;
}

bool kernel_stays(const struct kernel *kernel, enum kernel_end how)
{
	(void)how;
	REQUIRE(kernel->open);
	return false;
}

void kernel_close(struct kernel *kernel, bool leave)
{
	(void)leave;
	if (!kernel)
		return;
	REQUIRE(kernel->open);
	kernel->open = false;
}

int kernel_ring_fd(const struct kernel *kernel)
{
	static int fd = -1;
	REQUIRE(kernel->open);
	if (fd < 0)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd;
}

uint64_t kernel_ring_size(const struct kernel *kernel)
{
	REQUIRE(kernel->open);
	return 4096;
}

int kernel_set_mode(struct kernel *kernel, enum policy_mode mode)
{
	REQUIRE(kernel->open && (mode == MODE_MONITOR || mode == MODE_BLOCK));
	return 0;
}

static void check_rule(const struct policy_rule *rule)
{
	REQUIRE(rule->require <= REQUIRE_VERIFIED && rule->action <= ACTION_BLOCK);
	REQUIRE(rule->unknown <= DOUBT_BLOCK && rule->undecided <= DOUBT_BLOCK && rule->id <= POLICY_MAX_RULES);
}

int kernel_set_policy(struct kernel *kernel, const struct config *wanted, int64_t now)
{
	(void)now;
	REQUIRE(kernel->open && wanted->rule_count <= POLICY_MAX_RULES);
	check_rule(&wanted->default_rule);
	for (unsigned i = 0; i < wanted->rule_count; i++) {
		const struct config_rule *rule = &wanted->rules[i];
		check_rule(&rule->rule);
		REQUIRE(rule->key.prefix_length >= POLICY_KEY_FIXED_BITS && rule->key.prefix_length <= POLICY_KEY_FIXED_BITS + 128);
		REQUIRE(!rule->cgroup || !strstr(rule->cgroup, "/../"));
	}
	return wanted->rule_count % 3 == 2 ? -ENOSPC : 0;
}

static int check_event(const struct kernel *kernel, const struct flow_event *event)
{
	REQUIRE(kernel->open && event->server_port == PORT && event->pid <= INT32_MAX && event->socket_cookie != UINT64_MAX);
	return event->pid & 1 ? -ENOENT : 0;
}

int kernel_destroy_socket(struct kernel *kernel, const struct flow_event *event)
{
	return check_event(kernel, event);
}

int kernel_find_socket(struct kernel *kernel, const struct flow_event *event)
{
	return check_event(kernel, event);
}

int kernel_release_socket(struct kernel *kernel, const struct flow_event *event, uint32_t pid)
{
	REQUIRE(pid <= INT32_MAX);
	return check_event(kernel, event);
}

int kernel_set_identity(struct kernel *kernel, uint64_t flow_id, enum identity identity)
{
	(void)flow_id;
	REQUIRE(kernel->open && identity <= IDENTITY_LEFT_OPEN);
	return 0;
}

void kernel_follow_cgroup(struct kernel *kernel)
{
	(void)kernel;
}

void kernel_heartbeat(struct kernel *kernel)
{
	REQUIRE(kernel->open);
}

const struct kernel_witness_state *kernel_witness_state(const struct kernel *kernel)
{
	static const struct kernel_witness_state state = { .active = true };
	REQUIRE(kernel->open);
	return &state;
}

const struct kernel_library *kernel_witness_library(const struct kernel *kernel, unsigned *position)
{
	static const struct kernel_library library = { .path = "/usr/lib/libssl.so.3" };
	REQUIRE(kernel->open);
	return (*position)++ < 2 ? &library : NULL;
}

void kernel_witness_sender(struct kernel *kernel, uint32_t pid)
{
	REQUIRE(kernel->open && pid > 0 && pid <= INT32_MAX);
}

void kernel_witness_tidy(struct kernel *kernel)
{
	REQUIRE(kernel->open);
}

void kernel_tidy(struct kernel *kernel)
{
	REQUIRE(kernel->open);
}

void kernel_counters(const struct kernel *kernel, uint64_t counters[COUNTER_COUNT])
{
	REQUIRE(kernel->open);
	memset(counters, 0, COUNTER_COUNT * sizeof(*counters));
}

bool kernel_forward_hook(const struct kernel *kernel, unsigned index, struct kernel_hook *hook, char name[KERNEL_FORWARD_NAME_SIZE])
{
	REQUIRE(kernel->open);
	if (index > 0)
		return false;
	strcpy(name, "tcx/eth0");
	*hook = (struct kernel_hook){ .name = name, .attached = true };
	return true;
}

const char *kernel_forward_name(const struct kernel *kernel, uint64_t ifindex)
{
	REQUIRE(kernel->open);
	return ifindex == 2 ? "eth0" : NULL;
}

const struct kernel_hook *kernel_hooks(const struct kernel *kernel, unsigned *count)
{
	static const struct kernel_hook hooks[2] = { { .name = "cgroup/egress", .attached = true }, { .name = "cgroup/ingress" } };
	REQUIRE(kernel->open);
	*count = 2;
	return hooks;
}

const char *kernel_cgroup(const struct kernel *kernel)
{
	REQUIRE(kernel->open);
	return "/sys/fs/cgroup";
}

char *kernel_cgroup_path(const struct kernel *kernel, uint64_t cgroup_id)
{
	REQUIRE(kernel->open);
	return cgroup_id & 1 ? NULL : strdup("/system.slice");
}

int __wrap_monitor_lane_start(struct monitor_server *server, enum monitor_lane lane);
void __wrap_monitor_lanes_stop(struct monitor_server *server);

int __wrap_monitor_lane_start(struct monitor_server *server, enum monitor_lane lane)
{
	server->running[lane] = true;
	return 0;
}

void __wrap_monitor_lanes_stop(struct monitor_server *server)
{
	for (unsigned i = 0; i < LANE_COUNT; i++)
		server->running[i] = false;
}

/* ---- the agent that was taken over -------------------------------------------------------------------------- */

static void was_started(void *context)
{
	(void)context;
}

/* Each request has one answer, of its own operation and size; a descriptor in it is one more that is open. */
static void check_answer(int lane, const struct monitor_row *row, uint32_t operation)
{
	struct {
		struct monitor_reply_header header;
		uint8_t body[MONITOR_MESSAGE_MAX];
	} reply;
	int fd, length = monitor_receive(lane, &reply, sizeof(reply), &fd, MSG_DONTWAIT);
	REQUIRE(length == (int)(sizeof(reply.header) + row->reply_size));
	REQUIRE(reply.header.operation == operation && reply.header.result <= 0);
	if (fd < 0)
		return;
	REQUIRE(reply.header.result == 0);
	close(fd);
}

/* Returns false when the lane is over. */
static bool send_packet(struct monitor_server *server, int lanes[LANE_COUNT], struct fuzz_input *input)
{
	struct {
		struct monitor_request_header header;
		uint8_t body[MONITOR_MESSAGE_MAX];
	} packet = { 0 };
	enum monitor_lane lane = fuzz_byte(input) % LANE_COUNT;
	uint8_t how = fuzz_byte(input);
	uint32_t operation = (how & ~WHOLE_PACKET) % MONITOR_OPERATION_COUNT;
	size_t length, size;
	const uint8_t *piece = fuzz_piece(input, &length);

	length = length < MONITOR_MESSAGE_MAX ? length : MONITOR_MESSAGE_MAX;
	if (how & WHOLE_PACKET) {
		memcpy(&packet, piece, length);
		size = length;
	} else {
		packet.header.operation = operation;
		lane = monitor_rows[operation].lane;
		size = sizeof(packet.header) + monitor_rows[operation].request_size;
		memcpy(packet.body, piece, length < monitor_rows[operation].request_size ? length : monitor_rows[operation].request_size);
	}
	if (!server->running[lane])
		return true; /* the lane has no thread yet, or no longer */
	REQUIRE(send(lanes[lane], &packet, size, MSG_NOSIGNAL) == (ssize_t)size);
	if (!monitor_serve(server, lane, MSG_DONTWAIT))
		return false;
	if (lane != LANE_WITNESS)
		check_answer(lanes[lane], &monitor_rows[packet.header.operation], packet.header.operation);
	return true;
}

static void free_rules(void)
{
	for (unsigned i = 0; i < config.rule_count; i++) {
		free(config.rules[i].user);
		free(config.rules[i].cgroup);
	}
	free(config.rules);
	config.rules = NULL;
	config.rule_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct monitor_server server = { .config = &config, .config_path = "/dev/null", .started = was_started, .agent = 1 };
	struct fuzz_input input = { data, size };
	int lanes[LANE_COUNT];

	config.port_count = 1;
	config.ports[0].number = PORT;
	pthread_mutex_init(&server.snapshot_lock, NULL);
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		int ends[2];
		REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
		server.lanes[i] = ends[0];
		lanes[i] = ends[1];
	}
	server.running[LANE_QUICK] = server.running[LANE_FILES] = true;
	while (input.left && send_packet(&server, lanes, &input))
		;
	monitor_detach(&server, false);
	monitor_server_clear(&server);
	free_rules();
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		close(server.lanes[i]);
		close(lanes[i]);
	}
	pthread_mutex_destroy(&server.snapshot_lock);
	return 0;
}
