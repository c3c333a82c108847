/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the control protocol over its real socket; the parts behind it are the unit tests' stubs. The input: a byte of
 * options, a piece that the sessions' texts are taken from, and pieces that a client sends, each in one call. Every line
 * gets one answer, an object in one printable line; nobody but root changes anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control_connection.h"
#include "facts.h"
#include "fuzz.h"
#include "unit/control_stub.h"

#define OPTION_NOBODY 1 /* the client is not root */
#define OPTION_SESSIONS 2
#define OPTION_SLOW 4 /* it does not read before all is sent */
#define NOBODY 65534
#define TURNS_MAX 200000

static struct fixture *fixture;

static void remove_files(void)
{
	unlink(fixture->path);
	rmdir(fixture->directory);
	rmdir(fixture->base);
}

static void start(void)
{
	void *state = NULL;
	set_up(&state);
	fixture = state;
	open_path_to_all(fixture);
	chmod(fixture->directory, 0755);
	close_client(&fixture->client);
	atexit(remove_files);
}

/* A session as it may be in the table: texts are hostile and end with NUL, numbers are in their ranges. */
static void add_hostile_session(const uint8_t *bytes, size_t length)
{
	struct session *session = add_session(fixture);
	uint8_t *raw = (uint8_t *)&session->last;
	memcpy(raw, bytes, length < sizeof(session->last) ? length : sizeof(session->last));
	session->last.mechanism[MECHANISM_SIZE - 1] = session->last.account[ACCOUNT_SIZE - 1] = 0;
	session->last.server_name[SERVER_NAME_SIZE - 1] = 0;
	session->last.facts &= (1ULL << FACT_COUNT) - 1;
	session->last.reason = (uint8_t)(EVENT_OPENED + session->last.reason % EVENT_HELD);
	session->last.end %= FLOW_END_RESET + 1;
	session->last.require %= REQUIRE_VERIFIED + 1;
	session->judgement.findings = session->last.pid & ((1U << FINDING_COUNT) - 1);
	session->judgement.outcome = session->last.tid % OUTCOME_COUNT;
}

static struct client connect_as(uid_t uid)
{
	bool other = geteuid() == 0 && uid != 0;
	REQUIRE(!other || seteuid(uid) == 0);
	struct client client = connect_client(fixture);
	REQUIRE(!other || seteuid(0) == 0);
	return client;
}

static void turn(void)
{
	event_base_loop(fixture->agent.base, EVLOOP_NONBLOCK);
}

static void send_piece(struct client *client, const uint8_t *bytes, size_t length, bool slow)
{
	for (unsigned turns = 0; length && turns < TURNS_MAX; turns++) {
		ssize_t sent = send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN)
			return; /* it was turned away: what for is in its answer */
		bytes += sent > 0 ? sent : 0;
		length -= sent > 0 ? (size_t)sent : 0;
		turn();
		if (!slow || sent < 0)
			client_read(client);
	}
}

/* What is due for what was sent: an answer for each line, and one for a line that is too long before it ends. */
struct expected {
	size_t answers, partial;
};

static void expect_answers(struct expected *expected, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		expected->partial++;
		if (bytes[i] != '\n')
			continue;
		expected->answers++;
		expected->partial = 0;
	}
}

static size_t check_answers(const struct client *client, bool *watching)
{
	size_t lines = 0;
	const char *at = client->bytes, *end = client->bytes + client->used;
	while (client->used && at < end) {
		const char *line = at, *stop = memchr(at, '\n', (size_t)(end - at));
		REQUIRE(stop != NULL); /* no answer is cut off */
		for (; at < stop; at++)
			REQUIRE((unsigned char)*at >= 0x20 && *at != 0x7f);
		json_t *answer = json_loadb(line, (size_t)(stop - line), JSON_REJECT_DUPLICATES, NULL);
		REQUIRE(json_is_object(answer));
		*watching |= json_object_get(answer, "watching") != NULL;
		json_decref(answer);
		at = stop + 1;
		lines++;
	}
	return lines;
}

static void hear_out(struct client *client)
{
	unsigned turns = 0;
	shutdown(client->fd, SHUT_WR);
	do
		turn();
	while (client_read(client) && ++turns < TURNS_MAX);
	REQUIRE(turns < TURNS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct expected expected = { 0 };
	bool watching = false;
	size_t length;

	if (!fixture)
		start();
	uint8_t options = fuzz_byte(&input);
	const uint8_t *piece = fuzz_piece(&input, &length);
	for (unsigned i = 0; options & OPTION_SESSIONS && i < 3; i++)
		add_hostile_session(piece + length * i / 3, length - length * i / 3);
	bool nobody = geteuid() == 0 && options & OPTION_NOBODY;
	enum policy_mode mode = stub.mode;
	unsigned reloads = stub.reloads;
	struct client client = connect_as(nobody ? NOBODY : 0);
	while (input.left) {
		piece = fuzz_piece(&input, &length);
		send_piece(&client, piece, length, options & OPTION_SLOW);
		expect_answers(&expected, piece, length);
	}
	hear_out(&client);
	size_t lines = check_answers(&client, &watching);
	REQUIRE(watching || lines == expected.answers + (expected.partial > CONTROL_LINE_MAX));
	REQUIRE(!nobody || (stub.mode == mode && stub.reloads == reloads));
	close_client(&client);
	forget_sessions();
	turn();
	return 0;
}
