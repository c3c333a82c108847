/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Requests: their form, who may make them, and the short ones. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "config.h"
#include "control_connection.h"
#include "monitor.h"

static void mode(struct connection *connection, const json_t *request);
static void policy_reload(struct connection *connection, const json_t *request);
static void version(struct connection *connection, const json_t *request);
static void watch(struct connection *connection, const json_t *request);

static const struct {
	const char *name;
	void (*run)(struct connection *connection, const json_t *request);
	const char *keys;    /* that a request may have, besides "command" */
	const char *changes; /* a request with this key, or any where it is "", changes something: for administrators */
} commands[] = {
	{ "status", control_status, "", NULL },
	{ "sessions", control_sessions, "since outcome to pid open limit", NULL },
	{ "findings", control_findings, "", NULL },
	{ "watch", watch, "", NULL },
	{ "mode", mode, "set", "set" },
	{ "policy-list", control_policy_list, "", NULL },
	{ "policy-test", control_policy_test, "address port user cgroup", NULL },
	{ "policy-reload", policy_reload, "", "" },
	{ "version", version, "", NULL },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

int request_number(struct connection *connection, const json_t *request, const char *key, json_int_t minimum,
		   json_int_t maximum, json_int_t *number)
{
	const json_t *value = json_object_get(request, key);

	if (!value)
		return 0;
	*number = json_integer_value(value);
	if (json_is_integer(value) && *number >= minimum && *number <= maximum)
		return 1;
	connection_error(connection, "bad-argument",
			 "\"%s\" is a whole number from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT, key, minimum,
			 maximum);
	return -1;
}

int request_text(struct connection *connection, const json_t *request, const char *key, const char **text)
{
	const json_t *value = json_object_get(request, key);

	if (!value)
		return 0;
	*text = json_string_value(value);
	if (*text && **text)
		return 1; /* the JSON parser takes no NUL in a string */
	connection_error(connection, "bad-argument", "\"%s\" is a string that is not empty", key);
	return -1;
}

static void mode(struct connection *connection, const json_t *request)
{
	struct agent *agent = connection->agent;
	const char *name = NULL;
	int wanted, result;

	if (request_text(connection, request, "set", &name) < 0)
		return;
	if (name) {
		wanted = !strcmp(name, "monitor") ? MODE_MONITOR : !strcmp(name, "block") ? MODE_BLOCK : -1;
		if (wanted < 0) {
			connection_error(connection, "bad-argument", "the mode is monitor or block, not \"%s\"", name);
			return;
		}
		result = agent_set_mode(agent, wanted);
		if (result) {
			connection_error(connection, "failed", "the mode could not be set: %s", strerror(-result));
			return;
		}
	}
	connection_answer(connection, json_pack("{s:s}", "mode",
						monitor_mode(agent->monitor) == MODE_BLOCK ? "block" : "monitor"));
}

static void policy_reload(struct connection *connection, const json_t *request)
{
	char message[512] = "";

	(void)request;
	if (agent_reload(connection->agent, message, sizeof(message)))
		connection_error(connection, "config", "%s", message);
	else
		connection_answer(connection, json_pack("{s:I,s:s}", "rules", (json_int_t)connection->agent->config->rule_count,
							"message", message));
}

static void version(struct connection *connection, const json_t *request)
{
	(void)request;
	connection_answer(connection, json_pack("{s:s}", "version", SMTPWARD_VERSION));
}

static void watch(struct connection *connection, const json_t *request)
{
	(void)request;
	connection_watch(connection);
	connection_answer(connection, json_pack("{s:b}", "watching", 1));
}

/* Whether key is one of the words. */
static bool key_is_allowed(const char *words, const char *key)
{
	size_t length = strlen(key);

	while (*words) {
		size_t word = strcspn(words, " ");
		if (word == length && !strncmp(words, key, length))
			return true;
		words += word;
		words += *words == ' ';
	}
	return false;
}

/* A misspelt filter would answer more than was asked for. */
static bool keys_are_known(struct connection *connection, json_t *request, const char *name, const char *allowed)
{
	const char *key;
	json_t *value;

	json_object_foreach(request, key, value) {
		if (!strcmp(key, "command") || key_is_allowed(allowed, key))
			continue;
		connection_error(connection, "bad-argument", "%s takes no \"%s\"", name, key);
		return false;
	}
	return true;
}

static bool may_run(const struct connection *connection, const json_t *request, const char *changes)
{
	return !changes || (*changes && !json_object_get(request, changes)) || connection->admin;
}

static void dispatch(struct connection *connection, json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));

	if (!name) {
		connection_error(connection, "malformed", "a request is a JSON object with a string \"command\"");
		return;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i].name, name))
			continue;
		if (!keys_are_known(connection, request, name, commands[i].keys))
			return;
		if (may_run(connection, request, commands[i].changes))
			commands[i].run(connection, request);
		else
			connection_error(connection, "denied", "only root and the admin group may do this");
		return;
	}
	connection_error(connection, "unknown-command", "there is no command \"%s\"", name);
}

void control_command(struct connection *connection, const char *line, size_t length)
{
	json_error_t error;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);

	if (request)
		dispatch(connection, request);
	else
		connection_error(connection, "malformed", "not JSON at character %d", error.position);
	json_decref(request);
}
