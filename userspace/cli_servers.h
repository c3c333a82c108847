/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sessions counted by server, for the summary of `smtpward read`. */
#ifndef SMTPWARD_CLI_SERVERS_H
#define SMTPWARD_CLI_SERVERS_H

#include <jansson.h>

#define SERVERS_MAX 4096 /* told apart; the sessions of further ones are counted together */

struct servers;
struct session;

/* Returns NULL without memory. */
struct servers *servers_new(void);
void servers_free(struct servers *servers);
void servers_add(struct servers *servers, const struct session *session);
/* The servers, those with the most sessions first: a list of objects, which the caller owns. */
json_t *servers_json(struct servers *servers);
/* The same as a table. */
void servers_print(struct servers *servers);

#endif
