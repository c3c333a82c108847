/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "judgement.h"
#include "metrics.h"
#include "metrics_http.h"

/* ---- the text ------------------------------------------------------------------------------------------- */

static const struct kernel_hook hooks[] = {
	{ .name = "cgroup/connect4", .attached = true },
	{ .name = "a\"b\\c\nd\xff", .attached = false },
};

static struct metrics_view make_view(void)
{
	struct metrics_view view = { .version = "0.1.0", .mode = MODE_BLOCK, .started = { 1700000000, 5000000 },
				     .hooks = hooks, .hook_count = 2, .ring_used = 7, .ring_size = 4096,
				     .sessions_open = 3, .resident_bytes = 123456789 };
	view.counts.outcomes[OUTCOME_CLEARTEXT] = 5;
	view.counts.findings[FINDING_CLEARTEXT_AUTH] = 4;
	view.counts.auth_clear[EXPOSURE_SECRET] = 2;
	view.counts.events_read = UINT64_MAX;
	view.kernel[COUNTER_EVENTS_LOST] = 9;
	view.kernel[COUNTER_FLOWS_BLOCKED] = 1;
	view.sinks[0] = (struct sink_stats){ .name = "syslog", .written = 10, .dropped = 11, .failed = 12 };
	view.sink_count = 1;
	return view;
}

static char *text_of(const struct metrics_view *view, bool openmetrics)
{
	struct evbuffer *buffer = evbuffer_new();
	metrics_text(buffer, view, openmetrics);
	size_t n = evbuffer_get_length(buffer);
	char *text = malloc(n + 1);
	evbuffer_remove(buffer, text, n);
	text[n] = '\0';
	evbuffer_free(buffer);
	return text;
}

static bool has_line(const char *text, const char *line)
{
	size_t n = strlen(line);
	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && at[n] == '\n')
			return true;
	return false;
}

static void assert_has(const char *text, const char *line)
{
	if (!has_line(text, line))
		fail_msg("no line '%s'", line);
}

static void samples_are_the_same_in_both_formats(void **state)
{
	static const char *const samples[] = {
		"smtpward_build_info{version=\"0.1.0\"} 1",
		"smtpward_mode{mode=\"monitor\"} 0",
		"smtpward_mode{mode=\"block\"} 1",
		"smtpward_start_time_seconds 1700000000.005",
		"process_resident_memory_bytes 123456789",
		"smtpward_hook_attached{hook=\"cgroup/connect4\"} 1",
		"smtpward_sessions_open 3",
		"smtpward_sessions_closed_total{outcome=\"cleartext\"} 5",
		"smtpward_sessions_closed_total{outcome=\"blocked\"} 0",
		"smtpward_findings_total{finding=\"cleartext-auth\"} 4",
		"smtpward_cleartext_auth_total{exposure=\"secret\"} 2",
		"smtpward_blocked_total 1",
		"smtpward_events_read_total 18446744073709551615",
		"smtpward_events_lost_total 9",
		"smtpward_ring_used_bytes 7",
		"smtpward_ring_size_bytes 4096",
		"smtpward_sink_written_total{sink=\"syslog\"} 10",
		"smtpward_sink_dropped_total{sink=\"syslog\"} 11",
		"smtpward_sink_failed_total{sink=\"syslog\"} 12",
		"smtpward_kernel_events_lost_total 9",
		"smtpward_kernel_helper_failed_total 0",
	};
	struct metrics_view view = make_view();
	(void)state;
	for (int openmetrics = 0; openmetrics < 2; openmetrics++) {
		char *text = text_of(&view, openmetrics);
		for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
			assert_has(text, samples[i]);
		free(text);
	}
}

static void a_label_is_escaped(void **state)
{
	struct metrics_view view = make_view();
	(void)state;
	char *text = text_of(&view, false);
	assert_has(text, "smtpward_hook_attached{hook=\"a\\\"b\\\\\\\\c\\\\x0ad\\\\xff\"} 0");
	free(text);
}

static void the_formats_differ_where_they_must(void **state)
{
	struct metrics_view view = make_view();
	(void)state;
	char *text = text_of(&view, false), *openmetrics = text_of(&view, true);
	assert_has(text, "# TYPE smtpward_findings_total counter");
	assert_has(text, "# TYPE smtpward_build_info gauge");
	assert_null(strstr(text, "# EOF"));
	assert_null(strstr(text, "# UNIT"));
	assert_has(openmetrics, "# TYPE smtpward_findings counter");
	assert_has(openmetrics, "# TYPE smtpward_build info");
	assert_has(openmetrics, "# UNIT smtpward_ring_used_bytes bytes");
	assert_has(openmetrics, "# UNIT smtpward_start_time_seconds seconds");
	assert_string_equal(openmetrics + strlen(openmetrics) - 6, "# EOF\n");
	free(text);
	free(openmetrics);
}

/* Each family once, and each sample behind the TYPE of its own family. */
static void assert_families(char *text)
{
	char seen[200][80], *rest = text, *line;
	unsigned count = 0;
	while ((line = strsep(&rest, "\n")) && line[0]) {
		if (!strncmp(line, "# TYPE ", 7)) {
			assert_true(count < 200);
			assert_int_equal(sscanf(line + 7, "%79s", seen[count]), 1);
			for (unsigned i = 0; i < count; i++)
				assert_string_not_equal(seen[i], seen[count]);
			count++;
		} else if (line[0] != '#') {
			assert_true(count > 0);
			assert_int_equal(strncmp(line, seen[count - 1], strlen(seen[count - 1])), 0);
		}
	}
	assert_true(count > 20);
}

static void families_are_not_mixed(void **state)
{
	struct metrics_view view = make_view();
	(void)state;
	for (int openmetrics = 0; openmetrics < 2; openmetrics++) {
		char *text = text_of(&view, openmetrics);
		assert_families(text);
		free(text);
	}
}

/* Returns the command for promtool: on PATH, in build/, or in the tree that SMTPWARD_TEST_ROOT names. */
static bool find_promtool(char command[512])
{
	static const char *const candidates[] = {
		"promtool",
		"build/promtool",
		"build/prometheus/usr/bin/promtool",
		"${SMTPWARD_TEST_ROOT:-/nonexistent}/usr/bin/promtool",
	};
	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		snprintf(command, 512, "command -v %s >/dev/null", candidates[i]);
		if (system(command) == 0) {
			snprintf(command, 512, "%s check metrics", candidates[i]);
			return true;
		}
	}
	return false;
}

static void promtool_finds_no_fault(void **state)
{
	struct metrics_view view = make_view();
	char command[512];
	(void)state;
	if (!find_promtool(command)) {
		print_message("skipped: promtool is not installed\n");
		skip();
	}
	char *text = text_of(&view, false);
	FILE *promtool = popen(command, "w");
	assert_non_null(promtool);
	fputs(text, promtool);
	assert_int_equal(pclose(promtool), 0);
	free(text);
}

static void openmetrics_is_taken_where_it_is_preferred(void **state)
{
	(void)state;
	/* what Prometheus 2.42 sends */
	assert_true(metrics_prefers_openmetrics("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
						"version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
	assert_true(metrics_prefers_openmetrics(" Application/OpenMetrics-Text ; q=0.5"));
	assert_true(metrics_prefers_openmetrics("text/plain;q=0.4, application/openmetrics-text; version=1.0.0; q=0.5"));
	assert_false(metrics_prefers_openmetrics("text/plain, application/openmetrics-text;q=0.5"));
	assert_false(metrics_prefers_openmetrics("application/openmetrics-text;q=0"));
	assert_false(metrics_prefers_openmetrics("application/openmetrics-text;version=0.0.1"));
	assert_false(metrics_prefers_openmetrics("application/openmetrics-textual"));
	assert_false(metrics_prefers_openmetrics("*/*"));
	assert_false(metrics_prefers_openmetrics(""));
	assert_false(metrics_prefers_openmetrics(",;,;q=,;=,"));
}

/* ---- HTTP ----------------------------------------------------------------------------------------------- */

static struct event_base *base;
static struct metrics_http *http;

static void answer(void *context, struct evbuffer *body, bool openmetrics)
{
	assert_ptr_equal(context, &base);
	evbuffer_add_printf(body, openmetrics ? "openmetrics\n" : "plain\n");
}

static int setup(void **state)
{
	char error[256] = "";
	(void)state;
	base = event_base_new();
	http = metrics_http_start(base, "127.0.0.1", 0, answer, &base, error, sizeof(error));
	if (!http)
		print_error("%s\n", error);
	return http ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	metrics_http_stop(http);
	event_base_free(base);
	return 0;
}

static int dial(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(metrics_http_port(http)) };
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Runs the server until it has closed fd; returns what it said. */
static const char *read_all(int fd)
{
	static char response[4096];
	size_t length = 0;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (unsigned turn = 0; turn < 10000; turn++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		ssize_t n = recv(fd, response + length, sizeof(response) - 1 - length, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			response[length] = '\0';
			return response;
		}
		if (n > 0)
			length += (size_t)n;
		else
			usleep(1000);
	}
	fail_msg("the server does not close the connection");
	return NULL;
}

static const char *ask(const char *request)
{
	int fd = dial();
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	const char *response = read_all(fd);
	close(fd);
	return response;
}

static void assert_starts(const char *text, const char *start)
{
	assert_memory_equal(text, start, strlen(start));
}

static void assert_body(const char *response, const char *body)
{
	const char *end = strstr(response, "\r\n\r\n");
	assert_non_null(end);
	assert_string_equal(end + 4, body);
}

static void get_gives_the_text(void **state)
{
	(void)state;
	const char *response = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_starts(response, "HTTP/1.1 200 OK\r\n");
	assert_non_null(strstr(response, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_non_null(strstr(response, "\r\nContent-Length: 6\r\n"));
	assert_body(response, "plain\n");
	assert_body(ask("GET /metrics?a=b HTTP/1.0\n\n"), "plain\n");
	response = ask("GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text; version=1.0.0\r\n\r\n");
	assert_non_null(strstr(response, "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
	assert_body(response, "openmetrics\n");
}

static void head_gives_no_body(void **state)
{
	(void)state;
	const char *response = ask("HEAD /metrics HTTP/1.1\r\n\r\n");
	assert_starts(response, "HTTP/1.1 200 OK\r\n");
	assert_non_null(strstr(response, "\r\nContent-Length: 6\r\n"));
	assert_body(response, "");
}

static void anything_else_is_an_error(void **state)
{
	(void)state;
	assert_starts(ask("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 ");
	assert_starts(ask("GET /metrics/ HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 ");
	const char *response = ask("POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
	assert_starts(response, "HTTP/1.1 405 ");
	assert_non_null(strstr(response, "\r\nAllow: GET, HEAD\r\n"));
	static const char *const bad[] = { "\r\n\r\n", "GET\r\n\r\n", "GET /metrics\r\n\r\n", "GET  HTTP/1.1\r\n\r\n",
					   "GET metrics HTTP/1.1\r\n\r\n", "GET /metrics HTTP/2\r\n\r\n", "\x16\x03\x01\n\n" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_starts(ask(bad[i]), "HTTP/1.1 400 ");
}

static void a_request_without_end_is_an_error(void **state)
{
	char request[HTTP_REQUEST_MAX + 1];
	(void)state;
	memset(request, 'x', sizeof(request) - 1);
	request[sizeof(request) - 1] = '\0';
	assert_starts(ask(request), "HTTP/1.1 431 ");
}

static void a_request_may_come_in_pieces(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
	(void)state;
	int fd = dial();
	for (size_t i = 0; i + 1 < sizeof(request); i++) {
		assert_int_equal(send(fd, request + i, 1, 0), 1);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	assert_body(read_all(fd), "plain\n");
	close(fd);
}

/* Idle connections fill the table; the next one waits, and is served when one of them ends. */
static void connections_are_bounded(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
	int idle[HTTP_CONNECTIONS_MAX];
	(void)state;
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		idle[i] = dial();
	int waiting = dial();
	assert_int_equal(send(waiting, request, strlen(request), 0), strlen(request));
	for (unsigned turn = 0; turn < 100; turn++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(metrics_http_connections(http), HTTP_CONNECTIONS_MAX);
	char byte;
	assert_int_equal(recv(waiting, &byte, 1, MSG_DONTWAIT), -1);

	close(idle[0]);
	assert_body(read_all(waiting), "plain\n");
	close(waiting);
	for (unsigned i = 1; i < HTTP_CONNECTIONS_MAX; i++)
		close(idle[i]);
}

static void a_port_in_use_is_an_error(void **state)
{
	char error[256] = "", expected[256];
	(void)state;
	snprintf(expected, sizeof(expected), "metrics: cannot listen on address 127.0.0.1, port %u: %s", metrics_http_port(http),
		 strerror(EADDRINUSE));
	assert_null(metrics_http_start(base, "127.0.0.1", metrics_http_port(http), answer, NULL, error, sizeof(error)));
	assert_string_equal(error, expected);
	assert_null(metrics_http_start(base, "not an address", 0, answer, NULL, error, sizeof(error)));
	assert_string_equal(error, "metrics: cannot listen on address not an address, port 0: Invalid argument");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_are_the_same_in_both_formats),
		cmocka_unit_test(a_label_is_escaped),
		cmocka_unit_test(the_formats_differ_where_they_must),
		cmocka_unit_test(families_are_not_mixed),
		cmocka_unit_test(promtool_finds_no_fault),
		cmocka_unit_test(openmetrics_is_taken_where_it_is_preferred),
		TEST(get_gives_the_text),
		TEST(head_gives_no_body),
		TEST(anything_else_is_an_error),
		TEST(a_request_without_end_is_an_error),
		TEST(a_request_may_come_in_pieces),
		TEST(connections_are_bounded),
		TEST(a_port_in_use_is_an_error),
	};
	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
