/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli_servers.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "address.h"
#include "cli_output.h"
#include "session.h"
#include "session_json.h"

struct server_key {
	uint8_t address[16];
	uint32_t port; /* no padding behind it */
};

struct server {
	struct server_key key;
	char name[SERVER_NAME_SIZE]; /* of the last greeting; hostile */
	uint64_t sessions;
	uint64_t outcomes[OUTCOME_COUNT];
	uint64_t findings[FINDING_COUNT];
	UT_hash_handle hh;
};

struct servers {
	struct server *list;
	struct server others; /* beyond SERVERS_MAX; its address is zero */
};

struct servers *servers_new(void)
{
	return calloc(1, sizeof(struct servers));
}

void servers_free(struct servers *servers)
{
	struct server *server, *next;
	if (!servers)
		return;
	HASH_ITER(hh, servers->list, server, next) {
		HASH_DEL(servers->list, server);
		free(server);
	}
	free(servers);
}

static struct server *server_of(struct servers *servers, const struct session *session)
{
	struct server_key wanted = { .port = session->last.server_port };
	struct server *server;
	memcpy(wanted.address, session->last.server_address, sizeof(wanted.address));
	HASH_FIND(hh, servers->list, &wanted, sizeof(wanted), server);
	if (server)
		return server;
	if (HASH_COUNT(servers->list) >= SERVERS_MAX)
		return &servers->others;
	server = calloc(1, sizeof(*server));
	if (!server)
		return &servers->others;
	server->key = wanted;
	HASH_ADD(hh, servers->list, key, sizeof(server->key), server);
	return server;
}

void servers_add(struct servers *servers, const struct session *session)
{
	struct server *server = server_of(servers, session);
	server->sessions++;
	server->outcomes[session->judgement.outcome]++;
	for (unsigned i = 0; i < FINDING_COUNT; i++)
		server->findings[i] += session->judgement.findings >> i & 1;
	if (session->last.server_name[0] && server != &servers->others)
		memcpy(server->name, session->last.server_name, sizeof(server->name));
}

static int by_sessions(const struct server *a, const struct server *b)
{
	if (a->sessions != b->sessions)
		return a->sessions < b->sessions ? 1 : -1;
	return memcmp(&a->key, &b->key, sizeof(a->key));
}

static json_t *server_json(const struct server *server, bool others)
{
	char text[ADDRESS_TEXT_SIZE];
	json_t *outcomes = json_object(), *findings = json_object();
	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		if (server->outcomes[i])
			json_object_set_new(outcomes, outcome_name((enum outcome)i), json_integer((json_int_t)server->outcomes[i]));
	for (unsigned i = 0; i < FINDING_COUNT; i++)
		if (server->findings[i])
			json_object_set_new(findings, finding_name((enum finding)i), json_integer((json_int_t)server->findings[i]));
	return json_pack("{s:o,s:o,s:o,s:I,s:o,s:o}", "address",
			 others ? json_null() : json_string(address_text(server->key.address, text)), "port",
			 others ? json_null() : json_integer(server->key.port), "name", text_json(server->name, sizeof(server->name)),
			 "sessions", (json_int_t)server->sessions, "outcomes", outcomes, "findings", findings);
}

json_t *servers_json(struct servers *servers)
{
	json_t *list = json_array();
	HASH_SORT(servers->list, by_sessions);
	for (const struct server *server = servers->list; server; server = server->hh.next)
		json_array_append_new(list, server_json(server, false));
	if (servers->others.sessions)
		json_array_append_new(list, server_json(&servers->others, true));
	return list;
}

/* "cleartext 3, encrypted 2" */
static void counts_cell(struct table *table, json_t *counts)
{
	char text[480] = "";
	const char *name;
	json_t *count;
	size_t used = 0;
	json_object_foreach(counts, name, count) {
		int n = snprintf(text + used, sizeof(text) - used, "%s%s %lld", used ? ", " : "", name, json_integer_value(count));
		used += n > 0 ? (size_t)n : 0;
		if (used >= sizeof(text))
			break;
	}
	table_cell(table, COLOUR_NONE, text);
}

void servers_print(struct servers *servers)
{
	static const char *const headers[] = { "SERVER", "NAME", "SESSIONS", "OUTCOMES", "FINDINGS", NULL };
	struct table *table = table_new(headers);
	json_t *list = servers_json(servers), *server;
	size_t index;
	json_array_foreach(list, index, server) {
		char text[ADDRESS_TEXT_SIZE + 10];
		const char *address = member_text(server, "address");
		bool ipv6 = strchr(address, ':') != NULL;
		snprintf(text, sizeof(text), "%s%s%s:%lld", ipv6 ? "[" : "", address, ipv6 ? "]" : "", member_number(server, "port"));
		table_cell(table, COLOUR_NONE, *address ? text : "others");
		table_cell(table, COLOUR_NONE, member_text(server, "name"));
		table_number(table, member_number(server, "sessions"));
		counts_cell(table, json_object_get(server, "outcomes"));
		counts_cell(table, json_object_get(server, "findings"));
	}
	table_print(table);
	json_decref(list);
}
