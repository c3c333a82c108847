/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "finding.h"

#include <string.h>
#include <syslog.h>

static const char *const outcome_names[] = {
#define X(id, name) [OUTCOME_##id] = name,
	OUTCOMES(X)
#undef X
};

static const char *const finding_names[] = {
#define X(id, name) [FINDING_##id] = name,
	FINDINGS(X)
#undef X
};

static const struct {
	const char *name;
	int level;
} severities[] = {
	[SEVERITY_INFO] = { "info", LOG_INFO },
	[SEVERITY_NOTICE] = { "notice", LOG_NOTICE },
	[SEVERITY_WARNING] = { "warning", LOG_WARNING },
	[SEVERITY_ERROR] = { "error", LOG_ERR },
	[SEVERITY_CRITICAL] = { "critical", LOG_CRIT },
};

_Static_assert(sizeof(outcome_names) / sizeof(outcome_names[0]) == OUTCOME_COUNT, "every outcome has a name");
_Static_assert(sizeof(finding_names) / sizeof(finding_names[0]) == FINDING_COUNT, "every finding has a name");
_Static_assert(sizeof(severities) / sizeof(severities[0]) == SEVERITY_COUNT, "every severity has a name");
_Static_assert(FINDING_COUNT <= 32, "findings fit the mask");

const char *outcome_name(enum outcome outcome)
{
	return outcome_names[outcome];
}

const char *finding_name(enum finding finding)
{
	return finding_names[finding];
}

const char *severity_name(enum severity severity)
{
	return severities[severity].name;
}

static int name_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

int outcome_by_name(const char *name)
{
	return name_index(outcome_names, OUTCOME_COUNT, name);
}

int finding_by_name(const char *name)
{
	return name_index(finding_names, FINDING_COUNT, name);
}

int severity_by_name(const char *name)
{
	for (int i = 0; i < SEVERITY_COUNT; i++)
		if (!strcmp(severities[i].name, name))
			return i;
	return -1;
}

int severity_syslog(enum severity severity)
{
	return severities[severity].level;
}
