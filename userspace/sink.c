/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "sink_worker.h"

struct sinks {
	unsigned count;
	struct sink *list[SINKS_MAX];
};

static bool add_sink(struct sinks *sinks, const struct sink_backend *backend, const char *path, const char *prefix,
		     int facility, const struct sink_file_opener *opener, char *error, size_t error_size)
{
	char reason[64];
	struct sink *sink = sink_new(backend, path, prefix, facility);
	if (sink && opener)
		sink_set_opener(sink, opener);
	int failure = sink ? sink_start(sink) : -ENOMEM;

	if (failure) {
		snprintf(error, error_size, "%s: cannot write to %s: %s", backend->name, path,
			 strerror_r(-failure, reason, sizeof(reason)));
		sink_free(sink);
		return false;
	}
	sinks->list[sinks->count++] = sink;
	return true;
}

/* Whether syslog's socket is the journal's: then an event written to both is there twice. */
static bool is_the_journals(const char *socket)
{
	char *real = realpath(socket, NULL);
	bool is = real && !strncmp(real, "/run/systemd/journal/", sizeof("/run/systemd/journal/") - 1);
	free(real);
	return is;
}

static struct sink_surroundings look_around(const struct config *config)
{
	return (struct sink_surroundings){
		.journal = access(JOURNAL_SOCKET, F_OK) == 0,
		.syslog_is_the_journals = is_the_journals(config->syslog.socket),
		.daemon_behind_journal = access(JOURNAL_SYSLOG_SOCKET, F_OK) == 0,
	};
}

/* The rule in sink.h. */
void sinks_choose(const struct config *config, const struct sink_surroundings *found, bool *syslog, bool *journal)
{
	*syslog = config->syslog.enabled;
	*journal = config->journal == JOURNAL_ON || (config->journal == JOURNAL_AUTO && found->journal);
	if (!*syslog || !*journal || !found->syslog_is_the_journals)
		return;
	if (config->journal == JOURNAL_AUTO && found->daemon_behind_journal)
		*journal = false;
	else
		*syslog = false;
}

struct sinks *sinks_open(const struct config *config, const struct sink_file_opener *opener, char *error, size_t error_size)
{
	struct sinks *sinks = calloc(1, sizeof(*sinks));
	int facility = config->syslog.facility;
	bool syslog, journal, ok = true;

	if (!sinks) {
		snprintf(error, error_size, "no memory for the sinks");
		return NULL;
	}
	const struct sink_surroundings found = look_around(config);
	sinks_choose(config, &found, &syslog, &journal);
	if (syslog)
		ok = add_sink(sinks, &sink_syslog, config->syslog.socket, config->syslog.prefix, facility, NULL, error, error_size);
	if (ok && config->file.path)
		ok = add_sink(sinks, &sink_file, config->file.path, "", 0, opener, error, error_size);
	if (ok && journal)
		ok = add_sink(sinks, &sink_journal, JOURNAL_SOCKET, "", facility, NULL, error, error_size);
	if (ok)
		return sinks;
	sinks_close(sinks);
	return NULL;
}

void sinks_write(struct sinks *sinks, enum severity severity, const char *sentence, const char *json)
{
	for (unsigned i = 0; i < sinks->count; i++)
		sink_write(sinks->list[i], severity, sentence, json);
}

void sinks_reopen(struct sinks *sinks)
{
	for (unsigned i = 0; i < sinks->count; i++)
		sink_reopen(sinks->list[i]);
}

void sinks_close(struct sinks *sinks)
{
	if (!sinks)
		return;
	for (unsigned i = 0; i < sinks->count; i++)
		sink_stop(sinks->list[i]); /* all first, so that their seconds run side by side */
	for (unsigned i = 0; i < sinks->count; i++)
		sink_join(sinks->list[i]);
	free(sinks);
}

unsigned sinks_stats(struct sinks *sinks, struct sink_stats stats[SINKS_MAX])
{
	for (unsigned i = 0; i < sinks->count; i++)
		sink_stats(sinks->list[i], &stats[i]);
	return sinks->count;
}
