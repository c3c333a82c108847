/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli_client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli_output.h"

#define ANSWER_MAX (256U << 20) /* some 200,000 sessions */
#define ANSWER_TIMEOUT_S 20

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

struct line {
	char *bytes;
	size_t used, room;
	size_t taken; /* of used: lines handed out already */
	bool patient; /* wait for ever, but for a signal */
};

/* One line: what is wrong, with which socket, and why where error says so. */
static int fail(int code, const char *what, const char *path, int error)
{
	char text[256];
	fprintf(stderr, "smtpward: %s %s%s%s\n", what, printable(path, text, sizeof(text)), error ? ": " : "",
		error ? strerror(error) : "");
	return code;
}

static int connect_agent(const char *path, int *result)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_S };
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(EX_USAGE, "the path of the socket is too long:", path, 0);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(EX_OSERR, "no socket for", path, errno);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		*result = fd;
		return EX_OK;
	}
	error = errno;
	close(fd);
	if (error == EACCES || error == EPERM)
		return fail(EX_NOPERM, "no permission for the agent's socket", path, 0);
	if (error == ENOENT || error == ECONNREFUSED)
		return fail(EX_UNAVAILABLE, "smtpwardd is not running: nobody answers at", path, 0);
	return fail(EX_UNAVAILABLE, "cannot reach smtpwardd at", path, error);
}

bool cli_agent_listens(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	bool listens = false;
	int fd = strlen(path) < sizeof(address.sun_path) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (fd < 0)
		return false;
	strcpy(address.sun_path, path);
	listens = !connect(fd, (struct sockaddr *)&address, sizeof(address)) || errno == EAGAIN; /* or its queue is full */
	close(fd);
	return listens;
}

static int send_request(int fd, const char *path, json_t *request)
{
	char *text = request ? json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	size_t length, sent = 0;

	json_decref(request);
	if (!text)
		return fail(EX_OSERR, "no memory for a request to", path, 0);
	length = strlen(text);
	text[length++] = '\n'; /* over the NUL */
	while (sent < length) {
		ssize_t done = send(fd, text + sent, length - sent, MSG_NOSIGNAL);
		if (done < 0 && errno == EINTR && !interrupted)
			continue;
		if (done <= 0)
			break;
		sent += (size_t)done;
	}
	free(text);
	return sent == length ? EX_OK : fail(EX_UNAVAILABLE, "smtpwardd does not listen at", path, errno);
}

/* Waits until there is something to read, or a signal came: also one that came just before. */
static void wait_readable(int fd)
{
	struct pollfd poll_in = { .fd = fd, .events = POLLIN };
	sigset_t stop, before;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, &before);
	if (!interrupted)
		ppoll(&poll_in, 1, NULL, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Reads on until *text is a whole line, its end cut off. The line is valid until the next call. */
static int read_line(int fd, const char *path, struct line *line, char **text)
{
	size_t searched = line->taken;

	for (;;) {
		char *end = line->used > searched ? memchr(line->bytes + searched, '\n', line->used - searched) : NULL;
		ssize_t got;
		if (end) {
			*end = '\0';
			*text = line->bytes + line->taken;
			line->taken = (size_t)(end - line->bytes) + 1;
			return EX_OK;
		}
		if (line->taken) {
			memmove(line->bytes, line->bytes + line->taken, line->used - line->taken);
			line->used -= line->taken;
			line->taken = 0;
		}
		searched = line->used;
		if (line->used == line->room) {
			size_t room = line->room ? line->room * 2 : 16384;
			char *bytes = room > ANSWER_MAX ? NULL : realloc(line->bytes, room);
			if (!bytes)
				return fail(EX_DATAERR, "the answer is too long, from", path, 0);
			line->bytes = bytes;
			line->room = room;
		}
		if (line->patient)
			wait_readable(fd);
		got = recv(fd, line->bytes + line->used, line->room - line->used, line->patient ? MSG_DONTWAIT : 0);
		if (got > 0)
			line->used += (size_t)got;
		else if (interrupted)
			return EX_OK;
		else if (!got)
			return fail(EX_UNAVAILABLE, "smtpwardd closed the connection at", path, 0);
		else if (errno != EINTR && !(line->patient && errno == EAGAIN))
			return fail(EX_UNAVAILABLE, "smtpwardd does not answer at", path, errno);
	}
}

/* An answer {"error":{"code","message"}} becomes a line and an exit code. */
static int check_error(const json_t *answer)
{
	static const struct {
		const char *code;
		int exit_code;
	} codes[] = {
		{ "malformed", EX_USAGE }, { "unknown-command", EX_USAGE }, { "bad-argument", EX_USAGE },
		{ "denied", EX_NOPERM },   { "config", EX_CONFIG },	    { "busy", EX_UNAVAILABLE },
	};
	const json_t *error = json_object_get(answer, "error");
	char text[512];

	if (!error)
		return EX_OK;
	fprintf(stderr, "smtpward: %s\n", printable(member_text(error, "message"), text, sizeof(text)));
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (!strcmp(codes[i].code, member_text(error, "code")))
			return codes[i].exit_code;
	return EX_SOFTWARE;
}

static int parse_answer(char *text, const char *path, json_t **answer)
{
	int result;

	*answer = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(*answer)) {
		json_decref(*answer);
		return fail(EX_DATAERR, "this is not the answer of an smtpwardd, from", path, 0);
	}
	result = check_error(*answer);
	if (result)
		json_decref(*answer);
	return result;
}

int cli_request(const struct cli *cli, json_t *request, json_t **answer)
{
	struct line line = { 0 };
	char *text = NULL;
	int fd, result = connect_agent(cli->socket, &fd);

	if (result) {
		json_decref(request);
		return result;
	}
	result = send_request(fd, cli->socket, request);
	if (!result)
		result = read_line(fd, cli->socket, &line, &text);
	if (!result)
		result = parse_answer(text, cli->socket, answer);
	free(line.bytes);
	close(fd);
	return result;
}

int cli_follow(const struct cli *cli, json_t *request, bool (*take)(const struct cli *cli, json_t *object))
{
	struct sigaction action = { .sa_handler = interrupt }; /* no SA_RESTART: a write may hang, too */
	struct line line = { .patient = true };
	bool more = true;
	int fd, result;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	result = connect_agent(cli->socket, &fd);
	if (result) {
		json_decref(request);
		return result;
	}
	result = send_request(fd, cli->socket, request);
	while (!result && more && !interrupted) {
		json_t *object = NULL;
		char *text = NULL;
		result = read_line(fd, cli->socket, &line, &text);
		if (!result && text)
			result = parse_answer(text, cli->socket, &object);
		if (!result && object)
			more = take(cli, object);
		if (!result)
			json_decref(object);
	}
	free(line.bytes);
	close(fd);
	return interrupted ? EX_OK : result;
}
