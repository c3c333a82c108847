/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the sinks write: alerts and the agent's own state in the Elastic Common Schema. Fields that the schema
 * defines are left out where there is no value; those below "smtpward" are always there, null for no value. All
 * names that came from the network or from local users are escaped.
 */
#ifndef SMTPWARD_ECS_H
#define SMTPWARD_ECS_H

#include <stddef.h>
#include <time.h>

#include <jansson.h>

#include "alert.h"
#include "kernel.h"

#define ECS_VERSION "8.11.0"

#define ECS_SENTENCE_SIZE 1536

/* Writes one sentence for people: who, to which server, what happened, where to read what to do. Returns sentence. */
const char *ecs_sentence(const struct alert *alert, char sentence[ECS_SENTENCE_SIZE]);

/* The alert; "message" is its sentence. NULL without memory. The caller owns the result. */
json_t *ecs_alert(const struct alert *alert);

/* An event of the agent's own: action is its id ("mode-changed" ...), message one sentence. NULL without memory.
 * The caller owns the result. */
json_t *ecs_state(const char *action, enum severity severity, const char *message, struct timespec now);

/*
 * The message at start: version, mode, cgroup, the hooks that are attached and those that are not, with the reason.
 * *severity becomes SEVERITY_WARNING if one is not. NULL without memory. The caller owns the result.
 */
json_t *ecs_startup(enum policy_mode mode, const char *cgroup, const struct kernel_hook *hooks, unsigned count,
		    struct timespec now, enum severity *severity);

/* Returns the value of "message", "" if there is none; valid as long as event. */
const char *ecs_message(const json_t *event);

#endif
