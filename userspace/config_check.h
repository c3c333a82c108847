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

/* Returns whether libcyaml will take the text; if not, the message is in text->error. */
bool config_check(const struct config_text *text, const cyaml_schema_value_t *schema);

/*
 * Writes the message for a value that the schema takes and we do not. key is a path as in "policy.rules[2].to", indices
 * from 0; the place is found by walking there. Returns false, for the caller to pass on.
 */
bool config_reject(const struct config_text *text, const char *key, const char *value, const char *allowed);

#endif
