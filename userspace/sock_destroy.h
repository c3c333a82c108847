/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SOCK_DESTROY over inet_diag, in the network namespace that the socket lives in. */
#ifndef SMTPWARD_SOCK_DESTROY_H
#define SMTPWARD_SOCK_DESTROY_H

#include "event.h"

struct sock_destroyer; /* keeps a netlink socket for each namespace met lately */

/* Returns NULL without memory. */
struct sock_destroyer *sock_destroyer_new(void);
void sock_destroyer_free(struct sock_destroyer *destroyer);

/* Destroys the event's socket, found by its addresses and made sure of by its cookie. Returns 0, -ENOENT if it is
 * gone already, or another negative errno. */
int sock_destroy(struct sock_destroyer *destroyer, const struct flow_event *event);

#endif
