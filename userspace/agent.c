/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/sha.h>
#include <uthash.h>

#include "agent.h"
#include "alert.h"
#include "config.h"
#include "control.h"
#include "ecs.h"
#include "event_ring.h"
#include "facts.h"
#include "fallback.h"
#include "history.h"
#include "monitor.h"
#include "session.h"
#include "sink.h"

static struct timespec monotonic_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now;
}

static struct timespec wall_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

/* ---- events ----------------------------------------------------------------------------------------------- */

#define ACCOUNT_HASH_BYTES 8

/* What may be told of the account: its name, a hash to compare with, or nothing. */
static void set_account(const struct agent *agent, struct session *session)
{
	const char *name = session->last.account;
	free(session->account);
	session->account = NULL;
	if (!name[0] || agent->config->account == ACCOUNT_NONE)
		return;
	if (agent->config->account == ACCOUNT_NAME) {
		session->account = strdup(name);
		return;
	}
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char text[sizeof("sha256:") + 2 * ACCOUNT_HASH_BYTES] = "sha256:";
	SHA256((const unsigned char *)name, strlen(name), digest);
	for (unsigned i = 0; i < ACCOUNT_HASH_BYTES; i++)
		sprintf(text + strlen("sha256:") + 2 * i, "%02x", digest[i]);
	session->account = strdup(text);
}

/* A path is looked up once for each cgroup, and kept: a short-lived one may be gone when the session is shown. */
struct cgroup_name {
	uint64_t id;
	char *path;
	UT_hash_handle hh;
};

#define CGROUP_NAMES_MAX 4096

static char *cgroup_path(struct agent *agent, uint64_t id)
{
	struct cgroup_name *name = NULL;
	HASH_FIND(hh, agent->cgroup_names, &id, sizeof(id), name);
	if (!name) {
		name = calloc(1, sizeof(*name));
		if (!name)
			return NULL;
		name->id = id;
		name->path = monitor_cgroup_path(agent->monitor, id);
		HASH_ADD(hh, agent->cgroup_names, id, sizeof(name->id), name);
	}
	if (HASH_COUNT(agent->cgroup_names) > CGROUP_NAMES_MAX)
		agent_forget_cgroups(agent);
	else if (name->path)
		return strdup(name->path);
	return NULL;
}

void agent_forget_cgroups(struct agent *agent)
{
	struct cgroup_name *name, *next;
	HASH_ITER(hh, agent->cgroup_names, name, next) {
		HASH_DEL(agent->cgroup_names, name);
		free(name->path);
		free(name);
	}
}

static void raise_new_findings(struct agent *agent, struct session *session)
{
	uint32_t fresh = session->judgement.findings & ~session->findings_told;
	session->findings_told |= fresh;
	for (enum finding finding = 0; finding < FINDING_COUNT; finding++) {
		if (!(fresh & FINDING_MASK(finding)))
			continue;
		agent->counts.findings[finding]++;
		alerts_raise(agent->alerts, session, finding, session->judgement.severity[finding], wall_now());
	}
}

static void count_closed(struct agent *agent, const struct session *session)
{
	const struct flow_event *last = &session->last;
	agent->counts.outcomes[session->judgement.outcome]++;
	agent->counts.verdict_events_missed += session->events_missed;
	if (last->facts & ~last->stopped & FACT(CREDENTIAL_CLEAR))
		agent->counts.auth_clear[mechanism_exposure(last->mechanism)]++;
	if (last->facts & FACT(WOULD_BLOCK))
		agent->counts.would_block++;
	if (last->facts & FACT(HELD))
		agent->counts.held++;
	if (last->held_ns)
		durations_add(&agent->held, last->held_ns);
	if (last->facts & FACT(SERVER_HELLO)) {
		if (session->identity && session->identity->witness.library)
			agent->counts.witnessed++;
		else
			agent->counts.not_witnessed++;
	}
}

/* Closes a session before its end has come. reason: why its outcome is unknown, if it is. */
void agent_give_up(struct agent *agent, struct session *session, const char *reason)
{
	bool counted = session->given_up;
	sessions_give_up(agent->sessions, session, wall_now());
	if (session->judgement.outcome == OUTCOME_UNKNOWN)
		session->judgement.unknown_reason = reason;
	if (!counted)
		count_closed(agent, session);
	control_publish_session(agent->control, session);
}

void agent_take_flow(struct agent *agent, const struct flow_event *event)
{
	agent->has_adopted |= event->adopted != 0;
	if (event->reason == EVENT_BLOCKED && !event->ifindex && monitor_destroy_socket(agent->monitor, event))
		agent->counts.destroy_failed++; /* the sender learns of it by the kernel's own way */
	if (event->sender_is_new && event->reason == EVENT_OPENED)
		monitor_witness_sender(agent->monitor, event->pid);
	struct session *session = sessions_take(agent->sessions, event);
	if (!session)
		return;
	if (!session->cgroup && event->cgroup_id)
		session->cgroup = cgroup_path(agent, event->cgroup_id);
	if (event->ifindex)
		agent_note_forward(agent, session);
	set_account(agent, session);
	judge(&session->last, &session->judgement);
	judge_handshake(&session->last, session->tls, &session->judgement);
	agent_judge_identity(agent, session);
	fallback_judge(agent->history, session, monotonic_now());
	raise_new_findings(agent, session);
	if (event->reason == EVENT_CLOSED && !session->given_up)
		count_closed(agent, session);
	control_publish_session(agent->control, session);
	session = event->reason == EVENT_CLOSED ? fallback_end(agent->history, agent->sessions, session, monotonic_now()) : NULL;
	if (session) {
		raise_new_findings(agent, session);
		control_publish_session(agent->control, session);
	}
	while ((session = sessions_surplus(agent->sessions)))
		agent_give_up(agent, session, "given-up");
}

static void take_event(void *context, const struct flow_event *event)
{
	struct agent *agent = context;
	agent->counts.events_read++;
	agent_take_flow(agent, event);
}

static void take_handshake(void *context, const struct handshake_event *event)
{
	struct agent *agent = context;
	agent->counts.events_read++;
	sessions_take_handshake(agent->sessions, event);
}

static void take_malformed(void *context)
{
	struct agent *agent = context;
	agent->counts.events_read++;
	agent->counts.events_malformed++;
}

void agent_read_events(struct agent *agent)
{
	const struct event_reader reader = { .flow = take_event, .handshake = take_handshake, .witness = agent_take_witness,
					      .certificate = agent_take_certificate, .malformed = take_malformed,
					      .context = agent };
	event_ring_read(agent->ring, &reader);
}

void agent_take_answer(void *context, enum monitor_operation operation, uint64_t flow_id, int result)
{
	struct agent *agent = context;
	struct session *session;

	switch (operation) {
	case MONITOR_DESTROY_SOCKET:
		agent->counts.sockets_destroyed += result == 0;
		agent->counts.destroy_failed += result != 0 && result != -ENOENT;
		break;
	case MONITOR_RELEASE_SOCKET:
		agent->counts.released += result == 0;
		agent->counts.release_failed += result != 0;
		break;
	case MONITOR_FIND_SOCKET:
		session = result == -ENOENT || result == -ETIMEDOUT ? sessions_find(agent->sessions, flow_id) : NULL;
		if (session && session->last.ifindex)
			agent_give_up_forward(agent, flow_id, result);
		else if (session && session->last.adopted && result == -ENOENT)
			agent_end_adopted(agent, flow_id);
		else if (session && !session->closed.tv_sec && result == -ENOENT)
			agent_give_up(agent, session, "events-lost");
		break;
	default:
		break;
	}
}

/* ---- alerts and state into the sinks ---------------------------------------------------------------------- */

static void write_record(struct agent *agent, enum severity severity, const char *sentence, json_t *record)
{
	char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
	if (text)
		sinks_write(agent->sinks, severity, sentence, text);
	free(text);
	json_decref(record);
}

void agent_emit_alert(void *context, const struct alert *alert)
{
	struct agent *agent = context;
	char sentence[ECS_SENTENCE_SIZE];
	write_record(agent, alert->severity, ecs_sentence(alert, sentence), ecs_alert(alert));
	control_publish_alert(agent->control, alert);
}

void agent_say_state(struct agent *agent, const char *action, int severity, const char *message)
{
	enum severity level = (enum severity)severity;
	write_record(agent, level, message, ecs_state(action, level, message, wall_now()));
}

static unsigned count_lost(const struct kernel_hook *hooks, unsigned count)
{
	unsigned lost = 0;
	for (unsigned i = 0; i < count; i++)
		lost += !hooks[i].attached;
	return lost;
}

void agent_say_started(struct agent *agent)
{
	unsigned count;
	const struct kernel_hook *hooks = monitor_hooks(agent->monitor, &count);
	enum severity severity = SEVERITY_INFO;
	json_t *record =
		ecs_startup(monitor_mode(agent->monitor), monitor_cgroup(agent->monitor), hooks, count, wall_now(), &severity);
	char message[512];
	snprintf(message, sizeof(message), "%s", record ? ecs_message(record) : "started");
	write_record(agent, severity, message, record);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "smtpwardd: %s\n", message);
	agent->hooks_lost = count_lost(hooks, count);
}

void agent_look_at_hooks(struct agent *agent)
{
	unsigned count;
	const struct kernel_hook *hooks = monitor_hooks(agent->monitor, &count);
	unsigned lost = count_lost(hooks, count);
	char message[64];
	if (lost == agent->hooks_lost)
		return;
	agent->hooks_lost = lost;
	snprintf(message, sizeof(message), "%u of %u hooks are attached", count - lost, count);
	agent_say_state(agent, lost ? "hooks-lost" : "hooks-attached", lost ? SEVERITY_ERROR : SEVERITY_NOTICE, message);
}

/* ---- changes at run time ---------------------------------------------------------------------------------- */

int agent_set_mode(struct agent *agent, int mode)
{
	char message[64];
	int error = monitor_set_mode(agent->monitor, (enum policy_mode)mode);
	if (error)
		return error;
	snprintf(message, sizeof(message), "mode is now %s", mode == MODE_BLOCK ? "block" : "monitor");
	agent_say_state(agent, "mode-changed", SEVERITY_NOTICE, message);
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_interfaces(const struct config *a, const struct config *b)
{
	bool same = a->tc.interface_count == b->tc.interface_count;
	for (unsigned i = 0; same && i < a->tc.interface_count; i++)
		same = same_text(a->tc.interfaces[i], b->tc.interfaces[i]);
	return same;
}

/* Names the keys of fresh that only a start can bring into force. */
static void name_late_keys(const struct config *now, const struct config *fresh, char *list, unsigned size)
{
	const struct {
		const char *key;
		bool same;
	} keys[] = {
		{ "on_exit", now->on_exit == fresh->on_exit },
		{ "ports", now->port_count == fresh->port_count && memcmp(now->ports, fresh->ports, sizeof(now->ports)) == 0 },
		{ "cgroup", same_text(now->cgroup, fresh->cgroup) },
		{ "tc", same_interfaces(now, fresh) },
		{ "control_socket", same_text(now->control_socket, fresh->control_socket) },
		{ "control", same_text(now->control.owner, fresh->control.owner) && same_text(now->control.group, fresh->control.group) &&
				     same_text(now->control.admin_group, fresh->control.admin_group) },
		{ "privileges", now->privileges.containers == fresh->privileges.containers &&
					now->privileges.required == fresh->privileges.required &&
					same_text(now->privileges.user, fresh->privileges.user) },
		{ "identity", now->identity.witness == fresh->identity.witness && now->identity.hold_s == fresh->identity.hold_s &&
				      same_text(now->identity.trust, fresh->identity.trust) },
		{ "sessions", memcmp(&now->sessions, &fresh->sessions, sizeof(now->sessions)) == 0 },
		{ "syslog", now->syslog.enabled == fresh->syslog.enabled && now->syslog.facility == fresh->syslog.facility &&
				    same_text(now->syslog.prefix, fresh->syslog.prefix) &&
				    same_text(now->syslog.socket, fresh->syslog.socket) },
		{ "file", same_text(now->file.path, fresh->file.path) },
		{ "journal", now->journal == fresh->journal },
		{ "metrics", now->metrics.enabled == fresh->metrics.enabled && now->metrics.port == fresh->metrics.port &&
				     same_text(now->metrics.address, fresh->metrics.address) },
	};
	list[0] = 0;
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t used = strlen(list);
		if (!keys[i].same)
			snprintf(list + used, size - used, "%s%s", used ? ", " : "", keys[i].key);
	}
}

/* Takes over from fresh what can change at run time, and leaves it the rest to be freed. */
static void take_over(struct config *now, struct config *fresh)
{
	struct config_rule *rules = now->rules;
	unsigned rule_count = now->rule_count;
	now->rules = fresh->rules;
	now->rule_count = fresh->rule_count;
	fresh->rules = rules;
	fresh->rule_count = rule_count;
	now->default_rule = fresh->default_rule;
	now->fallback_window_s = fresh->fallback_window_s;
	now->account = fresh->account;
	now->alerts = fresh->alerts;
}

int agent_reload(struct agent *agent, char *message, unsigned message_size)
{
	char late[256];
	bool mode_changed;
	struct config *fresh = config_read(monitor_open_config(agent->monitor), agent->config_path, message, message_size);
	if (!fresh)
		return -EINVAL;
	int error = monitor_set_policy(agent->monitor, fresh);
	if (!error && fresh->mode != agent->config->mode) /* what the CLI has set stays unless the file changed it */
		error = agent_set_mode(agent, fresh->mode);
	if (error) {
		snprintf(message, message_size, "the policy cannot be written into the kernel: %s", strerror(-error));
		monitor_set_policy(agent->monitor, agent->config);
		config_free(fresh);
		return -EINVAL;
	}
	mode_changed = fresh->mode != agent->config->mode;
	agent->config->mode = fresh->mode;
	name_late_keys(agent->config, fresh, late, sizeof(late));
	take_over(agent->config, fresh);
	config_free(fresh);
	history_set_window(agent->history, agent->config->fallback_window_s);
	alerts_set_config(agent->alerts, agent->config);
	agent->policy_loaded = wall_now();
	snprintf(message, message_size, "%u rules in force%s%s%s", agent->config->rule_count,
		 mode_changed ? ", mode changed" : "", late[0] ? "; in force only after a restart: " : "", late);
	agent_say_state(agent, "policy-loaded", SEVERITY_NOTICE, message);
	return 0;
}
