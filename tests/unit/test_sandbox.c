/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sandbox, tried from within: each forbidden thing in a child of its own, which has to be refused or killed for it;
 * and each thing that the agent needs, which has to work. As root only, as the sandbox is entered.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "library_reader.h"
#include "monitor_table.h"
#include "sandbox.h"


#define NOBODY 65534
#define WORKED 0
#define REFUSED(error) (error) /* errno */
#define KILLED 255

static char folder[] = "/tmp/smtpward-test-sandbox-XXXXXX", readable_file[64], other_file[64];

/* Runs try in a sandboxed child: its errno (0: it worked), or KILLED by SIGSYS. */
static int in_sandbox(enum sandbox_profile profile, int (*try)(void))
{
	const char *const readable[] = { folder, "/no/such/folder", NULL };
	const struct sandbox sandbox = { .profile = profile, .uid = NOBODY, .gid = NOBODY,
					 .readable = profile == SANDBOX_AGENT ? readable : NULL, .required = false };
	char error[256];
	int status;
	pid_t child = fork();
	if (child == 0) {
		if (sandbox_enter(&sandbox, error, sizeof(error)))
			_exit(254);
		_exit(try() & 0xff);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGSYS);
		return KILLED;
	}
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 254);
	return WEXITSTATUS(status);
}

static int result_of(long result)
{
	return result < 0 ? errno : 0;
}

/* ---- what must not work ----------------------------------------------------------------------------------- */

static int open_a_file(void) { return result_of(open(other_file, O_RDONLY)); }
static int write_a_file(void) { return result_of(open(readable_file, O_WRONLY)); }
static int make_a_file(void) { return result_of(openat(AT_FDCWD, "/tmp/smtpward-made", O_RDONLY | O_CREAT, 0600)); }
static int list_a_folder(void) { return result_of(open(folder, O_RDONLY | O_DIRECTORY)); }
static int read_shadow(void) { return result_of(open("/etc/shadow", O_RDONLY)); }
static int run_a_program(void) { return result_of(execl("/bin/true", "true", (char *)NULL)); }
static int fork_a_child(void) { return result_of(fork()); }
static int trace(void) { return result_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL)); }
static int attach_to_parent(void) { return result_of(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL)); }
static int open_an_internet_socket(void) { return result_of(socket(AF_INET, SOCK_STREAM, 0)); }
static int open_a_netlink_socket(void) { return result_of(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int open_a_packet_socket(void) { return result_of(socket(AF_PACKET, SOCK_RAW, 0)); }
static int use_bpf(void) { return result_of(syscall(SYS_bpf, 0, NULL, 0)); }
static int use_perf(void) { return result_of(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)); }
static int enter_a_namespace(void) { return result_of(setns(0, 0)); }
static int leave_namespaces(void) { return result_of(unshare(CLONE_NEWUSER)); }
static int mount_something(void) { return result_of(mount("none", folder, "tmpfs", 0, NULL)); }
static int signal_parent(void) { return result_of(kill(getppid(), 0)); }
static int signal_thread_of_init(void) { return result_of(syscall(SYS_tgkill, 1, 1, 0)); }
static int become_root(void) { return result_of(setuid(0)); }
static int map_code(void) { return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0; }
static int steal_a_descriptor(void) { return result_of(syscall(SYS_pidfd_open, getppid(), 0)); }
static int remove_a_file(void) { return result_of(unlink(readable_file)); }
static int change_a_mode(void) { return result_of(chmod(readable_file, 0777)); }
static int use_io_uring(void) { return result_of(syscall(SYS_io_uring_setup, 1, NULL)); }
static int become_dumpable(void) { return result_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int listen_for_reader(void) { return result_of(socket(AF_UNIX, SOCK_STREAM, 0)); }

static int attach_a_filter(void)
{
	struct sock_filter instruction = { .code = BPF_RET | BPF_K };
	const struct sock_fprog program = { .len = 1, .filter = &instruction };
	return result_of(setsockopt(socket(AF_UNIX, SOCK_DGRAM, 0), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

static int make_code_of_data(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return result_of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

/* The numbers of the other ABI that the machine knows. */
static int call_by_x32(void)
{
#if defined(__x86_64__)
	return result_of(syscall(0x40000000 | SYS_getpid));
#else
	raise(SIGSYS);
	return 0;
#endif
}

/* What Landlock refuses where there is one; what seccomp kills for. */
static void the_agent_is_stopped(void **state)
{
	static const struct {
		const char *name;
		int (*try)(void);
		int expected; /* an errno, or KILLED */
	} tries[] = {
		{ "write a file", write_a_file, KILLED },
		{ "make a file", make_a_file, KILLED },
		{ "read /etc/shadow", read_shadow, EACCES },
		{ "run a program", run_a_program, KILLED },
		{ "fork", fork_a_child, KILLED },
		{ "be traced", trace, KILLED },
		{ "trace", attach_to_parent, KILLED },
		{ "internet socket", open_an_internet_socket, KILLED },
		{ "netlink socket", open_a_netlink_socket, KILLED },
		{ "packet socket", open_a_packet_socket, KILLED },
		{ "bpf", use_bpf, KILLED },
		{ "socket filter", attach_a_filter, REFUSED(ENOSYS) },
		{ "perf_event_open", use_perf, KILLED },
		{ "setns", enter_a_namespace, KILLED },
		{ "unshare", leave_namespaces, KILLED },
		{ "mount", mount_something, KILLED },
		{ "kill", signal_parent, KILLED },
		{ "tgkill", signal_thread_of_init, KILLED },
		{ "setuid", become_root, KILLED },
		{ "executable mapping", map_code, KILLED },
		{ "mprotect", make_code_of_data, KILLED },
		{ "pidfd_open", steal_a_descriptor, KILLED },
		{ "unlink", remove_a_file, KILLED },
		{ "chmod", change_a_mode, KILLED },
		{ "io_uring", use_io_uring, KILLED },
		{ "dumpable", become_dumpable, KILLED },
		{ "x32", call_by_x32, KILLED },
	};
	(void)state;
	if (geteuid() != 0)
		skip(); /* rights can be given up by root only */
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int result = in_sandbox(SANDBOX_AGENT, tries[i].try);
		if (result != tries[i].expected)
			fail_msg("%s: %d, expected %d", tries[i].name, result, tries[i].expected);
	}
}

static int landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

static void files_out_of_reach(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* rights can be given up by root only */
	if (landlock_version() < 1)
		skip(); /* the kernel has no Landlock */
	assert_int_equal(in_sandbox(SANDBOX_AGENT, open_a_file), EACCES);
	assert_int_equal(in_sandbox(SANDBOX_AGENT, list_a_folder), EACCES);
}

static void the_reader_is_stopped(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* rights can be given up by root only */
	assert_int_equal(in_sandbox(SANDBOX_READER, open_a_file), KILLED);
	assert_int_equal(in_sandbox(SANDBOX_READER, listen_for_reader), KILLED);
	assert_int_equal(in_sandbox(SANDBOX_READER, run_a_program), KILLED);
	assert_int_equal(in_sandbox(SANDBOX_READER, signal_parent), KILLED);
	assert_int_equal(in_sandbox(SANDBOX_READER, trace), KILLED);
	assert_int_equal(in_sandbox(SANDBOX_READER, map_code), KILLED);
	assert_int_equal(in_sandbox(SANDBOX_READER, become_root), KILLED);
}

static void the_monitor_starts_no_program(void **state)
{
	static int (*const tries[])(void) = { run_a_program, trace, use_io_uring, call_by_x32 };
	(void)state;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int status;
		pid_t child = fork();
		if (child == 0) {
			if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || sandbox_forbid_programs() || open_a_netlink_socket())
				_exit(1);
			tries[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

/* ---- what must work --------------------------------------------------------------------------------------- */

static int read_the_readable(void)
{
	char byte;
	int fd = open(readable_file, O_RDONLY);
	return fd < 0 ? errno : read(fd, &byte, 1) == 1 ? 0 : EIO;
}

static int talk_over_a_local_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/tmp/smtpward-nobody-listens" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (fd < 0)
		return errno;
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == ENOENT ? 0 : errno;
}

static void *nothing(void *argument)
{
	prctl(PR_SET_NAME, "a-thread");
	return argument;
}

static int make_a_thread(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, nothing, NULL);
	return error ? error : pthread_join(thread, NULL);
}

static int allocate(void)
{
	for (size_t size = 1; size < 64UL << 20; size *= 2) {
		char *bytes = malloc(size);
		if (!bytes)
			return ENOMEM;
		memset(bytes, 1, size);
		bytes = realloc(bytes, size * 2);
		if (!bytes)
			return ENOMEM;
		free(bytes);
	}
	return result_of(eventfd(0, 0));
}

/* Everything that is left after sandbox_enter(), from inside. */
static int look_at_myself(void)
{
	uid_t uid, euid, suid;
	struct rlimit core;
	uid = getuid();
	euid = geteuid();
	suid = uid;
	if (uid != NOBODY || euid != NOBODY || suid != NOBODY || getgid() != NOBODY)
		return EPERM;
	return getrlimit(RLIMIT_CORE, &core) || core.rlim_max != 0 ? EBUSY : 0;
}

static void the_agent_can_do_its_work(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* rights can be given up by root only */
	assert_int_equal(in_sandbox(SANDBOX_AGENT, read_the_readable), WORKED);
	assert_int_equal(in_sandbox(SANDBOX_AGENT, talk_over_a_local_socket), WORKED);
	assert_int_equal(in_sandbox(SANDBOX_AGENT, make_a_thread), WORKED);
	assert_int_equal(in_sandbox(SANDBOX_AGENT, allocate), WORKED);
	assert_int_equal(in_sandbox(SANDBOX_AGENT, look_at_myself), WORKED);
}

/* ---- the reader of library files -------------------------------------------------------------------------- */

static int open_reader(void)
{
	const struct sandbox sandbox = { .profile = SANDBOX_READER, .uid = NOBODY, .gid = NOBODY };
	char error[256] = "";
	int reader = library_reader_start(&sandbox, error, sizeof(error));
	if (reader < 0)
		fail_msg("%s", error);
	return reader;
}

static int ask(int reader, const char *path, struct library *library)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	int result = library_reader_ask(reader, fd, library);
	close(fd);
	return result;
}

static void numbers_are_checked(void **state)
{
	struct library library = { .offset = { [LIBRARY_SSL_DO_HANDSHAKE] = 500 }, .text_before = 400, .text_after = 100 };
	(void)state;
	assert_true(library_is_sane(&library, 1000));
	assert_false(library_is_sane(&library, 500)); /* outside the file */
	assert_false(library_is_sane(&library, 599)); /* its code is */
	library.text_before = 501;
	assert_false(library_is_sane(&library, 1000));
	library.text_before = 0;
	library.layout.known = 2;
	assert_false(library_is_sane(&library, 1000));
	memset(&library, 0, sizeof(library));
	assert_false(library_is_sane(&library, 1000)); /* nothing at all is -ENOENT */
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chmod(folder, 0755), 0);
	snprintf(readable_file, sizeof(readable_file), "%s/readable", folder);
	snprintf(other_file, sizeof(other_file), "/proc/version");
	int fd = open(readable_file, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(readable_file);
	rmdir(folder);
	return 0;
}

static void the_reader_survives_its_files(void **state)
{
	struct library library;
	(void)state;
	if (geteuid() != 0)
		skip(); /* rights can be given up by root only */
	int reader = open_reader();
	assert_int_equal(ask(reader, readable_file, &library), -ENOEXEC);
	assert_int_equal(ask(reader, "/proc/self/exe", &library), -ENOENT); /* a program without any of them */
	assert_int_equal(ask(reader, "/dev/null", &library), -EINVAL);
	assert_int_equal(ask(reader, readable_file, &library), -ENOEXEC);
	close(reader);
}

#define TAKES_OVER 3 /* size of a file that takes over the child that reads it */

int __real_library_read(int fd, struct library *library);
int __wrap_library_read(int fd, struct library *library);

/* Taken over, it answers over and over, by all descriptors that it has. */
int __wrap_library_read(int fd, struct library *library)
{
	static const struct {
		int64_t result;
		struct library library;
	} forged = { .library = { .offset = { 1 } } };
	struct stat status;
	if (fstat(fd, &status) == 0 && status.st_size == TAKES_OVER) {
		for (int other = 0; other < 64; other++) {
			for (unsigned i = 0; i < 3; i++)
				monitor_send(other, &forged, sizeof(forged), "", 0, -1, MSG_DONTWAIT);
		}
	}
	return __real_library_read(fd, library);
}

/* It can lie of this one only. */
static void a_file_has_no_say_about_others(void **state)
{
	char path[64];
	struct library library;
	(void)state;
	if (geteuid() != 0)
		skip(); /* rights can be given up by root only */
	snprintf(path, sizeof(path), "%s/hostile", folder);
	int fd = open(path, O_WRONLY | O_CREAT, 0644), reader = open_reader();
	assert_int_equal(write(fd, "xyz", TAKES_OVER), TAKES_OVER);
	close(fd);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ask(reader, path, &library), 0);
		assert_int_equal(ask(reader, readable_file, &library), -ENOEXEC);
	}
	close(reader);
	unlink(path);
}

/* One that is gone is told from a file that was too much. */
static void a_reader_that_is_gone(void **state)
{
	struct library library;
	int pair[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	close(pair[1]);
	assert_int_equal(ask(pair[0], readable_file, &library), -EPIPE);
	close(pair[0]);
}

/* What a taken-over reader may answer. */
static void answers_that_are_none(void **state)
{
	static const struct {
		int64_t result;
		struct library library;
	} answers[] = {
		{ 0, { .offset = { [LIBRARY_D2I_X509] = 1ULL << 40 } } }, /* outside the file */
		{ 1, { .offset = { 1 } } },
		{ -100000, { .offset = { 0 } } },
		{ -EPIPE, { .offset = { 0 } } },
	};
	static const int expected[] = { -EINVAL, -EIO, -EIO, -EIO };
	struct library library;
	int pair[2];
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
		assert_int_equal(send(pair[1], &answers[i], sizeof(answers[i]), 0), sizeof(answers[i]));
		assert_int_equal(ask(pair[0], readable_file, &library), expected[i]);
		assert_int_equal(library.offset[LIBRARY_D2I_X509], 0);
		close(pair[0]);
		close(pair[1]);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(send(pair[1], "short", 5, 0), 5);
	assert_int_equal(ask(pair[0], readable_file, &library), -EPIPE);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_agent_is_stopped),
		cmocka_unit_test(files_out_of_reach),
		cmocka_unit_test(the_reader_is_stopped),
		cmocka_unit_test(the_monitor_starts_no_program),
		cmocka_unit_test(the_agent_can_do_its_work),
		cmocka_unit_test(numbers_are_checked),
		cmocka_unit_test(the_reader_survives_its_files),
		cmocka_unit_test(a_file_has_no_say_about_others),
		cmocka_unit_test(a_reader_that_is_gone),
		cmocka_unit_test(answers_that_are_none),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
