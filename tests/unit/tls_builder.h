/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Handshake messages made by hand. */
#ifndef SMTPWARD_TESTS_TLS_BUILDER_H
#define SMTPWARD_TESTS_TLS_BUILDER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUILDER_SIZE (256 * 1024)

struct builder {
	uint8_t *bytes;
	size_t n;
};

static inline void builder_init(struct builder *builder)
{
	builder->bytes = malloc(BUILDER_SIZE);
	builder->n = 0;
}

static inline void put_bytes(struct builder *builder, const void *bytes, size_t n)
{
	assert(builder->n + n <= BUILDER_SIZE);
	memcpy(builder->bytes + builder->n, bytes, n);
	builder->n += n;
}

static inline void put(struct builder *builder, unsigned width, size_t value)
{
	for (unsigned i = width; i-- > 0;) {
		uint8_t byte = (uint8_t)(value >> 8 * i);
		put_bytes(builder, &byte, 1);
	}
}

static inline void put_fill(struct builder *builder, uint8_t byte, size_t n)
{
	while (n-- > 0)
		put_bytes(builder, &byte, 1);
}

/* Begins a vector; returns where, for put_end(). */
static inline size_t put_begin(struct builder *builder, unsigned width)
{
	put(builder, width, 0);
	return builder->n;
}

static inline void put_end(struct builder *builder, unsigned width, size_t start)
{
	size_t end = builder->n;
	builder->n = start - width;
	put(builder, width, end - start);
	builder->n = end;
}

static inline void put_list(struct builder *builder, unsigned width, const uint16_t *values, size_t n)
{
	put(builder, width, 2 * n);
	for (size_t i = 0; i < n; i++)
		put(builder, 2, values[i]);
}

/* n bytes as records of the type, none with more than record_max. */
static inline void put_records(struct builder *builder, uint8_t type, const uint8_t *bytes, size_t n, size_t record_max)
{
	for (size_t part; n > 0; bytes += part, n -= part) {
		part = n < record_max ? n : record_max;
		put(builder, 1, type);
		put(builder, 2, 0x0301);
		put(builder, 2, part);
		put_bytes(builder, bytes, part);
	}
}

/* A message of the type with that body, in one record if it fits. */
static inline void put_message(struct builder *builder, uint8_t type, const uint8_t *body, size_t n)
{
	struct builder message;
	builder_init(&message);
	put(&message, 1, type);
	put(&message, 3, n);
	put_bytes(&message, body, n);
	put_records(builder, 22, message.bytes, message.n, 16384);
	free(message.bytes);
}

/* Up to the extensions: version, random of that byte, session id of 32 bytes 0x51. */
static inline void put_hello_head(struct builder *body, uint16_t version, uint8_t random)
{
	put(body, 2, version);
	put_fill(body, random, 32);
	put(body, 1, 32);
	put_fill(body, 0x51, 32);
}

static inline void put_client_hello_head(struct builder *body)
{
	static const uint16_t suites[] = { 0x1301, 0xc02f, 0x00ff };
	put_hello_head(body, 0x0303, 1);
	put_list(body, 2, suites, 3);
	put(body, 2, 0x0100); /* compression: none */
}

static inline void put_extension(struct builder *body, uint16_t type, const void *content, size_t n)
{
	put(body, 2, type);
	put(body, 2, n);
	put_bytes(body, content, n);
}

/* A ClientHello with this extension alone. */
static inline void put_client_hello(struct builder *stream, uint16_t type, const void *content, size_t n)
{
	struct builder body;
	builder_init(&body);
	put_client_hello_head(&body);
	size_t start = put_begin(&body, 2);
	put_extension(&body, type, content, n);
	put_end(&body, 2, start);
	put_message(stream, 1, body.bytes, body.n);
	free(body.bytes);
}

/* A ServerHello without extensions. */
static inline void put_server_hello(struct builder *stream, uint16_t version, uint16_t suite)
{
	struct builder body;
	builder_init(&body);
	put_hello_head(&body, version, 2);
	put(&body, 2, suite);
	put(&body, 1, 0);
	put_message(stream, 2, body.bytes, body.n);
	free(body.bytes);
}

#endif
