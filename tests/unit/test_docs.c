/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The documents against the code: what they say of findings, outcomes, configuration keys, defaults and metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <yaml.h>

#include "config.h"
#include "config_raw.h"
#include "finding.h"
#include "metrics.h"
#include "monitor_table.h"
#include "privileges.h"
#include "sandbox.h"

#define FINDINGS_PAGE "docs/findings.md"
#define EXAMPLE "packaging/smtpward.yaml"
#define MANUAL "docs/smtpward.yaml.5"
#define PRIVILEGES_PAGE "docs/privileges.md"

static char *read_page(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = calloc(1, 256 * 1024);

	if (!file)
		fail_msg("%s: cannot be opened", path);
	assert_non_null(text);
	assert_true(fread(text, 1, 256 * 1024 - 1, file) > 0);
	assert_true(feof(file));
	fclose(file);
	return text;
}

/* The rows of the page's tables that are about name, one behind the other. */
static char *rows_of(const char *page, const char *name)
{
	char *rows = calloc(1, strlen(page) + 1), start[64];

	assert_non_null(rows);
	snprintf(start, sizeof(start), "\n| `%s` |", name);
	for (const char *row = page; (row = strstr(row, start));) {
		size_t length = strcspn(++row, "\n");
		strncat(rows, row, length);
		row += length;
	}
	return rows;
}

static void assert_says(const char *page, const char *about, const char *text)
{
	if (!strstr(page, text))
		fail_msg("of %s it is not said: %s", about, text);
}

static void test_every_finding_is_documented(void **state)
{
	static const char not_required[] = "; info where the policy requires nothing of the destination";
	char *page = read_page(FINDINGS_PAGE), severity[512];

	(void)state;
	for (int i = 0; i < FINDING_COUNT; i++) {
		const char *name = finding_name((enum finding)i);
		const struct finding_text *text = finding_text((enum finding)i);
		char *rows = rows_of(page, name), *end;
		/* what holds of all of them stands above the table */
		snprintf(severity, sizeof(severity), "%s", text->severity);
		end = strstr(severity, not_required);
		assert_non_null(end);
		assert_string_equal(end, not_required);
		*end = '\0';
		assert_says(rows, name, text->summary);
		assert_says(rows, name, text->signature);
		assert_says(rows, name, severity);
		assert_says(rows, name, text->rfc8460);
		assert_says(rows, name, text->attack);
		assert_says(rows, name, text->control);
		free(rows);
	}
	free(page);
}

static void test_every_outcome_is_documented(void **state)
{
	static const char *const pages[] = { FINDINGS_PAGE, "README.md" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char *page = read_page(pages[i]);
		for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
			char *rows = rows_of(page, outcome_name((enum outcome)outcome));
			assert_says(rows, pages[i], outcome_name((enum outcome)outcome));
			free(rows);
		}
		free(page);
	}
}

/* ---- configuration ---------------------------------------------------------------------------------------- */

/* The example with each setting's comment sign taken away; lines with two of them are explanations. */
static char *opened_example(void)
{
	char *page = read_page(EXAMPLE), *opened = calloc(1, strlen(page) + 1), *out = opened;

	assert_non_null(opened);
	for (const char *line = page; *line;) {
		size_t length = strcspn(line, "\n") + 1;
		bool setting = line[0] == '#' && line[1] != '#';
		memcpy(out, line + setting, length - setting);
		out += length - setting;
		line += length;
	}
	free(page);
	return opened;
}

static struct config *load_text(const char *text)
{
	char path[] = "/tmp/smtpward-test-docs-XXXXXX", error[512];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	struct config *config = config_load(path, error, sizeof(error));
	unlink(path);
	if (!config)
		fail_msg("%s", error);
	return config;
}

static void assert_same_text(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static void assert_same_settings(const struct config *a, const struct config *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->on_exit, b->on_exit);
	assert_int_equal(a->port_count, b->port_count);
	assert_memory_equal(a->ports, b->ports, a->port_count * sizeof(a->ports[0]));
	assert_same_text(a->cgroup, b->cgroup);
	assert_same_text(a->control_socket, b->control_socket);
	assert_same_text(a->control.owner, b->control.owner);
	assert_same_text(a->control.group, b->control.group);
	assert_same_text(a->control.admin_group, b->control.admin_group);
	assert_same_text(a->privileges.user, b->privileges.user);
	assert_int_equal(a->privileges.containers, b->privileges.containers);
	assert_int_equal(a->privileges.required, b->privileges.required);
	assert_int_equal(a->fallback_window_s, b->fallback_window_s);
	assert_int_equal(a->account, b->account);
	assert_memory_equal(&a->default_rule, &b->default_rule, sizeof(a->default_rule));
	assert_memory_equal(&a->sessions, &b->sessions, sizeof(a->sessions));
	assert_memory_equal(&a->alerts, &b->alerts, sizeof(a->alerts));
	assert_int_equal(a->syslog.enabled, b->syslog.enabled);
	assert_int_equal(a->syslog.facility, b->syslog.facility);
	assert_same_text(a->syslog.prefix, b->syslog.prefix);
	assert_same_text(a->syslog.socket, b->syslog.socket);
	assert_same_text(a->file.path, b->file.path);
	assert_int_equal(a->journal, b->journal);
	assert_int_equal(a->metrics.enabled, b->metrics.enabled);
	assert_same_text(a->metrics.address, b->metrics.address);
	assert_int_equal(a->metrics.port, b->metrics.port);
}

static void test_example_as_shipped_changes_nothing(void **state)
{
	char *text = read_page(EXAMPLE);
	struct config *shipped = load_text(text), *defaults = load_text("# nothing\n");

	(void)state;
	assert_same_settings(shipped, defaults);
	assert_int_equal(shipped->rule_count, defaults->rule_count);
	config_free(shipped);
	config_free(defaults);
	free(text);
}

/* Opened it holds the defaults, and beside them rules, which are examples. */
static void test_example_opened_holds_the_defaults(void **state)
{
	char *text = opened_example();
	struct config *opened = load_text(text), *defaults = load_text("# nothing\n");

	(void)state;
	assert_same_settings(opened, defaults);
	assert_true(opened->rule_count > defaults->rule_count);
	config_free(opened);
	config_free(defaults);
	free(text);
}

/* Whether the document has the keys of path ("policy.rules.to"); of a list, one entry that has them will do. */
static bool has_path(yaml_document_t *document, int index, const char *path)
{
	const yaml_node_t *node = yaml_document_get_node(document, index);
	size_t length = strcspn(path, ".");

	if (!*path)
		return true;
	if (node->type == YAML_SEQUENCE_NODE) {
		for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
			if (has_path(document, *item, path))
				return true;
	} else if (node->type == YAML_MAPPING_NODE) {
		for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
			const yaml_node_t *key = yaml_document_get_node(document, pair->key);
			if (key->data.scalar.length == length && !memcmp(key->data.scalar.value, path, length))
				return has_path(document, pair->value, path + length + (path[length] == '.'));
		}
	}
	return false;
}

/* Whether the manual's section has an item for the key, or the key is a section of its own. */
static bool has_item(const char *manual, const char *path)
{
	char heading[160], item[160];
	const char *key = strrchr(path, '.') ? strrchr(path, '.') + 1 : path;
	bool top = key == path;

	snprintf(heading, sizeof(heading), "\n.Ss %s\n", path);
	if (top && strstr(manual, heading))
		return true;
	snprintf(heading, sizeof(heading), "\n.Ss %.*s\n", top ? 9 : (int)strcspn(path, "."), top ? "Top level" : path);
	const char *start = strstr(manual, heading);
	if (!start)
		return false;
	start += strlen(heading);
	char *text = strndup(start, (size_t)(strstr(start, "\n.S") - start));
	bool found = false;
	snprintf(item, sizeof(item), ".It Cm %s", key);
	for (const char *at = text; !found && (at = strstr(at, item)); at += strlen(item))
		found = at[strlen(item)] == ' ' || at[strlen(item)] == '\n';
	free(text);
	return found;
}

struct pages {
	yaml_document_t example;
	char *manual;
};

static void check_fields(struct pages *pages, const cyaml_schema_value_t *value, const char *path)
{
	char below[128];

	if (value->type == CYAML_SEQUENCE)
		check_fields(pages, value->sequence.entry, path);
	if (value->type != CYAML_MAPPING)
		return;
	for (const cyaml_schema_field_t *field = value->mapping.fields; field->key; field++) {
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", field->key);
		if (!has_path(&pages->example, 1, below))
			fail_msg("%s has no key %s", EXAMPLE, below);
		if (!has_item(pages->manual, below))
			fail_msg("%s has no key %s", MANUAL, below);
		check_fields(pages, &field->value, below);
	}
}

static void test_every_key_is_documented(void **state)
{
	struct pages pages = { .manual = read_page(MANUAL) };
	char *opened = opened_example();
	yaml_parser_t parser;

	(void)state;
	assert_true(yaml_parser_initialize(&parser));
	yaml_parser_set_input_string(&parser, (const unsigned char *)opened, strlen(opened));
	assert_true(yaml_parser_load(&parser, &pages.example));
	check_fields(&pages, &raw_config_schema, "");
	yaml_document_delete(&pages.example);
	yaml_parser_delete(&parser);
	free(opened);
	free(pages.manual);
}

/* ---- metrics ---------------------------------------------------------------------------------------------- */

static void test_every_metric_is_in_the_readme(void **state)
{
	const struct metrics_view view = { .version = "" };
	struct evbuffer *buffer = evbuffer_new();
	char *page = read_page("README.md"), *line, name[128];

	(void)state;
	assert_non_null(buffer);
	metrics_text(buffer, &view, false);
	while ((line = evbuffer_readln(buffer, NULL, EVBUFFER_EOL_LF))) {
		if (sscanf(line, "# TYPE %127s", name) == 1 && strncmp(name, "smtpward_kernel_", 16) != 0)
			assert_says(page, "metrics", name);
		free(line);
	}
	assert_says(page, "metrics", "smtpward_kernel_*_total");
	evbuffer_free(buffer);
	free(page);
}

/* ---- privileges ------------------------------------------------------------------------------------------- */

/* The section of the page under heading. */
static char *section_of(const char *page, const char *heading)
{
	char title[80];
	snprintf(title, sizeof(title), "\n## %s\n", heading);
	const char *start = strstr(page, title);
	if (!start)
		fail_msg("%s has no section %s", PRIVILEGES_PAGE, heading);
	start += strlen(title);
	const char *end = strstr(start, "\n## ");
	return strndup(start, end ? (size_t)(end - start) : strlen(start));
}

/* Whether name stands, in code marks, in the first cell of a row. */
static bool has_row(const char *section, const char *name)
{
	char mark[80];
	snprintf(mark, sizeof(mark), "`%s`", name);
	for (const char *row = strstr(section, "\n| "); row; row = strstr(row + 1, "\n| ")) {
		const char *found = strstr(row, mark), *end = strchr(row + 3, '|');
		if (found && end && found < end)
			return true;
	}
	return false;
}

/* How many names in code marks the first cells have. */
static unsigned count_names(const char *section)
{
	unsigned marks = 0;
	for (const char *row = strstr(section, "\n| `"); row; row = strstr(row + 1, "\n| `")) {
		for (const char *c = row + 3; *c && *c != '|'; c++)
			marks += *c == '`';
	}
	return marks / 2;
}

static void assert_rows(const char *heading, const char *(*name_of)(unsigned index))
{
	char *page = read_page(PRIVILEGES_PAGE), *section = section_of(page, heading);
	unsigned count = 0, different = 0;
	for (const char *name; (name = name_of(count)); count++) {
		if (!has_row(section, name))
			fail_msg("%s, %s: no row for %s", PRIVILEGES_PAGE, heading, name);
		bool again = false;
		for (unsigned i = 0; i < count; i++)
			again |= strcmp(name_of(i), name) == 0;
		different += !again;
	}
	if (count_names(section) != different)
		fail_msg("%s, %s: %u names, the code has %u", PRIVILEGES_PAGE, heading, count_names(section), different);
	free(section);
	free(page);
}

static const char *operation_name(unsigned index)
{
	return index < MONITOR_OPERATION_COUNT ? monitor_rows[index].name : NULL;
}

static const char *agent_call(unsigned index)
{
	return sandbox_call_name(SANDBOX_AGENT, index);
}

static const char *reader_call(unsigned index)
{
	return sandbox_call_name(SANDBOX_READER, index);
}

/* Both tables of that section. */
static const char *capability_or_forbidden(unsigned index)
{
	unsigned capabilities = 0;
	while (privileges_capability(capabilities))
		capabilities++;
	return index < capabilities ? privileges_capability(index) : sandbox_forbidden_name(index - capabilities);
}

static void test_every_privilege_has_its_reason(void **state)
{
	(void)state;
	assert_rows("The monitor's capabilities", capability_or_forbidden);
	assert_rows("The monitor's operations", operation_name);
	assert_rows("The agent's system calls", agent_call);
	assert_rows("The reader's system calls", reader_call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_finding_is_documented),
		cmocka_unit_test(test_every_outcome_is_documented),
		cmocka_unit_test(test_example_as_shipped_changes_nothing),
		cmocka_unit_test(test_example_opened_holds_the_defaults),
		cmocka_unit_test(test_every_key_is_documented),
		cmocka_unit_test(test_every_metric_is_in_the_readme),
		cmocka_unit_test(test_every_privilege_has_its_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
