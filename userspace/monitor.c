/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "monitor.h"
#include "monitor_table.h"

#define HOOKS_MAX 272

struct monitor {
	int lanes[LANE_COUNT];
	pthread_mutex_t locks[LANE_COUNT]; /* one call at a time on each */
	int orders;
	enum policy_mode mode;
	char cgroup[MONITOR_PATH_SIZE];
	uint64_t errands_lost;
	struct kernel_hook hooks[HOOKS_MAX];
	char hook_names[HOOKS_MAX][sizeof(((struct monitor_hook_reply *)NULL)->name)];
	struct kernel_witness_state witness;
	struct kernel_library library;
};

struct monitor *monitor_new(const int lanes[LANE_COUNT], int orders)
{
	struct monitor *monitor = calloc(1, sizeof(*monitor));
	if (!monitor)
		return NULL;
	memcpy(monitor->lanes, lanes, sizeof(monitor->lanes));
	monitor->orders = orders;
	for (unsigned i = 0; i < LANE_COUNT; i++)
		pthread_mutex_init(&monitor->locks[i], NULL);
	return monitor;
}

void monitor_free(struct monitor *monitor)
{
	if (!monitor)
		return;
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		close(monitor->lanes[i]);
		pthread_mutex_destroy(&monitor->locks[i]);
	}
	close(monitor->orders);
	free(monitor);
}

int monitor_orders_fd(const struct monitor *monitor)
{
	return monitor->orders;
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

struct answer {
	struct monitor_reply_header header;
	__u8 body[MONITOR_MESSAGE_MAX];
};

/* Reads one answer to operation. Returns its result, or what went wrong with the connection. */
static int receive(int lane, enum monitor_operation operation, struct answer *answer, int *fd)
{
	size_t expected = sizeof(answer->header) + monitor_rows[operation].reply_size;
	int length = monitor_receive(lane, answer, sizeof(*answer), fd, 0);
	if (length == (int)expected && answer->header.operation == operation)
		return answer->header.result;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return length < 0 && length != -ECONNRESET ? length : length > 0 ? -EPROTO : -EPIPE;
}

/*
 * Asks, and waits for the answer. request NULL: the operation's is empty. The reply is copied to reply, if that is not
 * NULL, whatever the result. fd NULL: none is expected.
 */
static int call(struct monitor *monitor, enum monitor_operation operation, const void *request, void *reply, int *fd)
{
	static const struct monitor_nothing nothing;
	const struct monitor_row *row = &monitor_rows[operation];
	const struct monitor_request_header header = { .operation = operation };
	struct answer answer = { .header = { 0 } };
	int came = -1, lane = monitor->lanes[row->lane];

	pthread_mutex_lock(&monitor->locks[row->lane]);
	int result = monitor_send(lane, &header, sizeof(header), request ? request : &nothing, row->request_size, -1, 0);
	if (result == 0)
		result = receive(lane, operation, &answer, &came);
	pthread_mutex_unlock(&monitor->locks[row->lane]);
	if (reply)
		memcpy(reply, answer.body, row->reply_size);
	if (fd)
		*fd = came;
	else if (came >= 0)
		close(came);
	return result == -ECONNRESET ? -EPIPE : result;
}

/* Opens by the monitor: a descriptor or a negative errno. */
static int call_for_descriptor(struct monitor *monitor, enum monitor_operation operation)
{
	int fd, result = call(monitor, operation, NULL, NULL, &fd);
	if (result == 0)
		return fd >= 0 ? fd : -EPROTO;
	if (fd >= 0)
		close(fd);
	return result;
}

/* Sends, and does not wait. */
static int errand(struct monitor *monitor, enum monitor_operation operation, const void *request)
{
	static const struct monitor_nothing nothing;
	const struct monitor_row *row = &monitor_rows[operation];
	const struct monitor_request_header header = { .operation = operation };
	int result = monitor_send(monitor->lanes[row->lane], &header, sizeof(header), request ? request : &nothing,
				  row->request_size, -1, MSG_DONTWAIT);
	monitor->errands_lost += result == -EAGAIN;
	return result;
}

/* Text of a reply, which need not end in a NUL. */
static void take_text(char *to, size_t to_size, const char *from, size_t from_size)
{
	snprintf(to, to_size, "%.*s", (int)from_size, from);
}

/* ---- start and stop --------------------------------------------------------------------------------------- */

int monitor_start(struct monitor *monitor, const struct config *config, uint64_t *ring_size, struct kernel_problem *problem)
{
	struct monitor_start_reply reply;
	int fd, result = call(monitor, MONITOR_START, NULL, &reply, &fd);

	*problem = (struct kernel_problem){ .exit_code = (int)reply.exit_code };
	take_text(problem->text, sizeof(problem->text), reply.problem, sizeof(reply.problem));
	take_text(monitor->cgroup, sizeof(monitor->cgroup), reply.cgroup, sizeof(reply.cgroup));
	*ring_size = reply.ring_size;
	monitor->mode = config->mode;
	if (result == 0 && fd >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	if (!problem->text[0])
		*problem = (struct kernel_problem){ .exit_code = EX_OSERR, .text = "the monitor does not answer" };
	return -1;
}

void monitor_started(struct monitor *monitor)
{
	call(monitor, MONITOR_STARTED, NULL, NULL, NULL);
}

void monitor_stop(struct monitor *monitor)
{
	call(monitor, MONITOR_STOP, NULL, NULL, NULL);
}

void monitor_heartbeat(struct monitor *monitor)
{
	call(monitor, MONITOR_HEARTBEAT, NULL, NULL, NULL);
}

int monitor_open_config(struct monitor *monitor)
{
	return call_for_descriptor(monitor, MONITOR_OPEN_CONFIG);
}

bool monitor_user_id(void *context, const char *name, uint32_t *uid)
{
	struct monitor_user_id_request request = { .name = "" };
	struct monitor_user_id_reply reply;
	if (strlen(name) >= sizeof(request.name))
		return false;
	strcpy(request.name, name);
	if (call(context, MONITOR_USER_ID, &request, &reply, NULL))
		return false;
	*uid = (uint32_t)reply.uid;
	return true;
}

int monitor_open_sink(struct monitor *monitor)
{
	return call_for_descriptor(monitor, MONITOR_OPEN_SINK);
}

/* ---- policy ----------------------------------------------------------------------------------------------- */

int monitor_set_mode(struct monitor *monitor, enum policy_mode mode)
{
	const struct monitor_set_mode_request request = { .mode = mode };
	int result = call(monitor, MONITOR_SET_MODE, &request, NULL, NULL);
	if (result == 0)
		monitor->mode = mode;
	return result;
}

enum policy_mode monitor_mode(const struct monitor *monitor)
{
	return monitor->mode;
}

static int send_rule(struct monitor *monitor, const struct config_rule *rule)
{
	struct monitor_policy_rule_request request = { .key = rule->key, .rule = rule->rule, .until = rule->until,
						       .for_user = rule->user != NULL };
	if (rule->cgroup && strlen(rule->cgroup) >= sizeof(request.cgroup))
		return -ENAMETOOLONG;
	if (rule->cgroup)
		strcpy(request.cgroup, rule->cgroup);
	return call(monitor, MONITOR_POLICY_RULE, &request, NULL, NULL);
}

int monitor_set_policy(struct monitor *monitor, const struct config *config)
{
	const struct monitor_policy_begin_request request = { .fallback = config->default_rule, .count = config->rule_count };
	int result = call(monitor, MONITOR_POLICY_BEGIN, &request, NULL, NULL);
	for (unsigned i = 0; i < config->rule_count && result == 0; i++)
		result = send_rule(monitor, &config->rules[i]);
	return result ? result : call(monitor, MONITOR_POLICY_COMMIT, NULL, NULL, NULL);
}

void monitor_policy_again(struct monitor *monitor)
{
	call(monitor, MONITOR_POLICY_AGAIN, NULL, NULL, NULL);
}

int monitor_set_identity(struct monitor *monitor, uint64_t flow_id, enum identity identity)
{
	const struct monitor_set_identity_request request = { .flow_id = flow_id, .identity = identity };
	return call(monitor, MONITOR_SET_IDENTITY, &request, NULL, NULL);
}

/* ---- what is known of the kernel -------------------------------------------------------------------------- */

void monitor_counters(struct monitor *monitor, uint64_t counters[COUNTER_COUNT])
{
	struct monitor_counters_reply reply;
	call(monitor, MONITOR_COUNTERS, NULL, &reply, NULL);
	memcpy(counters, reply.counters, sizeof(reply.counters));
}

void monitor_privileges(struct monitor *monitor, char text[256])
{
	struct monitor_privileges_reply reply;
	call(monitor, MONITOR_PRIVILEGES, NULL, &reply, NULL);
	take_text(text, 256, reply.capabilities, sizeof(reply.capabilities));
}

const char *monitor_cgroup(const struct monitor *monitor)
{
	return monitor->cgroup;
}

char *monitor_cgroup_path(struct monitor *monitor, uint64_t cgroup_id)
{
	const struct monitor_cgroup_path_request request = { .cgroup_id = cgroup_id };
	struct monitor_cgroup_path_reply reply;
	if (call(monitor, MONITOR_CGROUP_PATH, &request, &reply, NULL))
		return NULL;
	return strndup(reply.path, sizeof(reply.path));
}

const struct kernel_hook *monitor_hooks(struct monitor *monitor, unsigned *count)
{
	struct monitor_hook_reply reply;
	for (*count = 0; *count < HOOKS_MAX; (*count)++) {
		const struct monitor_hook_request request = { .index = *count };
		struct kernel_hook *hook = &monitor->hooks[*count];
		if (call(monitor, MONITOR_HOOK, &request, &reply, NULL))
			break;
		take_text(monitor->hook_names[*count], sizeof(monitor->hook_names[0]), reply.name, sizeof(reply.name));
		take_text(hook->error, sizeof(hook->error), reply.error, sizeof(reply.error));
		hook->name = monitor->hook_names[*count];
		hook->attached = reply.attached;
	}
	return monitor->hooks;
}

bool monitor_interface(struct monitor *monitor, uint32_t ifindex, char name[16])
{
	const struct monitor_interface_request request = { .ifindex = ifindex };
	struct monitor_interface_reply reply;
	if (call(monitor, MONITOR_INTERFACE, &request, &reply, NULL))
		return false;
	take_text(name, 16, reply.name, sizeof(reply.name));
	return true;
}

const struct kernel_witness_state *monitor_witness_state(struct monitor *monitor)
{
	struct monitor_witness_state_reply reply;
	if (call(monitor, MONITOR_WITNESS_STATE, NULL, &reply, NULL) || !reply.enabled)
		return NULL;
	monitor->witness = (struct kernel_witness_state){ .active = reply.active, .outlives_agent = reply.outlives_agent,
							    .failed = reply.failed };
	take_text(monitor->witness.error, sizeof(monitor->witness.error), reply.error, sizeof(reply.error));
	return &monitor->witness;
}

const struct kernel_library *monitor_witness_library(struct monitor *monitor, unsigned *position)
{
	const struct monitor_library_request request = { .index = *position };
	struct monitor_library_reply reply;
	if (call(monitor, MONITOR_LIBRARY, &request, &reply, NULL))
		return NULL;
	(*position)++;
	take_text(monitor->library.path, sizeof(monitor->library.path), reply.path, sizeof(reply.path));
	monitor->library.gnutls = reply.gnutls;
	monitor->library.readable = reply.readable;
	return &monitor->library;
}

/* ---- errands ---------------------------------------------------------------------------------------------- */

static int socket_errand(struct monitor *monitor, enum monitor_operation operation, const struct flow_event *event, uint32_t pid)
{
	const struct monitor_destroy_socket_request request = { .event = *event, .pid = pid };
	return errand(monitor, operation, &request);
}

int monitor_destroy_socket(struct monitor *monitor, const struct flow_event *event)
{
	return socket_errand(monitor, MONITOR_DESTROY_SOCKET, event, 0);
}

int monitor_find_socket(struct monitor *monitor, const struct flow_event *event)
{
	return socket_errand(monitor, MONITOR_FIND_SOCKET, event, 0);
}

int monitor_release_socket(struct monitor *monitor, const struct flow_event *event, uint32_t pid)
{
	return socket_errand(monitor, MONITOR_RELEASE_SOCKET, event, pid);
}

void monitor_tidy_sockets(struct monitor *monitor)
{
	errand(monitor, MONITOR_TIDY_SOCKETS, NULL);
}

void monitor_witness_sender(struct monitor *monitor, uint32_t pid)
{
	const struct monitor_witness_sender_request request = { .pid = pid };
	errand(monitor, MONITOR_WITNESS_SENDER, &request);
}

void monitor_witness_tidy(struct monitor *monitor)
{
	errand(monitor, MONITOR_WITNESS_TIDY, NULL);
}

int monitor_answers_fd(const struct monitor *monitor)
{
	return monitor->lanes[LANE_SOCKETS];
}

void monitor_read_answers(struct monitor *monitor,
			  void (*take)(void *context, enum monitor_operation operation, uint64_t flow_id, int result), void *context)
{
	struct {
		struct monitor_reply_header header;
		struct monitor_destroy_socket_reply body;
	} answer;
	int fd, length;

	while ((length = monitor_receive(monitor->lanes[LANE_SOCKETS], &answer, sizeof(answer), &fd, MSG_DONTWAIT)) > 0) {
		if (fd >= 0)
			close(fd);
		if (length == (int)sizeof(answer) && answer.header.operation < MONITOR_OPERATION_COUNT)
			take(context, (enum monitor_operation)answer.header.operation, answer.body.flow_id, answer.header.result);
	}
}

uint64_t monitor_errands_lost(const struct monitor *monitor)
{
	return monitor->errands_lost;
}
