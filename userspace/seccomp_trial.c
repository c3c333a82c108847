/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "seccomp_trial.h"

/* What the trial's uretprobe is put on. */
__attribute__((noinline, used)) static int trial_target(int number)
{
	__asm__ volatile("" : "+r"(number));
	return number + 1;
}

/*
 * A filter, and not the strict mode: that one is refused where a filter is in force already, as below systemd's
 * SystemCallFilter=, and the trial would try nothing.
 */
static int allow_nothing_but_exit(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_fprog filter = { sizeof(program) / sizeof(program[0]), program };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}

struct own_file {
	uintptr_t address;
	uint64_t offset;
};

static int find_own_offset(struct dl_phdr_info *info, size_t size, void *context)
{
	struct own_file *own = context;
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + segment->p_vaddr;
		if (segment->p_type == PT_LOAD && own->address >= start && own->address < start + segment->p_filesz) {
			own->offset = own->address - start + segment->p_offset;
			return 1;
		}
	}
	return 0;
}

bool uretprobe_survives_seccomp(const struct bpf_program *program)
{
	struct own_file own = { .address = (uintptr_t)trial_target };
	LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = true);
	int status = 0;
	if (!dl_iterate_phdr(find_own_offset, &own))
		return false;
	struct bpf_link *link = bpf_program__attach_uprobe_opts(program, -1, "/proc/self/exe",
								(size_t)own.offset, &options);
	if (!link)
		return false;
	pid_t child = fork();
	if (child == 0) {
		if (allow_nothing_but_exit())
			syscall(SYS_exit, 0); /* a kernel without seccomp kills nobody by it */
		trial_target(1);
		syscall(SYS_exit, 0);
	}
	bool survived = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
	bpf_link__destroy(link);
	return survived;
}
