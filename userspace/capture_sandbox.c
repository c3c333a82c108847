/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "capture_sandbox.c does not know this machine's system calls"
#endif

#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

/* What a reader of files needs, and the libraries that it is made of. */
static const int allowed[] = {
	SYS_read, SYS_readv, SYS_pread64, SYS_lseek, SYS_write, SYS_writev, SYS_close, SYS_fstat, SYS_newfstatat, SYS_faccessat,
	SYS_readlinkat, SYS_getcwd, SYS_getdents64, SYS_fcntl,
	SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_futex,
	SYS_clock_gettime, SYS_clock_nanosleep, SYS_gettimeofday, SYS_getrandom, SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid,
	SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo, SYS_sched_getaffinity, SYS_sched_yield, SYS_prlimit64,
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall, SYS_ppoll, SYS_rseq,
	SYS_set_robust_list, SYS_exit, SYS_exit_group,
#ifdef SYS_stat
	SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_poll, SYS_time,
#endif
};

#define ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

static unsigned allow(struct sock_filter *at, int number)
{
	at[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
	at[1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return 2;
}

/* The call, if its argument has the value (equal), or none of its bits. */
static unsigned allow_if(struct sock_filter *at, int number, unsigned argument, bool equal, unsigned value)
{
	at[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 4);
	at[1] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					     (unsigned)(offsetof(struct seccomp_data, args) + argument * sizeof(__u64)));
	at[2] = (struct sock_filter)BPF_JUMP(BPF_JMP | (equal ? BPF_JEQ : BPF_JSET) | BPF_K, value, equal ? 0 : 1, equal ? 1 : 0);
	at[3] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	at[4] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	return 5;
}

/* A call that is not here fails: there is nothing that the libraries cannot do without, or the tests would show it. */
static unsigned write_program(struct sock_filter *program, bool writes)
{
	unsigned n = 0;
	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < ALLOWED; i++)
		n += allow(program + n, allowed[i]);
	n += allow_if(program + n, SYS_ioctl, 1, true, TCGETS);
	n += allow_if(program + n, SYS_ioctl, 1, true, TIOCGWINSZ);
	n += allow_if(program + n, SYS_tgkill, 0, true, (unsigned)getpid()); /* abort() */
	if (writes) {
		n += allow(program + n, SYS_openat);
		n += allow(program + n, SYS_unlinkat);
#ifdef SYS_unlink
		n += allow(program + n, SYS_unlink);
#endif
	} else {
		n += allow_if(program + n, SYS_openat, 2, false, WRITES);
	}
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA));
	return n;
}

int capture_filter(bool writes)
{
#ifdef __SANITIZE_ADDRESS__
	/* LeakSanitizer looks at the process from another one */
	(void)writes;
	(void)write_program;
	return 0;
#else
	struct sock_filter program[2 * ALLOWED + 64];
	const struct sock_fprog filter = { .len = (unsigned short)write_program(program, writes), .filter = program };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) ? -errno : 0;
#endif
}
