/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_write.h"

#include <string.h>

#define MAGIC_NANOSECONDS 0xa1b23c4dU
#define LINKTYPE_RAW 101
#define SNAP_LENGTH 262144
#define TCP_HEADER 20
#define PROTOCOL_TCP 6

enum { FLAG_FIN = 1, FLAG_SYN = 2, FLAG_RST = 4, FLAG_PSH = 8, FLAG_ACK = 16, FLAG_URG = 32 };

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

bool capture_write_header(FILE *stream)
{
	/* in the host's byte order, which the magic number tells */
	const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, snap_length, link_type;
	} header = { MAGIC_NANOSECONDS, 2, 4, 0, 0, SNAP_LENGTH, LINKTYPE_RAW };
	return fwrite(&header, sizeof(header), 1, stream) == 1;
}

/* The sum that RFC 1071 has; an odd last byte is padded. */
static uint32_t add_up(uint32_t sum, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i + 1 < count; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	if (count & 1)
		sum += (uint32_t)bytes[count - 1] << 8;
	return sum;
}

static unsigned fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* Over the pseudo header, too (RFC 9293 section 3.1, RFC 8200 section 8.1). */
static void put_tcp_checksum(uint8_t *tcp, size_t length, const uint8_t *from, const uint8_t *to, size_t address_size)
{
	uint32_t sum = PROTOCOL_TCP + (uint32_t)length;
	sum = add_up(add_up(sum, from, address_size), to, address_size);
	put16(tcp + 16, fold(add_up(sum, tcp, length)));
}

static size_t put_ipv4(uint8_t *packet, const struct written_flow *flow, enum direction from, size_t length)
{
	packet[0] = 0x45;
	put16(packet + 2, (unsigned)(20 + length));
	packet[6] = 0x40; /* do not fragment */
	packet[8] = 64;
	packet[9] = PROTOCOL_TCP;
	memcpy(packet + 12, flow->address[from] + 12, 4);
	memcpy(packet + 16, flow->address[!from] + 12, 4);
	put16(packet + 10, fold(add_up(0, packet, 20)));
	put_tcp_checksum(packet + 20, length, packet + 12, packet + 16, 4);
	return 20;
}

static size_t put_ipv6(uint8_t *packet, const struct written_flow *flow, enum direction from, size_t length)
{
	packet[0] = 0x60;
	put16(packet + 4, (unsigned)length);
	packet[6] = PROTOCOL_TCP;
	packet[7] = 64;
	memcpy(packet + 8, flow->address[from], 16);
	memcpy(packet + 24, flow->address[!from], 16);
	put_tcp_checksum(packet + 40, length, packet + 8, packet + 24, 16);
	return 40;
}

static bool is_mapped(const uint8_t address[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
	return memcmp(address, prefix, sizeof(prefix)) == 0;
}

static bool write_packet(FILE *stream, const uint8_t *packet, size_t length, uint64_t time_ns)
{
	const uint32_t head[4] = { (uint32_t)(time_ns / 1000000000U), (uint32_t)(time_ns % 1000000000U), (uint32_t)length, (uint32_t)length };
	return fwrite(head, sizeof(head), 1, stream) == 1 && fwrite(packet, length, 1, stream) == 1;
}

static bool write_segment(FILE *stream, const struct written_flow *flow, enum direction from, unsigned flags, const uint8_t *bytes,
			  size_t count, uint64_t time_ns)
{
	uint8_t packet[40 + TCP_HEADER + WRITE_PAYLOAD_MAX] = { 0 };
	bool ipv4 = is_mapped(flow->address[0]) && is_mapped(flow->address[1]);
	uint8_t *tcp = packet + (ipv4 ? 20 : 40);
	put16(tcp, flow->port[from]);
	put16(tcp + 2, flow->port[!from]);
	put32(tcp + 4, flow->next[from]);
	put32(tcp + 8, flags & FLAG_ACK ? flow->next[!from] : 0);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 65535);
	if (flags & FLAG_URG)
		put16(tcp + 18, 1);
	if (count)
		memcpy(tcp + TCP_HEADER, bytes, count);
	size_t header = (ipv4 ? put_ipv4 : put_ipv6)(packet, flow, from, TCP_HEADER + count);
	return write_packet(stream, packet, header + TCP_HEADER + count, time_ns);
}

bool capture_write_open(FILE *stream, struct written_flow *flow, uint64_t time_ns)
{
	bool good = write_segment(stream, flow, FROM_CLIENT, FLAG_SYN, NULL, 0, time_ns);
	flow->next[FROM_CLIENT]++;
	good = good && write_segment(stream, flow, FROM_SERVER, FLAG_SYN | FLAG_ACK, NULL, 0, time_ns);
	flow->next[FROM_SERVER]++;
	return good && write_segment(stream, flow, FROM_CLIENT, FLAG_ACK, NULL, 0, time_ns);
}

bool capture_write_bytes(FILE *stream, struct written_flow *flow, enum direction direction, const uint8_t *bytes, size_t count,
			 bool urgent, uint64_t time_ns)
{
	while (count) {
		size_t n = count < WRITE_PAYLOAD_MAX ? count : WRITE_PAYLOAD_MAX;
		if (!write_segment(stream, flow, direction, FLAG_PSH | FLAG_ACK | (urgent ? FLAG_URG : 0), bytes, n, time_ns))
			return false;
		flow->next[direction] += (uint32_t)n;
		bytes += n;
		count -= n;
	}
	return true;
}

void capture_write_gap(struct written_flow *flow, enum direction direction)
{
	flow->next[direction] += WRITE_HOLE;
}

bool capture_write_finish(FILE *stream, struct written_flow *flow, enum direction direction, uint64_t time_ns)
{
	bool good = write_segment(stream, flow, direction, FLAG_FIN | FLAG_ACK, NULL, 0, time_ns);
	flow->next[direction]++;
	return good;
}

bool capture_write_reset(FILE *stream, struct written_flow *flow, enum direction direction, uint64_t time_ns)
{
	return write_segment(stream, flow, direction, FLAG_RST | FLAG_ACK, NULL, 0, time_ns);
}
