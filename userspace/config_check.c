/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "config_check.h"
#include "escape.h"

#define KEY_SIZE 256
#define ALLOWED_SIZE 512

struct check {
	const struct config_text *text;
	yaml_document_t document;
};

/* One line: FILE:LINE:COLUMN: key: what is wrong; allowed: what is right. Lines and columns count from 1. */
static bool complain(const struct config_text *text, yaml_mark_t mark, const char *key, const char *value, const char *wrong,
		     const char *allowed)
{
	char place[512], printable[160];
	escape_text(place, sizeof(place), text->path, strlen(text->path));
	escape_text(printable, sizeof(printable), value, strlen(value));
	snprintf(text->error, text->error_size, "%s:%zu:%zu: %s%s%s%s%s%s%s%s", place, mark.line + 1, mark.column + 1, key,
		 *key ? ": " : "", *value ? "'" : "", printable, *value ? "' " : "", wrong, *allowed ? "; allowed: " : "", allowed);
	return false;
}

static const char *scalar(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

/* What libcyaml takes for no value, quoted or not. */
static bool looks_null(const yaml_node_t *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (node->type == YAML_SCALAR_NODE && strcmp(scalar(node), words[i]) == 0)
			return true;
	}
	return false;
}

/* A key with nothing behind it: its default. */
static bool is_null(const yaml_node_t *node)
{
	return looks_null(node) && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Text in C ends at a NUL: "block\0..." would pass for "block". */
static bool has_nul(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && strlen(scalar(node)) != node->data.scalar.length;
}

/* ---- one value against its schema ------------------------------------------------------------------------- */

static void append(char *list, size_t size, const char *word)
{
	size_t used = strlen(list);
	snprintf(list + used, size - used, "%s%s", used ? ", " : "", word);
}

static bool check_enum(const struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	char allowed[ALLOWED_SIZE] = "";
	for (uint32_t i = 0; i < schema->enumeration.count; i++) {
		if (strcmp(scalar(node), schema->enumeration.strings[i].str) == 0)
			return true;
		append(allowed, sizeof(allowed), schema->enumeration.strings[i].str);
	}
	return complain(check->text, node->start_mark, key, scalar(node), "is not a value of this key", allowed);
}

static bool check_number(const struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	char allowed[64], *end;
	unsigned long long maximum = schema->data_size >= 8 ? ~0ULL : (1ULL << 8 * schema->data_size) - 1;
	const char *text = scalar(node);
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	bool octal = text[0] == '0' && text[1]; /* for libcyaml 025 is 21 */
	if (*text >= '0' && *text <= '9' && !octal && !*end && !errno && value <= maximum)
		return true;
	snprintf(allowed, sizeof(allowed), "a whole number from 0 to %llu", maximum);
	return complain(check->text, node->start_mark, key, text, "is not a number of this key", allowed);
}

static bool check_flag(const struct check *check, const yaml_node_t *node, const char *key)
{
	static const char *const words[] = { "true", "false", "yes", "no", "on", "off" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(scalar(node), words[i]) == 0)
			return true;
	}
	return complain(check->text, node->start_mark, key, scalar(node), "is neither true nor false", "true, false");
}

static bool check_text(const struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	char allowed[64];
	size_t length = node->data.scalar.length;
	if (length && looks_null(node))
		return complain(check->text, node->start_mark, key, scalar(node), "means no value, quoted too", "other text");
	if (length >= schema->string.min && length <= schema->string.max)
		return true;
	snprintf(allowed, sizeof(allowed), "text of %u to %u bytes", schema->string.min, schema->string.max);
	return complain(check->text, node->start_mark, key, "", length ? "is too long" : "is empty", allowed);
}

static bool check_scalar(const struct check *check, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	switch (schema->type) {
	case CYAML_ENUM:
		return check_enum(check, node, schema, key);
	case CYAML_UINT:
		return check_number(check, node, schema, key);
	case CYAML_BOOL:
		return check_flag(check, node, key);
	default:
		return check_text(check, node, schema, key);
	}
}

/* ---- mappings and sequences ------------------------------------------------------------------------------- */

static bool check_node(struct check *check, yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key);

static const cyaml_schema_field_t *field_called(const cyaml_schema_value_t *schema, const char *name, char allowed[ALLOWED_SIZE])
{
	allowed[0] = 0;
	for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key; field++) {
		if (strcmp(field->key, name) == 0)
			return field;
		append(allowed, ALLOWED_SIZE, field->key);
	}
	return NULL;
}

static bool is_repeated(struct check *check, const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
	const char *name = scalar(yaml_document_get_node(&check->document, pair->key));
	for (const yaml_node_pair_t *earlier = mapping->data.mapping.pairs.start; earlier < pair; earlier++) {
		if (strcmp(scalar(yaml_document_get_node(&check->document, earlier->key)), name) == 0)
			return true;
	}
	return false;
}

static bool check_mapping(struct check *check, yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	char path[KEY_SIZE], allowed[ALLOWED_SIZE];
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *name = yaml_document_get_node(&check->document, pair->key);
		const cyaml_schema_field_t *field = field_called(schema, scalar(name), allowed);
		if (has_nul(name))
			return complain(check->text, name->start_mark, key, scalar(name), "has a NUL behind it", "");
		if (!field)
			return complain(check->text, name->start_mark, key, scalar(name), "is not a key here", allowed);
		if (is_repeated(check, node, pair))
			return complain(check->text, name->start_mark, key, scalar(name), "is there twice", "");
		snprintf(path, sizeof(path), "%s%s%s", key, *key ? "." : "", field->key);
		if (!check_node(check, yaml_document_get_node(&check->document, pair->value), &field->value, path))
			return false;
	}
	return true;
}

static bool check_sequence(struct check *check, yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	char path[KEY_SIZE], allowed[64];
	size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	if (count > schema->sequence.max) {
		snprintf(allowed, sizeof(allowed), "%u entries", schema->sequence.max);
		return complain(check->text, node->start_mark, key, "", "has too many entries", allowed);
	}
	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s[%zu]", key, i);
		if (!check_node(check, yaml_document_get_node(&check->document, node->data.sequence.items.start[i]),
				schema->sequence.entry, path))
			return false;
	}
	return true;
}

static bool check_node(struct check *check, yaml_node_t *node, const cyaml_schema_value_t *schema, const char *key)
{
	if (is_null(node) && (schema->flags & CYAML_FLAG_POINTER_NULL_STR) == CYAML_FLAG_POINTER_NULL_STR)
		return true;
	if (has_nul(node))
		return complain(check->text, node->start_mark, key, scalar(node), "has a NUL behind it", "text without NUL");
	yaml_node_type_t wanted = schema->type == CYAML_MAPPING	  ? YAML_MAPPING_NODE
				  : schema->type == CYAML_SEQUENCE ? YAML_SEQUENCE_NODE
								   : YAML_SCALAR_NODE;
	if (node->type != wanted)
		return complain(check->text, node->start_mark, key, scalar(node), "is of the wrong kind",
				wanted == YAML_MAPPING_NODE    ? "a mapping (key: value)"
				: wanted == YAML_SEQUENCE_NODE ? "a list"
							       : "a single value");
	if (wanted == YAML_MAPPING_NODE)
		return check_mapping(check, node, schema, key);
	return wanted == YAML_SEQUENCE_NODE ? check_sequence(check, node, schema, key)
					    : check_scalar(check, node, schema, key);
}

/* ---- the text --------------------------------------------------------------------------------------------- */

static bool parser_start(yaml_parser_t *parser, const struct config_text *text)
{
	if (!yaml_parser_initialize(parser)) {
		snprintf(text->error, text->error_size, "out of memory");
		return false;
	}
	yaml_parser_set_input_string(parser, (const unsigned char *)text->bytes, text->length);
	return true;
}

/* The place of a byte, counted in lines and characters as libyaml's other marks are. */
static yaml_mark_t mark_at(const struct config_text *text, size_t offset)
{
	yaml_mark_t mark = { 0 };
	for (size_t i = 0; i < offset && i < text->length; i++) {
		unsigned char byte = (unsigned char)text->bytes[i];
		if (byte == '\n') {
			mark.line++;
			mark.column = 0;
		} else if ((byte & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

static bool complain_syntax(const struct config_text *text, const yaml_parser_t *parser)
{
	const char *problem = parser->problem ? parser->problem : "is no YAML";
	if (parser->error == YAML_READER_ERROR)
		return complain(text, mark_at(text, parser->problem_offset), "", "", problem, "UTF-8 text");
	return complain(text, parser->problem_mark, "", "", problem, "");
}

static bool has_anchor(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return true;
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor != NULL;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor != NULL;
	default:
		return false;
	}
}

/* Aliases can make a small file a huge one, and libcyaml reads the first document only: neither is for us. */
static bool check_event(const struct config_text *text, const yaml_event_t *event, unsigned *documents)
{
	if (has_anchor(event))
		return complain(text, event->start_mark, "", "", "YAML anchors and aliases are not supported", "the value itself");
	if (event->type == YAML_DOCUMENT_START_EVENT && ++*documents > 1)
		return complain(text, event->start_mark, "", "", "a second YAML document begins here", "one");
	return true;
}

static bool check_syntax(const struct config_text *text)
{
	yaml_parser_t parser;
	bool good = true, ended = false;
	unsigned documents = 0;
	if (text->length >= 2 && (!memcmp(text->bytes, "\xff\xfe", 2) || !memcmp(text->bytes, "\xfe\xff", 2)))
		return complain(text, (yaml_mark_t){ 0 }, "", "", "is UTF-16", "UTF-8 text");
	if (!parser_start(&parser, text))
		return false;
	while (good && !ended) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			good = complain_syntax(text, &parser);
			break;
		}
		good = check_event(text, &event, &documents);
		ended = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return good;
}

/* Loads the document; check->document is to be deleted if true is returned. */
static bool load(struct check *check)
{
	yaml_parser_t parser;
	if (!parser_start(&parser, check->text))
		return false;
	bool good = yaml_parser_load(&parser, &check->document) != 0;
	if (!good)
		complain_syntax(check->text, &parser);
	yaml_parser_delete(&parser);
	return good;
}

bool config_check(const struct config_text *text, const cyaml_schema_value_t *schema, bool *empty)
{
	struct check check = { .text = text };
	if (!check_syntax(text) || !load(&check))
		return false;
	yaml_node_t *root = yaml_document_get_root_node(&check.document);
	*empty = !root || is_null(root);
	bool good = *empty || check_node(&check, root, schema, "");
	yaml_document_delete(&check.document);
	return good;
}

/* ---- a value by its path ---------------------------------------------------------------------------------- */

/* One step along path; moves it on. NULL if there is no such node. */
static yaml_node_t *step(struct check *check, yaml_node_t *node, const char **path)
{
	if (**path == '[') {
		char *end;
		unsigned long index = strtoul(*path + 1, &end, 10);
		*path = *end == ']' ? end + 1 : end;
		if (node->type != YAML_SEQUENCE_NODE ||
		    index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
			return NULL;
		return yaml_document_get_node(&check->document, node->data.sequence.items.start[index]);
	}
	*path += **path == '.';
	size_t length = strcspn(*path, ".[");
	const char *name = *path;
	*path += length;
	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const char *key = scalar(yaml_document_get_node(&check->document, pair->key));
		if (strncmp(key, name, length) == 0 && !key[length])
			return yaml_document_get_node(&check->document, pair->value);
	}
	return NULL;
}

/* The node at path, or NULL; *mark is where it, or the last one on the way to it, begins. */
static yaml_node_t *find(struct check *check, const char *path, yaml_mark_t *mark)
{
	yaml_node_t *node = yaml_document_get_root_node(&check->document);
	while (node) {
		*mark = node->start_mark;
		if (!*path)
			break;
		node = step(check, node, &path);
	}
	return node;
}

bool config_has(const struct config_text *text, const char *key)
{
	struct check check = { .text = text };
	yaml_mark_t mark;
	if (!load(&check))
		return false;
	const yaml_node_t *node = find(&check, key, &mark);
	bool has = node && !is_null(node);
	yaml_document_delete(&check.document);
	return has;
}

bool config_reject(const struct config_text *text, const char *key, const char *value, const char *allowed)
{
	struct check check = { .text = text };
	yaml_mark_t mark = { 0 };
	if (load(&check)) {
		find(&check, key, &mark);
		yaml_document_delete(&check.document);
	}
	return complain(text, mark, key, value, "is not valid", allowed);
}
