/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Hostile bytes made harmless to show: on a terminal, in a log line, in JSON, in a metric's label. */
#ifndef SMTPWARD_ESCAPE_H
#define SMTPWARD_ESCAPE_H

#include <stddef.h>

/* So much room holds every escaped string of n bytes: each can become "\xNN". */
#define ESCAPED_SIZE(n) (4 * (n) + 1)

/*
 * Writes n bytes to out as printable, valid UTF-8. Printable UTF-8 stays as it is. Each byte of anything else
 * becomes "\xNN": controls (C0, DEL, C1), line separators, characters that are not seen or that turn the text's
 * direction round, and what is no UTF-8. A backslash becomes two, so that the result can be read back.
 *
 * Where out is too small, the text ends before the first character that does not fit. out always ends with
 * NUL, unless out_size is 0. Returns the length written, without the NUL.
 */
size_t escape_text(char *out, size_t out_size, const char *bytes, size_t n);

#endif
