/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The same dialogues over the same bad wire, through the kernel (real sockets, real hooks), through the model of it in user
 * space (sequence.h), and, where the CLI is there, through a capture file: the kernel must come to what the model
 * comes to, the model must keep to what was said, and so must `smtpward read`.
 *
 * DIFFERENTIAL_SESSIONS (300) says how many, DIFFERENTIAL_SEED (1) which ones. A failure names the seed of its session:
 * DIFFERENTIAL_SEED=that DIFFERENTIAL_SESSIONS=1 plays it alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "facts.h"
#include "lab.h"
#include "said.h"
#include "sequence.h"
#include "tun_wire.h"

#define STEP_MAX 3000 /* longer vectors are left to bpf_vectors */
#define PIECES_MAX 4
#define GAPS (FACT(CLIENT_GAP) | FACT(SERVER_GAP))
#define HEAR_MS 20000

static struct tun_wire wire;
static struct sequence sequence;
static const char *no_wire;

/* ---- chance ----------------------------------------------------------------------------------------------- */

static uint64_t chance_state;

static uint32_t chance(uint32_t below)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return (uint32_t)((chance_state * 0x2545f4914f6cdd1dULL >> 33) % below);
}

static void seed_chance(uint64_t seed)
{
	chance_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	for (int i = 0; i < 8; i++)
		chance(2);
}

/* Cuts length bytes into pieces, none over TUN_PIECE_MAX. Returns how many; end[i] is where the i-th ends. */
static unsigned cut(size_t length, size_t end[])
{
	unsigned count = 0;
	size_t at = 0;
	while (at < length) {
		size_t rest = length - at, most = rest < TUN_PIECE_MAX ? rest : TUN_PIECE_MAX;
		size_t piece = count + 1 < PIECES_MAX && chance(2) ? 1 + chance((uint32_t)most) : most;
		at += piece;
		end[count++] = at;
	}
	return count;
}

/* ---- both directions -------------------------------------------------------------------------------------- */

static uint8_t server_stream[SEQUENCE_BYTES_MAX];
static uint32_t server_length, client_length;

static void say(uint32_t from, uint32_t to, bool spoilt)
{
	uint8_t copy[2048];
	if (from >= to)
		return;
	memcpy(copy, server_stream + from, to - from);
	for (uint32_t i = 0; spoilt && i < to - from; i++)
		copy[i] ^= (uint8_t)(1 + i % 3);
	if (tun_wire_say(&wire, from, copy, to - from, spoilt))
		sequence_server(&sequence, from, copy, to - from, spoilt);
}

/* What the server's TCP sends again until all has come. */
static void mend(void)
{
	while (sequence.server_taken < server_length) {
		uint32_t from = sequence.server_taken, rest = server_length - from;
		say(from, from + (rest < TUN_PIECE_MAX ? rest : TUN_PIECE_MAX), false);
	}
}

/* A reply: its pieces with one fault, or none, and what TCP makes up for. */
static void server_speaks(const uint8_t *bytes, size_t length)
{
	size_t end[64];
	uint32_t start = server_length;
	memcpy(server_stream + start, bytes, length);
	server_length += (uint32_t)length;
	unsigned count = cut(length, end), fault = chance(10), where = chance(count ? count : 1);
	for (unsigned i = 0; i < count; i++) {
		uint32_t from = start + (i ? (uint32_t)end[i - 1] : 0), to = start + (uint32_t)end[i];
		if (i == where && fault == 0)
			continue; /* lost, or overtaken by the next ones */
		say(from, to, i == where && fault == 1 && !wire.capture); /* `read` cannot tell a bad checksum from one left to hardware */
		if (i == where && fault == 2)
			say(from, to, false); /* twice */
		if (i == where && fault == 3 && from > 0)
			say(from - 1 - chance(from < 200 ? from : 200), to, false); /* cut otherwise the second time */
	}
	mend();
}

/* The client writes, and what it sends goes the way to the server; now and then the answer is late and it sends again. */
static void client_speaks(const uint8_t *bytes, size_t length)
{
	struct tun_segment segment;
	size_t end[64];
	unsigned count = cut(length, end);
	bool late = chance(40) == 0;
	for (unsigned i = 0; i < count; i++) {
		size_t from = i ? end[i - 1] : 0;
		assert_int_equal(send(wire.client, bytes + from, end[i] - from, MSG_NOSIGNAL), end[i] - from);
		uint32_t target = client_length + (uint32_t)end[i];
		do {
			if (!tun_wire_hear(&wire, &segment, HEAR_MS))
				fail_msg("the client's bytes did not leave");
			sequence_client(&sequence, segment.offset, segment.bytes, segment.length);
		} while (segment.offset + segment.length < target);
		if (!late)
			tun_wire_acknowledge(&wire, target);
	}
	client_length += (uint32_t)length;
	if (late && tun_wire_hear(&wire, &segment, HEAR_MS))
		sequence_client(&sequence, segment.offset, segment.bytes, segment.length);
	if (late)
		tun_wire_acknowledge(&wire, client_length);
}

/* ---- a session -------------------------------------------------------------------------------------------- */

static uint8_t step_bytes[VECTOR_SEGMENT_MAX];

static bool is_fit(const struct vector *vector)
{
	size_t total = 0;
	if (vector->midway)
		return false; /* bpf_adopt has those */
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector->steps[i].repeat * vector->steps[i].length;
		total += length;
		if (length > STEP_MAX)
			return false;
	}
	return total < SEQUENCE_BYTES_MAX;
}

static void play(const struct vector *vector)
{
	server_length = client_length = 0;
	sequence_start(&sequence, vector->implicit_tls, MODE_MONITOR);
	tun_wire_connect(&wire, vector->implicit_tls ? lab.implicit_port : lab.starttls_port);
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], step_bytes);
		if (vector->steps[i].side == VECTOR_SERVER)
			server_speaks(step_bytes, length);
		else
			client_speaks(step_bytes, length);
	}
	tun_wire_reset(&wire);
}

/* Returns whether kernel, model and what was said agree. */
static bool session_agrees(const struct vector *vector, bool *gap)
{
	lab_forget_events();
	play(vector);
	struct flow_event kernel = *lab_wait(wire.client_port, EVENT_CLOSED);
	struct flow_event seen = dialogue_run_event(&sequence.seen, EVENT_CLOSED);
	const char *fault = sequence_fault(&sequence);
	bool good = same(vector->name, &kernel, &seen) && !fault;
	*gap = (seen.facts & GAPS) != 0;
	if (fault)
		print_error("%s: the hooks tell %s\n", vector->name, fault);
	if (good && !*gap && !vector->whole_only && seen.facts != vector->facts) {
		print_error("%s: facts %#llx, and the vector says %#llx\n", vector->name, (unsigned long long)seen.facts,
			    (unsigned long long)vector->facts);
		good = false;
	}
	return good;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- the capture file ------------------------------------------------------------------------------------- */

#define READ_MAX 4096

static struct {
	uint16_t client_port;
	uint64_t facts; /* said */
	uint64_t seed;
} played[READ_MAX];
static unsigned played_count;

static uint64_t facts_of(const json_t *session)
{
	static const char *const names[] = {
#define X(id, name) name,
		FACTS(X)
#undef X
	};
	const json_t *name;
	uint64_t facts = 0;
	size_t index;
	json_array_foreach(json_object_get(session, "facts"), index, name)
		for (unsigned i = 0; i < FACT_COUNT; i++)
			facts |= (uint64_t)(strcmp(names[i], json_string_value(name)) == 0) << i;
	return facts;
}

static unsigned port_of(const json_t *session, const char *side)
{
	return (unsigned)json_integer_value(json_object_get(json_object_get(session, side), "port"));
}

/* The CLI's own words on a capture, as JSON; NULL where it is not built. */
static json_t *read_capture(const char *path)
{
	char command[1024];
	snprintf(command, sizeof(command), "%s -j read --ports %u,%u/tls %s 2>/dev/null", CLI, lab.starttls_port, lab.implicit_port, path);
	FILE *output = popen(command, "r");
	json_t *object = output ? json_loadf(output, 0, NULL) : NULL;
	if (output)
		pclose(output);
	return object;
}

static bool capture_agrees(const json_t *session, unsigned i)
{
	uint64_t facts = facts_of(session), may = GAPS | FACT(WOULD_BLOCK);
	bool good = facts & GAPS ? (facts & ~played[i].facts & ~may) == 0 : ((facts ^ played[i].facts) & ~may) == 0;
	if (!good)
		print_error("seed %" PRIu64 ": the capture file tells %#llx, said was %#llx\n", played[i].seed,
			    (unsigned long long)facts, (unsigned long long)played[i].facts);
	return good;
}

static unsigned count_disagreements(const json_t *list)
{
	unsigned failed = 0, found = 0;
	const json_t *session;
	size_t index;
	json_array_foreach(list, index, session) {
		for (unsigned i = 0; i < played_count; i++) {
			if (played[i].client_port != port_of(session, "client"))
				continue;
			failed += !capture_agrees(session, i);
			found++;
			break;
		}
	}
	assert_int_equal(found, played_count);
	return failed;
}

/* ---- tests ------------------------------------------------------------------------------------------------ */

static void wire_needed(void)
{
	lab_needed();
	if (!no_wire && !wire.fd)
		no_wire = tun_wire_open(&wire);
	if (no_wire) {
		print_message("no test here: %s\n", no_wire);
		skip();
	}
}

static void sessions_over_a_bad_wire(void **state)
{
	uint64_t first = setting("DIFFERENTIAL_SEED", 1), count = setting("DIFFERENTIAL_SESSIONS", 300);
	unsigned failed = 0, gaps = 0;
	(void)state;
	wire_needed();
	lab_set(MODE_MONITOR, &dialogue_run_encrypted, false, false);
	for (uint64_t seed = first; seed < first + count; seed++) {
		const struct vector *vector;
		bool gap = false;
		seed_chance(seed);
		do
			vector = &vectors[chance((uint32_t)vector_count)];
		while (!is_fit(vector));
		if (!session_agrees(vector, &gap)) {
			print_error("DIFFERENTIAL_SEED=%" PRIu64 " DIFFERENTIAL_SESSIONS=1\n", seed);
			failed++;
		}
		gaps += gap;
		if (played_count < READ_MAX) {
			played[played_count].client_port = wire.client_port;
			played[played_count].facts = sequence.said.client.facts | sequence.said.server.facts;
			played[played_count++].seed = seed;
		}
	}
	print_message("%u of %" PRIu64 " sessions with a gap\n", gaps, count);
	assert_int_equal(failed, 0);
	assert_true(count < 100 || (gaps > 0 && gaps < count)); /* the wire is bad, and not only that */
}

static void the_same_out_of_a_capture_file(void **state)
{
	char path[] = "/tmp/smtpward-differential-XXXXXX";
	(void)state;
	wire_needed();
	if (access(CLI, X_OK) < 0)
		skip();
	int fd = mkstemp(path);
	wire.capture = fd >= 0 ? fdopen(fd, "w") : NULL;
	assert_non_null(wire.capture);
	played_count = 0;
	sessions_over_a_bad_wire(state);
	fclose(wire.capture);
	wire.capture = NULL;
	json_t *object = read_capture(path);
	if (!getenv("DIFFERENTIAL_KEEP"))
		unlink(path);
	assert_non_null(object);
	unsigned failed = count_disagreements(json_object_get(object, "sessions"));
	json_decref(object);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_over_a_bad_wire),
		cmocka_unit_test(the_same_out_of_a_capture_file),
	};
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
