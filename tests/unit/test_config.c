/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration: defaults, every key, and the one line that a mistake gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "witness.h"
#include "config_raw.h"

#define EXAMPLE "packaging/smtpward.yaml" /* tests run from the top of the tree */

static char top[4096]; /* of the source tree */
static char folder[] = "/tmp/smtpward-config-XXXXXX";

/* The tests run in a folder of their own, so that messages begin with a name as short as "f". */
static struct config *load_bytes(const char *bytes, size_t length, char error[512])
{
	int fd = open("f", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	close(fd);
	return config_load("f", error, 512);
}

static struct config *load(const char *text)
{
	char error[512];
	struct config *config = load_bytes(text, strlen(text), error);
	if (!config)
		fail_msg("%s", error);
	return config;
}

static void check_text(const char *text, const char *expected)
{
	if (!text || !expected)
		assert_ptr_equal(text, expected);
	else
		assert_string_equal(text, expected);
}

static void check_same(const struct config *a, const struct config *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->on_exit, b->on_exit);
	assert_int_equal(a->port_count, b->port_count);
	for (unsigned i = 0; i < a->port_count; i++) {
		assert_int_equal(a->ports[i].number, b->ports[i].number);
		assert_int_equal(a->ports[i].implicit_tls, b->ports[i].implicit_tls);
	}
	check_text(a->cgroup, b->cgroup);
	check_text(a->control_socket, b->control_socket);
	check_text(a->control.owner, b->control.owner);
	check_text(a->control.group, b->control.group);
	check_text(a->control.admin_group, b->control.admin_group);
	check_text(a->privileges.user, b->privileges.user);
	assert_int_equal(a->privileges.containers, b->privileges.containers);
	assert_int_equal(a->privileges.required, b->privileges.required);
	assert_int_equal(a->fallback_window_s, b->fallback_window_s);
	assert_int_equal(a->account, b->account);
	assert_memory_equal(&a->default_rule, &b->default_rule, sizeof(a->default_rule));
	assert_int_equal(a->rule_count, b->rule_count);
	for (unsigned i = 0; i < a->rule_count; i++) {
		assert_memory_equal(&a->rules[i].key, &b->rules[i].key, sizeof(a->rules[i].key));
		assert_memory_equal(&a->rules[i].rule, &b->rules[i].rule, sizeof(a->rules[i].rule));
		check_text(a->rules[i].to, b->rules[i].to);
	}
	assert_int_equal(a->identity.witness, b->identity.witness);
	check_text(a->identity.trust, b->identity.trust);
	assert_int_equal(a->identity.hold_s, b->identity.hold_s);
	assert_int_equal(a->sessions.keep, b->sessions.keep);
	assert_int_equal(a->sessions.open_max, b->sessions.open_max);
	assert_int_equal(a->alerts.minimum, b->alerts.minimum);
	assert_int_equal(a->alerts.repeat_s, b->alerts.repeat_s);
	assert_int_equal(a->alerts.rate, b->alerts.rate);
	assert_int_equal(a->syslog.enabled, b->syslog.enabled);
	assert_int_equal(a->syslog.facility, b->syslog.facility);
	check_text(a->syslog.prefix, b->syslog.prefix);
	check_text(a->syslog.socket, b->syslog.socket);
	check_text(a->file.path, b->file.path);
	assert_int_equal(a->journal, b->journal);
	assert_int_equal(a->metrics.enabled, b->metrics.enabled);
	check_text(a->metrics.address, b->metrics.address);
	assert_int_equal(a->metrics.port, b->metrics.port);
}

static void nothing_gives_the_defaults(void **state)
{
	(void)state;
	struct config *config = load("");
	assert_int_equal(config->mode, MODE_MONITOR);
	assert_int_equal(config->on_exit, EXIT_BY_MODE);
	assert_int_equal(config->port_count, 4);
	for (unsigned i = 0; i < 4; i++) {
		static const uint16_t ports[] = { 25, 587, 2525, 465 };
		assert_int_equal(config->ports[i].number, ports[i]);
		assert_int_equal(config->ports[i].implicit_tls, ports[i] == 465);
	}
	assert_null(config->cgroup);
	assert_string_equal(config->control_socket, "/run/smtpward/smtpward.sock");
	assert_null(config->control.owner);
	assert_null(config->control.group);
	assert_null(config->control.admin_group);
	assert_string_equal(config->privileges.user, "smtpward");
	assert_true(config->privileges.containers);
	assert_true(config->privileges.required);
	assert_int_equal(config->fallback_window_s, 3600);
	assert_int_equal(config->account, ACCOUNT_NAME);
	assert_int_equal(config->default_rule.id, 0);
	assert_int_equal(config->default_rule.require, REQUIRE_ENCRYPTED);
	assert_int_equal(config->default_rule.action, ACTION_BLOCK);
	assert_int_equal(config->default_rule.unknown, DOUBT_PASS);
	assert_int_equal(config->default_rule.undecided, DOUBT_PASS);
	assert_int_equal(config->rule_count, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(config->rules[i].to, i ? "::1" : "127.0.0.0/8");
		assert_int_equal(config->rules[i].rule.id, i + 1);
		assert_int_equal(config->rules[i].rule.require, REQUIRE_NONE);
		assert_int_equal(config->rules[i].key.prefix_length, POLICY_KEY_FIXED_BITS + (i ? 128 : 104));
		assert_non_null(config->rules[i].reason);
	}
	assert_int_equal(config->sessions.keep, 10000);
	assert_int_equal(config->sessions.open_max, 262144);
	assert_int_equal(config->alerts.minimum, SEVERITY_NOTICE);
	assert_int_equal(config->alerts.repeat_s, 3600);
	assert_int_equal(config->alerts.rate, 60);
	assert_true(config->syslog.enabled);
	assert_int_equal(config->syslog.facility, LOG_MAIL);
	assert_string_equal(config->syslog.prefix, "@cee:");
	assert_string_equal(config->syslog.socket, "/dev/log");
	assert_null(config->file.path);
	assert_int_equal(config->journal, JOURNAL_AUTO);
	assert_true(config->metrics.enabled);
	assert_string_equal(config->metrics.address, "127.0.0.1");
	assert_int_equal(config->metrics.port, 9847);
	config_free(config);
}

/* Files that say nothing, each in a way of its own. */
static void no_value_means_the_default(void **state)
{
	static const char *const texts[] = {
		"\n\n", "# only this\n", "---\n", "--- # x\n...\n", "~", "null\n", "{}", "\xef\xbb\xbf# marked\n", "# \xc3\xa9\r\n\r\n",
		"mode:\non_exit:\nports:\ncgroup:\ncontrol_socket:\nfallback_window:\naccount:\npolicy:\nsessions:\nalerts:\nsyslog:\n"
		"file:\njournal:\nmetrics:\n",
		"mode: ~\nports: null\npolicy: ~\nsyslog: Null\nmetrics: NULL\n",
		"ports: {starttls: , implicit_tls: ~}\npolicy: {default: , rules: }\n",
		"policy: {default: {require: , action: ~}, rules: []}\nsyslog: {prefix: , socket: ~}\nfile: {path: null}\n",
		"sessions: {keep: , open_max: ~}\nalerts: {minimum: , repeat: , rate: }\nmetrics: {enabled: , address: ~, port: }\n",
	};
	(void)state;
	struct config *defaults = load("");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct config *config = load(texts[i]);
		check_same(config, defaults);
		config_free(config);
	}
	config_free(defaults);
}

static void every_key_is_taken_over(void **state)
{
	(void)state;
	struct config *config = load("mode: block\non_exit: keep\n"
				     "ports: {starttls: [26], implicit_tls: [25, 65535]}\n"
				     "cgroup: /sys/fs/cgroup/system.slice\n"
				     "tc: {interfaces: [eth0, 'tap*', \"veth[0-9]\"]}\n"
				     "control_socket: /run/s\n"
				     "control: {owner: mail, group: adm, admin_group: 1200}\n"
				     "privileges: {user: nobody, containers: false, hardening: available}\n"
				     "fallback_window: 2d\n"
				     "account: hash\n"
				     "policy: {default: {require: verified, action: monitor, unknown: block, undecided: block}}\n"
				     "sessions: {keep: 1, open_max: 1000000}\n"
				     "alerts: {minimum: critical, repeat: 90, rate: 4294967295}\n"
				     "syslog: {enabled: no, facility: local7, prefix: \"\", socket: /run/log}\n"
				     "file: {path: /var/log/a.json}\n"
				     "journal: off\n"
				     "metrics: {enabled: false, address: '::1', port: 1}\n");
	assert_int_equal(config->mode, MODE_BLOCK);
	assert_int_equal(config->on_exit, EXIT_KEEP);
	assert_int_equal(config->port_count, 3);
	assert_int_equal(config->ports[0].number, 26);
	assert_false(config->ports[0].implicit_tls);
	assert_int_equal(config->ports[1].number, 25);
	assert_true(config->ports[1].implicit_tls);
	assert_int_equal(config->ports[2].number, 65535);
	assert_string_equal(config->cgroup, "/sys/fs/cgroup/system.slice");
	assert_int_equal(config->tc.interface_count, 3);
	assert_string_equal(config->tc.interfaces[0], "eth0");
	assert_string_equal(config->tc.interfaces[1], "tap*");
	assert_string_equal(config->tc.interfaces[2], "veth[0-9]");
	assert_string_equal(config->control_socket, "/run/s");
	assert_string_equal(config->control.owner, "mail");
	assert_string_equal(config->control.group, "adm");
	assert_string_equal(config->control.admin_group, "1200");
	assert_string_equal(config->privileges.user, "nobody");
	assert_false(config->privileges.containers);
	assert_false(config->privileges.required);
	assert_int_equal(config->fallback_window_s, 172800);
	assert_int_equal(config->account, ACCOUNT_HASH);
	assert_int_equal(config->default_rule.require, REQUIRE_VERIFIED);
	assert_int_equal(config->default_rule.action, ACTION_MONITOR);
	assert_int_equal(config->default_rule.unknown, DOUBT_BLOCK);
	assert_int_equal(config->default_rule.undecided, DOUBT_BLOCK);
	assert_int_equal(config->sessions.keep, 1);
	assert_int_equal(config->sessions.open_max, 1000000);
	assert_int_equal(config->alerts.minimum, SEVERITY_CRITICAL);
	assert_int_equal(config->alerts.repeat_s, 90);
	assert_int_equal(config->alerts.rate, UINT32_MAX);
	assert_false(config->syslog.enabled);
	assert_int_equal(config->syslog.facility, LOG_LOCAL7);
	assert_string_equal(config->syslog.prefix, "");
	assert_string_equal(config->syslog.socket, "/run/log");
	assert_string_equal(config->file.path, "/var/log/a.json");
	assert_int_equal(config->journal, JOURNAL_OFF);
	assert_false(config->metrics.enabled);
	assert_string_equal(config->metrics.address, "::1");
	assert_int_equal(config->metrics.port, 1);
	config_free(config);
}

/* An empty list is one of no ports, not the default's. */
static void a_list_of_ports_may_be_empty(void **state)
{
	(void)state;
	struct config *config = load("ports: {implicit_tls: []}\n");
	assert_int_equal(config->port_count, 3);
	assert_int_equal(config->ports[2].number, 2525);
	config_free(config);
	config = load("ports: {starttls: []}\n");
	assert_int_equal(config->port_count, 1);
	assert_int_equal(config->ports[0].number, 465);
	assert_true(config->ports[0].implicit_tls);
	config_free(config);
}

static void durations_have_units(void **state)
{
	static const struct {
		const char *text;
		unsigned seconds;
	} cases[] = { { "0", 0 }, { "90", 90 }, { "90s", 90 }, { "30m", 1800 }, { "1h", 3600 }, { "366d", 31622400 } };
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];
		snprintf(text, sizeof(text), "fallback_window: %s", cases[i].text);
		struct config *config = load(text);
		assert_int_equal(config->fallback_window_s, cases[i].seconds);
		config_free(config);
	}
}

static void rules_become_keys(void **state)
{
	static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 0 }, doc[16] = { 0x20, 1, 0x0d, 0xb8 };
	(void)state;
	struct config *config = load("policy:\n"
				     "  default: {require: verified, action: monitor, unknown: block, undecided: block}\n"
				     "  rules:\n"
				     "    - {to: 192.0.2.0/24, port: 25, require: none, reason: old, until: 2026-12-31}\n"
				     "    - {to: '2001:db8::/32', user: root, action: monitor, unknown: pass, undecided: pass}\n"
				     "    - {user: 4294967294}\n"
				     "    - {to: any, cgroup: /system.slice/a..b.service}\n");
	const struct config_rule *rules = config->rules;
	assert_int_equal(config->rule_count, 6);
	assert_int_equal(rules[0].rule.id, 1);
	assert_int_equal(rules[0].key.prefix_length, POLICY_KEY_FIXED_BITS + 96 + 24);
	assert_memory_equal(rules[0].key.address, mapped, 16);
	assert_int_equal(rules[0].key.port, 25);
	assert_int_equal(rules[0].rule.require, REQUIRE_NONE);
	assert_int_equal(rules[0].rule.action, ACTION_BLOCK); /* not the default's */
	assert_int_equal(rules[0].rule.unknown, DOUBT_BLOCK); /* the default's */
	assert_string_equal(rules[0].reason, "old");
	assert_string_equal(rules[0].to, "192.0.2.0/24");
	assert_int_equal(rules[0].until, 1798761600); /* 2027-01-01T00:00:00Z */
	assert_int_equal(rules[1].key.prefix_length, POLICY_KEY_FIXED_BITS + 32);
	assert_memory_equal(rules[1].key.address, doc, 16);
	assert_int_equal(rules[1].key.port, 0);
	assert_int_equal(rules[1].rule.require, REQUIRE_VERIFIED);
	assert_int_equal(rules[1].rule.action, ACTION_MONITOR);
	assert_int_equal(rules[1].rule.unknown, DOUBT_PASS);
	assert_int_equal(rules[1].rule.undecided, DOUBT_PASS);
	assert_int_equal((uint64_t)rules[1].key.scope_high << 32 | rules[1].key.scope_low, POLICY_SCOPE_USER(0));
	assert_string_equal(rules[1].user, "root");
	assert_int_equal(rules[1].until, 0);
	assert_int_equal((uint64_t)rules[2].key.scope_high << 32 | rules[2].key.scope_low, POLICY_SCOPE_USER(4294967294));
	assert_string_equal(rules[2].to, "any");
	assert_int_equal(rules[2].key.prefix_length, POLICY_KEY_FIXED_BITS);
	assert_string_equal(rules[3].cgroup, "/system.slice/a..b.service");
	assert_string_equal(rules[4].to, "127.0.0.0/8");
	assert_int_equal(rules[4].rule.id, 5);
	config_free(config);
}

/* "until" is the end of that day where the agent runs, on a day of 23 hours, too. */
static void a_day_ends_in_local_time(void **state)
{
	(void)state;
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	struct config *config = load("policy: {rules: [{until: 2026-03-28}, {port: 25, until: 2026-03-29}, {port: 26, until: 2028-02-29}]}");
	setenv("TZ", "UTC0", 1);
	tzset();
	assert_int_equal(config->rules[0].until, 1774738800); /* 2026-03-29T00:00:00+01:00 */
	assert_int_equal(config->rules[1].until, 1774738800 + 23 * 3600);
	assert_int_equal(config->rules[2].until, 1835478000); /* 2028-03-01T00:00:00+01:00 */
	config_free(config);
}

static void the_file_can_replace_the_rules_for_loopback(void **state)
{
	(void)state;
	struct config *config = load("policy: {rules: [{to: 127.0.0.0/8, require: verified}, {to: '::1', port: 25}]}");
	assert_int_equal(config->rule_count, 3);
	assert_int_equal(config->rules[0].rule.require, REQUIRE_VERIFIED);
	assert_string_equal(config->rules[2].to, "::1"); /* the file's is for one port only */
	assert_int_equal(config->rules[2].key.port, 0);
	assert_int_equal(config->rules[2].rule.require, REQUIRE_NONE);
	config_free(config);
}

static char *read_example(size_t *length)
{
	char path[sizeof(top) + sizeof(EXAMPLE) + 1];
	snprintf(path, sizeof(path), "%s/" EXAMPLE, top);
	FILE *stream = fopen(path, "re");
	if (!stream)
		fail_msg("%s cannot be read", path);
	char *bytes = calloc(1, 65536);
	*length = fread(bytes, 1, 65535, stream);
	fclose(stream);
	assert_true(*length > 1000 && *length < 65535);
	return bytes;
}

/*
 * Takes one '#' from the lines that have just one, so that every setting is in force. The example rules go: they are
 * no defaults.
 */
static void uncomment(char *text, bool with_rules)
{
	char *out = text;
	bool in_rules = false;
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		next += *next == '\n';
		if (strncmp(line, "#  rules:", 9) == 0)
			in_rules = true;
		else if (line[0] == '#' && line[1] >= 'a' && line[1] <= 'z')
			in_rules = false;
		bool setting = line[0] == '#' && line[1] != '#';
		if (setting && in_rules && !with_rules)
			continue;
		line += setting;
		memmove(out, line, (size_t)(next - line));
		out += next - line;
	}
	*out = 0;
}

static void the_example_says_the_defaults(void **state)
{
	size_t length;
	(void)state;
	struct config *defaults = load("");
	char *text = read_example(&length);
	struct config *config = load(text);
	check_same(config, defaults);
	config_free(config);
	uncomment(text, false);
	config = load(text);
	check_same(config, defaults);
	config_free(config);
	config_free(defaults);
	free(text);
}

static void identity_and_its_demands_are_read(void **state)
{
	(void)state;
	struct config *config = load("identity: {witness: false, trust: /etc/ca.pem, hold: 7s}\n"
				     "policy:\n  default: {min_tls: 1.3}\n"
				     "  rules:\n"
				     "    - {to: 192.0.2.1, require: verified, name: MX.Example, min_tls: 1.2}\n"
				     "    - {to: 192.0.2.2}\n    - {to: 192.0.2.3, require: none}\n");
	assert_false(config->identity.witness);
	assert_string_equal(config->identity.trust, "/etc/ca.pem");
	assert_int_equal(config->identity.hold_s, 7);
	assert_string_equal(config->rules[0].name, "MX.Example");
	assert_true(config->rules[0].rule.name_hash == name_hash("mx.example"));
	assert_int_equal(config->rules[0].rule.min_tls, 0x0303);
	assert_int_equal(config->rules[1].rule.min_tls, 0x0304);
	assert_true(config->rules[1].rule.name_hash == 0);
	assert_int_equal(config->rules[2].rule.min_tls, 0);
	config_free(config);
	config = load("");
	assert_true(config->identity.witness);
	assert_null(config->identity.trust);
	assert_int_equal(config->identity.hold_s, 3);
	config_free(config);
}

static void check_keys(const char *text, const cyaml_schema_value_t *schema)
{
	if (schema->type == CYAML_SEQUENCE)
		check_keys(text, schema->sequence.entry);
	if (schema->type != CYAML_MAPPING)
		return;
	for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key; field++) {
		char spaced[64], first[64];
		snprintf(spaced, sizeof(spaced), " %s:", field->key);
		snprintf(first, sizeof(first), "\n%s:", field->key);
		if (!strstr(text, spaced) && !strstr(text, first))
			fail_msg("the example lacks '%s'", field->key);
		check_keys(text, &field->value);
	}
}

static void the_example_has_every_key(void **state)
{
	size_t length;
	(void)state;
	char *text = read_example(&length);
	uncomment(text, true);
	struct config *config = load(text); /* so its example rules are right, too */
	assert_true(config->rule_count > 2);
	config_free(config);
	check_keys(text, &raw_config_schema);
	free(text);
}

/* ---- mistakes --------------------------------------------------------------------------------------------- */

#define TOP_KEYS "mode, on_exit, ports, cgroup, tc, control_socket, control, privileges, fallback_window, account, policy, identity, sessions, alerts, syslog, file, journal, metrics"
#define DURATION "a number of seconds, or one with m, h or d behind it"
#define DESTINATION "an IPv4 or IPv6 address, ADDRESS/BITS, or any"
#define CGROUP_PATH "a path below the cgroup root, as in /system.slice/postfix.service"
#define NO_ANCHORS "YAML anchors and aliases are not supported; allowed: the value itself"
#define BYTES(literal) literal, sizeof(literal) - 1

static const struct {
	const char *bytes;
	size_t length;
	const char *message;
} mistakes[] = {
	/* keys */
	{ BYTES("mode: block\nmod: x\n"), "f:2:1: 'mod' is not a key here; allowed: " TOP_KEYS },
	{ BYTES("Mode: block"), "f:1:1: 'Mode' is not a key here; allowed: " TOP_KEYS },
	{ BYTES("<<: {mode: block}"), "f:1:1: '<<' is not a key here; allowed: " TOP_KEYS },
	{ BYTES("file:\n  Path: /x"), "f:2:3: file: 'Path' is not a key here; allowed: path" },
	{ BYTES("policy:\n  rules:\n    - to: any\n      prot: 25\n"),
	  "f:4:7: policy.rules[0]: 'prot' is not a key here; allowed: to, port, user, cgroup, require, action, unknown, "
	  "undecided, min_tls, name, reason, until" },
	{ BYTES("policy: {default: {to: any}}"),
	  "f:1:20: policy.default: 'to' is not a key here; allowed: require, action, unknown, undecided, min_tls" },
	{ BYTES("mode: block\naccount: name\nmode: block\n"), "f:3:1: 'mode' is there twice" },
	{ BYTES("metrics: {port: 1, port: 2}"), "f:1:20: metrics: 'port' is there twice" },
	{ BYTES("\"mode\\0x\": block"), "f:1:1: 'mode' has a NUL behind it" },
	{ BYTES("\"\\e[2J\\n\": block"), "f:1:1: '\\x1b[2J\\x0a' is not a key here; allowed: " TOP_KEYS },
	/* one of several words */
	{ BYTES("mode: blok"), "f:1:7: mode: 'blok' is not a value of this key; allowed: monitor, block" },
	{ BYTES("on_exit: stay"), "f:1:10: on_exit: 'stay' is not a value of this key; allowed: keep, detach" },
	{ BYTES("mode: 1"), "f:1:7: mode: '1' is not a value of this key; allowed: monitor, block" },
	{ BYTES("mode: \"bl\\e]0;x\\ack\""), "f:1:7: mode: 'bl\\x1b]0;x\\x07ck' is not a value of this key; allowed: monitor, block" },
	{ BYTES("mode: \"block\\0\""), "f:1:7: mode: 'block' has a NUL behind it; allowed: text without NUL" },
	{ BYTES("mode: 'null'"), "f:1:7: mode: 'null' is not a value of this key; allowed: monitor, block" },
	{ BYTES("account: plain"), "f:1:10: account: 'plain' is not a value of this key; allowed: name, hash, none" },
	{ BYTES("journal: maybe"), "f:1:10: journal: 'maybe' is not a value of this key; allowed: auto, on, off" },
	{ BYTES("alerts:\n  minimum: high"),
	  "f:2:12: alerts.minimum: 'high' is not a value of this key; allowed: info, notice, warning, error, critical" },
	{ BYTES("syslog: {facility: kern}"),
	  "f:1:20: syslog.facility: 'kern' is not a value of this key; allowed: mail, daemon, auth, authpriv, syslog, user, "
	  "local0, local1, local2, local3, local4, local5, local6, local7" },
	{ BYTES("policy:\n  default:\n    require: tls\n"),
	  "f:3:14: policy.default.require: 'tls' is not a value of this key; allowed: none, encrypted, verified" },
	{ BYTES("policy:\n  rules:\n    - to: any\n    - to: 192.0.2.1\n      action: drop\n"),
	  "f:5:15: policy.rules[1].action: 'drop' is not a value of this key; allowed: monitor, block" },
	{ BYTES("policy: {default: {unknown: yes}}"),
	  "f:1:29: policy.default.unknown: 'yes' is not a value of this key; allowed: pass, block" },
	/* kinds */
	{ BYTES("just text"), "f:1:1: 'just text' is of the wrong kind; allowed: a mapping (key: value)" },
	{ BYTES("- mode: block"), "f:1:1: is of the wrong kind; allowed: a mapping (key: value)" },
	{ BYTES("mode: [block]"), "f:1:7: mode: is of the wrong kind; allowed: a single value" },
	{ BYTES("ports: 25"), "f:1:8: ports: '25' is of the wrong kind; allowed: a mapping (key: value)" },
	{ BYTES("ports:\n  starttls: 25"), "f:2:13: ports.starttls: '25' is of the wrong kind; allowed: a list" },
	{ BYTES("policy: {rules: {to: any}}"), "f:1:17: policy.rules: is of the wrong kind; allowed: a list" },
	{ BYTES("policy: {rules: [~]}"), "f:1:18: policy.rules[0]: '~' is of the wrong kind; allowed: a mapping (key: value)" },
	/* numbers and flags */
	{ BYTES("ports: {starttls: [25, 65536]}"),
	  "f:1:24: ports.starttls[1]: '65536' is not a number of this key; allowed: a whole number from 0 to 65535" },
	{ BYTES("ports: {starttls: [025]}"),
	  "f:1:20: ports.starttls[0]: '025' is not a number of this key; allowed: a whole number from 0 to 65535" },
	{ BYTES("ports: {starttls: [0]}"), "f:1:20: ports.starttls[0]: '0' is not valid; allowed: 1 to 65535, each port once" },
	{ BYTES("ports: {starttls: [25, 26, 25]}"),
	  "f:1:28: ports.starttls[2]: '25' is not valid; allowed: 1 to 65535, each port once" },
	{ BYTES("ports:\n  starttls: [25]\n  implicit_tls: [465, 25]"),
	  "f:3:23: ports.implicit_tls[1]: '25' is not valid; allowed: 1 to 65535, each port once" },
	{ BYTES("ports: {starttls: [], implicit_tls: []}"), "f:1:8: ports: is not valid; allowed: at least one port" },
	{ BYTES("metrics: {port: 0x50}"),
	  "f:1:17: metrics.port: '0x50' is not a number of this key; allowed: a whole number from 0 to 65535" },
	{ BYTES("metrics: {port: -1}"),
	  "f:1:17: metrics.port: '-1' is not a number of this key; allowed: a whole number from 0 to 65535" },
	{ BYTES("metrics: {port: 1e3}"),
	  "f:1:17: metrics.port: '1e3' is not a number of this key; allowed: a whole number from 0 to 65535" },
	{ BYTES("metrics: {port: 0}"), "f:1:17: metrics.port: '0' is not valid; allowed: 1 to 65535" },
	{ BYTES("metrics: {enabled: 2}"), "f:1:20: metrics.enabled: '2' is neither true nor false; allowed: true, false" },
	{ BYTES("sessions: {keep: 0}"), "f:1:18: sessions.keep: '0' is not valid; allowed: 1 to 1000000" },
	{ BYTES("sessions: {keep: 1000001}"), "f:1:18: sessions.keep: '1000001' is not valid; allowed: 1 to 1000000" },
	{ BYTES("sessions: {open_max: 99999999999999999999}"),
	  "f:1:22: sessions.open_max: '99999999999999999999' is not a number of this key; allowed: a whole number from 0 to "
	  "4294967295" },
	{ BYTES("alerts: {rate: 0}"), "f:1:16: alerts.rate: '0' is not valid; allowed: 1 or more a minute" },
	/* text that means something */
	{ BYTES("fallback_window: 1w"), "f:1:18: fallback_window: '1w' is not valid; allowed: " DURATION },
	{ BYTES("fallback_window: -1"), "f:1:18: fallback_window: '-1' is not valid; allowed: " DURATION },
	{ BYTES("fallback_window: 1h30m"), "f:1:18: fallback_window: '1h30m' is not valid; allowed: " DURATION },
	{ BYTES("fallback_window: 367d"), "f:1:18: fallback_window: '367d' is not valid; allowed: " DURATION },
	{ BYTES("alerts:\n  repeat: 99999999999999999999"),
	  "f:2:11: alerts.repeat: '99999999999999999999' is not valid; allowed: " DURATION },
	{ BYTES("cgroup: system.slice"), "f:1:9: cgroup: 'system.slice' is not valid; allowed: an absolute path" },
	{ BYTES("control_socket: ''"), "f:1:17: control_socket: is empty; allowed: text of 1 to 1024 bytes" },
	{ BYTES("file: {path: \"null\"}"), "f:1:14: file.path: 'null' means no value, quoted too; allowed: other text" },
	{ BYTES("syslog: {socket: dev/log}"), "f:1:18: syslog.socket: 'dev/log' is not valid; allowed: an absolute path" },
	{ BYTES("syslog:\n  prefix: aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12345\n"),
	  "f:2:11: syslog.prefix: is too long; allowed: text of 0 to 64 bytes" },
	{ BYTES("metrics: {address: localhost}"),
	  "f:1:20: metrics.address: 'localhost' is not valid; allowed: an IPv4 or IPv6 address" },
	/* rules */
	{ BYTES("policy:\n  rules:\n    - to: mail.example.com\n"),
	  "f:3:11: policy.rules[0].to: 'mail.example.com' is not valid; allowed: " DESTINATION },
	{ BYTES("policy: {rules: [{to: 192.0.2.256}]}"),
	  "f:1:23: policy.rules[0].to: '192.0.2.256' is not valid; allowed: " DESTINATION },
	{ BYTES("policy: {rules: [{to: 192.0.2.0/33}]}"),
	  "f:1:23: policy.rules[0].to: '192.0.2.0/33' is not valid; allowed: " DESTINATION },
	{ BYTES("policy: {rules: [{to: 192.0.2.0/}]}"),
	  "f:1:23: policy.rules[0].to: '192.0.2.0/' is not valid; allowed: " DESTINATION },
	{ BYTES("policy: {rules: [{to: '::/129'}]}"), "f:1:23: policy.rules[0].to: '::/129' is not valid; allowed: " DESTINATION },
	{ BYTES("policy: {rules: [{to: 'fe80::1%eth0'}]}"),
	  "f:1:23: policy.rules[0].to: 'fe80::1%eth0' is not valid; allowed: " DESTINATION },
	{ BYTES("policy: {rules: [{to: 192.0.2.1/24}]}"),
	  "f:1:23: policy.rules[0].to: '192.0.2.1/24' is not valid; allowed: no bits set behind the prefix, as in 192.0.2.0/24" },
	{ BYTES("policy: {rules: [{to: '2001:db8::1/32'}]}"),
	  "f:1:23: policy.rules[0].to: '2001:db8::1/32' is not valid; allowed: no bits set behind the prefix, as in "
	  "2001:db8::/32" },
	{ BYTES("policy: {rules: [{to: '::ffff:10.0.0.1/104'}]}"),
	  "f:1:23: policy.rules[0].to: '::ffff:10.0.0.1/104' is not valid; allowed: no bits set behind the prefix, as in "
	  "10.0.0.0/8" },
	{ BYTES("policy: {rules: [{port: 0}]}"),
	  "f:1:25: policy.rules[0].port: '0' is not valid; allowed: 1 to 65535, or no port for any" },
	{ BYTES("policy: {rules: [{user: smtpward-nobody-has-this-name}]}"),
	  "f:1:25: policy.rules[0].user: 'smtpward-nobody-has-this-name' is not valid; allowed: the name of a user of this "
	  "host, or a uid" },
	{ BYTES("policy: {rules: [{user: 4294967295}]}"),
	  "f:1:25: policy.rules[0].user: '4294967295' is not valid; allowed: the name of a user of this host, or a uid" },
	{ BYTES("policy: {rules: [{user: root, cgroup: /a}]}"),
	  "f:1:39: policy.rules[0].cgroup: '/a' is not valid; allowed: either user or cgroup in one rule" },
	{ BYTES("policy: {rules: [{cgroup: a}]}"), "f:1:27: policy.rules[0].cgroup: 'a' is not valid; allowed: " CGROUP_PATH },
	{ BYTES("policy: {rules: [{cgroup: /a/}]}"), "f:1:27: policy.rules[0].cgroup: '/a/' is not valid; allowed: " CGROUP_PATH },
	{ BYTES("policy: {rules: [{cgroup: //a}]}"), "f:1:27: policy.rules[0].cgroup: '//a' is not valid; allowed: " CGROUP_PATH },
	{ BYTES("policy: {rules: [{cgroup: /a/../b}]}"),
	  "f:1:27: policy.rules[0].cgroup: '/a/../b' is not valid; allowed: " CGROUP_PATH },
	{ BYTES("policy: {rules: [{cgroup: /./a}]}"), "f:1:27: policy.rules[0].cgroup: '/./a' is not valid; allowed: " CGROUP_PATH },
	{ BYTES("policy: {rules: [{until: 2026-02-30}]}"),
	  "f:1:26: policy.rules[0].until: '2026-02-30' is not valid; allowed: a day as in 2026-12-31" },
	{ BYTES("policy: {rules: [{until: 2026-1-1}]}"),
	  "f:1:26: policy.rules[0].until: '2026-1-1' is not valid; allowed: a day as in 2026-12-31" },
	{ BYTES("policy: {rules: [{until: '2026-12- 1'}]}"),
	  "f:1:26: policy.rules[0].until: '2026-12- 1' is not valid; allowed: a day as in 2026-12-31" },
	{ BYTES("policy: {rules: [{until: 2026-12-31T00:00:00Z}]}"),
	  "f:1:26: policy.rules[0].until: '2026-12-31T00:00:00Z' is not valid; allowed: a day as in 2026-12-31" },
	{ BYTES("policy:\n  rules:\n    - to: 192.0.2.1\n    - to: 192.0.2.1/32\n"),
	  "f:4:7: policy.rules[1]: is not valid; allowed: one rule for one destination, port and sender; policy.rules[0] is for "
	  "these" },
	{ BYTES("policy:\n  rules:\n    - user: root\n    - user: 0\n"),
	  "f:4:7: policy.rules[1]: is not valid; allowed: one rule for one destination, port and sender; policy.rules[0] is for "
	  "these" },
	/* identity */
	{ BYTES("identity: {hold: 0s}"), "f:1:18: identity.hold: '0s' is not valid; allowed: 1s to 60s" },
	{ BYTES("identity: {hold: 61}"), "f:1:18: identity.hold: '61' is not valid; allowed: 1s to 60s" },
	{ BYTES("tc: {interfaces: eth0}"), "f:1:18: tc.interfaces: 'eth0' is of the wrong kind; allowed: a list" },
	{ BYTES("tc: {interfaces: ['']}"), "f:1:19: tc.interfaces[0]: is empty; allowed: text of 1 to 64 bytes" },
	{ BYTES("tc: {interface: [eth0]}"), "f:1:6: tc: 'interface' is not a key here; allowed: interfaces" },
	{ BYTES("identity: {trust: ca.pem}"), "f:1:19: identity.trust: 'ca.pem' is not valid; allowed: an absolute path" },
	{ BYTES("policy: {rules: [{require: encrypted, name: mx.example}]}"),
	  "f:1:45: policy.rules[0].name: 'mx.example' is not valid; allowed: a rule that requires verified" },
	{ BYTES("policy: {rules: [{require: verified, name: '*.example'}]}"),
	  "f:1:44: policy.rules[0].name: '*.example' is not valid; allowed: one host name or address, as the certificate has it" },
	{ BYTES("policy: {rules: [{require: none, min_tls: 1.2}]}"),
	  "f:1:43: policy.rules[0].min_tls: is not valid; allowed: a rule that requires encrypted or verified" },
	{ BYTES("policy: {default: {require: none, min_tls: 1.2}}"),
	  "f:1:44: policy.default.min_tls: is not valid; allowed: a default that requires encrypted or verified" },
	{ BYTES("policy: {rules: [{min_tls: 1.1}]}"),
	  "f:1:28: policy.rules[0].min_tls: '1.1' is not a value of this key; allowed: 1.2, 1.3" },
	/* YAML itself */
	{ BYTES("mode: block\nfile: {path: /x\n"), "f:3:1: did not find expected ',' or '}'" },
	{ BYTES("file:\n\tpath: /x\n"), "f:2:1: found character that cannot start any token" },
	{ BYTES("mode: block\n  file: x\n"), "f:2:7: mapping values are not allowed in this context" },
	{ BYTES("mode: block\n---\nmode: monitor\n"), "f:2:1: a second YAML document begins here; allowed: one" },
	{ BYTES("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"), "f:1:4: " NO_ANCHORS },
	{ BYTES("mode: &m block\n"), "f:1:7: " NO_ANCHORS },
	{ BYTES("file: &f {path: /x}\n"), "f:1:7: " NO_ANCHORS },
	{ BYTES("mode: block\naccount: *m\n"), "f:2:10: " NO_ANCHORS },
	{ BYTES("mode: block\n# caf\xe9\n"), "f:2:6: incomplete UTF-8 octet sequence; allowed: UTF-8 text" },
	{ BYTES("# \xc3\xa9\xff\n"), "f:1:4: invalid leading UTF-8 octet; allowed: UTF-8 text" },
	{ BYTES("mode: block\n\n# \x1b[2J\n"), "f:3:3: control characters are not allowed; allowed: UTF-8 text" },
	{ BYTES("mode: block\n\0"), "f:2:1: control characters are not allowed; allowed: UTF-8 text" },
	{ BYTES("\xff\xfem\0o\0d\0e\0:\0 \0x\0"), "f:1:1: is UTF-16; allowed: UTF-8 text" },
};

static void a_mistake_gets_one_line_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		char error[512] = "";
		struct config *config = load_bytes(mistakes[i].bytes, mistakes[i].length, error);
		if (config)
			fail_msg("was accepted: %s", mistakes[i].bytes);
		if (strcmp(error, mistakes[i].message) != 0)
			fail_msg("\n  %s\nnot\n  %s", error, mistakes[i].message);
	}
}

/* Cut off anywhere, a good file is a good or a bad one, but never read beyond its end (ASan sees that). */
static void a_file_may_end_anywhere(void **state)
{
	static const char text[] = "mode: \"bl\\x6fck\" # \xc3\xa9\nports: {starttls: [25, 587]}\npolicy:\n  default: {require: verified}\n"
				   "  rules:\n    - {to: '2001:db8::/32', port: 25, until: 2026-12-31}\n    - user: root\n";
	unsigned accepted = 0;
	(void)state;
	for (size_t length = 0; length < sizeof(text); length++) {
		char error[512] = "";
		struct config *config = load_bytes(text, length, error);
		assert_true(config || (strncmp(error, "f:", 2) == 0 && !strpbrk(error, "\n\r\x1b")));
		accepted += config != NULL;
		config_free(config);
	}
	assert_in_range(accepted, 5, sizeof(text) - 5);
}

static char *write_rules(unsigned count)
{
	char *text = malloc(64 + 48 * (size_t)count), *at = text;
	assert_non_null(text);
	at += sprintf(at, "policy:\n  rules:\n");
	for (unsigned i = 0; i < count; i++)
		at += sprintf(at, "    - {to: 10.%u.%u.0/24}\n", i >> 8, i & 255);
	return text;
}

static void there_may_be_so_many_rules_and_no_more(void **state)
{
	char error[512];
	(void)state;
	char *most = write_rules(POLICY_MAX_RULES - 2), *more = write_rules(POLICY_MAX_RULES - 1);
	struct config *config = load(most);
	assert_int_equal(config->rule_count, POLICY_MAX_RULES);
	config_free(config);
	assert_null(load_bytes(more, strlen(more), error));
	assert_string_equal(error, "f:3:5: policy.rules: has too many entries; allowed: 4094 entries");
	free(most);
	free(more);
}

static void there_may_be_so_many_ports_and_no_more(void **state)
{
	char text[1024], error[512], *at = text;
	(void)state;
	at += sprintf(at, "ports: {starttls: [");
	for (unsigned i = 0; i < PORTS_MAX - 1; i++)
		at += sprintf(at, "%u, ", 1000 + i);
	char *end = at;
	sprintf(end, "]}");
	struct config *config = load(text);
	assert_int_equal(config->port_count, PORTS_MAX);
	config_free(config);
	sprintf(end, "2000]}");
	assert_null(load_bytes(text, strlen(text), error));
	assert_string_equal(error, "f:1:8: ports.implicit_tls[0]: '465' is not valid; allowed: 64 ports in all");
}

static void deep_nesting_is_refused(void **state)
{
	char text[4096], error[512];
	(void)state;
	memset(text, '[', sizeof(text));
	assert_null(load_bytes(text, sizeof(text), error));
	assert_int_equal(strncmp(error, "f:", 2), 0);
}

static void a_file_of_a_mebibyte_is_read_and_no_longer_one(void **state)
{
	char error[512];
	(void)state;
	char *text = malloc(1024 * 1024 + 1);
	assert_non_null(text);
	memset(text, '#', 1024 * 1024 + 1);
	struct config *config = load_bytes(text, 1024 * 1024, error);
	assert_non_null(config);
	config_free(config);
	assert_null(load_bytes(text, 1024 * 1024 + 1, error));
	assert_string_equal(error, "f: is longer than 1 MiB");
	free(text);
}

static void what_is_no_readable_file_is_named(void **state)
{
	static const struct {
		const char *path, *message;
	} cases[] = {
		{ "none", "none: No such file or directory" },
		{ "no\x1b[2J\nne", "no\\x1b[2J\\x0ane: No such file or directory" },
		{ ".", ".: is a directory; a file is wanted" },
		{ "pipe", "pipe: is not a regular file" },
		{ "loop", "loop: Too many levels of symbolic links" },
	};
	char error[512];
	(void)state;
	assert_int_equal(mkfifo("pipe", 0600), 0);
	assert_int_equal(symlink("loop", "loop"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(config_load(cases[i].path, error, sizeof(error)));
		assert_string_equal(error, cases[i].message);
	}
	unlink("pipe");
	unlink("loop");
}

static void a_file_of_others_is_not_read(void **state)
{
	char error[512];
	(void)state;
	config_free(load("mode: block"));
	assert_int_equal(chmod("f", 0), 0);
	assert_int_equal(chmod(".", 0755), 0);
	uid_t saved = geteuid();
	if (saved == 0)
		assert_int_equal(seteuid(65534), 0);
	struct config *config = config_load("f", error, sizeof(error));
	if (saved == 0)
		assert_int_equal(seteuid(0), 0);
	unlink("f");
	assert_null(config);
	assert_string_equal(error, "f: Permission denied");
}

/* Whatever the room for the message, it ends within. */
static void a_message_is_cut_where_there_is_no_room(void **state)
{
	char room[40];
	(void)state;
	config_free(load("mode: block"));
	int fd = open("f", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "mode: monitors-and-blocks", 25), 25);
	close(fd);
	memset(room, '!', sizeof(room));
	assert_null(config_load("f", room, 20));
	assert_string_equal(room, "f:1:7: mode: 'monit");
	assert_int_equal(room[20], '!');
}

static int set_up(void **state)
{
	(void)state;
	setenv("TZ", "UTC0", 1);
	return !getcwd(top, sizeof(top)) || !mkdtemp(folder) || chdir(folder) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink("f");
	return chdir(top) < 0 || rmdir(folder) < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_gives_the_defaults),
		cmocka_unit_test(no_value_means_the_default),
		cmocka_unit_test(every_key_is_taken_over),
		cmocka_unit_test(a_list_of_ports_may_be_empty),
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(rules_become_keys),
		cmocka_unit_test(a_day_ends_in_local_time),
		cmocka_unit_test(the_file_can_replace_the_rules_for_loopback),
		cmocka_unit_test(the_example_says_the_defaults),
		cmocka_unit_test(the_example_has_every_key),
		cmocka_unit_test(identity_and_its_demands_are_read),
		cmocka_unit_test(a_mistake_gets_one_line_with_its_place),
		cmocka_unit_test(a_file_may_end_anywhere),
		cmocka_unit_test(there_may_be_so_many_rules_and_no_more),
		cmocka_unit_test(there_may_be_so_many_ports_and_no_more),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(a_file_of_a_mebibyte_is_read_and_no_longer_one),
		cmocka_unit_test(what_is_no_readable_file_is_named),
		cmocka_unit_test(a_file_of_others_is_not_read),
		cmocka_unit_test(a_message_is_cut_where_there_is_no_room),
	};
	return cmocka_run_group_tests_name("config", tests, set_up, tear_down);
}
