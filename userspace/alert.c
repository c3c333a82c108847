/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "alert.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "config.h"
#include "facts.h"
#include "session.h"
#include "session_pack.h"

/* Compared as bytes: no padding, and all of it written. */
struct key {
	uint64_t cgroup_id;
	uint32_t uid;
	uint16_t port;
	uint8_t finding;
	uint8_t severity;
	uint8_t blocked;
	uint8_t reserved[7];
	uint8_t address[16];
	uint8_t client[16]; /* address, of a forwarded flow */
	char comm[16];
	char account[ACCOUNT_SIZE]; /* of cleartext-auth; as the session may tell it */
};

_Static_assert(sizeof(struct key) == 72 + ACCOUNT_SIZE, "a key has no padding");

struct entry {
	struct key key;
	struct timespec window_end; /* until then, likes of the alert are held back */
	uint64_t held;              /* how many are */
	struct session *newest;     /* the newest of them: a copy, with what it owns; NULL if held is 0 */
	struct timespec newest_time;
	UT_hash_handle hh;
};

struct alerts {
	const struct config *config;
	void (*emit)(void *context, const struct alert *alert);
	void *context;
	struct entry *entries; /* the one that was used the longest ago is first */
	struct alert_counts counts;
	double tokens; /* alerts that may be emitted now */
	struct timespec refilled;
};

struct alerts *alerts_new(const struct config *config, void (*emit)(void *context, const struct alert *alert),
			  void *context)
{
	struct alerts *alerts = calloc(1, sizeof(*alerts));
	if (!alerts)
		return NULL;
	alerts->config = config;
	alerts->emit = emit;
	alerts->context = context;
	alerts->tokens = config->alerts.rate;
	return alerts;
}

static void remove_entry(struct alerts *alerts, struct entry *entry)
{
	HASH_DEL(alerts->entries, entry);
	session_free(entry->newest);
	free(entry);
}

void alerts_free(struct alerts *alerts)
{
	if (!alerts)
		return;
	while (alerts->entries)
		remove_entry(alerts, alerts->entries);
	free(alerts);
}

void alerts_set_config(struct alerts *alerts, const struct config *config)
{
	alerts->config = config;
}

/* The session outlives neither its table nor the window: what the alert will tell of it is copied. */
static struct session *copy_session(const struct session *session)
{
	struct session *copy = malloc(sizeof(*copy));
	if (!copy)
		return NULL;
	*copy = *session;
	copy->cgroup = session->cgroup ? strdup(session->cgroup) : NULL;
	copy->account = session->account ? strdup(session->account) : NULL;
	copy->handshake = NULL;
	copy->tls = session->tls ? malloc(sizeof(*copy->tls)) : NULL;
	if (copy->tls)
		*copy->tls = *session->tls;
	copy->identity = session->identity ? malloc(sizeof(*copy->identity)) : NULL;
	if (copy->identity) {
		*copy->identity = *session->identity;
		memset(&copy->identity->wire, 0, sizeof(copy->identity->wire)); /* these stay the session's */
		memset(&copy->identity->heard, 0, sizeof(copy->identity->heard));
	}
	return copy;
}

bool alert_was_blocked(const struct session *session, enum finding finding)
{
	uint64_t left = session->last.facts & ~session->last.stopped;

	if (!(session->last.facts & FACT(BLOCKED)))
		return false;
	if (finding == FINDING_CLEARTEXT_AUTH)
		return !(left & FACT(CREDENTIAL_CLEAR));
	if (finding == FINDING_CLEARTEXT_MAIL)
		return !(left & FACT(MAIL_CLEAR));
	return true;
}

static void key_of(struct key *key, const struct session *session, enum finding finding, enum severity severity)
{
	const struct flow_event *flow = &session->last;

	memset(key, 0, sizeof(*key));
	key->cgroup_id = flow->cgroup_id;
	key->uid = flow->uid;
	key->port = flow->server_port;
	key->finding = (uint8_t)finding;
	key->severity = (uint8_t)severity;
	key->blocked = alert_was_blocked(session, finding);
	memcpy(key->address, flow->server_address, sizeof(key->address));
	if (flow->ifindex)
		memcpy(key->client, flow->client_address, sizeof(key->client));
	memcpy(key->comm, flow->comm, strnlen(flow->comm, sizeof(flow->comm)));
	if (finding == FINDING_CLEARTEXT_AUTH && session->account)
		memcpy(key->account, session->account, strnlen(session->account, sizeof(key->account)));
}

static double seconds_between(struct timespec from, struct timespec to)
{
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static bool take_token(struct alerts *alerts, struct timespec now)
{
	double rate = alerts->config->alerts.rate;
	double elapsed = seconds_between(alerts->refilled, now);

	if (elapsed > 0)
		alerts->tokens += elapsed * rate / 60;
	if (alerts->tokens > rate)
		alerts->tokens = rate;
	alerts->refilled = now;
	if (alerts->tokens < 1)
		return false;
	alerts->tokens -= 1;
	return true;
}

static bool window_is_over(const struct alerts *alerts, struct entry *entry, struct timespec now)
{
	time_t latest = now.tv_sec + (time_t)alerts->config->alerts.repeat_s;
	if (entry->window_end.tv_sec > latest) { /* the clock was set back, or repeat_s is shorter now */
		entry->window_end.tv_sec = latest;
		entry->window_end.tv_nsec = now.tv_nsec;
	}
	return seconds_between(entry->window_end, now) >= 0;
}

/* Emits the session, or if it is NULL the newest one held, and begins a new window. */
static void emit_entry(struct alerts *alerts, struct entry *entry, const struct session *session, struct timespec now)
{
	struct alert alert = {
		.session = session ? session : entry->newest,
		.finding = (enum finding)entry->key.finding,
		.severity = (enum severity)entry->key.severity,
		.suppressed = session ? entry->held : entry->held - 1,
		.time = session ? now : entry->newest_time,
	};

	alerts->counts.emitted++;
	alerts->emit(alerts->context, &alert);
	session_free(entry->newest);
	entry->newest = NULL;
	entry->held = 0;
	entry->window_end = now;
	entry->window_end.tv_sec += (time_t)alerts->config->alerts.repeat_s;
}

static void hold_back(struct alerts *alerts, struct entry *entry, const struct session *session, struct timespec now)
{
	struct session *copy = copy_session(session);

	alerts->counts.suppressed++;
	if (!copy) { /* the count goes on with an older session's data, or is all that is left */
		if (entry->newest)
			entry->held++;
		else
			alerts->counts.untold++;
		return;
	}
	session_free(entry->newest);
	entry->newest = copy;
	entry->newest_time = now;
	entry->held++;
}

/* Makes room for one more. What gives way is told if the rate allows it, else counted as untold. */
static void make_room(struct alerts *alerts, struct timespec now)
{
	while (HASH_COUNT(alerts->entries) >= ALERT_KEYS_MAX) {
		struct entry *oldest = alerts->entries;
		if (oldest->held > 0 && take_token(alerts, now))
			emit_entry(alerts, oldest, NULL, now);
		alerts->counts.untold += oldest->held;
		remove_entry(alerts, oldest);
	}
}

/* Finds the key's entry or makes one whose window is over, and puts it last. NULL without memory. */
static struct entry *entry_of(struct alerts *alerts, const struct key *key, struct timespec now)
{
	struct entry *entry;

	HASH_FIND(hh, alerts->entries, key, sizeof(*key), entry);
	if (entry) {
		HASH_DEL(alerts->entries, entry);
	} else {
		make_room(alerts, now);
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return NULL;
		entry->key = *key;
		entry->window_end = now;
	}
	HASH_ADD(hh, alerts->entries, key, sizeof(entry->key), entry);
	return entry;
}

void alerts_raise(struct alerts *alerts, const struct session *session, enum finding finding, enum severity severity,
		  struct timespec now)
{
	struct key key;

	alerts->counts.raised++;
	if (severity < alerts->config->alerts.minimum) {
		alerts->counts.below++;
		return;
	}
	key_of(&key, session, finding, severity);
	struct entry *entry = entry_of(alerts, &key, now);
	if (!entry) {
		alerts->counts.suppressed++;
		alerts->counts.untold++;
		return;
	}
	if (window_is_over(alerts, entry, now) && take_token(alerts, now))
		emit_entry(alerts, entry, session, now);
	else
		hold_back(alerts, entry, session, now);
}

/* One pass over the table for one severity. Returns false when the rate is used up. */
static bool tell_due(struct alerts *alerts, unsigned severity, struct timespec now)
{
	struct entry *entry, *next;

	HASH_ITER(hh, alerts->entries, entry, next) {
		if (entry->key.severity != severity || !window_is_over(alerts, entry, now))
			continue;
		if (entry->held == 0) {
			remove_entry(alerts, entry);
			continue;
		}
		if (!take_token(alerts, now))
			return false;
		emit_entry(alerts, entry, NULL, now);
	}
	return true;
}

void alerts_tick(struct alerts *alerts, struct timespec now)
{
	for (unsigned severity = SEVERITY_COUNT; severity-- > 0;)
		if (!tell_due(alerts, severity, now))
			return;
}

void alerts_flush(struct alerts *alerts, struct timespec now)
{
	struct entry *entry, *next;

	HASH_ITER(hh, alerts->entries, entry, next)
		if (entry->held > 0)
			emit_entry(alerts, entry, NULL, now);
}

void alerts_counts(const struct alerts *alerts, struct alert_counts *counts)
{
	*counts = alerts->counts;
	counts->keys = HASH_COUNT(alerts->entries);
}
