/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The command line `smtpward`: what its commands share. */
#ifndef SMTPWARD_CLI_H
#define SMTPWARD_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

struct cli {
	bool json;          /* -j */
	const char *socket; /* -s */
};

/* A command gets its own words, argv[0] being its name, and returns an exit code after sysexits. */
int cli_status(struct cli *cli, int argc, char **argv);
int cli_sessions(struct cli *cli, int argc, char **argv);
int cli_findings(struct cli *cli, int argc, char **argv);
int cli_watch(struct cli *cli, int argc, char **argv);
int cli_mode(struct cli *cli, int argc, char **argv);
int cli_policy(struct cli *cli, int argc, char **argv);
int cli_explain(struct cli *cli, int argc, char **argv);
int cli_detach(struct cli *cli, int argc, char **argv);
int cli_probe(struct cli *cli, int argc, char **argv);
int cli_read(struct cli *cli, int argc, char **argv);
int cli_record(struct cli *cli, int argc, char **argv);

/* Says what is wrong with the command line; returns EX_USAGE. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reads a whole number from minimum to maximum; returns false if text is anything else. */
bool cli_number(const char *text, long long minimum, long long maximum, long long *number);
/* Reads "90", "90s", "10m", "2h" or "7d" as seconds; returns false if text is anything else. */
bool cli_duration(const char *text, long long *seconds);

#endif
