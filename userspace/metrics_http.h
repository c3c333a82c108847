/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * As much of an HTTP server as a scrape needs: GET and HEAD of /metrics, one request a connection.
 *
 * libevent's evhttp would do that too, but it bounds neither the number of connections nor the time that a client
 * may take for its request as long as it sends a byte now and then. Here both are bounded.
 */
#ifndef SMTPWARD_METRICS_HTTP_H
#define SMTPWARD_METRICS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_CONNECTIONS_MAX 16
#define HTTP_REQUEST_MAX 8192 /* bytes of request line and headers */
#define HTTP_TIME_S 10        /* for a whole connection */

struct event_base;
struct evbuffer;
struct metrics_http;

/*
 * Listens on address (IPv4 or IPv6, no name) and port. answer() appends what /metrics is to body. Returns NULL with one
 * line in error.
 */
struct metrics_http *metrics_http_start(struct event_base *base, const char *address, uint16_t port,
					void (*answer)(void *context, struct evbuffer *body, bool openmetrics),
					void *context, char *error, size_t error_size);
/* Ends every connection and stops listening. */
void metrics_http_stop(struct metrics_http *http);

/* Returns the port listened on; where 0 was asked for, the kernel chose it. */
uint16_t metrics_http_port(const struct metrics_http *http);
/* Returns how many connections are open. */
unsigned metrics_http_connections(const struct metrics_http *http);

/* Whether the value of an Accept header prefers OpenMetrics 1.0.0 to plain text (RFC 9110 section 12.5.1). */
bool metrics_prefers_openmetrics(const char *accept);

#endif
