/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "session_table.h"

#include <stdlib.h>
#include <string.h>

#include "session.h"

#define BUCKETS_MIN 64U
#define BLOCK 1024U /* entries that are allocated at once */

static struct table_entry *entry_of(const struct table *table, uint32_t number)
{
	return number ? &table->blocks[(number - 1) / BLOCK][(number - 1) % BLOCK] : NULL;
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

/* The entry's link in a row: that in TABLE_OPEN and in TABLE_CLOSED is one, as it is in one of them only. */
static unsigned link_number(enum table_row row)
{
	return row == TABLE_ALL;
}

static struct table_link *link_of(struct table_entry *entry, enum table_row row)
{
	return &entry->links[link_number(row)];
}

static void append(struct table *table, enum table_row row, struct table_entry *entry)
{
	struct table_ends *ends = &table->rows[row];
	struct table_link *link = link_of(entry, row);
	link->prev = ends->last;
	link->next = 0;
	if (ends->last)
		link_of(entry_of(table, ends->last), row)->next = entry->number;
	else
		ends->first = entry->number;
	ends->last = entry->number;
	ends->count++;
}

static void take_out(struct table *table, enum table_row row, struct table_entry *entry)
{
	struct table_ends *ends = &table->rows[row];
	const struct table_link *link = link_of(entry, row);
	if (link->prev)
		link_of(entry_of(table, link->prev), row)->next = link->next;
	else
		ends->first = link->next;
	if (link->next)
		link_of(entry_of(table, link->next), row)->prev = link->prev;
	else
		ends->last = link->prev;
	ends->count--;
}

struct table_entry *table_first(const struct table *table, enum table_row row)
{
	return entry_of(table, table->rows[row].first);
}

struct table_entry *table_newer(const struct table *table, const struct table_entry *entry)
{
	return entry_of(table, entry->links[link_number(TABLE_ALL)].next);
}

unsigned table_count(const struct table *table, enum table_row row)
{
	return table->rows[row].count;
}

/* ---- by id ------------------------------------------------------------------------------------------------ */

static uint64_t id_of(const struct table_entry *entry)
{
	return entry->awake ? ((const struct session *)entry->body)->id : packed_session_id(entry->body);
}

/* In the kernel nobody chooses ids, but who makes a capture file chooses its sessions': none that share a bucket for sure. */
static uint32_t *bucket(const struct table *table, uint32_t *buckets, unsigned count, uint64_t id)
{
	uint64_t mixed = (id ^ table->seed) * 0x9e3779b97f4a7c15ULL; /* Knuth's multiplicative hashing: the high bits are the good ones */
	mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ULL;
	return &buckets[(mixed >> 32) & (count - 1)];
}

/* Keeps about one entry to a bucket. Returns false if there is no bucket at all. */
static bool grow_buckets(struct table *table)
{
	unsigned count = table->bucket_count ? table->bucket_count * 2 : BUCKETS_MIN;
	struct table_entry *entry;
	uint32_t *buckets;

	if (table->bucket_count > table_count(table, TABLE_ALL))
		return true;
	buckets = calloc(count, sizeof(*buckets));
	if (!buckets)
		return table->bucket_count != 0;
	for (entry = table_first(table, TABLE_ALL); entry; entry = table_newer(table, entry)) {
		uint32_t *first = bucket(table, buckets, count, id_of(entry));
		entry->chain = *first;
		*first = entry->number;
	}
	free(table->buckets);
	table->buckets = buckets;
	table->bucket_count = count;
	return true;
}

struct table_entry *table_find(const struct table *table, uint64_t id)
{
	struct table_entry *entry = NULL;
	if (table->bucket_count)
		entry = entry_of(table, *bucket(table, table->buckets, table->bucket_count, id));
	while (entry && id_of(entry) != id)
		entry = entry_of(table, entry->chain);
	return entry;
}

/* ---- entries ---------------------------------------------------------------------------------------------- */

static bool add_block(struct table *table)
{
	struct table_entry **blocks = realloc(table->blocks, (table->block_count + 1) * sizeof(struct table_entry *));
	struct table_entry *block = calloc(BLOCK, sizeof(*block));
	uint32_t number = table->block_count * BLOCK + 1;

	if (blocks)
		table->blocks = blocks;
	if (!blocks || !block) {
		free(block);
		return false;
	}
	table->blocks[table->block_count++] = block;
	for (unsigned i = 0; i < BLOCK; i++) {
		block[i].number = number + i;
		block[i].chain = i + 1 < BLOCK ? number + i + 1 : table->free;
	}
	table->free = number;
	return true;
}

/* An entry that is free, with number alone. NULL without memory. */
static struct table_entry *take_free(struct table *table)
{
	if (!table->free && !add_block(table))
		return NULL;
	struct table_entry *entry = entry_of(table, table->free);
	table->free = entry->chain;
	*entry = (struct table_entry){ .number = entry->number };
	return entry;
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
	return table->awake[entry->slot] == entry->number;
}

/* Gives an awake entry a turn, if it has none: whoever had it sleeps now. */
static void give_turn(struct table *table, struct table_entry *entry)
{
	uint32_t *slot = &table->awake[table->turn];
	if (has_turn(table, entry))
		return;
	if (*slot)
		put_to_sleep(table, entry_of(table, *slot));
	*slot = entry->number;
	entry->slot = (uint16_t)table->turn;
	table->turn = (table->turn + 1) % (table->awake_max ? table->awake_max : TABLE_AWAKE);
}

struct session *table_add(struct table *table, uint64_t id)
{
	struct session *session = calloc(1, sizeof(*session));
	struct table_entry *entry = session && grow_buckets(table) ? take_free(table) : NULL;
	uint32_t *first;

	if (!entry) {
		free(session);
		return NULL;
	}
	session->id = id;
	entry->body = session;
	entry->awake = true;
	first = bucket(table, table->buckets, table->bucket_count, id);
	entry->chain = *first;
	*first = entry->number;
	append(table, TABLE_ALL, entry);
	append(table, TABLE_OPEN, entry);
	give_turn(table, entry);
	return session;
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
	take_out(table, TABLE_OPEN, entry);
	entry->row = TABLE_CLOSED;
	append(table, TABLE_CLOSED, entry);
}

void table_remove(struct table *table, struct table_entry *entry)
{
	uint32_t *link = bucket(table, table->buckets, table->bucket_count, id_of(entry));

	while (*link != entry->number)
		link = &entry_of(table, *link)->chain;
	*link = entry->chain;
	if (has_turn(table, entry))
		table->awake[entry->slot] = 0;
	take_out(table, TABLE_ALL, entry);
	take_out(table, (enum table_row)entry->row, entry);
	if (entry->awake)
		session_free(entry->body);
	else
		packed_session_free(entry->body, &table->texts);
	entry->chain = table->free;
	table->free = entry->number;
}

void table_clear(struct table *table)
{
	struct table_entry *entry;
	while ((entry = table_first(table, TABLE_ALL)))
		table_remove(table, entry);
	for (unsigned i = 0; i < table->block_count; i++)
		free(table->blocks[i]);
	free(table->blocks);
	free(table->buckets);
	memset(table, 0, sizeof(*table));
}
