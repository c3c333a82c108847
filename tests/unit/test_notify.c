/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notify.h"

/* A service manager's socket, at a path or (first byte '@') at an abstract name; NOTIFY_SOCKET names it. */
static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(name);

	memcpy(address.sun_path, name, n);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void assert_received(int fd, const char *expected)
{
	char received[1024];
	ssize_t n = recv(fd, received, sizeof(received) - 1, 0);
	assert_true(n >= 0);
	received[n] = '\0';
	assert_string_equal(received, expected);
}

static void every_state_is_told(int fd)
{
	assert_int_equal(notify_ready("mode monitor, 4 hooks"), 0);
	assert_received(fd, "READY=1\nSTATUS=mode monitor, 4 hooks\n");
	assert_int_equal(notify_ready(NULL), 0);
	assert_received(fd, "READY=1\n");
	assert_int_equal(notify_watchdog(), 0);
	assert_received(fd, "WATCHDOG=1\n");
	assert_int_equal(notify_stopping(), 0);
	assert_received(fd, "STOPPING=1\n");
}

static void a_socket_at_a_path(void **state)
{
	(void)state;
	char path[64];
	snprintf(path, sizeof(path), "/tmp/test_notify.%d", (int)getpid());
	int fd = listen_at(path);
	every_state_is_told(fd);
	close(fd);
	unlink(path);
}

static void a_socket_at_an_abstract_name(void **state)
{
	(void)state;
	char name[64];
	snprintf(name, sizeof(name), "@test_notify/%d", (int)getpid());
	int fd = listen_at(name);
	every_state_is_told(fd);
	close(fd);
}

static void a_status_is_one_line(void **state)
{
	(void)state;
	char name[64];
	snprintf(name, sizeof(name), "@test_notify/%d", (int)getpid());
	int fd = listen_at(name);
	assert_int_equal(notify_ready("a\nMAINPID=1"), 0);
	assert_received(fd, "READY=1\nSTATUS=a MAINPID=1\n");

	char status[2000], received[1024];
	memset(status, 'x', sizeof(status) - 1);
	status[sizeof(status) - 1] = '\0';
	assert_int_equal(notify_ready(status), 0);
	ssize_t n = recv(fd, received, sizeof(received), 0);
	assert_true(n > 400 && n < 520);
	assert_int_equal(received[n - 1], '\n');
	close(fd);
}

static void reloading_tells_its_time(void **state)
{
	(void)state;
	char name[64], received[128] = "";
	long long time;
	int end = 0;
	snprintf(name, sizeof(name), "@test_notify/%d", (int)getpid());
	int fd = listen_at(name);
	assert_int_equal(notify_reloading(), 0);
	assert_true(recv(fd, received, sizeof(received) - 1, 0) > 0);
	assert_int_equal(sscanf(received, "RELOADING=1\nMONOTONIC_USEC=%lld\n%n", &time, &end), 1);
	assert_int_equal(received[end], '\0');
	assert_true(time > 0);
	close(fd);
}

static void without_a_socket_nothing_happens(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_ready("x"), 0);
}

static void a_bad_socket_is_an_error(void **state)
{
	(void)state;
	char name[200];
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	assert_int_equal(notify_stopping(), -ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(notify_stopping(), -EAFNOSUPPORT);
	setenv("NOTIFY_SOCKET", "@", 1);
	assert_int_equal(notify_stopping(), -EAFNOSUPPORT);
	memset(name, '/', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(notify_stopping(), -ENAMETOOLONG);
	unsetenv("NOTIFY_SOCKET");
}

static void the_watchdog_is_for_the_named_process(void **state)
{
	(void)state;
	char pid[16];
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	assert_int_equal(notify_watchdog_interval_us(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(notify_watchdog_interval_us(), 30000000);
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_interval_us(), 30000000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_interval_us(), 0);
	setenv("WATCHDOG_PID", pid, 1);
	setenv("WATCHDOG_USEC", "30s", 1);
	assert_int_equal(notify_watchdog_interval_us(), 0);
	setenv("WATCHDOG_USEC", "-1", 1);
	assert_int_equal(notify_watchdog_interval_us(), 0);
	setenv("WATCHDOG_USEC", "99999999999999999999999", 1);
	assert_int_equal(notify_watchdog_interval_us(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_at_a_path),
		cmocka_unit_test(a_socket_at_an_abstract_name),
		cmocka_unit_test(a_status_is_one_line),
		cmocka_unit_test(reloading_tells_its_time),
		cmocka_unit_test(without_a_socket_nothing_happens),
		cmocka_unit_test(a_bad_socket_is_an_error),
		cmocka_unit_test(the_watchdog_is_for_the_named_process),
	};
	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
