/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which system calls a sandboxed process may make. Nobody but sandbox*.c includes this. */
#ifndef SMTPWARD_SANDBOX_CALLS_H
#define SMTPWARD_SANDBOX_CALLS_H

#include "sandbox.h"

enum sandbox_condition {
	CALL_ALWAYS,
	CALL_IF_EQUAL,  /* the argument is value */
	CALL_IF_LACKS,  /* it has none of value's bits */
	CALL_IF_HAS,    /* it has all of value's bits, which is one */
	CALL_IF_SELF,   /* it is this process's id */
	CALL_IS_ABSENT, /* as if the kernel had it not (ENOSYS): whoever calls it does without */
};

struct sandbox_call {
	const char *name;
	int number;
	unsigned profiles; /* enum sandbox_profile, or-ed */
	enum sandbox_condition condition;
	unsigned argument, value;
};

extern const struct sandbox_call sandbox_calls[];
extern const unsigned sandbox_call_count;

/* Installs the profile's filter: whatever else is called ends the process (SIGSYS). Returns 0 or a negative errno. */
int sandbox_filter(enum sandbox_profile profile);

#endif
