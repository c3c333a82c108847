/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control socket: a unix stream socket that takes one JSON object a line and answers each with one.
 *
 * {"command":"sessions","limit":10} is answered by {"sessions":[...]}; what cannot be answered, by
 * {"error":{"code","message"}}, and the connection lives on. After {"command":"watch"} every closed or changed
 * session follows as {"session":{...}} and every alert as {"alert":{...}}.
 */
#ifndef SMTPWARD_CONTROL_H
#define SMTPWARD_CONTROL_H

#include <stdint.h>

struct agent;
struct alert;
struct control;
struct session;

#define CONTROL_LINE_MAX 4096             /* longest request */
#define CONTROL_CONNECTIONS_MAX 64        /* at once; root finds room all the same */
#define CONTROL_CONNECTIONS_PER_UID 16    /* of them, by one user */
#define CONTROL_OUTPUT_MAX (8U << 20)     /* a watcher that lags further behind is dropped */
#define CONTROL_IDLE_S 60                 /* a connection that asks nothing, and does not watch, is closed */
#define CONTROL_STALL_S 30                /* so is one that does not read its answer */

/*
 * Answers on agent->base whoever connects to listening, a descriptor of control_socket_open() that is taken over. Returns
 * NULL and one line in error.
 */
struct control *control_start(struct agent *agent, int listening, char *error, unsigned error_size);
/* Closes every connection, and listens no more. control may be NULL. */
void control_stop(struct control *control);

/* Hands a session or an alert to every watcher. control may be NULL. */
void control_publish_session(struct control *control, const struct session *session);
void control_publish_alert(struct control *control, const struct alert *alert);

/* How many watchers were dropped because they lagged behind, and connections turned away at a limit. */
uint64_t control_dropped(const struct control *control);
uint64_t control_refused(const struct control *control);

#endif
