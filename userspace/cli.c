/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* smtpward: asks the agent, and shows what it says. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli_output.h"
#include "config.h"

static int cli_version(struct cli *cli, int argc, char **argv);
static int cli_help(struct cli *cli, int argc, char **argv);

static const struct {
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv);
	const char *words;
	const char *help;
} commands[] = {
	{ "status", cli_status, "", "mode, health, hooks, counters, losses" },
	{ "sessions", cli_sessions,
	  "[--since TIME] [--outcome NAME] [--to DESTINATION] [--pid PID] [--open] [--limit N]",
	  "the sessions seen, oldest first" },
	{ "findings", cli_findings, "", "how often each finding was made, and where" },
	{ "watch", cli_watch, "", "sessions and alerts as they happen" },
	{ "mode", cli_mode, "[monitor|block]", "show or set the mode" },
	{ "policy", cli_policy, "list | test ADDRESS PORT [--user USER] [--cgroup PATH] | reload",
	  "show, try or read again the policy" },
	{ "explain", cli_explain, "[FINDING]", "what a finding means and how to fix it" },
	{ "probe", cli_probe, "HOST [--port N] [--mx] [--ca FILE] [--name NAME] [--timeout SECONDS] [-4|-6]",
	  "ask a server what encryption it has to offer" },
	{ "read", cli_read, "FILE... [--ports LIST] [--any-port] [--ca FILE]", "the sessions in capture files (pcap, pcapng)" },
	{ "record", cli_record, "FILE --session ID|--finding FINDING [-o OUT] [--ports LIST] [--any-port] [--ca FILE]",
	  "evidence out of a capture file, without secrets" },
	{ "detach", cli_detach, "[--cgroup PATH] [--force]", "remove what an agent has left in the kernel (root)" },
	{ "version", cli_version, "", "the version of this program" },
	{ "help", cli_help, "", "this text" },
};

int cli_usage(const char *format, ...)
{
	va_list arguments;
	fputs("smtpward: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\nTry \"smtpward help\".\n", stderr);
	return EX_USAGE;
}

bool cli_number(const char *text, long long minimum, long long maximum, long long *number)
{
	char *end;
	if (*text != '-' && (*text < '0' || *text > '9'))
		return false;
	errno = 0;
	*number = strtoll(text, &end, 10);
	return !errno && end != text && !*end && *number >= minimum && *number <= maximum;
}

bool cli_duration(const char *text, long long *seconds)
{
	static const struct {
		char letter;
		long long seconds;
	} units[] = { { '\0', 1 }, { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*seconds = strtoll(text, &end, 10);
	if (errno || *seconds > 1000000000 || (*end && end[1]))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].letter == *end) {
			*seconds *= units[i].seconds;
			return true;
		}
	return false;
}

static int cli_version(struct cli *cli, int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return cli_usage("version takes no argument");
	if (cli->json) {
		json_t *object = json_pack("{s:s}", "version", SMTPWARD_VERSION);
		out_json(object);
		json_decref(object);
	} else {
		out_format("smtpward %s\n", SMTPWARD_VERSION);
	}
	return EX_OK;
}

static int cli_help(struct cli *cli, int argc, char **argv)
{
	(void)cli;
	(void)argc;
	(void)argv;
	out_format("usage: smtpward [-j] [-s SOCKET] COMMAND\n\n"
		   "  -j         JSON, for programs\n"
		   "  -s SOCKET  the agent's control socket (%s)\n\n",
		   CONTROL_SOCKET_PATH);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		out_format("  %-9s  %s\n", commands[i].name, commands[i].help);
		if (*commands[i].words)
			out_format("             %s\n", commands[i].words);
	}
	out_format("\nSee smtpward(1).\n");
	return EX_OK;
}

/* A closed standard stream would be the next descriptor that is opened: the socket. */
static void open_standard_streams(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int command_run(struct cli *cli, int argc, char **argv)
{
	char text[64];
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, argv[0])) {
			int result;
			optind = 0; /* glibc: begin again, with another argv */
			result = commands[i].run(cli, argc, argv);
			return result ? (out_flush(), result) : out_finish();
		}
	return cli_usage("there is no command \"%s\"; the commands are status, sessions, findings, watch, mode, policy, "
			 "explain, probe, read, record, detach, version, help",
			 printable(argv[0], text, sizeof(text)));
}

int main(int argc, char **argv)
{
	static char help[] = "-h";
	struct cli cli = { .socket = CONTROL_SOCKET_PATH };
	int option;

	open_standard_streams();
	signal(SIGPIPE, SIG_IGN);
	opterr = 0;
	if (argc == 2 && strcmp(argv[1], "--help") == 0) /* what many type first */
		argv[1] = help;
	while ((option = getopt(argc, argv, "+:js:hV")) != -1) {
		switch (option) {
		case 'j':
			cli.json = true;
			break;
		case 's':
			cli.socket = optarg;
			break;
		case 'h':
			return cli_help(&cli, argc, argv), out_finish();
		case 'V':
			return cli_version(&cli, 1, argv), out_finish();
		default:
			return cli_usage(option == ':' ? "-s needs the path of a socket"
						       : "the options are -j, -s SOCKET, -h and -V");
		}
	}
	if (optind >= argc)
		return cli_usage("which command?");
	return command_run(&cli, argc - optind, argv + optind);
}
