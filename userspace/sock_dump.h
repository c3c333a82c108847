/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TCP sockets of the network namespaces on this host, as inet_diag lists them. */
#ifndef SMTPWARD_SOCK_DUMP_H
#define SMTPWARD_SOCK_DUMP_H

#include <stdbool.h>
#include <stdint.h>

struct found_socket {
	uint64_t cookie;       /* SO_COOKIE */
	uint64_t netns_cookie; /* SO_NETNS_COOKIE; 0: not known */
	uint64_t cgroup_id;    /* 0: not known */
	uint64_t inode;        /* as in /proc/PID/fd: "socket:[INODE]" */
	uint32_t uid;
	uint16_t local_port, remote_port; /* host byte order */
	uint8_t local_address[16], remote_address[16]; /* IPv4 as ::ffff:a.b.c.d */
	bool has_storage; /* in the map that was asked for */
	bool silent;      /* neither side has sent anything yet */
};

struct sock_dump {
	const uint16_t *remote_ports; /* only sockets that are connected to one of these */
	unsigned remote_port_count;
	int storage_map; /* descriptor of the map of socket storage; -1: does not matter */
	void (*take)(void *context, const struct found_socket *socket); /* called for each */
	void *context;
};

/*
 * Lists the connected sockets (and those that are about to be) in each network namespace that a process is in or that has a
 * name in /run/netns. A socket whose own port is listened on in its namespace is left out: it was accepted, not connected.
 * Returns 0, or a negative errno where not even this process's own namespace could be looked into. *unseen: how many others
 * could not.
 */
int sock_dump(const struct sock_dump *dump, unsigned *unseen);

#endif
