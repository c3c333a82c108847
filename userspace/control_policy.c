/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy shown and tried. The lookup is the kernel's (bpf/decide.h), made again over the configuration. */
#include <string.h>
#include <time.h>

#include "address.h"
#include "agent.h"
#include "config.h"
#include "control_connection.h"
#include "kernel.h"
#include "session_json.h"

static const char *const require_names[] = {
	[REQUIRE_NONE] = "none",
	[REQUIRE_ENCRYPTED] = "encrypted",
	[REQUIRE_VERIFIED] = "verified",
};

static json_t *mode_json(const struct connection *connection)
{
	return json_string(kernel_mode(connection->agent->kernel) == MODE_BLOCK ? "block" : "monitor");
}

static json_t *until_json(int64_t until)
{
	const struct timespec time = { .tv_sec = until };
	return time_json(&time);
}

static bool has_ended(const struct config_rule *rule, int64_t now)
{
	return rule->until && rule->until <= now;
}

/* rule is NULL for the default. */
static json_t *rule_json(const struct config_rule *rule, const struct policy_rule *effect)
{
	const char *to = rule ? rule->to : "default";
	unsigned port = rule ? rule->key.port : 0;

	return json_pack("{s:I,s:o,s:o,s:o,s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:b}", "rule", (json_int_t)effect->id, "to",
			 text_json(to, SIZE_MAX), "port", port ? json_integer(port) : json_null(), "user",
			 text_json(rule ? rule->user : NULL, SIZE_MAX), "cgroup",
			 text_json(rule ? rule->cgroup : NULL, SIZE_MAX), "require", require_names[effect->require],
			 "action", effect->action == ACTION_BLOCK ? "block" : "monitor", "unknown",
			 effect->unknown == DOUBT_BLOCK ? "block" : "pass", "undecided",
			 effect->undecided == DOUBT_BLOCK ? "block" : "pass", "reason",
			 text_json(rule ? rule->reason : NULL, SIZE_MAX), "until", until_json(rule ? rule->until : 0),
			 "ended", rule && has_ended(rule, time(NULL)));
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

/* The flow that is tried. */
struct trial {
	__u8 address[16];
	json_int_t port;
	json_int_t uid;     /* -1: none given */
	const char *cgroup; /* or NULL */
	int64_t now;
};

/* The same path, with or without slashes at its ends. */
static bool same_path(const char *a, const char *b)
{
	size_t length;

	a += strspn(a, "/");
	b += strspn(b, "/");
	for (length = strlen(a); length && a[length - 1] == '/'; length--)
		;
	return !strncmp(a, b, length) && strspn(b + length, "/") == strlen(b + length);
}

static bool address_matches(const struct policy_key *key, const __u8 address[16])
{
	unsigned bits = key->prefix_length - POLICY_KEY_FIXED_BITS;

	if (memcmp(key->address, address, bits / 8))
		return false;
	return !(bits % 8) || !((key->address[bits / 8] ^ address[bits / 8]) >> (8 - bits % 8));
}

enum scope { SCOPE_CGROUP, SCOPE_USER, SCOPE_ANY, SCOPE_COUNT };

static bool in_scope(const struct config_rule *rule, const struct trial *trial, enum scope scope)
{
	uint64_t user = (uint64_t)rule->key.scope_high << 32 | rule->key.scope_low;

	switch (scope) {
	case SCOPE_CGROUP:
		return rule->cgroup && trial->cgroup && same_path(rule->cgroup, trial->cgroup);
	case SCOPE_USER:
		return rule->user && trial->uid >= 0 && user == POLICY_SCOPE_USER(trial->uid);
	default:
		return !rule->cgroup && !rule->user;
	}
}

/* Whether a is the better match: the longer prefix, and of two alike the one that names the port. */
static bool is_narrower(const struct config_rule *a, const struct config_rule *b)
{
	if (!b || a->key.prefix_length != b->key.prefix_length)
		return !b || a->key.prefix_length > b->key.prefix_length;
	return a->key.port != 0;
}

static const struct config_rule *find_rule(const struct config *config, const struct trial *trial)
{
	const struct config_rule *best = NULL;

	for (int scope = 0; scope < SCOPE_COUNT && !best; scope++)
		for (unsigned i = 0; i < config->rule_count; i++) {
			const struct config_rule *rule = &config->rules[i];
			if (has_ended(rule, trial->now))
				continue;
			if (rule->key.port && rule->key.port != trial->port)
				continue;
			if (in_scope(rule, trial, (enum scope)scope) && address_matches(&rule->key, trial->address) &&
			    is_narrower(rule, best))
				best = rule;
		}
	return best;
}

/* What becomes of AUTH or MAIL in clear. */
static const char *effect_in_clear(const struct policy_rule *rule, bool block_mode)
{
	if (rule->require == REQUIRE_NONE)
		return "pass";
	return block_mode && rule->action == ACTION_BLOCK ? "block" : "would-block";
}

static bool trial_read(struct connection *connection, const json_t *request, struct trial *trial)
{
	const char *address = NULL;
	int found;

	trial->uid = -1;
	trial->now = time(NULL);
	found = request_text(connection, request, "address", &address);
	if (found <= 0 || !address_parse(address, trial->address)) {
		if (found >= 0)
			connection_error(connection, "bad-argument", "\"address\" is an IPv4 or IPv6 address, not \"%s\"",
					 address ? address : "");
		return false;
	}
	found = request_number(connection, request, "port", 1, 65535, &trial->port);
	if (!found)
		connection_error(connection, "bad-argument", "\"port\" is missing");
	return found > 0 && request_number(connection, request, "user", 0, UINT32_MAX, &trial->uid) >= 0 &&
	       request_text(connection, request, "cgroup", &trial->cgroup) >= 0;
}

void control_policy_test(struct connection *connection, const json_t *request)
{
	const struct config *config = connection->agent->config;
	struct trial trial = { 0 };
	const struct config_rule *rule;
	const struct policy_rule *effect;
	char address[ADDRESS_TEXT_SIZE];

	if (!trial_read(connection, request, &trial))
		return;
	rule = find_rule(config, &trial);
	effect = rule ? &rule->rule : &config->default_rule;
	connection_answer(connection,
			  json_pack("{s:s,s:I,s:o,s:o,s:o,s:o,s:s}", "address", address_text(trial.address, address),
				    "port", trial.port, "user", trial.uid >= 0 ? json_integer(trial.uid) : json_null(),
				    "cgroup", text_json(trial.cgroup, SIZE_MAX), "mode", mode_json(connection), "rule",
				    rule_json(rule, effect), "cleartext",
				    effect_in_clear(effect, kernel_mode(connection->agent->kernel) == MODE_BLOCK)));
}
