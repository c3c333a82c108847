/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the TC programs make of forwarded segments, in each form of frame; hostile frames; where flows begin and end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <bpf/bpf.h>

#include "dialogue_run.h"
#include "forward_lab.h"

#define MSS 1400

static uint8_t bytes[VECTOR_SEGMENT_MAX];

#define SAY(connection, text) flab_send(connection, false, text, sizeof(text) - 1)
#define ANSWER(connection, text) flab_send(connection, true, text, sizeof(text) - 1)
#define LOGIN_LINE "AUTH PLAIN AHVzZXIAcGFzcw==\r\n"

/* ---- the vectors ------------------------------------------------------------------------------------------ */

static size_t longest_step(const struct vector *vector)
{
	size_t longest = 0;
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], bytes);
		longest = length > longest ? length : longest;
	}
	return longest;
}

static void play(const struct vector *vector, struct flab_connection *connection, size_t piece)
{
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], bytes);
		for (size_t at = 0; at < length; at += piece) {
			size_t n = length - at < piece ? length - at : piece;
			assert_int_equal(flab_send(connection, vector->steps[i].side == VECTOR_SERVER, bytes + at, n), FLAB_NEXT);
		}
		flab_read_events();
	}
}

static bool agrees(const struct vector *vector, enum frame_form form, const struct flow_event *event)
{
	struct dialogue_run run = { 0 };
	dialogue_run_vector(&run, vector, MODE_MONITOR, &dialogue_run_encrypted, NULL);
	struct flow_event user = dialogue_run_event(&run, EVENT_CLOSED);
	bool same = event && event->facts == vector->facts && event->facts == user.facts && event->greeting_code == user.greeting_code &&
		    event->ehlo_code == user.ehlo_code && event->starttls_code == user.starttls_code &&
		    event->auth_code == user.auth_code && event->client_alert == user.client_alert &&
		    event->server_alert == user.server_alert && strcmp(event->account, user.account) == 0 &&
		    strcmp(event->mechanism, user.mechanism) == 0 && strcmp(event->server_name, user.server_name) == 0;
	if (!same)
		print_error("%s, %s: facts %#llx, not %#llx\n", frame_form_names[form], vector->name,
			    event ? (unsigned long long)event->facts : 0, (unsigned long long)user.facts);
	return same;
}

static void vectors_in(enum frame_form form, size_t piece, bool egress)
{
	unsigned failed = 0, played = 0;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *vector = &vectors[i];
		size_t longest = longest_step(vector);
		if ((vector->whole_only && longest > piece) || (piece == 1 && longest > 2000))
			continue;
		if (vector->midway && vector->steps[0].side == VECTOR_SERVER)
			continue; /* here the client's first segment makes the flow */
		flab_forget_events();
		uint16_t port = vector->implicit_tls ? FLAB_IMPLICIT_PORT : FLAB_STARTTLS_PORT;
		struct flab_connection connection = vector->midway ? flab_join(form, port) : flab_connect(form, port);
		connection.egress = egress;
		play(vector, &connection, piece);
		flab_close(&connection);
		const struct flow_event *event = flab_event(connection.client_port, EVENT_CLOSED);
		failed += !agrees(vector, form, event);
		played++;
	}
	assert_int_equal(failed, 0);
	assert_true(played > vector_count / 2);
}

static void vectors_in_form(void **state)
{
	vectors_in((enum frame_form)(uintptr_t)*state, MSS, false);
}

static void vectors_in_one_byte_segments(void **state)
{
	(void)state;
	vectors_in(FORM_IPV4, 1, false);
}

static void vectors_on_the_way_out(void **state)
{
	(void)state;
	vectors_in(FORM_IPV6, MSS, true);
}

/* ---- hostile frames --------------------------------------------------------------------------------------- */

/* A flow that has been greeted; what comes next would be read as a command. */
static struct flab_connection greeted(enum frame_form form)
{
	struct flab_connection connection = flab_connect(form, FLAB_STARTTLS_PORT);
	ANSWER(&connection, "220 mx.example ESMTP\r\n");
	SAY(&connection, "EHLO client.example\r\n");
	ANSWER(&connection, "250 mx.example\r\n");
	return connection;
}

static uint64_t facts_at_close(struct flab_connection *connection)
{
	flab_close(connection);
	const struct flow_event *event = flab_event(connection->client_port, EVENT_CLOSED);
	assert_non_null(event);
	return event->facts;
}

static void truncated_frames_are_left_alone(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	for (enum frame_form form = 0; form < FORM_COUNT; form++) {
		uint8_t frame[FRAME_MAX];
		flab_forget_events();
		struct flab_connection connection = greeted(form);
		struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
		size_t length = frame_make(&segment, frame), whole = frame_tcp(form) + 20 + segment.length;
		if (form == FORM_TCP_OPTIONS)
			whole += 40;
		for (size_t cut = 15; cut < whole && cut < length; cut++) {
			assert_int_equal(flab_run_frame(frame, cut, false, false), FLAB_NEXT);
			assert_int_equal(flab.out_length, cut);
		}
		assert_int_equal(facts_at_close(&connection) & (FACT(AUTH_CLEAR) | FACT(BLOCKED) | FACT(CLIENT_GAP)), 0);
	}
}

/* A change to a frame with a login in it, so that no receiver takes it; it passes, and nothing is concluded from it. */
struct hostile {
	const char *name;
	enum frame_form form;
	size_t from_ip; /* offset of the byte, counted from the IP header; with tcp: from the TCP header */
	bool tcp;
	uint8_t value;
};

static const struct hostile hostiles[] = {
	{ "IHL 0", FORM_IPV4, 0, false, 0x40 },
	{ "IHL 4", FORM_IPV4, 0, false, 0x44 },
	{ "version 6 in IPv4", FORM_IPV4, 0, false, 0x65 },
	{ "version 4 in IPv6", FORM_IPV6, 0, false, 0x45 },
	{ "UDP", FORM_IPV4, 9, false, 17 },
	{ "total length beyond the frame", FORM_IPV4, 2, false, 0x7f },
	{ "payload length beyond the frame", FORM_IPV6, 4, false, 0x7f },
	{ "later fragment", FORM_IPV4, 7, false, 1 },
	{ "later fragment, the last", FORM_IPV4, 6, false, 0x1f },
	{ "later IPv6 fragment", FORM_IPV6_FRAGMENT, 43, false, 0x08 },
	{ "doff 0", FORM_IPV4, 12, true, 0x00 },
	{ "doff 4", FORM_IPV6, 12, true, 0x40 },
	{ "doff beyond the packet", FORM_IPV4, 12, true, 0xf0 },
	{ "an extension header beyond the packet", FORM_IPV6_HOP_BY_HOP, 41, false, 0xff },
	{ "ESP", FORM_IPV6_HOP_BY_HOP, 40, false, 50 },
	{ "no next header", FORM_IPV6, 6, false, 59 },
};

static void impossible_headers_are_left_alone(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	for (size_t i = 0; i < sizeof(hostiles) / sizeof(hostiles[0]); i++) {
		const struct hostile *hostile = &hostiles[i];
		uint8_t frame[FRAME_MAX];
		flab_forget_events();
		struct flab_connection connection = greeted(hostile->form);
		struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
		size_t length = frame_make(&segment, frame);
		frame[(hostile->tcp ? frame_tcp(hostile->form) : frame_ip(hostile->form)) + hostile->from_ip] = hostile->value;
		enum flab_action action = flab_run_frame(frame, length, false, false);
		uint64_t facts = facts_at_close(&connection);
		if (action != FLAB_NEXT || flab.out_length == 0 || (facts & (FACT(AUTH_CLEAR) | FACT(BLOCKED))))
			fail_msg("%s: action %d, facts %#llx", hostile->name, (int)action, (unsigned long long)facts);
	}
}

static void a_chain_of_headers_ends(void **state)
{
	uint8_t frame[FRAME_MAX] = { 0 };
	(void)state;
	flab_needed();
	struct flab_connection connection = greeted(FORM_IPV6);
	struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
	frame_make(&segment, frame);
	frame[14 + 6] = 0;
	memset(frame + 14 + 40, 0, FRAME_MAX - 54); /* hop-by-hop headers, one behind the other */
	frame[14 + 4] = 4;
	assert_int_equal(flab_run_frame(frame, 14 + 40 + 1024, false, false), FLAB_NEXT);
	frame[14 + 6] = 60;
	memset(frame + 14 + 40, 60, 1024);
	assert_int_equal(flab_run_frame(frame, 14 + 40 + 1024, false, false), FLAB_NEXT);
}

/* ---- fragments -------------------------------------------------------------------------------------------- */

static void a_first_fragment_is_a_gap(void **state)
{
	static const struct {
		enum frame_form form;
		uint16_t fragment;
	} rows[] = { { FORM_IPV4, 0x2000 }, { FORM_IPV6_FRAGMENT, 1 }, { FORM_VLAN, 0x2000 } };
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		flab_forget_events();
		struct flab_connection connection = greeted(rows[i].form);
		struct segment segment = flab_segment(&connection, false, "NOOP\r\nAU", 8, ACK);
		segment.fragment = rows[i].fragment;
		assert_int_equal(flab_run(&segment, false), FLAB_NEXT);
		connection.client_next += 40;
		uint64_t facts = facts_at_close(&connection);
		assert_int_equal(facts & (FACT(CLIENT_GAP) | FACT(AUTH_CLEAR)), FACT(CLIENT_GAP));
	}
}

/* Cut within the TCP header (RFC 1858): where the flags stand is not known, but whose it is. */
static void a_tiny_first_fragment_is_a_gap(void **state)
{
	const struct policy_rule strict = { .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK, .unknown = DOUBT_BLOCK };
	(void)state;
	flab_needed();
	for (unsigned blocking = 0; blocking < 2; blocking++) {
		uint8_t frame[FRAME_MAX];
		flab_forget_events();
		flab_set(blocking ? MODE_BLOCK : MODE_MONITOR, &strict);
		struct flab_connection connection = greeted(FORM_IPV4);
		struct segment segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, ACK);
		segment.fragment = 0x2000;
		frame_make(&segment, frame);
		frame[14 + 3] = 28; /* 8 bytes of TCP */
		assert_int_equal(flab_run_frame(frame, 14 + 28, false, false), blocking ? FLAB_DROP : FLAB_NEXT);
		const struct flow_event *event;
		if (!blocking)
			flab_close(&connection);
		event = flab_event(connection.client_port, EVENT_CLOSED);
		assert_non_null(event);
		assert_true(event->facts & FACT(CLIENT_GAP));
		assert_int_equal(!!(event->facts & FACT(BLOCKED)), blocking);
	}
}

/* ---- where flows begin and end ---------------------------------------------------------------------------- */

static void without_payload_there_is_no_session(void **state)
{
	(void)state;
	flab_needed();
	flab_forget_events();
	struct flab_connection connection = flab_connect(FORM_IPV4, FLAB_STARTTLS_PORT);
	flab_close(&connection);
	flab_read_events();
	assert_int_equal(flab.count, 0);
}

static void without_a_syn_it_is_midway(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	flab_forget_events();
	struct flab_connection connection = { .form = FORM_IPV4, .client_port = 9000, .server_port = FLAB_STARTTLS_PORT, .client_next = 5,
					      .server_next = 9 };
	assert_int_equal(ANSWER(&connection, "220 mx.example\r\n"), FLAB_NEXT);
	flab_read_events();
	assert_int_equal(flab.count, 0); /* a server alone makes no flow */
	assert_int_equal(SAY(&connection, LOGIN_LINE), FLAB_NEXT);
	uint64_t facts = facts_at_close(&connection);
	assert_int_equal(facts & (FACT(MIDWAY) | FACT(AUTH_CLEAR) | FACT(BLOCKED)), FACT(MIDWAY));
}

static void retransmissions_are_no_gap(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	flab_forget_events();
	struct flab_connection connection = greeted(FORM_IPV4);
	struct flab_connection before = connection;
	SAY(&connection, "NOOP\r\n");
	SAY(&before, "NOOP\r\n");
	before.client_next -= 2;
	SAY(&before, "\r\nMAIL FROM:<a@b>\r\n"); /* old bytes and new ones */
	connection.client_next = before.client_next;
	uint64_t facts = facts_at_close(&connection);
	assert_int_equal(facts & (FACT(CLIENT_GAP) | FACT(MAIL_CLEAR)), FACT(MAIL_CLEAR));
}

static void a_hole_is_a_gap(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	for (unsigned server = 0; server < 2; server++) {
		flab_forget_events();
		struct flab_connection connection = greeted(FORM_IPV4);
		*(server ? &connection.server_next : &connection.client_next) += 3;
		flab_send(&connection, server, "250 x\r\n", 7);
		uint64_t facts = facts_at_close(&connection);
		assert_true(facts & (server ? FACT(SERVER_GAP) : FACT(CLIENT_GAP)));
	}
}

static void a_reset_counts_only_with_its_number(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	for (unsigned server = 0; server < 2; server++) {
		flab_forget_events();
		struct flab_connection connection = greeted(FORM_IPV4);
		struct segment segment = flab_segment(&connection, server, NULL, 0, RST);
		segment.sequence += 7;
		flab_run(&segment, false);
		assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 0);
		segment.sequence -= 7;
		flab_run(&segment, false);
		assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 1);
		assert_int_equal(flab_event(connection.client_port, EVENT_CLOSED)->end, FLOW_END_RESET);
	}
}

/* A client that is gone answers what still comes (the server's close_notify) with a reset, which stands behind its FIN. */
static void a_reset_behind_the_clients_fin_ends_it(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	flab_forget_events();
	struct flab_connection connection = greeted(FORM_IPV4);
	struct segment fin = flab_segment(&connection, false, NULL, 0, FIN), reset = flab_segment(&connection, false, NULL, 0, RST);
	flab_run(&fin, false);
	assert_int_equal(flab_send(&connection, true, "221 bye\r\n", 9), FLAB_NEXT);
	reset.sequence += 2;
	flab_run(&reset, false);
	assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 0);
	reset.sequence--;
	flab_run(&reset, false);
	assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 1);
	assert_int_equal(flab_event(connection.client_port, EVENT_CLOSED)->end, FLOW_END_CLIENT);
}

/* The server has closed, and the client does not know yet: what it sends is exposed all the same, and that session ends, too. */
static void what_is_sent_behind_the_servers_fin(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	for (unsigned reset = 0; reset < 2; reset++) {
		flab_forget_events();
		struct flab_connection connection = greeted(FORM_IPV4);
		struct segment end = flab_segment(&connection, true, NULL, 0, FIN | ACK);
		flab_run(&end, false);
		assert_int_equal(flab_event(connection.client_port, EVENT_CLOSED)->end, FLOW_END_SERVER);
		assert_int_equal(SAY(&connection, LOGIN_LINE), FLAB_NEXT);
		assert_true(flab_event(connection.client_port, EVENT_PROGRESS)->facts & FACT(AUTH_CLEAR));
		connection.server_next++;
		end = flab_segment(&connection, reset, NULL, 0, reset ? RST : FIN | ACK);
		flab_run(&end, false);
		assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 2);
		assert_int_equal(flab_event(connection.client_port, EVENT_CLOSED)->end, reset ? FLOW_END_RESET : FLOW_END_CLIENT);
	}
}

/* As by somebody on the way who forges a reset that the client never gets: it does not end the watching. */
static void what_goes_on_behind_a_reset_is_a_session_again(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_BLOCK, &dialogue_run_encrypted);
	flab_forget_events();
	struct flab_connection connection = greeted(FORM_IPV4);
	struct segment reset = flab_segment(&connection, true, NULL, 0, RST);
	flab_run(&reset, false);
	uint64_t first = flab_event(connection.client_port, EVENT_CLOSED)->flow_id;
	assert_int_equal(SAY(&connection, LOGIN_LINE), FLAB_NEXT);
	const struct flow_event *blocked = flab_event(connection.client_port, EVENT_BLOCKED);
	assert_non_null(blocked);
	assert_int_not_equal(blocked->flow_id, first);
	assert_int_equal(flab_count(connection.client_port, EVENT_OPENED), 2);
	assert_true(blocked->facts & FACT(EHLO_ACCEPTED));
}

static void ports_may_be_used_again(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	flab_forget_events();
	struct flab_connection connection = greeted(FORM_IPV4);
	SAY(&connection, LOGIN_LINE);
	struct flab_connection again = { .form = connection.form, .client_port = connection.client_port,
					 .server_port = connection.server_port, .client_next = 77, .server_next = 88 };
	struct segment segment = flab_segment(&again, false, NULL, 0, SYN);
	flab_run(&segment, false);
	again.client_next++;
	segment = flab_segment(&again, true, NULL, 0, SYN | ACK);
	flab_run(&segment, false);
	again.server_next++;
	assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 1); /* of the one before */
	ANSWER(&again, "220 mx.example ESMTP\r\n");
	uint64_t facts = facts_at_close(&again);
	assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 2);
	assert_int_equal(facts, FACT(GREETING_ACCEPTED));
}

/* TCP Fast Open: the server acknowledges what stands in the SYN, or the SYN alone. */
static void bytes_in_the_syn(void **state)
{
	static const char hello[] = "EHLO client.example\r\n", offer[] = "220 mx.example\r\n250-mx.example\r\n250 STARTTLS\r\n";
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	for (unsigned taken = 0; taken < 2; taken++) {
		flab_forget_events();
		struct flab_connection connection = flab_join(FORM_IPV4, FLAB_STARTTLS_PORT);
		struct segment syn = flab_segment(&connection, false, hello, sizeof(hello) - 1, SYN);
		assert_int_equal(flab_run(&syn, false), FLAB_NEXT);
		connection.client_next += 1 + (taken ? (uint32_t)sizeof(hello) - 1 : 0);
		struct segment answer = flab_segment(&connection, true, NULL, 0, SYN | ACK);
		assert_int_equal(flab_run(&answer, false), FLAB_NEXT);
		connection.server_next++;
		if (!taken)
			SAY(&connection, "EHLO client.example\r\n");
		ANSWER(&connection, offer);
		assert_int_equal(facts_at_close(&connection),
				 FACT(GREETING_ACCEPTED) | FACT(EHLO_SENT) | FACT(EHLO_ACCEPTED) | FACT(STARTTLS_OFFERED));
	}
}

/* ---- once only -------------------------------------------------------------------------------------------- */

static void another_vantages_connections_are_passed_over(void **state)
{
	const uint8_t yes = 1;
	(void)state;
	flab_needed();
	flab_forget_events();
	struct flab_connection connection = { .form = FORM_IPV6, .client_port = 8999, .server_port = FLAB_STARTTLS_PORT,
					      .client_next = 1000, .server_next = 2000 };
	struct forward_note note = { .connection = flab_key(&connection), .isn = 1000 };
	memset(note.connection.client_address, 0, 16); /* as behind NAT: by server and number */
	note.connection.client_port = 0;
	assert_int_equal(bpf_map_update_elem(flab_map("passed_over"), &note, &yes, BPF_ANY), 0);
	struct segment segment = flab_segment(&connection, false, NULL, 0, SYN);
	flab_run(&segment, false);
	connection.client_next++;
	segment = flab_segment(&connection, true, NULL, 0, SYN | ACK);
	flab_run(&segment, false);
	connection.server_next++;
	ANSWER(&connection, "220 mx.example ESMTP\r\n");
	SAY(&connection, LOGIN_LINE);
	flab_read_events();
	assert_int_equal(flab.count, 0);
}

/* The segment between the client and the address that NAT has put in the server's place. */
static void run_behind_dnat(const struct segment *segment, bool egress)
{
	static const uint8_t other_server[4] = { 203, 0, 113, 9 };
	uint8_t frame[FRAME_MAX];
	size_t length = frame_make(segment, frame);
	memcpy(frame + frame_ip(segment->form) + (segment->from_server ? 12 : 16), other_server, sizeof(other_server));
	assert_int_equal(flab_run_frame(frame, length, egress, false), FLAB_NEXT);
}

static void run_on_both_sides_of_dnat(const struct segment *segment)
{
	if (segment->from_server)
		run_behind_dnat(segment, false);
	assert_int_equal(flab_run(segment, segment->from_server), FLAB_NEXT);
	if (!segment->from_server)
		run_behind_dnat(segment, true);
}

static void a_server_with_two_addresses_is_met_once(void **state)
{
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	flab_forget_events();
	struct flab_connection connection = flab_join(FORM_IPV4, FLAB_STARTTLS_PORT);
	struct segment segment = flab_segment(&connection, false, NULL, 0, SYN);
	run_on_both_sides_of_dnat(&segment);
	connection.client_next++;
	segment = flab_segment(&connection, true, NULL, 0, SYN | ACK);
	run_on_both_sides_of_dnat(&segment);
	connection.server_next++;
	segment = flab_segment(&connection, true, "220 mx.example\r\n", 16, PSH | ACK);
	run_on_both_sides_of_dnat(&segment);
	connection.server_next += 16;
	segment = flab_segment(&connection, false, LOGIN_LINE, sizeof(LOGIN_LINE) - 1, PSH | ACK);
	run_on_both_sides_of_dnat(&segment);
	connection.client_next += sizeof(LOGIN_LINE) - 1;
	assert_int_equal(flab_count(connection.client_port, EVENT_OPENED), 1);
	uint64_t facts = facts_at_close(&connection);
	assert_int_equal(facts & (FACT(GREETING_ACCEPTED) | FACT(CREDENTIAL_CLEAR) | FACT(MIDWAY) | FACT(SERVER_GAP)),
			 FACT(GREETING_ACCEPTED) | FACT(CREDENTIAL_CLEAR));
}

static void a_flood_of_syns_drives_nothing_out(void **state)
{
	struct forward_head head;
	(void)state;
	flab_needed();
	flab_set(MODE_MONITOR, &dialogue_run_encrypted);
	flab_forget_events();
	struct flab_connection connection = greeted(FORM_IPV4);
	for (unsigned i = 0; i < 3 * FORWARD_FLOWS_MAX; i++) {
		struct flab_connection other = { .form = FORM_IPV6, .client_port = (uint16_t)(i & 0x7fff), .server_port = FLAB_STARTTLS_PORT,
						 .client_next = i };
		struct segment segment = flab_segment(&other, false, NULL, 0, SYN);
		flab_run(&segment, false);
	}
	assert_true(flab_head(&connection, &head) && head.opened && !head.closed);
	SAY(&connection, LOGIN_LINE);
	assert_true(facts_at_close(&connection) & FACT(CREDENTIAL_CLEAR));
}

/* The server's packets take another way. What stands in the client's records is no command all the same. */
static void records_to_a_server_that_is_not_seen(void **state)
{
	static const uint8_t hello[64] = { 0x16, 3, 1, 0, 59, 1 }, change[6] = { 0x14, 3, 3, 0, 1, 1 }, finished[45] = { 0x16, 3, 3, 0, 40 };
	static const char data[] = "\x17\x03\x03\x00\x2a as chance will have it\nAUTH PLAIN AHg=\r\n ";
	(void)state;
	flab_needed();
	for (unsigned clear = 0; clear < 2; clear++) {
		flab_set(MODE_BLOCK, &dialogue_run_encrypted);
		flab_forget_events();
		struct flab_connection connection = flab_join(FORM_IPV4, FLAB_STARTTLS_PORT);
		struct segment syn = flab_segment(&connection, false, NULL, 0, SYN);
		assert_int_equal(flab_run(&syn, false), FLAB_NEXT);
		connection.client_next++;
		SAY(&connection, "EHLO client.example\r\n");
		SAY(&connection, "STARTTLS\r\n");
		if (clear) { /* the near miss: a command in clear is one, whether the answers are seen or not */
			assert_int_equal(SAY(&connection, LOGIN_LINE), FLAB_NEXT);
			assert_int_equal(flab_count(connection.client_port, EVENT_BLOCKED), 1);
			continue;
		}
		flab_send(&connection, false, hello, sizeof(hello));
		flab_send(&connection, false, change, sizeof(change));
		flab_send(&connection, false, finished, sizeof(finished));
		assert_int_equal(flab_send(&connection, false, data, sizeof(data) - 1), FLAB_NEXT);
		uint64_t facts = facts_at_close(&connection);
		assert_int_equal(facts & (FACT(AUTH_CLEAR) | FACT(BLOCKED) | FACT(CLIENT_DATA)), FACT(CLIENT_DATA));
	}
}

/* ---- two CPUs --------------------------------------------------------------------------------------------- */

static void a_segment_that_meets_another_waits_or_is_a_gap(void **state)
{
	const uint8_t yes = 1;
	struct forward_head head;
	(void)state;
	flab_needed();
	for (unsigned blocking = 0; blocking < 2; blocking++) {
		flab_forget_events();
		flab_set(blocking ? MODE_BLOCK : MODE_MONITOR, &dialogue_run_encrypted);
		struct flab_connection connection = greeted(FORM_IPV4);
		assert_true(flab_head(&connection, &head));
		uint64_t key = head.flow_id ^ 1ULL << 62; /* as if another CPU read one of the client's */
		assert_int_equal(bpf_map_update_elem(flab_map("busy"), &key, &yes, BPF_NOEXIST), 0);
		struct flab_connection before = connection;
		assert_int_equal(SAY(&connection, "NOOP\r\n"), blocking ? FLAB_DROP : FLAB_NEXT);
		assert_int_equal(bpf_map_delete_elem(flab_map("busy"), &key), 0);
		if (blocking)
			connection = before;
		SAY(&connection, "NOOP\r\n");
		assert_int_equal(!!(facts_at_close(&connection) & FACT(CLIENT_GAP)), !blocking);
		assert_true(bpf_map_get_next_key(flab_map("busy"), NULL, &key) < 0);
	}
}

/* As if another CPU was about to end it: that one tells, and what the client sends meanwhile is not read as the old session's. */
static void an_end_that_meets_another_is_told_once(void **state)
{
	const uint8_t yes = 1;
	struct forward_head head;
	(void)state;
	flab_needed();
	for (unsigned blocking = 0; blocking < 2; blocking++) {
		flab_forget_events();
		flab_set(blocking ? MODE_BLOCK : MODE_MONITOR, &dialogue_run_encrypted);
		struct flab_connection connection = greeted(FORM_IPV4);
		struct segment end = flab_segment(&connection, true, NULL, 0, FIN | ACK);
		assert_true(flab_head(&connection, &head));
		uint64_t key = head.flow_id ^ 1ULL << 61;
		assert_int_equal(bpf_map_update_elem(flab_map("busy"), &key, &yes, BPF_NOEXIST), 0);
		flab_run(&end, false);
		assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 0);
		assert_int_equal(bpf_map_delete_elem(flab_map("busy"), &key), 0);
		flab_run(&end, false);
		assert_int_equal(flab_count(connection.client_port, EVENT_CLOSED), 1);

		assert_int_equal(bpf_map_update_elem(flab_map("busy"), &key, &yes, BPF_NOEXIST), 0);
		struct flab_connection before = connection;
		assert_int_equal(SAY(&connection, "NOOP\r\n"), blocking ? FLAB_DROP : FLAB_NEXT);
		assert_int_equal(flab_count(connection.client_port, EVENT_OPENED), 1);
		assert_int_equal(bpf_map_delete_elem(flab_map("busy"), &key), 0);
		if (blocking)
			connection = before;
		SAY(&connection, "NOOP\r\n");
		assert_int_equal(flab_count(connection.client_port, EVENT_OPENED), 2);
		assert_int_equal(!!(facts_at_close(&connection) & FACT(CLIENT_GAP)), !blocking);
		assert_true(bpf_map_get_next_key(flab_map("busy"), NULL, &key) < 0);
	}
}

#define FORM(form) { frame_test_names[form], vectors_in_form, NULL, NULL, (void *)(uintptr_t)(form) }

static const char *const frame_test_names[FORM_COUNT] = {
	"vectors_ipv4", "vectors_vlan", "vectors_qinq", "vectors_three_tags", "vectors_ipv4_options", "vectors_tcp_options",
	"vectors_padded", "vectors_dont_fragment", "vectors_ipv6", "vectors_ipv6_vlan", "vectors_hop_by_hop",
	"vectors_three_extension_headers", "vectors_fragment_header", "vectors_ipv6_padded", "vectors_gso", "vectors_both_hooks",
};

int main(void)
{
	const struct CMUnitTest tests[] = {
		FORM(FORM_IPV4), FORM(FORM_VLAN), FORM(FORM_QINQ), FORM(FORM_THREE_TAGS), FORM(FORM_IPV4_OPTIONS),
		FORM(FORM_TCP_OPTIONS), FORM(FORM_PADDED), FORM(FORM_IPV4_ATOMIC), FORM(FORM_IPV6), FORM(FORM_IPV6_VLAN),
		FORM(FORM_IPV6_HOP_BY_HOP), FORM(FORM_IPV6_THREE), FORM(FORM_IPV6_FRAGMENT), FORM(FORM_IPV6_PADDED), FORM(FORM_GSO),
		FORM(FORM_BOTH_HOOKS),
		cmocka_unit_test(vectors_in_one_byte_segments),
		cmocka_unit_test(vectors_on_the_way_out),
		cmocka_unit_test(truncated_frames_are_left_alone),
		cmocka_unit_test(impossible_headers_are_left_alone),
		cmocka_unit_test(a_chain_of_headers_ends),
		cmocka_unit_test(a_first_fragment_is_a_gap),
		cmocka_unit_test(a_tiny_first_fragment_is_a_gap),
		cmocka_unit_test(without_payload_there_is_no_session),
		cmocka_unit_test(without_a_syn_it_is_midway),
		cmocka_unit_test(retransmissions_are_no_gap),
		cmocka_unit_test(a_hole_is_a_gap),
		cmocka_unit_test(a_reset_counts_only_with_its_number),
		cmocka_unit_test(a_reset_behind_the_clients_fin_ends_it),
		cmocka_unit_test(what_is_sent_behind_the_servers_fin),
		cmocka_unit_test(what_goes_on_behind_a_reset_is_a_session_again),
		cmocka_unit_test(ports_may_be_used_again),
		cmocka_unit_test(bytes_in_the_syn),
		cmocka_unit_test(another_vantages_connections_are_passed_over),
		cmocka_unit_test(a_server_with_two_addresses_is_met_once),
		cmocka_unit_test(a_flood_of_syns_drives_nothing_out),
		cmocka_unit_test(records_to_a_server_that_is_not_seen),
		cmocka_unit_test(a_segment_that_meets_another_waits_or_is_a_gap),
		cmocka_unit_test(an_end_that_meets_another_is_told_once),
	};
	return cmocka_run_group_tests(tests, flab_setup, flab_teardown);
}
