/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the way of an event: ring records of any size and any bytes, through ring, decoder, session, judgement, alert, JSON.
 * Only the monitor and the sinks are stubs. The input: a byte of options, then records: a byte that
 * says which kind, and a piece that is copied over it. Whatever comes in, each record is counted, each session has an
 * outcome, and what goes out is one printable line of JSON.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

#include "agent.h"
#include "alert.h"
#include "config.h"
#include "control.h"
#include "event_ring.h"
#include "facts.h"
#include "fuzz.h"
#include "history.h"
#include "identity_check.h"
#include "monitor.h"
#include "resumption.h"
#include "session.h"
#include "session_json.h"
#include "sink.h"

#define OPEN_MAX 6
#define KEEP 4
#define RING_SIZE 16384UL
#define OPTION_ANSWERS 0x80
#define KIND_RAW 4 /* kinds up to here: flow, handshake, witness, certificate, any size */
#define KIND_FITTED 0x80 /* values are brought into their ranges, so that most records are believed */

static struct fuzz_input input;
static uint64_t records;
static uint8_t options;

/* ---- what stands behind the agent -------------------------------------------------------------------------- */

static void check_line(const char *text)
{
	for (; *text; text++)
		REQUIRE((unsigned char)*text >= 0x20 && *text != 0x7f);
}

void sinks_write(struct sinks *sinks, enum severity severity, const char *sentence, const char *json)
{
	(void)sinks;
	REQUIRE(severity < SEVERITY_COUNT);
	check_line(sentence);
	check_line(json);
	json_t *record = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
	REQUIRE(json_is_object(record));
	json_decref(record);
}

void control_publish_session(struct control *control, const struct session *session)
{
	(void)control;
	json_t *row = session_json(session);
	char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
	REQUIRE(text != NULL);
	check_line(text);
	free(text);
	json_decref(row);
	REQUIRE(session->judgement.outcome < OUTCOME_COUNT);
	REQUIRE((session->judgement.outcome == OUTCOME_UNKNOWN) == (session->judgement.unknown_reason != NULL));
	REQUIRE(session->judgement.findings >> FINDING_COUNT == 0);
}

void control_publish_alert(struct control *control, const struct alert *alert)
{
	(void)control;
	REQUIRE(alert->finding < FINDING_COUNT && alert->severity < SEVERITY_COUNT);
}

int monitor_destroy_socket(struct monitor *monitor, const struct flow_event *event)
{
	(void)monitor;
	return event->pid & 1 ? -EAGAIN : 0;
}

int monitor_find_socket(struct monitor *monitor, const struct flow_event *event)
{
	(void)monitor;
	return event->pid & 1 ? -EAGAIN : 0;
}

bool monitor_interface(struct monitor *monitor, uint32_t ifindex, char name[16])
{
	(void)monitor;
	snprintf(name, 16, "%u", ifindex);
	return ifindex & 1;
}

int monitor_set_identity(struct monitor *monitor, uint64_t flow_id, enum identity identity)
{
	(void)monitor;
	REQUIRE(flow_id != 0 && identity <= IDENTITY_LEFT_OPEN);
	return 0;
}

int monitor_release_socket(struct monitor *monitor, const struct flow_event *event, uint32_t pid)
{
	(void)monitor;
	(void)pid;
	return event->pid & 1 ? -EAGAIN : 0;
}

void monitor_witness_sender(struct monitor *monitor, uint32_t pid)
{
	(void)monitor;
	(void)pid;
}

char *monitor_cgroup_path(struct monitor *monitor, uint64_t cgroup_id)
{
	(void)monitor;
	return cgroup_id & 1 ? NULL : strdup("/sender\033.slice");
}

void monitor_counters(struct monitor *monitor, uint64_t counters[COUNTER_COUNT])
{
	(void)monitor;
	memset(counters, 0, COUNTER_COUNT * sizeof(*counters));
	counters[COUNTER_EVENTS_LOST] = 1; /* so that a sweep looks */
}

const char *monitor_cgroup(const struct monitor *monitor)
{
	(void)monitor;
	return "/";
}

const struct kernel_hook *monitor_hooks(struct monitor *monitor, unsigned *count)
{
	(void)monitor;
	*count = 0;
	return NULL;
}

enum policy_mode monitor_mode(const struct monitor *monitor)
{
	(void)monitor;
	return MODE_BLOCK;
}

int monitor_set_mode(struct monitor *monitor, enum policy_mode mode)
{
	(void)monitor;
	(void)mode;
	return 0;
}

int monitor_set_policy(struct monitor *monitor, const struct config *config)
{
	(void)monitor;
	(void)config;
	return 0;
}

int monitor_open_config(struct monitor *monitor)
{
	(void)monitor;
	return -ENOENT;
}

/* ---- records ----------------------------------------------------------------------------------------------- */

union record {
	struct flow_event flow;
	struct handshake_event handshake;
	struct witness_event witness;
	struct certificate_event certificate;
	uint8_t bytes[2048];
};

static void fit(union record *record, unsigned kind)
{
	record->flow.flow_id = 1 + record->flow.flow_id % (OPEN_MAX + 2); /* all kinds have it at their start */
	if (kind == 0) {
		struct flow_event *flow = &record->flow;
		flow->time_ns >>= 2;
		flow->opened_ns >>= 2;
		flow->held_ns >>= 2;
		flow->sequence = flow->sequence ? flow->sequence : 1;
		flow->reason = (uint8_t)(EVENT_OPENED + flow->reason % EVENT_HELD);
		flow->end %= FLOW_END_RESET + 1;
		flow->require %= REQUIRE_VERIFIED + 1;
		flow->undecided &= 1;
		flow->facts &= (1ULL << FACT_COUNT) - 1;
		flow->stopped &= flow->facts;
		flow->mechanism[MECHANISM_SIZE - 1] = flow->account[ACCOUNT_SIZE - 1] = flow->server_name[SERVER_NAME_SIZE - 1] = 0;
	} else if (kind == 1) {
		record->handshake.length = (uint16_t)(1 + record->handshake.length % HANDSHAKE_CHUNK);
		record->handshake.from_server &= 1;
		record->handshake.offset %= HANDSHAKE_LIMIT;
	} else if (kind == 2) {
		record->witness.time_ns >>= 2;
		record->witness.library = (uint8_t)(1 + record->witness.library % WITNESS_GNUTLS);
		record->witness.kind = (uint8_t)(1 + record->witness.kind % WITNESS_RESULT);
		record->witness.named %= WITNESS_NAMED_SEVERAL + 1;
		record->witness.mode %= WITNESS_MODE_STRICT + 1;
		record->witness.name_length %= WITNESS_NAME_SIZE;
		record->witness.name[WITNESS_NAME_SIZE - 1] = 0;
	}
}

static bool next_record(union record *record, size_t *size)
{
	static const size_t sizes[] = { sizeof(struct flow_event), sizeof(struct handshake_event), sizeof(struct witness_event),
					sizeof(struct certificate_event) };
	size_t length;
	if (!input.left)
		return false;
	uint8_t kind = fuzz_byte(&input);
	const uint8_t *piece = fuzz_piece(&input, &length);
	memset(record, 0, sizeof(*record));
	length = length < sizeof(*record) ? length : sizeof(*record);
	memcpy(record, piece, length);
	unsigned which = (kind & ~KIND_FITTED) % (KIND_RAW + 1);
	*size = which == KIND_RAW ? length : sizes[which];
	if (kind & KIND_FITTED)
		fit(record, which);
	return true;
}

/* The ring, as the kernel lays it out (event_ring.h); the second copy of the data is written, not mapped. */
static struct {
	struct event_ring *reader;
	uint8_t *pages; /* consumer's position, producer's, data, data */
	size_t page;
} ring;

static void open_ring(void)
{
	ring.page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = 2 * ring.page + 2 * RING_SIZE;
	int fd = memfd_create("ring", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	ring.pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(ring.pages != MAP_FAILED);
	ring.reader = event_ring_open(fd, RING_SIZE);
	REQUIRE(ring.reader != NULL);
}

static void put_bytes(unsigned long position, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		size_t at = (position + i) & (RING_SIZE - 1);
		ring.pages[2 * ring.page + at] = ring.pages[2 * ring.page + RING_SIZE + at] = ((const uint8_t *)bytes)[i];
	}
}

/* Puts a record into the ring. Returns false if it is full. */
static bool put_record(const union record *record, size_t size)
{
	unsigned long *produced = (unsigned long *)(ring.pages + ring.page), *consumed = (unsigned long *)ring.pages;
	uint32_t header[2] = { (uint32_t)size, 0 };
	size_t room = (size + sizeof(header) + 7) & ~(size_t)7;
	if (*produced - *consumed + room > RING_SIZE)
		return false;
	put_bytes(*produced, header, sizeof(header));
	put_bytes(*produced + sizeof(header), record, size);
	*produced += room;
	return true;
}

/* All records, through the ring; it is read whenever it is full. */
static void read_all(struct agent *agent)
{
	union record record;
	size_t size;
	while (next_record(&record, &size)) {
		if (!put_record(&record, size)) {
			agent_read_events(agent);
			REQUIRE(put_record(&record, size));
		}
		records++;
	}
	agent_read_events(agent);
}

/* What became of errands; the monitor may be slow, and the session another by now. */
static void take_answers(struct agent *agent)
{
	for (uint64_t flow = 0; flow <= OPEN_MAX + 2; flow++) {
		agent_take_answer(agent, MONITOR_FIND_SOCKET, flow, flow & 1 ? -ENOENT : 0);
		agent_take_answer(agent, MONITOR_DESTROY_SOCKET, flow, flow & 1 ? -EPERM : 0);
		agent_take_answer(agent, MONITOR_RELEASE_SOCKET, flow, flow & 1 ? -ENOENT : 0);
	}
}

/* ---- the agent --------------------------------------------------------------------------------------------- */

static struct config *load_config(void)
{
	static const char text[] = "mode: block\n"
				   "policy:\n"
				   "  default: {require: verified, action: block}\n"
				   "  rules:\n"
				   "    - {to: 192.0.2.0/24, require: verified, name: mx.example}\n";
	char path[64], error[256] = "";
	int fd = memfd_create("config", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	REQUIRE(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
	struct config *config = config_load(path, error, sizeof(error));
	if (!config)
		fprintf(stderr, "%s\n", error);
	REQUIRE(config != NULL);
	close(fd);
	return config;
}

static void open_agent(struct agent *agent)
{
	static struct config *config;
	static struct identity_checker *checker;
	char error[256];
	if (!config) {
		config = load_config();
		open_ring();
		checker = identity_checker_new(NULL, error, sizeof(error));
		REQUIRE(checker != NULL);
	}
	config->account = (enum account_form)(options % (ACCOUNT_NONE + 1));
	agent->config = config;
	agent->ring = ring.reader;
	agent->identity_checker = checker;
	agent->sessions = sessions_new(KEEP, OPEN_MAX);
	agent->history = history_new(config->fallback_window_s, 8);
	agent->alerts = alerts_new(config, agent_emit_alert, agent);
	agent->resumption = resumption_new(4);
	REQUIRE(agent->sessions && agent->history && agent->alerts && agent->resumption);
}

static void close_agent(struct agent *agent)
{
	struct timespec now = { .tv_sec = 2000000000 };
	alerts_flush(agent->alerts, now);
	alerts_free(agent->alerts);
	history_free(agent->history);
	resumption_free(agent->resumption);
	sessions_free(agent->sessions);
	agent_forget_cgroups(agent);
	agent_forget_forwards(agent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent agent = { 0 };
	input = (struct fuzz_input){ data, size };
	records = 0;
	options = fuzz_byte(&input);
	open_agent(&agent);
	read_all(&agent);
	agent_sweep(&agent);
	if (options & OPTION_ANSWERS)
		take_answers(&agent);
	REQUIRE(agent.counts.events_read == records);
	REQUIRE(sessions_open_count(agent.sessions) <= OPEN_MAX && sessions_closed_count(agent.sessions) <= KEEP);
	close_agent(&agent);
	return 0;
}
