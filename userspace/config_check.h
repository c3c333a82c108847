/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Checks a YAML text against the schema before libcyaml loads it, for the sake of the message: file, line, column,
 * key and what is allowed, in one line.
 */
#ifndef SMTPWARD_CONFIG_CHECK_H
#define SMTPWARD_CONFIG_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include <cyaml/cyaml.h>

struct config_text {
	const char *path; /* for messages */
	const char *bytes;
	size_t length;
	char *error; /* where the message goes */
	unsigned error_size;
};

/*
 * Returns whether libcyaml will take the text; if not, the message is in text->error. *empty: there is nothing in it
 * but comments; that is well, but libcyaml would not say so.
 */
bool config_check(const struct config_text *text, const cyaml_schema_value_t *schema, bool *empty);

/* Whether the text, which was checked, has a value for key, be it an empty one; null is none. */
bool config_has(const struct config_text *text, const char *key);

/*
 * Writes the message for a value that the schema takes and we do not. key is a path as in "policy.rules[2].to", indices
 * from 0; the place is found by walking there. Returns false, for the caller to pass on.
 */
bool config_reject(const struct config_text *text, const char *key, const char *value, const char *allowed);

#endif
