/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "session_json.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "escape.h"
#include "cipher_suite.h"
#include "facts.h"
#include "policy.h"
#include "tls_names.h"

static const char *const fact_names[FACT_COUNT] = {
#define X(id, name) [FACT_BIT_##id] = name,
	FACTS(X)
#undef X
};

static const char *const require_names[] = {
	[REQUIRE_NONE] = "none",
	[REQUIRE_ENCRYPTED] = "encrypted",
	[REQUIRE_VERIFIED] = "verified",
};

static const char *const end_names[] = {
	[FLOW_END_NONE] = NULL,
	[FLOW_END_CLIENT] = "client",
	[FLOW_END_SERVER] = "server",
	[FLOW_END_RESET] = "reset",
};

#define NAME_OF(names, value) ((size_t)(value) < sizeof(names) / sizeof((names)[0]) ? (names)[value] : NULL)

const char *time_text(const struct timespec *time, char text[TIME_TEXT_SIZE])
{
	struct tm broken;
	size_t length = 0;

	if (gmtime_r(&time->tv_sec, &broken))
		length = strftime(text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &broken);
	snprintf(text + length, TIME_TEXT_SIZE - length, ".%03uZ", (unsigned)(time->tv_nsec / 1000000) % 1000);
	return text;
}

json_t *time_json(const struct timespec *time)
{
	char text[TIME_TEXT_SIZE];
	return time->tv_sec || time->tv_nsec ? json_string(time_text(time, text)) : json_null();
}

json_t *text_json(const char *text, size_t n)
{
	char small[ESCAPED_SIZE(256)], *escaped = small;
	json_t *string;

	n = text ? strnlen(text, n) : 0;
	if (!n)
		return json_null();
	if (ESCAPED_SIZE(n) > sizeof(small))
		escaped = malloc(ESCAPED_SIZE(n));
	if (!escaped)
		return json_null();
	escape_text(escaped, ESCAPED_SIZE(n), text, n);
	string = json_string(escaped);
	if (escaped != small)
		free(escaped);
	return string;
}

/* A name of our own, or null. */
static json_t *name_json(const char *name)
{
	return name ? json_string(name) : json_null();
}

static json_t *code_json(unsigned code)
{
	return code ? json_integer(code) : json_null();
}

static json_t *alert_json(uint64_t facts, uint64_t fact, unsigned description)
{
	if (!(facts & fact) || description == TLS_ALERT_NONE)
		return json_null();
	if (description == TLS_ALERT_NOT_READABLE)
		return json_pack("{s:n,s:s}", "code", "name", "encrypted");
	return json_pack("{s:i,s:s}", "code", (int)description, "name", tls_alert_name(description));
}

static json_t *facts_json(uint64_t facts)
{
	json_t *list = json_array();
	for (unsigned bit = 0; bit < FACT_COUNT; bit++)
		if (facts >> bit & 1)
			json_array_append_new(list, json_string(fact_names[bit]));
	return list;
}

static json_t *findings_json(uint32_t findings)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < FINDING_COUNT; i++)
		if (findings & FINDING_MASK(i))
			json_array_append_new(list, json_string(finding_name((enum finding)i)));
	return list;
}

/* The worst of the findings' severities. */
static const char *severity_of(const struct judgement *judgement)
{
	int worst = -1;
	for (unsigned i = 0; i < FINDING_COUNT; i++)
		if (judgement->findings & FINDING_MASK(i) && judgement->severity[i] > worst)
			worst = judgement->severity[i];
	return worst >= 0 && worst < SEVERITY_COUNT ? severity_name((enum severity)worst) : NULL;
}

static json_t *process_json(const struct session *session)
{
	const struct flow_event *last = &session->last;
	bool known = last->pid != 0 || last->adopted;

	return json_pack("{s:o,s:o,s:o,s:o}", "pid", code_json(last->pid), "uid",
			 known ? json_integer(last->uid) : json_null(), "comm", text_json(last->comm, sizeof(last->comm)),
			 "cgroup", text_json(session->cgroup, SIZE_MAX));
}

static json_t *endpoint_json(const __u8 address[16], unsigned port)
{
	char text[ADDRESS_TEXT_SIZE];
	return json_pack("{s:s,s:i}", "address", address_text(address, text), "port", (int)port);
}

static json_t *server_json(const struct flow_event *last)
{
	json_t *server = endpoint_json(last->server_address, last->server_port);
	json_object_set_new(server, "name", text_json(last->server_name, sizeof(last->server_name)));
	return server;
}

static json_t *starttls_json(const struct flow_event *last)
{
	return json_pack("{s:b,s:b,s:o}", "offered",
			 (last->facts & (FACT(STARTTLS_OFFERED) | FACT(ANONYMOUSTLS_OFFERED))) != 0, "asked",
			 (last->facts & FACT(STARTTLS_ASKED)) != 0, "reply", code_json(last->starttls_code));
}

/* What was read of the handshake; every key is there, null where nothing was. */
static void set_handshake(json_t *object, const struct tls_summary *tls)
{
	static const struct tls_summary nothing;
	char name[TLS_NAME_SIZE], cipher[CIPHER_NAME_SIZE];
	bool chosen = tls && tls->version;
	if (!tls)
		tls = &nothing;
	json_object_set_new(object, "version", chosen ? json_string(tls_version_name(tls->version, name)) : json_null());
	json_object_set_new(object, "cipher", chosen ? json_string(cipher_name(tls->suite, cipher)) : json_null());
	json_object_set_new(object, "group", tls->group ? json_string(tls_group_name(tls->group, name)) : json_null());
	json_object_set_new(object, "server_name", text_json(tls->server_name, sizeof(tls->server_name)));
	json_object_set_new(object, "alpn", text_json((const char *)tls->protocol, tls->protocol_length));
	json_object_set_new(object, "resumed", tls->resumed == TLS_RESUMED_UNKNOWN ? json_null()
										   : json_boolean(tls->resumed == TLS_RESUMED_YES));
	json_object_set_new(object, "ja4", tls->ja4[0] ? json_string(tls->ja4) : json_null());
}

static json_t *tls_json(const struct session *session)
{
	const struct flow_event *last = &session->last;
	json_t *object = json_pack("{s:b,s:b,s:o,s:o}", "established", facts_tls_established(last->facts), "from_start",
				   (last->facts & FACT(TLS_FROM_START)) != 0, "client_alert",
				   alert_json(last->facts, FACT(CLIENT_ALERT), last->client_alert), "server_alert",
				   alert_json(last->facts, FACT(SERVER_ALERT), last->server_alert));
	if (object)
		set_handshake(object, session->tls);
	return object;
}

static json_t *witness_json(const struct witness_word *word)
{
	static const char *const modes[] = { [WITNESS_MODE_LENIENT] = "lenient", [WITNESS_MODE_STRICT] = "strict" };
	bool known = word->checked && word->error != WITNESS_ERROR_UNKNOWN;
	char address[64] = "";
	if (!word->library)
		return json_null();
	if (word->named == WITNESS_NAMED_ADDRESS)
		inet_ntop(word->name_length == 4 ? AF_INET : AF_INET6, word->name, address, sizeof(address));
	return json_pack("{s:s,s:o,s:b,s:o,s:o,s:o,s:b,s:o}", "library", witness_library_name(word->library), "pid",
			 code_json(word->pid), "checked", word->checked, "error", known ? json_integer(word->error) : json_null(),
			 "mode", name_json(NAME_OF(modes, word->mode)), "name",
			 address[0] ? json_string(address) : text_json(word->name, word->named == WITNESS_NAMED_HOST || word->named == WITNESS_NAMED_SEVERAL ? sizeof(word->name) : 0),
			 "pinned", word->named == WITNESS_PINNED, "name_matched",
			 word->name_checked ? json_boolean(word->name_matched) : json_null());
}

static json_t *problems_json(const struct own_check *own)
{
	uint32_t problems = (own->untrusted ? FINDING_MASK(FINDING_CERTIFICATE_UNTRUSTED) : 0) |
			    (own->name_mismatch ? FINDING_MASK(FINDING_CERTIFICATE_NAME_MISMATCH) : 0) |
			    (own->expired ? FINDING_MASK(FINDING_CERTIFICATE_EXPIRED) : 0) |
			    (own->key_weak ? FINDING_MASK(FINDING_CERTIFICATE_KEY_WEAK) : 0);
	return findings_json(problems);
}

static json_t *certificate_json(const struct own_check *own)
{
	static const char *const sources[] = { [CERTIFICATE_FROM_WIRE] = "wire", [CERTIFICATE_FROM_WITNESS] = "witness" };
	static const char *const names[] = { [NAME_FROM_POLICY] = "policy", [NAME_FROM_LIBRARY] = "library", [NAME_FROM_SNI] = "sni" };
	struct timespec not_after = { .tv_sec = (time_t)own->not_after };
	char digest[CERTIFICATE_DIGEST_TEXT_SIZE];
	if (!own->made)
		return json_null();
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o}", "from", name_json(NAME_OF(sources, own->from)), "name",
			 text_json(own->name, sizeof(own->name)), "name_from", name_json(NAME_OF(names, own->name_from)), "problems",
			 problems_json(own), "chain_error", name_json(own->verify_text), "subject",
			 name_json(own->subject[0] ? own->subject : NULL), "sha256", certificate_digest_text(own->sha256, digest),
			 "not_after", time_json(&not_after));
}

/* What is known of the server's identity; null where there was nothing to be known. */
static json_t *identity_json(const struct session *session)
{
	const struct identity_record *record = session->identity;
	const char *disagreements[DISAGREEMENTS_MAX];
	char id[SESSION_ID_TEXT_SIZE];
	if (!record)
		return json_null();
	json_t *list = json_array();
	unsigned count = identity_disagreements(record, disagreements);
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, json_string(disagreements[i]));
	return json_pack("{s:s,s:o,s:o,s:o,s:o}", "sender_check", sender_check_name(identity_sender_check(record)), "witness",
			 witness_json(&record->witness), "certificate", certificate_json(&record->check), "disagreement", list,
			 "resumed_from",
			 record->resumed_id ? json_string(session_id_text(record->resumed_id, id)) : json_null());
}

/* What goes beyond the one line that a session is in a table. */
static void set_details(json_t *object, const struct session *session)
{
	const struct flow_event *last = &session->last;
	char id[SESSION_ID_TEXT_SIZE];

	json_object_set_new(object, "severity", name_json(severity_of(&session->judgement)));
	json_object_set_new(object, "cause", name_json(session->judgement.cause_name));
	json_object_set_new(object, "unknown_reason", name_json(session->judgement.unknown_reason));
	json_object_set_new(object, "linked_session",
			    session->linked_id ? json_string(session_id_text(session->linked_id, id)) : json_null());
	json_object_set_new(object, "identity", identity_json(session));
	json_object_set_new(object, "held_ms", last->held_ns ? json_real((double)last->held_ns / 1e6) : json_null());
	json_object_set_new(object, "end", name_json(NAME_OF(end_names, last->end)));
	json_object_set_new(object, "events_missed", json_integer(session->events_missed));
	json_object_set_new(object, "policy",
			    json_pack("{s:I,s:o}", "rule", (json_int_t)last->rule_id, "require",
				      name_json(NAME_OF(require_names, last->require))));
}

/* Of a flow that was there before the hooks, nobody has counted them. */
static json_t *bytes_json(const struct flow_event *last, uint64_t bytes)
{
	bool joined = last->adopted || (last->ifindex && (last->facts & FACT(MIDWAY)));
	return joined ? json_null() : json_integer((json_int_t)bytes);
}

json_t *session_json(const struct session *session)
{
	const struct flow_event *last = &session->last;
	char id[SESSION_ID_TEXT_SIZE];
	json_t *object = json_pack(
		"{s:s,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:s,s:o,s:o,s:o,s:{s:o,s:o},s:o,s:b,s:b,s:b,s:{s:o,s:o}}", "id",
		session_id_text(session->id, id), "opened", time_json(&session->opened), "closed",
		time_json(&session->closed), "client", endpoint_json(last->client_address, last->client_port), "server",
		server_json(last), "forwarded", last->ifindex != 0, "interface",
		text_json(session->interface, sizeof(session->interface)), "process", process_json(session), "outcome",
		outcome_name(session->judgement.outcome), "findings", findings_json(session->judgement.findings),
		"facts", facts_json(last->facts), "starttls", starttls_json(last), "auth", "mechanism",
		text_json(last->mechanism, sizeof(last->mechanism)), "account", text_json(session->account, SIZE_MAX),
		"tls", tls_json(session), "blocked", (last->facts & FACT(BLOCKED)) != 0, "would_block",
		(last->facts & FACT(WOULD_BLOCK)) != 0, "midway", (last->facts & FACT(MIDWAY)) != 0, "bytes", "sent",
		bytes_json(last, last->bytes_sent), "received", bytes_json(last, last->bytes_received));

	if (object)
		set_details(object, session);
	return object;
}
