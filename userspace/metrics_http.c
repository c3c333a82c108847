/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "metrics_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <utlist.h>

#define PAUSE_S 1 /* without accepting, where the process has no descriptor left */

struct client {
	struct metrics_http *http;
	struct bufferevent *stream;
	struct event *deadline;
	bool answered;
	struct client *prev, *next;
};

struct metrics_http {
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *pause;
	void (*answer)(void *context, struct evbuffer *body, bool openmetrics);
	void *context;
	struct client *clients;
	unsigned count;
};

/* ---- what the client prefers ---------------------------------------------------------------------------- */

/* The value of ;name=value in an element of Accept, in thousandths; fallback if it is not there. */
static int parameter(const char *element, const char *name, int fallback)
{
	size_t n = strlen(name);

	for (const char *at = strchr(element, ';'); at; at = strchr(at + 1, ';')) {
		const char *start = at + 1 + strspn(at + 1, " \t");
		if (!strncasecmp(start, name, n) && start[n] == '=')
			return (int)(strtod(start + n + 1, NULL) * 1000);
	}
	return fallback;
}

static bool is_type(const char *element, const char *type)
{
	size_t n = strlen(type);
	return !strncasecmp(element, type, n) && strchr("; \t", element[n]); /* strchr finds the NUL too */
}

bool metrics_prefers_openmetrics(const char *accept)
{
	char copy[1024], *rest = copy, *element;
	int openmetrics = 0, text = 0;

	snprintf(copy, sizeof(copy), "%s", accept);
	while ((element = strsep(&rest, ","))) {
		element += strspn(element, " \t");
		int quality = parameter(element, "q", 1000);
		if (is_type(element, "application/openmetrics-text")) {
			if (parameter(element, "version", 1000) == 1000 && quality > openmetrics)
				openmetrics = quality;
		} else if (is_type(element, "text/plain") && quality > text) {
			text = quality;
		}
	}
	return openmetrics > 0 && openmetrics >= text;
}

/* ---- a connection --------------------------------------------------------------------------------------- */

static void close_client(struct client *client)
{
	struct metrics_http *http = client->http;

	DL_DELETE(http->clients, client);
	http->count--;
	if (client->deadline)
		event_free(client->deadline);
	bufferevent_free(client->stream);
	free(client);
	if (http->count < HTTP_CONNECTIONS_MAX && !evtimer_pending(http->pause, NULL))
		evconnlistener_enable(http->listener);
}

/* Sends the response; the connection is closed when it is out. */
static void respond(struct client *client, const char *status, const char *headers, struct evbuffer *body, bool head)
{
	struct evbuffer *out = bufferevent_get_output(client->stream);

	client->answered = true;
	bufferevent_disable(client->stream, EV_READ);
	evbuffer_add_printf(out, "HTTP/1.1 %s\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", status, headers,
			    evbuffer_get_length(body));
	if (!head)
		evbuffer_add_buffer(out, body);
}

static void respond_error(struct client *client, const char *status, const char *headers, bool head)
{
	struct evbuffer *body = evbuffer_new();
	char all[160];

	evbuffer_add_printf(body, "%s\n", status);
	snprintf(all, sizeof(all), "Content-Type: text/plain; charset=utf-8\r\n%s", headers);
	respond(client, status, all, body, head);
	evbuffer_free(body);
}

static void respond_metrics(struct client *client, bool openmetrics, bool head)
{
	struct evbuffer *body = evbuffer_new();

	client->http->answer(client->http->context, body, openmetrics);
	respond(client, "200 OK",
		openmetrics ? "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n" :
			      "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
		body, head);
	evbuffer_free(body);
}

/* Reads header lines until the empty one; keeps what matters. */
static void read_headers(struct evbuffer *in, bool *openmetrics)
{
	static const char name[] = "accept:";
	char *line;

	*openmetrics = false;
	while ((line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF))) {
		bool is_end = line[0] == '\0';
		if (!strncasecmp(line, name, sizeof(name) - 1))
			*openmetrics |= metrics_prefers_openmetrics(line + sizeof(name) - 1);
		free(line);
		if (is_end)
			return;
	}
}

/*
 * Splits "GET /metrics?query HTTP/1.1" (RFC 9112 section 3) in place. Returns false if it is nothing like it.
 */
static bool split_request(char *line, char **method, char **target)
{
	char *rest = line, *version;

	*method = strsep(&rest, " ");
	*target = strsep(&rest, " ");
	version = rest;
	if (!*target || !version || strncmp(version, "HTTP/1.", 7) || (*target)[0] != '/')
		return false;
	(*target)[strcspn(*target, "?")] = '\0';
	return true;
}

static void handle_request(struct client *client, struct evbuffer *in)
{
	bool openmetrics;
	char *method, *target;
	size_t length;
	char *line = evbuffer_readln(in, &length, EVBUFFER_EOL_CRLF);

	read_headers(in, &openmetrics);
	if (!line || strlen(line) != length || !split_request(line, &method, &target))
		respond_error(client, "400 Bad Request", "", false);
	else if (strcmp(target, "/metrics"))
		respond_error(client, "404 Not Found", "", !strcmp(method, "HEAD"));
	else if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		respond_error(client, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", false);
	else
		respond_metrics(client, openmetrics, !strcmp(method, "HEAD"));
	free(line);
}

static bool has_all_headers(struct evbuffer *in)
{
	return evbuffer_search(in, "\r\n\r\n", 4, NULL).pos >= 0 || evbuffer_search(in, "\n\n", 2, NULL).pos >= 0;
}

static void on_read(struct bufferevent *stream, void *context)
{
	struct client *client = context;
	struct evbuffer *in = bufferevent_get_input(stream);

	if (client->answered)
		return;
	if (has_all_headers(in))
		handle_request(client, in);
	else if (evbuffer_get_length(in) >= HTTP_REQUEST_MAX)
		respond_error(client, "431 Request Header Fields Too Large", "", false);
}

static void on_written(struct bufferevent *stream, void *context)
{
	struct client *client = context;
	(void)stream;
	if (client->answered)
		close_client(client);
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
	(void)stream;
	(void)what; /* end of file or an error */
	close_client(context);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	close_client(context);
}

/* ---- the listener --------------------------------------------------------------------------------------- */

static struct client *new_client(struct metrics_http *http, evutil_socket_t fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->http = http;
	client->stream = bufferevent_socket_new(http->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client->stream) {
		free(client);
		return NULL;
	}
	return client;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
		      void *context)
{
	static const struct timeval time = { .tv_sec = HTTP_TIME_S };
	struct metrics_http *http = context;
	struct client *client = new_client(http, fd);

	(void)address;
	(void)length;
	if (!client) {
		evutil_closesocket(fd);
		return;
	}
	DL_APPEND(http->clients, client);
	if (++http->count >= HTTP_CONNECTIONS_MAX)
		evconnlistener_disable(listener); /* others wait in the kernel's queue */
	client->deadline = evtimer_new(http->base, on_deadline, client);
	if (!client->deadline || evtimer_add(client->deadline, &time)) {
		close_client(client);
		return;
	}
	bufferevent_setwatermark(client->stream, EV_READ, 0, HTTP_REQUEST_MAX);
	bufferevent_setcb(client->stream, on_read, on_written, on_event, client);
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

/* accept() failed. Without a pause a lack of descriptors would be a busy loop. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
	static const struct timeval time = { .tv_sec = PAUSE_S };
	struct metrics_http *http = context;

	evconnlistener_disable(listener);
	evtimer_add(http->pause, &time);
}

static void on_pause_over(evutil_socket_t fd, short what, void *context)
{
	struct metrics_http *http = context;
	(void)fd;
	(void)what;
	if (http->count < HTTP_CONNECTIONS_MAX)
		evconnlistener_enable(http->listener);
}

/* Returns the length of the socket address, 0 if address is none. */
static int parse_address(const char *address, uint16_t port, struct sockaddr_storage *parsed)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)parsed;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)parsed;

	memset(parsed, 0, sizeof(*parsed));
	if (inet_pton(AF_INET, address, &ipv4->sin_addr) == 1) {
		ipv4->sin_family = AF_INET;
		ipv4->sin_port = htons(port);
		return sizeof(*ipv4);
	}
	memset(parsed, 0, sizeof(*parsed));
	if (inet_pton(AF_INET6, address, &ipv6->sin6_addr) == 1) {
		ipv6->sin6_family = AF_INET6;
		ipv6->sin6_port = htons(port);
		return sizeof(*ipv6);
	}
	return 0;
}

static struct evconnlistener *listen_on(struct metrics_http *http, const char *address, uint16_t port, char *error,
					size_t error_size)
{
	struct sockaddr_storage parsed;
	int length = parse_address(address, port, &parsed);
	struct evconnlistener *listener = NULL;

	errno = EINVAL;
	if (length)
		listener = evconnlistener_new_bind(http->base, on_accept, http,
						   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 32,
						   (struct sockaddr *)&parsed, length);
	if (!listener)
		snprintf(error, error_size, "metrics: cannot listen on address %s, port %u: %s", address, port,
			 strerror(errno));
	return listener;
}

struct metrics_http *metrics_http_start(struct event_base *base, const char *address, uint16_t port,
					void (*answer)(void *context, struct evbuffer *body, bool openmetrics),
					void *context, char *error, size_t error_size)
{
	struct metrics_http *http = calloc(1, sizeof(*http));

	if (!http) {
		snprintf(error, error_size, "metrics: no memory");
		return NULL;
	}
	http->base = base;
	http->answer = answer;
	http->context = context;
	http->pause = evtimer_new(base, on_pause_over, http);
	http->listener = listen_on(http, address, port, error, error_size);
	if (!http->pause || !http->listener) {
		metrics_http_stop(http);
		return NULL;
	}
	evconnlistener_set_error_cb(http->listener, on_accept_error);
	return http;
}

void metrics_http_stop(struct metrics_http *http)
{
	while (http->clients)
		close_client(http->clients);
	if (http->listener)
		evconnlistener_free(http->listener);
	if (http->pause)
		event_free(http->pause);
	free(http);
}

uint16_t metrics_http_port(const struct metrics_http *http)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);

	getsockname(evconnlistener_get_fd(http->listener), (struct sockaddr *)&address, &length);
	/* the port stands at the same place in both families */
	return ntohs(((const struct sockaddr_in *)&address)->sin_port);
}

unsigned metrics_http_connections(const struct metrics_http *http)
{
	return http->count;
}
