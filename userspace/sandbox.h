/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Gives rights up for good: what reads bytes of the network's, or files that anybody may have written, does so as a user
 * of its own, without capabilities, with few files in reach (Landlock) and few system calls (seccomp).
 */
#ifndef SMTPWARD_SANDBOX_H
#define SMTPWARD_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum sandbox_profile {
	SANDBOX_AGENT = 1,  /* the event loop and its sinks */
	SANDBOX_READER = 2, /* the reader of library files: nothing but the descriptors that it is given */
};

struct sandbox {
	enum sandbox_profile profile;
	uid_t uid;
	gid_t gid;
	const char *const *readable; /* paths below which files may be read, NULL behind the last; absent ones are passed over */
	bool required; /* what this kernel has not is an error, and not only left out */
};

/* What is in force in this process. */
struct sandbox_state {
	bool entered; /* and so without any capability */
	int landlock; /* its ABI version; 0: not there */
	bool seccomp;
	char missing[160]; /* what could not be applied; "" */
};

/*
 * Gives up everything that sandbox does not leave. To be called as root, with one thread, and with all descriptors open
 * that are needed and could not be opened later. Returns 0, or a negative errno with one line in error; then the process
 * may have some rights still, and must end.
 */
int sandbox_enter(const struct sandbox *sandbox, char *error, size_t error_size);
const struct sandbox_state *sandbox_state(void);

/*
 * For the monitor, which keeps capabilities: it starts no program, traces nobody, and loads nothing into the kernel but BPF;
 * whoever makes it do so ends it. Returns 0 or a negative errno. It is for this thread and those that it makes.
 */
int sandbox_forbid_programs(void);

/* What that forbids, for the documents: the index-th's name, or NULL behind the last. */
const char *sandbox_forbidden_name(unsigned index);

/* The system calls of a profile, for the documents and the tests: the index-th's name, or NULL behind the last. */
const char *sandbox_call_name(enum sandbox_profile profile, unsigned index);

#endif
