/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_reader.h"
#include "monitor_table.h"

#define CPU_MAX_S 5                 /* a child's; node's 7 MB of symbols take a twentieth of one */
#define MEMORY_MAX (256UL << 20)    /* tables of 16 MiB each, and the program itself */
#define ANSWER_MAX_S 10

struct answer {
	__s64 result; /* of library_read() */
	struct library library;
};

/* ---- the reader's side ------------------------------------------------------------------------------------ */

static void answer_with(int socket, const struct answer *answer)
{
	monitor_send(socket, answer, sizeof(*answer), "", 0, -1, 0);
}

/* In the child. */
static void read_one(int socket, int file)
{
	const struct rlimit cpu = { CPU_MAX_S, CPU_MAX_S };
	struct answer answer;
	memset(&answer, 0, sizeof(answer));
	setrlimit(RLIMIT_CPU, &cpu);
	answer.result = library_read(file, &answer.library);
	answer_with(socket, &answer);
}

/*
 * By a child, which has nothing but the file and a way to answer of its own: a file that takes it over can lie of itself, and
 * of no other. Returns false if there is no answer.
 */
static bool read_in_child(int socket, int file, struct answer *answer)
{
	int pair[2], status, none = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		return false;
	pid_t child = fork();
	if (child == 0) {
		close(socket);
		close(pair[0]);
		read_one(pair[1], file);
		_exit(0);
	}
	close(pair[1]);
	bool answered = child > 0 && monitor_receive(pair[0], answer, sizeof(*answer), &none, 0) == (int)sizeof(*answer);
	if (none >= 0)
		close(none);
	close(pair[0]);
	return child > 0 && waitpid(child, &status, 0) == child && status == 0 && answered;
}

/* Never returns. */
static void serve(int socket)
{
	char byte;
	int file;
	while (monitor_receive(socket, &byte, sizeof(byte), &file, 0) == 1) {
		struct answer answer;
		if (file < 0 || !read_in_child(socket, file, &answer)) {
			memset(&answer, 0, sizeof(answer));
			answer.result = -EIO;
		}
		if (file >= 0)
			close(file);
		answer_with(socket, &answer);
	}
	_exit(0);
}

/* All but standard error, which says why it does not start, and the socket. */
static void close_others(int socket)
{
	long limit = sysconf(_SC_OPEN_MAX);
	for (int fd = 0; fd < (limit > 0 && limit < 4096 ? (int)limit : 4096); fd++) {
		if (fd != socket && fd != STDERR_FILENO)
			close(fd);
	}
}

static void run(int socket, const struct sandbox *sandbox)
{
	const struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
	char error[256] = "";
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN); /* it ends with the monitor */
	signal(SIGHUP, SIG_IGN);
	close_others(socket);
	setrlimit(RLIMIT_AS, &memory);
	int result = sandbox_enter(sandbox, error, sizeof(error));
	/* the first message says how that went */
	monitor_send(socket, &result, sizeof(result), error, sizeof(error), -1, 0);
	close(STDERR_FILENO);
	if (result == 0)
		serve(socket);
	_exit(1);
}

/* ---- the monitor's side ----------------------------------------------------------------------------------- */

/* Waits for the reader to be ready. */
static int hear_ready(int socket, char *error, size_t error_size)
{
	struct {
		int result;
		char error[256];
	} said;
	int fd, length = monitor_receive(socket, &said, sizeof(said), &fd, 0);
	if (fd >= 0)
		close(fd);
	if (length != (int)sizeof(said)) {
		snprintf(error, error_size, "the reader of library files does not start");
		return -EPIPE;
	}
	snprintf(error, error_size, "%.*s", (int)sizeof(said.error), said.error);
	return said.result;
}

int library_reader_start(const struct sandbox *sandbox, char *error, size_t error_size)
{
	const struct timeval limit = { .tv_sec = ANSWER_MAX_S };
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		snprintf(error, error_size, "the reader of library files: %s", strerror(errno));
		return -errno;
	}
	pid_t child = fork();
	if (child == 0) {
		close(pair[0]);
		run(pair[1], sandbox);
	}
	close(pair[1]);
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	snprintf(error, error_size, "the reader of library files cannot be made");
	int result = child < 0 ? -EAGAIN : hear_ready(pair[0], error, error_size);
	if (result == 0)
		return pair[0];
	close(pair[0]);
	return result < 0 ? result : -EPERM;
}

bool library_is_sane(const struct library *library, uint64_t file_size)
{
	uint64_t handshake = library->offset[LIBRARY_SSL_DO_HANDSHAKE];
	bool any = false;
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++) {
		any |= library->offset[i] != 0;
		if (library->offset[i] >= file_size)
			return false;
	}
	return any && library->text_before <= handshake && library->text_after <= file_size - handshake && library->layout.known <= 1;
}

int library_reader_ask(int reader, int file, struct library *library)
{
	struct answer answer;
	struct stat status;
	int fd;

	memset(library, 0, sizeof(*library));
	if (fstat(file, &status))
		return -errno;
	int length = monitor_send(reader, "", 1, "", 0, file, 0);
	if (length == 0)
		length = monitor_receive(reader, &answer, sizeof(answer), &fd, 0);
	else
		fd = -1;
	if (fd >= 0)
		close(fd);
	if (length != (int)sizeof(answer))
		return -EPIPE;
	if (answer.result)
		return answer.result < 0 && answer.result > -4096 && answer.result != -EPIPE ? (int)answer.result : -EIO;
	if (!library_is_sane(&answer.library, (uint64_t)status.st_size))
		return -EINVAL;
	*library = answer.library;
	return 0;
}
