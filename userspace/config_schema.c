/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <syslog.h>

#include "config.h"
#include "config_raw.h"

static const cyaml_strval_t modes[] = { { "monitor", MODE_MONITOR }, { "block", MODE_BLOCK } };
static const cyaml_strval_t exits[] = { { "keep", EXIT_KEEP }, { "detach", EXIT_DETACH } };
static const cyaml_strval_t requires[] = { { "none", REQUIRE_NONE }, { "encrypted", REQUIRE_ENCRYPTED }, { "verified", REQUIRE_VERIFIED } };
static const cyaml_strval_t actions[] = { { "monitor", ACTION_MONITOR }, { "block", ACTION_BLOCK } };
static const cyaml_strval_t doubts[] = { { "pass", DOUBT_PASS }, { "block", DOUBT_BLOCK } };
static const cyaml_strval_t versions[] = { { "1.2", 0x0303 }, { "1.3", 0x0304 } };
static const cyaml_strval_t accounts[] = { { "name", ACCOUNT_NAME }, { "hash", ACCOUNT_HASH }, { "none", ACCOUNT_NONE } };
static const cyaml_strval_t journals[] = { { "auto", JOURNAL_AUTO }, { "on", JOURNAL_ON }, { "off", JOURNAL_OFF } };
static const cyaml_strval_t severities[] = { { "info", SEVERITY_INFO }, { "notice", SEVERITY_NOTICE }, { "warning", SEVERITY_WARNING },
					     { "error", SEVERITY_ERROR }, { "critical", SEVERITY_CRITICAL } };
static const cyaml_strval_t hardenings[] = { { "available", 0 }, { "required", 1 } };
static const cyaml_strval_t facilities[] = {
	{ "mail", LOG_MAIL },     { "daemon", LOG_DAEMON }, { "auth", LOG_AUTH },     { "authpriv", LOG_AUTHPRIV },
	{ "syslog", LOG_SYSLOG }, { "user", LOG_USER },     { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },
	{ "local2", LOG_LOCAL2 }, { "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 }, { "local5", LOG_LOCAL5 },
	{ "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
};

/* Every key may be absent, empty, null or ~: all of them mean the default. */
#define OPTIONAL (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL_STR)
#define ENUM(key, type, member, values) \
	CYAML_FIELD_ENUM_PTR(key, OPTIONAL | CYAML_FLAG_STRICT, type, member, values, CYAML_ARRAY_LEN(values))
#define TEXT(key, type, member) CYAML_FIELD_STRING_PTR(key, OPTIONAL, type, member, 1, 1024)
#define NUMBER(key, type, member) CYAML_FIELD_UINT_PTR(key, OPTIONAL, type, member)
#define FLAG(key, type, member) CYAML_FIELD_BOOL_PTR(key, OPTIONAL, type, member)
#define GROUP(key, type, member, fields) CYAML_FIELD_MAPPING_PTR(key, OPTIONAL, type, member, fields)

static const cyaml_schema_field_t rule_fields[] = {
	TEXT("to", struct raw_rule, to),
	NUMBER("port", struct raw_rule, port),
	TEXT("user", struct raw_rule, user),
	TEXT("cgroup", struct raw_rule, cgroup),
	ENUM("require", struct raw_rule, require, requires),
	ENUM("action", struct raw_rule, action, actions),
	ENUM("unknown", struct raw_rule, unknown, doubts),
	ENUM("undecided", struct raw_rule, undecided, doubts),
	ENUM("min_tls", struct raw_rule, min_tls, versions),
	TEXT("name", struct raw_rule, name),
	TEXT("reason", struct raw_rule, reason),
	TEXT("until", struct raw_rule, until),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t rule_schema = { CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_rule, rule_fields) };

static const cyaml_schema_field_t default_fields[] = {
	ENUM("require", struct raw_rule, require, requires),
	ENUM("action", struct raw_rule, action, actions),
	ENUM("unknown", struct raw_rule, unknown, doubts),
	ENUM("undecided", struct raw_rule, undecided, doubts),
	ENUM("min_tls", struct raw_rule, min_tls, versions),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t policy_fields[] = {
	GROUP("default", struct raw_policy, fallback, default_fields),
	CYAML_FIELD_SEQUENCE("rules", OPTIONAL, struct raw_policy, rules, &rule_schema, 0,
			     POLICY_MAX_RULES - 2),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t port_schema = { CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint16_t) };

static const cyaml_schema_field_t port_fields[] = {
	CYAML_FIELD_SEQUENCE("starttls", OPTIONAL, struct raw_ports, starttls, &port_schema, 0, PORTS_MAX),
	CYAML_FIELD_SEQUENCE("implicit_tls", OPTIONAL, struct raw_ports, implicit_tls, &port_schema, 0,
			     PORTS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t interface_schema = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 64) };

static const cyaml_schema_field_t tc_fields[] = {
	CYAML_FIELD_SEQUENCE("interfaces", OPTIONAL, struct raw_tc, interfaces, &interface_schema, 0, CONFIG_TC_INTERFACES_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t identity_fields[] = {
	FLAG("witness", struct raw_identity, witness),
	TEXT("trust", struct raw_identity, trust),
	TEXT("hold", struct raw_identity, hold),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t session_fields[] = {
	NUMBER("keep", struct raw_sessions, keep),
	NUMBER("open_max", struct raw_sessions, open_max),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t alert_fields[] = {
	ENUM("minimum", struct raw_alerts, minimum, severities),
	TEXT("repeat", struct raw_alerts, repeat),
	NUMBER("rate", struct raw_alerts, rate),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t syslog_fields[] = {
	FLAG("enabled", struct raw_syslog, enabled),
	ENUM("facility", struct raw_syslog, facility, facilities),
	CYAML_FIELD_STRING_PTR("prefix", OPTIONAL, struct raw_syslog, prefix, 0, 64),
	TEXT("socket", struct raw_syslog, socket),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t file_fields[] = {
	TEXT("path", struct raw_file, path),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t metrics_fields[] = {
	FLAG("enabled", struct raw_metrics, enabled),
	TEXT("address", struct raw_metrics, address),
	NUMBER("port", struct raw_metrics, port),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t control_fields[] = {
	TEXT("owner", struct raw_control, owner),
	TEXT("group", struct raw_control, group),
	TEXT("admin_group", struct raw_control, admin_group),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t privileges_fields[] = {
	TEXT("user", struct raw_privileges, user),
	FLAG("containers", struct raw_privileges, containers),
	ENUM("hardening", struct raw_privileges, hardening, hardenings),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
	ENUM("mode", struct raw_config, mode, modes),
	ENUM("on_exit", struct raw_config, on_exit, exits),
	GROUP("ports", struct raw_config, ports, port_fields),
	TEXT("cgroup", struct raw_config, cgroup),
	GROUP("tc", struct raw_config, tc, tc_fields),
	TEXT("control_socket", struct raw_config, control_socket),
	GROUP("control", struct raw_config, control, control_fields),
	GROUP("privileges", struct raw_config, privileges, privileges_fields),
	TEXT("fallback_window", struct raw_config, fallback_window),
	ENUM("account", struct raw_config, account, accounts),
	GROUP("policy", struct raw_config, policy, policy_fields),
	GROUP("identity", struct raw_config, identity, identity_fields),
	GROUP("sessions", struct raw_config, sessions, session_fields),
	GROUP("alerts", struct raw_config, alerts, alert_fields),
	GROUP("syslog", struct raw_config, syslog, syslog_fields),
	GROUP("file", struct raw_config, file, file_fields),
	ENUM("journal", struct raw_config, journal, journals),
	GROUP("metrics", struct raw_config, metrics, metrics_fields),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t raw_config_schema = { CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields) };
