/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * smtpwardd is two processes. The monitor is the one that was started: it keeps the capabilities, does what the table in
 * monitor_protocol.h says, hands on signals, and ends when the agent does. The agent is its child: all else.
 */
#ifndef SMTPWARD_MONITOR_PROCESS_H
#define SMTPWARD_MONITOR_PROCESS_H

#include "config.h"

struct monitor_process {
	struct config *config; /* freed at the end */
	const char *config_path; /* as given with -c, or NULL */
	bool foreground;
	/* Once: the start is over, with this exit code (0: the agent is at work). May be NULL. */
	void (*ready)(void *context, int code);
	void *context;
};

/* Runs both until they end. Returns the exit code. */
int monitor_process_run(const struct monitor_process *process);

#endif
