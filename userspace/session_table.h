/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where sessions are kept: found by id, walked by age, the open ones and the closed ones each in a row. Those that were
 * asked for last are awake, which is a struct session; the others are packed. What it means to be open is session.c's.
 *
 * There may be a hundred thousand, so an entry's links are numbers, half as large as pointers.
 */
#ifndef SMTPWARD_SESSION_TABLE_H
#define SMTPWARD_SESSION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "session_pack.h"

#define TABLE_AWAKE 64 /* and those that cannot be packed */
#define TABLE_AWAKE_MAX 1024

enum table_row {
	TABLE_OPEN,   /* by age: the oldest first */
	TABLE_CLOSED, /* by their end */
	TABLE_ALL,    /* by age */
	TABLE_ROWS
};

/* A session's place. It does not move as long as the session is there. */
struct table_entry {
	void *body; /* struct session where it is awake, else struct packed_session */
	uint32_t number; /* this entry's own */
	uint32_t chain;  /* the next with the same hash, or the next that is free; 0: none */
	struct table_link {
		uint32_t prev, next; /* 0: none */
	} links[2]; /* in TABLE_OPEN or TABLE_CLOSED, and in TABLE_ALL */
	uint8_t row; /* TABLE_OPEN or TABLE_CLOSED */
	bool awake;
	bool unseen;  /* session.c's: it is over, and the hooks have seen none of its bytes */
	uint16_t slot; /* in table.awake, if that is this entry's number */
};

/* All zero is an empty one. */
struct table {
	uint64_t seed; /* for the caller to set, while the table is empty: what decides the bucket, and nobody can know */
	uint32_t *buckets;
	unsigned bucket_count; /* a power of two */
	struct table_entry **blocks; /* the entries, by number */
	unsigned block_count;
	uint32_t free; /* the first entry that is; 0: none */
	struct table_ends {
		uint32_t first, last, count;
	} rows[TABLE_ROWS];
	uint32_t awake[TABLE_AWAKE_MAX]; /* in turn; 0: nobody */
	unsigned turn;
	unsigned awake_max; /* so many are; for the caller to set, while the table is empty. 0: TABLE_AWAKE */
	struct shared_texts texts;
};

/* Frees all that is in it, and makes it empty. */
void table_clear(struct table *table);
/* Puts a new session called id into the row of the open ones. NULL without memory. */
struct session *table_add(struct table *table, uint64_t id);
/* NULL: there is none. */
struct table_entry *table_find(const struct table *table, uint64_t id);
/* The first of a row, and the next by age. NULL: there is none. */
struct table_entry *table_first(const struct table *table, enum table_row row);
struct table_entry *table_newer(const struct table *table, const struct table_entry *entry);
unsigned table_count(const struct table *table, enum table_row row);
/*
 * The entry's session, awake; NULL without memory. It stays so until so many others have been woken or added: then
 * it is packed, and the pointer is good no more.
 */
struct session *table_wake(struct table *table, struct table_entry *entry);
/* Moves an entry to the end of the row of the closed ones. */
void table_close(struct table *table, struct table_entry *entry);
void table_remove(struct table *table, struct table_entry *entry);

#endif
