/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which events wake who waits for the ring: those that an alert may come of, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "dialogue_run.h"
#include "lab.h"

#define PATIENCE_MS 10000

static void say(int from, int to, const char *text)
{
	lab_send(from, to, (const uint8_t *)text, strlen(text), SIZE_MAX);
}

/* Whether somebody who waits is woken, within so many milliseconds. */
static bool wakes(int patience_ms)
{
	struct pollfd ring = { .fd = lab_ring_fd(), .events = POLLIN };
	return poll(&ring, 1, patience_ms) == 1;
}

/* Nothing is in the ring, no wake-up is on its way, and the last one is long enough ago. */
static void come_to_rest(void)
{
	lab_read_events();
	usleep(2 * WAKE_INTERVAL_NS / 1000);
	while (wakes(0))
		lab_read_events();
	lab_forget_events();
}

/* This process is a new sender with its first connection: its libraries are to be found, so that one wakes. */
static int fresh(void **state)
{
	(void)state;
	if (lab.missing)
		return 0;
	lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
	struct lab_connection first = lab_connect(LAB_IPV4, lab.starttls_port);
	lab_close(&first);
	come_to_rest();
	return 0;
}

static void opening_can_wait(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.starttls_port);
	say(connection.server, connection.client, "220 mx.example\r\n");
	say(connection.client, connection.server, "EHLO a\r\n");
	assert_false(wakes(0));
	lab_read_events();
	assert_int_equal(lab_count(connection.client_port, EVENT_OPENED), 1); /* it was there all the same */
	lab_close(&connection);
}

static void mail_in_clear_wakes(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.starttls_port);
	say(connection.server, connection.client, "220 mx.example\r\n");
	say(connection.client, connection.server, "HELO a\r\n");
	come_to_rest();
	say(connection.client, connection.server, "MAIL FROM:<a>\r\n");
	assert_true(wakes(PATIENCE_MS));
	lab_read_events();
	assert_int_equal(lab_count(connection.client_port, EVENT_PROGRESS), 1);
	lab_close(&connection);
}

/* What only shows at the end: the client asked for TLS and came to nothing. */
static void an_end_without_tls_wakes(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.starttls_port);
	say(connection.server, connection.client, "220 mx.example\r\n");
	come_to_rest();
	close(connection.client);
	close(connection.server);
	assert_true(wakes(PATIENCE_MS));
	lab_read_events();
	assert_int_equal(lab_count(connection.client_port, EVENT_CLOSED), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(opening_can_wait, fresh),
		cmocka_unit_test_setup(mail_in_clear_wakes, fresh),
		cmocka_unit_test_setup(an_end_without_tls_wakes, fresh),
	};
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
