/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the probe says to a server, and what it reads in the answers. */
#ifndef SMTPWARD_PROBE_DIALOGUE_H
#define SMTPWARD_PROBE_DIALOGUE_H

#include "probe.h"
#include "probe_link.h"

/* The first replies of a connection. */
struct probe_talk {
	struct probe_reply *greeting, *ehlo, *starttls;
	const char *step; /* what was done last: "greeting", "EHLO", "STARTTLS" */
};

/* Sends a command (NULL: none, a greeting is due) and reads its reply. Returns 0 or a negative errno (probe_error_text()). */
int probe_command(struct probe_link *link, const char *command, struct probe_reply *reply);
/* EHLO with this host's name. */
int probe_ehlo(struct probe_link *link, struct probe_reply *reply);
/* Greeting, EHLO, and STARTTLS where it is offered. Returns 1 if TLS may begin, 0 if not, or a negative errno. */
int probe_talk(struct probe_link *link, struct probe_talk *talk);
/* Ends the dialogue; does not wait long for the answer. */
void probe_quit(struct probe_link *link);

/* The SASL mechanisms that an EHLO reply names. */
void probe_read_mechanisms(const struct probe_reply *ehlo, struct probe_mechanisms *mechanisms);

#endif
