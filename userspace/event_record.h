/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The records of the ring buffer: which kind one is, and whether it is as the ABI (event.h, witness.h) says. */
#ifndef SMTPWARD_EVENT_RECORD_H
#define SMTPWARD_EVENT_RECORD_H

#include <stdbool.h>
#include <stddef.h>

struct event_reader;

/*
 * Hands a record of size bytes, aligned to 8, to the reader's function for its kind. Returns false, and calls none,
 * where it is of no kind that is known, or a value in it is out of range: such a record is not ours, and none of
 * its bytes is believed.
 */
bool event_record_take(const struct event_reader *reader, const void *record, size_t size);

#endif
