/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A probed server as JSON. All texts of the result are escaped already. */
#include <stdio.h>
#include <time.h>

#include "cipher_suite.h"
#include "facts.h"
#include "probe.h"
#include "tls_names.h"

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *code_or_null(unsigned code)
{
	return code ? json_integer(code) : json_null();
}

static json_t *seconds_or_null(int64_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm broken;
	char text[40];

	if (!seconds || !gmtime_r(&time, &broken) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &broken))
		return json_null();
	return json_string(text);
}

static json_t *lines_json(const struct probe_reply *reply, unsigned from)
{
	json_t *list = json_array();
	for (unsigned i = from; i < reply->count; i++)
		json_array_append_new(list, json_string(reply->lines[i]));
	return list;
}

static json_t *mechanisms_json(const struct probe_mechanisms *mechanisms)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < mechanisms->count; i++)
		json_array_append_new(list, json_string(mechanisms->names[i]));
	return list;
}

static json_t *starttls_json(const struct probe_server *server)
{
	const char *text = server->starttls.code && server->starttls.count ? server->starttls.lines[0] : "";
	return json_pack("{s:b,s:b,s:o,s:o}", "offered", (server->facts & FACT(STARTTLS_OFFERED)) != 0, "asked",
			 (server->facts & FACT(STARTTLS_ASKED)) != 0, "reply", code_or_null(server->starttls.code), "text",
			 text_or_null(text));
}

static json_t *reply_json(const struct probe_reply *reply)
{
	return json_pack("{s:o,s:o}", "code", code_or_null(reply->code), "text",
			 text_or_null(reply->code && reply->count ? reply->lines[0] : ""));
}

static json_t *versions_json(const struct probe_tls *tls)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < PROBE_VERSIONS; i++) {
		char name[TLS_NAME_SIZE];
		enum probe_answer answer = tls->versions[i];
		json_object_set_new(object, tls_version_name((uint16_t)(TLS_VERSION_10 + i), name),
				    answer == PROBE_NOT_KNOWN ? json_null() : json_boolean(answer == PROBE_YES));
	}
	return object;
}

static json_t *alert_json(const struct probe_tls *tls)
{
	if (!tls->alerted)
		return json_null();
	return json_pack("{s:s,s:i,s:s}", "from", tls->alert_from_server ? "server" : "client", "code", (int)tls->alert, "name",
			 tls_alert_name(tls->alert));
}

static json_t *tls_json(const struct probe_tls *tls)
{
	char version[TLS_NAME_SIZE] = "";
	const char *weakness = tls->established ? cipher_weakness(tls->suite) : NULL;

	if (tls->established)
		tls_version_name(tls->version, version);
	return json_pack("{s:b,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "tried", tls->tried, "established", tls->established,
			 "version", text_or_null(version), "cipher", text_or_null(tls->cipher), "cipher_weakness",
			 text_or_null(weakness), "group", text_or_null(tls->group), "alert", alert_json(tls), "error",
			 text_or_null(tls->error), "versions", versions_json(tls));
}

static json_t *one_certificate_json(const struct certificate *certificate)
{
	char digest[CERTIFICATE_DIGEST_TEXT_SIZE], key_digest[CERTIFICATE_DIGEST_TEXT_SIZE];

	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:{s:o,s:i,s:b},s:{s:o,s:b},s:s,s:s}", "subject", certificate->subject, "issuer",
			 certificate->issuer, "serial", text_or_null(certificate->serial), "not_before",
			 seconds_or_null(certificate->not_before), "not_after", seconds_or_null(certificate->not_after), "key",
			 "type", text_or_null(certificate->key_type), "bits", (int)certificate->key_bits, "weak",
			 certificate->weak_key, "signature", "algorithm", text_or_null(certificate->signature), "weak",
			 certificate->weak_signature, "sha256", certificate_digest_text(certificate->sha256, digest),
			 "key_sha256", certificate_digest_text(certificate->key_sha256, key_digest));
}

static json_t *certificate_json(const struct probe_server *server)
{
	const struct certificate_check *check = &server->certificate;
	json_t *chain, *names;

	if (!server->checked)
		return json_null();
	chain = json_array();
	names = json_array();
	for (unsigned i = 0; i < check->count; i++)
		json_array_append_new(chain, one_certificate_json(&check->list[i]));
	for (unsigned i = 0; i < check->name_count; i++)
		json_array_append_new(names, json_string(check->names[i]));
	return json_pack("{s:b,s:b,s:o,s:s,s:{s:s,s:s},s:{s:i,s:i,s:s},s:o,s:i,s:o}", "trusted", check->trusted, "self_signed",
			 check->self_signed, "anchor", text_or_null(check->anchor), "validity",
			 certificate_validity_name(check->validity), "name", "wanted", server->name, "result",
			 certificate_name_result_name(check->name), "verify", "error", check->verify_error, "depth",
			 check->verify_depth, "text", check->verify_text, "names", names, "names_total", (int)check->name_total,
			 "chain", chain);
}

json_t *probe_json(const struct probe_server *server)
{
	json_t *findings = json_array();

	for (unsigned i = 0; i < server->finding_count; i++)
		json_array_append_new(findings, json_string(server->findings[i]));
	return json_pack("{s:s,s:i,s:o,s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o},s:o,s:o}", "host", server->host, "port",
			 (int)server->port, "preference",
			 server->preference < 0 ? json_null() : json_integer(server->preference), "address",
			 text_or_null(server->address), "outcome", text_or_null(server->outcome), "good", probe_is_good(server),
			 "error", text_or_null(server->error), "findings", findings, "greeting", reply_json(&server->greeting),
			 "offer", lines_json(server->ehlo.code / 100 == 2 ? &server->ehlo : &(struct probe_reply){ 0 }, 1),
			 "starttls", starttls_json(server), "auth", "before_tls", mechanisms_json(&server->auth), "in_tls",
			 mechanisms_json(&server->auth_tls), "tls", tls_json(&server->tls), "certificate",
			 certificate_json(server));
}
