/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Syslog, as RFC 3164 describes it and local daemons read it: "<PRI>Mmm dd hh:mm:ss TAG[PID]: MSG". MSG is the cookie
 * and the JSON and nothing else: rsyslog's mmjsonparse takes a message only if it begins with the cookie and ends with
 * the JSON. People find the sentence at its start, since "message" is the JSON's first member.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "sink_backend.h"

#define SYSLOG_MAX 8192 /* rsyslog's default maxMessageSize */
#define SYSLOG_PREFIX_MAX 256

static int syslog_open(const struct sink_target *target, struct sink_connection *connection)
{
	int fd = sink_connect(target->path, SOCK_DGRAM);

	connection->stream = fd == -EPROTOTYPE;
	if (connection->stream)
		fd = sink_connect(target->path, SOCK_STREAM);
	if (fd < 0)
		return fd;
	connection->fd = fd;
	return 0;
}

/* What may go where a message is too long, the least missed first. */
static const char *const expendable[][2] = {
	{ "related", NULL },       { "smtpward", "facts" }, { "smtpward", "cgroup" }, { "smtpward", "hooks" },
	{ "host", NULL },          { "agent", NULL },       { "rule", "name" },       { "event", "reason" },
	{ "smtpward", "auth" },    { "network", NULL },     { "destination", "domain" }, { "smtpward", "findings" },
	{ "smtpward", NULL },      { "user", NULL },        { "process", NULL },
};

/* When nothing else helps: the sentence alone, as much of it as fits. Returns NULL without memory. */
static char *sentence_alone(const char *sentence, size_t room)
{
	size_t n = strlen(sentence);

	for (;;) {
		while (n > 0 && ((unsigned char)sentence[n] & 0xc0) == 0x80)
			n--; /* not inside a UTF-8 sequence */
		json_t *event = json_pack("{s:s%,s:[s]}", "message", sentence, n, "tags", "truncated");
		char *text = json_dumps(event, JSON_COMPACT);
		json_decref(event);
		if (!text || n == 0 || strlen(text) <= room)
			return text;
		free(text);
		n /= 2;
	}
}

/* Returns the message's JSON with parts left out until it has at most room bytes. The caller frees it. */
static char *shorten(const struct sink_message *message, size_t room)
{
	json_t *event = json_loads(message->json, 0, NULL);
	char *text = NULL;

	json_object_set_new(event, "tags", json_pack("[s]", "truncated"));
	for (size_t i = 0; event && i < sizeof(expendable) / sizeof(expendable[0]); i++) {
		const char *object = expendable[i][0], *member = expendable[i][1];
		if (member)
			json_object_del(json_object_get(event, object), member);
		else
			json_object_del(event, object);
		free(text);
		text = json_dumps(event, JSON_COMPACT);
		if (!text || strlen(text) <= room)
			break;
	}
	json_decref(event);
	if (text && strlen(text) <= room)
		return text;
	free(text);
	return sentence_alone(message->sentence, room);
}

static int put_header(char *out, size_t size, const struct sink_target *target, const struct sink_message *message)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }; /* in no other language */
	struct tm time = { 0 };

	localtime_r(&message->time, &time);
	return snprintf(out, size, "<%d>%s %2d %02d:%02d:%02d smtpwardd[%d]: ",
			target->facility | severity_syslog(message->severity), months[time.tm_mon % 12], time.tm_mday,
			time.tm_hour, time.tm_min, time.tm_sec, (int)getpid());
}

static char *syslog_format(const struct sink_target *target, const struct sink_message *message, bool stream,
			   size_t *length)
{
	char *line = malloc(SYSLOG_MAX + 1);
	char *shortened = NULL;

	if (!line)
		return NULL;
	size_t used = (size_t)put_header(line, SYSLOG_MAX, target, message);
	if (target->prefix[0])
		used += (size_t)snprintf(line + used, SYSLOG_MAX - used, "%.*s ", SYSLOG_PREFIX_MAX, target->prefix);
	size_t room = SYSLOG_MAX - 1 - used;
	if (strlen(message->json) > room)
		shortened = shorten(message, room);
	snprintf(line + used, SYSLOG_MAX - used, "%s", shortened ? shortened : message->json);
	free(shortened);
	/* On a stream NUL ends the message, as in the C library's syslog(). */
	*length = strlen(line) + (stream ? 1 : 0);
	return line;
}

const struct sink_backend sink_syslog = { "syslog", syslog_open, syslog_format, sink_send };
