/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `smtpward sessions`, `findings` and `watch`. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cli.h"
#include "cli_client.h"
#include "cli_output.h"
#include "finding.h"

/* An open session of which nothing can be said yet is open, to people; to programs it is unknown, with a reason. */
static const char *outcome_of(const json_t *session)
{
	const char *reason = member_text(session, "unknown_reason");
	return strcmp(reason, "open") == 0 ? reason : member_text(session, "outcome");
}

/* "192.0.2.1:25", "[2001:db8::1]:25", or "" */
static const char *endpoint(const json_t *object, char *text, size_t size)
{
	const char *address = member_text(object, "address");
	const char *form = strchr(address, ':') ? "[%s]:%lld" : "%s:%lld";

	if (!*address)
		return "";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, size, form, address, member_number(object, "port"));
#pragma GCC diagnostic pop
	return text;
}

static const char *process(const json_t *session, char *text, size_t size)
{
	const json_t *object = json_object_get(session, "process");
	if (member_true(session, "forwarded")) { /* nothing else is known of the sender */
		const char *interface = member_text(session, "interface");
		snprintf(text, size, "%s@%s", member_text(json_object_get(session, "client"), "address"), *interface ? interface : "?");
		return text;
	}
	if (!member_number(object, "pid"))
		return "-";
	snprintf(text, size, "%s[%lld]", member_text(object, "comm"), member_number(object, "pid"));
	return text;
}

/* The findings' ids, separated by blanks. */
static const char *join(const json_t *list, char *text, size_t size)
{
	size_t used = 0, index;
	json_t *item;

	text[0] = '\0';
	json_array_foreach(list, index, item) {
		const char *word = json_string_value(item);
		int length;
		if (!word || used >= size)
			continue;
		length = snprintf(text + used, size - used, "%s%s", used ? " " : "", word);
		used += length > 0 ? (size_t)length : 0;
	}
	return text;
}

static void session_row(struct table *table, const json_t *session)
{
	char text[512];
	const json_t *auth = json_object_get(session, "auth");
	const char *outcome = outcome_of(session);
	bool stopped = member_true(session, "blocked"), would = member_true(session, "would_block");

	table_cell(table, COLOUR_NONE, local_time(member_text(session, "opened"), text, sizeof(text)));
	table_cell(table, outcome_colour(outcome), outcome);
	table_cell(table, COLOUR_NONE, endpoint(json_object_get(session, "server"), text, sizeof(text)));
	table_cell(table, COLOUR_NONE, process(session, text, sizeof(text)));
	table_cell(table, COLOUR_NONE, member_text(auth, "account"));
	table_cell(table, COLOUR_NONE, stopped ? "stopped" : would ? "would" : "");
	table_cell(table, COLOUR_NONE, join(json_object_get(session, "findings"), text, sizeof(text)));
}

/* --since: a duration becomes a number of seconds; anything else is the agent's to read. */
static json_t *since_value(const char *text)
{
	long long seconds;
	return cli_duration(text, &seconds) ? json_integer(seconds) : json_string(text);
}

static int set_number(json_t *request, const char *key, const char *text, long long minimum, long long maximum)
{
	long long number;
	if (!cli_number(text, minimum, maximum, &number))
		return cli_usage("--%s takes a number from %lld to %lld", key, minimum, maximum);
	json_object_set_new(request, key, json_integer(number));
	return EX_OK;
}

static int sessions_option(json_t *request, int option, const char *value)
{
	switch (option) {
	case 's':
		json_object_set_new(request, "since", since_value(value));
		return EX_OK;
	case 'o':
		if (outcome_by_name(value) < 0)
			return cli_usage("--outcome takes verified, encrypted, unverified, cleartext, refused, failed, "
					 "blocked or unknown");
		json_object_set_new(request, "outcome", json_string(value));
		return EX_OK;
	case 't':
		json_object_set_new(request, "to", json_string(value));
		return EX_OK;
	case 'p':
		return set_number(request, "pid", value, 1, 4194304);
	case 'O':
		json_object_set_new(request, "open", json_true());
		return EX_OK;
	case 'l':
		return set_number(request, "limit", value, 1, 10000000);
	default:
		return cli_usage("sessions takes --since TIME, --outcome NAME, --to DESTINATION, --pid PID, --open and "
				 "--limit N");
	}
}

static int sessions_options(json_t *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "since", required_argument, NULL, 's' }, { "outcome", required_argument, NULL, 'o' },
		{ "to", required_argument, NULL, 't' },	   { "pid", required_argument, NULL, 'p' },
		{ "open", no_argument, NULL, 'O' },	   { "limit", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int option, result = EX_OK;

	while (!result && (option = getopt_long(argc, argv, "+:", options, NULL)) != -1)
		result = sessions_option(request, option, optarg);
	if (!result && optind < argc)
		result = cli_usage("sessions takes options only");
	return result;
}

int cli_sessions(struct cli *cli, int argc, char **argv)
{
	static const char *const headers[] = { "OPENED",  "OUTCOME", "SERVER",	"PROCESS",
					       "ACCOUNT", "BLOCK",   "FINDINGS", NULL };
	json_t *request = json_pack("{s:s}", "command", "sessions"), *answer, *session;
	struct table *table;
	size_t index;
	int result = sessions_options(request, argc, argv);

	if (result) {
		json_decref(request);
		return result;
	}
	result = cli_request(cli, request, &answer);
	if (result)
		return result;
	if (cli->json) {
		out_json(answer);
	} else {
		table = table_new(headers);
		json_array_foreach(json_object_get(answer, "sessions"), index, session)
			session_row(table, session);
		table_print(table);
	}
	json_decref(answer);
	return EX_OK;
}

static void finding_row(struct table *table, const json_t *row)
{
	const json_t *destinations = json_object_get(row, "destinations");
	char text[512] = "", one[128], last[40];
	size_t used = 0, index;
	json_t *destination;

	json_array_foreach(destinations, index, destination) {
		int length = snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "",
				      endpoint(destination, one, sizeof(one)));
		used += length > 0 ? (size_t)length : 0;
		if (used >= sizeof(text))
			break;
	}
	table_cell(table, COLOUR_NONE, member_text(row, "finding"));
	table_cell(table, outcome_colour(member_text(row, "severity")), member_text(row, "severity"));
	table_number(table, member_number(row, "sessions"));
	table_cell(table, COLOUR_NONE, local_time(member_text(row, "last"), last, sizeof(last)));
	table_cell(table, COLOUR_NONE, text);
}

int cli_findings(struct cli *cli, int argc, char **argv)
{
	static const char *const headers[] = { "FINDING", "SEVERITY", "SESSIONS", "LAST", "DESTINATIONS", NULL };
	json_t *answer, *row;
	struct table *table;
	size_t index;
	int result;

	(void)argv;
	if (argc > 1)
		return cli_usage("findings takes no argument");
	result = cli_request(cli, json_pack("{s:s}", "command", "findings"), &answer);
	if (result)
		return result;
	if (cli->json) {
		out_json(answer);
	} else {
		table = table_new(headers);
		json_array_foreach(json_object_get(answer, "findings"), index, row)
			finding_row(table, row);
		table_print(table);
	}
	json_decref(answer);
	return EX_OK;
}

static void watch_session(const json_t *session)
{
	const char *outcome = outcome_of(session);
	const char *end = member_text(session, "closed");
	char text[512];

	out_text(local_time(*end ? end : member_text(session, "opened"), text, sizeof(text)));
	out_format(" ");
	out_colour(outcome_colour(outcome), outcome);
	out_format(" ");
	out_text(endpoint(json_object_get(session, "server"), text, sizeof(text)));
	out_format(" ");
	out_text(process(session, text, sizeof(text)));
	out_format(" ");
	out_text(join(json_object_get(session, "findings"), text, sizeof(text)));
	out_format("\n");
}

static void watch_alert(const json_t *alert)
{
	char text[64];

	out_text(local_time(member_text(alert, "time"), text, sizeof(text)));
	out_format(" ");
	out_colour(outcome_colour(member_text(alert, "severity")), member_text(alert, "severity"));
	out_format(" ");
	out_text(member_text(alert, "message"));
	out_format("\n");
}

static bool watch_take(const struct cli *cli, json_t *object)
{
	const json_t *session = json_object_get(object, "session"), *alert = json_object_get(object, "alert");

	if (cli->json && (session || alert))
		out_json(object);
	else if (session)
		watch_session(session);
	else if (alert)
		watch_alert(alert);
	return out_flush();
}

int cli_watch(struct cli *cli, int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return cli_usage("watch takes no argument");
	return cli_follow(cli, json_pack("{s:s}", "command", "watch"), watch_take);
}
