/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "tls_names.h"
#include "tls_summary.h"

void tls_summarize(const struct tls_facts *facts, struct tls_summary *summary)
{
	const struct tls_client_facts *client = &facts->client;
	const struct tls_server_facts *server = &facts->server;
	size_t name = client->server_name_length;
	memset(summary, 0, sizeof(*summary));
	summary->version_max = client->version_max;
	if (server->hello) {
		summary->version = server->version;
		summary->suite = server->suite;
		summary->group = server->group;
		summary->resumed = facts->resumed;
	}
	if (summary->version < TLS_VERSION_13) { /* there they are noise for middleboxes: RFC 8446 section 4.1.2 */
		summary->offered_id = client->session_id;
		summary->issued_id = server->session_id;
	}
	summary->offered_ticket = client->ticket;
	summary->issued_ticket = server->ticket;
	summary->downgrade = facts->downgrade;
	summary->certificate_requested = server->certificate_request;
	summary->client_certificate = facts->stream[FROM_CLIENT].certificates.count > 0;
	summary->protocol_length = server->protocol.length < TLS_PROTOCOL_MAX ? server->protocol.length : TLS_PROTOCOL_MAX;
	memcpy(summary->protocol, server->protocol.bytes, summary->protocol_length);
	memcpy(summary->server_name, client->server_name, name < sizeof(summary->server_name) ? name : 0);
	memcpy(summary->ja4, client->ja4, sizeof(summary->ja4));
}
