/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `smtpward read`: sessions out of capture files. Needs no agent and no rights. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "capture.h"
#include "capture_file.h"
#include "capture_options.h"
#include "cli.h"
#include "cli_output.h"
#include "cli_read.h"
#include "cli_servers.h"
#include "session_json.h"

#define FOUND 1      /* exit codes */
#define UNREADABLE 2
#define PROGRESS_PACKETS 4096
#define PROGRESS_AFTER_S 1
#define BAR_WIDTH 40

struct reading {
	const struct cli *cli;
	struct capture *capture;
	struct servers *servers;
	const char *file;
	json_t *files;
	bool several;  /* files */
	bool row_made; /* the first one is */
	bool heading_made; /* of the table */
	bool found;    /* findings */
	bool bar_made; /* on the terminal now */
	time_t bar_time, started;
	time_t row_time; /* that row_time_text tells; many sessions begin in the same second */
	char row_time_text[32];
};

/* ---- progress --------------------------------------------------------------------------------------------- */

static void remove_bar(struct reading *reading)
{
	if (reading->bar_made)
		fputs("\r\033[K", stderr);
	reading->bar_made = false;
}

static void show_progress(struct reading *reading, const struct capture_file *file)
{
	int thousandths = capture_file_progress(file);
	time_t now = time(NULL);
	if (thousandths < 0 || now == reading->bar_time || now < reading->started + PROGRESS_AFTER_S || !isatty(STDERR_FILENO))
		return;
	if (!out_flush())
		return;
	int full = thousandths * BAR_WIDTH / 1000;
	reading->bar_time = now;
	reading->bar_made = true;
	fprintf(stderr, "\r\033[K[%.*s%*s] %3d %%", full, "########################################", BAR_WIDTH - full, "",
		thousandths / 10);
	fflush(stderr);
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static void row_json(struct reading *reading, const struct session *session)
{
	json_t *row = session_json(session);
	char *text;
	if (!row)
		return;
	json_object_set_new(row, "file", text_json(reading->file, SIZE_MAX));
	text = json_dumps(row, JSON_ENSURE_ASCII | JSON_COMPACT);
	out_format("%s%s", reading->row_made ? ",\n" : "", text ? text : "null");
	free(text);
	json_decref(row);
}

/* ---- rows as text: printed as the sessions are over, so columns are as wide as most of their cells ---------- */

struct line {
	char text[1024];
	size_t used;
};

/* Adds a cell of ASCII, and blanks up to the next column. */
static void add_cell(struct line *line, const char *text, unsigned width)
{
	size_t length = strlen(text), room = sizeof(line->text) - 3 - line->used;
	if (length > room)
		length = room;
	memcpy(line->text + line->used, text, length);
	line->used += length;
	for (size_t blanks = length < width ? width - length + 2 : 2; blanks && line->used + 1 < sizeof(line->text); blanks--)
		line->text[line->used++] = ' ';
	line->text[line->used] = 0;
}

/* Prints what was added, and begins again. */
static void print_line(struct line *line)
{
	fputs(line->text, stdout);
	line->used = 0;
	line->text[0] = 0;
}

static void add_time(struct reading *reading, struct line *line, time_t time)
{
	struct tm broken;
	if (!reading->row_time_text[0] || time != reading->row_time) {
		reading->row_time = time;
		reading->row_time_text[0] = 0;
		if (localtime_r(&time, &broken))
			strftime(reading->row_time_text, sizeof(reading->row_time_text), "%Y-%m-%d %H:%M:%S", &broken);
	}
	add_cell(line, reading->row_time_text, 19);
}

static void add_endpoint(struct line *line, const uint8_t address[16], unsigned port)
{
	char text[ADDRESS_TEXT_SIZE], cell[ADDRESS_TEXT_SIZE + 10];
	address_text(address, text);
	snprintf(cell, sizeof(cell), strchr(text, ':') ? "[%s]:%u" : "%s:%u", text, port);
	add_cell(line, cell, 21);
}

static void add_findings(struct line *line, const struct judgement *judgement)
{
	uint32_t left = judgement->findings;
	for (unsigned i = 0; left; i++, left >>= 1)
		if (left & 1) {
			add_cell(line, finding_name((enum finding)i), 0);
			line->text[--line->used] = 0; /* one blank between them is enough */
		}
	if (!judgement->findings)
		add_cell(line, judgement->unknown_reason ? judgement->unknown_reason : "-", 0);
	while (line->used && line->text[line->used - 1] == ' ')
		line->used--;
	line->text[line->used] = 0;
}

static void row_text(struct reading *reading, const struct session *session)
{
	const struct judgement *judgement = &session->judgement;
	const char *outcome = outcome_name(judgement->outcome);
	struct line line = { .used = 0 };
	char id[SESSION_ID_TEXT_SIZE];
	if (!reading->heading_made)
		out_format("%-16s  %-19s  %-10s  %-21s  %-21s  %-12s  %s\n", "SESSION", "OPENED", "OUTCOME", "CLIENT", "SERVER",
			   "ACCOUNT", "FINDINGS");
	reading->heading_made = true;
	add_cell(&line, session_id_text(session->id, id), 16);
	add_time(reading, &line, session->opened.tv_sec);
	print_line(&line);
	out_colour(outcome_colour(outcome), outcome);
	add_cell(&line, "", (unsigned)(strlen(outcome) < 10 ? 10 - strlen(outcome) : 0));
	add_endpoint(&line, session->last.client_address, session->last.client_port);
	add_endpoint(&line, session->last.server_address, session->last.server_port);
	if (session->account) {
		json_t *account = text_json(session->account, SIZE_MAX); /* escaped */
		add_cell(&line, json_is_string(account) ? json_string_value(account) : "-", 12);
		json_decref(account);
	} else {
		add_cell(&line, "-", 12);
	}
	add_findings(&line, judgement);
	print_line(&line);
	putchar('\n');
}

static void take_session(void *context, const struct session *session)
{
	struct reading *reading = context;
	remove_bar(reading);
	reading->found |= session->judgement.findings != 0;
	servers_add(reading->servers, session);
	if (reading->cli->json)
		row_json(reading, session);
	else
		row_text(reading, session);
	reading->row_made = true;
}

/* ---- files ------------------------------------------------------------------------------------------------ */

static void say_unreadable(const struct reading *reading, const char *error)
{
	char name[256];
	fprintf(stderr, "smtpward: %s: %s\n", printable(reading->file, name, sizeof(name)), error);
}

/* What became of a file, with the counts since those before it. */
static json_t *file_json(const struct reading *reading, const char *link, const struct capture_counts *before,
			 const struct order_counts *order_before, const struct fragment_counts *fragments_before, const char *error)
{
	const struct fragment_counts *fragments = capture_fragment_counts(reading->capture);
	const struct capture_counts *counts = capture_counts(reading->capture);
	const struct order_counts *order = capture_order_counts(reading->capture);
#define SINCE(field) ((json_int_t)(counts->field - before->field))
#define ORDER_SINCE(field) ((json_int_t)(order->field - order_before->field))
	const struct {
		const char *key;
		json_int_t count;
	} numbers[] = {
		{ "packets", SINCE(packets) },
		{ "packets_tcp", SINCE(tcp) },
		{ "packets_malformed", SINCE(malformed) },
		{ "fragments", (json_int_t)(fragments->fragments - fragments_before->fragments) },
		{ "packets_fragmented_lost", (json_int_t)(fragments->lost - fragments_before->lost) },
		{ "sessions", SINCE(sessions) },
		{ "sessions_midway", SINCE(midway) },
		{ "flows_idle", SINCE(idle) },
		{ "flows_evicted", SINCE(evicted) },
		{ "segments_repeated", ORDER_SINCE(repeated) },
		{ "segments_conflicting", ORDER_SINCE(conflicting) },
		{ "segments_early", ORDER_SINCE(early) },
		{ "gaps", ORDER_SINCE(gaps) },
		{ "gaps_by_limit", ORDER_SINCE(limited) },
	};
	json_t *object = json_pack("{s:o,s:o,s:o}", "file", text_json(reading->file, SIZE_MAX), "error",
				   error ? text_json(error, SIZE_MAX) : json_null(), "link_type", link ? json_string(link) : json_null());
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_object_set_new(object, numbers[i].key, json_integer(numbers[i].count));
	return object;
#undef SINCE
#undef ORDER_SINCE
}

static void say_losses(const json_t *file)
{
	static const struct {
		const char *key, *text;
	} losses[] = {
		{ "gaps", "gaps in flows" },
		{ "packets_fragmented_lost", "IP packets of which a fragment is missing" },
		{ "segments_conflicting", "segments that were sent again with other bytes" },
		{ "packets_malformed", "packets that are malformed or cut too short" },
		{ "flows_evicted", "flows given up, since too many were open" },
	};
	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		long long count = member_number(file, losses[i].key);
		if (count)
			fprintf(stderr, "smtpward: %lld %s\n", count, losses[i].text);
	}
}

/* Returns whether all of the file could be read. */
static bool read_file(struct reading *reading)
{
	const struct capture_counts before = *capture_counts(reading->capture);
	const struct order_counts order_before = *capture_order_counts(reading->capture);
	const struct fragment_counts fragments_before = *capture_fragment_counts(reading->capture);
	char error[CAPTURE_ERROR_SIZE], link[32] = "";
	struct capture_packet packet;
	unsigned count = 0;
	int result = -1;
	struct capture_file *file = capture_file_open(reading->file, error);

	if (file) {
		snprintf(link, sizeof(link), "%s", capture_file_link_name(file));
		while ((result = capture_file_next(file, &packet, error)) > 0) {
			capture_take(reading->capture, capture_file_link_type(file), packet.bytes, packet.captured, packet.length,
				     packet.time_ns);
			if (++count % PROGRESS_PACKETS == 0)
				show_progress(reading, file);
		}
		capture_end(reading->capture);
		capture_file_close(file);
	}
	remove_bar(reading);
	json_t *about = file_json(reading, file ? link : NULL, &before, &order_before, &fragments_before, result < 0 ? error : NULL);
	if (result < 0) {
		out_flush();
		say_unreadable(reading, error);
	}
	if (!reading->cli->json)
		say_losses(about);
	json_array_append_new(reading->files, about);
	return result >= 0;
}

static bool read_files(struct reading *reading, char **files)
{
	bool good = true;
	char name[256];
	for (; *files; files++) {
		reading->file = *files;
		if (reading->several && !reading->cli->json) {
			out_format("%s%s:\n", reading->row_made ? "\n" : "", printable(*files, name, sizeof(name)));
			reading->heading_made = false;
		}
		good &= read_file(reading);
	}
	return good;
}

static int read_all(struct reading *reading, char **files)
{
	bool good;
	if (reading->cli->json)
		out_format("{\"sessions\":[");
	good = read_files(reading, files);
	if (reading->cli->json) {
		json_t *servers = servers_json(reading->servers);
		out_format("],\n\"servers\":");
		out_json(servers);
		out_format(",\"files\":");
		out_json(reading->files);
		out_format("}\n");
		json_decref(servers);
	} else if (reading->row_made) {
		out_format("\n");
		servers_print(reading->servers);
	}
	return !good ? UNREADABLE : reading->found ? FOUND : EX_OK;
}

/* ---- the command ------------------------------------------------------------------------------------------ */

int cli_read_option(struct capture_settings *settings, int option, const char *value)
{
	switch (option) {
	case 'p':
		if (!capture_parse_ports(value, settings))
			return cli_usage("--ports takes numbers with commas between them, such as 25,587,10465/tls");
		return EX_OK;
	case 'a':
		settings->any_port = true;
		return EX_OK;
	case 'c':
		settings->trust = value;
		return EX_OK;
	default:
		return -1;
	}
}

int cli_read(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { CLI_READ_OPTIONS, { NULL, 0, NULL, 0 } };
	struct capture_settings settings = { .any_port = false };
	struct reading reading = { .cli = cli, .started = time(NULL) };
	char error[256];
	int option, result = EX_OK;

	capture_default_ports(&settings);
	while (!result && (option = getopt_long(argc, argv, "+:", options, NULL)) != -1)
		result = cli_read_option(&settings, option, optarg);
	if (result < 0)
		result = cli_usage("read takes --ports LIST, --any-port, --ca FILE and capture files; - is standard input");
	if (!result && optind >= argc)
		result = cli_usage("which capture file? - is standard input");
	if (result)
		return result;
	reading.several = argc - optind > 1;
	reading.files = json_array();
	reading.servers = servers_new();
	reading.capture = capture_restrict(false, error, sizeof(error)) ? capture_new(&settings, take_session, &reading, error, sizeof(error))
								       : NULL;
	if (reading.capture && reading.servers) {
		result = read_all(&reading, argv + optind);
	} else {
		fprintf(stderr, "smtpward: %s\n", error);
		result = EX_OSERR;
	}
	capture_free(reading.capture);
	servers_free(reading.servers);
	json_decref(reading.files);
	return result;
}
