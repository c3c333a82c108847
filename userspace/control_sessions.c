/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The commands that look through the table of sessions. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <uthash.h>

#include "address.h"
#include "agent.h"
#include "control_connection.h"
#include "finding.h"
#include "session.h"
#include "session_json.h"

#define DESTINATIONS_SHOWN 10

struct filter {
	struct timespec since;
	int outcome; /* -1: any */
	const char *name; /* of the server, as it greets; NULL: any */
	bool by_address;
	struct address_prefix prefix;
	json_int_t pid; /* 0: any */
	bool open;
	json_int_t limit; /* the newest so many; 0: all */
};

/* Date and time with a zone (RFC 3339 section 5.6); fractions of a second are read over. */
static bool parse_rfc3339(const char *text, time_t *seconds)
{
	struct tm broken = { 0 };
	unsigned hours, minutes;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &broken);
	char sign;
	int end = 0;

	if (!rest)
		return false;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	*seconds = timegm(&broken);
	if (!strcmp(rest, "Z") || !strcmp(rest, "z"))
		return true;
	if (sscanf(rest, "%c%2u:%2u%n", &sign, &hours, &minutes, &end) != 3 || rest[end] || hours > 23 || minutes > 59 ||
	    (sign != '+' && sign != '-'))
		return false;
	*seconds -= (time_t)(hours * 60 + minutes) * (sign == '+' ? 60 : -60);
	return true;
}

/* "since": so many seconds ago, or a time. */
static bool filter_since(struct connection *connection, const json_t *request, struct filter *filter)
{
	const char *text = json_string_value(json_object_get(request, "since"));
	json_int_t seconds;
	int found;

	if (text) {
		if (parse_rfc3339(text, &filter->since.tv_sec))
			return true;
		connection_error(connection, "bad-argument",
				 "\"since\" is a number of seconds or a time such as 2026-01-31T12:00:00Z");
		return false;
	}
	found = request_number(connection, request, "since", 0, 1000000000000, &seconds);
	if (found > 0) {
		clock_gettime(CLOCK_REALTIME, &filter->since);
		filter->since.tv_sec -= seconds;
	}
	return found >= 0;
}

static bool filter_outcome(struct connection *connection, const json_t *request, struct filter *filter)
{
	const char *text = NULL;

	filter->outcome = -1;
	if (request_text(connection, request, "outcome", &text) < 0)
		return false;
	if (!text)
		return true;
	filter->outcome = outcome_by_name(text);
	if (filter->outcome >= 0)
		return true;
	connection_error(connection, "bad-argument", "there is no outcome \"%s\"", text);
	return false;
}

/* "to": an address, a prefix, or the name that the server gave in its greeting. */
static bool filter_to(struct connection *connection, const json_t *request, struct filter *filter)
{
	const char *text = NULL;

	if (request_text(connection, request, "to", &text) < 0)
		return false;
	if (!text)
		return true;
	filter->by_address = address_prefix_parse(text, &filter->prefix);
	if (filter->by_address)
		return true;
	if (strpbrk(text, "/:")) {
		connection_error(connection, "bad-argument", "\"%s\" is no address, prefix or name", text);
		return false;
	}
	filter->name = text;
	return true;
}

static bool filter_open(struct connection *connection, const json_t *request, struct filter *filter)
{
	const json_t *value = json_object_get(request, "open");

	if (value && !json_is_boolean(value)) {
		connection_error(connection, "bad-argument", "\"open\" is true or false");
		return false;
	}
	filter->open = json_is_true(value);
	return true;
}

static bool filter_read(struct connection *connection, const json_t *request, struct filter *filter)
{
	return filter_since(connection, request, filter) && filter_outcome(connection, request, filter) &&
	       filter_to(connection, request, filter) && filter_open(connection, request, filter) &&
	       request_number(connection, request, "pid", 1, UINT32_MAX, &filter->pid) >= 0 &&
	       request_number(connection, request, "limit", 1, UINT32_MAX, &filter->limit) >= 0;
}

static bool is_earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static bool filter_takes(const struct filter *filter, const struct session *session)
{
	const struct flow_event *last = &session->last;

	if (is_earlier(&session->opened, &filter->since))
		return false;
	if (filter->outcome >= 0 && (int)session->judgement.outcome != filter->outcome)
		return false;
	if (filter->pid && filter->pid != last->pid)
		return false;
	if (filter->open && last->reason == EVENT_CLOSED)
		return false;
	if (filter->name && strncasecmp(filter->name, last->server_name, sizeof(last->server_name)))
		return false;
	return !filter->by_address || address_prefix_has(&filter->prefix, last->server_address);
}

void control_sessions(struct connection *connection, const json_t *request)
{
	struct sessions *sessions = connection->agent->sessions;
	size_t room = (size_t)sessions_open_count(sessions) + sessions_closed_count(sessions), count = 0, skip;
	struct filter filter = { 0 };
	uint64_t *ids;

	if (!filter_read(connection, request, &filter))
		return;
	ids = malloc((room + 1) * sizeof(*ids));
	if (!ids) {
		connection_error(connection, "failed", "no memory");
		return;
	}
	for (const struct session *session = sessions_oldest(sessions); session && count < room;
	     session = sessions_newer(sessions, session))
		if (filter_takes(&filter, session))
			ids[count++] = session->id;
	skip = filter.limit && count > (size_t)filter.limit ? count - (size_t)filter.limit : 0;
	memmove(ids, ids + skip, (count - skip) * sizeof(*ids));
	connection_answer_sessions(connection, ids, count - skip);
}

/* How often one finding was made with one server. */
struct tally {
	struct {
		__u8 address[16];
		uint32_t port;
		uint32_t finding;
	} key;
	unsigned sessions;
	char name[SERVER_NAME_SIZE]; /* of the server, as it greeted last */
	UT_hash_handle hh;
};

static struct tally *tally_add(struct tally *tallies, const struct session *session, unsigned finding)
{
	struct tally *tally, wanted = { .key = { .port = session->last.server_port, .finding = finding } };

	memcpy(wanted.key.address, session->last.server_address, sizeof(wanted.key.address));
	HASH_FIND(hh, tallies, &wanted.key, sizeof(wanted.key), tally);
	if (!tally) {
		tally = calloc(1, sizeof(*tally));
		if (!tally)
			return tallies;
		tally->key = wanted.key;
		HASH_ADD(hh, tallies, key, sizeof(tally->key), tally);
	}
	tally->sessions++;
	memcpy(tally->name, session->last.server_name, sizeof(tally->name)); /* the table goes from old to new */
	return tallies;
}

static int by_sessions(const struct tally *a, const struct tally *b)
{
	return (a->sessions < b->sessions) - (a->sessions > b->sessions);
}

static json_t *destinations_json(const struct tally *tallies, unsigned finding, unsigned *more)
{
	json_t *list = json_array();

	*more = 0;
	for (const struct tally *tally = tallies; tally; tally = tally->hh.next) {
		char text[ADDRESS_TEXT_SIZE];
		if (tally->key.finding != finding)
			continue;
		if (json_array_size(list) == DESTINATIONS_SHOWN) {
			++*more;
			continue;
		}
		json_array_append_new(list,
				      json_pack("{s:s,s:i,s:o,s:I}", "address", address_text(tally->key.address, text),
						"port", (int)tally->key.port, "name",
						text_json(tally->name, sizeof(tally->name)), "sessions",
						(json_int_t)tally->sessions));
	}
	return list;
}

struct finding_count {
	unsigned sessions;
	unsigned severity;
	struct timespec newest; /* when the newest of them was opened */
};

static json_t *finding_json(const struct finding_count *count, const struct tally *tallies, unsigned finding)
{
	unsigned more;
	json_t *destinations = destinations_json(tallies, finding, &more);

	return json_pack("{s:s,s:s,s:s,s:I,s:o,s:o,s:I}", "finding", finding_name((enum finding)finding), "summary",
			 finding_text((enum finding)finding)->summary, "severity",
			 severity_name((enum severity)count->severity), "sessions", (json_int_t)count->sessions, "last",
			 time_json(&count->newest), "destinations", destinations, "destinations_more",
			 (json_int_t)more);
}

static struct tally *count_session(struct finding_count *counts, struct tally *tallies, const struct session *session)
{
	for (unsigned i = 0; i < FINDING_COUNT; i++) {
		if (!(session->judgement.findings & FINDING_MASK(i)))
			continue;
		counts[i].sessions++;
		counts[i].newest = session->opened;
		if (session->judgement.severity[i] > counts[i].severity && session->judgement.severity[i] < SEVERITY_COUNT)
			counts[i].severity = session->judgement.severity[i];
		tallies = tally_add(tallies, session, i);
	}
	return tallies;
}

void control_findings(struct connection *connection, const json_t *request)
{
	struct sessions *sessions = connection->agent->sessions;
	struct finding_count counts[FINDING_COUNT] = { 0 };
	struct tally *tallies = NULL, *tally, *next;
	json_t *list = json_array();

	(void)request;
	for (const struct session *session = sessions_oldest(sessions); session; session = sessions_newer(sessions, session))
		tallies = count_session(counts, tallies, session);
	HASH_SORT(tallies, by_sessions);
	for (unsigned i = 0; i < FINDING_COUNT; i++)
		if (counts[i].sessions)
			json_array_append_new(list, finding_json(&counts[i], tallies, i));
	HASH_ITER(hh, tallies, tally, next) {
		HASH_DEL(tallies, tally);
		free(tally);
	}
	connection_answer(connection, json_pack("{s:o}", "findings", list));
}
