/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections that were there before the hooks: made while their port is not watched, then handed over as the agent does it. */
#ifndef SMTPWARD_TEST_BPF_ADOPT_H
#define SMTPWARD_TEST_BPF_ADOPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "adopted.h"
#include "lab.h"
#include "policy.h"

static inline uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
	return cookie;
}

static inline void watch_port(uint16_t port, bool on)
{
	uint8_t kind = port == lab.implicit_port ? PORT_IMPLICIT_TLS : PORT_STARTTLS;
	if (on)
		assert_int_equal(bpf_map_update_elem(lab_map("ports"), &port, &kind, BPF_ANY), 0);
	else
		assert_int_equal(bpf_map_delete_elem(lab_map("ports"), &port), 0);
}

/* A connection that the hooks know nothing of. */
static inline struct lab_connection connect_before(enum lab_family family, uint16_t port)
{
	watch_port(port, false);
	struct lab_connection connection = lab_connect(family, port);
	watch_port(port, true);
	assert_false(lab_has_storage(connection.client));
	return connection;
}

/* The egress hook looks only at ports that there was a flow to. */
static inline void note_port(uint16_t port)
{
	static uint8_t used[65536];
	uint32_t zero = 0;
	int map = lab_map("flow_ports");
	assert_int_equal(bpf_map_lookup_elem(map, &zero, used), 0);
	used[port] = 1;
	assert_int_equal(bpf_map_update_elem(map, &zero, used, BPF_ANY), 0);
}

static inline struct adopted adopted_of(const struct lab_connection *connection, uint16_t port)
{
	struct adopted adopted = { .flow_id = cookie_of(connection->client) << 24 | 1, .opened_ns = 1, .uid = 33, .pid = 4242,
				   .cgroup_id = lab.cgroup_id, .client_port = connection->client_port, .server_port = port,
				   .implicit_tls = port == lab.implicit_port, .comm = "sender" };
	adopted.client_address[15] = adopted.server_address[15] = 1;
	return adopted;
}

/* As kernel_adopt() does it. */
static inline void hand_over(const struct lab_connection *connection, uint16_t port)
{
	const struct adopted adopted = adopted_of(connection, port);
	uint64_t cookie = cookie_of(connection->client);
	note_port(port);
	assert_int_equal(bpf_map_update_elem(lab_map("adopted"), &cookie, &adopted, BPF_NOEXIST), 0);
}

static inline bool is_waiting(const struct lab_connection *connection)
{
	struct adopted adopted;
	uint64_t cookie = cookie_of(connection->client);
	return bpf_map_lookup_elem(lab_map("adopted"), &cookie, &adopted) == 0;
}

/* One that has been talking for a while. */
static inline struct lab_connection join_midway(enum lab_family family, uint16_t port)
{
	struct lab_connection connection = connect_before(family, port);
	lab_send(connection.server, connection.client, (const uint8_t *)"2", 1, 1);
	lab_send(connection.client, connection.server, (const uint8_t *)"x", 1, 1);
	hand_over(&connection, port);
	return connection;
}

#endif
