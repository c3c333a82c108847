/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ecs.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "cipher_suite.h"
#include "escape.h"
#include "facts.h"
#include "session.h"
#include "session_json.h"
#include "tls_names.h"

/* Text built piece by piece in a buffer of fixed size; what does not fit is left out. */
struct text {
	char *bytes;
	size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list arguments;
	size_t room = text->size - text->length;

	va_start(arguments, format);
	int n = vsnprintf(text->bytes + text->length, room, format, arguments);
	va_end(arguments);
	if (n > 0)
		text->length += (size_t)n < room ? (size_t)n : room - 1;
}

static void add_escaped(struct text *text, const char *bytes, size_t n)
{
	text->length += escape_text(text->bytes + text->length, text->size - text->length, bytes, strnlen(bytes, n));
}

/*
 * The user's name, from /etc/passwd alone: a name service might ask the network, and the event loop would wait
 * for it. Returns false if the file has none.
 */
static bool user_name(uint32_t uid, char *name, size_t size)
{
	struct passwd entry, *found = NULL;
	char buffer[1024];
	FILE *file = fopen("/etc/passwd", "re");

	if (!file)
		return false;
	while (fgetpwent_r(file, &entry, buffer, sizeof(buffer), &found) == 0 && found->pw_uid != uid)
		found = NULL;
	fclose(file);
	if (found)
		escape_text(name, size, found->pw_name, strlen(found->pw_name));
	return found != NULL;
}

static void add_sender(struct text *text, const struct flow_event *flow)
{
	char name[128];

	char address[ADDRESS_TEXT_SIZE];

	if (flow->ifindex) {
		add(text, "%s (forwarded)", address_text(flow->client_address, address));
		return;
	}
	if (flow->pid == 0) {
		add(text, "a process not known");
		return;
	}
	add_escaped(text, flow->comm, sizeof(flow->comm));
	if (user_name(flow->uid, name, sizeof(name)))
		add(text, " (pid %u, user %s)", flow->pid, name);
	else
		add(text, " (pid %u, uid %u)", flow->pid, flow->uid);
}

/* As mail servers log it: name[address]:port */
static void add_server(struct text *text, const struct flow_event *flow)
{
	char address[ADDRESS_TEXT_SIZE];

	add_escaped(text, flow->server_name, sizeof(flow->server_name));
	add(text, "[%s]:%u", address_text(flow->server_address, address), flow->server_port);
}

static void add_tls_alert(struct text *text, const char *from, unsigned description)
{
	const char *name = description == TLS_ALERT_NOT_READABLE ? "encrypted" : tls_alert_name(description);
	add(text, " (alert from the %s: %s)", from, name);
}

static void add_auth(struct text *text, const struct session *session)
{
	if (!session->last.mechanism[0])
		return;
	add(text, " (");
	add_escaped(text, session->last.mechanism, sizeof(session->last.mechanism));
	if (session->account) {
		add(text, ", account ");
		add_escaped(text, session->account, strlen(session->account));
	}
	add(text, ")");
}

static void add_code(struct text *text, unsigned code)
{
	if (code)
		add(text, " (code %u)", code);
}

/* What is wrong with the certificate, where the agent has checked it. */
static void add_certificate(struct text *text, const struct session *session, enum finding finding)
{
	const struct own_check *own = session->identity ? &session->identity->check : NULL;
	char date[16];
	struct tm broken;
	time_t not_after = own ? (time_t)own->not_after : 0;

	if (!own || !own->made)
		return;
	if (finding == FINDING_CERTIFICATE_NAME_MISMATCH && own->name[0]) {
		add(text, " (wanted ");
		add_escaped(text, own->name, sizeof(own->name));
		add(text, ")");
	} else if (finding == FINDING_CERTIFICATE_UNTRUSTED && own->verify_text) {
		add(text, " (%s)", own->verify_text);
	} else if (finding == FINDING_CERTIFICATE_EXPIRED && not_after && gmtime_r(&not_after, &broken)) {
		strftime(date, sizeof(date), "%Y-%m-%d", &broken);
		add(text, " (valid until %s)", date);
	}
}

/* What this finding's summary leaves open. */
static void add_detail(struct text *text, const struct session *session, enum finding finding)
{
	const struct flow_event *flow = &session->last;
	char id[SESSION_ID_TEXT_SIZE];

	if (finding == FINDING_CLEARTEXT_AUTH)
		add_auth(text, session);
	else if (finding == FINDING_CLEARTEXT_MAIL && session->judgement.cause_name)
		add(text, " (cause: %s)", session->judgement.cause_name);
	else if (finding == FINDING_EHLO_REFUSED)
		add_code(text, flow->ehlo_code);
	else if (finding == FINDING_STARTTLS_REFUSED || finding == FINDING_STARTTLS_BAD_REPLY)
		add_code(text, flow->starttls_code);
	else if (finding == FINDING_TLS_HANDSHAKE_FAILED && flow->facts & FACT(SERVER_ALERT))
		add_tls_alert(text, "server", flow->server_alert);
	else if (finding == FINDING_TLS_HANDSHAKE_FAILED && flow->facts & FACT(CLIENT_ALERT))
		add_tls_alert(text, "client", flow->client_alert);
	else if (finding == FINDING_TLS_FALLBACK && session->linked_id)
		add(text, " (session %s failed)", session_id_text(session->linked_id, id));
	else
		add_certificate(text, session, finding);
}

const char *ecs_sentence(const struct alert *alert, char sentence[ECS_SENTENCE_SIZE])
{
	struct text text = { sentence, ECS_SENTENCE_SIZE, 0 };
	const struct flow_event *flow = &alert->session->last;
	const char *summary = finding_text(alert->finding)->summary;
	bool acronym = summary[1] >= 'A' && summary[1] <= 'Z';

	sentence[0] = '\0';
	add_sender(&text, flow);
	add(&text, " to ");
	add_server(&text, flow);
	add(&text, ": %c%s", acronym ? summary[0] : summary[0] | 0x20, summary + 1);
	add_detail(&text, alert->session, alert->finding);
	if (alert_was_blocked(alert->session, alert->finding))
		add(&text, "; smtpward blocked it");
	else if (flow->facts & FACT(WOULD_BLOCK))
		add(&text, "; block mode would have stopped it");
	if (alert->suppressed)
		add(&text, "; %llu more like it were not reported one by one", (unsigned long long)alert->suppressed);
	add(&text, ". What to do: smtpward explain %s", finding_name(alert->finding));
	return sentence;
}

/* Elastic's own scale from 0 to 100, which its rules and dashboards sort by. */
static int severity_number(enum severity severity)
{
	static const int numbers[] = { 0, 21, 47, 73, 99 };
	_Static_assert(sizeof(numbers) / sizeof(numbers[0]) == SEVERITY_COUNT, "every severity has a number");
	return numbers[severity];
}

/* What every event has in common. */
static json_t *new_event(const char *kind, const char *action, enum severity severity, const char *message,
			 struct timespec now)
{
	char time[TIME_TEXT_SIZE], host[256] = "";
	/* message comes first, for whoever reads the log with his own eyes */
	json_t *event = json_pack("{s:s,s:s,s:{s:s},s:{s:s},s:{s:s,s:s},s:{s:s,s:s,s:s,s:s,s:i}}", "message", message,
				  "@timestamp", time_text(&now, time), "ecs", "version", ECS_VERSION, "log", "level",
				  severity_name(severity), "agent", "type", "smtpward", "version", SMTPWARD_VERSION,
				  "event", "kind", kind, "module", "smtpward", "dataset", "smtpward.log", "action",
				  action, "severity", severity_number(severity));

	if (event && gethostname(host, sizeof(host) - 1) == 0)
		json_object_set_new(event, "host", json_pack("{s:o}", "hostname", text_json(host, sizeof(host))));
	return event;
}

static void set_text(json_t *object, const char *key, const char *text, size_t n)
{
	if (text && strnlen(text, n) > 0)
		json_object_set_new(object, key, text_json(text, n));
}

/* Whether what the event reports came to pass: mail or a credential got away, or did not. */
static const char *event_outcome(const struct session *session)
{
	switch (session->judgement.outcome) {
	case OUTCOME_UNKNOWN: return "unknown";
	case OUTCOME_REFUSED:
	case OUTCOME_FAILED:
	case OUTCOME_BLOCKED: return "failure";
	default: return "success";
	}
}

static void set_event(json_t *event, const struct alert *alert)
{
	const struct session *session = alert->session;
	json_t *fields = json_object_get(event, "event");
	json_t *categories = json_pack("[s,s]", "network", "email");

	if (alert->finding == FINDING_CLEARTEXT_AUTH)
		json_array_append_new(categories, json_string("authentication"));
	json_object_set_new(fields, "category", categories);
	json_object_set_new(fields, "type",
			    json_pack("[s,s]", "info", alert_was_blocked(session, alert->finding) ? "denied" : "protocol"));
	json_object_set_new(fields, "outcome", json_string(event_outcome(session)));
	json_object_set_new(fields, "reason", json_string(finding_text(alert->finding)->summary));
	json_object_set_new(fields, "start", time_json(&session->opened));
	if (session->closed.tv_sec)
		json_object_set_new(fields, "end", time_json(&session->closed));
}

static json_t *endpoint(const __u8 address[16], unsigned port, uint64_t bytes)
{
	char text[ADDRESS_TEXT_SIZE];
	address_text(address, text);
	return json_pack("{s:s,s:s,s:i,s:I}", "address", text, "ip", text, "port", (int)port, "bytes", (json_int_t)bytes);
}

static void set_network(json_t *event, const struct flow_event *flow)
{
	static const __u8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	json_t *server = endpoint(flow->server_address, flow->server_port, flow->bytes_received);
	bool ipv4 = !memcmp(flow->server_address, mapped, sizeof(mapped));
	const char *application = flow->implicit_tls ? "smtps" : flow->server_port == 587 ? "submission" : "smtp";

	set_text(server, "domain", flow->server_name, sizeof(flow->server_name));
	json_object_set_new(event, "source", endpoint(flow->client_address, flow->client_port, flow->bytes_sent));
	json_object_set_new(event, "destination", server);
	json_object_set_new(event, "network",
			    json_pack("{s:s,s:s,s:s,s:s,s:s}", "transport", "tcp", "type", ipv4 ? "ipv4" : "ipv6",
				      "protocol", "smtp", "application", application, "direction", "egress"));
}

/* ECS names the protocol's version and suite apart, and has only what is known. */
static void set_tls(json_t *event, const struct session *session)
{
	const struct tls_summary *summary = session->tls;
	json_t *tls = json_pack("{s:b}", "established", facts_tls_established(session->last.facts));
	char version[TLS_NAME_SIZE], cipher[CIPHER_NAME_SIZE];
	if (summary && summary->version) {
		json_object_set_new(tls, "version", json_string(tls_version_name(summary->version, version)));
		json_object_set_new(tls, "version_protocol", json_string("tls"));
		json_object_set_new(tls, "cipher", json_string(cipher_name(summary->suite, cipher)));
	}
	if (summary && summary->server_name[0])
		json_object_set_new(tls, "client", json_pack("{s:o}", "server_name",
							     text_json(summary->server_name, sizeof(summary->server_name))));
	json_object_set_new(event, "tls", tls);
}

static void set_sender(json_t *event, const struct session *session)
{
	const struct flow_event *flow = &session->last;
	char name[128], id[16];
	json_t *users = json_array();
	json_t *process = json_object(), *user = json_object();

	if (flow->pid) {
		snprintf(id, sizeof(id), "%u", flow->uid);
		json_object_set_new(process, "pid", json_integer(flow->pid));
		set_text(process, "name", flow->comm, sizeof(flow->comm));
		json_object_set_new(user, "id", json_string(id));
		if (user_name(flow->uid, name, sizeof(name))) {
			json_object_set_new(user, "name", json_string(name));
			json_array_append_new(users, json_string(name));
		}
		json_object_set(event, "process", process);
		json_object_set(event, "user", user);
	}
	json_decref(process);
	json_decref(user);
	if (session->account)
		json_array_append_new(users, text_json(session->account, SIZE_MAX));
	json_object_set_new(event, "related",
			    json_pack("{s:[O,O],s:o}", "ip",
				      json_object_get(json_object_get(event, "source"), "ip"),
				      json_object_get(json_object_get(event, "destination"), "ip"), "user", users));
}

/* The session's own words, the same as `smtpward -j sessions` prints. */
static void set_session(json_t *event, const struct alert *alert)
{
	static const char *const taken[] = { "outcome", "unknown_reason", "forwarded", "interface", "facts", "findings", "cause", "starttls", "auth",
					     "linked_session", "blocked", "would_block", "policy", "events_missed",
					     "identity" };
	json_t *session = session_json(alert->session);
	json_t *fields = json_object();

	json_object_set(fields, "session", json_object_get(session, "id"));
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		json_object_set(fields, taken[i], json_object_get(session, taken[i]));
	json_object_set(fields, "cgroup", json_object_get(json_object_get(session, "process"), "cgroup"));
	json_object_set_new(fields, "suppressed", json_integer((json_int_t)alert->suppressed));
	json_decref(session);
	json_object_set_new(event, "smtpward", fields);
}

json_t *ecs_alert(const struct alert *alert)
{
	char sentence[ECS_SENTENCE_SIZE];
	const char *id = finding_name(alert->finding);
	json_t *event = new_event("alert", id, alert->severity, ecs_sentence(alert, sentence), alert->time);

	if (!event)
		return NULL;
	set_event(event, alert);
	set_network(event, &alert->session->last);
	set_tls(event, alert->session);
	set_sender(event, alert->session);
	json_object_set_new(event, "rule", json_pack("{s:s,s:s}", "id", id, "name", finding_text(alert->finding)->summary));
	set_session(event, alert);
	return event;
}

json_t *ecs_state(const char *action, enum severity severity, const char *message, struct timespec now)
{
	char escaped[ECS_SENTENCE_SIZE];
	escape_text(escaped, sizeof(escaped), message, strlen(message));
	json_t *event = new_event("state", action, severity, escaped, now);
	if (event) {
		json_t *fields = json_object_get(event, "event");
		json_object_set_new(fields, "category", json_pack("[s]", "process"));
		json_object_set_new(fields, "type", json_pack("[s]", "info"));
	}
	return event;
}

static json_t *hooks_json(const struct kernel_hook *hooks, unsigned count, struct text *missing)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++) {
		json_t *error = hooks[i].attached ? json_null() : text_json(hooks[i].error, sizeof(hooks[i].error));
		json_array_append_new(list, json_pack("{s:s,s:b,s:o}", "name", hooks[i].name, "attached",
						      hooks[i].attached, "error", error));
		if (!hooks[i].attached)
			add(missing, "%s%s (%s)", missing->length ? ", " : "; not attached: ", hooks[i].name,
			    hooks[i].error);
	}
	return list;
}

json_t *ecs_startup(enum policy_mode mode, const char *cgroup, const struct kernel_hook *hooks, unsigned count,
		    struct timespec now, enum severity *severity)
{
	const char *mode_name = mode == MODE_BLOCK ? "block" : "monitor";
	char not_attached[ECS_SENTENCE_SIZE / 2] = "", message[ECS_SENTENCE_SIZE];
	struct text missing = { not_attached, sizeof(not_attached), 0 };
	json_t *list = hooks_json(hooks, count, &missing);
	unsigned attached = 0;

	for (unsigned i = 0; i < count; i++)
		attached += hooks[i].attached;
	*severity = attached == count ? SEVERITY_NOTICE : SEVERITY_WARNING;
	snprintf(message, sizeof(message), "smtpward %s started in %s mode: %u of %u hooks attached at %s%s",
		 SMTPWARD_VERSION, mode_name, attached, count, cgroup, not_attached);
	json_t *event = ecs_state("agent-started", *severity, message, now);
	if (!event) {
		json_decref(list);
		return NULL;
	}
	json_object_set_new(event, "smtpward",
			    json_pack("{s:s,s:s,s:o,s:o}", "version", SMTPWARD_VERSION, "mode", mode_name, "cgroup",
				      text_json(cgroup, SIZE_MAX), "hooks", list));
	return event;
}

const char *ecs_message(const json_t *event)
{
	const char *message = json_string_value(json_object_get(event, "message"));
	return message ? message : "";
}
