/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "config.h"
#include "config_check.h"
#include "config_raw.h"

#define FILE_MAX (1024 * 1024)

static const cyaml_config_t cyaml = {
	.mem_fn = cyaml_mem,
	.log_level = CYAML_LOG_ERROR,
	.flags = CYAML_CFG_NO_ALIAS,
};

/* ---- values that the schema knows as text ----------------------------------------------------------------- */

/* "90", "90s", "30m", "1h", "2d": seconds. */
static bool parse_duration(const char *text, unsigned *seconds)
{
	static const struct {
		char suffix;
		unsigned seconds;
	} units[] = { { 0, 1 }, { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	unsigned long value = strtoul(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (*end != units[i].suffix || (*end && end[1]) || value > 366UL * 86400 / units[i].seconds)
			continue;
		*seconds = (unsigned)value * units[i].seconds;
		return true;
	}
	return false;
}

/* "2026-12-31": the end of that day, local time. */
static bool parse_date(const char *text, int64_t *end)
{
	struct tm day = { 0 };
	const char *rest = strptime(text, "%Y-%m-%d", &day);
	if (!rest || *rest || strlen(text) != 10)
		return false;
	struct tm given = day;
	day.tm_mday++;
	day.tm_isdst = -1;
	*end = mktime(&day);
	given.tm_isdst = -1;
	int month = given.tm_mon, mday = given.tm_mday;
	mktime(&given);
	return *end != -1 && given.tm_mon == month && given.tm_mday == mday; /* no 30th of February */
}

static bool parse_user(const char *text, uint32_t *uid)
{
	char *end;
	const struct passwd *user = getpwnam(text);
	if (user) {
		*uid = user->pw_uid;
		return true;
	}
	unsigned long value = strtoul(text, &end, 10);
	*uid = (uint32_t)value;
	return *text >= '0' && *text <= '9' && !*end && value < UINT32_MAX;
}

/* ---- rules ------------------------------------------------------------------------------------------------ */

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
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
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
	rule->to = copy(to);
	if (strcmp(to, "any") != 0) {
		if (!address_prefix_parse(to, &prefix))
			return reject(text, index, "to", to, "an IPv4 or IPv6 address, ADDRESS/BITS, or any");
		if (!address_prefix_clean(&prefix)) {
			unsigned bits = strchr(to, ':') ? prefix.bits : prefix.bits - 96;
			snprintf(allowed, sizeof(allowed), "no bits set behind the prefix, as in %s/%u",
				 address_text(prefix.address, address), bits);
			return reject(text, index, "to", to, allowed);
		}
	}
	set_prefix(&rule->key, &prefix);
	return true;
}

static bool take_sender(const struct config_text *text, unsigned index, const struct raw_rule *raw, struct config_rule *rule)
{
	uint32_t uid;
	if (raw->user && raw->cgroup)
		return reject(text, index, "cgroup", raw->cgroup, "either user or cgroup in one rule");
	if (raw->user && !parse_user(raw->user, &uid))
		return reject(text, index, "user", raw->user, "the name of a user of this host, or a uid");
	if (raw->cgroup && raw->cgroup[0] != '/')
		return reject(text, index, "cgroup", raw->cgroup, "a path below the cgroup root, as in /system.slice/postfix.service");
	if (raw->user)
		set_scope(&rule->key, POLICY_SCOPE_USER(uid));
	rule->user = copy(raw->user);
	rule->cgroup = copy(raw->cgroup);
	return true;
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
	if (!take_destination(text, index, raw, rule) || !take_sender(text, index, raw, rule))
		return false;
	if (raw->port && *raw->port == 0)
		return reject(text, index, "port", "0", "1 to 65535, or no port for any");
	rule->key.port = raw->port ? *raw->port : 0;
	rule->reason = copy(raw->reason);
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
static void add_loopback_rules(struct config *config)
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
		rule.to = copy(prefixes[i]);
		rule.reason = copy("built in: mail within this host");
		config->rules[config->rule_count++] = rule;
	}
}

static bool take_policy(const struct config_text *text, const struct raw_policy *raw, struct config *config)
{
	unsigned count = raw ? raw->rules_count : 0;
	config->rules = calloc(count + 2, sizeof(*config->rules));
	if (!config->rules)
		return false;
	if (raw && raw->fallback)
		take_demands(&config->default_rule, raw->fallback);
	for (unsigned i = 0; i < count; i++) {
		if (!take_rule(text, i, &raw->rules[i], config))
			return false;
	}
	add_loopback_rules(config);
	return true;
}

/* ---- the other keys --------------------------------------------------------------------------------------- */

static bool add_port(const struct config_text *text, struct config *config, const char *list, unsigned index, uint16_t number,
		     bool implicit_tls)
{
	char path[64], value[8];
	bool known = false;
	for (unsigned i = 0; i < config->port_count; i++)
		known = known || config->ports[i].number == number;
	snprintf(path, sizeof(path), "ports.%s[%u]", list, index);
	snprintf(value, sizeof(value), "%u", number);
	if (number == 0 || known)
		return config_reject(text, path, value, "1 to 65535, each port once");
	if (config->port_count == PORTS_MAX)
		return config_reject(text, path, value, "64 ports in all");
	config->ports[config->port_count].number = number;
	config->ports[config->port_count++].implicit_tls = implicit_tls;
	return true;
}

static bool take_ports(const struct config_text *text, const struct raw_ports *raw, struct config *config)
{
	static const uint16_t starttls[] = { 25, 587, 2525 }, implicit_tls[] = { 465 };
	const uint16_t *plain = raw && raw->starttls ? raw->starttls : starttls;
	const uint16_t *tls = raw && raw->implicit_tls ? raw->implicit_tls : implicit_tls;
	unsigned plain_count = raw && raw->starttls ? raw->starttls_count : 3;
	unsigned tls_count = raw && raw->implicit_tls ? raw->implicit_tls_count : 1;
	for (unsigned i = 0; i < plain_count; i++) {
		if (!add_port(text, config, "starttls", i, plain[i], false))
			return false;
	}
	for (unsigned i = 0; i < tls_count; i++) {
		if (!add_port(text, config, "implicit_tls", i, tls[i], true))
			return false;
	}
	return config->port_count > 0 || config_reject(text, "ports", "", "at least one port");
}

static bool take_path(const struct config_text *text, const char *key, const char *raw, char **value)
{
	if (!raw)
		return true;
	if (raw[0] != '/')
		return config_reject(text, key, raw, "an absolute path");
	free(*value);
	*value = copy(raw);
	return true;
}

static bool take_alerts(const struct config_text *text, const struct raw_alerts *raw, struct config *config)
{
	if (!raw)
		return true;
	if (raw->minimum)
		config->alerts.minimum = (enum severity)*raw->minimum;
	if (raw->rate)
		config->alerts.rate = *raw->rate;
	if (config->alerts.rate == 0)
		return config_reject(text, "alerts.rate", "0", "1 or more a minute");
	return !raw->repeat || parse_duration(raw->repeat, &config->alerts.repeat_s) ||
	       config_reject(text, "alerts.repeat", raw->repeat, "a number of seconds, or one with m, h or d behind it");
}

static bool take_sessions(const struct config_text *text, const struct raw_sessions *raw, struct config *config)
{
	if (raw && raw->keep)
		config->sessions.keep = *raw->keep;
	if (raw && raw->open_max)
		config->sessions.open_max = *raw->open_max;
	if (config->sessions.keep < 1 || config->sessions.keep > 1000000)
		return config_reject(text, "sessions.keep", "", "1 to 1000000");
	if (config->sessions.open_max < 1 || config->sessions.open_max > 1000000)
		return config_reject(text, "sessions.open_max", "", "1 to 1000000");
	return true;
}

static bool take_sinks(const struct config_text *text, const struct raw_config *raw, struct config *config)
{
	if (raw->syslog) {
		if (raw->syslog->enabled)
			config->syslog.enabled = *raw->syslog->enabled;
		if (raw->syslog->facility)
			config->syslog.facility = *raw->syslog->facility;
		if (raw->syslog->prefix) {
			free(config->syslog.prefix);
			config->syslog.prefix = copy(raw->syslog->prefix);
		}
		if (!take_path(text, "syslog.socket", raw->syslog->socket, &config->syslog.socket))
			return false;
	}
	if (raw->journal)
		config->journal = (enum journal_use)*raw->journal;
	return !raw->file || take_path(text, "file.path", raw->file->path, &config->file.path);
}

static bool take_metrics(const struct config_text *text, const struct raw_metrics *raw, struct config *config)
{
	uint8_t address[16];
	if (!raw)
		return true;
	if (raw->enabled)
		config->metrics.enabled = *raw->enabled;
	if (raw->port)
		config->metrics.port = *raw->port;
	if (config->metrics.port == 0)
		return config_reject(text, "metrics.port", "0", "1 to 65535");
	if (raw->address && !address_parse(raw->address, address))
		return config_reject(text, "metrics.address", raw->address, "an IPv4 or IPv6 address");
	if (raw->address) {
		free(config->metrics.address);
		config->metrics.address = copy(raw->address);
	}
	return true;
}

/* ---- all together ----------------------------------------------------------------------------------------- */

static struct config *new_defaults(void)
{
	struct config *config = calloc(1, sizeof(*config));
	if (!config)
		return NULL;
	config->mode = MODE_MONITOR;
	config->control_socket = copy(CONTROL_SOCKET_PATH);
	config->fallback_window_s = 3600;
	config->account = ACCOUNT_NAME;
	config->default_rule = (struct policy_rule){ .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK };
	config->sessions.keep = 10000;
	config->sessions.open_max = 65536;
	config->alerts.minimum = SEVERITY_NOTICE;
	config->alerts.repeat_s = 3600;
	config->alerts.rate = 60;
	config->syslog.enabled = true;
	config->syslog.facility = LOG_MAIL;
	config->syslog.prefix = copy("@cee:");
	config->syslog.socket = copy("/dev/log");
	config->journal = JOURNAL_AUTO;
	config->metrics.enabled = true;
	config->metrics.address = copy("127.0.0.1");
	config->metrics.port = 9847;
	return config;
}

static bool take_all(const struct config_text *text, const struct raw_config *raw, struct config *config)
{
	if (raw->mode)
		config->mode = (enum policy_mode)*raw->mode;
	if (raw->account)
		config->account = (enum account_form)*raw->account;
	if (raw->fallback_window && !parse_duration(raw->fallback_window, &config->fallback_window_s))
		return config_reject(text, "fallback_window", raw->fallback_window,
				     "a number of seconds, or one with m, h or d behind it");
	return take_path(text, "cgroup", raw->cgroup, &config->cgroup) &&
	       take_path(text, "control_socket", raw->control_socket, &config->control_socket) &&
	       take_ports(text, raw->ports, config) && take_policy(text, raw->policy, config) &&
	       take_sessions(text, raw->sessions, config) && take_alerts(text, raw->alerts, config) &&
	       take_sinks(text, raw, config) && take_metrics(text, raw->metrics, config);
}

static bool is_blank(const struct config_text *text)
{
	for (const char *at = text->bytes; at < text->bytes + text->length;) {
		const char *end = memchr(at, '\n', text->length - (size_t)(at - text->bytes));
		size_t length = end ? (size_t)(end - at) : text->length - (size_t)(at - text->bytes);
		size_t blank = 0;
		while (blank < length && (at[blank] == ' ' || at[blank] == '\r'))
			blank++;
		if (blank < length && at[blank] != '#')
			return false;
		at += length + 1;
	}
	return true;
}

static struct config *from_text(const struct config_text *text)
{
	struct raw_config nothing = { 0 }, *raw = NULL;
	struct config *config = new_defaults();
	bool blank = is_blank(text);
	bool good = config != NULL;
	if (good && !blank)
		good = config_check(text, &raw_config_schema);
	if (good && !blank) {
		cyaml_err_t error = cyaml_load_data((const uint8_t *)text->bytes, text->length, &cyaml, &raw_config_schema,
						    (cyaml_data_t **)&raw, NULL);
		good = error == CYAML_OK;
		if (!good)
			snprintf(text->error, text->error_size, "%s: %s", text->path, cyaml_strerror(error));
	}
	good = good && take_all(text, raw ? raw : &nothing, config);
	cyaml_free(&cyaml, &raw_config_schema, raw, 0);
	if (good)
		return config;
	config_free(config);
	return NULL;
}

static struct config *from_file(const char *path, int fd, char *error, unsigned error_size)
{
	struct stat status;
	struct config *config = NULL;
	char *bytes = NULL;
	size_t length = 0;
	if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
		snprintf(error, error_size, "%s: not a regular file", path);
		return NULL;
	}
	bytes = malloc(FILE_MAX + 1);
	while (bytes && length <= FILE_MAX) {
		ssize_t n = read(fd, bytes + length, FILE_MAX + 1 - length);
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	if (bytes && length > FILE_MAX) {
		snprintf(error, error_size, "%s: longer than %d bytes", path, FILE_MAX);
	} else if (bytes) {
		struct config_text text = { .path = path, .bytes = bytes, .length = length, .error = error, .error_size = error_size };
		config = from_text(&text);
	}
	free(bytes);
	return config;
}

struct config *config_load(const char *path, char *error, unsigned error_size)
{
	const char *name = path ? path : CONFIG_PATH;
	snprintf(error, error_size, "out of memory");
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && !path && errno == ENOENT) {
		struct config_text text = { .path = name, .bytes = "", .error = error, .error_size = error_size };
		return from_text(&text);
	}
	if (fd < 0) {
		snprintf(error, error_size, "%s: %s", name, strerror(errno));
		return NULL;
	}
	struct config *config = from_file(name, fd, error, error_size);
	close(fd);
	return config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (unsigned i = 0; i < config->rule_count; i++) {
		free(config->rules[i].to);
		free(config->rules[i].user);
		free(config->rules[i].cgroup);
		free(config->rules[i].reason);
	}
	free(config->rules);
	free(config->cgroup);
	free(config->control_socket);
	free(config->syslog.prefix);
	free(config->syslog.socket);
	free(config->file.path);
	free(config->metrics.address);
	free(config);
}
