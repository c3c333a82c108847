/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Everything the CLI writes to standard output goes through here: nothing unprintable gets past. */
#ifndef SMTPWARD_CLI_OUTPUT_H
#define SMTPWARD_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_POOR, COLOUR_BAD, COLOUR_FAINT, COLOUR_HEAD };

#define TABLE_COLUMNS_MAX 10

/* A table for people: columns as wide as their cells, the last one cut at the terminal's edge. */
struct table;

/* Columns are named by headers, ended by NULL. Returns NULL without memory; every table_*() takes that. */
struct table *table_new(const char *const *headers);
/* Adds the row's next cell, whose text is copied; NULL or "" prints as "-". A row ends by itself. */
void table_cell(struct table *table, enum colour colour, const char *text);
void table_number(struct table *table, long long number);
/* Prints and frees. */
void table_print(struct table *table);

/* Copies text as far as it fits, with everything that is not printable ASCII or printable UTF-8 as \xNN. Returns out. */
const char *printable(const char *text, char *out, size_t size);
/* Writes text, made printable in the same way. */
void out_text(const char *text);
void out_colour(enum colour colour, const char *text);
/* printf for texts of our own; arguments from elsewhere go through out_text(). */
void out_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Writes a paragraph, broken at the terminal's width and indented. */
void out_paragraph(unsigned indent, const char *text);
/* Writes one line of JSON, all of it ASCII. */
void out_json(const json_t *value);
/* Sends what is buffered on its way; returns false if the reader has gone or the disk is full. */
bool out_flush(void);
/* Ends the output: returns EX_OK, also where the reader has gone, or EX_IOERR after a message. */
int out_finish(void);

/* Members of an object; "" , 0 or false where absent or of another type. */
const char *member_text(const json_t *object, const char *key);
long long member_number(const json_t *object, const char *key);
bool member_true(const json_t *object, const char *key);

enum colour outcome_colour(const char *outcome);
/* Writes an RFC 3339 time as local time, without a date if it is today's. Returns text; "" for "". */
const char *local_time(const char *rfc3339, char *text, size_t size);

#endif
