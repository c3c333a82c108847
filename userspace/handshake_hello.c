/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2) */
#include <stdlib.h>
#include <string.h>

#include "handshake_message.h"
#include "tls_names.h"

#define SUITE_RENEGOTIATION_SCSV 0x00ff
#define SUITE_FALLBACK_SCSV 0x5600

struct hello {
	struct tls_client_facts *facts;
	struct reader suites;
	struct reader signatures;
	struct reader protocol;
	uint16_t ja4_version;
};

static bool is_host_name(const uint8_t *name, size_t length)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	if (length == 0 || length > 253)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!memchr(allowed, name[i], sizeof(allowed) - 1))
			return false;
	}
	return true;
}

/* ServerNameList (RFC 6066 section 3): type 0 is a host name, and of each type there may be one. */
static bool take_server_name(struct reader content, struct tls_client_facts *facts)
{
	struct reader list, name;
	uint8_t type;
	if (!read_vector(&content, 2, &list) || content.left > 0 || list.left == 0)
		return false;
	while (list.left > 0) {
		if (!read_u8(&list, &type) || !read_vector(&list, 2, &name))
			return false;
		if (type != 0)
			continue;
		if (facts->server_name_present)
			return false;
		facts->server_name_present = true;
		facts->server_name_valid = is_host_name(name.at, name.left);
		facts->server_name_length = (uint8_t)(name.left < 255 ? name.left : 255);
		memcpy(facts->server_name, name.at, facts->server_name_length);
	}
	return true;
}

static bool take_protocols(struct reader content, struct hello *hello)
{
	struct tls_client_facts *facts = hello->facts;
	struct reader list;
	if (!read_vector(&content, 2, &list) || content.left > 0 || list.left == 0)
		return false;
	struct reader first = list;
	if (!read_vector(&first, 1, &hello->protocol))
		return false;
	while (list.left > 0) {
		struct tls_protocol protocol = { 0 };
		if (!read_protocol(&list, &protocol))
			return false;
		if (facts->protocols_offered < TLS_PROTOCOLS_MAX)
			memcpy(&facts->protocols[facts->protocols_offered], &protocol, sizeof(protocol));
		if (facts->protocols_offered < UINT8_MAX)
			facts->protocols_offered++;
	}
	return true;
}

/* One vector and nothing behind it. */
static bool take_list(struct reader content, unsigned length_bytes, struct tls_list *list)
{
	struct reader vector;
	return read_vector(&content, length_bytes, &vector) && content.left == 0 && read_list(&vector, list);
}

static bool take_signatures(struct reader content, struct hello *hello)
{
	struct reader copy = content;
	return take_list(content, 2, &hello->facts->signature_algorithms) && read_vector(&copy, 2, &hello->signatures);
}

static bool take_key_shares(struct reader content, struct tls_list *groups)
{
	struct reader shares, key;
	uint16_t group;
	if (!read_vector(&content, 2, &shares) || content.left > 0)
		return false;
	while (shares.left > 0) {
		if (!read_u16(&shares, &group) || !read_vector(&shares, 2, &key))
			return false;
		if (tls_is_grease(group))
			continue;
		if (groups->kept < TLS_LIST_MAX)
			groups->values[groups->kept++] = group;
		groups->count++;
	}
	return true;
}

/* The fingerprint takes the highest number, known or not; what was offered are the versions that are known. */
static bool take_versions(struct reader content, struct hello *hello)
{
	struct tls_client_facts *facts = hello->facts;
	if (!take_list(content, 1, &facts->versions))
		return false;
	hello->ja4_version = 0;
	facts->version_max = 0;
	for (unsigned i = 0; i < facts->versions.kept; i++) {
		uint16_t version = facts->versions.values[i];
		if (version > hello->ja4_version)
			hello->ja4_version = version;
		if (version >= TLS_VERSION_SSL3 && version <= TLS_VERSION_13 && version > facts->version_max)
			facts->version_max = version;
	}
	return true;
}

static bool take_extension(uint16_t type, struct reader content, void *context)
{
	struct hello *hello = context;
	struct tls_client_facts *facts = hello->facts;
	switch (type) {
	case EXTENSION_SERVER_NAME: return take_server_name(content, facts);
	case EXTENSION_SUPPORTED_GROUPS: return take_list(content, 2, &facts->groups);
	case EXTENSION_SIGNATURE_ALGORITHMS: return take_signatures(content, hello);
	case EXTENSION_ALPN: return take_protocols(content, hello);
	case EXTENSION_SUPPORTED_VERSIONS: return take_versions(content, hello);
	case EXTENSION_KEY_SHARE: return take_key_shares(content, &facts->key_shares);
	case EXTENSION_SESSION_TICKET:
		facts->session_ticket = true;
		ticket_take(&facts->ticket, &content);
		return true;
	case EXTENSION_STATUS_REQUEST: return facts->status_request = true;
	case EXTENSION_EXTENDED_MASTER_SECRET: return facts->extended_master_secret = true;
	case EXTENSION_PRE_SHARED_KEY: return facts->psk = true;
	case EXTENSION_EARLY_DATA: return facts->early_data = true;
	case EXTENSION_ENCRYPTED_CLIENT_HELLO: return facts->encrypted_client_hello = true;
	case EXTENSION_RENEGOTIATION_INFO: return facts->renegotiation_info = true;
	default: return true;
	}
}

static bool take_suites(struct reader suites, struct tls_client_facts *facts)
{
	uint16_t suite;
	for (struct reader look = suites; read_u16(&look, &suite);) {
		facts->fallback_scsv |= suite == SUITE_FALLBACK_SCSV;
		facts->renegotiation_info |= suite == SUITE_RENEGOTIATION_SCSV;
	}
	return suites.left > 0 && read_list(&suites, &facts->suites);
}

static uint16_t *numbers_of(struct reader bytes, struct ja4_list *list)
{
	uint16_t *values = malloc(bytes.left + 1);
	list->values = values;
	list->count = 0;
	while (values && read_u16(&bytes, &values[list->count]))
		list->count++;
	return values;
}

static void take_fingerprint(const struct hello *hello, const struct extension_types *types)
{
	struct ja4_input input = {
		.version = hello->ja4_version,
		.extensions = { types->values, types->count },
		.protocol = hello->protocol.at,
		.protocol_length = hello->protocol.left,
	};
	for (size_t i = 0; i < types->count; i++)
		input.server_name |= types->values[i] == EXTENSION_SERVER_NAME;
	uint16_t *suites = numbers_of(hello->suites, &input.suites);
	uint16_t *signatures = numbers_of(hello->signatures, &input.signature_algorithms);
	if (suites && signatures)
		ja4_text(&input, hello->facts->ja4);
	free(suites);
	free(signatures);
}

/* What stands before the extensions. */
static bool read_head(struct reader *body, struct tls_client_facts *facts, struct reader *suites)
{
	struct reader compression;
	const uint8_t *random;
	return read_u16(body, &facts->legacy_version) && facts->legacy_version >> 8 == 3 &&
	       read_bytes(body, 32, &random) && read_session_id(body, &facts->session_id) &&
	       read_vector(body, 2, suites) && read_vector(body, 1, &compression) && compression.left > 0;
}

/* legacy_version never means TLS 1.3, which only supported_versions can offer. */
static uint16_t legacy_offer(uint16_t version)
{
	return version > TLS_VERSION_12 ? TLS_VERSION_12 : version;
}

bool client_hello_take(struct reader body, struct tls_client_facts *facts)
{
	struct hello hello = { .facts = facts };
	struct extension_types types;
	facts->hellos = 1;
	if (!read_head(&body, facts, &hello.suites))
		return false;
	hello.ja4_version = facts->legacy_version;
	facts->version_max = legacy_offer(facts->legacy_version);
	if (!take_suites(hello.suites, facts) || !read_extensions(&body, &types, take_extension, &hello))
		return false;
	take_fingerprint(&hello, &types);
	return true;
}

static bool take_extension_again(uint16_t type, struct reader content, void *context)
{
	struct tls_client_facts *facts = context;
	if (type == EXTENSION_PRE_SHARED_KEY)
		facts->psk = true;
	return type == EXTENSION_KEY_SHARE ? take_key_shares(content, &facts->key_shares_retry) : true;
}

bool client_hello_again(struct reader body, struct tls_client_facts *facts)
{
	struct tls_client_facts *head = calloc(1, sizeof(*head));
	struct extension_types types;
	struct reader suites;
	facts->hellos = 2;
	bool good = head && read_head(&body, head, &suites) &&
		    read_extensions(&body, &types, take_extension_again, facts);
	free(head);
	return good;
}
