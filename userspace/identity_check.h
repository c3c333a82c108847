/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's own check of a session's certificates, and a memory of what was checked lately. */
#ifndef SMTPWARD_IDENTITY_CHECK_H
#define SMTPWARD_IDENTITY_CHECK_H

#include <stdint.h>

#include "certificate.h"
#include "identity.h"

struct identity_checker;

/* trust: a file of PEM certificates; NULL: the system's store. Returns NULL with one line in error. */
struct identity_checker *identity_checker_new(const char *trust, char *error, unsigned error_size);
void identity_checker_free(struct identity_checker *checker);

/*
 * Checks the record's chain, from the wire if it is there and else from the witness, and writes record->check. The name
 * is policy_name, or what the library was told, or sni, in that order; each may be NULL or "". now: seconds since the
 * epoch. Does nothing where there is no whole chain, or where this very check has been made.
 */
void identity_check(struct identity_checker *checker, struct identity_record *record, const char *policy_name, const char *sni,
		    int64_t now);

#endif
