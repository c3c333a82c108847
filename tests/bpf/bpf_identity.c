/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Application data that is held back until the peer's identity is known, and what the witness is told of a flow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "facts.h"
#include "lab.h"
#include "tls_record.h"
#include "witness.h"

#define MILLISECOND 1000000ULL
#define SECOND (1000 * MILLISECOND)
#define HOLD (5 * SECOND)
#define RECORD 64 /* bytes of each record, its header included */

static const uint32_t zero;
static const uint8_t encrypted[RECORD] = { TLS_DATA, 3, 3, 0, RECORD - 5 };

/* ---- what the agent and the witness write ----------------------------------------------------------------- */

static uint64_t monotonic(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void beat(uint64_t ago)
{
	const uint64_t time = monotonic() - ago;
	assert_int_equal(bpf_map_update_elem(lab_map("heartbeat"), &zero, &time, BPF_ANY), 0);
}

#define AGENT_IS_GONE (HEARTBEAT_MAX_NS + SECOND)

static void set_mode(enum policy_mode mode, const struct policy_rule *rule, uint64_t hold_ns, bool witness)
{
	const struct settings settings = { .fallback = *rule, .mode = (uint8_t)mode, .hold_ns = hold_ns,
					   .witness = witness };
	assert_int_equal(bpf_map_update_elem(lab_map("settings"), &zero, &settings, BPF_ANY), 0);
}

static void set(const struct policy_rule *rule, uint64_t hold_ns)
{
	set_mode(MODE_BLOCK, rule, hold_ns, true);
}

static struct policy_rule verified(enum policy_doubt undecided)
{
	return (struct policy_rule){ .require = REQUIRE_VERIFIED, .action = ACTION_BLOCK, .undecided = (uint8_t)undecided };
}

static bool find_witness(uint64_t flow_id, struct witness *witness)
{
	return bpf_map_lookup_elem(lab_map("witnesses"), &flow_id, witness) == 0;
}

/* good_for: 1 stands for the flow's id; name_for: a hash. */
static void tell(uint64_t flow_id, struct witness word)
{
	struct witness witness;
	assert_true(find_witness(flow_id, &witness));
	word.demanded = witness.demanded;
	word.good_for = word.good_for ? flow_id : 0;
	word.name_for = word.name_for ? flow_id ^ word.name_for : 0;
	assert_int_equal(bpf_map_update_elem(lab_map("witnesses"), &flow_id, &word, BPF_EXIST), 0);
}

static void tell_verdict(uint64_t flow_id, enum identity verdict)
{
	const struct peer_verdict word = { .identity = verdict };
	assert_int_equal(bpf_map_update_elem(lab_map("verdicts"), &flow_id, &word, BPF_EXIST), 0);
}

static enum identity find_verdict(uint64_t flow_id)
{
	struct peer_verdict word;
	assert_int_equal(bpf_map_lookup_elem(lab_map("verdicts"), &flow_id, &word), 0);
	return word.identity;
}

static int fresh(void **state)
{
	(void)state;
	if (!lab.missing) {
		const struct policy_rule rule = verified(DOUBT_BLOCK);
		set(&rule, HOLD);
		beat(0);
		lab_forget_events();
	}
	return 0;
}

/* ---- handshakes ------------------------------------------------------------------------------------------- */

static uint64_t flow_id_of(const struct lab_connection *connection)
{
	return lab_wait(connection->client_port, EVENT_OPENED)->flow_id;
}

/* Returns what the hello map is to have of it. */
static uint64_t client_hello(uint8_t hello[RECORD])
{
	static uint64_t key = 0x0123456789abcdef;
	key += 0x1010101;
	memset(hello, 0, RECORD);
	memcpy(hello, (const uint8_t[]){ TLS_HANDSHAKE, 3, 1, 0, RECORD - 5, TLS_CLIENT_HELLO, 0, 0, RECORD - 9, 3, 3 }, 11);
	memcpy(hello + HELLO_KEY_AT, &key, sizeof(key));
	return key;
}

/* extensions: behind their length. version: legacy_version. Returns the record's length. */
static size_t server_hello(uint8_t *hello, uint16_t version, const uint8_t *extensions, size_t length)
{
	size_t message = 2 + 32 + 1 + 2 + 1 + (extensions ? 2 + length : 0);
	memset(hello, 0, 9 + message);
	const uint8_t head[] = { TLS_HANDSHAKE, 3, 3, 0, (uint8_t)(4 + message), TLS_SERVER_HELLO, 0, 0, (uint8_t)message };
	memcpy(hello, head, sizeof(head));
	hello[9] = (uint8_t)(version >> 8);
	hello[10] = (uint8_t)version;
	memset(hello + 11, 0x55, 32);
	if (extensions) {
		hello[9 + 2 + 32 + 1 + 2 + 1 + 1] = (uint8_t)length;
		memcpy(hello + 9 + message - length, extensions, length);
	}
	return 9 + message;
}

/* an empty extended_master_secret stands before it, and a key_share behind */
static const uint8_t chooses_13[] = { 0, 23, 0, 0, 0, 43, 0, 2, 3, 4, 0, 51, 0, 4, 0, 29, 0, 0 };
static const uint8_t chooses_none[] = { 0, 23, 0, 0, 255, 1, 0, 1, 0 };

/* The server's flight is cut behind the first bytes; SIZE_MAX: it is not. */
static void hellos_in_pieces(const struct lab_connection *connection, uint16_t version, const uint8_t *extensions,
			     size_t extensions_length, size_t first)
{
	uint8_t mine[RECORD], flight[256];
	size_t length = server_hello(flight, version, extensions, extensions_length);
	memcpy(flight + length, encrypted, RECORD);
	length += RECORD;
	client_hello(mine);
	lab_send(connection->client, connection->server, mine, RECORD, SIZE_MAX);
	if (first > length)
		first = length;
	lab_send(connection->server, connection->client, flight, first, SIZE_MAX);
	if (first < length)
		lab_send(connection->server, connection->client, flight + first, length - first, SIZE_MAX);
}

static void hellos(const struct lab_connection *connection)
{
	hellos_in_pieces(connection, 0x0303, chooses_13, sizeof(chooses_13), SIZE_MAX);
}

/* A connection whose client may send application data next. */
static struct lab_connection shaken(void)
{
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	hellos(&connection);
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX); /* its Finished */
	return connection;
}

static void write_record(const struct lab_connection *connection)
{
	assert_int_equal(send(connection->client, encrypted, RECORD, MSG_NOSIGNAL), RECORD);
}

/* What the agent does to make TCP present a segment again. */
static void push(const struct lab_connection *connection)
{
	const int off = 0;
	assert_int_equal(setsockopt(connection->client, IPPROTO_TCP, TCP_CORK, &off, sizeof(off)), 0);
}

static bool comes(const struct lab_connection *connection, size_t bytes, unsigned ms)
{
	uint8_t got[4 * RECORD];
	for (unsigned waited = 0; waited < ms && lab_waiting(connection->server) < bytes; waited++)
		usleep(1000);
	if (lab_waiting(connection->server) != bytes)
		return false;
	assert_int_equal(recv(connection->server, got, sizeof(got), 0), bytes);
	return true;
}

static void assert_comes(const struct lab_connection *connection)
{
	assert_true(comes(connection, RECORD, 5000));
}

static void assert_held(const struct lab_connection *connection)
{
	const struct flow_event *event = lab_wait(connection->client_port, EVENT_HELD);
	assert_int_equal(event->facts & (FACT(HELD) | FACT(BLOCKED) | FACT(WOULD_BLOCK)), FACT(HELD));
	assert_int_equal(event->held_ns, 0);
	assert_int_equal(lab_waiting(connection->server), 0);
}

static void assert_never_held(struct lab_connection *connection)
{
	const struct flow_event closed = lab_close(connection);
	assert_int_equal(closed.facts & (FACT(HELD) | FACT(BLOCKED) | FACT(WOULD_BLOCK)), 0);
	assert_int_equal(closed.held_ns, 0);
	assert_int_equal(lab_count(connection->client_port, EVENT_HELD), 0);
}

/* Nothing has come, nor ever will. */
static void assert_blocked(struct lab_connection *connection, uint64_t stopped)
{
	assert_int_equal(lab_wait(connection->client_port, EVENT_BLOCKED)->stopped, stopped);
	push(connection);
	assert_int_equal(lab_waiting(connection->server), 0);
	assert_int_equal(lab_count(connection->client_port, EVENT_BLOCKED), 1);
	assert_int_equal(lab_reset(connection).facts & FACT(BLOCKED), FACT(BLOCKED));
}

/* ---- holding ---------------------------------------------------------------------------------------------- */

static void application_data_waits_for_the_verdict(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	for (int i = 0; i < 3; i++)
		push(&connection);
	assert_false(comes(&connection, RECORD, 300));
	tell_verdict(flow_id_of(&connection), IDENTITY_VERIFIED);
	push(&connection);
	assert_true(comes(&connection, RECORD, 100)); /* sooner than TCP would by itself */
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	const struct flow_event closed = lab_close(&connection);
	assert_int_equal(closed.facts & (FACT(HELD) | FACT(BLOCKED) | FACT(WOULD_BLOCK)), FACT(HELD));
	assert_in_range(closed.held_ns, 300 * MILLISECOND, 4 * SECOND);
	assert_int_equal(lab_count(connection.client_port, EVENT_HELD), 1);
	assert_int_equal(lab_count(connection.client_port, EVENT_BLOCKED), 0);
}

static void tcp_presents_held_data_by_itself(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	tell_verdict(flow_id_of(&connection), IDENTITY_VERIFIED);
	assert_comes(&connection);
	lab_close(&connection);
}

static void a_verdict_before_the_data_holds_nothing(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = shaken();
	tell_verdict(flow_id_of(&connection), IDENTITY_VERIFIED);
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	assert_never_held(&connection);
}

static void a_refused_peer_gets_nothing(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	tell_verdict(flow_id_of(&connection), IDENTITY_REFUSED);
	push(&connection);
	assert_blocked(&connection, FACT(CLIENT_DATA));
	connection = shaken();
	tell(flow_id_of(&connection), (struct witness){ .checked = 1, .good_for = 1 });
	tell_verdict(flow_id_of(&connection), IDENTITY_REFUSED);
	write_record(&connection); /* at once; and the agent's word goes before the witness's */
	assert_blocked(&connection, FACT(CLIENT_DATA));
	assert_int_equal(lab_count(connection.client_port, EVENT_HELD), 0);
}

static void what_is_left_open_goes_by_undecided(void **state)
{
	(void)state;
	lab_needed();
	struct policy_rule rule = verified(DOUBT_PASS);
	set(&rule, HOLD);
	struct lab_connection connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	tell_verdict(flow_id_of(&connection), IDENTITY_LEFT_OPEN);
	push(&connection);
	assert_comes(&connection);
	assert_true(lab_close(&connection).held_ns > 0);
	rule = verified(DOUBT_BLOCK);
	set(&rule, HOLD);
	connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	tell_verdict(flow_id_of(&connection), IDENTITY_LEFT_OPEN);
	push(&connection);
	assert_blocked(&connection, FACT(CLIENT_DATA));
}

static void without_an_agent_nothing_waits(void **state)
{
	(void)state;
	lab_needed();
	struct policy_rule rule = verified(DOUBT_PASS);
	set(&rule, HOLD);
	beat(AGENT_IS_GONE);
	struct lab_connection connection = shaken();
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	assert_never_held(&connection);
	rule = verified(DOUBT_BLOCK);
	set(&rule, HOLD);
	connection = shaken();
	write_record(&connection);
	assert_blocked(&connection, FACT(CLIENT_DATA));
	assert_int_equal(lab_count(connection.client_port, EVENT_HELD), 0);
}

static void an_agent_that_dies_leaves_nothing_waiting(void **state)
{
	(void)state;
	lab_needed();
	const struct policy_rule rule = verified(DOUBT_PASS);
	set(&rule, HOLD);
	struct lab_connection connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	beat(AGENT_IS_GONE);
	push(&connection);
	assert_comes(&connection);
	lab_close(&connection);
}

static void the_time_that_data_waits_has_an_end(void **state)
{
	(void)state;
	lab_needed();
	struct policy_rule rule = verified(DOUBT_PASS);
	set(&rule, 200 * MILLISECOND);
	struct lab_connection connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	assert_comes(&connection);
	const struct flow_event closed = lab_close(&connection);
	assert_in_range(closed.held_ns, 200 * MILLISECOND, 4 * SECOND);
	assert_int_equal(lab_count(connection.client_port, EVENT_HELD), 1);
	rule = verified(DOUBT_BLOCK);
	set(&rule, 200 * MILLISECOND);
	connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	assert_blocked(&connection, FACT(CLIENT_DATA));
}

static void who_only_monitors_holds_nothing(void **state)
{
	(void)state;
	lab_needed();
	struct policy_rule rule = verified(DOUBT_BLOCK);
	set_mode(MODE_MONITOR, &rule, HOLD, true);
	struct lab_connection connection = shaken();
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	assert_never_held(&connection);
	rule.action = ACTION_MONITOR;
	set(&rule, HOLD);
	connection = shaken();
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	assert_never_held(&connection);
}

static void where_encryption_is_enough_nothing_is_held(void **state)
{
	(void)state;
	lab_needed();
	const struct policy_rule rule = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK, .undecided = DOUBT_BLOCK };
	set(&rule, HOLD);
	struct lab_connection connection = shaken();
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	assert_never_held(&connection);
}

static void early_data_is_application_data(void **state)
{
	uint8_t mine[RECORD];
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	client_hello(mine);
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	write_record(&connection);
	assert_held(&connection);
	push(&connection);
	assert_false(comes(&connection, RECORD, 50));
	tell_verdict(flow_id_of(&connection), IDENTITY_VERIFIED);
	push(&connection);
	assert_comes(&connection);
	lab_close(&connection);
	connection = lab_connect(LAB_IPV4, lab.implicit_port);
	client_hello(mine);
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	tell_verdict(flow_id_of(&connection), IDENTITY_REFUSED);
	write_record(&connection);
	lab_wait(connection.client_port, EVENT_BLOCKED);
	assert_int_equal(lab_waiting(connection.server), 0);
	lab_reset(&connection);
}

/* Presented again behind the ServerHello it would look like the client's Finished. */
static void held_early_data_stays_application_data(void **state)
{
	uint8_t mine[RECORD], flight[256];
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	client_hello(mine);
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	write_record(&connection);
	assert_held(&connection);
	lab_send(connection.server, connection.client, flight, server_hello(flight, 0x0303, chooses_13, sizeof(chooses_13)), SIZE_MAX);
	for (int i = 0; i < 3; i++)
		push(&connection);
	assert_false(comes(&connection, RECORD, 300));
	tell_verdict(flow_id_of(&connection), IDENTITY_VERIFIED);
	push(&connection);
	assert_comes(&connection);
	lab_close(&connection);
}

/* The ClientHello has not left, and the agent's word needs a place to go to all the same. */
static void early_data_in_the_client_hellos_segment_gets_its_verdict(void **state)
{
	uint8_t both[2 * RECORD];
	struct witness witness;
	(void)state;
	lab_needed();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	client_hello(both);
	memcpy(both + RECORD, encrypted, RECORD);
	assert_int_equal(send(connection.client, both, sizeof(both), MSG_NOSIGNAL), sizeof(both));
	assert_held(&connection);
	assert_true(find_witness(flow_id_of(&connection), &witness));
	tell_verdict(flow_id_of(&connection), IDENTITY_VERIFIED);
	push(&connection);
	assert_true(comes(&connection, sizeof(both), 5000));
	assert_true(find_witness(flow_id_of(&connection), &witness));
	uint64_t flow_id = flow_id_of(&connection);
	assert_int_equal(find_verdict(flow_id), IDENTITY_VERIFIED); /* and it is not forgotten as the ClientHello leaves */
	lab_close(&connection);
	const struct peer_verdict late = { .identity = IDENTITY_VERIFIED };
	assert_true(bpf_map_update_elem(lab_map("verdicts"), &flow_id, &late, BPF_EXIST) < 0); /* it went with the flow */
	assert_int_equal(errno, ENOENT);
}

/* The agent's clock is read on another CPU. */
static void a_heartbeat_from_the_future_is_one(void **state)
{
	(void)state;
	lab_needed();
	beat(-SECOND);
	struct lab_connection connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	lab_reset(&connection);
}

/* A policy that becomes stricter holds for what has not been judged yet, and for nothing that has. */
static void a_stricter_policy_holds_for_what_is_not_judged_yet(void **state)
{
	const struct policy_rule lenient = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK }, strict = verified(DOUBT_BLOCK);
	(void)state;
	lab_needed();
	set(&lenient, HOLD);
	struct lab_connection judged = shaken(), new = shaken();
	write_record(&judged);
	assert_comes(&judged);
	set(&strict, HOLD);
	write_record(&judged);
	assert_comes(&judged);
	assert_never_held(&judged);
	write_record(&new);
	assert_held(&new);
	tell_verdict(flow_id_of(&new), IDENTITY_REFUSED);
	push(&new);
	assert_blocked(&new, FACT(CLIENT_DATA));
}

static void what_follows_the_first_application_data_is_not_held(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = shaken();
	uint64_t flow_id = flow_id_of(&connection);
	tell_verdict(flow_id, IDENTITY_VERIFIED);
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	for (int i = 0; i < 3; i++) {
		tell_verdict(flow_id, i % 2 ? IDENTITY_UNDECIDED : IDENTITY_REFUSED);
		lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	}
	assert_never_held(&connection);
}

/* ---- the witness's own word ------------------------------------------------------------------------------- */

#define MX 0x1122334455667788ULL
#define OTHER 0x1122334455667789ULL

static void the_witness_alone_is_enough_where_it_fits_the_rule(void **state)
{
	static const struct {
		uint64_t wanted; /* the rule's */
		struct witness word;
		bool passes;
	} cases[] = {
		{ 0, { .checked = 1, .good_for = 1 }, true },
		{ 0, { .checked = 1, .good_for = 1, .name_for = MX }, true },
		{ MX, { .checked = 1, .good_for = 1, .name_for = MX }, true },
		{ MX, { .checked = 1, .good_for = 1, .name_for = OTHER }, false },
		{ MX, { .checked = 1, .good_for = 1 }, false },
		{ 0, { .checked = 1 }, false },
		{ 0, { .checked = 1, .handshake_done = 1, .name_for = MX }, false },
		{ MX, { .checked = 1, .name_for = MX }, false },
		{ 0, { .handshake_done = 1, .certificates = 3 }, false },
	};
	(void)state;
	lab_needed();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_rule rule = verified(DOUBT_BLOCK);
		rule.name_hash = cases[i].wanted;
		set(&rule, HOLD);
		beat(0);
		struct lab_connection connection = shaken();
		tell(flow_id_of(&connection), cases[i].word);
		if (cases[i].passes) {
			lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
			assert_never_held(&connection);
			continue;
		}
		write_record(&connection);
		assert_held(&connection);
		lab_reset(&connection);
	}
}

/* A uprobe may write to an entry's place when that is another flow's by now. */
static void what_was_found_of_another_flow_does_not_count(void **state)
{
	(void)state;
	lab_needed();
	struct policy_rule rule = verified(DOUBT_BLOCK);
	for (unsigned named = 0; named < 2; named++) {
		struct lab_connection connection = shaken();
		uint64_t flow_id = flow_id_of(&connection), other = flow_id + 1;
		const struct witness word = { .checked = 1, .good_for = named ? flow_id : other, .name_for = other ^ MX };
		rule.name_hash = named ? MX : 0;
		set(&rule, HOLD);
		assert_int_equal(bpf_map_update_elem(lab_map("witnesses"), &flow_id, &word, BPF_EXIST), 0);
		write_record(&connection);
		assert_held(&connection);
		lab_reset(&connection);
	}
}

static void a_word_of_the_witness_ends_the_waiting(void **state)
{
	(void)state;
	lab_needed();
	struct lab_connection connection = shaken();
	write_record(&connection);
	assert_held(&connection);
	tell(flow_id_of(&connection), (struct witness){ .checked = 1, .good_for = 1 });
	push(&connection);
	assert_comes(&connection);
	assert_true(lab_close(&connection).held_ns > 0);
}

static void what_is_demanded_is_told_to_the_witness(void **state)
{
	static const struct policy_rule rules[] = {
		{ .require = REQUIRE_VERIFIED, .action = ACTION_BLOCK },
		{ .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK },
		{ .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK, .min_tls = 0x0304 },
		{ .require = REQUIRE_VERIFIED, .action = ACTION_MONITOR },
	};
	static const bool demanded[] = { true, false, true, false };
	(void)state;
	lab_needed();
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct witness witness;
		set(&rules[i], HOLD);
		struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
		assert_false(find_witness(flow_id_of(&connection), &witness));
		hellos(&connection);
		assert_true(find_witness(flow_id_of(&connection), &witness));
		assert_int_equal(witness.demanded, demanded[i]);
		assert_int_equal(witness.checked | witness.good_for | witness.handshake_done, 0);
		assert_int_equal(find_verdict(flow_id_of(&connection)), IDENTITY_UNDECIDED);
		lab_close(&connection);
	}
}

/* ---- the version ------------------------------------------------------------------------------------------ */

static const struct policy_rule at_least_13 = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK,
						.undecided = DOUBT_BLOCK, .min_tls = 0x0304 };

static struct lab_connection answered(uint16_t version, const uint8_t *extensions, size_t length, size_t first)
{
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	hellos_in_pieces(&connection, version, extensions, length, first);
	return connection;
}

static void a_new_enough_version_passes(void **state)
{
	(void)state;
	lab_needed();
	set(&at_least_13, HOLD);
	struct lab_connection connection = answered(0x0303, chooses_13, sizeof(chooses_13), SIZE_MAX);
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	assert_never_held(&connection);
}

static void an_older_version_is_stopped_at_the_second_flight(void **state)
{
	static const uint8_t finished[RECORD] = { TLS_HANDSHAKE, 3, 3, 0, RECORD - 5, 0xee };
	static const uint8_t change_cipher_spec[] = { TLS_CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1 };
	(void)state;
	lab_needed();
	set(&at_least_13, HOLD);
	for (int extended = 0; extended < 2; extended++) {
		struct lab_connection connection =
			answered(0x0303, extended ? chooses_none : NULL, extended ? sizeof(chooses_none) : 0, SIZE_MAX);
		lab_send(connection.client, connection.server, change_cipher_spec, sizeof(change_cipher_spec), SIZE_MAX);
		assert_int_equal(send(connection.client, finished, RECORD, MSG_NOSIGNAL), RECORD);
		assert_blocked(&connection, FACT(CLIENT_FINISHED));
	}
}

static void each_version_is_held_against_the_rules(void **state)
{
	static const uint8_t extension_12[] = { 0, 43, 0, 2, 3, 3 };
	static const struct {
		uint16_t demanded, version;
		const uint8_t *extensions;
		size_t length;
		bool passes;
	} cases[] = {
		{ 0x0303, 0x0303, NULL, 0, true },
		{ 0x0303, 0x0302, NULL, 0, false },
		{ 0x0303, 0x0301, chooses_none, sizeof(chooses_none), false },
		{ 0x0303, 0x0303, chooses_13, sizeof(chooses_13), true },
		{ 0x0304, 0x0303, extension_12, sizeof(extension_12), false },
		{ 0, 0x0301, NULL, 0, true },
	};
	(void)state;
	lab_needed();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_rule rule = at_least_13;
		rule.min_tls = cases[i].demanded;
		set(&rule, HOLD);
		struct lab_connection connection =
			answered(cases[i].version, cases[i].extensions, cases[i].length, SIZE_MAX);
		if (cases[i].passes) {
			lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
			assert_never_held(&connection);
			continue;
		}
		write_record(&connection);
		assert_blocked(&connection, FACT(CLIENT_FINISHED));
	}
}

/* A ServerHello over two records: the second one's header would stand where the version is, and be a high one. */
static void a_server_hello_in_two_records_is_not_misread(void **state)
{
	uint8_t mine[RECORD], flight[256];
	(void)state;
	lab_needed();
	set(&at_least_13, HOLD);
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	client_hello(mine);
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	size_t length = server_hello(flight, 0x0303, NULL, 0);
	memmove(flight + 9 + 5, flight + 9, length - 9);
	memcpy(flight + 3, (const uint8_t[]){ 0, 4 }, 2);
	memcpy(flight + 9, (const uint8_t[]){ TLS_HANDSHAKE, 3, 3, 0, (uint8_t)(length - 9) }, 5);
	flight[43] = 0;
	lab_send(connection.server, connection.client, flight, length + 5, SIZE_MAX);
	lab_send(connection.server, connection.client, encrypted, RECORD, SIZE_MAX);
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX); /* not known: the agent has to tell */
	write_record(&connection);
	assert_held(&connection);
	tell_verdict(flow_id_of(&connection), IDENTITY_REFUSED);
	push(&connection);
	assert_blocked(&connection, FACT(CLIENT_DATA));
}

/* With renegotiation_info, of one byte, at its end. */
static void a_server_hello_alone_in_its_segment_is_read(void **state)
{
	uint8_t mine[RECORD], flight[256];
	(void)state;
	lab_needed();
	set(&at_least_13, HOLD);
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	client_hello(mine);
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	size_t length = server_hello(flight, 0x0303, chooses_none, sizeof(chooses_none));
	lab_send(connection.server, connection.client, flight, length, SIZE_MAX);
	write_record(&connection);
	assert_blocked(&connection, FACT(CLIENT_FINISHED));
}

/* Wherever the ServerHello is cut, what is read of it is right, or it is left to the agent. */
static void a_version_that_the_kernel_cannot_read_is_the_agents_to_tell(void **state)
{
	static const size_t cuts[] = { 1, 3, 5, 6, 20, 43, 44, 46, 50, 52, 55 };
	(void)state;
	lab_needed();
	set(&at_least_13, HOLD);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		beat(0);
		struct lab_connection connection = answered(0x0303, chooses_13, sizeof(chooses_13), cuts[i]);
		lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX); /* the second flight */
		write_record(&connection);
		assert_held(&connection);
		tell_verdict(flow_id_of(&connection), i % 2 ? IDENTITY_VERIFIED : IDENTITY_REFUSED);
		push(&connection);
		if (i % 2) {
			assert_comes(&connection);
			lab_close(&connection);
		} else {
			assert_blocked(&connection, FACT(CLIENT_DATA));
		}
	}
}

static void a_good_witness_does_not_make_up_for_an_unread_version(void **state)
{
	struct policy_rule rule = at_least_13;
	(void)state;
	lab_needed();
	rule.require = REQUIRE_VERIFIED;
	set(&rule, HOLD);
	struct lab_connection connection = answered(0x0303, chooses_13, sizeof(chooses_13), 20);
	tell(flow_id_of(&connection), (struct witness){ .checked = 1, .good_for = 1 });
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	write_record(&connection);
	assert_held(&connection);
	lab_reset(&connection);
	connection = answered(0x0303, chooses_13, sizeof(chooses_13), SIZE_MAX); /* with the version read it is enough */
	tell(flow_id_of(&connection), (struct witness){ .checked = 1, .good_for = 1 });
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	assert_never_held(&connection);
}

static void an_older_version_is_only_told_in_monitor_mode(void **state)
{
	(void)state;
	lab_needed();
	set_mode(MODE_MONITOR, &at_least_13, HOLD, true);
	struct lab_connection connection = answered(0x0303, NULL, 0, SIZE_MAX);
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	assert_int_equal(lab_close(&connection).facts & (FACT(WOULD_BLOCK) | FACT(BLOCKED) | FACT(HELD)), FACT(WOULD_BLOCK));
}

/* ---- how the witness finds the flow ----------------------------------------------------------------------- */

static int64_t hello_count(void)
{
	int64_t count;
	assert_int_equal(bpf_map_lookup_elem(lab_map("hello_count"), &zero, &count), 0);
	return count;
}

static bool find_hello(uint64_t key, struct hello *hello)
{
	return bpf_map_lookup_elem(lab_map("hellos"), &key, hello) == 0;
}

static void an_open_flow_is_found_by_its_random(void **state)
{
	uint8_t mine[RECORD];
	struct hello hello;
	struct witness witness;
	(void)state;
	lab_needed();
	int64_t before = hello_count();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	uint64_t key = client_hello(mine), flow_id = flow_id_of(&connection);
	assert_false(find_hello(key, &hello));
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	assert_true(find_hello(key, &hello));
	assert_int_equal(hello.flow_id, flow_id);
	assert_int_equal(hello.uid, getuid());
	assert_int_equal(hello.pid, getpid());
	assert_true(find_witness(flow_id, &witness));
	assert_int_equal(hello_count(), before + 1);
	lab_close(&connection);
	assert_false(find_hello(key, &hello));
	assert_false(find_witness(flow_id, &witness));
	assert_int_equal(hello_count(), before);
}

static void a_reset_flow_is_forgotten_too(void **state)
{
	struct witness witness;
	(void)state;
	lab_needed();
	int64_t before = hello_count();
	struct lab_connection connection = shaken();
	uint64_t flow_id = flow_id_of(&connection);
	assert_int_equal(hello_count(), before + 1);
	write_record(&connection);
	assert_held(&connection);
	lab_reset(&connection);
	assert_false(find_witness(flow_id, &witness));
	assert_int_equal(hello_count(), before);
}

static void a_socket_that_connects_again_is_a_flow_of_its_own(void **state)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	uint8_t mine[RECORD];
	struct hello hello;
	struct witness witness;
	(void)state;
	lab_needed();
	int64_t before = hello_count();
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	uint64_t old_key = client_hello(mine), old_flow = flow_id_of(&connection);
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	assert_int_equal(hello_count(), before + 1);
	struct sockaddr_storage address;
	unsigned size = lab_address(LAB_IPV4, lab.implicit_port, &address);
	assert_int_equal(connect(connection.client, &nowhere, sizeof(nowhere)), 0);
	assert_false(find_hello(old_key, &hello));
	assert_int_equal(hello_count(), before);
	assert_int_equal(connect(connection.client, (struct sockaddr *)&address, size), 0);
	close(connection.server);
	connection.server = lab_accept(lab.implicit_port);
	connection.client_port = lab_local_port(connection.client);
	uint64_t key = client_hello(mine), flow_id = flow_id_of(&connection);
	assert_int_not_equal(flow_id, old_flow);
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	assert_true(find_hello(key, &hello));
	assert_int_equal(hello.flow_id, flow_id);
	assert_false(find_witness(old_flow, &witness));
	assert_int_equal(hello_count(), before + 1);
	lab_close(&connection);
	assert_false(find_hello(key, &hello));
	assert_int_equal(hello_count(), before);
}

/* Two flows with one random: which one a library's session is, could not be told. The first one was there first. */
static void a_repeated_random_is_the_first_flows(void **state)
{
	uint8_t mine[RECORD];
	struct hello hello;
	(void)state;
	lab_needed();
	int64_t before = hello_count();
	struct lab_connection first = lab_connect(LAB_IPV4, lab.implicit_port);
	struct lab_connection second = lab_connect(LAB_IPV4, lab.implicit_port);
	uint64_t key = client_hello(mine);
	lab_send(first.client, first.server, mine, RECORD, SIZE_MAX);
	lab_send(second.client, second.server, mine, RECORD, SIZE_MAX);
	assert_int_equal(hello_count(), before + 1);
	lab_close(&second);
	assert_true(find_hello(key, &hello));
	assert_int_equal(hello.flow_id, flow_id_of(&first));
	assert_int_equal(hello_count(), before + 1);
	lab_close(&first);
	assert_false(find_hello(key, &hello));
	assert_int_equal(hello_count(), before);
}

static void without_a_witness_no_random_is_kept(void **state)
{
	const struct policy_rule rule = verified(DOUBT_BLOCK);
	struct hello hello;
	uint8_t mine[RECORD];
	(void)state;
	lab_needed();
	int64_t before = hello_count();
	set_mode(MODE_BLOCK, &rule, HOLD, false);
	struct lab_connection connection = lab_connect(LAB_IPV4, lab.implicit_port);
	uint64_t key = client_hello(mine);
	lab_send(connection.client, connection.server, mine, RECORD, SIZE_MAX);
	assert_false(find_hello(key, &hello));
	assert_int_equal(hello_count(), before);
	tell_verdict(flow_id_of(&connection), IDENTITY_VERIFIED); /* the agent can tell by the wire all the same */
	lab_send(connection.client, connection.server, encrypted, RECORD, SIZE_MAX);
	lab_close(&connection);
	assert_int_equal(hello_count(), before);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(application_data_waits_for_the_verdict),
		TEST(tcp_presents_held_data_by_itself),
		TEST(a_verdict_before_the_data_holds_nothing),
		TEST(a_refused_peer_gets_nothing),
		TEST(what_is_left_open_goes_by_undecided),
		TEST(without_an_agent_nothing_waits),
		TEST(an_agent_that_dies_leaves_nothing_waiting),
		TEST(the_time_that_data_waits_has_an_end),
		TEST(who_only_monitors_holds_nothing),
		TEST(where_encryption_is_enough_nothing_is_held),
		TEST(early_data_is_application_data),
		TEST(held_early_data_stays_application_data),
		TEST(early_data_in_the_client_hellos_segment_gets_its_verdict),
		TEST(a_heartbeat_from_the_future_is_one),
		TEST(a_server_hello_in_two_records_is_not_misread),
		TEST(a_server_hello_alone_in_its_segment_is_read),
		TEST(what_follows_the_first_application_data_is_not_held),
		TEST(a_stricter_policy_holds_for_what_is_not_judged_yet),
		TEST(the_witness_alone_is_enough_where_it_fits_the_rule),
		TEST(what_was_found_of_another_flow_does_not_count),
		TEST(a_word_of_the_witness_ends_the_waiting),
		TEST(what_is_demanded_is_told_to_the_witness),
		TEST(a_new_enough_version_passes),
		TEST(an_older_version_is_stopped_at_the_second_flight),
		TEST(each_version_is_held_against_the_rules),
		TEST(a_version_that_the_kernel_cannot_read_is_the_agents_to_tell),
		TEST(a_good_witness_does_not_make_up_for_an_unread_version),
		TEST(an_older_version_is_only_told_in_monitor_mode),
		TEST(an_open_flow_is_found_by_its_random),
		TEST(a_reset_flow_is_forgotten_too),
		TEST(a_socket_that_connects_again_is_a_flow_of_its_own),
		TEST(a_repeated_random_is_the_first_flows),
		TEST(without_a_witness_no_random_is_kept),
	};
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
