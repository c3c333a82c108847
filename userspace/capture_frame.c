/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_frame.h"

#include <string.h>

#include <pcap/dlt.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_PPPOE 0x8864
#define VLAN_TAGS_MAX 8
#define IPV6_HEADERS_MAX 16

#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_TCP 6
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_AH 51
#define PROTOCOL_DESTINATION 60
#define PROTOCOL_MOBILITY 135

/* What is left of the frame. Each step checks its own bounds. */
struct cursor {
	const uint8_t *at;
	size_t left;
	size_t missing; /* bytes that were behind these, and were not captured */
};

static uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

/* The next n bytes, or NULL if they are not all there. */
static const uint8_t *take(struct cursor *cursor, size_t n)
{
	const uint8_t *bytes = cursor->at;
	if (cursor->left < n)
		return NULL;
	cursor->at += n;
	cursor->left -= n;
	return bytes;
}

/* Cuts the cursor to the length that a header tells; what is behind that is padding of the link's. */
static void trim(struct cursor *cursor, size_t length)
{
	size_t whole = cursor->left + cursor->missing;
	if (length >= whole)
		return;
	if (cursor->left > length)
		cursor->left = length;
	cursor->missing = length - cursor->left;
}

/* ---- TCP (RFC 9293 section 3.1) --------------------------------------------------------------------------- */

static enum frame_kind read_tcp(struct cursor *cursor, struct capture_segment *segment)
{
	const uint8_t *header = take(cursor, 20);
	if (!header)
		return FRAME_MALFORMED;
	size_t options = (size_t)(header[12] >> 4) * 4;
	if (options < 20)
		return FRAME_MALFORMED;
	options -= 20;
	segment->from_port = get16(header);
	segment->to_port = get16(header + 2);
	segment->sequence = get32(header + 4);
	segment->acknowledged = get32(header + 8);
	segment->fin = header[13] & 1;
	segment->syn = header[13] & 2;
	segment->reset = header[13] & 4;
	segment->ack = header[13] & 16;
	segment->urgent = header[13] & 32;
	if (options > cursor->left + cursor->missing)
		return FRAME_MALFORMED;
	if (options > cursor->left) { /* the snap length cuts the options: the payload is known by its length only */
		cursor->missing -= options - cursor->left;
		options = cursor->left;
	}
	take(cursor, options);
	segment->bytes = cursor->at;
	segment->captured = (uint32_t)cursor->left;
	segment->length = (uint32_t)(cursor->left + cursor->missing);
	return FRAME_TCP;
}

/* ---- IP --------------------------------------------------------------------------------------------------- */

static void map_ipv4(const uint8_t *address, uint8_t mapped[16])
{
	memset(mapped, 0, 10);
	mapped[10] = mapped[11] = 0xff;
	memcpy(mapped + 12, address, 4);
}

static enum frame_kind fragment(const struct cursor *cursor, uint32_t id, uint32_t offset, bool more, struct capture_segment *segment)
{
	segment->fragment.id = id;
	segment->fragment.offset = offset;
	segment->fragment.more = more;
	segment->bytes = cursor->at;
	segment->captured = (uint32_t)cursor->left;
	segment->length = (uint32_t)(cursor->left + cursor->missing);
	return FRAME_FRAGMENT;
}

/* RFC 791 */
static enum frame_kind read_ipv4(struct cursor *cursor, struct capture_segment *segment)
{
	const uint8_t *header = take(cursor, 20);
	if (!header || header[0] >> 4 != 4 || (header[0] & 15) < 5)
		return FRAME_MALFORMED;
	size_t options = (size_t)(header[0] & 15) * 4 - 20, total = get16(header + 2);
	if (header[9] != PROTOCOL_TCP)
		return FRAME_OTHER;
	if (total >= 20) /* 0: the sender's segmentation offload, and the frame tells the length */
		trim(cursor, total - 20);
	else if (total)
		return FRAME_MALFORMED;
	if (!take(cursor, options))
		return FRAME_MALFORMED;
	map_ipv4(header + 12, segment->from);
	map_ipv4(header + 16, segment->to);
	unsigned place = get16(header + 6);
	if (place & 0x3fff)
		return fragment(cursor, get16(header + 4), (place & 0x1fff) * 8, place & 0x2000, segment);
	return read_tcp(cursor, segment);
}

#define FRAGMENTED (-2)

/* RFC 8200 section 4. Returns the protocol behind the extension headers, -1 if they are malformed, FRAGMENTED at the header of a
 * fragment, to which *found points then. */
static int skip_extensions(struct cursor *cursor, uint8_t next, const uint8_t **found)
{
	for (int i = 0; i < IPV6_HEADERS_MAX; i++) {
		const uint8_t *header;
		size_t length;
		if (next != PROTOCOL_HOP_BY_HOP && next != PROTOCOL_ROUTING && next != PROTOCOL_FRAGMENT && next != PROTOCOL_AH &&
		    next != PROTOCOL_DESTINATION && next != PROTOCOL_MOBILITY)
			return next;
		header = take(cursor, 8);
		if (!header)
			return -1;
		if (next == PROTOCOL_FRAGMENT && (get16(header + 2) & 0xfff9)) { /* one that is whole is none (RFC 6946) */
			*found = header;
			return FRAGMENTED;
		}
		length = next == PROTOCOL_FRAGMENT ? 8 : next == PROTOCOL_AH ? ((size_t)header[1] + 2) * 4 : ((size_t)header[1] + 1) * 8;
		if (length < 8 || !take(cursor, length - 8))
			return -1;
		next = header[0];
	}
	return -1;
}

static enum frame_kind read_ipv6(struct cursor *cursor, struct capture_segment *segment)
{
	const uint8_t *header = take(cursor, 40), *found = NULL;
	if (!header || header[0] >> 4 != 6)
		return FRAME_MALFORMED;
	if (get16(header + 4)) /* 0: a jumbogram, or segmentation offload */
		trim(cursor, get16(header + 4));
	int protocol = skip_extensions(cursor, header[6], &found);
	memcpy(segment->from, header + 8, 16);
	memcpy(segment->to, header + 24, 16);
	if (protocol == FRAGMENTED && found[0] == PROTOCOL_TCP)
		return fragment(cursor, get32(found + 4), get16(found + 2) & 0xfff8, found[3] & 1, segment);
	if (protocol != PROTOCOL_TCP)
		return protocol == -1 ? FRAME_MALFORMED : FRAME_OTHER;
	return read_tcp(cursor, segment);
}

enum frame_kind capture_packet_payload(const uint8_t *bytes, size_t length, struct capture_segment *segment)
{
	struct cursor cursor = { .at = bytes, .left = length };
	return read_tcp(&cursor, segment);
}

static enum frame_kind read_ip(struct cursor *cursor, struct capture_segment *segment)
{
	if (!cursor->left)
		return FRAME_MALFORMED;
	switch (cursor->at[0] >> 4) {
	case 4: return read_ipv4(cursor, segment);
	case 6: return read_ipv6(cursor, segment);
	}
	return FRAME_MALFORMED;
}

/* ---- links ------------------------------------------------------------------------------------------------ */

/* RFC 1661 section 2, with address and control bytes and the protocol's first byte left out or not. */
static enum frame_kind read_ppp(struct cursor *cursor, struct capture_segment *segment)
{
	const uint8_t *bytes;
	if (cursor->left >= 2 && cursor->at[0] == 0xff && cursor->at[1] == 0x03)
		take(cursor, 2);
	bytes = take(cursor, 1);
	if (!bytes)
		return FRAME_MALFORMED;
	unsigned protocol = bytes[0];
	if (!(protocol & 1)) {
		bytes = take(cursor, 1);
		if (!bytes)
			return FRAME_MALFORMED;
		protocol = protocol << 8 | bytes[0];
	}
	return protocol == 0x0021 || protocol == 0x0057 ? read_ip(cursor, segment) : FRAME_OTHER;
}

/* RFC 2516 section 4: version and type, code, session, length. */
static enum frame_kind read_pppoe(struct cursor *cursor, struct capture_segment *segment)
{
	const uint8_t *header = take(cursor, 6);
	if (!header || header[0] != 0x11)
		return FRAME_MALFORMED;
	if (header[1] != 0)
		return FRAME_OTHER;
	trim(cursor, get16(header + 4));
	return read_ppp(cursor, segment);
}

/* Behind an EtherType: tags of VLANs (IEEE 802.1Q, 802.1ad and what came before it), then IP or PPPoE. */
static enum frame_kind read_ethertype(struct cursor *cursor, uint16_t type, struct capture_segment *segment)
{
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		const uint8_t *tag;
		if (type != 0x8100 && type != 0x88a8 && type != 0x9100 && type != 0x9200)
			break;
		tag = take(cursor, 4);
		if (!tag)
			return FRAME_MALFORMED;
		type = get16(tag + 2);
	}
	switch (type) {
	case ETHERTYPE_IPV4: return read_ipv4(cursor, segment);
	case ETHERTYPE_IPV6: return read_ipv6(cursor, segment);
	case ETHERTYPE_PPPOE: return read_pppoe(cursor, segment);
	}
	return FRAME_OTHER;
}

static enum frame_kind read_typed(struct cursor *cursor, size_t header_size, size_t type_at, struct capture_segment *segment)
{
	const uint8_t *header = take(cursor, header_size);
	return header ? read_ethertype(cursor, get16(header + type_at), segment) : FRAME_MALFORMED;
}

/* BSD's: the number of the address family in the byte order of the host that captured, which differs for IPv6, too. */
static enum frame_kind read_loopback(struct cursor *cursor, struct capture_segment *segment)
{
	const uint8_t *header = take(cursor, 4);
	if (!header)
		return FRAME_MALFORMED;
	uint32_t family = get32(header);
	if (family > 0xffff)
		family = __builtin_bswap32(family);
	switch (family) {
	case 2: return read_ipv4(cursor, segment);
	case 10:
	case 24:
	case 28:
	case 30: return read_ipv6(cursor, segment);
	}
	return FRAME_OTHER;
}

bool capture_link_is_known(int link_type)
{
	switch (link_type) {
	case DLT_EN10MB:
	case DLT_NULL:
	case DLT_LOOP:
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
	case DLT_PPP:
	case DLT_PPP_SERIAL:
	case DLT_PPP_ETHER:
	case DLT_PPP_PPPD:
	case DLT_PPP_WITH_DIR:
		return true;
	}
	return false;
}

enum frame_kind capture_frame(int link_type, const uint8_t *bytes, size_t captured, size_t length, struct capture_segment *segment)
{
	struct cursor cursor = { .at = bytes, .left = captured, .missing = length > captured ? length - captured : 0 };
	if (cursor.missing > 0x10000000)
		return FRAME_MALFORMED;
	switch (link_type) {
	case DLT_EN10MB: return read_typed(&cursor, 14, 12, segment);
	case DLT_LINUX_SLL: return read_typed(&cursor, 16, 14, segment);
	case DLT_LINUX_SLL2: return read_typed(&cursor, 20, 0, segment);
	case DLT_NULL:
	case DLT_LOOP: return read_loopback(&cursor, segment);
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6: return read_ip(&cursor, segment);
	case DLT_PPP_ETHER: return read_pppoe(&cursor, segment);
	case DLT_PPP_PPPD:
	case DLT_PPP_WITH_DIR: /* the direction stands in place of the address byte, or before it */
		if (!take(&cursor, 1))
			return FRAME_MALFORMED;
		if (cursor.left && cursor.at[0] == 0x03)
			take(&cursor, 1);
		return read_ppp(&cursor, segment);
	case DLT_PPP:
	case DLT_PPP_SERIAL: return read_ppp(&cursor, segment);
	}
	return FRAME_OTHER;
}
