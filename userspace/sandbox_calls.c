/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* docs/privileges.md says of each why it is needed; a test holds the two against each other. */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox_calls.h"

#define AGENT SANDBOX_AGENT
#define READER SANDBOX_READER
#define BOTH (SANDBOX_AGENT | SANDBOX_READER)
#define CALL(name, profiles) { #name, SYS_##name, profiles, CALL_ALWAYS, 0, 0 }
#define CALL_IF(name, profiles, condition, argument, value) { #name, SYS_##name, profiles, condition, argument, value }

#define WRITES (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
#define NEW_NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* The frequent ones first: the filter goes through them in this order. */
const struct sandbox_call sandbox_calls[] = {
	/* the loop */
#ifdef SYS_epoll_wait
	CALL(epoll_wait, AGENT),
#endif
	CALL(epoll_pwait, AGENT),
	CALL(sendmsg, BOTH),
	CALL(recvmsg, BOTH),
	CALL(read, AGENT),
	CALL(write, BOTH),
	CALL(futex, BOTH),
	CALL(clock_gettime, AGENT),
	CALL(epoll_ctl, AGENT),
	CALL(readv, AGENT),
	CALL(writev, AGENT),
	CALL(close, BOTH),
	CALL_IF(ioctl, AGENT, CALL_IF_EQUAL, 1, FIONREAD),
	CALL_IF(ioctl, AGENT, CALL_IF_EQUAL, 1, TCGETS),
	/* control socket, metrics, syslog, journal */
	CALL(accept4, AGENT),
	CALL_IF(socket, AGENT, CALL_IF_EQUAL, 0, AF_UNIX),
	CALL(connect, AGENT),
	CALL(sendto, AGENT),
	CALL(recvfrom, AGENT),
	CALL(shutdown, AGENT),
	CALL(getsockname, AGENT),
	CALL(getsockopt, AGENT),
	CALL_IF(setsockopt, AGENT, CALL_IS_ABSENT, 0, 0),
	CALL(fcntl, AGENT),
#ifdef SYS_dup2
	CALL(dup2, AGENT),
#endif
	CALL(dup3, AGENT),
	/* memory: none of it may be executed */
	CALL(brk, BOTH),
	CALL(munmap, BOTH),
	CALL(mremap, BOTH),
	CALL(madvise, BOTH),
	CALL_IF(mmap, BOTH, CALL_IF_LACKS, 2, PROT_EXEC),
	CALL_IF(mprotect, BOTH, CALL_IF_LACKS, 2, PROT_EXEC),
	/* files: to be read only */
	CALL_IF(openat, AGENT, CALL_IF_LACKS, 2, WRITES),
	CALL(pread64, BOTH),
	CALL(lseek, AGENT),
	CALL(fstat, BOTH),
	CALL(newfstatat, BOTH),
#ifdef SYS_stat
	CALL(stat, AGENT),
	CALL(lstat, AGENT),
	CALL(access, AGENT),
	CALL(readlink, AGENT),
#endif
	CALL(faccessat, AGENT),
	CALL(readlinkat, AGENT),
	/* threads and signals */
#ifdef SYS_poll
	CALL(poll, AGENT),
#endif
	CALL(ppoll, AGENT),
	CALL(clock_nanosleep, AGENT),
	CALL(gettimeofday, AGENT),
#ifdef SYS_time
	CALL(time, AGENT),
#endif
	CALL(restart_syscall, BOTH), /* which the kernel makes of a call that a stop signal has interrupted */
	CALL(rt_sigprocmask, BOTH),
	CALL(rt_sigaction, AGENT),
	CALL(rt_sigreturn, BOTH),
	CALL(sched_yield, AGENT),
	CALL(getrandom, BOTH),
	CALL(getpid, BOTH),
	CALL(gettid, BOTH),
	CALL(getuid, AGENT),
	CALL(geteuid, AGENT),
	CALL(getgid, AGENT),
	CALL(getegid, AGENT),
	CALL(eventfd2, AGENT),
	CALL_IF(prctl, AGENT, CALL_IF_EQUAL, 0, PR_SET_NAME),
	CALL(rseq, BOTH),
	CALL(set_robust_list, BOTH),
	CALL(prlimit64, BOTH),
	CALL(sched_getaffinity, AGENT),
	CALL(sysinfo, AGENT),
	CALL(uname, AGENT),
	CALL_IF(tgkill, BOTH, CALL_IF_SELF, 0, 0),
	CALL_IF(clone, AGENT, CALL_IF_HAS, 0, CLONE_THREAD),
	CALL_IF(clone, READER, CALL_IF_LACKS, 0, NEW_NAMESPACES),
	CALL_IF(clone3, BOTH, CALL_IS_ABSENT, 0, 0),
	CALL_IF(socketpair, READER, CALL_IF_EQUAL, 0, AF_UNIX),
	CALL(wait4, READER),
	CALL(exit, BOTH),
	CALL(exit_group, BOTH),
};

const unsigned sandbox_call_count = sizeof(sandbox_calls) / sizeof(sandbox_calls[0]);

/* ---- the filter ------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "sandbox_calls.c does not know this machine's system calls"
#endif

#define CALL_INSTRUCTIONS 5
#define FRAME_INSTRUCTIONS 7
#define X32_BIT 0x40000000U

static const unsigned field_number = offsetof(struct seccomp_data, nr);

/* The low half, on a little-endian machine: these arguments are ints, or flags with no bit above. */
static unsigned field_argument(unsigned argument)
{
	return (unsigned)(offsetof(struct seccomp_data, args) + argument * sizeof(__u64));
}

static unsigned append_condition(struct sock_filter *at, const struct sandbox_call *call)
{
	unsigned value = call->condition == CALL_IF_SELF ? (unsigned)getpid() : call->value;
	bool equal = call->condition == CALL_IF_EQUAL || call->condition == CALL_IF_SELF;
	bool lacks = call->condition == CALL_IF_LACKS;
	at[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field_argument(call->argument));
	at[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | (equal ? BPF_JEQ : BPF_JSET) | BPF_K, value, lacks ? 1 : 0, lacks ? 0 : 1);
	at[2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	at[3] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field_number); /* another line may allow it */
	return 4;
}

/* Appends what allows call: a number that is another, or a condition that does not hold, falls through. */
static unsigned append_call(struct sock_filter *at, const struct sandbox_call *call)
{
	bool plain = call->condition == CALL_ALWAYS || call->condition == CALL_IS_ABSENT;
	at[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call->number, 0, plain ? 1 : 4);
	if (!plain)
		return 1 + append_condition(at + 1, call);
	at[1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, call->condition == CALL_ALWAYS ? SECCOMP_RET_ALLOW :
							      SECCOMP_RET_ERRNO | (ENOSYS & SECCOMP_RET_DATA));
	return 2;
}

/* What every filter begins with: another architecture's numbers mean other calls. Returns how many instructions. */
static unsigned write_head(struct sock_filter *program)
{
	unsigned n = 0;
	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field_number);
	return n;
}

/* Returns how many instructions program now has. x32's numbers have bit 30 set: none of them is in the list. */
static unsigned write_program(struct sock_filter *program, enum sandbox_profile profile)
{
	unsigned n = write_head(program);
	for (unsigned i = 0; i < sandbox_call_count; i++) {
		if (sandbox_calls[i].profiles & profile)
			n += append_call(program + n, &sandbox_calls[i]);
	}
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	return n;
}

int sandbox_filter(enum sandbox_profile profile)
{
	struct sock_filter *program = calloc(sandbox_call_count * CALL_INSTRUCTIONS + FRAME_INSTRUCTIONS, sizeof(*program));
	if (!program)
		return -ENOMEM;
	const struct sock_fprog filter = { .len = (unsigned short)write_program(program, profile), .filter = program };
	int result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) ? -errno : 0;
	free(program);
	return result;
}

/* ---- the monitor ------------------------------------------------------------------------------------------ */

#define FORBIDDEN(name) { #name, SYS_##name }

static const struct {
	const char *name;
	int number;
} forbidden[] = {
	FORBIDDEN(execve),	 FORBIDDEN(execveat),	   FORBIDDEN(ptrace),	   FORBIDDEN(process_vm_writev),
	FORBIDDEN(init_module),	 FORBIDDEN(finit_module),  FORBIDDEN(kexec_load),  FORBIDDEN(kexec_file_load),
	FORBIDDEN(pivot_root),	 FORBIDDEN(chroot),	   FORBIDDEN(reboot),	   FORBIDDEN(io_uring_setup),
};

#define FORBIDDEN_COUNT (sizeof(forbidden) / sizeof(forbidden[0]))

int sandbox_forbid_programs(void)
{
	struct sock_filter program[FRAME_INSTRUCTIONS + 2 * FORBIDDEN_COUNT];
	unsigned n = write_head(program);
#if defined(__x86_64__)
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, X32_BIT, 0, 1);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
#endif
	for (unsigned i = 0; i < FORBIDDEN_COUNT; i++) {
		program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)forbidden[i].number, 0, 1);
		program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog filter = { .len = (unsigned short)n, .filter = program };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) ? -errno : 0;
}

const char *sandbox_forbidden_name(unsigned index)
{
	return index < FORBIDDEN_COUNT ? forbidden[index].name : NULL;
}

const char *sandbox_call_name(enum sandbox_profile profile, unsigned index)
{
	for (unsigned i = 0; i < sandbox_call_count; i++) {
		if ((sandbox_calls[i].profiles & profile) && index-- == 0)
			return sandbox_calls[i].name;
	}
	return NULL;
}
