/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What control.c and the commands share: a connection, and ways to answer on it. */
#ifndef SMTPWARD_CONTROL_CONNECTION_H
#define SMTPWARD_CONTROL_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

struct agent;
struct bufferevent;
struct control;

struct connection {
	struct control *control;
	struct agent *agent;
	struct bufferevent *bev;
	uid_t uid; /* of the peer, from SO_PEERCRED */
	bool admin; /* root, or of the group that may change things */
	bool watching;
	bool discarding; /* the rest of a line that was too long */
	bool ending;     /* the peer has asked its last question */
	bool doomed;     /* to be closed as soon as the loop comes round */
	/* An answer in the making: the sessions still to be written. They are named, not pointed at, since the
	 * table changes between two turns of the loop. */
	uint64_t *ids;
	size_t id_count, id_next;
	bool first_row;
	struct connection *prev, *next;
};

/* Answers with object, which is taken over; NULL is answered by an error. */
void connection_answer(struct connection *connection, json_t *object);
/* Answers {"error":{"code","message"}}. */
void connection_error(struct connection *connection, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Makes the connection a watcher. */
void connection_watch(struct connection *connection);
/* Answers {"sessions":[...]} with these sessions, a part at a time. Takes ids over. */
void connection_answer_sessions(struct connection *connection, uint64_t *ids, size_t count);

/* Carries out one request. It is answered before this returns, but for the rows of connection_answer_sessions(). */
void control_command(struct connection *connection, const char *line, size_t length);

/* The commands that have a file of their own. */
void control_sessions(struct connection *connection, const json_t *request);
void control_findings(struct connection *connection, const json_t *request);
void control_policy_list(struct connection *connection, const json_t *request);
void control_policy_test(struct connection *connection, const json_t *request);
void control_status(struct connection *connection, const json_t *request);

/*
 * Reads a whole number from request. Returns 1 if it is there, 0 if it is absent, and -1 after an error answer if it
 * is anything else or out of range.
 */
int request_number(struct connection *connection, const json_t *request, const char *key, json_int_t minimum,
		   json_int_t maximum, json_int_t *number);
/* The same for a text, which request goes on owning; it has no NUL in it. */
int request_text(struct connection *connection, const json_t *request, const char *key, const char **text);

#endif
