/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options that `read` and `record` have in common. */
#ifndef SMTPWARD_CLI_READ_H
#define SMTPWARD_CLI_READ_H

struct capture_settings;

/* For getopt_long(). */
/* clang-format off */
#define CLI_READ_OPTIONS \
	{ "ports", required_argument, NULL, 'p' }, { "any-port", no_argument, NULL, 'a' }, { "ca", required_argument, NULL, 'c' }
/* clang-format on */

/* Takes one of them. Returns EX_OK, EX_USAGE after a message, or -1 if it is another option. */
int cli_read_option(struct capture_settings *settings, int option, const char *value);

#endif
