/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Takes requests from the agent, which may be anybody's by now: what does not fit the table ends the connection. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor_server.h"
#include "privileges.h"

static int run(struct monitor_server *server, enum monitor_operation operation, const void *request, void *reply, int *fd)
{
	switch (operation) {
#define X(id, name, lane) \
	case MONITOR_##id: \
		return monitor_do_##name(server, request, reply, fd);
		MONITOR_OPERATIONS(X)
#undef X
	case MONITOR_OPERATION_COUNT:
		break;
	}
	return -ENOSYS;
}

bool monitor_serve(struct monitor_server *server, enum monitor_lane lane, int flags)
{
	struct {
		struct monitor_request_header header;
		_Alignas(8) __u8 body[MONITOR_MESSAGE_MAX];
	} request;
	_Alignas(8) __u8 reply[MONITOR_MESSAGE_MAX];
	int fd, length = monitor_receive(server->lanes[lane], &request, sizeof(request), &fd, flags);

	if (fd >= 0)
		close(fd); /* none of them brings one */
	if (length == -EAGAIN)
		return true;
	if (length < (int)sizeof(request.header) || request.header.operation >= MONITOR_OPERATION_COUNT)
		return false;
	const struct monitor_row *row = &monitor_rows[request.header.operation];
	if (row->lane != lane || (size_t)length != sizeof(request.header) + row->request_size)
		return false;
	memset(reply, 0, row->reply_size);
	fd = -1;
	struct monitor_reply_header header = { .operation = request.header.operation };
	header.result = run(server, (enum monitor_operation)request.header.operation, request.body, reply, &fd);
	int error = lane == LANE_WITNESS ? 0 :
					    monitor_send(server->lanes[lane], &header, sizeof(header), reply, row->reply_size, fd, flags);
	if (fd >= 0)
		close(fd);
	return error == 0;
}

struct lane {
	struct monitor_server *server;
	enum monitor_lane lane;
};

static void *serve_lane(void *argument)
{
	struct lane lane = *(struct lane *)argument;
	free(argument);
	if (lane.lane == LANE_FILES && privileges_drop_all())
		return NULL; /* what root's own files take is no capability */
	while (!lane.server->lanes_end && monitor_serve(lane.server, lane.lane, 0))
		;
	shutdown(lane.server->lanes[lane.lane], SHUT_RDWR); /* the agent learns that nobody listens any more */
	return NULL;
}

int monitor_lane_start(struct monitor_server *server, enum monitor_lane lane)
{
	struct lane *argument = malloc(sizeof(*argument));
	if (!argument)
		return -ENOMEM;
	*argument = (struct lane){ server, lane };
	int error = pthread_create(&server->threads[lane], NULL, serve_lane, argument);
	if (error)
		free(argument);
	server->running[lane] = !error;
	return -error;
}

void monitor_lanes_stop(struct monitor_server *server)
{
	server->lanes_end = true;
	for (enum monitor_lane i = 0; i < LANE_COUNT; i++) {
		if (!server->running[i])
			continue;
		shutdown(server->lanes[i], SHUT_RDWR);
		/* this one may hang on a dead network mount; it does not touch the kernel's part */
		if (i == LANE_FILES)
			pthread_detach(server->threads[i]);
		else
			pthread_join(server->threads[i], NULL);
		server->running[i] = false;
	}
}
