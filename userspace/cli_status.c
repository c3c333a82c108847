/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `smtpward status` and `mode`. */
#include <string.h>
#include <sysexits.h>

#include "cli.h"
#include "cli_client.h"
#include "cli_output.h"

static void line(const char *title, enum colour colour, const char *text)
{
	out_format("%-11s", title);
	out_colour(colour, *text ? text : "-");
	out_format("\n");
}

static void status_health(const json_t *answer)
{
	const char *health = member_text(answer, "health");
	json_t *reason;
	size_t index;

	line("health", outcome_colour(health), health);
	json_array_foreach(json_object_get(answer, "reasons"), index, reason) {
		const char *text = json_string_value(reason);
		line("", COLOUR_POOR, text ? text : "");
	}
}

static void status_privileges(const json_t *answer)
{
	const json_t *privileges = json_object_get(answer, "privileges"), *agent = json_object_get(privileges, "agent");
	long long landlock = member_number(agent, "landlock");
	bool seccomp = member_true(agent, "seccomp");
	char text[512];

	snprintf(text, sizeof(text), "agent: uid %lld, capabilities %s, %s, %s", member_number(agent, "uid"),
		 member_text(agent, "capabilities"), landlock ? "Landlock" : "no Landlock", seccomp ? "seccomp" : "no seccomp");
	line("privileges", landlock && seccomp ? COLOUR_NONE : COLOUR_POOR, text);
	snprintf(text, sizeof(text), "monitor: %s", member_text(json_object_get(privileges, "monitor"), "capabilities"));
	line("", COLOUR_NONE, text);
}

static void status_hooks(const json_t *answer)
{
	static const char *const headers[] = { "HOOK", "STATE", "ERROR", NULL };
	struct table *table = table_new(headers);
	json_t *hook;
	size_t index;

	json_array_foreach(json_object_get(answer, "hooks"), index, hook) {
		bool attached = member_true(hook, "attached");
		table_cell(table, COLOUR_NONE, member_text(hook, "name"));
		table_cell(table, attached ? COLOUR_GOOD : COLOUR_BAD, attached ? "attached" : "missing");
		table_cell(table, COLOUR_NONE, member_text(hook, "error"));
	}
	out_format("\n");
	table_print(table);
}

static void status_witness(const json_t *answer)
{
	static const char *const headers[] = { "LIBRARY", "KIND", "VERDICTS", NULL };
	const json_t *witness = json_object_get(answer, "witness");
	struct table *table;
	json_t *library;
	size_t index;

	if (!member_true(witness, "active"))
		return;
	table = table_new(headers);
	json_array_foreach(json_object_get(witness, "libraries"), index, library) {
		bool readable = member_true(library, "readable");
		table_cell(table, COLOUR_NONE, member_text(library, "path"));
		table_cell(table, COLOUR_NONE, member_text(library, "library"));
		table_cell(table, readable ? COLOUR_GOOD : COLOUR_POOR, readable ? "heard" : "certificates only");
	}
	out_format("\n");
	table_print(table);
}

/* One line on whom the witness hears. */
static void status_witness_line(const json_t *answer)
{
	const json_t *witness = json_object_get(answer, "witness"), *sessions = json_object_get(witness, "sessions");
	char text[256];

	if (!member_true(witness, "enabled"))
		snprintf(text, sizeof(text), "switched off");
	else if (!member_true(witness, "active"))
		snprintf(text, sizeof(text), "none: %s", member_text(witness, "error"));
	else
		snprintf(text, sizeof(text), "%zu libraries; TLS sessions with a witness %lld, without %lld%s",
			 json_array_size(json_object_get(witness, "libraries")), member_number(sessions, "with"),
			 member_number(sessions, "without"), member_true(witness, "outlives_agent") ? "; outlives the agent" : "");
	line("witness", member_true(witness, "enabled") && !member_true(witness, "active") ? COLOUR_BAD : COLOUR_NONE, text);
}

/* The numbers of an object, one a row. */
static void status_numbers(const char *title, json_t *object)
{
	const char *headers[] = { title, "COUNT", NULL };
	struct table *table = table_new(headers);
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		if (!json_is_integer(value))
			continue;
		table_cell(table, COLOUR_NONE, key);
		table_number(table, json_integer_value(value));
	}
	out_format("\n");
	table_print(table);
}

static void status_sinks(const json_t *answer)
{
	static const char *const headers[] = { "SINK", "WRITTEN", "DROPPED", "QUEUED", "ERROR", NULL };
	struct table *table = table_new(headers);
	json_t *sink;
	size_t index;

	json_array_foreach(json_object_get(answer, "sinks"), index, sink) {
		table_cell(table, COLOUR_NONE, member_text(sink, "name"));
		table_number(table, member_number(sink, "written"));
		table_number(table, member_number(sink, "dropped"));
		table_number(table, member_number(sink, "queued"));
		table_cell(table, COLOUR_POOR, member_text(sink, "error"));
	}
	out_format("\n");
	table_print(table);
}

static void status_print(const json_t *answer)
{
	const json_t *sessions = json_object_get(answer, "sessions");
	char text[128], time[40];

	snprintf(text, sizeof(text), "%s, pid %lld", member_text(answer, "version"), member_number(answer, "pid"));
	line("smtpwardd", COLOUR_NONE, text);
	line("mode", COLOUR_HEAD, member_text(answer, "mode"));
	status_health(answer);
	line("started", COLOUR_NONE, local_time(member_text(answer, "started"), time, sizeof(time)));
	line("cgroup", COLOUR_NONE, member_text(answer, "cgroup"));
	snprintf(text, sizeof(text), "%lld open, %lld closed and kept", member_number(sessions, "open"),
		 member_number(sessions, "closed"));
	line("sessions", COLOUR_NONE, text);
	status_witness_line(answer);
	status_privileges(answer);
	status_hooks(answer);
	status_witness(answer);
	status_numbers("KERNEL", json_object_get(json_object_get(answer, "counters"), "kernel"));
	status_numbers("AGENT", json_object_get(json_object_get(answer, "counters"), "agent"));
	status_numbers("HOLD", json_object_get(answer, "holds"));
	status_numbers("RING", json_object_get(answer, "ring"));
	status_sinks(answer);
}

int cli_status(struct cli *cli, int argc, char **argv)
{
	json_t *answer;
	int result;

	(void)argv;
	if (argc > 1)
		return cli_usage("status takes no argument");
	result = cli_request(cli, json_pack("{s:s}", "command", "status"), &answer);
	if (result)
		return result;
	if (cli->json)
		out_json(answer);
	else
		status_print(answer);
	json_decref(answer);
	return EX_OK;
}

int cli_mode(struct cli *cli, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "command", "mode"), *answer;
	int result;

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "monitor") && strcmp(argv[1], "block"))) {
		json_decref(request);
		return cli_usage("mode takes monitor or block, or nothing to show it");
	}
	if (argc == 2)
		json_object_set_new(request, "set", json_string(argv[1]));
	result = cli_request(cli, request, &answer);
	if (result)
		return result;
	if (cli->json) {
		out_json(answer);
	} else {
		out_text(member_text(answer, "mode"));
		out_format("\n");
	}
	json_decref(answer);
	return EX_OK;
}
