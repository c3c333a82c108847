/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `smtpward policy list`, `test` and `reload`. */
#include <getopt.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sysexits.h>

#include "cli.h"
#include "cli_client.h"
#include "cli_output.h"

static void port_cell(struct table *table, const json_t *rule)
{
	if (json_is_integer(json_object_get(rule, "port")))
		table_number(table, member_number(rule, "port"));
	else
		table_cell(table, COLOUR_NONE, "any");
}

/* "verified smtp.example.com, TLS 1.2" */
static const char *demand(const json_t *rule, char *text, size_t size)
{
	const char *name = member_text(rule, "name"), *min_tls = member_text(rule, "min_tls");

	snprintf(text, size, "%s%s%s%s%s", member_text(rule, "require"), *name ? " " : "", name, *min_tls ? ", TLS " : "", min_tls);
	return text;
}

static void rule_row(struct table *table, const json_t *rule)
{
	const char *user = member_text(rule, "user"), *cgroup = member_text(rule, "cgroup");
	char until[40], text[320];

	table_number(table, member_number(rule, "rule"));
	table_cell(table, COLOUR_NONE, member_text(rule, "to"));
	port_cell(table, rule);
	table_cell(table, COLOUR_NONE, *user ? user : cgroup);
	table_cell(table, COLOUR_NONE, demand(rule, text, sizeof(text)));
	table_cell(table, COLOUR_NONE, member_text(rule, "action"));
	table_cell(table, member_true(rule, "ended") ? COLOUR_POOR : COLOUR_NONE,
		   member_true(rule, "ended") ? "ended" : local_time(member_text(rule, "until"), until, sizeof(until)));
	table_cell(table, COLOUR_NONE, member_text(rule, "reason"));
}

static void list_print(const json_t *answer)
{
	static const char *const headers[] = { "RULE",	 "TO",	   "PORT",  "SENDER", "REQUIRE",
					       "ACTION", "UNTIL", "REASON", NULL };
	struct table *table = table_new(headers);
	json_t *rule;
	size_t index;

	out_format("mode ");
	out_colour(COLOUR_HEAD, member_text(answer, "mode"));
	out_format("\n\n");
	json_array_foreach(json_object_get(answer, "rules"), index, rule)
		rule_row(table, rule);
	table_print(table);
}

static void test_print(const json_t *answer)
{
	const json_t *rule = json_object_get(answer, "rule");
	const char *reason = member_text(rule, "reason");
	char text[320];

	out_text(member_text(answer, "cleartext"));
	if (member_number(rule, "rule")) {
		out_format(": rule %lld, to ", member_number(rule, "rule"));
		out_text(member_text(rule, "to"));
		out_format(", requires ");
	} else {
		out_format(": the default requires ");
	}
	out_text(demand(rule, text, sizeof(text)));
	out_format(", action ");
	out_text(member_text(rule, "action"));
	out_format(", mode ");
	out_text(member_text(answer, "mode"));
	if (*reason) {
		out_format("; ");
		out_text(reason);
	}
	out_format("\n");
}

static void reload_print(const json_t *answer)
{
	const char *message = member_text(answer, "message");

	if (*message)
		out_text(message);
	else
		out_format("%lld rules are in force", member_number(answer, "rules"));
	out_format("\n");
}

static int policy_ask(const struct cli *cli, json_t *request, void (*print)(const json_t *answer))
{
	json_t *answer;
	int result = cli_request(cli, request, &answer);

	if (result)
		return result;
	if (cli->json)
		out_json(answer);
	else
		print(answer);
	json_decref(answer);
	return EX_OK;
}

/* The agent takes numbers only: a name service that hangs shall hang the CLI, not the agent. */
static int set_user(json_t *request, const char *name)
{
	const struct passwd *user;
	long long uid;
	char text[64];

	if (!cli_number(name, 0, UINT32_MAX, &uid)) {
		user = getpwnam(name);
		if (!user)
			return cli_usage("there is no user \"%s\"", printable(name, text, sizeof(text)));
		uid = user->pw_uid;
	}
	json_object_set_new(request, "user", json_integer(uid));
	return EX_OK;
}

static int test_words(json_t *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "user", required_argument, NULL, 'u' },
		{ "cgroup", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	long long port;
	int option, result = EX_OK;

	while (!result && (option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == 'u')
			result = set_user(request, optarg);
		else if (option == 'c')
			json_object_set_new(request, "cgroup", json_string(optarg));
		else
			result = cli_usage("policy test takes --user USER and --cgroup PATH");
	}
	if (result)
		return result;
	if (argc - optind != 2)
		return cli_usage("policy test takes ADDRESS PORT");
	if (!cli_number(argv[optind + 1], 1, 65535, &port))
		return cli_usage("the port is a number from 1 to 65535");
	json_object_set_new(request, "address", json_string(argv[optind]));
	json_object_set_new(request, "port", json_integer(port));
	return EX_OK;
}

static int policy_test(const struct cli *cli, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "command", "policy-test");
	int result = test_words(request, argc, argv);

	if (result) {
		json_decref(request);
		return result;
	}
	return policy_ask(cli, request, test_print);
}

int cli_policy(struct cli *cli, int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list"))
		return policy_ask(cli, json_pack("{s:s}", "command", "policy-list"), list_print);
	if (argc == 2 && !strcmp(argv[1], "reload"))
		return policy_ask(cli, json_pack("{s:s}", "command", "policy-reload"), reload_print);
	if (argc > 1 && !strcmp(argv[1], "test"))
		return policy_test(cli, argc - 1, argv + 1);
	return cli_usage("policy takes list, test ADDRESS PORT or reload");
}
