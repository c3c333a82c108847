/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For test_control.c alone: the parts behind the control socket, as stubs, and a client for it. */
#ifndef SMTPWARD_CONTROL_STUB_H
#define SMTPWARD_CONTROL_STUB_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>
#include <jansson.h>
#include <uthash.h>
#include <utlist.h>

#include "agent.h"
#include "alert.h"
#include "config.h"
#include "control.h"
#include "control_socket.h"
#include "ecs.h"
#include "facts.h"
#include "event_ring.h"
#include "monitor.h"
#include "session.h"
#include "sink.h"

struct stub_session {
	struct session session;
	UT_hash_handle hh;
	struct stub_session *prev, *next;
};

/* What the stubs answer, and what they were asked. Cleared before each test. */
static struct {
	struct kernel_hook hooks[2];
	const struct kernel_witness_state *witness;
	uint64_t counters[COUNTER_COUNT];
	enum policy_mode mode;
	int set_mode_result;
	const char *reload_error;
	unsigned reloads;
	struct stub_session *sessions; /* a list, the oldest first */
	struct stub_session *by_id;
	unsigned session_count;
} stub;

void monitor_counters(struct monitor *monitor, uint64_t counters[COUNTER_COUNT])
{
	(void)monitor;
	memcpy(counters, stub.counters, sizeof(stub.counters));
}

const struct kernel_hook *monitor_hooks(struct monitor *monitor, unsigned *count)
{
	(void)monitor;
	*count = 2;
	return stub.hooks;
}

const struct kernel_witness_state *monitor_witness_state(struct monitor *monitor)
{
	(void)monitor;
	return stub.witness;
}

const struct kernel_library *monitor_witness_library(struct monitor *monitor, unsigned *position)
{
	static const struct kernel_library library = { .path = "/usr/lib/libssl.so.3", .readable = true };
	(void)monitor;
	return stub.witness && (*position)++ == 0 ? &library : NULL;
}

const char *monitor_cgroup(const struct monitor *monitor)
{
	(void)monitor;
	return "/sys/fs/cgroup";
}

void event_ring_fill(const struct event_ring *ring, uint64_t *used, uint64_t *size)
{
	(void)ring;
	*used = 0;
	*size = 1 << 20;
}

void monitor_privileges(struct monitor *monitor, char text[256])
{
	(void)monitor;
	strcpy(text, "bpf net_admin");
}

uint64_t monitor_errands_lost(const struct monitor *monitor)
{
	(void)monitor;
	return 0;
}

enum policy_mode monitor_mode(const struct monitor *monitor)
{
	(void)monitor;
	return stub.mode;
}

int agent_set_mode(struct agent *agent, int mode)
{
	(void)agent;
	if (!stub.set_mode_result)
		stub.mode = (enum policy_mode)mode;
	return stub.set_mode_result;
}

int agent_reload(struct agent *agent, char *message, unsigned message_size)
{
	(void)agent;
	stub.reloads++;
	if (!stub.reload_error)
		return 0;
	snprintf(message, message_size, "%s", stub.reload_error);
	return -EINVAL;
}

void alerts_counts(const struct alerts *alerts, struct alert_counts *counts)
{
	(void)alerts;
	memset(counts, 0, sizeof(*counts));
}

const char *ecs_sentence(const struct alert *alert, char sentence[ECS_SENTENCE_SIZE])
{
	snprintf(sentence, ECS_SENTENCE_SIZE, "Somebody met %s", finding_name(alert->finding));
	return sentence;
}

unsigned sinks_stats(struct sinks *sinks, struct sink_stats stats[SINKS_MAX])
{
	(void)sinks;
	(void)stats;
	return 0;
}

const struct session *sessions_oldest(struct sessions *sessions)
{
	(void)sessions;
	return stub.sessions ? &stub.sessions->session : NULL;
}

const struct session *sessions_newer(struct sessions *sessions, const struct session *session)
{
	const struct stub_session *next = ((const struct stub_session *)session)->next;
	(void)sessions;
	return next ? &next->session : NULL;
}

struct session *sessions_find(struct sessions *sessions, uint64_t id)
{
	struct stub_session *found;
	(void)sessions;
	HASH_FIND(hh, stub.by_id, &id, sizeof(id), found);
	return found ? &found->session : NULL;
}

unsigned sessions_open_count(const struct sessions *sessions)
{
	(void)sessions;
	return 0;
}

unsigned sessions_closed_count(const struct sessions *sessions)
{
	(void)sessions;
	return stub.session_count;
}

unsigned sessions_unseen_count(const struct sessions *sessions)
{
	unsigned count = 0;
	(void)sessions;
	for (const struct stub_session *session = stub.sessions; session; session = session->next)
		count += (session->session.last.facts & FACT(UNSEEN)) != 0;
	return count;
}

uint64_t sessions_shed(const struct sessions *sessions)
{
	(void)sessions;
	return 0;
}

uint64_t sessions_evicted(const struct sessions *sessions)
{
	(void)sessions;
	return 0;
}

struct client {
	int fd;
	char *bytes;
	size_t used, room;
};

struct fixture {
	struct agent agent;
	struct config config;
	struct config_rule rules[5];
	char base[64];
	char directory[80];
	char path[100];
	struct client client;
};

/* Adds a session to 192.0.2.1 port 25, opened a second after the one before. Ids count from 1. */
static inline struct session *add_session(struct fixture *fixture)
{
	static const __u8 address[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1 };
	struct stub_session *added = calloc(1, sizeof(*added));
	struct session *session = &added->session;
	(void)fixture;
	assert_non_null(added);
	session->opened.tv_sec = 1700000000 + stub.session_count;
	session->id = ++stub.session_count;
	session->last.reason = EVENT_CLOSED;
	session->last.server_port = 25;
	memcpy(session->last.server_address, address, 16);
	memcpy(session->last.client_address, address, 16);
	DL_APPEND(stub.sessions, added);
	HASH_ADD(hh, stub.by_id, session.id, sizeof(session->id), added);
	return session;
}

static inline void forget_sessions(void)
{
	struct stub_session *session, *next;
	HASH_CLEAR(hh, stub.by_id);
	DL_FOREACH_SAFE(stub.sessions, session, next)
		free(session);
	stub.sessions = NULL;
	stub.session_count = 0;
}

static inline struct client connect_client(struct fixture *fixture)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct client client = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
	strcpy(address.sun_path, fixture->path);
	assert_int_equal(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	event_base_loop(fixture->agent.base, EVLOOP_NONBLOCK);
	return client;
}

static inline void close_client(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->bytes);
	*client = (struct client){ .fd = -1 };
}

/* Takes what has come. Returns false at the end of the stream. */
static inline bool client_read(struct client *client)
{
	ssize_t got;
	do {
		if (client->room - client->used < 65536) {
			client->room = client->room * 2 + 131072;
			client->bytes = realloc(client->bytes, client->room);
			assert_non_null(client->bytes);
		}
		got = recv(client->fd, client->bytes + client->used, client->room - client->used, 0);
		client->used += got > 0 ? (size_t)got : 0;
	} while (got > 0);
	return got < 0 && errno == EAGAIN;
}

/* Sends text, letting the server run where the socket is full. */
static inline void tell(struct fixture *fixture, struct client *client, const char *text)
{
	size_t length = strlen(text);
	for (unsigned turns = 0; length; turns++) {
		ssize_t sent = send(client->fd, text, length, MSG_NOSIGNAL);
		assert_true(sent > 0 || errno == EAGAIN);
		assert_true(turns < 1000000);
		text += sent > 0 ? sent : 0;
		length -= sent > 0 ? (size_t)sent : 0;
		event_base_loop(fixture->agent.base, EVLOOP_NONBLOCK);
		client_read(client);
	}
}

/* Reads the next line, an object. */
static inline json_t *hear(struct fixture *fixture, struct client *client)
{
	char *end = NULL;
	json_t *object;
	for (unsigned turns = 0; turns < 1000000; turns++) {
		end = client->used ? memchr(client->bytes, '\n', client->used) : NULL;
		if (end)
			break;
		event_base_loop(fixture->agent.base, EVLOOP_NONBLOCK);
		if (!client_read(client) && !(client->used && memchr(client->bytes, '\n', client->used)))
			break;
	}
	assert_non_null(end ? end : (client->used ? end = memchr(client->bytes, '\n', client->used) : NULL));
	object = json_loadb(client->bytes, (size_t)(end - client->bytes), JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_is_object(object));
	for (const char *c = client->bytes; c < end; c++)
		assert_true((unsigned char)*c >= 0x20 && (unsigned char)*c != 0x7f);
	client->used -= (size_t)(end + 1 - client->bytes);
	memmove(client->bytes, end + 1, client->used);
	return object;
}

static inline json_t *ask(struct fixture *fixture, const char *request)
{
	tell(fixture, &fixture->client, request);
	tell(fixture, &fixture->client, "\n");
	return hear(fixture, &fixture->client);
}

static inline const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	assert_non_null(text);
	return text;
}

static inline void assert_alive(struct fixture *fixture)
{
	json_t *answer = ask(fixture, "{\"command\":\"version\"}");
	assert_string_equal(text_at(answer, "version"), SMTPWARD_VERSION);
	json_decref(answer);
}

static inline void assert_closed(struct fixture *fixture, struct client *client)
{
	unsigned turns = 0;
	do
		event_base_loop(fixture->agent.base, EVLOOP_NONBLOCK);
	while (client_read(client) && ++turns < 100000);
	assert_true(turns < 100000);
}

static struct control_socket own_socket;

static inline struct control *open_control(struct agent *agent, char *error, unsigned error_size)
{
	struct control_socket opened;
	int fd = control_socket_open(&opened, agent->config->control_socket, geteuid(), getegid(), error, error_size);
	if (fd < 0)
		return NULL;
	own_socket = opened;
	return control_start(agent, fd, error, error_size);
}

static inline void close_control(struct control *control)
{
	control_stop(control);
	control_socket_remove(&own_socket);
}

static inline void start_control(struct fixture *fixture)
{
	char error[256] = "";
	fixture->agent.control = open_control(&fixture->agent, error, sizeof(error));
	assert_string_equal(error, "");
	assert_non_null(fixture->agent.control);
}

/* Lets another user reach the socket. */
static inline void open_path_to_all(struct fixture *fixture)
{
	assert_int_equal(chmod(fixture->base, 0755), 0);
	assert_int_equal(chmod(fixture->path, 0666), 0);
}

/* A socket in the file system on which nobody listens. */
static inline void leave_stale_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static inline struct config_rule make_rule(unsigned id, const char *to, const __u8 address[4], unsigned bits, uint16_t port,
				    uint64_t scope, enum policy_require require)
{
	static char text[5][32];
	struct config_rule rule = {
		.key = { .prefix_length = POLICY_KEY_FIXED_BITS + 96 + bits, .port = port,
			 .scope_high = (__u32)(scope >> 32), .scope_low = (__u32)scope },
		.rule = { .id = id, .require = (__u8)require, .action = ACTION_BLOCK },
		.to = strcpy(text[id - 1], to),
	};
	rule.key.address[10] = rule.key.address[11] = 0xff;
	memcpy(rule.key.address + 12, address, 4);
	return rule;
}

static inline void make_rules(struct fixture *fixture)
{
	static const __u8 net[4] = { 192, 0, 2, 0 }, host[4] = { 192, 0, 2, 99 };
	static char user[] = "www-data", cgroup[] = "/system.slice/a.service";
	fixture->rules[0] = make_rule(1, "192.0.2.0/24", net, 24, 0, 0, REQUIRE_ENCRYPTED);
	fixture->rules[1] = make_rule(2, "192.0.2.0/24", net, 24, 587, 0, REQUIRE_NONE);
	fixture->rules[2] = make_rule(3, "192.0.2.0/16", net, 16, 0, POLICY_SCOPE_USER(33), REQUIRE_NONE);
	fixture->rules[2].user = user;
	fixture->rules[3] = make_rule(4, "192.0.2.0/8", net, 8, 25, 77, REQUIRE_VERIFIED);
	fixture->rules[3].cgroup = cgroup;
	fixture->rules[4] = make_rule(5, "192.0.2.99", host, 32, 0, 0, REQUIRE_NONE);
	fixture->rules[4].until = 1000000000;
	fixture->config.rules = fixture->rules;
	fixture->config.rule_count = 5;
	fixture->config.default_rule = (struct policy_rule){ .require = REQUIRE_ENCRYPTED, .action = ACTION_MONITOR };
}

static inline int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	memset(&stub, 0, sizeof(stub));
	stub.hooks[0] = (struct kernel_hook){ .name = "cgroup/connect4", .attached = true };
	stub.hooks[1] = (struct kernel_hook){ .name = "cgroup_skb/egress", .attached = true };
	strcpy(fixture->base, "/tmp/smtpward-control-XXXXXX");
	assert_non_null(mkdtemp(fixture->base));
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/run", fixture->base);
	snprintf(fixture->path, sizeof(fixture->path), "%s/socket", fixture->directory);
	make_rules(fixture);
	fixture->config.control_socket = fixture->path;
	fixture->agent.config = &fixture->config;
	fixture->agent.base = event_base_new();
	fixture->agent.monitor_pid = getpid();
	fixture->agent.admin_group = (gid_t)-1;
	fixture->agent.started.tv_sec = 1700000000;
	start_control(fixture);
	fixture->client = connect_client(fixture);
	*state = fixture;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *fixture = *state;
	close_client(&fixture->client);
	close_control(fixture->agent.control);
	event_base_free(fixture->agent.base);
	forget_sessions();
	unlink(fixture->path);
	rmdir(fixture->directory);
	assert_int_equal(rmdir(fixture->base), 0);
	free(fixture);
	return 0;
}

#endif
