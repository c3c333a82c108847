/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "probe.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cipher_suite.h"
#include "facts.h"
#include "finding.h"
#include "probe_dialogue.h"
#include "probe_link.h"
#include "probe_tls.h"
#include "tls_names.h"

#define IMPLICIT_TLS_PORT 465
#define ADDRESSES_MAX 8
#define QUIET_MS 200 /* behind its 220 a server has to be silent */

static bool is_implicit(const struct probe_server *server)
{
	return server->port == IMPLICIT_TLS_PORT;
}

/* ---- judgement -------------------------------------------------------------------------------------------- */

static void find(struct probe_server *server, const char *finding)
{
	if (server->finding_count < PROBE_FINDINGS_MAX)
		server->findings[server->finding_count++] = finding;
}

static void find_dialogue(struct probe_server *server)
{
	uint64_t facts = server->facts;
	bool masked = facts & (FACT(STARTTLS_MASKED) | FACT(BANNER_MASKED));

	if (facts & FACT(EHLO_REFUSED))
		find(server, finding_name(FINDING_EHLO_REFUSED));
	if ((facts & FACT(EHLO_ACCEPTED)) && !(facts & FACT(STARTTLS_OFFERED)))
		find(server, finding_name(masked ? FINDING_STARTTLS_MASKED : FINDING_STARTTLS_MISSING));
	if (facts & FACT(STARTTLS_REFUSED))
		find(server, finding_name(FINDING_STARTTLS_REFUSED));
	if (facts & FACT(STARTTLS_BAD_REPLY))
		find(server, finding_name(FINDING_STARTTLS_BAD_REPLY));
	if ((facts & FACT(STARTTLS_ASKED)) && !server->starttls.code)
		find(server, finding_name(FINDING_STARTTLS_UNANSWERED));
	if (facts & FACT(REPLY_INJECTED))
		find(server, finding_name(FINDING_REPLY_INJECTION));
}

static void find_tls(struct probe_server *server)
{
	const struct certificate_check *certificate = &server->certificate;

	if (server->tls.tried && !server->tls.established)
		find(server, finding_name(server->facts & FACT(PLAIN_ON_TLS_PORT) ? FINDING_PLAINTEXT_ON_TLS_PORT
										  : FINDING_TLS_HANDSHAKE_FAILED));
	if (!server->tls.established)
		return;
	if (server->tls.version < TLS_VERSION_12)
		find(server, finding_name(FINDING_TLS_VERSION_WEAK));
	if (cipher_weakness(server->tls.suite))
		find(server, finding_name(FINDING_TLS_CIPHER_WEAK));
	if (certificate->untrusted)
		find(server, "certificate-untrusted");
	if (certificate->name_mismatch)
		find(server, "certificate-name-mismatch");
	if (certificate->expired)
		find(server, "certificate-expired");
	if (certificate->key_weak)
		find(server, "certificate-key-weak");
}

/* The outcome of a session with a client that insists on TLS. */
static enum outcome outcome_of(const struct probe_server *server)
{
	if (server->tls.established)
		return server->checked && certificate_is_good(&server->certificate) ? OUTCOME_VERIFIED : OUTCOME_UNVERIFIED;
	if (server->tls.tried)
		return OUTCOME_FAILED;
	return server->ehlo.code ? OUTCOME_REFUSED : OUTCOME_UNKNOWN;
}

bool probe_is_good(const struct probe_server *server)
{
	return server->tls.established && server->checked && certificate_is_good(&server->certificate) &&
	       !server->finding_count && !server->error[0];
}

/* ---- conversation ----------------------------------------------------------------------------------------- */

static void note_error(struct probe_server *server, const char *step, int error)
{
	snprintf(server->error, sizeof(server->error), "%s: %s", step, probe_error_text(error));
}

static void note_code(struct probe_server *server, const char *step, const struct probe_reply *reply)
{
	if (reply->code / 100 != 2)
		snprintf(server->error, sizeof(server->error), "%s: %u", step, reply->code);
}

/* What has come in clear behind the 220 is no part of the TLS session, and nobody may take it for one. */
static void forget_injected(struct probe_link *link)
{
	probe_link_peek(link, QUIET_MS);
	if (link->length && !tls_type_is_valid(link->buffer[0]))
		link->length = 0;
}

/* In TLS all is asked again (RFC 3207 section 4.2). */
static void talk_in_tls(struct probe_server *server, struct probe_link *link)
{
	int result = 0;

	if (is_implicit(server)) {
		result = probe_command(link, NULL, &server->greeting);
		note_code(server, "greeting", &server->greeting);
	}
	if (!result && !server->error[0]) {
		result = probe_ehlo(link, &server->ehlo_tls);
		note_code(server, "EHLO in TLS", &server->ehlo_tls);
	}
	if (result)
		note_error(server, server->greeting.code ? "EHLO in TLS" : "greeting", result);
	else
		probe_quit(link);
	probe_read_mechanisms(&server->ehlo_tls, &server->auth_tls);
}

/* Returns 0, or the error that ended the handshake. */
static int converse(const struct probe_options *options, struct probe_server *server, struct probe_link *link)
{
	struct probe_talk talk = { &server->greeting, &server->ehlo, &server->starttls, "" };
	int ready = is_implicit(server) ? 1 : probe_talk(link, &talk), result = 0;

	probe_read_mechanisms(&server->ehlo, &server->auth);
	if (ready < 0) {
		note_error(server, talk.step, ready);
	} else if (!ready) {
		if (!server->ehlo.code)
			note_code(server, "greeting", &server->greeting);
		probe_quit(link);
	} else {
		if (!is_implicit(server))
			forget_injected(link);
		result = probe_tls_start(options, server, link);
		if (!result)
			talk_in_tls(server, link);
	}
	server->facts = link->client.facts | link->server.facts;
	link->tls = NULL;
	return result;
}

/* Another connection, for one version of TLS. */
static enum probe_answer try_version(const struct probe_server *server, const struct addrinfo *address, uint16_t version,
				     int64_t end)
{
	struct probe_reply *replies = calloc(3, sizeof(*replies));
	struct probe_talk talk = { replies, replies + 1, replies + 2, "" };
	enum probe_answer answer = PROBE_NOT_KNOWN;
	struct probe_link link;

	if (replies && !probe_link_open(&link, address->ai_addr, address->ai_addrlen, is_implicit(server), end)) {
		if (is_implicit(server) || probe_talk(&link, &talk) == 1) {
			if (!is_implicit(server))
				link.length = 0;
			answer = probe_tls_try(server, &link, version);
		}
		if (answer == PROBE_YES && (!is_implicit(server) || !probe_command(&link, NULL, replies)))
			probe_quit(&link);
		probe_link_close(&link);
	}
	free(replies);
	return answer;
}

static void probe_address(const struct probe_options *options, struct probe_server *server, struct probe_link *link,
			  const struct addrinfo *address, int64_t end)
{
	int result;

	server->error[0] = '\0'; /* of addresses that did not answer */
	result = converse(options, server, link);
	probe_link_close(link);
	if (server->tls.tried && result != -ETIMEDOUT)
		for (unsigned i = 0; i < PROBE_VERSIONS; i++)
			server->tls.versions[i] = try_version(server, address, (uint16_t)(TLS_VERSION_10 + i), end);
	find_dialogue(server);
	find_tls(server);
	server->outcome = outcome_name(outcome_of(server));
}

/* ---- addresses -------------------------------------------------------------------------------------------- */

static struct addrinfo *resolve(const struct probe_options *options, struct probe_server *server)
{
	struct addrinfo hints = { .ai_family = options->family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char port[8];
	int result;

	snprintf(port, sizeof(port), "%u", server->port);
	result = getaddrinfo(server->host, port, &hints, &list);
	if (!result)
		return list;
	server->unknown_host = result == EAI_NONAME || result == EAI_NODATA || result == EAI_ADDRFAMILY;
	snprintf(server->error, sizeof(server->error), "%s", gai_strerror(result));
	return NULL;
}

static void address_name(const struct addrinfo *address, char *text, size_t size)
{
	if (getnameinfo(address->ai_addr, address->ai_addrlen, text, (socklen_t)size, NULL, 0, NI_NUMERICHOST) != 0)
		snprintf(text, size, "?");
}

void probe_run(const struct probe_options *options, struct probe_server *server)
{
	int64_t end = probe_now_ms() + (int64_t)options->timeout_s * 1000;
	struct addrinfo *list = resolve(options, server);
	struct probe_link *link = malloc(sizeof(*link));
	unsigned tried = 0;

	if (!link)
		snprintf(server->error, sizeof(server->error), "no memory");
	for (struct addrinfo *at = list; link && at && tried < ADDRESSES_MAX && !server->outcome; at = at->ai_next, tried++) {
		char name[sizeof(server->address)];
		size_t used = strlen(server->error);
		int result = probe_link_open(link, at->ai_addr, at->ai_addrlen, is_implicit(server), end);
		address_name(at, name, sizeof(name));
		if (result) {
			snprintf(server->error + used, sizeof(server->error) - used, "%s%s: %s", used ? "; " : "", name,
				 result == -ETIMEDOUT ? probe_error_text(result) : strerror(-result));
			continue;
		}
		memcpy(server->address, name, sizeof(name));
		probe_address(options, server, link, at, end);
	}
	free(link);
	if (list)
		freeaddrinfo(list);
}
