/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "config.h"
#include "sink.h"
#include "sink_worker.h"

static char directory[64];
static char path[128]; /* of the target, below directory */
static struct config config;

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test_sink.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/target", directory);
	memset(&config, 0, sizeof(config));
	config.journal = JOURNAL_OFF;
	config.syslog.facility = LOG_MAIL;
	config.syslog.prefix = (char *)"@cee:";
	config.syslog.socket = path;
	return 0;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) == 0 ? 0 : -1;
}

static struct sinks *open_sinks(void)
{
	char error[256] = "";
	struct sinks *sinks = sinks_open(&config, NULL, error, sizeof(error));
	if (!sinks)
		fail_msg("%s", error);
	return sinks;
}

static struct sinks *open_file(void)
{
	config.file.path = path;
	return open_sinks();
}

static struct sinks *open_syslog(void)
{
	config.syslog.enabled = true;
	return open_sinks();
}

static struct sink_stats stats_of(struct sinks *sinks)
{
	struct sink_stats stats[SINKS_MAX];
	assert_int_equal(sinks_stats(sinks, stats), 1);
	return stats[0];
}

/* Waits for the sink's thread; a limit only ends a test that has failed. */
#define WAIT_UNTIL(condition)                                                   \
	for (unsigned waited_ = 0; !(condition); waited_++) {                   \
		if (waited_ > 6000)                                             \
			fail_msg("never came: %s", #condition);                 \
		usleep(5000);                                                   \
	}

static void write_numbered(struct sinks *sinks, unsigned first, unsigned count)
{
	char sentence[64], json[64];
	for (unsigned i = first; i < first + count; i++) {
		snprintf(sentence, sizeof(sentence), "sentence %u", i);
		snprintf(json, sizeof(json), "{\"message\":\"sentence %u\"}", i);
		sinks_write(sinks, SEVERITY_CRITICAL, sentence, json);
	}
}

/* Opens name for reading and asserts that it has the numbered lines first, first + 1 ... */
static void assert_lines(const char *name, unsigned first, unsigned count)
{
	char line[256], expected[64];
	FILE *file = fopen(name, "r");
	assert_non_null(file);
	for (unsigned i = first; i < first + count; i++) {
		snprintf(expected, sizeof(expected), "{\"message\":\"sentence %u\"}\n", i);
		assert_non_null(fgets(line, sizeof(line), file));
		assert_string_equal(line, expected);
	}
	assert_null(fgets(line, sizeof(line), file));
	fclose(file);
}

static int listen_at(const char *name, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(address.sun_path, name);
	unlink(name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 5), 0);
	return fd;
}

/* The next datagram, with NUL behind it. */
static size_t receive(int fd, char *datagram, size_t size)
{
	ssize_t n = recv(fd, datagram, size - 1, 0);
	assert_true(n >= 0);
	datagram[n] = '\0';
	return (size_t)n;
}

static void a_file_gets_lines_in_order(void **state)
{
	struct stat status;
	(void)state;
	umask(0022);
	struct sinks *sinks = open_file();
	write_numbered(sinks, 0, 500);
	sinks_close(sinks); /* writes what is queued */
	assert_lines(path, 0, 500);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0640);
	sinks = open_file();
	sinks_close(sinks);
	assert_lines(path, 0, 500); /* nothing is cut away */
}

static void a_file_moved_away_is_made_again(void **state)
{
	char moved[160];
	(void)state;
	snprintf(moved, sizeof(moved), "%s.1", path);
	struct sinks *sinks = open_file();
	write_numbered(sinks, 0, 3);
	WAIT_UNTIL(stats_of(sinks).written == 3);
	assert_int_equal(rename(path, moved), 0);
	sinks_reopen(sinks);
	write_numbered(sinks, 3, 4);
	sinks_close(sinks);
	assert_lines(moved, 0, 3);
	assert_lines(path, 3, 4);
}

static void assert_refused(int reason)
{
	char error[256] = "", expected[256];
	config.file.path = path;
	assert_null(sinks_open(&config, NULL, error, sizeof(error)));
	snprintf(expected, sizeof(expected), "file: cannot write to %s: %s", path, strerror(reason));
	assert_string_equal(error, expected);
}

static void a_file_that_cannot_be_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_refused(ELOOP);
	snprintf(path, sizeof(path), "%s/no/where", directory);
	assert_refused(ENOENT);
	snprintf(path, sizeof(path), "%s", directory);
	assert_refused(EISDIR);
}

static void a_socket_path_too_long_is_an_error(void **state)
{
	char error[256] = "", name[120];
	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	config.syslog.socket = name;
	config.syslog.enabled = true;
	assert_null(sinks_open(&config, NULL, error, sizeof(error)));
	assert_non_null(strstr(error, strerror(ENAMETOOLONG)));
}

/* Nobody opens the FIFO: the queue fills, the rest is dropped and counted, and closing does not wait for ever. */
static void a_fifo_that_nobody_reads_drops_and_counts(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	struct sinks *sinks = open_file();
	write_numbered(sinks, 0, SINK_QUEUE_MESSAGES + 500);
	WAIT_UNTIL(stats_of(sinks).failed > 0);
	struct sink_stats stats = stats_of(sinks);
	assert_string_equal(stats.name, "file");
	assert_int_equal(stats.dropped, 500);
	assert_int_equal(stats.queued, SINK_QUEUE_MESSAGES);
	assert_int_equal(stats.written, 0);
	assert_non_null(strstr(stats.last_error, "cannot open"));
	sinks_close(sinks);
}

/* Somebody opened it and is asleep; when he wakes up, what was queued comes whole and in order. */
static void a_slow_reader_gets_what_was_queued(void **state)
{
	char line[256], expected[64];
	static char json[20000]; /* more than PIPE_BUF: a write may take a part */
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	struct sinks *sinks = open_file();
	memset(json, 'x', sizeof(json) - 1);
	for (unsigned i = 0; i < 100; i++) /* more than a pipe holds, in pieces that do not fit it evenly */
		sinks_write(sinks, SEVERITY_ERROR, "filler", json + i);
	WAIT_UNTIL(stats_of(sinks).written > 0);
	write_numbered(sinks, 0, 50);
	assert_int_equal(stats_of(sinks).dropped, 0);

	fcntl(reader, F_SETFL, 0);
	FILE *file = fdopen(reader, "r");
	for (unsigned i = 0; i < 100; i++) {
		static char filler[sizeof(json) + 2];
		assert_non_null(fgets(filler, sizeof(filler), file));
		assert_int_equal(strlen(filler), sizeof(json) - i);
	}
	for (unsigned i = 0; i < 50; i++) {
		snprintf(expected, sizeof(expected), "{\"message\":\"sentence %u\"}\n", i);
		assert_non_null(fgets(line, sizeof(line), file));
		assert_string_equal(line, expected);
	}
	sinks_close(sinks);
	fclose(file);
}

static void a_full_disk_is_tried_again(void **state)
{
	(void)state;
	strcpy(path, "/dev/full");
	struct sinks *sinks = open_file();
	write_numbered(sinks, 0, 3);
	WAIT_UNTIL(stats_of(sinks).failed > 0);
	struct sink_stats stats = stats_of(sinks);
	assert_int_equal(stats.queued, 3);
	assert_int_equal(stats.dropped, 0);
	assert_non_null(strstr(stats.last_error, strerror(ENOSPC)));
	sinks_close(sinks);
}

/* The file may not grow just then, in the middle of a line; once it may, the rest follows. */
static void a_line_cut_short_is_completed(void **state)
{
	struct rlimit before, small;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	struct sinks *sinks = open_file();
	write_numbered(sinks, 0, 100);
	WAIT_UNTIL(stats_of(sinks).failed > 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	WAIT_UNTIL(stats_of(sinks).written == 100);
	sinks_close(sinks);
	assert_lines(path, 0, 100);
}

static void the_queue_is_bounded_in_bytes(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	struct sinks *sinks = open_file();
	size_t size = 1024 * 1024;
	char *json = malloc(size);
	memset(json, 'x', size - 1);
	json[size - 1] = '\0';
	for (unsigned i = 0; i < 6; i++)
		sinks_write(sinks, SEVERITY_ERROR, "large", json);
	free(json);
	assert_int_equal(stats_of(sinks).queued, 3);
	assert_int_equal(stats_of(sinks).dropped, 3);
	sinks_close(sinks);
}

/* Asserts the header of RFC 3164 section 4.1 and returns what is behind it. */
static const char *assert_header(const char *line)
{
	char month[4];
	int priority, day, hour, minute, second, pid, end = 0;
	assert_int_equal(sscanf(line, "<%d>%3s %d %d:%d:%d smtpwardd[%d]: %n", &priority, month, &day, &hour, &minute,
				&second, &pid, &end), 7);
	assert_int_equal(priority, LOG_MAIL | LOG_CRIT);
	assert_int_equal(pid, getpid());
	assert_int_equal(line[strlen("<18>Nov")], ' ');
	assert_int_equal(line[strlen("<18>Nov 23")], ' '); /* the day takes two columns */
	return line + end;
}

static void syslog_gets_a_datagram(void **state)
{
	char line[512];
	(void)state;
	int fd = listen_at(path, SOCK_DGRAM);
	struct sinks *sinks = open_syslog();
	sinks_write(sinks, SEVERITY_CRITICAL, "a\nb", "{\"message\":\n\"a b\"}");
	receive(fd, line, sizeof(line));
	assert_string_equal(assert_header(line), "@cee: {\"message\": \"a b\"}");
	sinks_close(sinks);

	config.syslog.prefix = (char *)"";
	sinks = open_syslog();
	write_numbered(sinks, 7, 1);
	receive(fd, line, sizeof(line));
	assert_string_equal(assert_header(line), "{\"message\":\"sentence 7\"}");
	sinks_close(sinks);
	close(fd);
}

static void syslog_gets_a_stream(void **state)
{
	char line[512];
	(void)state;
	int listener = listen_at(path, SOCK_STREAM);
	struct sinks *sinks = open_syslog();
	write_numbered(sinks, 0, 2);
	int fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	WAIT_UNTIL(stats_of(sinks).written == 2);
	size_t n = receive(fd, line, sizeof(line));
	assert_string_equal(assert_header(line), "@cee: {\"message\":\"sentence 0\"}");
	assert_int_equal(line[n - 1], '\0');
	assert_string_equal(assert_header(line + strlen(line) + 1), "@cee: {\"message\":\"sentence 1\"}");
	sinks_close(sinks);
	close(fd);
	close(listener);
}

/* There is no socket, then there is, then the daemon is another one. */
static void syslog_is_found_again(void **state)
{
	char line[512];
	(void)state;
	struct sinks *sinks = open_syslog();
	write_numbered(sinks, 0, 1);
	WAIT_UNTIL(stats_of(sinks).failed > 0);
	assert_non_null(strstr(stats_of(sinks).last_error, strerror(ENOENT)));
	int fd = listen_at(path, SOCK_DGRAM);
	receive(fd, line, sizeof(line));
	assert_string_equal(assert_header(line), "@cee: {\"message\":\"sentence 0\"}");
	WAIT_UNTIL(stats_of(sinks).written == 1);
	assert_string_equal(stats_of(sinks).last_error, "");

	close(fd);
	fd = listen_at(path, SOCK_DGRAM);
	write_numbered(sinks, 1, 1);
	receive(fd, line, sizeof(line));
	assert_string_equal(assert_header(line), "@cee: {\"message\":\"sentence 1\"}");
	sinks_close(sinks);
	close(fd);
}

/* A daemon that is stopped: nothing is read, the caller goes on, and what was not dropped comes later. */
static void a_stopped_syslog_drops_and_counts(void **state)
{
	char line[512];
	const unsigned sent = 3 * SINK_QUEUE_MESSAGES;
	(void)state;
	int fd = listen_at(path, SOCK_DGRAM);
	struct sinks *sinks = open_syslog();
	write_numbered(sinks, 0, sent);
	struct sink_stats stats = stats_of(sinks);
	assert_true(stats.dropped > 0);
	uint64_t arriving = sent - stats.dropped;
	for (uint64_t i = 0; i < arriving; i++)
		receive(fd, line, sizeof(line));
	WAIT_UNTIL(stats_of(sinks).written == arriving);
	assert_int_equal(recv(fd, line, sizeof(line), MSG_DONTWAIT), -1);
	sinks_close(sinks);
	close(fd);
}

static void a_stopped_syslog_does_not_hold_up_the_end(void **state)
{
	(void)state;
	int fd = listen_at(path, SOCK_DGRAM);
	struct sinks *sinks = open_syslog();
	write_numbered(sinks, 0, SINK_QUEUE_MESSAGES);
	sinks_close(sinks); /* returns, though nobody reads */
	close(fd);
}

static json_t *received_json(int fd)
{
	static char line[65536];
	assert_true(receive(fd, line, sizeof(line)) <= 8192);
	const char *message = assert_header(line);
	assert_memory_equal(message, "@cee: ", 6);
	json_t *event = json_loads(message + 6, 0, NULL);
	assert_non_null(event);
	return event;
}

static void a_long_message_is_shortened_and_still_json(void **state)
{
	static char cgroup[10000], sentence[20001], json[32000];
	(void)state;
	int fd = listen_at(path, SOCK_DGRAM);
	struct sinks *sinks = open_syslog();
	memset(cgroup, 'c', sizeof(cgroup) - 1);
	snprintf(json, sizeof(json),
		 "{\"message\":\"m\",\"rule\":{\"id\":\"cleartext-auth\"},\"smtpward\":{\"session\":\"1\",\"cgroup\":\"%s\"}}",
		 cgroup);
	sinks_write(sinks, SEVERITY_CRITICAL, "m", json);
	json_t *event = received_json(fd);
	assert_non_null(json_object_get(json_object_get(event, "rule"), "id"));
	assert_non_null(json_object_get(json_object_get(event, "smtpward"), "session"));
	assert_null(json_object_get(json_object_get(event, "smtpward"), "cgroup"));
	assert_string_equal(json_string_value(json_array_get(json_object_get(event, "tags"), 0)), "truncated");
	json_decref(event);

	for (size_t i = 0; i + 1 < sizeof(sentence); i += 2)
		memcpy(sentence + i, "\xc3\xbc", 2);
	snprintf(json, sizeof(json), "{\"message\":\"%s\"}", sentence);
	sinks_write(sinks, SEVERITY_CRITICAL, sentence, json);
	event = received_json(fd);
	size_t n = json_string_length(json_object_get(event, "message"));
	assert_true(n > 3000);
	assert_memory_equal(json_string_value(json_object_get(event, "message")), sentence, n);
	json_decref(event);

	sinks_write(sinks, SEVERITY_CRITICAL, "no JSON", sentence);
	event = received_json(fd);
	assert_string_equal(json_string_value(json_object_get(event, "message")), "no JSON");
	json_decref(event);
	sinks_close(sinks);
	close(fd);
}

static void the_journal_gets_fields(void **state)
{
	static const char json[] = "{\"message\":\"m\",\"rule\":{\"id\":\"cleartext-auth\"},\"smtpward\":{\"session\":\"00ab\"}}";
	char datagram[2048], expected[2048];
	(void)state;
	int fd = listen_at(path, SOCK_DGRAM);
	struct sink *sink = sink_new(&sink_journal, path, "", LOG_MAIL);
	assert_non_null(sink);
	assert_int_equal(sink_start(sink), 0);
	sink_write(sink, SEVERITY_CRITICAL, "one\nPRIORITY=0", json);
	receive(fd, datagram, sizeof(datagram));
	snprintf(expected, sizeof(expected),
		 "MESSAGE=one PRIORITY=0\nPRIORITY=2\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=smtpwardd\nSYSLOG_PID=%d\n"
		 "SMTPWARD_FINDING=cleartext-auth\nSMTPWARD_SESSION=00ab\nSMTPWARD_JSON=%s\n", (int)getpid(), json);
	assert_string_equal(datagram, expected);
	sink_stop(sink);
	sink_join(sink);
	close(fd);
}

/* No event is written to the journal twice, and none is lost between the two. */
static void syslog_and_journal_do_not_report_twice(void **state)
{
	static const struct {
		bool enabled;
		enum journal_use use;
		struct sink_surroundings found; /* journal, syslog is the journal's, a daemon behind it */
		bool syslog, journal;
	} cases[] = {
		{ true, JOURNAL_AUTO, { false, false, false }, true, false }, /* a host without systemd */
		{ true, JOURNAL_AUTO, { true, false, false }, true, true },   /* syslog has a socket of its own */
		{ true, JOURNAL_AUTO, { true, true, false }, false, true },   /* systemd alone */
		{ true, JOURNAL_AUTO, { true, true, true }, true, false },    /* systemd and rsyslog */
		{ true, JOURNAL_ON, { true, true, true }, false, true },
		{ true, JOURNAL_ON, { true, false, true }, true, true },
		{ true, JOURNAL_ON, { false, false, false }, true, true },
		{ true, JOURNAL_OFF, { true, true, false }, true, false },
		{ false, JOURNAL_AUTO, { true, true, true }, false, true },
		{ false, JOURNAL_AUTO, { false, false, false }, false, false },
		{ false, JOURNAL_OFF, { true, true, true }, false, false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool syslog, journal;
		config.syslog.enabled = cases[i].enabled;
		config.journal = cases[i].use;
		sinks_choose(&config, &cases[i].found, &syslog, &journal);
		assert_int_equal(syslog, cases[i].syslog);
		assert_int_equal(journal, cases[i].journal);
	}
}

/* Reads the signals that the thread with this name blocks. */
static bool blocked_signals(const char *thread, unsigned long long *blocked)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	bool found = false;

	while (!found && (task = readdir(tasks))) {
		char name[300], line[256], expected[64];
		snprintf(name, sizeof(name), "/proc/self/task/%s/status", task->d_name);
		snprintf(expected, sizeof(expected), "Name:\t%s\n", thread);
		FILE *status = fopen(name, "r");
		if (!status)
			continue;
		found = fgets(line, sizeof(line), status) && !strcmp(line, expected);
		while (found && fgets(line, sizeof(line), status) && sscanf(line, "SigBlk: %llx", blocked) != 1)
			;
		fclose(status);
	}
	closedir(tasks);
	return found;
}

static void the_thread_leaves_signals_to_the_event_loop(void **state)
{
	unsigned long long blocked = 0;
	static const int signals[] = { SIGHUP, SIGTERM, SIGINT, SIGPIPE, SIGUSR1 };
	(void)state;
	struct sinks *sinks = open_file();
	for (unsigned i = 0; i < 500 && !blocked_signals("sink-file", &blocked); i++)
		usleep(20000); /* the thread names itself */
	assert_true(blocked_signals("sink-file", &blocked));
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_true(blocked >> (signals[i] - 1) & 1);
	sinks_close(sinks);
}

/* Finds rsyslogd on PATH, among the administrator's programs, or in the tree that SMTPWARD_TEST_ROOT names. */
static bool find_rsyslogd(char *command, size_t size, const char *configuration)
{
	const char *root = getenv("SMTPWARD_TEST_ROOT");
	if (system("PATH=$PATH:/usr/sbin command -v rsyslogd >/dev/null") == 0) {
		snprintf(command, size, "PATH=$PATH:/usr/sbin exec rsyslogd -n -i NONE -f %s", configuration);
		return true;
	}
	snprintf(command, size, "test -x %s/usr/sbin/rsyslogd", root ? root : "/nonexistent");
	if (system(command) != 0)
		return false;
	snprintf(command, size,
		 "lib=$(echo %s/usr/lib/*-linux-gnu); LD_LIBRARY_PATH=$lib exec %s/usr/sbin/rsyslogd -n -i NONE -M "
		 "$lib/rsyslog -f %s", root, root, configuration);
	return true;
}

static void write_rsyslog_configuration(const char *name, const char *output)
{
	FILE *file = fopen(name, "w");
	assert_non_null(file);
	fprintf(file,
		"global(workDirectory=\"%s\")\n"
		"module(load=\"imuxsock\" SysSock.Use=\"off\")\n"
		"module(load=\"mmjsonparse\")\n"
		"input(type=\"imuxsock\" Socket=\"%s\")\n"
		"template(name=\"t\" type=\"string\" string=\"%%parsesuccess%% %%syslogfacility-text%%.%%syslogseverity-text%% "
		"%%programname%% %%$!rule!id%% %%$!message%%\\n\")\n"
		"action(type=\"mmjsonparse\")\n"
		"action(type=\"omfile\" file=\"%s\" template=\"t\")\n",
		directory, path, output);
	fclose(file);
}

static pid_t spawn(const char *command)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	return child;
}

/* A real rsyslog takes the fields out of the JSON. */
static void rsyslog_reads_the_json(void **state)
{
	char configuration[128], output[128], command[1024], line[512] = "";
	(void)state;
	snprintf(configuration, sizeof(configuration), "%s/rsyslog.conf", directory);
	snprintf(output, sizeof(output), "%s/output", directory);
	if (!find_rsyslogd(command, sizeof(command), configuration)) {
		print_message("skipped: rsyslogd is not installed\n");
		skip();
	}
	write_rsyslog_configuration(configuration, output);
	pid_t daemon = spawn(command);
	WAIT_UNTIL(access(path, F_OK) == 0 || waitpid(daemon, NULL, WNOHANG) != 0);
	struct sinks *sinks = open_syslog();
	sinks_write(sinks, SEVERITY_CRITICAL, "ignored",
		    "{\"message\":\"to \\\"mx\\\" \\\\\\\\x1b\",\"rule\":{\"id\":\"cleartext-auth\"}}");
	WAIT_UNTIL(stats_of(sinks).written == 1);
	sinks_close(sinks);
	struct stat status;
	WAIT_UNTIL(stat(output, &status) == 0 && status.st_size > 0);
	kill(daemon, SIGTERM);
	waitpid(daemon, NULL, 0);
	FILE *file = fopen(output, "r");
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	assert_string_equal(line, "OK mail.crit smtpwardd cleartext-auth to \"mx\" \\\\x1b\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_file_gets_lines_in_order),
		TEST(a_file_moved_away_is_made_again),
		TEST(a_file_that_cannot_be_is_an_error),
		TEST(a_socket_path_too_long_is_an_error),
		TEST(a_fifo_that_nobody_reads_drops_and_counts),
		TEST(a_slow_reader_gets_what_was_queued),
		TEST(a_full_disk_is_tried_again),
		TEST(a_line_cut_short_is_completed),
		TEST(the_queue_is_bounded_in_bytes),
		TEST(syslog_gets_a_datagram),
		TEST(syslog_gets_a_stream),
		TEST(syslog_is_found_again),
		TEST(a_stopped_syslog_drops_and_counts),
		TEST(a_stopped_syslog_does_not_hold_up_the_end),
		TEST(a_long_message_is_shortened_and_still_json),
		TEST(the_journal_gets_fields),
		TEST(syslog_and_journal_do_not_report_twice),
		TEST(the_thread_leaves_signals_to_the_event_loop),
		TEST(rsyslog_reads_the_json),
	};
	return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
