/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns.h"
#include "sock_dump.h"

/* include/net/tcp_states.h */
enum { ESTABLISHED = 1, SYN_SENT = 2, CLOSE_WAIT = 8, LISTEN = 10 };

#define SOCKETS_MAX 65536 /* of one namespace, connected to one of the ports */
#define ANSWER_SIZE 65536
#define ATTRIBUTE_HEADER sizeof(struct nlattr) /* a multiple of NLA_ALIGNTO */

/* One namespace's, until all of it is read: only then it is known which ports are listened on. */
struct listing {
	const struct sock_dump *dump;
	struct found_socket *sockets;
	unsigned count, room;
	uint64_t netns_cookie;
	uint8_t listened[65536 / 8];
};

/* ---- one namespace ---------------------------------------------------------------------------------------- */

static void set_address(uint8_t address[16], int family, const __be32 *from)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (family == AF_INET6) {
		memcpy(address, from, 16);
		return;
	}
	memcpy(address, mapped, sizeof(mapped));
	memcpy(address + 12, from, 4);
}

/* What the attributes say of the socket. tcp_info is as long as the kernel knows it. */
static void read_attributes(const struct nlmsghdr *header, struct found_socket *found, int state)
{
	const char *at = (const char *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(struct inet_diag_msg));
	size_t left = header->nlmsg_len > (size_t)(at - (const char *)header) ? header->nlmsg_len - (size_t)(at - (const char *)header) : 0;
	while (left >= ATTRIBUTE_HEADER) {
		struct nlattr attribute;
		struct tcp_info info = { 0 };
		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < ATTRIBUTE_HEADER || attribute.nla_len > left)
			return;
		size_t length = attribute.nla_len - ATTRIBUTE_HEADER;
		if (attribute.nla_type == INET_DIAG_CGROUP_ID && length >= sizeof(found->cgroup_id)) {
			memcpy(&found->cgroup_id, at + ATTRIBUTE_HEADER, sizeof(found->cgroup_id));
		} else if ((attribute.nla_type & NLA_TYPE_MASK) == INET_DIAG_SK_BPF_STORAGES) {
			found->has_storage = true;
		} else if (attribute.nla_type == INET_DIAG_INFO && length >= offsetof(struct tcp_info, tcpi_segs_out)) {
			memcpy(&info, at + ATTRIBUTE_HEADER, length < sizeof(info) ? length : sizeof(info));
			/* the SYN counts one */
			found->silent = info.tcpi_bytes_received == 0 && info.tcpi_bytes_acked <= 1 &&
					(info.tcpi_unacked == 0 || state == SYN_SENT);
		}
		size_t step = ((size_t)attribute.nla_len + NLA_ALIGNTO - 1) & ~((size_t)NLA_ALIGNTO - 1);
		if (step >= left)
			return;
		at += step;
		left -= step;
	}
}

static bool is_wanted(const struct sock_dump *dump, uint16_t port)
{
	for (unsigned i = 0; i < dump->remote_port_count; i++) {
		if (dump->remote_ports[i] == port)
			return true;
	}
	return false;
}

static int add(struct listing *listing, const struct found_socket *found)
{
	if (listing->count == SOCKETS_MAX)
		return 0;
	if (listing->count == listing->room) {
		unsigned room = listing->room ? listing->room * 2 : 64;
		struct found_socket *more = realloc(listing->sockets, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		listing->sockets = more;
		listing->room = room;
	}
	listing->sockets[listing->count++] = *found;
	return 0;
}

static int take_message(struct listing *listing, const struct nlmsghdr *header)
{
	struct inet_diag_msg message;
	struct found_socket found;
	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(message)))
		return -EPROTO;
	memcpy(&message, NLMSG_DATA(header), sizeof(message));
	memset(&found, 0, sizeof(found));
	found.local_port = ntohs(message.id.idiag_sport);
	found.remote_port = ntohs(message.id.idiag_dport);
	if (message.idiag_state == LISTEN) {
		listing->listened[found.local_port / 8] |= (uint8_t)(1 << found.local_port % 8);
		return 0;
	}
	if (!is_wanted(listing->dump, found.remote_port))
		return 0;
	found.cookie = (uint64_t)message.id.idiag_cookie[1] << 32 | message.id.idiag_cookie[0];
	found.netns_cookie = listing->netns_cookie;
	found.uid = message.idiag_uid;
	found.inode = message.idiag_inode;
	set_address(found.local_address, message.idiag_family, message.id.idiag_src);
	set_address(found.remote_address, message.idiag_family, message.id.idiag_dst);
	read_attributes(header, &found, message.idiag_state);
	return add(listing, &found);
}

/* Reads to the end of the list. */
static int take_answer(int netlink, struct listing *listing)
{
	static _Thread_local _Alignas(8) char answer[ANSWER_SIZE];
	for (;;) {
		ssize_t n = recv(netlink, answer, sizeof(answer), 0);
		if (n < 0)
			return -errno;
		size_t left = (size_t)n;
		for (const struct nlmsghdr *header = (const void *)answer; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
			struct nlmsgerr error;
			if (header->nlmsg_type == NLMSG_DONE)
				return 0;
			if (header->nlmsg_type == NLMSG_ERROR) {
				memcpy(&error, NLMSG_DATA(header), sizeof(error));
				return error.error ? error.error : -EPROTO;
			}
			int result = header->nlmsg_type == SOCK_DIAG_BY_FAMILY ? take_message(listing, header) : 0;
			if (result)
				return result;
		}
	}
}

static int list_family(int netlink, int family, struct listing *listing, int storage_map)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 diag;
		struct nlattr storages; /* nested in it: the map */
		struct nlattr map;
		__u32 descriptor;
	} request;
	memset(&request, 0, sizeof(request));
	request.header.nlmsg_len = storage_map < 0 ? offsetof(__typeof__(request), storages) : sizeof(request);
	request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request.diag.sdiag_family = (__u8)family;
	request.diag.sdiag_protocol = IPPROTO_TCP;
	request.diag.idiag_states = 1U << ESTABLISHED | 1U << SYN_SENT | 1U << CLOSE_WAIT | 1U << LISTEN;
	request.diag.idiag_ext = 1U << (INET_DIAG_INFO - 1);
	request.storages.nla_len = sizeof(request) - offsetof(__typeof__(request), storages);
	request.storages.nla_type = INET_DIAG_REQ_SK_BPF_STORAGES | NLA_F_NESTED;
	request.map.nla_len = sizeof(request) - offsetof(__typeof__(request), map);
	request.map.nla_type = SK_DIAG_BPF_STORAGE_REQ_MAP_FD;
	request.descriptor = (__u32)storage_map;
	if (send(netlink, &request, request.header.nlmsg_len, 0) < 0)
		return -errno;
	return take_answer(netlink, listing);
}

static int list_netns(const struct sock_dump *dump, int netlink)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct listing *listing = calloc(1, sizeof(*listing));
	int error = 0;
	if (!listing)
		return -ENOMEM;
	listing->dump = dump;
	listing->netns_cookie = netns_cookie(netlink);
	for (unsigned i = 0; i < 2 && !error; i++) {
		error = list_family(netlink, families[i], listing, dump->storage_map);
		if (error == -ENOENT && families[i] == AF_INET6)
			error = 0; /* a kernel without IPv6 */
	}
	for (unsigned i = 0; i < listing->count && !error; i++) {
		uint16_t port = listing->sockets[i].local_port;
		if (!(listing->listened[port / 8] >> port % 8 & 1))
			dump->take(dump->context, &listing->sockets[i]);
	}
	free(listing->sockets);
	free(listing);
	return error;
}

/* ---- all of them ------------------------------------------------------------------------------------------ */

static int list_one(void *context, int netns_fd)
{
	int netlink = netns_open_diag(netns_fd);
	if (netlink < 0)
		return netlink;
	int result = list_netns(context, netlink);
	close(netlink);
	return result;
}

int sock_dump(const struct sock_dump *dump, unsigned *unseen)
{
	return netns_walk(list_one, (void *)(uintptr_t)dump, unseen);
}
