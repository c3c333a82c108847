/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "address.h"
#include "config.h"
#include "config_check.h"
#include "config_policy.h"
#include "config_raw.h"
#include "escape.h"

#define FILE_MAX (1024 * 1024)

static const cyaml_config_t cyaml = {
	.mem_fn = cyaml_mem,
	.log_level = CYAML_LOG_ERROR,
	.flags = CYAML_CFG_NO_ALIAS,
};

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

/* Takes raw over into *field, if it is given. False: no memory. */
static bool take_text(char **field, const char *raw)
{
	if (!raw)
		return true;
	free(*field);
	*field = strdup(raw);
	return *field != NULL;
}

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

static bool add_ports(const struct config_text *text, struct config *config, const char *list, const uint16_t *numbers,
		      unsigned count, bool implicit_tls)
{
	for (unsigned i = 0; i < count; i++) {
		if (!add_port(text, config, list, i, numbers[i], implicit_tls))
			return false;
	}
	return true;
}

/* libcyaml has no pointer for an empty list, just as for none at all: only the text tells them apart. */
static bool take_ports(const struct config_text *text, const struct raw_ports *raw, struct config *config)
{
	static const uint16_t starttls[] = { 25, 587, 2525 }, implicit_tls[] = { 465 };
	static const struct raw_ports none;
	bool own_starttls = raw && config_has(text, "ports.starttls");
	bool own_implicit = raw && config_has(text, "ports.implicit_tls");
	raw = raw ? raw : &none;
	return add_ports(text, config, "starttls", own_starttls ? raw->starttls : starttls,
			 own_starttls ? raw->starttls_count : 3, false) &&
	       add_ports(text, config, "implicit_tls", own_implicit ? raw->implicit_tls : implicit_tls,
			 own_implicit ? raw->implicit_tls_count : 1, true) &&
	       (config->port_count > 0 || config_reject(text, "ports", "", "at least one port"));
}

static bool take_path(const struct config_text *text, const char *key, const char *raw, char **value)
{
	if (!raw)
		return true;
	if (raw[0] != '/')
		return config_reject(text, key, raw, "an absolute path");
	return take_text(value, raw);
}

static bool take_tc(const struct raw_tc *raw, struct config *config)
{
	if (!raw || raw->interfaces_count == 0)
		return true;
	config->tc.interfaces = calloc(raw->interfaces_count, sizeof(*config->tc.interfaces));
	if (!config->tc.interfaces)
		return false;
	for (unsigned i = 0; i < raw->interfaces_count; i++) {
		if (!take_text(&config->tc.interfaces[i], raw->interfaces[i]))
			return false;
		config->tc.interface_count++;
	}
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

static bool take_count(const struct config_text *text, const char *key, const uint32_t *raw, unsigned *value)
{
	char number[16];
	if (!raw)
		return true;
	*value = *raw;
	snprintf(number, sizeof(number), "%u", *value);
	return (*value >= 1 && *value <= 1000000) || config_reject(text, key, number, "1 to 1000000");
}

static bool take_sessions(const struct config_text *text, const struct raw_sessions *raw, struct config *config)
{
	return !raw || (take_count(text, "sessions.keep", raw->keep, &config->sessions.keep) &&
			take_count(text, "sessions.open_max", raw->open_max, &config->sessions.open_max));
}

static bool take_syslog(const struct config_text *text, const struct raw_syslog *raw, struct config *config)
{
	if (!raw)
		return true;
	if (raw->enabled)
		config->syslog.enabled = *raw->enabled;
	if (raw->facility)
		config->syslog.facility = *raw->facility;
	/* libcyaml takes "" for no value; here it is one: no prefix */
	const char *prefix = raw->prefix || !config_has(text, "syslog.prefix") ? raw->prefix : "";
	return take_text(&config->syslog.prefix, prefix) &&
	       take_path(text, "syslog.socket", raw->socket, &config->syslog.socket);
}

static bool take_sinks(const struct config_text *text, const struct raw_config *raw, struct config *config)
{
	if (raw->journal)
		config->journal = (enum journal_use)*raw->journal;
	return take_syslog(text, raw->syslog, config) &&
	       (!raw->file || take_path(text, "file.path", raw->file->path, &config->file.path));
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
	return take_text(&config->metrics.address, raw->address);
}

#define HOLD_MAX_S 60

static bool take_identity(const struct config_text *text, const struct raw_identity *raw, struct config *config)
{
	if (!raw)
		return true;
	if (raw->witness)
		config->identity.witness = *raw->witness;
	if (raw->hold && (!parse_duration(raw->hold, &config->identity.hold_s) || config->identity.hold_s == 0 ||
			  config->identity.hold_s > HOLD_MAX_S))
		return config_reject(text, "identity.hold", raw->hold, "1s to 60s");
	return take_path(text, "identity.trust", raw->trust, &config->identity.trust);
}

static bool take_privileges(const struct raw_config *raw, struct config *config)
{
	const struct raw_privileges *privileges = raw->privileges;
	const struct raw_control *control = raw->control;
	if (privileges && privileges->containers)
		config->privileges.containers = *privileges->containers;
	if (privileges && privileges->hardening)
		config->privileges.required = *privileges->hardening != 0;
	return (!privileges || take_text(&config->privileges.user, privileges->user)) &&
	       (!control || (take_text(&config->control.owner, control->owner) && take_text(&config->control.group, control->group) &&
			     take_text(&config->control.admin_group, control->admin_group)));
}

/* ---- all together ----------------------------------------------------------------------------------------- */

static struct config *new_defaults(void)
{
	struct config *config = calloc(1, sizeof(*config));
	if (!config)
		return NULL;
	config->mode = MODE_MONITOR;
	config->fallback_window_s = 3600;
	config->account = ACCOUNT_NAME;
	config->default_rule = (struct policy_rule){ .require = REQUIRE_ENCRYPTED, .action = ACTION_BLOCK };
	config->identity.witness = true;
	config->identity.hold_s = 3;
	config->sessions.keep = 10000;
	config->sessions.open_max = 262144;
	config->alerts.minimum = SEVERITY_NOTICE;
	config->alerts.repeat_s = 3600;
	config->alerts.rate = 60;
	config->syslog.enabled = true;
	config->syslog.facility = LOG_MAIL;
	config->journal = JOURNAL_AUTO;
	config->metrics.enabled = true;
	config->metrics.port = 9847;
	config->privileges.containers = true;
	config->privileges.required = true;
	if (take_text(&config->control_socket, CONTROL_SOCKET_PATH) && take_text(&config->privileges.user, "smtpward") && take_text(&config->syslog.prefix, "@cee:") &&
	    take_text(&config->syslog.socket, "/dev/log") && take_text(&config->metrics.address, "127.0.0.1"))
		return config;
	config_free(config);
	return NULL;
}

static bool take_all(const struct config_text *text, const struct raw_config *raw, struct config *config)
{
	if (raw->mode)
		config->mode = (enum policy_mode)*raw->mode;
	if (raw->on_exit)
		config->on_exit = (enum exit_action)*raw->on_exit;
	if (raw->account)
		config->account = (enum account_form)*raw->account;
	if (raw->fallback_window && !parse_duration(raw->fallback_window, &config->fallback_window_s))
		return config_reject(text, "fallback_window", raw->fallback_window,
				     "a number of seconds, or one with m, h or d behind it");
	return take_path(text, "cgroup", raw->cgroup, &config->cgroup) &&
	       take_path(text, "control_socket", raw->control_socket, &config->control_socket) &&
	       take_ports(text, raw->ports, config) && take_tc(raw->tc, config) && config_take_policy(text, raw->policy, config) &&
	       take_identity(text, raw->identity, config) && take_sessions(text, raw->sessions, config) &&
	       take_alerts(text, raw->alerts, config) &&
	       take_sinks(text, raw, config) && take_metrics(text, raw->metrics, config) &&
	       take_privileges(raw, config);
}

/* What is wrong with the file as a whole. */
static bool complain(const struct config_text *text, const char *wrong)
{
	char place[512];
	escape_text(place, sizeof(place), text->path, strlen(text->path));
	snprintf(text->error, text->error_size, "%s: %s", place, wrong);
	return false;
}

/* Reads text into *raw, which stays NULL if there is nothing in it. */
static bool parse(const struct config_text *text, struct raw_config **raw)
{
	bool empty;
	if (!config_check(text, &raw_config_schema, &empty))
		return false;
	if (empty)
		return true;
	cyaml_err_t error = cyaml_load_data((const uint8_t *)text->bytes, text->length, &cyaml, &raw_config_schema,
					    (cyaml_data_t **)raw, NULL);
	return error == CYAML_OK || complain(text, cyaml_strerror(error));
}

static struct config *from_text(const struct config_text *text)
{
	struct raw_config nothing = { 0 }, *raw = NULL;
	struct config *config = new_defaults();
	bool good = config && parse(text, &raw) && take_all(text, raw ? raw : &nothing, config);
	cyaml_free(&cyaml, &raw_config_schema, raw, 0);
	if (good)
		return config;
	config_free(config);
	return NULL;
}

/* Reads all of fd. text->bytes is to be freed, whatever is returned. */
static bool read_file(int fd, struct config_text *text)
{
	struct stat status;
	char *bytes = malloc(FILE_MAX + 1);
	text->bytes = bytes;
	if (!bytes)
		return complain(text, "out of memory");
	if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode))
		return complain(text, S_ISDIR(status.st_mode) ? "is a directory; a file is wanted" : "is not a regular file");
	while (text->length <= FILE_MAX) {
		ssize_t n = read(fd, bytes + text->length, FILE_MAX + 1 - text->length);
		if (n < 0)
			return complain(text, strerror(errno));
		if (n == 0)
			return true;
		text->length += (size_t)n;
	}
	return complain(text, "is longer than 1 MiB");
}

int config_open(const char *path)
{
	int fd = open(path ? path : CONFIG_PATH, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

struct config *config_read(int fd, const char *path, char *error, unsigned error_size)
{
	struct config_text text = { .path = path ? path : CONFIG_PATH, .bytes = "", .error = error, .error_size = error_size };
	struct config *config = NULL;
	snprintf(error, error_size, "out of memory");
	if (fd == -ENOENT && !path)
		return from_text(&text);
	if (fd < 0) {
		complain(&text, strerror(-fd));
		return NULL;
	}
	if (read_file(fd, &text))
		config = from_text(&text);
	free((char *)(uintptr_t)text.bytes);
	close(fd);
	return config;
}

struct config *config_load(const char *path, char *error, unsigned error_size)
{
	return config_read(config_open(path), path, error, error_size);
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (unsigned i = 0; i < config->rule_count; i++) {
		free(config->rules[i].to);
		free(config->rules[i].user);
		free(config->rules[i].cgroup);
		free(config->rules[i].name);
		free(config->rules[i].reason);
	}
	free(config->rules);
	for (unsigned i = 0; i < config->tc.interface_count; i++)
		free(config->tc.interfaces[i]);
	free(config->tc.interfaces);
	free(config->identity.trust);
	free(config->cgroup);
	free(config->control_socket);
	free(config->control.owner);
	free(config->control.group);
	free(config->control.admin_group);
	free(config->privileges.user);
	free(config->syslog.prefix);
	free(config->syslog.socket);
	free(config->file.path);
	free(config->metrics.address);
	free(config);
}
