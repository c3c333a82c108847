/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's process: its parts started in order, the event loop with its timers, the end. */
#ifndef SMTPWARD_AGENT_PROCESS_H
#define SMTPWARD_AGENT_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "config.h"
#include "monitor_protocol.h"
#include "privileges.h"

struct agent_process {
	struct config *config; /* freed at the end */
	const char *config_path; /* as given with -c, or NULL */
	bool foreground; /* else standard input, output and error are let go of once the agent is at work */
	const struct privileges *privileges;
	pid_t monitor_pid;
	int lanes[LANE_COUNT], orders; /* to the monitor */
	int listening; /* the control socket */
};

/* Runs the agent until it is told to stop or the monitor is gone. Returns an exit code. */
int agent_process_run(const struct agent_process *process);

#endif
