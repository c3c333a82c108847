/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A socket by its cookie, over inet_diag in the network namespace that it lives in: destroy it, or look for it. */
#ifndef SMTPWARD_SOCK_DIAG_H
#define SMTPWARD_SOCK_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

struct sock_diag; /* keeps a netlink socket for each namespace met lately */

/* Returns NULL without memory. */
struct sock_diag *sock_diag_new(void);
void sock_diag_free(struct sock_diag *diag);

/* To be called every few seconds. A socket in a namespace keeps it, and its interfaces, after its container is gone: those
 * that nothing was asked in since the last call but one are closed. */
void sock_diag_tidy(struct sock_diag *diag);

/* Destroys the event's socket, found by its addresses and made sure of by its cookie. Returns 0, -ENOENT if it is
 * gone already, -EPERM if it may be where we may not look or have looked for too long, or another negative errno. */
int sock_diag_destroy(struct sock_diag *diag, const struct flow_event *event);

/* Looks for the event's socket. Returns 0 if it is there, -ENOENT if it is gone (or the kernel alone keeps it, in FIN-WAIT-2
 * or TIME-WAIT), or another negative errno, as above. */
int sock_diag_find(struct sock_diag *diag, const struct flow_event *event);

/* Whether the process that opened a flow has ended, and this can be told: the number is that of the first pid namespace, and
 * in another one it is nobody's, or somebody else's. */
bool sock_diag_owner_is_over(const struct sock_diag *diag, const struct flow_event *event);

#endif
