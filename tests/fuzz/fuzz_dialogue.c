/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the dialogue machine. The input is a flow: its first byte says which port and cut, then come segments, each
 * behind two bytes: bit 15 says whose, the others how long. Two runs must agree, and what must never be is checked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialogue_run.h"
#include "judgement.h"

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

#define REQUIRE(condition) require(condition, #condition)

static void check(const struct dialogue_run *run, uint64_t facts_before)
{
	struct flow_event event = dialogue_run_event(run, EVENT_CLOSED);
	struct judgement judgement;
	REQUIRE((event.facts & facts_before) == facts_before); /* once true, true for ever */
	REQUIRE(event.facts >> FACT_COUNT == 0);
	REQUIRE(memchr(event.mechanism, 0, sizeof(event.mechanism)) != NULL);
	REQUIRE(memchr(event.account, 0, sizeof(event.account)) != NULL);
	REQUIRE(memchr(event.server_name, 0, sizeof(event.server_name)) != NULL);
	REQUIRE((uint8_t)(run->client.pending_head - run->server.pending_tail) <= PENDING_MAX);
	REQUIRE(run->client.mechanism_length < MECHANISM_SIZE && run->client.account_length < ACCOUNT_SIZE);
	REQUIRE(run->server.name_length < SERVER_NAME_SIZE);
	REQUIRE(run->client.state <= CLIENT_BODY_DOT_CR);
	judge(&event, &judgement);
	REQUIRE(judgement.outcome < OUTCOME_COUNT);
	REQUIRE((judgement.outcome == OUTCOME_UNKNOWN) == (judgement.unknown_reason != NULL));
}

static void check_same(const struct dialogue_run *a, const struct dialogue_run *b)
{
	struct flow_event one = dialogue_run_event(a, EVENT_PROGRESS), other = dialogue_run_event(b, EVENT_PROGRESS);
	REQUIRE(memcmp(&one, &other, sizeof(one)) == 0);
	REQUIRE(a->client.commands == b->client.commands && a->server.replies == b->server.replies);
	REQUIRE(a->client.state == b->client.state && a->client.skip == b->client.skip && a->server.skip == b->server.skip);
}

/* The segment in memory of its own size, so that a read behind it is seen. */
static uint8_t *copy_of(const uint8_t *bytes, size_t length)
{
	uint8_t *copy = malloc(length);
	REQUIRE(copy != NULL);
	memcpy(copy, bytes, length);
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dialogue_run runs[2] = { { .bytewise = false }, { .bytewise = true } };
	if (size < 1)
		return 0;
	uint8_t options = data[0];
	for (int i = 0; i < 2; i++) {
		dialogue_run_start(&runs[i], options & 1, options & 2 ? MODE_BLOCK : MODE_MONITOR, &dialogue_run_encrypted);
		if (options & 4)
			dialogue_run_midway(&runs[i]);
	}
	for (size_t at = 1; at + 2 < size;) {
		size_t length = (size_t)(data[at] & 0x7f) << 8 | data[at + 1];
		int server = data[at] & 0x80;
		uint64_t before = facts_known(runs[0].client.facts | runs[0].server.facts);
		at += 2;
		length = length > size - at ? size - at : length;
		if (length == 0)
			continue;
		uint8_t *segment = copy_of(data + at, length);
		for (int i = 0; i < 2; i++) {
			if (server)
				dialogue_run_server(&runs[i], segment, length);
			else
				dialogue_run_client(&runs[i], segment, length);
			check(&runs[i], before);
		}
		check_same(&runs[0], &runs[1]);
		free(segment);
		at += length;
	}
	return 0;
}
