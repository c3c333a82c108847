/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli_output.h"

#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"

#define WIDTH_DEFAULT 80
#define CELL_MAX 512 /* longest cell that is printed */

static const char *const colour_start[] = {
	[COLOUR_NONE] = "",	     [COLOUR_GOOD] = "\033[32m", [COLOUR_POOR] = "\033[33m",
	[COLOUR_BAD] = "\033[1;31m", [COLOUR_FAINT] = "\033[2m", [COLOUR_HEAD] = "\033[1m",
};

static bool colour_wanted(void)
{
	static int wanted = -1;
	if (wanted < 0) {
		const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
		wanted = isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
	}
	return wanted;
}

/* Columns of the terminal; 0 where there is none, so that nothing is cut in a pipe. */
static unsigned terminal_width(void)
{
	struct winsize size;
	if (!isatty(STDOUT_FILENO))
		return 0;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return WIDTH_DEFAULT;
}

static unsigned columns_of(const char *text)
{
	unsigned columns = 0;
	for (; *text; text++)
		columns += (*text & 0xc0) != 0x80; /* not the second and later bytes of a character */
	return columns;
}

/* The agent has escaped already: a backslash stays one, so that nothing is escaped twice. Returns the columns. */
static unsigned make_printable(const char *text, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	while (*text && used + 1 < size) {
		size_t run = strcspn(text, "\\");
		used += escape_text(out + used, size - used, text, run);
		text += run;
		if (*text == '\\' && used + 1 < size) {
			out[used++] = *text++;
			out[used] = '\0';
		}
	}
	return columns_of(out);
}

const char *printable(const char *text, char *out, size_t size)
{
	make_printable(text, out, size);
	return out;
}

void out_text(const char *text)
{
	size_t size = ESCAPED_SIZE(strlen(text));
	char *out = malloc(size);

	if (!out)
		return;
	fputs(printable(text, out, size), stdout);
	free(out);
}

void out_colour(enum colour colour, const char *text)
{
	bool coloured = colour != COLOUR_NONE && colour_wanted();
	if (coloured)
		fputs(colour_start[colour], stdout);
	out_text(text);
	if (coloured)
		fputs("\033[0m", stdout);
}

void out_format(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
}

void out_paragraph(unsigned indent, const char *text)
{
	unsigned width = terminal_width(), column = 0;

	if (width < indent + 20 || width > 100)
		width = width && width < indent + 20 ? indent + 20 : 80;
	while (*text) {
		unsigned word = (unsigned)strcspn(text, " ");
		if (column && column + 1 + word > width) {
			putchar('\n');
			column = 0;
		}
		if (column)
			putchar(' ');
		else
			printf("%*s", (int)indent, "");
		column += column ? 1 + word : indent + word;
		printf("%.*s", (int)word, text);
		text += word;
		text += strspn(text, " ");
	}
	putchar('\n');
}

void out_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_ENSURE_ASCII | JSON_COMPACT);
	putchar('\n');
}

bool out_flush(void)
{
	return !fflush(stdout) && !ferror(stdout);
}

int out_finish(void)
{
	struct pollfd poll_out = { .fd = STDOUT_FILENO };

	if (out_flush())
		return EX_OK;
	if (poll(&poll_out, 1, 0) == 1 && poll_out.revents & (POLLERR | POLLHUP | POLLNVAL))
		return EX_OK; /* a pipe whose reader has seen enough */
	fputs("smtpward: the output could not be written\n", stderr);
	return EX_IOERR;
}

struct table {
	const char *const *headers;
	unsigned columns;
	unsigned widths[TABLE_COLUMNS_MAX];
	size_t count, room;
	struct cell {
		char *text;
		unsigned width;
		enum colour colour;
	} *cells;
};

struct table *table_new(const char *const *headers)
{
	struct table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->headers = headers;
	while (headers[table->columns] && table->columns < TABLE_COLUMNS_MAX) {
		table->widths[table->columns] = (unsigned)strlen(headers[table->columns]);
		table->columns++;
	}
	return table;
}

void table_cell(struct table *table, enum colour colour, const char *text)
{
	char printable[CELL_MAX];
	struct cell *cell;
	unsigned *width;

	if (!table)
		return;
	if (table->count == table->room) {
		size_t room = table->room ? table->room * 2 : 64;
		struct cell *cells = reallocarray(table->cells, room, sizeof(*cells));
		if (!cells)
			return;
		table->cells = cells;
		table->room = room;
	}
	width = &table->widths[table->count % table->columns];
	cell = &table->cells[table->count];
	cell->width = make_printable(text && *text ? text : "-", printable, sizeof(printable));
	cell->colour = colour;
	cell->text = strdup(printable);
	if (!cell->text)
		return;
	table->count++;
	if (cell->width > *width)
		*width = cell->width;
}

void table_number(struct table *table, long long number)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", number);
	table_cell(table, COLOUR_NONE, text);
}

/* Cuts a cell to width columns, the last of them a sign that something is missing. */
static void cell_cut(struct cell *cell, unsigned width)
{
	char *next = cell->text;
	if (cell->width <= width || width < 2)
		return;
	for (unsigned column = 0; column + 1 < width; column++)
		do
			next++;
		while ((*next & 0xc0) == 0x80);
	strcpy(next, "+");
	cell->width = width;
}

static void row_print(const struct table *table, struct cell *cells, unsigned terminal)
{
	unsigned column = 0;
	for (unsigned i = 0; i < table->columns; i++) {
		bool last = i + 1 == table->columns;
		if (last && terminal > column + 8)
			cell_cut(&cells[i], terminal - column);
		out_colour(cells[i].colour, cells[i].text);
		if (last)
			break;
		printf("%*s", (int)(table->widths[i] - cells[i].width + 2), "");
		column += table->widths[i] + 2;
	}
	putchar('\n');
}

void table_print(struct table *table)
{
	struct cell heads[TABLE_COLUMNS_MAX];
	char texts[TABLE_COLUMNS_MAX][32];
	unsigned terminal = terminal_width();

	if (!table)
		return;
	for (unsigned i = 0; i < table->columns; i++) {
		snprintf(texts[i], sizeof(texts[i]), "%s", table->headers[i]);
		heads[i] = (struct cell){ texts[i], (unsigned)strlen(texts[i]), COLOUR_HEAD };
	}
	row_print(table, heads, terminal);
	for (size_t i = 0; i + table->columns <= table->count; i += table->columns)
		row_print(table, table->cells + i, terminal);
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

const char *member_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

long long member_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool member_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

enum colour outcome_colour(const char *outcome)
{
	static const struct {
		const char *name;
		enum colour colour;
	} colours[] = {
		{ "verified", COLOUR_GOOD }, { "encrypted", COLOUR_GOOD },  { "unverified", COLOUR_POOR },
		{ "failed", COLOUR_POOR },   { "refused", COLOUR_POOR },    { "cleartext", COLOUR_BAD },
		{ "blocked", COLOUR_POOR },  { "critical", COLOUR_BAD },    { "error", COLOUR_BAD },
		{ "warning", COLOUR_POOR },  { "ok", COLOUR_GOOD },	    { "degraded", COLOUR_BAD },
	};
	for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
		if (!strcmp(colours[i].name, outcome))
			return colours[i].colour;
	return COLOUR_NONE;
}

const char *local_time(const char *rfc3339, char *text, size_t size)
{
	struct tm broken = { 0 }, today;
	time_t now = time(NULL), then;

	snprintf(text, size, "%s", rfc3339);
	if (!strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &broken))
		return text;
	then = timegm(&broken);
	if (!localtime_r(&then, &broken) || !localtime_r(&now, &today))
		return text;
	if (broken.tm_year == today.tm_year && broken.tm_yday == today.tm_yday)
		strftime(text, size, "%H:%M:%S", &broken);
	else
		strftime(text, size, "%Y-%m-%d %H:%M:%S", &broken);
	return text;
}
