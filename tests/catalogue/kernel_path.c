/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Through the real BPF object: real loopback sockets, and the records of its ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "adopt.h"
#include "dialogue_run.h"
#include "lab.h"
#include "path.h"

static struct conclude *now;

static void tap(const void *data, size_t size)
{
	if (size == sizeof(struct flow_event))
		conclude_flow_event(now, data);
	else if (size == sizeof(struct handshake_event))
		conclude_handshake_event(now, data);
}

static void send_all(const struct vector *vector, struct lab_connection *connection)
{
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], segment);
		bool client = vector->steps[i].side == VECTOR_CLIENT;
		lab_send(client ? connection->client : connection->server, client ? connection->server : connection->client, segment,
			 length, piece_max);
	}
}

/* The client sees the server's end before it closes its own. */
static void end(const struct vector *vector, struct lab_connection *connection)
{
	const struct linger at_once = { .l_onoff = 1 };
	char byte;
	if (vector->ending == VECTOR_CLIENT_CLOSES)
		return;
	if (vector->ending == VECTOR_SERVER_RESETS)
		setsockopt(connection->server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(connection->server);
	assert_true(recv(connection->client, &byte, 1, 0) <= 0);
	connection->server = -1;
}

static uint64_t play(const struct vector *vector, bool other_address, bool other_port)
{
	uint16_t port = vector->implicit_tls ? lab.implicit_port : other_port ? lab.other_port : lab.starttls_port;
	enum lab_family family = other_address ? LAB_IPV6 : LAB_IPV4; /* two addresses of the one server */
	struct lab_connection connection = vector->midway ? join_midway(family, port) : lab_connect(family, port);
	send_all(vector, &connection);
	end(vector, &connection);
	return lab_close(&connection).flow_id;
}

void kernel_path(const struct scenario *scenario, struct conclusion *conclusion)
{
	const uint8_t kind = PORT_STARTTLS;
	uint64_t id = 0;
	assert_int_equal(bpf_map_update_elem(lab_map("ports"), &lab.other_port, &kind, BPF_ANY), 0);
	lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
	lab_forget_events();
	now = conclude_new();
	lab.tap = tap;
	for (unsigned i = 0; i < SCENARIO_FLOWS_MAX && scenario->flows[i].vector; i++)
		id = play(scenario->flows[i].vector, scenario->flows[i].other_address, scenario->flows[i].other_port);
	lab.tap = NULL;
	conclude_take(now, id, conclusion);
	conclude_free(now);
}
