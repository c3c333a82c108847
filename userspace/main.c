/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* smtpwardd: options, the check of a configuration, the way into the background. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "identity_check.h"
#include "monitor_process.h"

struct options {
	const char *config_path;
	bool foreground;
	bool test;
};

static void usage(FILE *out)
{
	fputs("usage: smtpwardd [-c FILE] [-f] [-t] [-V]\n"
	      "  -c FILE  read the configuration from FILE (default " CONFIG_PATH ", if it exists)\n"
	      "  -f       stay in the foreground\n"
	      "  -t       check the configuration and exit\n"
	      "  -V       print the version and exit\n",
	      out);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	int option;
	while ((option = getopt(argc, argv, "c:ftVh")) != -1) {
		switch (option) {
		case 'c':
			options->config_path = optarg;
			break;
		case 'f':
			options->foreground = true;
			break;
		case 't':
			options->test = true;
			break;
		case 'V':
			puts("smtpwardd " SMTPWARD_VERSION);
			exit(EX_OK);
		case 'h':
			usage(stdout);
			exit(EX_OK);
		default:
			usage(stderr);
			exit(EX_USAGE);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "smtpwardd: unexpected argument '%s'\n", argv[optind]);
		usage(stderr);
		exit(EX_USAGE);
	}
}

static int complain(const char *error)
{
	fprintf(stderr, "smtpwardd: %s\n", error);
	return EX_CONFIG;
}

/* ---- the background --------------------------------------------------------------------------------------- */

/*
 * Goes into the background, but the caller's terminal hears of what fails at the start, and its shell gets the exit
 * code: the parent waits for background_ready(). Returns the descriptor for that, or -1.
 */
static int background_start(void)
{
	int ready[2];
	unsigned char code;
	if (pipe(ready) < 0)
		return -1;
	pid_t child = fork();
	if (child < 0)
		return -1;
	if (child > 0) {
		close(ready[1]);
		_exit(read(ready[0], &code, 1) == 1 ? code : EX_OSERR);
	}
	close(ready[0]);
	setsid();
	return ready[1];
}

static void background_ready(void *context, int code)
{
	const int *ready = context;
	unsigned char byte = (unsigned char)code;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && chdir("/") == 0) {
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			dup2(null, fd);
		close(null);
	}
	if (write(*ready, &byte, 1) < 0)
		_exit(EX_OSERR); /* whoever waited is gone */
	close(*ready);
}

static int run(struct config *config, const struct options *options)
{
	struct monitor_process process = { .config = config, .config_path = options->config_path,
					   .foreground = options->foreground };
	int ready;
	if (!options->foreground) {
		ready = background_start();
		if (ready < 0)
			return complain(strerror(errno));
		process.ready = background_ready;
		process.context = &ready;
	}
	return monitor_process_run(&process);
}

/* The configuration is read; what it names is looked at, too, as far as nothing is changed by that. */
static int test(struct config *config, const char *path)
{
	char error[512];
	struct identity_checker *checker = identity_checker_new(config->identity.trust, error, sizeof(error));
	int result = checker || !config->identity.trust ? EX_OK : complain(error);
	if (result == EX_OK)
		printf("%s: ok\n", path ? path : "configuration");
	identity_checker_free(checker);
	config_free(config);
	return result;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	char error[512];

	parse_options(argc, argv, &options);
	signal(SIGPIPE, SIG_IGN);
	struct config *config = config_load(options.config_path, error, sizeof(error));
	if (!config)
		return complain(error);
	if (options.test)
		return test(config, options.config_path);
	return run(config, &options);
}
