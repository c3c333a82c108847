/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is asked of rtnetlink(7): which interfaces there are, come and go, and which filters an interface has. */
#ifndef SMTPWARD_RTNETLINK_H
#define SMTPWARD_RTNETLINK_H

#include <stdbool.h>
#include <stdint.h>

#define RTNETLINK_NAME_SIZE 16 /* IFNAMSIZ */

struct rtnetlink_link {
	unsigned ifindex;
	char name[RTNETLINK_NAME_SIZE];
	unsigned short type; /* ARPHRD_* */
	bool gone;
};

typedef void rtnetlink_link_seen(void *context, const struct rtnetlink_link *link);

/* A socket that hears of interfaces as they change; to be polled for reading, then rtnetlink_read(). Returns the
 * descriptor, or a negative errno. */
int rtnetlink_open(void);
/* Hands on what waits there. Returns 0, or -ENOBUFS if something was lost: then rtnetlink_links() tells how it is now. */
int rtnetlink_read(int fd, rtnetlink_link_seen *seen, void *context);

/* All interfaces of this network namespace. Returns 0 or a negative errno. */
int rtnetlink_links(rtnetlink_link_seen *seen, void *context);

struct rtnetlink_filter {
	uint32_t handle;
	uint16_t priority;
	bool bpf;
	char program[64]; /* of a BPF filter: the name it was given; "" */
};

typedef void rtnetlink_filter_seen(void *context, const struct rtnetlink_filter *filter);

enum rtnetlink_direction { RTNETLINK_INGRESS, RTNETLINK_EGRESS };

/* The filters at the interface's clsact qdisc; none where it has no such. Returns 0 or a negative errno. */
int rtnetlink_filters(unsigned ifindex, enum rtnetlink_direction direction, rtnetlink_filter_seen *seen, void *context);

/* Removes one BPF filter; removes the qdisc with all that is there. They return 0 or a negative errno. */
int rtnetlink_delete_filter(unsigned ifindex, enum rtnetlink_direction direction, uint16_t priority, uint32_t handle);
int rtnetlink_delete_clsact(unsigned ifindex);

#endif
