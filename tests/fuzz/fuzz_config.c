/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the configuration. The input is the file. It is taken whole or refused with one line that can be printed; what
 * is taken keeps to the limits that the rest of the agent relies on, and a second reading gives the same.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"
#include "fuzz.h"

#define ERROR_SIZE 512

static void check_line(const char *error)
{
	REQUIRE(strlen(error) > 0 && strlen(error) < ERROR_SIZE);
	for (const char *c = error; *c; c++)
		REQUIRE((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_rule(const struct config_rule *rule, unsigned id)
{
	REQUIRE(rule->rule.id == id && rule->to);
	REQUIRE(rule->rule.require <= REQUIRE_VERIFIED && rule->rule.action <= ACTION_BLOCK);
	REQUIRE(rule->rule.unknown <= DOUBT_BLOCK && rule->rule.undecided <= DOUBT_BLOCK);
	REQUIRE(rule->key.prefix_length >= POLICY_KEY_FIXED_BITS && rule->key.prefix_length <= POLICY_KEY_FIXED_BITS + 128);
	REQUIRE(rule->key.reserved == 0 && !(rule->user && rule->cgroup));
	REQUIRE((rule->rule.name_hash != 0) == (rule->name != NULL));
}

static void check(const struct config *config)
{
	REQUIRE(config->mode == MODE_MONITOR || config->mode == MODE_BLOCK);
	REQUIRE(config->port_count > 0 && config->port_count <= PORTS_MAX);
	for (unsigned i = 0; i < config->port_count; i++)
		REQUIRE(config->ports[i].number != 0);
	REQUIRE(config->rule_count <= POLICY_MAX_RULES);
	for (unsigned i = 0; i < config->rule_count; i++)
		check_rule(&config->rules[i], i + 1);
	REQUIRE(config->control_socket && config->control_socket[0] == '/');
	REQUIRE(config->syslog.socket && config->syslog.prefix && config->metrics.address);
	REQUIRE(config->sessions.open_max > 0);
	REQUIRE(config->alerts.minimum < SEVERITY_COUNT);
	REQUIRE(config->identity.hold_s > 0);
}

static void check_same(const struct config *a, const struct config *b)
{
	REQUIRE(a->mode == b->mode && a->port_count == b->port_count && a->rule_count == b->rule_count);
	REQUIRE(memcmp(a->ports, b->ports, sizeof(a->ports)) == 0);
	for (unsigned i = 0; i < a->rule_count; i++) {
		REQUIRE(memcmp(&a->rules[i].key, &b->rules[i].key, sizeof(a->rules[i].key)) == 0);
		REQUIRE(memcmp(&a->rules[i].rule, &b->rules[i].rule, sizeof(a->rules[i].rule)) == 0);
		REQUIRE(a->rules[i].until == b->rules[i].until);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	char error[ERROR_SIZE], again[ERROR_SIZE];

	if (fd < 0) {
		fd = memfd_create("config", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	REQUIRE(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	struct config *config = config_load(path, error, sizeof(error));
	struct config *second = config_load(path, again, sizeof(again));
	REQUIRE((config != NULL) == (second != NULL));
	if (config) {
		check(config);
		check_same(config, second);
	} else {
		check_line(error);
		REQUIRE(strcmp(error, again) == 0);
	}
	config_free(config);
	config_free(second);
	return 0;
}
