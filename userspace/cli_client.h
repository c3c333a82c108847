/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The CLI's side of the control socket. */
#ifndef SMTPWARD_CLI_CLIENT_H
#define SMTPWARD_CLI_CLIENT_H

#include "cli.h"

/*
 * Sends request (taken over, may be NULL without memory) and reads one answer. Returns EX_OK and in *answer an
 * object that the caller frees; or another exit code, after one line on standard error.
 */
int cli_request(const struct cli *cli, json_t *request, json_t **answer);

/* Whether anybody listens at that path. */
bool cli_agent_listens(const char *path);

/*
 * Sends request and hands every object that follows to take(), until take() returns false, the agent goes away or
 * SIGINT or SIGTERM arrives. Returns EX_OK in the first and last case.
 */
int cli_follow(const struct cli *cli, json_t *request, bool (*take)(const struct cli *cli, json_t *object));

#endif
