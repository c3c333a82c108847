/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells the service manager how the agent is doing: sd_notify(3)'s datagrams, without its library. Where
 * NOTIFY_SOCKET is not set nothing is sent. All return 0 (also when nothing was sent) or a negative errno.
 */
#ifndef SMTPWARD_NOTIFY_H
#define SMTPWARD_NOTIFY_H

#include <stdint.h>

/* The agent is up (or back from reloading). status: one line for `systemctl status`, or NULL. */
int notify_ready(const char *status);
/* The configuration is being read again; notify_ready() must follow. */
int notify_reloading(void);
int notify_stopping(void);
/* The agent is alive. To be called at least twice within notify_watchdog_interval_us(). */
int notify_watchdog(void);

/* Returns the service manager's watchdog time in microseconds, or 0 if it does not watch this process. */
uint64_t notify_watchdog_interval_us(void);

#endif
