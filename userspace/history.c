/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "history.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "session.h"

enum server_kind { SERVER_BY_ADDRESS, SERVER_BY_NAME, SERVER_KINDS };
enum sender_kind { SENDER_BY_PROCESS, SENDER_BY_CGROUP, SENDER_KINDS };

/* Compared as bytes: no padding, and all of it written. */
struct key {
	uint8_t server_kind;
	uint8_t sender_kind;
	uint16_t reserved;
	uint32_t uid;
	uint64_t sender; /* pid or cgroup id */
	char comm[16];
	uint8_t client[16]; /* address, of a forwarded flow: nothing else is known of its sender */
	char server[SERVER_NAME_SIZE]; /* address or name */
};

_Static_assert(sizeof(struct key) == 48 + SERVER_NAME_SIZE, "a key has no padding");

/* A session that was noted. */
struct noted {
	uint64_t id;
	uint64_t opened_ns;
	struct timespec time;
};

/*
 * The newest is what is told. The oldest is kept beside it for senders with several sessions at a time: the newest
 * failed one may have been opened only after the session in question, and then cannot be what it fell back from.
 */
struct entry {
	struct key key;
	struct noted newest, oldest;
	UT_hash_handle hh;
};

struct history {
	struct entry *failed, *exposed; /* each in order of what is newest: the longest ago is first */
	unsigned max;
	unsigned window_s;
};

struct history *history_new(unsigned window_s, unsigned max)
{
	struct history *history = calloc(1, sizeof(*history));
	if (!history)
		return NULL;
	history->window_s = window_s;
	history->max = max;
	return history;
}

static void remove_entry(struct entry **entries, struct entry *entry)
{
	HASH_DEL(*entries, entry);
	free(entry);
}

void history_free(struct history *history)
{
	if (!history)
		return;
	while (history->failed)
		remove_entry(&history->failed, history->failed);
	while (history->exposed)
		remove_entry(&history->exposed, history->exposed);
	free(history);
}

void history_set_window(struct history *history, unsigned window_s)
{
	history->window_s = window_s;
}

/* Fills key; returns false if the session has no such key: its cgroup or the server's name is not known. */
static bool key_of(struct key *key, const struct flow_event *flow, unsigned server_kind, unsigned sender_kind)
{
	memset(key, 0, sizeof(*key));
	key->server_kind = (uint8_t)server_kind;
	key->sender_kind = (uint8_t)sender_kind;
	key->uid = flow->uid;
	key->sender = sender_kind == SENDER_BY_PROCESS ? flow->pid : flow->cgroup_id;
	memcpy(key->comm, flow->comm, strnlen(flow->comm, sizeof(flow->comm)));
	if (flow->ifindex) {
		memcpy(key->client, flow->client_address, sizeof(key->client));
		key->sender = 1;
	}
	if (server_kind == SERVER_BY_ADDRESS)
		memcpy(key->server, flow->server_address, sizeof(flow->server_address));
	else
		memcpy(key->server, flow->server_name, strnlen(flow->server_name, sizeof(flow->server_name)));
	return key->sender != 0 && (server_kind == SERVER_BY_ADDRESS || key->server[0] != '\0');
}

static bool is_in_window(const struct history *history, const struct noted *noted, struct timespec now)
{
	time_t elapsed = now.tv_sec - noted->time.tv_sec;
	if (now.tv_nsec < noted->time.tv_nsec)
		elapsed--;
	return elapsed < (time_t)history->window_s;
}

/* Drops what is past the window, then makes room for one more. */
static void make_room(const struct history *history, struct entry **entries, struct timespec now)
{
	while (*entries && (!is_in_window(history, &(*entries)->newest, now) || HASH_COUNT(*entries) >= history->max))
		remove_entry(entries, *entries);
}

static void note_key(const struct history *history, struct entry **entries, const struct key *key, const struct noted *noted)
{
	struct entry *entry;

	HASH_FIND(hh, *entries, key, sizeof(*key), entry);
	if (entry)
		HASH_DEL(*entries, entry); /* added again below, as the last */
	make_room(history, entries, noted->time);
	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return;
		entry->key = *key;
		entry->oldest = *noted;
	}
	if (!is_in_window(history, &entry->oldest, noted->time))
		entry->oldest = entry->newest;
	entry->newest = *noted;
	HASH_ADD(hh, *entries, key, sizeof(entry->key), entry);
}

static void note(const struct history *history, struct entry **entries, const struct session *session, struct timespec now)
{
	const struct noted noted = { session->id, session->last.opened_ns, now };
	struct key key;

	if (history->max == 0)
		return;
	for (unsigned server = 0; server < SERVER_KINDS; server++)
		for (unsigned sender = 0; sender < SENDER_KINDS; sender++)
			if (key_of(&key, &session->last, server, sender))
				note_key(history, entries, &key, &noted);
}

void history_tls_failed(struct history *history, const struct session *session, struct timespec now)
{
	note(history, &history->failed, session, now);
}

void history_exposed(struct history *history, const struct session *session, struct timespec now)
{
	note(history, &history->exposed, session, now);
}

/* Whether one of the two is the other's fallback: failed was opened first. */
static bool is_fallback(uint64_t failed_id, uint64_t failed_ns, uint64_t exposed_id, uint64_t exposed_ns)
{
	return failed_id != exposed_id && failed_ns <= exposed_ns;
}

static bool explains(const struct history *history, const struct noted *failed, const struct session *session, struct timespec now)
{
	return is_in_window(history, failed, now) && is_fallback(failed->id, failed->opened_ns, session->id, session->last.opened_ns);
}

static const struct entry *find(struct entry *entries, const struct session *session, unsigned kind)
{
	struct key key;
	struct entry *entry = NULL;
	if (key_of(&key, &session->last, kind / SENDER_KINDS, kind % SENDER_KINDS))
		HASH_FIND(hh, entries, &key, sizeof(key), entry);
	return entry;
}

uint64_t history_fallback_of(struct history *history, const struct session *session, struct timespec now)
{
	const struct noted *best = NULL;

	for (unsigned kind = 0; kind < SERVER_KINDS * SENDER_KINDS; kind++) {
		const struct entry *entry = find(history->failed, session, kind);
		if (!entry)
			continue;
		const struct noted *failed = explains(history, &entry->newest, session, now) ? &entry->newest : &entry->oldest;
		if (!explains(history, failed, session, now))
			continue;
		if (!best || failed->opened_ns > best->opened_ns)
			best = failed;
	}
	return best ? best->id : 0;
}

uint64_t history_fallback_to(struct history *history, const struct session *failed, struct timespec now)
{
	for (unsigned kind = 0; kind < SERVER_KINDS * SENDER_KINDS; kind++) {
		const struct entry *entry = find(history->exposed, failed, kind);
		if (entry && is_in_window(history, &entry->newest, now) &&
		    is_fallback(failed->id, failed->last.opened_ns, entry->newest.id, entry->newest.opened_ns))
			return entry->newest.id;
	}
	return 0;
}

unsigned history_count(const struct history *history)
{
	return HASH_COUNT(history->failed);
}
