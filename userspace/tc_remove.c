/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Filters of ours at clsact qdiscs: found by their mark, and removed with nothing of anybody else's. */
#include <string.h>

#include "forward.h"
#include "rtnetlink.h"
#include "tc_remove.h"

static const enum rtnetlink_direction directions[2] = { RTNETLINK_INGRESS, RTNETLINK_EGRESS };

uint32_t tc_filter_handle(uint64_t owner)
{
	return FORWARD_FILTER_HANDLE | ((uint32_t)owner & FORWARD_FILTER_OWNER) << 1;
}

static bool is_ours(const struct rtnetlink_filter *filter, uint64_t owner)
{
	uint32_t handle = filter->handle & ~(uint32_t)FORWARD_FILTER_QDISC;
	return filter->bpf && filter->priority == FORWARD_FILTER_PRIORITY &&
	       strncmp(filter->program, "smtpward_", strlen("smtpward_")) == 0 &&
	       (owner ? handle == tc_filter_handle(owner) : (handle & FORWARD_FILTER_HANDLE_MASK) == FORWARD_FILTER_HANDLE);
}

#define HANDLES_MAX 16

struct census {
	uint64_t owner;
	uint32_t ours[HANDLES_MAX]; /* handles */
	unsigned our_count, others;
};

static void count_filter(void *context, const struct rtnetlink_filter *filter)
{
	struct census *census = context;
	if (is_ours(filter, census->owner) && census->our_count < HANDLES_MAX)
		census->ours[census->our_count++] = filter->handle;
	else
		census->others++;
}

static int take_census(unsigned ifindex, unsigned way, uint64_t owner, struct census *census)
{
	*census = (struct census){ .owner = owner };
	return rtnetlink_filters(ifindex, directions[way], count_filter, census);
}

/* The qdisc goes once nobody has a filter there. */
static void remove_qdisc(unsigned ifindex)
{
	struct census census;
	for (unsigned way = 0; way < 2; way++) {
		if (take_census(ifindex, way, 0, &census) || census.our_count || census.others)
			return;
	}
	rtnetlink_delete_clsact(ifindex);
}

unsigned tc_remove_left(unsigned ifindex, uint64_t owner)
{
	unsigned removed = 0;
	uint32_t handles = 0;
	struct census census;
	for (unsigned way = 0; way < 2; way++) {
		if (take_census(ifindex, way, owner, &census))
			continue;
		for (unsigned i = 0; i < census.our_count; i++) {
			rtnetlink_delete_filter(ifindex, directions[way], FORWARD_FILTER_PRIORITY, census.ours[i]);
			handles |= census.ours[i];
			removed++;
		}
	}
	if (handles & FORWARD_FILTER_QDISC)
		remove_qdisc(ifindex);
	return removed;
}

bool tc_qdisc_was_made(unsigned ifindex, uint64_t owner)
{
	uint32_t handles = 0;
	struct census census;
	for (unsigned way = 0; way < 2; way++) {
		if (take_census(ifindex, way, owner, &census))
			continue;
		for (unsigned i = 0; i < census.our_count; i++)
			handles |= census.ours[i];
	}
	return handles & FORWARD_FILTER_QDISC;
}

void tc_remove(unsigned ifindex, uint32_t handle)
{
	for (unsigned way = 0; way < 2; way++)
		rtnetlink_delete_filter(ifindex, directions[way], FORWARD_FILTER_PRIORITY, handle);
	if (handle & FORWARD_FILTER_QDISC)
		remove_qdisc(ifindex);
}

/* ---- all interfaces --------------------------------------------------------------------------------------- */

struct removal {
	uint64_t owner;
	void (*removed)(void *context, const char *interface);
	void *context;
};

static void remove_at(void *context, const struct rtnetlink_link *link)
{
	const struct removal *removal = context;
	if (tc_remove_left(link->ifindex, removal->owner))
		removal->removed(removal->context, link->name);
}

int tc_remove_all(uint64_t owner, void (*removed)(void *context, const char *interface), void *context)
{
	struct removal removal = { owner, removed, context };
	return rtnetlink_links(remove_at, &removal);
}
