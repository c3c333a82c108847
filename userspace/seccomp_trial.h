/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a uretprobe is safe here. */
#ifndef SMTPWARD_SECCOMP_TRIAL_H
#define SMTPWARD_SECCOMP_TRIAL_H

#include <stdbool.h>

struct bpf_program;

/*
 * Linux 6.11 to 6.13 kill a process under seccomp that returns from a probed function, for the system call by which that
 * is done. Mail programs run so: a child of our own, under a seccomp filter, has to try it first, with program (a uretprobe
 * that is loaded and does nothing) on a function of this executable. False also where it cannot be attached at all.
 */
bool uretprobe_survives_seccomp(const struct bpf_program *program);

#endif
