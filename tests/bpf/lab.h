/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A place to try the real BPF object in: a cgroup and a network namespace of its own, the object attached there, a
 * server's socket outside that cgroup, and the events.
 */
#ifndef SMTPWARD_TEST_BPF_LAB_H
#define SMTPWARD_TEST_BPF_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "policy.h"

#define LAB_EVENTS_MAX 512
#define LAB_SECRET "AHVzZXIAcGFzcw==" /* as it would be sent: no record of any kind may have it */

struct lab {
	const char *missing; /* why there can be no test here; NULL: there can */
	char cgroup[512];    /* path */
	uint64_t cgroup_id;
	uint16_t starttls_port, implicit_port, other_port; /* other_port is not watched */
	struct flow_event events[LAB_EVENTS_MAX]; /* since lab_forget_events() */
	unsigned count;
	unsigned leaks; /* records with LAB_SECRET, ever */
	void (*tap)(const void *data, size_t size); /* is shown every record; NULL: nobody is */
};

extern struct lab lab;

enum lab_family { LAB_IPV4, LAB_IPV6, LAB_MAPPED, LAB_FAMILIES };

/* For cmocka_run_group_tests(). Without root, BPF or cgroup v2 they succeed all the same and set lab.missing; an object
 * that does not load is a failure. */
int lab_setup(void **state);
int lab_teardown(void **state);
/* To be called first in each test: skips it where lab.missing is set. */
void lab_needed(void);

/* Mode and fallback rule, as the agent writes them. */
void lab_set(enum policy_mode mode, const struct policy_rule *fallback, bool user_rules, bool cgroup_rules);
/* Puts a rule into the map, or takes it out. */
void lab_rule(const struct policy_key *key, const struct policy_rule *rule);
void lab_no_rule(const struct policy_key *key);
uint64_t lab_counter(enum counter_id id);
/* The descriptor of one of the object's maps, or programs. */
int lab_map(const char *name);
int lab_program(const char *name);
/* Whether the socket has a flow's storage. */
bool lab_has_storage(int fd);

/* Takes in what is in the ring. */
void lab_read_events(void);
void lab_forget_events(void);
/* To be polled: readable once an event wakes who waits for it. */
int lab_ring_fd(void);
/* Waits for an event of that reason of the flow with that client port; the newest. Fails the test if none comes. */
const struct flow_event *lab_wait(uint16_t client_port, enum event_reason reason);
unsigned lab_count(uint16_t client_port, enum event_reason reason);

struct lab_connection {
	int client, server;
	uint16_t client_port;
};

/* Address of the server over family, with that port. Returns its length. */
struct sockaddr_storage;
unsigned lab_address(enum lab_family family, uint16_t port, struct sockaddr_storage *address);
/* A socket of the client's, not connected. */
int lab_socket(enum lab_family family);
/* A connected pair; the watched ports' listeners stand outside the cgroup. */
struct lab_connection lab_connect(enum lab_family family, uint16_t port);
/* The server's end of the client's connection to port. */
int lab_accept(uint16_t port);
uint16_t lab_local_port(int fd);
/* Both ends are closed and the flow's last event is waited for. */
struct flow_event lab_close(struct lab_connection *connection);
/* The client resets the connection; what it has still to send is forgotten. Waits for the last event, too. */
struct flow_event lab_reset(struct lab_connection *connection);
/* Sends from one end, in pieces of that size at most, and waits until all has come to the other end. */
void lab_send(int from, int to, const uint8_t *bytes, size_t length, size_t piece);
/* Bytes that wait to be read. */
size_t lab_waiting(int fd);

#endif
