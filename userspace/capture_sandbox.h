/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The system calls of a process that reads captures. */
#ifndef SMTPWARD_CAPTURE_SANDBOX_H
#define SMTPWARD_CAPTURE_SANDBOX_H

#include <stdbool.h>

/*
 * From here on no connection, no program, no other process, no file but to be read; writes: files may be made and removed, too.
 * No new privileges have to be set before. Returns 0 or a negative errno: -ENOSYS and -EINVAL where the kernel has no seccomp.
 */
int capture_filter(bool writes);

#endif
