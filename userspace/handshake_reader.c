/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "handshake_message.h"
#include "sha256.h"
#include "tls_names.h"

bool read_bytes(struct reader *reader, size_t n, const uint8_t **bytes)
{
	if (reader->left < n)
		return false;
	*bytes = reader->at;
	reader->at += n;
	reader->left -= n;
	return true;
}

bool read_number(struct reader *reader, unsigned bytes, uint32_t *value)
{
	const uint8_t *digits;
	if (!read_bytes(reader, bytes, &digits))
		return false;
	*value = 0;
	for (unsigned i = 0; i < bytes; i++)
		*value = *value << 8 | digits[i];
	return true;
}

bool read_u8(struct reader *reader, uint8_t *value)
{
	uint32_t number;
	if (!read_number(reader, 1, &number))
		return false;
	*value = (uint8_t)number;
	return true;
}

bool read_u16(struct reader *reader, uint16_t *value)
{
	uint32_t number;
	if (!read_number(reader, 2, &number))
		return false;
	*value = (uint16_t)number;
	return true;
}

bool read_vector(struct reader *reader, unsigned length_bytes, struct reader *content)
{
	struct reader start = *reader;
	uint32_t length;
	if (!read_number(reader, length_bytes, &length) || reader->left < length) {
		*reader = start;
		return false;
	}
	content->left = length;
	return read_bytes(reader, length, &content->at);
}

bool read_list(struct reader *reader, struct tls_list *list)
{
	uint16_t value;
	while (read_u16(reader, &value)) {
		if (tls_is_grease(value))
			continue;
		if (list->kept < TLS_LIST_MAX)
			list->values[list->kept++] = value;
		list->count++;
	}
	return reader->left == 0;
}

bool read_session_id(struct reader *reader, struct tls_session_id *id)
{
	struct reader content;
	if (!read_vector(reader, 1, &content) || content.left > TLS_SESSION_ID_MAX)
		return false;
	id->length = (uint8_t)content.left;
	memcpy(id->bytes, content.at, content.left);
	return true;
}

bool read_protocol(struct reader *reader, struct tls_protocol *protocol)
{
	struct reader name;
	if (!read_vector(reader, 1, &name) || name.left == 0)
		return false;
	protocol->length = (uint8_t)name.left;
	memcpy(protocol->bytes, name.at, name.left < TLS_PROTOCOL_MAX ? name.left : TLS_PROTOCOL_MAX);
	return true;
}

static bool type_is_new(struct extension_types *types, uint16_t type)
{
	if (types->count == TLS_EXTENSIONS_MAX)
		return false;
	for (size_t i = 0; i < types->count; i++) {
		if (types->values[i] == type)
			return false;
	}
	types->values[types->count++] = type;
	return true;
}

bool read_extensions(struct reader *reader, struct extension_types *types, extension_take *take, void *context)
{
	struct reader block, content;
	uint16_t type;
	types->count = 0;
	if (reader->left == 0)
		return true;
	if (!read_vector(reader, 2, &block) || reader->left > 0)
		return false;
	while (block.left > 0) {
		if (!read_u16(&block, &type) || !read_vector(&block, 2, &content))
			return false;
		if (!type_is_new(types, type) || !take(type, content, context))
			return false;
	}
	return true;
}

void ticket_take(struct tls_ticket *ticket, const struct reader *content)
{
	uint8_t hash[SHA256_SIZE];
	if (content->left == 0 || !sha256(content->at, content->left, hash))
		return;
	ticket->present = true;
	memcpy(ticket->hash, hash, TLS_TICKET_HASH_SIZE);
}
