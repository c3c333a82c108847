/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration, read from YAML by libcyaml's schema. Every default needs no file. */
#ifndef SMTPWARD_CONFIG_H
#define SMTPWARD_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "finding.h"
#include "policy.h"

#define CONFIG_PATH "/etc/smtpward/smtpward.yaml"
#define CONFIG_TC_INTERFACES_MAX 64
#define CONTROL_SOCKET_PATH "/run/smtpward/smtpward.sock"

enum account_form { ACCOUNT_NAME, ACCOUNT_HASH, ACCOUNT_NONE };
/* What becomes of the hooks when the agent is told to end. By default it hangs on the mode: kept in block, not in monitor. */
enum exit_action { EXIT_BY_MODE, EXIT_KEEP, EXIT_DETACH };
enum journal_use { JOURNAL_AUTO, JOURNAL_ON, JOURNAL_OFF };

/* One rule of the policy, ready for the kernel. */
struct config_rule {
	struct policy_key key;
	struct policy_rule rule; /* rule.id counts the rules from 1, in the file's order */
	char *to;      /* as written: address or prefix; "any" */
	char *user;    /* as written, or NULL */
	char *cgroup;  /* path below the cgroup root, or NULL; key.scope is filled in when the rules are loaded */
	char *name;    /* that the server's certificate must be for, as written; NULL: any that the sender wanted */
	char *reason;  /* or NULL */
	int64_t until; /* seconds since the epoch: the rule ends then; 0: never */
};

struct config {
	enum policy_mode mode;
	enum exit_action on_exit;
	struct {
		uint16_t number;
		bool implicit_tls;
	} ports[PORTS_MAX];
	unsigned port_count;
	char *cgroup;           /* attach point: a cgroup2 directory; NULL: the root, found or mounted */
	struct {
		char **interfaces; /* names or patterns (fnmatch(3)) of those whose forwarded traffic is watched */
		unsigned interface_count;
	} tc;
	char *control_socket;
	struct {
		char *owner, *group;  /* of the socket; NULL: root's */
		char *admin_group;    /* whose members may change things; NULL: root alone may */
	} control;
	struct {
		char *user;      /* as whom the agent runs */
		bool containers; /* keep the capabilities that other users' processes and namespaces take */
		bool required;   /* hardening that cannot be applied stops the start */
	} privileges;
	unsigned fallback_window_s;
	enum account_form account;
	struct policy_rule default_rule;
	struct config_rule *rules;
	unsigned rule_count;
	struct {
		bool witness;    /* ask the senders' TLS libraries */
		char *trust;     /* PEM file of trust anchors for the agent's own check; NULL: the system's */
		unsigned hold_s; /* application data waits so long at most for the agent's verdict */
	} identity;
	struct {
		unsigned keep;     /* closed sessions kept in memory */
		unsigned open_max; /* open sessions followed at once */
	} sessions;
	struct {
		enum severity minimum;  /* findings below it raise no alert */
		unsigned repeat_s;      /* the same (finding, destination, sender) again after this time only */
		unsigned rate;          /* alerts a minute at most, over all */
	} alerts;
	struct {
		bool enabled;
		int facility;  /* LOG_MAIL ... */
		char *prefix;  /* "@cee:" */
		char *socket;  /* "/dev/log" */
	} syslog;
	struct {
		char *path; /* NULL: no file */
	} file;
	enum journal_use journal;
	struct {
		bool enabled;
		char *address; /* 127.0.0.1 */
		uint16_t port;
	} metrics;
};

/*
 * Reads and checks path. NULL takes CONFIG_PATH where it exists and the defaults where it does not.
 * Returns the configuration, to be freed with config_free(), or NULL; then error holds one line that names
 * file, line, column, key and what is allowed.
 */
struct config *config_load(const char *path, char *error, unsigned error_size);
/* The two halves of it, for processes that may do one only. Opens the file; returns a descriptor or a negative errno,
 * -ENOENT also where path is NULL and there is no CONFIG_PATH. */
int config_open(const char *path);
/* Reads what config_open() returned; a descriptor is closed. */
struct config *config_read(int fd, const char *path, char *error, unsigned error_size);
void config_free(struct config *config);

/* How a user's name becomes a number, where a process may not ask the name service itself: true if there is such a user.
 * lookup NULL: getpwnam(). */
void config_set_user_lookup(bool (*lookup)(void *context, const char *name, uint32_t *uid), void *context);

#endif
