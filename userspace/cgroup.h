/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The cgroup v2 tree: where the hooks are attached, and what its ids are called. */
#ifndef SMTPWARD_CGROUP_H
#define SMTPWARD_CGROUP_H

#include <stdint.h>

struct cgroup;

/*
 * Opens the attach point: path, or, if NULL, the root of the host's cgroup v2 tree, mounted for the agent's own
 * use where no cgroup2 is mounted. Returns NULL with one line in error.
 */
struct cgroup *cgroup_open(const char *path, char *error, unsigned error_size);
/* Unmounts what cgroup_open() has mounted. */
void cgroup_close(struct cgroup *cgroup);

/*
 * Looks whether the attach point is still there. Returns 0 if it is; 1 if it was removed and made again: the new one is open
 * now; or a negative errno if there is none.
 */
int cgroup_follow(struct cgroup *cgroup);

int cgroup_fd(const struct cgroup *cgroup);
const char *cgroup_attach_path(const struct cgroup *cgroup);
/* The attach point's own id. */
uint64_t cgroup_id(const struct cgroup *cgroup);
/* The id of the cgroup at path below the tree's root ("/system.slice/postfix.service"), or 0. */
uint64_t cgroup_id_of(const struct cgroup *cgroup, const char *path);
/* The reverse; NULL if it is gone. The caller frees it. */
char *cgroup_path_of(const struct cgroup *cgroup, uint64_t id);

#endif
