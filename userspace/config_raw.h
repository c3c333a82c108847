/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration as libcyaml reads it, and its schema: one truth for loading, for checking and for messages. */
#ifndef SMTPWARD_CONFIG_RAW_H
#define SMTPWARD_CONFIG_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include <cyaml/cyaml.h>

/* Optional values are pointers: NULL means the default. */
struct raw_rule {
	char *to;
	uint16_t *port;
	char *user;
	char *cgroup;
	int *require, *action, *unknown, *undecided, *min_tls;
	char *name;
	char *reason;
	char *until;
};

struct raw_ports {
	uint16_t *starttls, *implicit_tls;
	unsigned starttls_count, implicit_tls_count;
};

struct raw_policy {
	struct raw_rule *fallback; /* key "default" */
	struct raw_rule *rules;
	unsigned rules_count;
};

struct raw_tc {
	char **interfaces;
	unsigned interfaces_count;
};

struct raw_identity {
	bool *witness;
	char *trust, *hold;
};

struct raw_sessions {
	uint32_t *keep, *open_max;
};

struct raw_alerts {
	int *minimum;
	char *repeat;
	uint32_t *rate;
};

struct raw_syslog {
	bool *enabled;
	int *facility;
	char *prefix, *socket;
};

struct raw_file {
	char *path;
};

struct raw_metrics {
	bool *enabled;
	char *address;
	uint16_t *port;
};

struct raw_control {
	char *owner, *group, *admin_group;
};

struct raw_privileges {
	char *user;
	bool *containers;
	int *hardening;
};

struct raw_config {
	int *mode, *on_exit;
	struct raw_ports *ports;
	struct raw_tc *tc;
	char *cgroup, *control_socket, *fallback_window;
	int *account;
	struct raw_policy *policy;
	struct raw_identity *identity;
	struct raw_sessions *sessions;
	struct raw_alerts *alerts;
	struct raw_syslog *syslog;
	struct raw_file *file;
	int *journal;
	struct raw_metrics *metrics;
	struct raw_control *control;
	struct raw_privileges *privileges;
};

extern const cyaml_schema_value_t raw_config_schema;

#endif
