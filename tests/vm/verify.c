// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * verify OBJECT: loads a BPF object and prints, for each program, how many instructions the verifier walked ("NAME
 * 12345"). Where the kernel takes a program not, what the verifier said instead. Exit status 0 if all were taken. (root)
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#define LOG_SIZE (8 * 1024 * 1024) /* what is taken back on the way counts, or it is ENOSPC */
#define PROGRAMS_MAX 24
#define LOG_STATISTICS 4 /* BPF_LOG_STATS, include/linux/bpf_verifier.h */

static char logs[PROGRAMS_MAX][LOG_SIZE];

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0;
}

static int warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vprintf(format, arguments) : 0;
}

static int load_with_statistics(struct bpf_object *object)
{
	struct bpf_program *program;
	unsigned i = 0;
	bpf_object__for_each_program(program, object) {
		if (i == PROGRAMS_MAX)
			break;
		bpf_program__set_log_level(program, LOG_STATISTICS);
		bpf_program__set_log_buf(program, logs[i++], LOG_SIZE);
	}
	return bpf_object__load(object);
}

static void print_statistics(const struct bpf_object *object)
{
	struct bpf_program *program;
	unsigned i = 0;
	bpf_object__for_each_program(program, object) {
		const char *processed = i < PROGRAMS_MAX ? strstr(logs[i++], "processed ") : NULL;
		if (processed)
			printf("%s %lu\n", bpf_program__name(program), strtoul(processed + strlen("processed "), NULL, 10));
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: verify OBJECT\n", stderr);
		return 64;
	}
	libbpf_set_print(quiet);
	struct bpf_object *object = bpf_object__open_file(argv[1], NULL);
	if (!object) {
		fprintf(stderr, "%s: not a BPF object\n", argv[1]);
		return 66;
	}
	int error = load_with_statistics(object);
	if (!error)
		print_statistics(object);
	bpf_object__close(object);
	if (!error)
		return 0;
	libbpf_set_print(warnings); /* without a log level of ours libbpf asks again, for all that the verifier has to say */
	object = bpf_object__open_file(argv[1], NULL);
	if (object)
		bpf_object__load(object);
	bpf_object__close(object);
	return 1;
}
