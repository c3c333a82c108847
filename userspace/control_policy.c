/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy shown and tried. */
#include <time.h>

#include "address.h"
#include "agent.h"
#include "config.h"
#include "control_connection.h"
#include "monitor.h"
#include "policy_lookup.h"
#include "session_json.h"
#include "tls_names.h"

static const char *const require_names[] = {
	[REQUIRE_NONE] = "none",
	[REQUIRE_ENCRYPTED] = "encrypted",
	[REQUIRE_VERIFIED] = "verified",
};

static json_t *mode_json(const struct connection *connection)
{
	return json_string(monitor_mode(connection->agent->monitor) == MODE_BLOCK ? "block" : "monitor");
}

static json_t *until_json(int64_t until)
{
	const struct timespec time = { .tv_sec = until };
	return time_json(&time);
}

/* rule is NULL for the default. */
static json_t *rule_json(const struct config_rule *rule, const struct policy_rule *effect)
{
	const char *to = rule ? rule->to : "default";
	unsigned port = rule ? rule->key.port : 0;
	char version[TLS_NAME_SIZE];

	return json_pack("{s:I,s:o,s:o,s:o,s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:b}", "rule", (json_int_t)effect->id, "to",
			 text_json(to, SIZE_MAX), "port", port ? json_integer(port) : json_null(), "user",
			 text_json(rule ? rule->user : NULL, SIZE_MAX), "cgroup",
			 text_json(rule ? rule->cgroup : NULL, SIZE_MAX), "require", require_names[effect->require],
			 "action", effect->action == ACTION_BLOCK ? "block" : "monitor", "unknown",
			 effect->unknown == DOUBT_BLOCK ? "block" : "pass", "undecided",
			 effect->undecided == DOUBT_BLOCK ? "block" : "pass", "name",
			 text_json(rule ? rule->name : NULL, SIZE_MAX), "min_tls",
			 effect->min_tls ? json_string(tls_version_name(effect->min_tls, version)) : json_null(), "reason",
			 text_json(rule ? rule->reason : NULL, SIZE_MAX), "until", until_json(rule ? rule->until : 0),
			 "ended", rule && policy_rule_has_ended(rule, time(NULL)));
}

void control_policy_list(struct connection *connection, const json_t *request)
{
	const struct config *config = connection->agent->config;
	json_t *list = json_array();

	(void)request;
	for (unsigned i = 0; i < config->rule_count; i++)
		json_array_append_new(list, rule_json(&config->rules[i], &config->rules[i].rule));
	json_array_append_new(list, rule_json(NULL, &config->default_rule));
	connection_answer(connection, json_pack("{s:o,s:o}", "mode", mode_json(connection), "rules", list));
}

/* What becomes of AUTH or MAIL in clear. */
static const char *effect_in_clear(const struct policy_rule *rule, bool block_mode)
{
	if (rule->require == REQUIRE_NONE)
		return "pass";
	return block_mode && rule->action == ACTION_BLOCK ? "block" : "would-block";
}

/* Reads the flow that is tried. */
static bool flow_read(struct connection *connection, const json_t *request, struct policy_flow *flow)
{
	const char *address = NULL;
	json_int_t port, uid = -1;
	int found;

	found = request_text(connection, request, "address", &address);
	if (found <= 0 || !address_parse(address, flow->address)) {
		if (found >= 0)
			connection_error(connection, "bad-argument", "\"address\" is an IPv4 or IPv6 address, not \"%s\"",
					 address ? address : "");
		return false;
	}
	found = request_number(connection, request, "port", 1, 65535, &port);
	if (!found)
		connection_error(connection, "bad-argument", "\"port\" is missing");
	if (found <= 0 || request_number(connection, request, "user", 0, UINT32_MAX, &uid) < 0 ||
	    request_text(connection, request, "cgroup", &flow->cgroup) < 0)
		return false;
	flow->port = (uint16_t)port;
	flow->has_user = uid >= 0;
	flow->uid = (uint32_t)uid;
	return true;
}

void control_policy_test(struct connection *connection, const json_t *request)
{
	const struct config *config = connection->agent->config;
	struct policy_flow flow = { 0 };
	const struct config_rule *rule;
	const struct policy_rule *effect;
	char address[ADDRESS_TEXT_SIZE];

	if (!flow_read(connection, request, &flow))
		return;
	rule = policy_lookup(config, &flow, time(NULL));
	effect = rule ? &rule->rule : &config->default_rule;
	connection_answer(connection,
			  json_pack("{s:s,s:I,s:o,s:o,s:o,s:o,s:s}", "address", address_text(flow.address, address),
				    "port", (json_int_t)flow.port, "user", flow.has_user ? json_integer(flow.uid) : json_null(),
				    "cgroup", text_json(flow.cgroup, SIZE_MAX), "mode", mode_json(connection), "rule",
				    rule_json(rule, effect), "cleartext",
				    effect_in_clear(effect, monitor_mode(connection->agent->monitor) == MODE_BLOCK)));
}
