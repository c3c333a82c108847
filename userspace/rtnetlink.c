/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "rtnetlink.h"

#define ANSWER_SIZE (32 * 1024) /* the kernel's messages of a dump are that long at most */
#define MESSAGES_MAX 256        /* read at once; whoever makes more interfaces waits for the next time */

struct handler {
	rtnetlink_link_seen *link;
	rtnetlink_filter_seen *filter;
	void *context;
};

/* ---- messages --------------------------------------------------------------------------------------------- */

/* The attribute of that type among length bytes of them, or NULL. (The macros for this mix signs.) */
static const struct rtattr *attribute(const struct rtattr *first, size_t length, unsigned short type)
{
	const char *at = (const char *)first;
	while (length >= sizeof(*first)) {
		const struct rtattr *here = (const struct rtattr *)at;
		size_t step = RTA_ALIGN((size_t)here->rta_len);
		if (here->rta_len < sizeof(*here) || here->rta_len > length)
			break;
		if ((here->rta_type & NLA_TYPE_MASK) == type)
			return here;
		if (step > length)
			break;
		at += step;
		length -= step;
	}
	return NULL;
}

static void copy_text(char *text, size_t size, const struct rtattr *from)
{
	text[0] = 0;
	if (from)
		snprintf(text, size, "%.*s", (int)RTA_PAYLOAD(from), (const char *)RTA_DATA(from));
}

static void take_link(const struct handler *handler, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) || info->ifi_family != AF_UNSPEC) /* bridges tell of ports, too */
		return;
	struct rtnetlink_link link = { .ifindex = (unsigned)info->ifi_index, .type = info->ifi_type,
				       .gone = message->nlmsg_type == RTM_DELLINK };
	copy_text(link.name, sizeof(link.name),
		  attribute(IFLA_RTA(info), message->nlmsg_len - NLMSG_LENGTH(sizeof(*info)), IFLA_IFNAME));
	if (link.ifindex)
		handler->link(handler->context, &link);
}

static void take_filter(const struct handler *handler, const struct nlmsghdr *message)
{
	const struct tcmsg *info = NLMSG_DATA(message);
	struct rtnetlink_filter filter = { 0 };
	char kind[16];
	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return;
	size_t length = message->nlmsg_len - NLMSG_LENGTH(sizeof(*info));
	const struct rtattr *first = (const struct rtattr *)((const char *)info + NLMSG_ALIGN(sizeof(*info)));
	const struct rtattr *options = attribute(first, length, TCA_OPTIONS);
	copy_text(kind, sizeof(kind), attribute(first, length, TCA_KIND));
	if (!info->tcm_handle)
		return; /* a priority as a whole; its filters follow */
	filter.handle = info->tcm_handle;
	filter.priority = (uint16_t)(info->tcm_info >> 16);
	filter.bpf = strcmp(kind, "bpf") == 0;
	if (filter.bpf && options)
		copy_text(filter.program, sizeof(filter.program), attribute(RTA_DATA(options), RTA_PAYLOAD(options), TCA_BPF_NAME));
	handler->filter(handler->context, &filter);
}

/* Returns 1 if more is to come, 0 at the end, or a negative errno. */
static int take_message(const struct handler *handler, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case NLMSG_DONE:
		return 0;
	case NLMSG_ERROR: {
		const struct nlmsgerr *error = NLMSG_DATA(message);
		return message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)) ? -EBADMSG : error->error;
	}
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (handler->link)
			take_link(handler, message);
		break;
	case RTM_NEWTFILTER:
		if (handler->filter)
			take_filter(handler, message);
		break;
	}
	return 1;
}

/* One datagram. Returns as take_message(). Datagrams of other senders than the kernel are passed over. */
static int take_datagram(int fd, const struct handler *handler, int flags)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE]; /* not static: whoever is told of an interface may ask for its filters */
	struct sockaddr_nl from = { 0 };
	socklen_t from_size = sizeof(from);
	ssize_t length = recvfrom(fd, answer, sizeof(answer), flags | MSG_TRUNC, (struct sockaddr *)&from, &from_size);
	int result = 1;
	if (length < 0)
		return -errno;
	if ((size_t)length > sizeof(answer))
		return -EMSGSIZE;
	if (from.nl_pid != 0)
		return 1;
	unsigned left = (unsigned)length;
	for (const struct nlmsghdr *at = (const struct nlmsghdr *)answer; result > 0 && NLMSG_OK(at, left); at = NLMSG_NEXT(at, left))
		result = take_message(handler, at);
	return result;
}

static int open_socket(unsigned groups, int flags)
{
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_groups = groups };
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0)
		return fd;
	int error = -errno;
	close(fd);
	return error;
}

/* Sends the request, and takes in all that is answered to it. */
static int ask(const void *request, size_t size, const struct handler *handler)
{
	int fd = open_socket(0, 0);
	if (fd < 0)
		return fd;
	int result = send(fd, request, size, 0) < 0 ? -errno : 1;
	while (result > 0)
		result = take_datagram(fd, handler, 0);
	close(fd);
	return result;
}

/* ---- interfaces ------------------------------------------------------------------------------------------- */

int rtnetlink_open(void)
{
	return open_socket(RTMGRP_LINK, SOCK_NONBLOCK);
}

int rtnetlink_read(int fd, rtnetlink_link_seen *seen, void *context)
{
	const struct handler handler = { .link = seen, .context = context };
	int result = 1;
	for (unsigned i = 0; result > 0 && i < MESSAGES_MAX; i++)
		result = take_datagram(fd, &handler, MSG_DONTWAIT);
	return result == -ENOBUFS ? -ENOBUFS : 0;
}

int rtnetlink_links(rtnetlink_link_seen *seen, void *context)
{
	const struct handler handler = { .link = seen, .context = context };
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
	};
	return ask(&request, sizeof(request), &handler);
}

/* ---- filters ---------------------------------------------------------------------------------------------- */

static uint32_t parent_of(enum rtnetlink_direction direction)
{
	return TC_H_MAKE(TC_H_CLSACT, direction == RTNETLINK_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

int rtnetlink_filters(unsigned ifindex, enum rtnetlink_direction direction, rtnetlink_filter_seen *seen, void *context)
{
	const struct handler handler = { .filter = seen, .context = context };
	struct {
		struct nlmsghdr header;
		struct tcmsg info;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETTFILTER, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.info = { .tcm_ifindex = (int)ifindex,
			  .tcm_parent = parent_of(direction) },
	};
	return ask(&request, sizeof(request), &handler);
}

int rtnetlink_delete_filter(unsigned ifindex, enum rtnetlink_direction direction, uint16_t priority, uint32_t handle)
{
	const struct handler handler = { 0 };
	struct {
		struct nlmsghdr header;
		struct tcmsg info;
		struct rtattr kind;
		char bpf[4];
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_DELTFILTER, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.info = { .tcm_ifindex = (int)ifindex,
			  .tcm_parent = parent_of(direction),
			  .tcm_handle = handle,
			  .tcm_info = (uint32_t)priority << 16 | htons(ETH_P_ALL) },
		.kind = { .rta_len = sizeof(struct rtattr) + 4, .rta_type = TCA_KIND },
		.bpf = "bpf",
	};
	return ask(&request, sizeof(request), &handler);
}

int rtnetlink_delete_clsact(unsigned ifindex)
{
	const struct handler handler = { 0 };
	struct {
		struct nlmsghdr header;
		struct tcmsg info;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_DELQDISC, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.info = { .tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_CLSACT, .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0) },
	};
	return ask(&request, sizeof(request), &handler);
}
