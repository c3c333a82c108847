/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Makes TCP present again what was held back. */
#ifndef SMTPWARD_SOCKET_RELEASE_H
#define SMTPWARD_SOCKET_RELEASE_H

#include <stdint.h>

/*
 * Finds the socket with this cookie, connected to server_port (host byte order), among the descriptors of process pid and
 * pushes what waits in it (TCP_CORK to 0 is what does that; a socket that its owner has corked is left alone). Waits a second
 * at most. Returns 0, -ENOENT if the process has no such socket, -ETIMEDOUT if it made us wait, -EBUSY if too many have, or
 * another negative errno; TCP's probe timer does it then, some 200 ms after the segment was held.
 */
int socket_release(uint32_t pid, uint64_t cookie, uint16_t server_port);

#endif
