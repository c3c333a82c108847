/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "forward.h"
#include "tc_attach.h"
#include "tc_remove.h"

/* include/uapi/linux/bpf.h of Linux 6.6, enum bpf_attach_type */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS 47

static const enum bpf_tc_attach_point points[2] = { BPF_TC_INGRESS, BPF_TC_EGRESS };

/* ---- TCX -------------------------------------------------------------------------------------------------- */

static int attach_link(unsigned ifindex, int program, unsigned way, int *link)
{
	if (*link >= 0 && bpf_link_update(*link, program, NULL) == 0) /* in place: no packet goes by in between */
		return 0;
	if (*link >= 0)
		close(*link); /* its interface is gone, and this is another one of that number */
	*link = bpf_link_create(program, (int)ifindex, (enum bpf_attach_type)(way ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS), NULL);
	return *link >= 0 ? 0 : -errno;
}

void tc_release(struct tc_attachment *attachment)
{
	for (unsigned way = 0; way < 2; way++) {
		if (attachment->links[way] >= 0)
			close(attachment->links[way]);
		attachment->links[way] = -1;
	}
	attachment->kind = TC_NONE;
}

static int attach_links(unsigned ifindex, const int programs[2], struct tc_attachment *attachment)
{
	for (unsigned way = 0; way < 2; way++) {
		int error = attach_link(ifindex, programs[way], way, &attachment->links[way]);
		if (error) {
			tc_release(attachment);
			return error;
		}
	}
	attachment->kind = TC_TCX;
	return 0;
}

/* ---- clsact ----------------------------------------------------------------------------------------------- */

/* Field by field: libbpf refuses options whose padding is not zero. */
static void set_hook(struct bpf_tc_hook *hook, unsigned ifindex, enum bpf_tc_attach_point point)
{
	memset(hook, 0, sizeof(*hook));
	hook->sz = sizeof(*hook);
	hook->ifindex = (int)ifindex;
	hook->attach_point = point;
}

static int attach_filter(unsigned ifindex, int program, unsigned way, uint32_t handle)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts options;
	set_hook(&hook, ifindex, points[way]);
	memset(&options, 0, sizeof(options));
	options.sz = sizeof(options);
	options.prog_fd = program;
	options.flags = BPF_TC_F_REPLACE;
	options.handle = handle;
	options.priority = FORWARD_FILTER_PRIORITY;
	return bpf_tc_attach(&hook, &options);
}

static int attach_filters(unsigned ifindex, const int programs[2], uint64_t owner, struct tc_attachment *attachment)
{
	struct bpf_tc_hook hook;
	set_hook(&hook, ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
	int error = bpf_tc_hook_create(&hook);
	if (error && error != -EEXIST)
		return error;
	bool made = !error || tc_qdisc_was_made(ifindex, owner);
	attachment->kind = TC_CLSACT;
	attachment->handle = tc_filter_handle(owner) | (made ? FORWARD_FILTER_QDISC : 0);
	error = 0;
	for (unsigned way = 0; way < 2 && !error; way++)
		error = attach_filter(ifindex, programs[way], way, attachment->handle);
	if (error)
		tc_detach(ifindex, attachment);
	return error;
}

/* ---- either ----------------------------------------------------------------------------------------------- */

int tc_attach(unsigned ifindex, const int programs[2], uint64_t owner, enum tc_kind kind, struct tc_attachment *attachment)
{
	int error = kind == TC_CLSACT ? -EINVAL : attach_links(ifindex, programs, attachment);
	if (error == 0) {
		tc_remove_left(ifindex, owner); /* of an agent under a kernel, or a version, that did it the other way */
		return 0;
	}
	if (error == -ENODEV)
		return error;
	return attach_filters(ifindex, programs, owner, attachment);
}

void tc_detach(unsigned ifindex, struct tc_attachment *attachment)
{
	if (attachment->kind == TC_CLSACT)
		tc_remove(ifindex, attachment->handle);
	tc_release(attachment);
}
