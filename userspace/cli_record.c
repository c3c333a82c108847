/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `smtpward record`: evidence out of a capture file, without secrets. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "capture.h"
#include "capture_file.h"
#include "capture_options.h"
#include "capture_record.h"
#include "cli.h"
#include "cli_output.h"
#include "cli_read.h"

#define UNREADABLE 2
#define NOT_FOUND 1

struct recording {
	struct capture_settings settings;
	const char *file, *out;
	uint64_t id;
	bool by_id;
	int finding; /* -1: by id */
	struct verdict_told verdicts[RECORD_SESSIONS_MAX]; /* of the sessions that are wanted */
	uint64_t ids[RECORD_SESSIONS_MAX];
	unsigned count;
	bool too_many;
	struct record *record;
	unsigned played_back;
	const char *difference;
};

/* ---- passes over a file ----------------------------------------------------------------------------------- */

/* Returns false after a message where the file, which may be called name, cannot be read to its end and has to be. */
static bool read_through(struct capture *capture, const char *path, const char *name)
{
	char error[CAPTURE_ERROR_SIZE], text[256];
	struct capture_packet packet;
	int result = -1;
	struct capture_file *file = capture_file_open(path, error);
	if (file) {
		while ((result = capture_file_next(file, &packet, error)) > 0)
			capture_take(capture, capture_file_link_type(file), packet.bytes, packet.captured, packet.length, packet.time_ns);
		capture_end(capture);
	}
	if (result < 0)
		fprintf(stderr, "smtpward: %s: %s\n", printable(name, text, sizeof(text)), error);
	bool opened = file != NULL;
	capture_file_close(file);
	return opened;
}

static bool pass(struct recording *recording, capture_session_taker *take, const struct capture_watch *watch, const char *path)
{
	char error[256];
	struct capture *capture = capture_new(&recording->settings, take, recording, error, sizeof(error));
	if (!capture) {
		fprintf(stderr, "smtpward: %s\n", error);
		return false;
	}
	if (watch)
		capture_set_watch(capture, watch);
	bool good = read_through(capture, path, recording->file);
	capture_free(capture);
	return good;
}

/* ---- which sessions --------------------------------------------------------------------------------------- */

static bool is_noted(const struct recording *recording, uint64_t id)
{
	for (unsigned i = 0; i < recording->count; i++)
		if (recording->ids[i] == id)
			return true;
	return false;
}

static void want(struct recording *recording, uint64_t id)
{
	if (is_noted(recording, id))
		return;
	if (recording->count == RECORD_SESSIONS_MAX) {
		recording->too_many = true;
		return;
	}
	recording->ids[recording->count++] = id;
}

static void choose(void *context, const struct session *session)
{
	struct recording *recording = context;
	bool wanted = recording->by_id ? session->id == recording->id
				       : (session->judgement.findings & FINDING_MASK(recording->finding)) != 0;
	if (!wanted)
		return;
	want(recording, session->id);
	if (session->linked_id) /* what it fell back from belongs to it */
		want(recording, session->linked_id);
}

/* The pass that writes: what is read of the original is what the evidence must come to. */
static void write_session(void *context, const struct session *session)
{
	struct recording *recording = context;
	for (unsigned i = 0; i < recording->count; i++)
		if (recording->ids[i] == session->id)
			verdict_note(session, &recording->verdicts[i]);
	record_session(recording->record, session);
}

/* ---- the evidence ----------------------------------------------------------------------------------------- */

static void compare(void *context, const struct session *session)
{
	struct recording *recording = context;
	struct verdict_told verdict;
	unsigned i = 0;
	verdict_note(session, &verdict);
	while (i < recording->count && recording->ids[i] != session->id)
		i++;
	if (i == recording->count)
		recording->difference = "id";
	else if (verdict_difference(&recording->verdicts[i], &verdict))
		recording->difference = verdict_difference(&recording->verdicts[i], &verdict);
	recording->played_back++;
}

static int fail(const struct recording *recording, int status, const char *reason)
{
	char text[256];
	fprintf(stderr, "smtpward: %s: %s\n", printable(recording->out, text, sizeof(text)), reason);
	unlink(recording->out);
	return status;
}

/* Reads back what was written: it must say the same, or it is no evidence. */
static int check(struct recording *recording)
{
	char reason[128];
	if (!pass(recording, compare, NULL, recording->out))
		return fail(recording, EX_SOFTWARE, "what was written cannot be read");
	if (recording->played_back != recording->count)
		recording->difference = "number of sessions";
	if (!recording->difference)
		return EX_OK;
	snprintf(reason, sizeof(reason), "without its secrets it would not come to the same (%s): it is not kept", recording->difference);
	return fail(recording, EX_SOFTWARE, reason);
}

static int write_evidence(struct recording *recording, FILE *stream)
{
	recording->record = record_new(recording->ids, recording->count, stream);
	if (!recording->record)
		return fail(recording, EX_OSERR, "out of memory");
	struct capture_watch watch = record_watch(recording->record);
	bool good = pass(recording, write_session, &watch, recording->file);
	const char *error = record_error(recording->record);
	bool whole = record_count(recording->record) == recording->count;
	record_free(recording->record);
	if (fflush(stream) != 0 || ferror(stream))
		error = strerror(errno);
	if (!good)
		return fail(recording, UNREADABLE, "not written");
	if (error)
		return fail(recording, EX_CANTCREAT, error);
	return whole ? check(recording) : fail(recording, EX_SOFTWARE, "the file has changed meanwhile");
}

static void say_done(const struct cli *cli, const struct recording *recording)
{
	char text[SESSION_ID_TEXT_SIZE];
	struct stat status;
	json_t *list = json_array();
	for (unsigned i = 0; i < recording->count; i++)
		json_array_append_new(list, json_string(session_id_text(recording->ids[i], text)));
	if (cli->json) {
		json_t *object = json_pack("{s:O,s:s}", "sessions", list, "file", recording->out);
		out_json(object);
		json_decref(object);
	} else {
		out_text(recording->out);
		out_format(": %u session%s", recording->count, recording->count == 1 ? "" : "s");
		if (stat(recording->out, &status) == 0)
			out_format(", %lld bytes", (long long)status.st_size);
		out_format("; AUTH responses and message content are not in it\n");
	}
	json_decref(list);
}

static FILE *open_out(const struct recording *recording)
{
	char text[256];
	int fd = open(recording->out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *stream = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!stream)
		fprintf(stderr, "smtpward: %s: %s\n", printable(recording->out, text, sizeof(text)), strerror(errno));
	return stream;
}

static int record_file(struct cli *cli, struct recording *recording)
{
	char error[256];
	if (!capture_restrict(true, error, sizeof(error))) {
		fprintf(stderr, "smtpward: %s\n", error);
		return EX_OSERR;
	}
	if (!pass(recording, choose, NULL, recording->file))
		return UNREADABLE;
	if (recording->too_many || !recording->count) {
		fprintf(stderr, recording->count ? "smtpward: there are more than %u such sessions\n" : "smtpward: there is no such session\n",
			RECORD_SESSIONS_MAX);
		return NOT_FOUND;
	}
	FILE *stream = open_out(recording);
	if (!stream)
		return EX_CANTCREAT;
	int result = write_evidence(recording, stream);
	if (fclose(stream) != 0 && !result)
		result = fail(recording, EX_CANTCREAT, strerror(errno));
	if (!result)
		say_done(cli, recording);
	return result;
}

/* ---- the command ------------------------------------------------------------------------------------------ */

static int take_option(struct recording *recording, int option, const char *value)
{
	char text[64];
	int result;
	switch (option) {
	case 's':
		recording->by_id = session_id_parse(value, &recording->id);
		return recording->by_id ? EX_OK : cli_usage("--session takes an id as \"smtpward read\" shows it");
	case 'f':
		recording->finding = finding_by_name(value);
		return recording->finding >= 0 ? EX_OK
					       : cli_usage("there is no finding \"%s\"; see \"smtpward explain\"",
							   printable(value, text, sizeof(text)));
	case 'o':
		recording->out = value;
		return EX_OK;
	default:
		result = cli_read_option(&recording->settings, option, value);
		return result >= 0 ? result
				   : cli_usage("record takes FILE, --session ID or --finding FINDING, -o OUT, --ports LIST, "
					       "--any-port and --ca FILE");
	}
}

static int take_words(struct recording *recording, int argc, char **argv, char *name, size_t name_size)
{
	char id[SESSION_ID_TEXT_SIZE];
	if (optind + 1 != argc || strcmp(argv[optind], "-") == 0)
		return cli_usage("record takes one capture file, which it reads more than once");
	if (recording->by_id == (recording->finding >= 0))
		return cli_usage("record takes either --session ID or --finding FINDING");
	recording->file = argv[optind];
	snprintf(name, name_size, "smtpward-%s.pcap",
		 recording->by_id ? session_id_text(recording->id, id) : finding_name((enum finding)recording->finding));
	if (!recording->out)
		recording->out = name;
	return EX_OK;
}

int cli_record(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { CLI_READ_OPTIONS,
						 { "session", required_argument, NULL, 's' },
						 { "finding", required_argument, NULL, 'f' },
						 { "output", required_argument, NULL, 'o' },
						 { NULL, 0, NULL, 0 } };
	struct recording *recording = calloc(1, sizeof(*recording));
	char name[128];
	int option, result = EX_OK;

	if (!recording)
		return EX_OSERR;
	recording->finding = -1;
	capture_default_ports(&recording->settings);
	while (!result && (option = getopt_long(argc, argv, ":o:", options, NULL)) != -1)
		result = take_option(recording, option, optarg);
	if (!result)
		result = take_words(recording, argc, argv, name, sizeof(name));
	if (!result)
		result = record_file(cli, recording);
	free(recording);
	return result;
}
