/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The socket hooks on their cgroup, and on the next one where that is removed and made again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "kernel_object.h"

/* Bytes first, connect last: the first flow that is followed is followed from its first byte. */
static const struct {
	const char *name;
	enum bpf_attach_type type;
} hooks[HOOKS] = {
	{ "cgroup/ingress", BPF_CGROUP_INET_INGRESS },
	{ "cgroup/egress", BPF_CGROUP_INET_EGRESS },
	{ "cgroup/sockops", BPF_CGROUP_SOCK_OPS },
	{ "cgroup/connect6", BPF_CGROUP_INET6_CONNECT },
	{ "cgroup/connect4", BPF_CGROUP_INET4_CONNECT },
};

static int program_of(const struct kernel *kernel, unsigned hook)
{
	const struct bpf_program *const programs[HOOKS] = {
		kernel->bpf->progs.smtpward_ingress,  kernel->bpf->progs.smtpward_egress,   kernel->bpf->progs.smtpward_sockops,
		kernel->bpf->progs.smtpward_connect6, kernel->bpf->progs.smtpward_connect4,
	};
	return bpf_program__fd(programs[hook]);
}

/* Whether the hook is on the cgroup now; else its error says why not. */
static bool attach_one(struct kernel *kernel, unsigned i, int adopted)
{
	struct kernel_hook *hook = &kernel->hooks[i];
	int link = adopted >= 0 ? adopted : bpf_link_create(program_of(kernel, i), cgroup_fd(kernel->cgroup), hooks[i].type, NULL);
	hook->attached = link >= 0;
	snprintf(hook->error, sizeof(hook->error), "%s", link >= 0 ? "" : strerror(errno));
	if (kernel->links[i] >= 0)
		close(kernel->links[i]);
	kernel->links[i] = link;
	return hook->attached;
}

const struct kernel_hook *kernel_attach(struct kernel *kernel)
{
	for (unsigned i = 0; i < HOOKS; i++)
		kernel->hooks[i].name = hooks[i].name;
	for (unsigned i = 0; i < HOOKS; i++) {
		if (!attach_one(kernel, i, kernel_pins_adopt_link(kernel, hooks[i].name, program_of(kernel, i))))
			return &kernel->hooks[i];
	}
	return NULL;
}

/* A link that lost its cgroup, or was taken away by `smtpward detach --force`, is on none. */
static bool is_on_a_cgroup(int link)
{
	struct bpf_link_info info = { 0 };
	__u32 size = sizeof(info);
	return bpf_obj_get_info_by_fd(link, &info, &size) || info.cgroup.cgroup_id != 0;
}

static void look_at_all(struct kernel *kernel, const char *trouble)
{
	for (unsigned i = 0; i < HOOKS; i++) {
		struct kernel_hook *hook = &kernel->hooks[i];
		if (kernel->links[i] < 0)
			continue; /* its error says why */
		hook->attached = !trouble && is_on_a_cgroup(kernel->links[i]);
		snprintf(hook->error, sizeof(hook->error), "%s", hook->attached ? "" : trouble ? trouble : "it was detached");
	}
}

void kernel_follow_cgroup(struct kernel *kernel)
{
	int changed = cgroup_follow(kernel->cgroup);
	if (changed <= 0) {
		look_at_all(kernel, changed ? "its cgroup is gone" : NULL);
		return;
	}
	for (unsigned i = 0; i < HOOKS; i++)
		attach_one(kernel, i, -1);
	kernel_pins_follow(kernel);
}
