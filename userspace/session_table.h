/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where sessions are kept: found by id, walked by age, the open ones and the closed ones each in a row. Those that were
 * asked for last are awake, which is a struct session; the others are packed. What it means to be open is session.c's.
 */
#ifndef SMTPWARD_SESSION_TABLE_H
#define SMTPWARD_SESSION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "session_pack.h"

#define TABLE_AWAKE 64 /* and those that cannot be packed */

enum table_row { TABLE_OPEN, TABLE_CLOSED, TABLE_ROWS };

/* A session's place. */
struct table_entry {
	void *body; /* struct session where it is awake, else struct packed_session */
	struct table_entry *chain; /* entries with the same hash */
	struct table_entry *prev, *next; /* by age */
	struct table_entry *row_prev, *row_next; /* the open ones by age, or the closed ones by their end */
	bool awake;
	uint8_t row; /* enum table_row */
	uint8_t slot; /* in table.awake, if that points here */
};

/* All zero is an empty one. */
struct table {
	struct table_entry **buckets;
	unsigned bucket_count; /* a power of two */
	struct table_entry *by_age; /* utlist: the head is the oldest */
	struct table_entry *rows[TABLE_ROWS];
	unsigned counts[TABLE_ROWS];
	struct table_entry *awake[TABLE_AWAKE]; /* in turn; holes are NULL */
	unsigned turn;
	struct shared_texts texts;
};

/* Frees all that is in it, and makes it empty. */
void table_clear(struct table *table);
/* Puts a new session called id into the row of the open ones. NULL without memory. */
struct session *table_add(struct table *table, uint64_t id);
/* NULL: there is none. Good until the next change of the table. */
struct table_entry *table_find(const struct table *table, uint64_t id);
/*
 * The entry's session, awake; NULL without memory. It stays so until TABLE_AWAKE others have been woken or added: then
 * it is packed, and the pointer is good no more.
 */
struct session *table_wake(struct table *table, struct table_entry *entry);
/* Moves an entry to the end of the row of the closed ones. */
void table_close(struct table *table, struct table_entry *entry);
void table_remove(struct table *table, struct table_entry *entry);

#endif
