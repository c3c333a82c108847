/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The SMTP dialogue of the fault-making server. */
#ifndef FAULT_DIALOGUE_H
#define FAULT_DIALOGUE_H

#include "fault_link.h"

/* Serves the connection to its end; does not close it. */
void dialogue_run(struct link *link);

#endif
