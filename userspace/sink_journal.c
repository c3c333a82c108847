/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The systemd journal, in its native protocol: a datagram of FIELD=value lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <jansson.h>

#include "sink_backend.h"

static int journal_open(const struct sink_target *target, struct sink_connection *connection)
{
	int fd = sink_connect(target->path, SOCK_DGRAM);
	if (fd < 0)
		return fd;
	connection->fd = fd;
	connection->stream = false;
	return 0;
}

/* One field, left out if there is no value. No value has a line break: sinks_write() saw to that. */
static void put(FILE *out, const char *field, const char *value)
{
	if (value)
		fprintf(out, "%s=%s\n", field, value);
}

static const char *text_at(const json_t *event, const char *object, const char *key)
{
	return json_string_value(json_object_get(json_object_get(event, object), key));
}

static char *journal_format(const struct sink_target *target, const struct sink_message *message, bool stream,
			    size_t *length)
{
	char *datagram = NULL;
	json_t *event = json_loads(message->json, 0, NULL);
	FILE *out = open_memstream(&datagram, length);

	(void)stream;
	if (out) {
		put(out, "MESSAGE", message->sentence);
		fprintf(out, "PRIORITY=%d\n", severity_syslog(message->severity));
		fprintf(out, "SYSLOG_FACILITY=%d\n", target->facility >> 3);
		put(out, "SYSLOG_IDENTIFIER", "smtpwardd");
		fprintf(out, "SYSLOG_PID=%d\n", (int)getpid());
		put(out, "SMTPWARD_FINDING", text_at(event, "rule", "id"));
		put(out, "SMTPWARD_SESSION", text_at(event, "smtpward", "session"));
		put(out, "SMTPWARD_OUTCOME", text_at(event, "smtpward", "outcome"));
		put(out, "SMTPWARD_JSON", message->json);
	}
	json_decref(event);
	if (!out)
		return NULL;
	if (fclose(out) != 0) {
		free(datagram);
		return NULL;
	}
	return datagram;
}

const struct sink_backend sink_journal = { "journal", journal_open, journal_format, sink_send };
