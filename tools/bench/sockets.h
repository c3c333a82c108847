/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets of a benchmark that plays both ends in one thread; whatever fails ends it with a message. */
#ifndef SMTPWARD_BENCH_SOCKETS_H
#define SMTPWARD_BENCH_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

/* Prints a line that begins with the program's name, and ends it. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Moves this process into the cgroup at path: sockets that it makes from now on are the agent's to watch. Returns a
 * descriptor of the cgroup. */
int cgroup_enter(const char *path);

/* A listener at address; it accepts sockets that belong to the cgroup this process is in now. */
int listen_at(uint32_t address, uint16_t port);

/* Both ends of a connection. */
struct ends {
	int client, server;
};

/* address: in host byte order, as above. */
struct ends ends_open(int listener, uint32_t address, uint16_t port);
void ends_close(struct ends ends);

/* Sends all from one end, and waits until the other has it. */
void pass(int from, int to, const void *bytes, size_t length);
void say(int from, int to, const char *line);

/* An IPv4 address in host byte order. */
uint32_t address_of(const char *text);
/* A whole number from 1. */
unsigned number_of(const char *text);
uint64_t now_ns(void);

/* qsort()'s, for doubles, and the value below which so many hundredths of n sorted ones are. */
int compare_doubles(const void *a, const void *b);
double quantile(const double *sorted, unsigned n, unsigned hundredths);

#endif
