/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "facts.h"
#include "resumption.h"
#include "session.h"
#include "tls_names.h"

#define MAX 8

static struct resumption *resumption;

static int setup(void **state)
{
	(void)state;
	resumption = resumption_new(MAX);
	return resumption ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	resumption_free(resumption);
	return 0;
}

/* A session with what hangs on it. */
struct made {
	struct session session;
	struct tls_summary tls;
	struct identity_record record;
};

/* python3 of uid 1000 to 192.0.2.1, port 465 */
static void make(struct made *made, uint64_t id, uint16_t version)
{
	static const uint8_t server[16] = { [10] = 255, 255, 192, 0, 2, 1 };
	memset(made, 0, sizeof(*made));
	made->session.id = id;
	made->session.tls = &made->tls;
	made->session.identity = &made->record;
	made->session.last.uid = 1000;
	made->session.last.server_port = 465;
	made->session.last.facts = FACT(CLIENT_HELLO) | FACT(SERVER_HELLO) | FACT(CLIENT_DATA) | FACT(SERVER_DATA);
	memcpy(made->session.last.comm, "python3", 7);
	memcpy(made->session.last.server_address, server, sizeof(server));
	made->tls.version = version;
	made->tls.resumed = TLS_RESUMED_NO;
}

static void set_check(struct made *made, enum sender_check check)
{
	struct witness_word *word = &made->record.witness;
	word->library = WITNESS_OPENSSL;
	word->checked = check != SENDER_UNKNOWN;
	word->result = 1;
	word->named = check == SENDER_CHAIN_ONLY ? WITNESS_NAMED_NONE : WITNESS_NAMED_HOST;
	word->error = check == SENDER_FOUND_FAULT ? 18 : 0;
}

static struct tls_ticket ticket(uint8_t number)
{
	struct tls_ticket ticket = { .present = true };
	memset(ticket.hash, number, sizeof(ticket.hash));
	return ticket;
}

static struct tls_session_id id_of(uint8_t number)
{
	struct tls_session_id id = { .length = TLS_SESSION_ID_MAX };
	memset(id.bytes, number, sizeof(id.bytes));
	return id;
}

static void note_tls13(uint64_t id, enum sender_check check)
{
	struct made made;
	make(&made, id, TLS_VERSION_13);
	set_check(&made, check);
	resumption_note(resumption, &made.session);
}

static void note_ticket(uint64_t id, uint8_t number, enum sender_check check)
{
	struct made made;
	make(&made, id, TLS_VERSION_12);
	set_check(&made, check);
	made.tls.issued_ticket = ticket(number);
	resumption_note(resumption, &made.session);
}

static void note_id(uint64_t id, uint8_t number, enum sender_check check)
{
	struct made made;
	make(&made, id, TLS_VERSION_12);
	set_check(&made, check);
	made.tls.issued_id = id_of(number);
	resumption_note(resumption, &made.session);
}

static void make_resumed(struct made *made, uint16_t version)
{
	make(made, 99, version);
	made->tls.resumed = TLS_RESUMED_YES;
}

static void assert_resumes(struct made *made, enum sender_check check, uint64_t id)
{
	resumption_look_up(resumption, &made->session);
	assert_int_equal(made->record.resumed_check, check);
	assert_int_equal(made->record.resumed_id, id);
}

static void assert_ticket(uint8_t number, enum sender_check check, uint64_t id)
{
	struct made made;
	make_resumed(&made, TLS_VERSION_12);
	made.tls.offered_ticket = ticket(number);
	assert_resumes(&made, check, id);
}

static void assert_id(uint8_t number, enum sender_check check, uint64_t id)
{
	struct made made;
	make_resumed(&made, TLS_VERSION_12);
	made.tls.offered_id = id_of(number);
	assert_resumes(&made, check, id);
}

static void assert_tls13(enum sender_check check, uint64_t id)
{
	struct made made;
	make_resumed(&made, TLS_VERSION_13);
	assert_resumes(&made, check, id);
}

/* ---- up to TLS 1.2 ---------------------------------------------------------------------------------------- */

static void a_ticket_tells_the_session(void **state)
{
	(void)state;
	note_ticket(1, 10, SENDER_VERIFIED);
	note_ticket(2, 20, SENDER_FOUND_FAULT);
	note_ticket(3, 30, SENDER_CHAIN_ONLY);
	assert_ticket(10, SENDER_VERIFIED, 1);
	assert_ticket(20, SENDER_FOUND_FAULT, 2);
	assert_ticket(30, SENDER_CHAIN_ONLY, 3);
	assert_ticket(40, SENDER_UNKNOWN, 0);
}

static void a_session_id_tells_the_session(void **state)
{
	(void)state;
	note_id(1, 10, SENDER_VERIFIED);
	note_id(2, 20, SENDER_FOUND_FAULT);
	assert_id(10, SENDER_VERIFIED, 1);
	assert_id(20, SENDER_FOUND_FAULT, 2);
	assert_id(30, SENDER_UNKNOWN, 0);
}

/* Who offers a ticket makes a session id up (RFC 5077 section 3.4). */
static void a_ticket_goes_before_a_session_id(void **state)
{
	struct made made;
	(void)state;
	note_ticket(1, 10, SENDER_VERIFIED);
	note_id(2, 20, SENDER_FOUND_FAULT);
	make_resumed(&made, TLS_VERSION_12);
	made.tls.offered_ticket = ticket(10);
	made.tls.offered_id = id_of(20);
	assert_resumes(&made, SENDER_VERIFIED, 1);
	make_resumed(&made, TLS_VERSION_12);
	made.tls.offered_ticket = ticket(11);
	made.tls.offered_id = id_of(20);
	assert_resumes(&made, SENDER_UNKNOWN, 0);
}

static void a_session_can_be_known_by_both(void **state)
{
	struct made made;
	(void)state;
	make(&made, 1, TLS_VERSION_12);
	set_check(&made, SENDER_VERIFIED);
	made.tls.issued_ticket = ticket(10);
	made.tls.issued_id = id_of(20);
	resumption_note(resumption, &made.session);
	assert_ticket(10, SENDER_VERIFIED, 1);
	assert_id(20, SENDER_VERIFIED, 1);
	assert_ticket(20, SENDER_UNKNOWN, 0);
	assert_id(10, SENDER_UNKNOWN, 0); /* a ticket's hash is no session id */
}

static void no_session_id_is_none(void **state)
{
	struct made made;
	(void)state;
	make(&made, 1, TLS_VERSION_12);
	set_check(&made, SENDER_VERIFIED);
	resumption_note(resumption, &made.session);
	make_resumed(&made, TLS_VERSION_12);
	assert_resumes(&made, SENDER_UNKNOWN, 0);
}

static void the_newest_session_with_a_ticket_counts(void **state)
{
	(void)state;
	note_ticket(1, 10, SENDER_FOUND_FAULT);
	note_ticket(2, 10, SENDER_VERIFIED);
	assert_ticket(10, SENDER_VERIFIED, 2);
}

static void a_resumed_session_is_resumed_again(void **state)
{
	struct made made;
	(void)state;
	note_ticket(1, 10, SENDER_VERIFIED);
	make_resumed(&made, TLS_VERSION_12);
	made.tls.offered_ticket = ticket(10);
	made.tls.issued_ticket = ticket(11);
	assert_resumes(&made, SENDER_VERIFIED, 1);
	resumption_note(resumption, &made.session);
	assert_ticket(11, SENDER_VERIFIED, 99);
}

/* ---- TLS 1.3 ---------------------------------------------------------------------------------------------- */

static void the_senders_sessions_with_the_server_stand_for_the_resumed_one(void **state)
{
	(void)state;
	assert_tls13(SENDER_UNKNOWN, 0);
	note_tls13(1, SENDER_VERIFIED);
	assert_tls13(SENDER_VERIFIED, 1);
	note_tls13(2, SENDER_VERIFIED);
	assert_tls13(SENDER_VERIFIED, 2);
}

static void sessions_that_do_not_agree_tell_nothing(void **state)
{
	(void)state;
	note_tls13(1, SENDER_VERIFIED);
	note_tls13(2, SENDER_FOUND_FAULT);
	assert_tls13(SENDER_UNKNOWN, 0);
	note_tls13(3, SENDER_VERIFIED); /* the second may still be resumed */
	assert_tls13(SENDER_UNKNOWN, 0);
	note_tls13(4, SENDER_VERIFIED);
	assert_tls13(SENDER_UNKNOWN, 0);
}

static void a_bad_session_then_a_good_one_tell_nothing(void **state)
{
	(void)state;
	note_tls13(1, SENDER_CHAIN_ONLY);
	assert_tls13(SENDER_CHAIN_ONLY, 1);
	note_tls13(2, SENDER_VERIFIED);
	assert_tls13(SENDER_UNKNOWN, 0);
}

static void note_outcome(uint64_t id, enum outcome outcome)
{
	struct made made;
	make(&made, id, TLS_VERSION_13);
	set_check(&made, SENDER_CHAIN_ONLY);
	made.session.judgement.outcome = outcome;
	resumption_note(resumption, &made.session);
}

static void what_the_session_came_to_is_remembered(void **state)
{
	struct made made;
	(void)state;
	note_outcome(1, OUTCOME_VERIFIED);
	make_resumed(&made, TLS_VERSION_13);
	assert_resumes(&made, SENDER_CHAIN_ONLY, 1);
	assert_int_equal(made.record.resumed_outcome, OUTCOME_VERIFIED);
	note_outcome(2, OUTCOME_VERIFIED);
	assert_tls13(SENDER_CHAIN_ONLY, 2);
	note_outcome(3, OUTCOME_UNVERIFIED);
	assert_tls13(SENDER_UNKNOWN, 0);
	note_outcome(4, OUTCOME_UNVERIFIED);
	assert_tls13(SENDER_UNKNOWN, 0);
}

static void versions_are_kept_apart(void **state)
{
	(void)state;
	note_tls13(1, SENDER_VERIFIED);
	assert_ticket(10, SENDER_UNKNOWN, 0);
	note_ticket(2, 10, SENDER_FOUND_FAULT);
	assert_tls13(SENDER_VERIFIED, 1);
}

/* ---- whose it is ------------------------------------------------------------------------------------------ */

enum change { CHANGE_UID, CHANGE_SERVER, CHANGE_PORT, CHANGE_PROGRAM, CHANGE_NOTHING };

static void change(struct made *made, enum change what)
{
	if (what == CHANGE_UID)
		made->session.last.uid++;
	if (what == CHANGE_SERVER)
		made->session.last.server_address[15]++;
	if (what == CHANGE_PORT)
		made->session.last.server_port = 587;
	if (what == CHANGE_PROGRAM)
		memcpy(made->session.last.comm, "python4", 7);
}

static void another_user_server_or_port_resumes_nothing(void **state)
{
	struct made made;
	(void)state;
	note_tls13(1, SENDER_VERIFIED);
	note_ticket(2, 10, SENDER_VERIFIED);
	note_id(3, 20, SENDER_VERIFIED);
	for (int what = CHANGE_UID; what <= CHANGE_NOTHING; what++) {
		bool same = what == CHANGE_NOTHING;
		make_resumed(&made, TLS_VERSION_13);
		change(&made, (enum change)what);
		assert_resumes(&made, same ? SENDER_VERIFIED : SENDER_UNKNOWN, same ? 1 : 0);
		same |= what == CHANGE_PROGRAM; /* a ticket tells by itself */
		make_resumed(&made, TLS_VERSION_12);
		change(&made, (enum change)what);
		made.tls.offered_ticket = ticket(10);
		assert_resumes(&made, same ? SENDER_VERIFIED : SENDER_UNKNOWN, same ? 2 : 0);
		make_resumed(&made, TLS_VERSION_12);
		change(&made, (enum change)what);
		made.tls.offered_id = id_of(20);
		assert_resumes(&made, same ? SENDER_VERIFIED : SENDER_UNKNOWN, same ? 3 : 0);
	}
}

static void others_do_not_disagree(void **state)
{
	(void)state;
	note_tls13(1, SENDER_VERIFIED);
	for (int what = CHANGE_UID; what < CHANGE_NOTHING; what++) {
		struct made made;
		make(&made, 2, TLS_VERSION_13);
		set_check(&made, SENDER_FOUND_FAULT);
		change(&made, (enum change)what);
		resumption_note(resumption, &made.session);
	}
	assert_tls13(SENDER_VERIFIED, 1);
}

/* ---- what is remembered ----------------------------------------------------------------------------------- */

static void only_a_resumed_session_is_looked_up(void **state)
{
	struct made made;
	(void)state;
	note_tls13(1, SENDER_VERIFIED);
	for (int resumed = TLS_RESUMED_UNKNOWN; resumed <= TLS_RESUMED_NO; resumed++) {
		make(&made, 99, TLS_VERSION_13);
		made.tls.resumed = (enum tls_resumed)resumed;
		assert_resumes(&made, SENDER_UNKNOWN, 0);
	}
	make_resumed(&made, TLS_VERSION_13);
	made.session.tls = NULL;
	assert_resumes(&made, SENDER_UNKNOWN, 0);
}

static void what_was_found_once_stays(void **state)
{
	struct made made;
	(void)state;
	note_tls13(1, SENDER_VERIFIED);
	make_resumed(&made, TLS_VERSION_13);
	assert_resumes(&made, SENDER_VERIFIED, 1);
	note_tls13(2, SENDER_VERIFIED);
	assert_resumes(&made, SENDER_VERIFIED, 1);
	note_tls13(3, SENDER_FOUND_FAULT);
	assert_resumes(&made, SENDER_VERIFIED, 1);
}

static void a_session_that_never_came_about_is_not_noted(void **state)
{
	struct made made;
	(void)state;
	make(&made, 1, TLS_VERSION_13);
	set_check(&made, SENDER_VERIFIED);
	made.session.last.facts &= ~FACT(CLIENT_DATA);
	resumption_note(resumption, &made.session);
	assert_tls13(SENDER_UNKNOWN, 0);
	make(&made, 1, TLS_VERSION_13);
	set_check(&made, SENDER_VERIFIED);
	made.session.tls = NULL;
	resumption_note(resumption, &made.session);
	made.session.tls = &made.tls;
	made.session.identity = NULL;
	resumption_note(resumption, &made.session);
	assert_tls13(SENDER_UNKNOWN, 0);
}

static void an_unknown_ticket_is_not_noted(void **state)
{
	(void)state;
	note_ticket(1, 10, SENDER_UNKNOWN);
	assert_ticket(10, SENDER_UNKNOWN, 0);
}

static void the_one_noted_longest_ago_goes_first(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < MAX; i++)
		note_ticket(1 + i, i, SENDER_VERIFIED);
	for (uint8_t i = 0; i < MAX; i++)
		assert_ticket(i, SENDER_VERIFIED, 1 + i);
	note_ticket(100, 0, SENDER_VERIFIED); /* again: the second one is the oldest now */
	for (uint8_t i = 0; i < MAX; i++)
		assert_ticket(i, SENDER_VERIFIED, i ? 1 + i : 100);
	note_ticket(101, 200, SENDER_VERIFIED);
	assert_ticket(1, SENDER_UNKNOWN, 0);
	assert_ticket(0, SENDER_VERIFIED, 100);
	assert_ticket(2, SENDER_VERIFIED, 3);
	assert_ticket(200, SENDER_VERIFIED, 101);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_ticket_tells_the_session),
		TEST(a_session_id_tells_the_session),
		TEST(a_ticket_goes_before_a_session_id),
		TEST(a_session_can_be_known_by_both),
		TEST(no_session_id_is_none),
		TEST(the_newest_session_with_a_ticket_counts),
		TEST(a_resumed_session_is_resumed_again),
		TEST(the_senders_sessions_with_the_server_stand_for_the_resumed_one),
		TEST(sessions_that_do_not_agree_tell_nothing),
		TEST(a_bad_session_then_a_good_one_tell_nothing),
		TEST(what_the_session_came_to_is_remembered),
		TEST(versions_are_kept_apart),
		TEST(another_user_server_or_port_resumes_nothing),
		TEST(others_do_not_disagree),
		TEST(only_a_resumed_session_is_looked_up),
		TEST(what_was_found_once_stays),
		TEST(a_session_that_never_came_about_is_not_noted),
		TEST(an_unknown_ticket_is_not_noted),
		TEST(the_one_noted_longest_ago_goes_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
