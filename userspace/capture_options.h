/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `read` and `record` have in common: which ports are SMTP's, and a process that can do no more than it has to. */
#ifndef SMTPWARD_CAPTURE_OPTIONS_H
#define SMTPWARD_CAPTURE_OPTIONS_H

#include <stdbool.h>

#include "capture.h"

/* The ports that the agent watches by default: 25, 587, 2525, and 465 with TLS from the first byte. */
void capture_default_ports(struct capture_settings *settings);
/* Reads "25,587,10465/tls"; 465 has TLS from the start unless "465/plain" is said. False if list is anything else. */
bool capture_parse_ports(const char *list, struct capture_settings *settings);

/*
 * Before a byte of a capture is read: no new privileges, no capability but that to read any file, no core dump, no further
 * process, and no system call but those of a reader; writes: of one that makes a file, too. Returns false, with one line in
 * error, where that could not be had.
 */
bool capture_restrict(bool writes, char *error, unsigned error_size);

#endif
