/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules of the policy, from what libcyaml has read. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "address.h"
#include "config_policy.h"
#include "witness.h"

/* "2026-12-31": the end of that day, local time. */
static bool parse_date(const char *text, int64_t *end)
{
	static const char shape[] = "0000-00-00";
	struct tm day = { 0 };
	for (size_t i = 0; i < sizeof(shape); i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';
		if (shape[i] == '0' ? !digit : text[i] != shape[i])
			return false;
	}
	if (!strptime(text, "%Y-%m-%d", &day))
		return false;
	struct tm given = day;
	day.tm_mday++;
	day.tm_isdst = given.tm_isdst = -1;
	*end = mktime(&day);
	int month = given.tm_mon, mday = given.tm_mday;
	mktime(&given);
	return *end != -1 && given.tm_mon == month && given.tm_mday == mday; /* no 30th of February */
}

static bool look_up_user(void *context, const char *name, uint32_t *uid)
{
	const struct passwd *user = getpwnam(name);
	(void)context;
	if (user)
		*uid = user->pw_uid;
	return user != NULL;
}

static bool (*user_lookup)(void *context, const char *name, uint32_t *uid) = look_up_user;
static void *user_lookup_context;

void config_set_user_lookup(bool (*lookup)(void *context, const char *name, uint32_t *uid), void *context)
{
	user_lookup = lookup ? lookup : look_up_user;
	user_lookup_context = context;
}

static bool parse_user(const char *text, uint32_t *uid)
{
	char *end;
	if (user_lookup(user_lookup_context, text, uid))
		return true;
	unsigned long value = strtoul(text, &end, 10);
	*uid = (uint32_t)value;
	return *text >= '0' && *text <= '9' && !*end && value < UINT32_MAX;
}

static void take_enum(uint8_t *value, const int *raw)
{
	if (raw)
		*value = (uint8_t)*raw;
}

static void take_demands(struct policy_rule *rule, const struct raw_rule *raw)
{
	take_enum(&rule->require, raw->require);
	take_enum(&rule->action, raw->action);
	take_enum(&rule->unknown, raw->unknown);
	take_enum(&rule->undecided, raw->undecided);
	if (raw->min_tls)
		rule->min_tls = (uint16_t)*raw->min_tls;
}

/* False: no memory. */
static bool copy(char **field, const char *raw)
{
	*field = raw ? strdup(raw) : NULL;
	return *field || !raw;
}

static void set_scope(struct policy_key *key, uint64_t scope)
{
	key->scope_high = (uint32_t)(scope >> 32);
	key->scope_low = (uint32_t)scope;
}

static void set_prefix(struct policy_key *key, const struct address_prefix *prefix)
{
	key->prefix_length = POLICY_KEY_FIXED_BITS + prefix->bits;
	memcpy(key->address, prefix->address, sizeof(key->address));
}

static bool reject(const struct config_text *text, unsigned index, const char *key, const char *value, const char *allowed)
{
	char path[64];
	snprintf(path, sizeof(path), "policy.rules[%u]%s%s", index, *key ? "." : "", key);
	return config_reject(text, path, value, allowed);
}

static bool take_destination(const struct config_text *text, unsigned index, const struct raw_rule *raw, struct config_rule *rule)
{
	struct address_prefix prefix = { .bits = 0 };
	char allowed[128], address[ADDRESS_TEXT_SIZE];
	const char *to = raw->to ? raw->to : "any";
	if (strcmp(to, "any") != 0) {
		if (!address_prefix_parse(to, &prefix))
			return reject(text, index, "to", to, "an IPv4 or IPv6 address, ADDRESS/BITS, or any");
		if (!address_prefix_clean(&prefix)) {
			address_text(prefix.address, address);
			snprintf(allowed, sizeof(allowed), "no bits set behind the prefix, as in %s/%u", address,
				 strchr(address, ':') ? prefix.bits : prefix.bits - 96);
			return reject(text, index, "to", to, allowed);
		}
	}
	set_prefix(&rule->key, &prefix);
	return copy(&rule->to, to);
}

/* One way only to write a path, so that two rules for one cgroup can be told. */
static bool is_cgroup_path(const char *path)
{
	if (strcmp(path, "/") == 0)
		return true;
	while (*path == '/') {
		size_t length = strcspn(++path, "/");
		if (length == 0 || strncmp(path, ".", length) == 0 || (length == 2 && strncmp(path, "..", 2) == 0))
			return false;
		path += length;
	}
	return *path == 0;
}

static bool take_sender(const struct config_text *text, unsigned index, const struct raw_rule *raw, struct config_rule *rule)
{
	uint32_t uid = 0;
	if (raw->user && raw->cgroup)
		return reject(text, index, "cgroup", raw->cgroup, "either user or cgroup in one rule");
	if (raw->user && !parse_user(raw->user, &uid))
		return reject(text, index, "user", raw->user, "the name of a user of this host, or a uid");
	if (raw->cgroup && !is_cgroup_path(raw->cgroup))
		return reject(text, index, "cgroup", raw->cgroup, "a path below the cgroup root, as in /system.slice/postfix.service");
	if (raw->user)
		set_scope(&rule->key, POLICY_SCOPE_USER(uid));
	return copy(&rule->user, raw->user) && copy(&rule->cgroup, raw->cgroup);
}

/* A host name, or an address, as a certificate may have it. */
static bool is_certificate_name(const char *name)
{
	uint8_t address[16];
	size_t length = strlen(name);
	if (address_parse(name, address))
		return true;
	if (length > 253 || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == length;
}

static bool take_identity(const struct config_text *text, unsigned index, const struct raw_rule *raw, struct config_rule *rule)
{
	if (raw->min_tls && rule->rule.require == REQUIRE_NONE)
		return reject(text, index, "min_tls", "", "a rule that requires encrypted or verified");
	if (rule->rule.require == REQUIRE_NONE)
		rule->rule.min_tls = 0;
	if (!raw->name)
		return true;
	if (rule->rule.require != REQUIRE_VERIFIED)
		return reject(text, index, "name", raw->name, "a rule that requires verified");
	if (!is_certificate_name(raw->name))
		return reject(text, index, "name", raw->name, "one host name or address, as the certificate has it");
	rule->rule.name_hash = name_hash(raw->name);
	return copy(&rule->name, raw->name);
}

static bool same_key(const struct config_rule *a, const struct config_rule *b)
{
	bool same_cgroup = a->cgroup == b->cgroup || (a->cgroup && b->cgroup && strcmp(a->cgroup, b->cgroup) == 0);
	return same_cgroup && memcmp(&a->key, &b->key, sizeof(a->key)) == 0;
}

static bool take_rule(const struct config_text *text, unsigned index, const struct raw_rule *raw, struct config *config)
{
	struct config_rule *rule = &config->rules[index];
	char allowed[96];
	config->rule_count = index + 1; /* so that config_free() finds what is filled in */
	rule->rule = config->default_rule;
	rule->rule.id = index + 1;
	rule->rule.action = ACTION_BLOCK;
	take_demands(&rule->rule, raw);
	if (!take_destination(text, index, raw, rule) || !take_sender(text, index, raw, rule) ||
	    !take_identity(text, index, raw, rule))
		return false;
	if (raw->port && *raw->port == 0)
		return reject(text, index, "port", "0", "1 to 65535, or no port for any");
	rule->key.port = raw->port ? *raw->port : 0;
	if (!copy(&rule->reason, raw->reason))
		return false;
	if (raw->until && !parse_date(raw->until, &rule->until))
		return reject(text, index, "until", raw->until, "a day as in 2026-12-31");
	for (unsigned i = 0; i < index; i++) {
		if (same_key(&config->rules[i], rule)) {
			snprintf(allowed, sizeof(allowed), "one rule for one destination, port and sender; policy.rules[%u] is for these", i);
			return reject(text, index, "", "", allowed);
		}
	}
	return true;
}

/* Mail within the host needs no encryption, unless a rule of the file says so. */
static bool add_loopback_rules(struct config *config)
{
	static const char *const prefixes[] = { "127.0.0.0/8", "::1" };
	for (unsigned i = 0; i < 2; i++) {
		struct config_rule rule = { .rule = config->default_rule };
		struct address_prefix prefix;
		bool taken = false;
		address_prefix_parse(prefixes[i], &prefix);
		set_prefix(&rule.key, &prefix);
		for (unsigned j = 0; j < config->rule_count; j++)
			taken = taken || same_key(&config->rules[j], &rule);
		if (taken)
			continue;
		rule.rule.id = config->rule_count + 1;
		rule.rule.require = REQUIRE_NONE;
		rule.rule.min_tls = 0;
		struct config_rule *added = &config->rules[config->rule_count++];
		*added = rule;
		if (!copy(&added->to, prefixes[i]) || !copy(&added->reason, "built in: mail within this host"))
			return false;
	}
	return true;
}

bool config_take_policy(const struct config_text *text, const struct raw_policy *raw, struct config *config)
{
	unsigned count = raw ? raw->rules_count : 0;
	config->rules = calloc(count + 2, sizeof(*config->rules));
	if (!config->rules)
		return false;
	if (raw && raw->fallback)
		take_demands(&config->default_rule, raw->fallback);
	if (config->default_rule.min_tls && config->default_rule.require == REQUIRE_NONE)
		return config_reject(text, "policy.default.min_tls", "", "a default that requires encrypted or verified");
	for (unsigned i = 0; i < count; i++) {
		if (!take_rule(text, i, &raw->rules[i], config))
			return false;
	}
	return add_loopback_rules(config);
}
