/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs a command and prints how long the BPF programs attached to a cgroup ran meanwhile: nanoseconds and runs.
 *
 *   run_time CGROUP COMMAND [ARGUMENT ...]
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "programs.h"

/* Where the agent attaches. */
static const enum bpf_attach_type types[] = {
	BPF_CGROUP_INET_EGRESS,   BPF_CGROUP_INET_INGRESS,  BPF_CGROUP_SOCK_OPS,
	BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT,
};

static int read_all(int cgroup, struct run_time *total)
{
	int error = 0;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]) && !error; i++)
		error = programs_run_time(cgroup, types[i], total);
	return error;
}

static int run(char **argv)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(argv[0], argv);
		fprintf(stderr, "run_time: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
	struct run_time before = { 0 }, after = { 0 };
	if (argc < 3) {
		fputs("usage: run_time CGROUP COMMAND [ARGUMENT ...]\n", stderr);
		return EX_USAGE;
	}
	int cgroup = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0 || programs_stats_on() < 0) {
		fprintf(stderr, "run_time: %s: %s\n", argv[1], strerror(errno));
		return EX_OSERR;
	}
	int error = read_all(cgroup, &before);
	int status = error ? 0 : run(argv + 2);
	if (!error)
		error = read_all(cgroup, &after);
	if (error) {
		fprintf(stderr, "run_time: the programs of %s cannot be read: %s\n", argv[1], strerror(-error));
		return EX_OSERR;
	}
	printf("%" PRIu64 " %" PRIu64 "\n", after.ns - before.ns, after.runs - before.runs);
	return status;
}
