/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the agent wants in force: mode, rules and verdicts, each value checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "monitor_server.h"

#define UNUSED (void)server, (void)request, (void)reply, (void)fd

int monitor_do_set_mode(struct monitor_server *server, const struct monitor_set_mode_request *request,
			struct monitor_set_mode_reply *reply, int *fd)
{
	UNUSED;
	if (request->mode != MODE_MONITOR && request->mode != MODE_BLOCK)
		return -EINVAL;
	if (!server->kernel)
		return -ENODEV;
	return kernel_set_mode(server->kernel, (enum policy_mode)request->mode);
}

int monitor_do_set_identity(struct monitor_server *server, const struct monitor_set_identity_request *request,
			    struct monitor_set_identity_reply *reply, int *fd)
{
	UNUSED;
	if (request->identity > IDENTITY_LEFT_OPEN)
		return -EINVAL;
	if (!server->kernel)
		return -ENODEV;
	return kernel_set_identity(server->kernel, request->flow_id, (enum identity)request->identity);
}

/* ---- rules ------------------------------------------------------------------------------------------------ */

static void free_rules(struct config_rule *rules, unsigned count)
{
	for (unsigned i = 0; rules && i < count; i++) {
		free(rules[i].to);
		free(rules[i].user);
		free(rules[i].cgroup);
		free(rules[i].name);
		free(rules[i].reason);
	}
	free(rules);
}

void monitor_server_clear(struct monitor_server *server)
{
	free_rules(server->staged, server->staged_count);
	server->staged = NULL;
	server->staged_count = server->staged_size = 0;
}

static bool is_rule(const struct policy_rule *rule)
{
	static const struct policy_rule zero;
	return rule->require <= REQUIRE_VERIFIED && rule->action <= ACTION_BLOCK && rule->unknown <= DOUBT_BLOCK &&
	       rule->undecided <= DOUBT_BLOCK && (rule->min_tls == 0 || (rule->min_tls >= 0x0301 && rule->min_tls <= 0x0304)) &&
	       rule->id <= POLICY_MAX_RULES && memcmp(rule->reserved, zero.reserved, sizeof(zero.reserved)) == 0;
}

/* A path below the cgroup root, which no ".." leads out of. */
static bool is_cgroup(const char *path, size_t size)
{
	return memchr(path, 0, size) && !strstr(path, "/../") && strncmp(path, "../", 3) != 0 && strcmp(path, "..") != 0 &&
	       (strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
}

int monitor_do_policy_begin(struct monitor_server *server, const struct monitor_policy_begin_request *request,
			    struct monitor_policy_begin_reply *reply, int *fd)
{
	UNUSED;
	if (request->count > POLICY_MAX_RULES || !is_rule(&request->fallback))
		return -EINVAL;
	monitor_server_clear(server);
	server->staged = calloc(request->count + 1, sizeof(*server->staged));
	if (!server->staged)
		return -ENOMEM;
	server->staged_size = (unsigned)request->count;
	server->staged_fallback = request->fallback;
	return 0;
}

int monitor_do_policy_rule(struct monitor_server *server, const struct monitor_policy_rule_request *request,
			   struct monitor_policy_rule_reply *reply, int *fd)
{
	UNUSED;
	if (!server->staged || server->staged_count == server->staged_size)
		return -ENOSPC;
	if (!is_rule(&request->rule) || request->key.prefix_length < POLICY_KEY_FIXED_BITS ||
	    request->key.prefix_length > POLICY_KEY_FIXED_BITS + 128 || request->key.reserved != 0 ||
	    request->for_user > 1 || !is_cgroup(request->cgroup, sizeof(request->cgroup)))
		return -EINVAL;
	struct config_rule rule = { .key = request->key, .rule = request->rule, .until = request->until };
	rule.user = request->for_user ? strdup("") : NULL; /* only whether there is one matters here */
	rule.cgroup = request->cgroup[0] ? strdup(request->cgroup) : NULL;
	if ((request->for_user && !rule.user) || (request->cgroup[0] && !rule.cgroup)) {
		free(rule.user);
		free(rule.cgroup);
		return -ENOMEM;
	}
	server->staged[server->staged_count++] = rule;
	return 0;
}

static void exchange_rules(struct monitor_server *server)
{
	struct config *config = server->config;
	const struct policy_rule fallback = config->default_rule;
	struct config_rule *rules = config->rules;
	unsigned count = config->rule_count;
	config->default_rule = server->staged_fallback;
	config->rules = server->staged;
	config->rule_count = server->staged_count;
	server->staged_fallback = fallback;
	server->staged = rules;
	server->staged_count = count;
}

int monitor_do_policy_commit(struct monitor_server *server, const struct monitor_policy_commit_request *request,
			     struct monitor_policy_commit_reply *reply, int *fd)
{
	UNUSED;
	if (!server->staged || server->staged_count != server->staged_size)
		return -EINVAL;
	if (!server->kernel)
		return -ENODEV;
	exchange_rules(server);
	int error = kernel_set_policy(server->kernel, server->config, time(NULL));
	if (error) {
		exchange_rules(server);
		kernel_set_policy(server->kernel, server->config, time(NULL));
	}
	monitor_server_clear(server);
	return error;
}

int monitor_do_policy_again(struct monitor_server *server, const struct monitor_policy_again_request *request,
			    struct monitor_policy_again_reply *reply, int *fd)
{
	UNUSED;
	if (!server->kernel)
		return -ENODEV;
	return kernel_set_policy(server->kernel, server->config, time(NULL));
}
