/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the server says in clear: ServerHello, HelloRetryRequest, and up to TLS 1.2 the key exchange and the ticket. */
#include <string.h>

#include "cipher_suite.h"
#include "handshake_message.h"
#include "tls_names.h"

#define NAMED_CURVE 3
#define RAW_PUBLIC_KEY 2
#define RANDOM_SIZE 32

/* RFC 8446 section 4.1.3: SHA-256 of "HelloRetryRequest" */
static const uint8_t retry_random[RANDOM_SIZE] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

struct hello {
	struct tls_server_facts *facts;
	uint16_t version; /* of supported_versions; 0: without that extension */
	uint16_t group;
	bool retry;
};

static enum tls_sentinel sentinel_of(const uint8_t *random)
{
	static const uint8_t downgrade[7] = { 'D', 'O', 'W', 'N', 'G', 'R', 'D' };
	const uint8_t *tail = random + RANDOM_SIZE - 8;
	if (memcmp(tail, downgrade, sizeof(downgrade)) != 0 || tail[7] > 1)
		return TLS_SENTINEL_NONE;
	return tail[7] == 1 ? TLS_SENTINEL_TLS12 : TLS_SENTINEL_TLS11;
}

/* A share is a group and a key; a HelloRetryRequest names the group alone. */
static bool take_key_share(struct reader content, struct hello *hello)
{
	struct reader key;
	if (!read_u16(&content, &hello->group))
		return false;
	if (!hello->retry && !read_vector(&content, 2, &key))
		return false;
	return content.left == 0;
}

/* The one protocol that was chosen (RFC 7301 section 3.1). */
static bool take_protocol(struct reader content, struct tls_server_facts *facts)
{
	struct reader list;
	return read_vector(&content, 2, &list) && content.left == 0 && read_protocol(&list, &facts->protocol) &&
	       list.left == 0;
}

static bool take_extension(uint16_t type, struct reader content, void *context)
{
	struct hello *hello = context;
	struct tls_server_facts *facts = hello->facts;
	uint8_t number;
	switch (type) {
	case EXTENSION_SUPPORTED_VERSIONS:
		return read_u16(&content, &hello->version) && content.left == 0 && hello->version >= TLS_VERSION_13;
	case EXTENSION_KEY_SHARE: return take_key_share(content, hello);
	case EXTENSION_ALPN: return take_protocol(content, facts);
	case EXTENSION_SERVER_CERTIFICATE_TYPE:
		if (!read_u8(&content, &number))
			return false;
		facts->raw_public_key = number == RAW_PUBLIC_KEY;
		return true;
	case EXTENSION_EXTENDED_MASTER_SECRET: return facts->extended_master_secret = true;
	case EXTENSION_SESSION_TICKET: return facts->session_ticket = true;
	case EXTENSION_PRE_SHARED_KEY: return facts->psk = true;
	case EXTENSION_RENEGOTIATION_INFO: return facts->renegotiation_info = true;
	default: return true;
	}
}

static bool take_retry(const struct hello *hello, struct tls_server_facts *facts)
{
	facts->hello_retry_request = true;
	facts->retry_group = hello->group;
	return hello->version >= TLS_VERSION_13;
}

bool server_hello_take(struct reader body, struct tls_server_facts *facts)
{
	struct hello hello = { .facts = facts };
	struct extension_types types;
	const uint8_t *random;
	uint8_t compression;
	if (!read_u16(&body, &facts->legacy_version) || facts->legacy_version >> 8 != 3 ||
	    facts->legacy_version > TLS_VERSION_12 || !read_bytes(&body, RANDOM_SIZE, &random) ||
	    !read_session_id(&body, &facts->session_id) || !read_u16(&body, &facts->suite) ||
	    !read_u8(&body, &compression))
		return false;
	hello.retry = memcmp(random, retry_random, RANDOM_SIZE) == 0;
	if (!read_extensions(&body, &types, take_extension, &hello))
		return false;
	facts->version = hello.version ? hello.version : facts->legacy_version;
	if (hello.retry)
		return take_retry(&hello, facts);
	facts->hello = true;
	facts->group = hello.version ? hello.group : 0;
	facts->compression = compression != 0;
	facts->sentinel = sentinel_of(random);
	return true;
}

static uint16_t bits_of(struct reader number)
{
	while (number.left > 0 && *number.at == 0) {
		number.at++;
		number.left--;
	}
	if (number.left == 0)
		return 0;
	size_t bits = 8 * number.left;
	for (uint8_t first = *number.at; !(first & 0x80); first = (uint8_t)(first << 1))
		bits--;
	return (uint16_t)(bits < UINT16_MAX ? bits : UINT16_MAX);
}

/* ServerECDHParams (RFC 8422 section 5.4); of a curve given by its parameters nothing is told. */
static bool take_ecdhe(struct reader body, struct tls_server_facts *facts)
{
	uint8_t type;
	if (!read_u8(&body, &type))
		return false;
	return type == NAMED_CURVE ? read_u16(&body, &facts->group) : true;
}

static bool take_dhe(struct reader body, struct tls_server_facts *facts)
{
	struct reader prime, generator, key;
	if (!read_vector(&body, 2, &prime) || !read_vector(&body, 2, &generator) || !read_vector(&body, 2, &key))
		return false;
	facts->dh_bits = bits_of(prime);
	return true;
}

bool server_key_exchange_take(struct reader body, struct tls_server_facts *facts)
{
	struct cipher_facts cipher;
	struct reader hint;
	cipher_facts(facts->suite, &cipher);
	if (cipher.psk && !read_vector(&body, 2, &hint))
		return false;
	switch (cipher.key_exchange) {
	case KEY_EXCHANGE_ECDHE: return take_ecdhe(body, facts);
	case KEY_EXCHANGE_DHE: return take_dhe(body, facts);
	default: return true;
	}
}

/* RFC 5077 section 3.3 */
bool new_session_ticket_take(struct reader body, struct tls_server_facts *facts)
{
	struct reader ticket;
	uint32_t lifetime;
	if (!read_number(&body, 4, &lifetime) || !read_vector(&body, 2, &ticket) || body.left > 0)
		return false;
	ticket_take(&facts->ticket, &ticket);
	return true;
}
