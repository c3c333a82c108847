/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the agent can have done. It reads what anybody may send, so it may have been taken over: every value is checked
 * here, nothing is a path or a descriptor of the agent's choice, and only sockets on watched ports are touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "kernel_forward.h"
#include "monitor_server.h"
#include "notify.h"
#include "privileges.h"
#include "sink_backend.h"

#define UNUSED (void)server, (void)request, (void)reply, (void)fd

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

/* ---- start and stop --------------------------------------------------------------------------------------- */

static void take_snapshot(struct monitor_server *server)
{
	const struct kernel_witness_state *state = kernel_witness_state(server->kernel);
	const struct kernel_library *library;
	unsigned position = 0;

	pthread_mutex_lock(&server->snapshot_lock);
	struct witness_snapshot *snapshot = &server->snapshot;
	snapshot->enabled = state != NULL;
	if (state)
		snapshot->state = *state;
	snapshot->count = 0;
	while (snapshot->count < WITNESS_LIBRARIES_MAX && (library = kernel_witness_library(server->kernel, &position)))
		snapshot->libraries[snapshot->count++] = *library;
	pthread_mutex_unlock(&server->snapshot_lock);
}

int monitor_do_start(struct monitor_server *server, const struct monitor_start_request *request, struct monitor_start_reply *reply, int *fd)
{
	struct kernel_problem problem = { .exit_code = EX_OSERR, .text = "out of memory" };
	UNUSED;
	if (server->kernel || server->stopped)
		return -EBUSY;
	const struct kernel_processes processes = { .agent = server->agent, .library_reader = server->library_reader };
	server->kernel = kernel_open(server->config, &processes, &problem);
	if (!server->kernel) {
		reply->exit_code = problem.exit_code;
		copy_text(reply->problem, sizeof(reply->problem), problem.text);
		return -EIO;
	}
	take_snapshot(server);
	int error = privileges_drop(server->config->privileges.containers, false);
	if (!error)
		error = monitor_lane_start(server, LANE_SOCKETS);
	if (!error)
		error = monitor_lane_start(server, LANE_WITNESS);
	*fd = error ? -1 : fcntl(kernel_ring_fd(server->kernel), F_DUPFD_CLOEXEC, 0);
	if (*fd < 0)
		return error ? error : -errno;
	reply->ring_size = kernel_ring_size(server->kernel);
	copy_text(reply->cgroup, sizeof(reply->cgroup), kernel_cgroup(server->kernel));
	return 0;
}

int monitor_do_started(struct monitor_server *server, const struct monitor_started_request *request,
		       struct monitor_started_reply *reply, int *fd)
{
	UNUSED;
	server->started(server->context);
	return 0;
}

void monitor_detach(struct monitor_server *server, bool leave)
{
	monitor_lanes_stop(server);
	kernel_close(server->kernel, leave);
	server->kernel = NULL;
}

int monitor_do_stop(struct monitor_server *server, const struct monitor_stop_request *request, struct monitor_stop_reply *reply, int *fd)
{
	UNUSED;
	server->stopped = true;
	notify_stopping();
	if (server->kernel)
		monitor_detach(server, kernel_stays(server->kernel, KERNEL_END_TOLD));
	return 0;
}

int monitor_do_heartbeat(struct monitor_server *server, const struct monitor_heartbeat_request *request,
			 struct monitor_heartbeat_reply *reply, int *fd)
{
	UNUSED;
	if (!server->kernel)
		return -ENODEV;
	kernel_heartbeat(server->kernel);
	kernel_follow_cgroup(server->kernel);
	if (notify_watchdog_interval_us())
		notify_watchdog(); /* the agent's sign of life, not this process's */
	return 0;
}

/* ---- what is known ---------------------------------------------------------------------------------------- */

int monitor_do_counters(struct monitor_server *server, const struct monitor_counters_request *request,
			struct monitor_counters_reply *reply, int *fd)
{
	UNUSED;
	if (!server->kernel)
		return -ENODEV;
	uint64_t counters[COUNTER_COUNT];
	kernel_counters(server->kernel, counters);
	memcpy(reply->counters, counters, sizeof(counters));
	return 0;
}

int monitor_do_privileges(struct monitor_server *server, const struct monitor_privileges_request *request,
			  struct monitor_privileges_reply *reply, int *fd)
{
	UNUSED;
	privileges_text(reply->capabilities, sizeof(reply->capabilities));
	return 0;
}

int monitor_do_hook(struct monitor_server *server, const struct monitor_hook_request *request, struct monitor_hook_reply *reply, int *fd)
{
	unsigned count = 0;
	UNUSED;
	const struct kernel_hook *hooks = server->kernel ? kernel_hooks(server->kernel, &count) : NULL;
	struct kernel_hook hook;
	char name[KERNEL_FORWARD_NAME_SIZE];
	if (request->index < count)
		hook = hooks[request->index];
	else if (!server->kernel || request->index > UINT32_MAX ||
		 !kernel_forward_hook(server->kernel, (unsigned)request->index - count, &hook, name))
		return -ENOENT;
	copy_text(reply->name, sizeof(reply->name), hook.name);
	copy_text(reply->error, sizeof(reply->error), hook.error);
	reply->attached = hook.attached;
	return 0;
}

int monitor_do_interface(struct monitor_server *server, const struct monitor_interface_request *request,
			 struct monitor_interface_reply *reply, int *fd)
{
	UNUSED;
	const char *name = server->kernel ? kernel_forward_name(server->kernel, request->ifindex) : NULL;
	if (!name)
		return -ENOENT;
	copy_text(reply->name, sizeof(reply->name), name);
	return 0;
}

int monitor_do_witness_state(struct monitor_server *server, const struct monitor_witness_state_request *request,
			     struct monitor_witness_state_reply *reply, int *fd)
{
	UNUSED;
	pthread_mutex_lock(&server->snapshot_lock);
	reply->enabled = server->snapshot.enabled;
	reply->active = server->snapshot.state.active;
	reply->outlives_agent = server->snapshot.state.outlives_agent;
	reply->failed = server->snapshot.state.failed;
	copy_text(reply->error, sizeof(reply->error), server->snapshot.state.error);
	pthread_mutex_unlock(&server->snapshot_lock);
	return 0;
}

int monitor_do_library(struct monitor_server *server, const struct monitor_library_request *request,
		       struct monitor_library_reply *reply, int *fd)
{
	int result = -ENOENT;
	UNUSED;
	pthread_mutex_lock(&server->snapshot_lock);
	if (request->index < server->snapshot.count) {
		const struct kernel_library *library = &server->snapshot.libraries[request->index];
		copy_text(reply->path, sizeof(reply->path), library->path);
		reply->gnutls = library->gnutls;
		reply->readable = library->readable;
		result = 0;
	}
	pthread_mutex_unlock(&server->snapshot_lock);
	return result;
}

int monitor_do_cgroup_path(struct monitor_server *server, const struct monitor_cgroup_path_request *request,
			   struct monitor_cgroup_path_reply *reply, int *fd)
{
	UNUSED;
	char *path = server->kernel ? kernel_cgroup_path(server->kernel, request->cgroup_id) : NULL;
	if (!path)
		return -ENOENT;
	copy_text(reply->path, sizeof(reply->path), path);
	free(path);
	return 0;
}

/* ---- files ------------------------------------------------------------------------------------------------ */

int monitor_do_open_config(struct monitor_server *server, const struct monitor_open_config_request *request,
			   struct monitor_open_config_reply *reply, int *fd)
{
	UNUSED;
	*fd = config_open(server->config_path);
	return *fd < 0 ? *fd : 0;
}

int monitor_do_user_id(struct monitor_server *server, const struct monitor_user_id_request *request, struct monitor_user_id_reply *reply,
		       int *fd)
{
	UNUSED;
	if (!memchr(request->name, 0, sizeof(request->name)))
		return -EINVAL;
	const struct passwd *user = getpwnam(request->name); /* in no other thread */
	if (!user)
		return -ENOENT;
	reply->uid = user->pw_uid;
	return 0;
}

int monitor_do_open_sink(struct monitor_server *server, const struct monitor_open_sink_request *request,
			 struct monitor_open_sink_reply *reply, int *fd)
{
	UNUSED;
	if (!server->config->file.path)
		return -ENOENT;
	*fd = sink_file_create(server->config->file.path);
	return *fd < 0 ? *fd : 0;
}

/* ---- sockets ---------------------------------------------------------------------------------------------- */

static bool is_watched_port(const struct config *config, uint16_t port)
{
	for (unsigned i = 0; i < config->port_count; i++) {
		if (config->ports[i].number == port)
			return true;
	}
	return false;
}

#define NO_COOKIE UINT64_MAX /* INET_DIAG_NOCOOKIE: inet_diag would take any socket at these addresses */

static int check_socket(const struct monitor_server *server, const struct monitor_destroy_socket_request *request,
			struct monitor_destroy_socket_reply *reply)
{
	reply->flow_id = request->event.flow_id;
	if (!is_watched_port(server->config, request->event.server_port) || request->event.socket_cookie == NO_COOKIE ||
	    request->event.pid > INT32_MAX || request->pid > INT32_MAX)
		return -EINVAL;
	return server->kernel ? 0 : -ENODEV;
}

int monitor_do_destroy_socket(struct monitor_server *server, const struct monitor_destroy_socket_request *request,
			      struct monitor_destroy_socket_reply *reply, int *fd)
{
	int error = check_socket(server, request, reply);
	UNUSED;
	return error ? error : kernel_destroy_socket(server->kernel, &request->event);
}

int monitor_do_find_socket(struct monitor_server *server, const struct monitor_find_socket_request *request,
			   struct monitor_find_socket_reply *reply, int *fd)
{
	int error = check_socket(server, request, reply);
	UNUSED;
	return error ? error : kernel_find_socket(server->kernel, &request->event);
}

int monitor_do_release_socket(struct monitor_server *server, const struct monitor_release_socket_request *request,
			      struct monitor_release_socket_reply *reply, int *fd)
{
	int error = check_socket(server, request, reply);
	UNUSED;
	return error ? error : kernel_release_socket(server->kernel, &request->event, (uint32_t)request->pid);
}

int monitor_do_tidy_sockets(struct monitor_server *server, const struct monitor_tidy_sockets_request *request,
			    struct monitor_tidy_sockets_reply *reply, int *fd)
{
	UNUSED;
	if (!server->kernel)
		return -ENODEV;
	kernel_tidy(server->kernel);
	return 0;
}

/* ---- the witness ------------------------------------------------------------------------------------------ */

int monitor_do_witness_sender(struct monitor_server *server, const struct monitor_witness_sender_request *request,
			      struct monitor_witness_sender_reply *reply, int *fd)
{
	UNUSED;
	if (request->pid == 0 || request->pid > INT32_MAX)
		return -EINVAL;
	if (!server->kernel)
		return -ENODEV;
	kernel_witness_sender(server->kernel, (uint32_t)request->pid);
	take_snapshot(server);
	return 0;
}

int monitor_do_witness_tidy(struct monitor_server *server, const struct monitor_witness_tidy_request *request,
			    struct monitor_witness_tidy_reply *reply, int *fd)
{
	UNUSED;
	if (!server->kernel)
		return -ENODEV;
	kernel_witness_tidy(server->kernel);
	take_snapshot(server);
	return 0;
}
