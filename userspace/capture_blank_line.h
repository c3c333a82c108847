/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fills in a line what may be a secret: part of capture_blank.c. */
#ifndef SMTPWARD_CAPTURE_BLANK_LINE_H
#define SMTPWARD_CAPTURE_BLANK_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A line of the client's, with its end or without. verb (enum command) and mechanism: what it was taken for; response: the
 * machine has expected a SASL response in it.
 */
void blank_line(uint8_t *line, size_t count, uint8_t verb, bool response, const char *mechanism);
/* A line of the server's. is_reply: it begins with a code; told: it may repeat what the client has said in confidence. */
void blank_reply(uint8_t *line, size_t count, bool is_reply, bool told);

#endif
