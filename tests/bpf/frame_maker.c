/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "frame_maker.h"

#include <assert.h>
#include <string.h>

const char *const frame_form_names[FORM_COUNT] = {
	[FORM_IPV4] = "IPv4",
	[FORM_VLAN] = "VLAN",
	[FORM_QINQ] = "QinQ",
	[FORM_THREE_TAGS] = "three tags",
	[FORM_IPV4_OPTIONS] = "IPv4 options",
	[FORM_TCP_OPTIONS] = "TCP options",
	[FORM_PADDED] = "padded",
	[FORM_IPV4_ATOMIC] = "DF",
	[FORM_IPV6] = "IPv6",
	[FORM_IPV6_VLAN] = "IPv6 in a VLAN",
	[FORM_IPV6_HOP_BY_HOP] = "hop-by-hop options",
	[FORM_IPV6_THREE] = "three extension headers",
	[FORM_IPV6_FRAGMENT] = "fragment header",
	[FORM_IPV6_PADDED] = "IPv6 padded",
	[FORM_GSO] = "GSO",
	[FORM_BOTH_HOOKS] = "both hooks",
};

static const uint8_t client_mac[6] = { 2, 0, 0, 0, 0, 1 }, server_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t client_ipv4[4] = { 192, 0, 2, 1 }, server_ipv4[4] = { 198, 51, 100, 2 };
static const uint8_t client_ipv6[16] = { 0x20, 1, 0xd, 0xb8, 0, 1, [15] = 1 }, server_ipv6[16] = { 0x20, 1, 0xd, 0xb8, 0, 2, [15] = 2 };

#define OPTIONS 40
#define PADDING 23

static bool is_ipv6(enum frame_form form)
{
	return form >= FORM_IPV6 && form <= FORM_IPV6_PADDED;
}

static unsigned tags(enum frame_form form)
{
	switch (form) {
	case FORM_VLAN:
	case FORM_IPV6_VLAN: return 1;
	case FORM_QINQ: return 2;
	case FORM_THREE_TAGS: return 3;
	default: return 0;
	}
}

size_t frame_ip(enum frame_form form)
{
	return 14 + 4 * tags(form);
}

/* Bytes of extension headers, or IPv4 options. */
static size_t extra(enum frame_form form)
{
	switch (form) {
	case FORM_IPV4_OPTIONS: return OPTIONS;
	case FORM_IPV6_HOP_BY_HOP:
	case FORM_IPV6_FRAGMENT: return 8;
	case FORM_IPV6_THREE: return 8 + 24 + 16;
	default: return 0;
	}
}

size_t frame_tcp(enum frame_form form)
{
	return frame_ip(form) + (is_ipv6(form) ? 40 : 20) + extra(form);
}

void frame_addresses(enum frame_form form, uint8_t client[16], uint8_t server[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (is_ipv6(form)) {
		memcpy(client, client_ipv6, 16);
		memcpy(server, server_ipv6, 16);
		return;
	}
	memcpy(client, mapped, 12);
	memcpy(server, mapped, 12);
	memcpy(client + 12, client_ipv4, 4);
	memcpy(server + 12, server_ipv4, 4);
}

static void put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* RFC 1071, without the complement */
static uint32_t sum(const uint8_t *bytes, size_t length, uint32_t start)
{
	for (size_t i = 0; i < length; i++)
		start += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

static void put_link(const struct segment *segment, uint8_t *bytes)
{
	static const uint16_t types[3][3] = { { 0x8100 }, { 0x88a8, 0x8100 }, { 0x9100, 0x88a8, 0x8100 } };
	unsigned count = tags(segment->form);
	memcpy(bytes, segment->from_server ? client_mac : server_mac, 6);
	memcpy(bytes + 6, segment->from_server ? server_mac : client_mac, 6);
	for (unsigned i = 0; i < count; i++) {
		put16(bytes + 12 + 4 * i, types[count - 1][i]);
		put16(bytes + 14 + 4 * i, 100 + i);
	}
	put16(bytes + 12 + 4 * count, is_ipv6(segment->form) ? 0x86dd : 0x0800);
}

static void put_ipv4(const struct segment *segment, uint8_t *ip, size_t length)
{
	size_t header = 20 + extra(segment->form);
	memset(ip, 0, header);
	ip[0] = (uint8_t)(0x40 | header / 4);
	put16(ip + 2, length);
	put16(ip + 4, 0x1234);
	put16(ip + 6, segment->fragment ? segment->fragment : segment->form == FORM_IPV4_ATOMIC ? 0x4000 : 0);
	ip[8] = 61;
	ip[9] = 6;
	memcpy(ip + 12, segment->from_server ? server_ipv4 : client_ipv4, 4);
	memcpy(ip + 16, segment->from_server ? client_ipv4 : server_ipv4, 4);
	memset(ip + 20, 1, header - 20); /* no operation */
	put16(ip + 10, ~sum(ip, header, 0) & 0xffff);
}

static void put_ipv6(const struct segment *segment, uint8_t *ip, size_t length)
{
	uint8_t *next = ip + 40;
	memset(ip, 0, 40 + extra(segment->form));
	ip[0] = 0x60;
	put16(ip + 4, length - 40);
	ip[6] = 6;
	ip[7] = 61;
	memcpy(ip + 8, segment->from_server ? server_ipv6 : client_ipv6, 16);
	memcpy(ip + 24, segment->from_server ? client_ipv6 : server_ipv6, 16);
	if (segment->form == FORM_IPV6_FRAGMENT) {
		ip[6] = 44;
		next[0] = 6;
		put16(next + 2, segment->fragment);
		put32(next + 4, 77);
	} else if (segment->form == FORM_IPV6_HOP_BY_HOP || segment->form == FORM_IPV6_THREE) {
		ip[6] = 0;
		next[0] = 6;
		next[2] = 1; /* PadN */
		next[3] = 4;
	}
	if (segment->form == FORM_IPV6_THREE) {
		next[0] = 43;
		next[8] = 60; /* routing, two units more */
		next[9] = 2;
		next[10] = 253; /* RFC 4727: an experiment's, with no segments left */
		next[32] = 6;  /* destination options, one unit more */
		next[33] = 1;
		next[34] = 1;
		next[35] = 12;
	}
}

static void put_checksum(const struct segment *segment, const uint8_t *ip, uint8_t *tcp, size_t length)
{
	uint8_t pseudo[4] = { 0, 6, (uint8_t)(length >> 8), (uint8_t)length };
	uint32_t start = sum(pseudo, 4, is_ipv6(segment->form) ? sum(ip + 8, 32, 0) : sum(ip + 12, 8, 0));
	put16(tcp + 16, 0);
	put16(tcp + 16, segment->unfinished ? start : ~sum(tcp, length, start) & 0xffff);
}

size_t frame_make(const struct segment *segment, uint8_t *bytes)
{
	uint8_t *ip = bytes + frame_ip(segment->form), *tcp = bytes + frame_tcp(segment->form);
	size_t header = 20 + (segment->form == FORM_TCP_OPTIONS && !segment->bare ? OPTIONS : 0);
	size_t length = header + segment->length;
	assert((size_t)(tcp - bytes) + length + PADDING <= FRAME_MAX);
	memset(bytes, 0, FRAME_MAX);
	put_link(segment, bytes);
	if (is_ipv6(segment->form))
		put_ipv6(segment, ip, (size_t)(tcp - ip) + length);
	else
		put_ipv4(segment, ip, (size_t)(tcp - ip) + length);
	put16(tcp, segment->from_server ? segment->server_port : segment->client_port);
	put16(tcp + 2, segment->from_server ? segment->client_port : segment->server_port);
	put32(tcp + 4, segment->sequence);
	put32(tcp + 8, segment->acknowledged);
	tcp[12] = (uint8_t)(header / 4 << 4);
	tcp[13] = segment->flags;
	put16(tcp + 14, segment->bare ? 0 : 512);
	memset(tcp + 20, 1, header - 20);
	if (segment->length)
		memcpy(tcp + header, segment->payload, segment->length);
	put_checksum(segment, ip, tcp, length);
	bool padded = (segment->form == FORM_PADDED || segment->form == FORM_IPV6_PADDED) && !segment->bare;
	memset(tcp + length, 'A', padded ? PADDING : 0); /* would be read as a command */
	return (size_t)(tcp - bytes) + length + (padded ? PADDING : 0);
}
