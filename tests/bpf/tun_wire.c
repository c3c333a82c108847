/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tun_wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* linux/tcp.h, and not netinet/tcp.h beside it: the newer struct tcp_info is wanted */
#include <linux/tcp.h>

#define CLIENT_ADDRESS 0xc6336401U /* 198.51.100.1 */
#define SERVER_ADDRESS 0xc6336402U
#define PATIENCE_MS 20000 /* what is waited for comes within milliseconds; this only ends a test that has failed */
#define SERVER_START 0xfffff000U /* so that sequence numbers wrap */
#define WINDOW 0xffff
#define CHECKSUM_BREAK 76 /* the kernel checks shorter ones before the hooks (include/linux/skbuff.h) */
#define LINKTYPE_RAW 101

enum { FLAG_SYN = 1, FLAG_ACK = 2, FLAG_SPOILT = 4 };

struct packet {
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t payload[2048];
};

/* ---- the interface ---------------------------------------------------------------------------------------- */

static bool set_address(int control, struct ifreq *request, unsigned long command, uint32_t address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&request->ifr_addr;
	memset(in, 0, sizeof(*in));
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(address);
	return ioctl(control, command, request) == 0;
}

const char *tun_wire_open(struct tun_wire *wire)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	memset(wire, 0, sizeof(*wire));
	wire->client = -1;
	wire->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (wire->fd < 0 || ioctl(wire->fd, TUNSETIFF, &request) < 0)
		return "no TUN interface can be made";
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool good = control >= 0 && set_address(control, &request, SIOCSIFADDR, CLIENT_ADDRESS) &&
		    set_address(control, &request, SIOCSIFNETMASK, 0xffffff00);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	good = good && ioctl(control, SIOCSIFFLAGS, &request) == 0;
	close(control);
	return good ? NULL : "the TUN interface does not come up";
}

void tun_wire_close(struct tun_wire *wire)
{
	close(wire->fd);
}

/* ---- packets ---------------------------------------------------------------------------------------------- */

static uint32_t sum_words(const void *data, size_t length, uint32_t sum)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return length & 1 ? sum + ((uint32_t)bytes[length - 1] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static uint16_t tcp_checksum(const struct packet *packet, size_t length)
{
	uint32_t sum = sum_words(&packet->ip.saddr, 8, IPPROTO_TCP + (uint32_t)(sizeof(packet->tcp) + length));
	return fold(sum_words(&packet->tcp, sizeof(packet->tcp) + length, sum));
}

/* A pcap file's record header: seconds, microseconds, length captured, length. */
static void capture(struct tun_wire *wire, const void *packet, size_t length)
{
	static uint32_t when;
	uint32_t record[4] = { 1700000000 + when / 1000, when % 1000 * 1000, (uint32_t)length, (uint32_t)length };
	const uint32_t file[6] = { 0xa1b2c3d4, 4U << 16 | 2, 0, 0, 65535, LINKTYPE_RAW };
	if (!wire->capture)
		return;
	if (ftell(wire->capture) == 0)
		fwrite(file, sizeof(file), 1, wire->capture);
	when++;
	fwrite(record, sizeof(record), 1, wire->capture);
	fwrite(packet, length, 1, wire->capture);
}

static void send_packet(struct tun_wire *wire, uint32_t offset, const uint8_t *bytes, size_t length, unsigned flags)
{
	struct packet packet;
	size_t total = sizeof(packet.ip) + sizeof(packet.tcp) + length;
	memset(&packet, 0, sizeof(packet));
	packet.ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .tot_len = htons((uint16_t)total),
				    .saddr = htonl(SERVER_ADDRESS), .daddr = htonl(CLIENT_ADDRESS) };
	packet.ip.check = fold(sum_words(&packet.ip, sizeof(packet.ip), 0));
	packet.tcp.source = htons(wire->server_port);
	packet.tcp.dest = htons(wire->client_port);
	packet.tcp.seq = htonl(wire->server_start + offset - (flags & FLAG_SYN ? 1 : 0));
	packet.tcp.ack_seq = htonl(wire->client_start + wire->client_acked);
	packet.tcp.doff = sizeof(packet.tcp) / 4;
	packet.tcp.syn = (flags & FLAG_SYN) != 0;
	packet.tcp.ack = 1;
	packet.tcp.window = htons(WINDOW);
	if (length)
		memcpy(packet.payload, bytes, length);
	packet.tcp.check = tcp_checksum(&packet, length);
	if (flags & FLAG_SPOILT)
		packet.tcp.check = (uint16_t)~packet.tcp.check;
	capture(wire, &packet, total);
	assert_int_equal(write(wire->fd, &packet, total), total);
}

/* The next packet of this connection's. Returns the length of its payload, or -1 if none comes in time. */
static int next_packet(struct tun_wire *wire, struct packet *packet, uint8_t **payload, int milliseconds)
{
	for (;;) {
		struct pollfd ready = { .fd = wire->fd, .events = POLLIN };
		if (poll(&ready, 1, milliseconds) <= 0)
			return -1;
		ssize_t got = read(wire->fd, packet, sizeof(*packet));
		if (got < (ssize_t)(sizeof(packet->ip) + sizeof(packet->tcp)) || packet->ip.version != 4 ||
		    packet->ip.protocol != IPPROTO_TCP || packet->tcp.dest != htons(wire->server_port))
			continue; /* neighbour discovery and the like; an older connection */
		if (!packet->tcp.syn && packet->tcp.source != htons(wire->client_port))
			continue;
		capture(wire, packet, (size_t)got);
		*payload = (uint8_t *)&packet->tcp + packet->tcp.doff * 4;
		return (int)got - (int)sizeof(packet->ip) - packet->tcp.doff * 4;
	}
}

/* ---- the connection --------------------------------------------------------------------------------------- */

/* Segments that came to the client's socket behind the hooks. */
static uint32_t segments_in(int client)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	return info.tcpi_segs_in;
}

static void await_segments(const struct tun_wire *wire)
{
	for (unsigned waited = 0; waited < PATIENCE_MS * 20; waited++) {
		if (segments_in(wire->client) >= wire->delivered)
			return;
		usleep(50);
	}
	fail_msg("the client's socket did not get its segments: %u of %u", segments_in(wire->client), wire->delivered);
}

/* A port of its own for every connection of a run, so that none is taken for another in a capture file. */
static void bind_anew(const struct tun_wire *wire)
{
	static uint16_t count;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(CLIENT_ADDRESS) };
	address.sin_port = htons((uint16_t)(1024 + count++ % 31000));
	assert_int_equal(bind(wire->client, (struct sockaddr *)&address, sizeof(address)), 0);
}

void tun_wire_connect(struct tun_wire *wire, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(SERVER_ADDRESS) };
	struct packet packet;
	uint8_t *payload;
	int on = 1;
	wire->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(wire->client >= 0);
	setsockopt(wire->client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	bind_anew(wire);
	wire->server_port = port;
	assert_true(connect(wire->client, (struct sockaddr *)&address, sizeof(address)) < 0 && errno == EINPROGRESS);
	do
		assert_true(next_packet(wire, &packet, &payload, PATIENCE_MS) >= 0);
	while (!packet.tcp.syn);
	wire->client_port = ntohs(packet.tcp.source);
	wire->client_start = ntohl(packet.tcp.seq) + 1;
	wire->client_acked = wire->said = 0;
	wire->server_start = SERVER_START;
	wire->delivered = 1; /* the SYN-ACK */
	send_packet(wire, 0, NULL, 0, FLAG_SYN);
	struct pollfd ready = { .fd = wire->client, .events = POLLOUT };
	assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
	await_segments(wire);
}

void tun_wire_reset(struct tun_wire *wire)
{
	struct linger at_once = { .l_onoff = 1 };
	setsockopt(wire->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(wire->client);
	wire->client = -1;
}

bool tun_wire_hear(struct tun_wire *wire, struct tun_segment *segment, int milliseconds)
{
	struct packet packet;
	uint8_t *payload;
	int length;
	do
		length = next_packet(wire, &packet, &payload, milliseconds);
	while (length == 0);
	if (length < 0)
		return false;
	segment->offset = ntohl(packet.tcp.seq) - wire->client_start;
	segment->length = (size_t)length;
	memcpy(segment->bytes, payload, segment->length);
	return true;
}

void tun_wire_acknowledge(struct tun_wire *wire, uint32_t offset)
{
	wire->client_acked = offset;
	send_packet(wire, wire->said, NULL, 0, FLAG_ACK);
	wire->delivered++;
	await_segments(wire);
}

bool tun_wire_say(struct tun_wire *wire, uint32_t offset, const uint8_t *bytes, size_t length, bool spoilt)
{
	bool seen = !spoilt || sizeof(struct tcphdr) + length > CHECKSUM_BREAK;
	if (offset + length > wire->said)
		wire->said = offset + (uint32_t)length;
	send_packet(wire, offset, bytes, length, FLAG_ACK | (spoilt ? FLAG_SPOILT : 0));
	if (!seen)
		return false;
	wire->delivered++;
	await_segments(wire);
	return true;
}
