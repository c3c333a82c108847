/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Library files are whatever the user of a process makes them, so no process with rights may read them: the monitor
 * opens a file, and a process that has nothing but that descriptor reads it and answers with numbers.
 */
#ifndef SMTPWARD_LIBRARY_READER_H
#define SMTPWARD_LIBRARY_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "library.h"
#include "sandbox.h"

/*
 * Makes the reader's process, which ends with the descriptor. For each file it forks a child, so that one that makes
 * library_read() fail takes nothing else along. To be called as root. Returns the descriptor, or a negative errno with
 * one line in error.
 */
int library_reader_start(const struct sandbox *sandbox, char *error, size_t error_size);

/*
 * library_read() of file, by the reader; what comes back is checked as if anybody had written it. Returns the same;
 * -EIO if the file was too much for it; -EPIPE if the reader is gone, or does not answer within ten seconds: then it is
 * not to be asked again.
 */
int library_reader_ask(int reader, int file, struct library *library);

/* Whether the numbers can be those of a file of this size; for the tests. */
bool library_is_sane(const struct library *library, uint64_t file_size);

#endif
