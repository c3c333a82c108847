/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "session_table.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "session.h"

#define BUCKETS_MIN 64U

static unsigned count(const struct table *table)
{
	return table->counts[TABLE_OPEN] + table->counts[TABLE_CLOSED];
}

static uint64_t id_of(const struct table_entry *entry)
{
	return entry->awake ? ((const struct session *)entry->body)->id : packed_session_id(entry->body);
}

/* An id is a socket's cookie and a bit of a clock, which the kernel counts: nobody chooses them to collide. */
static struct table_entry **bucket(const struct table *table, uint64_t id)
{
	uint64_t mixed = id * 0x9e3779b97f4a7c15ULL; /* Knuth's multiplicative hashing: the high bits are the good ones */
	return &table->buckets[(mixed >> 32) & (table->bucket_count - 1)];
}

/* Keeps about one entry to a bucket. Returns false if there is no bucket at all. */
static bool grow(struct table *table)
{
	struct table grown = { .bucket_count = table->bucket_count ? table->bucket_count * 2 : BUCKETS_MIN };
	struct table_entry *entry;

	if (table->bucket_count > count(table))
		return true;
	grown.buckets = calloc(grown.bucket_count, sizeof(*grown.buckets));
	if (!grown.buckets)
		return table->bucket_count != 0;
	DL_FOREACH(table->by_age, entry) {
		struct table_entry **first = bucket(&grown, id_of(entry));
		entry->chain = *first;
		*first = entry;
	}
	free(table->buckets);
	table->buckets = grown.buckets;
	table->bucket_count = grown.bucket_count;
	return true;
}

static void put_to_sleep(struct table *table, struct table_entry *entry)
{
	struct packed_session *packed = session_is_packable(entry->body) ? session_pack(entry->body, &table->texts) : NULL;
	if (!packed)
		return; /* it stays awake until it has had its turn again */
	entry->body = packed;
	entry->awake = false;
}

static bool has_turn(const struct table *table, const struct table_entry *entry)
{
	return table->awake[entry->slot] == entry;
}

/* Gives an awake entry a turn, if it has none: whoever had it sleeps now. */
static void give_turn(struct table *table, struct table_entry *entry)
{
	struct table_entry **slot = &table->awake[table->turn];
	if (has_turn(table, entry))
		return;
	if (*slot)
		put_to_sleep(table, *slot);
	*slot = entry;
	entry->slot = (uint8_t)table->turn;
	table->turn = (table->turn + 1) % TABLE_AWAKE;
}

struct session *table_add(struct table *table, uint64_t id)
{
	struct table_entry *entry = calloc(1, sizeof(*entry)), **first;
	struct session *session = calloc(1, sizeof(*session));

	if (!entry || !session || !grow(table)) {
		free(entry);
		free(session);
		return NULL;
	}
	session->id = id;
	entry->body = session;
	entry->awake = true;
	first = bucket(table, id);
	entry->chain = *first;
	*first = entry;
	DL_APPEND(table->by_age, entry);
	DL_APPEND2(table->rows[TABLE_OPEN], entry, row_prev, row_next);
	table->counts[TABLE_OPEN]++;
	give_turn(table, entry);
	return session;
}

struct table_entry *table_find(const struct table *table, uint64_t id)
{
	struct table_entry *entry = table->bucket_count ? *bucket(table, id) : NULL;
	while (entry && id_of(entry) != id)
		entry = entry->chain;
	return entry;
}

struct session *table_wake(struct table *table, struct table_entry *entry)
{
	if (!entry->awake) {
		struct session *session = session_unpack(entry->body, &table->texts);
		if (!session)
			return NULL;
		entry->body = session;
		entry->awake = true;
	}
	give_turn(table, entry);
	return entry->body;
}

void table_close(struct table *table, struct table_entry *entry)
{
	if (entry->row == TABLE_CLOSED)
		return;
	DL_DELETE2(table->rows[TABLE_OPEN], entry, row_prev, row_next);
	DL_APPEND2(table->rows[TABLE_CLOSED], entry, row_prev, row_next);
	table->counts[TABLE_OPEN]--;
	table->counts[TABLE_CLOSED]++;
	entry->row = TABLE_CLOSED;
}

void table_remove(struct table *table, struct table_entry *entry)
{
	struct table_entry **link = bucket(table, id_of(entry));

	while (*link != entry)
		link = &(*link)->chain;
	*link = entry->chain;
	if (has_turn(table, entry))
		table->awake[entry->slot] = NULL;
	DL_DELETE(table->by_age, entry);
	DL_DELETE2(table->rows[entry->row], entry, row_prev, row_next);
	table->counts[entry->row]--;
	if (entry->awake)
		session_free(entry->body);
	else
		packed_session_free(entry->body, &table->texts);
	free(entry);
}

void table_clear(struct table *table)
{
	while (table->by_age)
		table_remove(table, table->by_age);
	free(table->buckets);
	memset(table, 0, sizeof(*table));
}
