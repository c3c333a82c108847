/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who the processes are and what the monitor keeps: docs/privileges.md says why. */
#ifndef SMTPWARD_PRIVILEGES_H
#define SMTPWARD_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "config.h"

struct privileges {
	uid_t user; /* of the agent and the reader */
	gid_t user_group;
	uid_t owner; /* of the control socket */
	gid_t group;
	gid_t admin_group; /* whose members may change things; (gid_t)-1: nobody but root */
};

/* Looks up the names in config. Returns an exit code (0, or EX_CONFIG with one line in error). May ask a name service. */
int privileges_look_up(const struct config *config, struct privileges *privileges, char *error, size_t error_size);

/*
 * Gives up, in this thread and those that it makes, all capabilities but the monitor's; starting: keeps those, too, that
 * only the start needs. Returns 0 or a negative errno. Call it with one thread.
 */
int privileges_drop(bool containers, bool starting);
/* Gives up all capabilities, in this thread. */
int privileges_drop_all(void);

/* The monitor's capabilities, for status, documents and tests: the index-th's name, or NULL behind the last. */
const char *privileges_capability(unsigned index);
/* This thread's, as text: "bpf net_admin"; "none". Returns text. */
const char *privileges_text(char *text, size_t size);

#endif
