/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent_sweep.c with the real table of sessions; the monitor, and what an answer leads to, are stubs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "agent.h"
#include "monitor.h"
#include "session.h"

#define OPEN 1000
#define AT_ONCE 256 /* SWEEP_MAX */
#define OLD_NS 1
#define YOUNG_NS (UINT64_MAX / 4)

static struct {
	uint64_t events_lost;
	unsigned room; /* errands that the monitor takes yet */
	unsigned asked[OPEN + 1]; /* by flow id */
	unsigned taken;
} stub;

int monitor_find_socket(struct monitor *monitor, const struct flow_event *event)
{
	(void)monitor;
	assert_in_range(event->flow_id, 1, OPEN);
	if (!stub.room)
		return -EAGAIN;
	stub.room--;
	stub.asked[event->flow_id]++;
	return 0;
}

void monitor_counters(struct monitor *monitor, uint64_t counters[COUNTER_COUNT])
{
	(void)monitor;
	memset(counters, 0, COUNTER_COUNT * sizeof(*counters));
	counters[COUNTER_EVENTS_LOST] = stub.events_lost;
}

void agent_read_events(struct agent *agent)
{
	(void)agent;
}

void agent_sweep_forwards(struct agent *agent)
{
	(void)agent;
}

void agent_take_flow(struct agent *agent, const struct flow_event *event)
{
	assert_int_equal(event->reason, EVENT_CLOSED);
	stub.taken++;
	assert_non_null(sessions_take(agent->sessions, event));
}

static void add(struct agent *agent, uint64_t id, uint64_t time_ns, bool adopted)
{
	struct flow_event event = { .flow_id = id, .sequence = 1, .reason = EVENT_OPENED, .opened_ns = id, .time_ns = time_ns,
				    .adopted = adopted };
	assert_non_null(sessions_take(agent->sessions, &event));
}

static int set_up(void **state)
{
	static struct agent agent;
	memset(&stub, 0, sizeof(stub));
	memset(&agent, 0, sizeof(agent));
	stub.room = UINT32_MAX;
	agent.sessions = sessions_new(OPEN, OPEN);
	*state = &agent;
	return agent.sessions ? 0 : -1;
}

static int tear_down(void **state)
{
	struct agent *agent = *state;
	sessions_free(agent->sessions);
	return 0;
}

static unsigned asked_in_all(void)
{
	unsigned sum = 0;
	for (unsigned i = 1; i <= OPEN; i++)
		sum += stub.asked[i];
	return sum;
}

static void nothing_is_asked_without_a_loss(void **state)
{
	add(*state, 1, OLD_NS, false);
	agent_sweep(*state);
	assert_int_equal(asked_in_all(), 0);
}

/* The oldest may all be alive: the others have their turn nevertheless, and each one once. */
static void after_a_loss_every_session_has_its_turn(void **state)
{
	for (uint64_t id = 1; id <= OPEN; id++)
		add(*state, id, OLD_NS, false);
	stub.events_lost = 3;
	for (unsigned sweep = 0; sweep < 10; sweep++) {
		unsigned before = asked_in_all();
		agent_sweep(*state);
		assert_in_range(asked_in_all() - before, 0, AT_ONCE);
	}
	for (unsigned id = 1; id <= OPEN; id++)
		assert_int_equal(stub.asked[id], 1);
}

static void a_loss_during_a_walk_begins_another(void **state)
{
	for (uint64_t id = 1; id <= OPEN; id++)
		add(*state, id, OLD_NS, false);
	stub.events_lost = 1;
	agent_sweep(*state);
	stub.events_lost = 2;
	for (unsigned sweep = 0; sweep < 20; sweep++)
		agent_sweep(*state);
	for (unsigned id = 1; id <= OPEN; id++)
		assert_int_equal(stub.asked[id], 2);
}

static void a_young_one_is_asked_for_later(void **state)
{
	add(*state, 1, YOUNG_NS, false);
	stub.events_lost = 1;
	agent_sweep(*state);
	assert_int_equal(stub.asked[1], 0);
	struct flow_event event = { .flow_id = 1, .sequence = 2, .reason = EVENT_PROGRESS, .opened_ns = 1, .time_ns = OLD_NS };
	assert_non_null(sessions_take(((struct agent *)*state)->sessions, &event));
	agent_sweep(*state);
	agent_sweep(*state);
	assert_int_equal(stub.asked[1], 1);
}

static void what_the_monitor_has_no_room_for_comes_next(void **state)
{
	for (uint64_t id = 1; id <= 10; id++)
		add(*state, id, OLD_NS, false);
	stub.events_lost = 1;
	stub.room = 4;
	agent_sweep(*state);
	assert_int_equal(asked_in_all(), 4);
	stub.room = 100;
	agent_sweep(*state);
	for (unsigned id = 1; id <= 10; id++)
		assert_int_equal(stub.asked[id], 1);
}

static void the_adopted_are_asked_for_always_and_end_once(void **state)
{
	struct agent *agent = *state;
	for (uint64_t id = 1; id <= OPEN; id++)
		add(agent, id, OLD_NS, id > OPEN - 2);
	agent->has_adopted = true;
	agent_sweep(agent);
	agent_sweep(agent);
	assert_int_equal(asked_in_all(), 4);
	assert_int_equal(stub.asked[OPEN], 2);
	agent_end_adopted(agent, OPEN);
	agent_end_adopted(agent, OPEN);
	agent_end_adopted(agent, 1); /* is none */
	assert_int_equal(stub.taken, 1);
	agent_sweep(agent);
	assert_int_equal(stub.asked[OPEN], 2);
	assert_int_equal(stub.asked[OPEN - 1], 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_asked_without_a_loss),
		TEST(after_a_loss_every_session_has_its_turn),
		TEST(a_loss_during_a_walk_begins_another),
		TEST(a_young_one_is_asked_for_later),
		TEST(what_the_monitor_has_no_room_for_comes_next),
		TEST(the_adopted_are_asked_for_always_and_end_once),
	};
	return cmocka_run_group_tests_name("test_sweep", tests, NULL, NULL);
}
