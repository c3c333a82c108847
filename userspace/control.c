/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <utlist.h>

#include "agent.h"
#include "alert.h"
#include "control_connection.h"
#include "ecs.h"
#include "escape.h"
#include "session.h"
#include "session_json.h"

#define OUTPUT_HIGH (256U << 10) /* with so much to be read, the next answer waits */
#define OUTPUT_LOW (64U << 10)
#define TURN_REQUESTS 16 /* of one connection in one turn of the loop, so that nobody starves the ring */
#define ACCEPT_PAUSE_S 1 /* after accept() failed, for want of descriptors mostly */

struct control {
	struct agent *agent;
	struct evconnlistener *listener;
	struct event *resume; /* listening again after a failure */
	struct connection *connections;
	unsigned count;
	unsigned watchers;
	uint64_t dropped;
	uint64_t refused;
};

static void connection_free(struct connection *connection)
{
	struct control *control = connection->control;

	DL_DELETE(control->connections, connection);
	control->count--;
	control->watchers -= connection->watching;
	bufferevent_free(connection->bev);
	free(connection->ids);
	free(connection);
}

static size_t output_length(const struct connection *connection)
{
	return evbuffer_get_length(bufferevent_get_output(connection->bev));
}

static void write_line(struct connection *connection, const json_t *object)
{
	static const char no_memory[] = "{\"error\":{\"code\":\"failed\",\"message\":\"no memory\"}}";
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	const char *line = text ? text : no_memory;

	bufferevent_write(connection->bev, line, strlen(line));
	bufferevent_write(connection->bev, "\n", 1);
	free(text);
}

void connection_answer(struct connection *connection, json_t *object)
{
	write_line(connection, object);
	json_decref(object);
}

void connection_error(struct connection *connection, const char *code, const char *format, ...)
{
	char message[512], escaped[ESCAPED_SIZE(sizeof(message))];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	escape_text(escaped, sizeof(escaped), message, strlen(message));
	connection_answer(connection, json_pack("{s:{s:s,s:s}}", "error", "code", code, "message", escaped));
}

void connection_watch(struct connection *connection)
{
	const struct timeval stall = { .tv_sec = CONTROL_STALL_S };

	if (!connection->watching)
		connection->control->watchers++;
	connection->watching = true;
	bufferevent_set_timeouts(connection->bev, NULL, &stall);
}

void connection_answer_sessions(struct connection *connection, uint64_t *ids, size_t count)
{
	connection->ids = ids;
	connection->id_count = count;
	connection->id_next = 0;
	connection->first_row = true;
	bufferevent_write(connection->bev, "{\"sessions\":[", 13);
}

/* Writes rows until there is enough on its way. A session that is gone by now is left out. */
static void write_rows(struct connection *connection)
{
	struct sessions *sessions = connection->agent->sessions;

	while (connection->id_next < connection->id_count && output_length(connection) < OUTPUT_HIGH) {
		const struct session *session = sessions_find(sessions, connection->ids[connection->id_next++]);
		json_t *row = session ? session_json(session) : NULL;
		char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
		json_decref(row);
		if (!text)
			continue;
		if (!connection->first_row)
			bufferevent_write(connection->bev, ",", 1);
		connection->first_row = false;
		bufferevent_write(connection->bev, text, strlen(text));
		free(text);
	}
	if (connection->id_next < connection->id_count)
		return;
	bufferevent_write(connection->bev, "]}\n", 3);
	free(connection->ids);
	connection->ids = NULL;
	connection->id_count = 0;
}

/* Drops the rest of a line that was too long. Returns whether its end was there. */
static bool discard_line(struct evbuffer *input)
{
	struct evbuffer_ptr end = evbuffer_search(input, "\n", 1, NULL);
	if (end.pos < 0) {
		evbuffer_drain(input, evbuffer_get_length(input));
		return false;
	}
	evbuffer_drain(input, (size_t)end.pos + 1);
	return true;
}

static void too_long(struct connection *connection)
{
	connection_error(connection, "malformed", "a request has at most %d bytes", CONTROL_LINE_MAX);
}

/* Takes the next request from the input. Returns false if there is no whole one. */
static bool take_request(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->bev);
	size_t length;
	char *line;

	if (connection->discarding) {
		connection->discarding = !discard_line(input);
		return !connection->discarding;
	}
	line = evbuffer_readln(input, &length, EVBUFFER_EOL_LF);
	if (line) {
		if (length > CONTROL_LINE_MAX)
			too_long(connection);
		else
			control_command(connection, line, length);
		free(line);
		return true;
	}
	if (evbuffer_get_length(input) > CONTROL_LINE_MAX) {
		too_long(connection);
		connection->discarding = true;
		return true;
	}
	return false;
}

/* One turn: goes on with the answer in the making, then with the next requests, as long as the peer reads. */
static void connection_work(struct bufferevent *bev, void *context)
{
	struct connection *connection = context;
	unsigned requests = 0;
	bool more = true;

	while (more && output_length(connection) < OUTPUT_HIGH) {
		if (connection->ids)
			write_rows(connection);
		else if (requests++ < TURN_REQUESTS)
			more = take_request(connection);
		else
			break;
	}
	if (connection->ending && !more && !output_length(connection)) {
		connection_free(connection);
		return;
	}
	if (connection->ending || connection->ids || output_length(connection) >= OUTPUT_HIGH)
		bufferevent_disable(bev, EV_READ);
	else
		bufferevent_enable(bev, EV_READ);
	if (more && requests > TURN_REQUESTS)
		bufferevent_trigger(bev, EV_READ, BEV_OPT_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
}

/* End of file, an error or a time-out. A peer that has only finished asking still gets its answers. */
static void connection_ended(struct bufferevent *bev, short what, void *context)
{
	struct connection *connection = context;

	if (!(what & BEV_EVENT_EOF) || connection->watching || connection->ending) {
		connection_free(connection);
		return;
	}
	connection->ending = true;
	bufferevent_setwatermark(bev, EV_WRITE, 0, 0);
	connection_work(bev, connection);
}

static unsigned connections_of(const struct control *control, uid_t uid)
{
	const struct connection *connection;
	unsigned count = 0;
	DL_FOREACH(control->connections, connection)
		count += connection->uid == uid;
	return count;
}

#define GROUPS_MAX 1024 /* of a peer that are looked at */

/* Whether the peer may change things. Both its group and those beside it count, as they were when it connected. */
static bool is_admin(const struct agent *agent, int fd, const struct ucred *peer)
{
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);

	if (peer->uid == 0)
		return true;
	if (agent->admin_group == (gid_t)-1)
		return false;
	if (peer->gid == agent->admin_group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		return false;
	for (unsigned i = 0; i < size / sizeof(groups[0]); i++) {
		if (groups[i] == agent->admin_group)
			return true;
	}
	return false;
}

static struct connection *connection_new(struct control *control, int fd, const struct ucred *peer)
{
	const struct timeval idle = { .tv_sec = CONTROL_IDLE_S }, stall = { .tv_sec = CONTROL_STALL_S };
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->bev = bufferevent_socket_new(control->agent->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!connection->bev) {
		free(connection);
		return NULL;
	}
	connection->control = control;
	connection->agent = control->agent;
	connection->uid = peer->uid;
	connection->admin = is_admin(control->agent, fd, peer);
	bufferevent_setcb(connection->bev, connection_work, connection_work, connection_ended, connection);
	bufferevent_setwatermark(connection->bev, EV_READ, 0, 2 * CONTROL_LINE_MAX);
	bufferevent_setwatermark(connection->bev, EV_WRITE, OUTPUT_LOW, 0);
	bufferevent_set_timeouts(connection->bev, &idle, &stall);
	DL_APPEND(control->connections, connection);
	control->count++;
	bufferevent_enable(connection->bev, EV_READ | EV_WRITE);
	return connection;
}

/* Turns a caller away. What does not fit the fresh socket's buffer is not worth waiting for. */
static void refuse(struct control *control, int fd, const char *answer)
{
	control->refused++;
	send(fd, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
		     void *context)
{
	struct control *control = context;
	struct ucred peer;
	socklen_t size = sizeof(peer);

	(void)listener;
	(void)address;
	(void)length;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		close(fd);
	else if ((peer.uid != 0 && control->count >= CONTROL_CONNECTIONS_MAX) ||
		 connections_of(control, peer.uid) >= CONTROL_CONNECTIONS_PER_UID)
		refuse(control, fd, "{\"error\":{\"code\":\"busy\",\"message\":\"too many connections\"}}\n");
	else if (!connection_new(control, fd, &peer))
		close(fd);
}

/* The caller stays in the backlog, so going on at once would only fail again, and again. */
static void accept_failed(struct evconnlistener *listener, void *context)
{
	const struct timeval pause = { .tv_sec = ACCEPT_PAUSE_S };
	struct control *control = context;

	evconnlistener_disable(listener);
	evtimer_add(control->resume, &pause);
}

static void accept_again(evutil_socket_t fd, short what, void *context)
{
	struct control *control = context;
	(void)fd;
	(void)what;
	evconnlistener_enable(control->listener);
}

struct control *control_start(struct agent *agent, int listening, char *error, unsigned error_size)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control) {
		snprintf(error, error_size, "control socket: no memory");
		close(listening);
		return NULL;
	}
	control->agent = agent;
	control->resume = evtimer_new(agent->base, accept_again, control);
	control->listener = evconnlistener_new(agent->base, accepted, control,
					       LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, listening);
	if (!control->resume || !control->listener) {
		snprintf(error, error_size, "control socket: no memory");
		if (!control->listener)
			close(listening);
		control_stop(control);
		return NULL;
	}
	evconnlistener_set_error_cb(control->listener, accept_failed);
	return control;
}

void control_stop(struct control *control)
{
	struct connection *connection, *next;

	if (!control)
		return;
	DL_FOREACH_SAFE(control->connections, connection, next)
		connection_free(connection);
	if (control->listener)
		evconnlistener_free(control->listener);
	if (control->resume)
		event_free(control->resume);
	free(control);
}

/* Takes object over. A watcher is dropped from the loop only, since a command of its own may be what publishes. */
static void publish(struct control *control, json_t *object)
{
	struct connection *connection;

	DL_FOREACH(control->connections, connection) {
		if (!connection->watching || connection->doomed || connection->ids)
			continue;
		if (output_length(connection) < CONTROL_OUTPUT_MAX) {
			write_line(connection, object);
			continue;
		}
		connection->doomed = true;
		control->dropped++;
		bufferevent_trigger_event(connection->bev, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
	}
	json_decref(object);
}

void control_publish_session(struct control *control, const struct session *session)
{
	if (control && control->watchers)
		publish(control, json_pack("{s:o}", "session", session_json(session)));
}

static json_t *alert_json(const struct alert *alert)
{
	char sentence[ECS_SENTENCE_SIZE];

	return json_pack("{s:o,s:s,s:s,s:s,s:I,s:o}", "time", time_json(&alert->time), "finding",
			 finding_name(alert->finding), "severity", severity_name(alert->severity), "message",
			 ecs_sentence(alert, sentence), "suppressed", (json_int_t)alert->suppressed, "session",
			 session_json(alert->session));
}

void control_publish_alert(struct control *control, const struct alert *alert)
{
	if (control && control->watchers)
		publish(control, json_pack("{s:o}", "alert", alert_json(alert)));
}

uint64_t control_dropped(const struct control *control)
{
	return control ? control->dropped : 0;
}

uint64_t control_refused(const struct control *control)
{
	return control ? control->refused : 0;
}
