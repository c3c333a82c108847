/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The network namespaces of this host: all of them, and a way to ask the kernel for sockets in one. */
#ifndef SMTPWARD_NETNS_H
#define SMTPWARD_NETNS_H

#include <stdint.h>

/*
 * Calls visit with a descriptor of each network namespace that a process is in or that has a name in /run/netns; this
 * process's own comes first, and none comes twice. visit returns 0, 1 if it wants no more of them, or a negative errno if it
 * could not look into this one; the descriptor stays the walk's. Returns 0, or a negative errno if not even the own one could
 * be looked into: then no other is. *unseen: how many could not, with those that may not be opened.
 */
int netns_walk(int (*visit)(void *context, int netns_fd), void *context, unsigned *unseen);

/*
 * A netlink socket (NETLINK_SOCK_DIAG) in the network namespace behind netns_fd. It takes messages from the kernel only, and
 * waits a second for one at most. Into another namespace than this process's own it takes CAP_SYS_ADMIN. Returns the socket,
 * which is the caller's, or a negative errno.
 */
int netns_open_diag(int netns_fd);
/* SO_NETNS_COOKIE of a socket; 0: not known (before Linux 5.14). */
uint64_t netns_cookie(int socket_fd);

#endif
