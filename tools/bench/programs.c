/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "programs.h"

#include <errno.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define PROGRAMS_MAX 64

int programs_stats_on(void)
{
	return bpf_enable_stats(BPF_STATS_RUN_TIME);
}

static int add_run_time(uint32_t id, struct run_time *total)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return -errno;
	int error = bpf_obj_get_info_by_fd(fd, &info, &size) ? -errno : 0;
	close(fd);
	total->ns += info.run_time_ns;
	total->runs += info.run_cnt;
	return error;
}

int programs_run_time(int cgroup, enum bpf_attach_type type, struct run_time *total)
{
	uint32_t ids[PROGRAMS_MAX], count = PROGRAMS_MAX;
	if (bpf_prog_query(cgroup, type, 0, NULL, ids, &count))
		return -errno;
	for (uint32_t i = 0; i < count; i++) {
		int error = add_run_time(ids[i], total);
		if (error)
			return error;
	}
	return 0;
}

static int attach_empty(int cgroup, enum bpf_attach_type type)
{
	/* return 1 */
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type);
	int program = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "empty", "GPL", pass, sizeof(pass) / sizeof(pass[0]), &options);
	if (program < 0)
		return -errno;
	/* a link: the kernel detaches it when its descriptor, which is left open, goes with the process */
	int link = bpf_link_create(program, cgroup, type, NULL);
	int error = link < 0 ? -errno : 0;
	close(program);
	return error;
}

int programs_attach_empty(int cgroup)
{
	int error = attach_empty(cgroup, BPF_CGROUP_INET_EGRESS);
	return error ? error : attach_empty(cgroup, BPF_CGROUP_INET_INGRESS);
}
