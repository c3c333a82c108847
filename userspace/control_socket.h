/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A listening unix socket in the file system, of which one instance at a time may be the owner. */
#ifndef SMTPWARD_CONTROL_SOCKET_H
#define SMTPWARD_CONTROL_SOCKET_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

struct control_socket {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	dev_t device; /* of the file that was made: only that one is removed again */
	ino_t inode;
};

/*
 * Makes the directory where only that is missing, replaces a socket on which nobody listens, and listens. Returns a
 * non-blocking descriptor, or -1 and one line in error. The socket's mode is 0660.
 */
int control_socket_open(struct control_socket *socket, const char *path, uid_t owner, gid_t group, char *error, unsigned error_size);
/* Removes the file, unless somebody else has put another in its place. */
void control_socket_remove(const struct control_socket *socket);

#endif
