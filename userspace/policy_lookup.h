/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which rule holds for a flow: the kernel's lookup (bpf/decide.h) made again over the configuration. */
#ifndef SMTPWARD_POLICY_LOOKUP_H
#define SMTPWARD_POLICY_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

/* As much of a flow as the policy looks at. */
struct policy_flow {
	uint8_t address[16]; /* the server's; IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
	bool has_user; /* uid is known */
	uint32_t uid;
	const char *cgroup; /* path below the cgroup root, with or without slashes at its ends; NULL: not known */
};

/* Whether the rule's time is over at now (seconds since the epoch). */
bool policy_rule_has_ended(const struct config_rule *rule, int64_t now);

/* Returns the rule of config that holds for flow at now, or NULL where it is config->default_rule. Every cgroup that a
 * rule names is taken to be there: the kernel leaves such a rule out as long as it is not. */
const struct config_rule *policy_lookup(const struct config *config, const struct policy_flow *flow, int64_t now);

#endif
