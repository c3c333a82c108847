/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the reader of captures and the writer of evidence. The first byte says how the rest is read: as frames of some link
 * type, each behind its length; or as what two hosts do, so that TCP and SMTP are met more often than by chance. Sessions
 * must make sense, and what is recorded of them must be read again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "capture.h"
#include "capture_record.h"
#include "facts.h"
#include "session_json.h"

#define SEEN_MAX 256
#define ACTIONS_MAX 400
#define LINK_RAW 12

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

#define REQUIRE(condition) require(condition, #condition)

static struct {
	uint64_t ids[SEEN_MAX];
	unsigned count;
	struct record *record;
} seen;

static void check_session(void *context, const struct session *session)
{
	const uint64_t doubt = FACT(CLIENT_GAP) | FACT(SERVER_GAP) | FACT(SERVER_CAP);
	const uint32_t certain = FINDING_MASK(FINDING_CLEARTEXT_AUTH) | FINDING_MASK(FINDING_CLEARTEXT_MAIL) |
				 FINDING_MASK(FINDING_TLS_FALLBACK);
	const struct judgement *judgement = &session->judgement;
	json_t *object = session_json(session);
	(void)context;
	REQUIRE(object != NULL);
	json_decref(object);
	REQUIRE(judgement->outcome < OUTCOME_COUNT);
	REQUIRE(session->last.facts >> FACT_COUNT == 0);
	if (facts_are_lost(session->last.facts))
		REQUIRE(judgement->findings == 0 && judgement->outcome == OUTCOME_UNKNOWN);
	if ((session->last.facts & doubt) && !facts_tls_established(session->last.facts))
		REQUIRE((judgement->findings & ~certain) == 0);
	if (seen.record)
		record_session(seen.record, session);
	else if (seen.count < SEEN_MAX)
		seen.ids[seen.count++] = session->id;
}

/* ---- two hosts -------------------------------------------------------------------------------------------- */

struct host {
	uint32_t next;
};

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static void segment(struct capture *capture, const struct host hosts[2], int from, uint8_t flags, int32_t shift, const void *bytes,
		    size_t count, uint64_t time_ns)
{
	static uint8_t packet[40 + 512];
	memset(packet, 0, 40);
	packet[0] = 0x45;
	put16(packet + 2, (unsigned)(40 + count));
	packet[9] = 6;
	put32(packet + 12, 0xc0000200U + (unsigned)from);
	put32(packet + 16, 0xc0000200U + (unsigned)!from);
	put16(packet + 20, from ? 25 : 40000);
	put16(packet + 22, from ? 40000 : 25);
	put32(packet + 24, hosts[from].next + (uint32_t)shift);
	put32(packet + 28, hosts[!from].next);
	packet[32] = 0x50;
	packet[33] = flags;
	memcpy(packet + 40, bytes, count);
	capture_take(capture, LINK_RAW, packet, (uint32_t)(40 + count), (uint32_t)(40 + count), time_ns);
}

static const char *const lines[] = {
	"220 mx ESMTP\r\n", "EHLO a\r\n", "250-mx\r\n250 STARTTLS\r\n", "250 ok\r\n", "STARTTLS\r\n", "220 go\r\n", "454 no\r\n",
	"AUTH PLAIN AHVzZXIAcGFzcw==\r\n", "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n", "dXNlcg==\r\n", "MAIL FROM:<a>\r\n", "DATA\r\n",
	"354 go\r\n", "text\r\n.\r\n", "BDAT 4\r\nabcd", "QUIT\r\n", "\x16\x03\x01\x00\x05\x01hell", "\x16\x03\x03\x00\x04\x02hel",
	"\x17\x03\x03\x00\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
};

/* Each action takes two bytes: what is sent, and how it goes wrong. */
static void play(struct capture *capture, const uint8_t *data, size_t size)
{
	struct host hosts[2] = { { 0xffffff80 }, { 77 } };
	uint64_t time_ns = 1700000000ULL * 1000000000;
	for (unsigned i = 0; i + 1 < size && i / 2 < ACTIONS_MAX; i += 2) {
		int from = data[i] & 1;
		unsigned way = data[i + 1] & 15;
		const char *line = lines[(data[i] >> 1) % (sizeof(lines) / sizeof(lines[0]))];
		size_t count = strlen(line), cut = (data[i + 1] >> 4) % (count + 1);
		time_ns += way == 15 ? 1000000000000ULL : 1000;
		if (way == 1) { /* cut in two, the later piece first */
			segment(capture, hosts, from, 0x18, (int32_t)cut, line + cut, count - cut, time_ns);
			segment(capture, hosts, from, 0x18, 0, line, cut, time_ns);
		} else if (way == 2) { /* twice, overlapping */
			segment(capture, hosts, from, 0x18, 0, line, count, time_ns);
			segment(capture, hosts, from, 0x18, (int32_t)cut, line, count - cut, time_ns);
		} else if (way == 3) {
			segment(capture, hosts, from, 0x11, 0, line, count, time_ns);
			hosts[from].next++;
		} else if (way == 4) {
			segment(capture, hosts, from, 0x14, 0, "", 0, time_ns);
		} else if (way == 5) {
			segment(capture, hosts, from, from ? 0x12 : 0x02, -1, "", 0, time_ns);
		} else if (way == 6) {
			segment(capture, hosts, from, 0x38, 0, line, count, time_ns);
		} else if (way != 7) { /* 7: lost */
			segment(capture, hosts, from, 0x18, 0, line, count, time_ns);
		}
		hosts[from].next += way == 4 || way == 5 ? 0 : (uint32_t)count;
	}
}

/* ---- any bytes -------------------------------------------------------------------------------------------- */

static const int link_types[] = { 1, 0, 108, 12, 113, 276, 9, 50, 51, 166, 204, 228, 229, 147 };

static void take_frames(struct capture *capture, int link_type, const uint8_t *data, size_t size)
{
	uint64_t time_ns = 0;
	while (size >= 2) {
		size_t length = data[0], longer = data[1];
		data += 2;
		size -= 2;
		length = length < size ? length : size;
		uint8_t *frame = malloc(length + 1); /* of its own size, so that a read behind it is seen */
		REQUIRE(frame != NULL);
		uint8_t *exact = realloc(frame, length ? length : 1);
		memcpy(exact, data, length);
		capture_take(capture, link_type, exact, (uint32_t)length, (uint32_t)(length + longer / 16), time_ns);
		free(exact);
		time_ns += longer * 1000000000ULL;
		data += length;
		size -= length;
	}
}

static void run(struct capture *capture, const uint8_t *data, size_t size)
{
	if (data[0] & 0x80)
		play(capture, data + 1, size - 1);
	else
		take_frames(capture, link_types[data[0] % (sizeof(link_types) / sizeof(link_types[0]))], data + 1, size - 1);
	capture_end(capture);
}

static struct capture *open_capture(void)
{
	static const struct capture_settings settings = {
		.ports = { { 25, false }, { 465, true } }, .port_count = 2, .any_port = true, .no_check = true,
	};
	char error[128];
	struct capture *capture = capture_new(&settings, check_session, NULL, error, sizeof(error));
	REQUIRE(capture != NULL);
	return capture;
}

/* What was written is pcap of raw IP: each packet behind 16 bytes, the first behind 24. */
static void read_back(const uint8_t *file, size_t size)
{
	struct capture *capture = open_capture();
	REQUIRE(size >= 24);
	for (size_t at = 24; at < size;) {
		uint32_t length;
		REQUIRE(size - at >= 16);
		memcpy(&length, file + at + 8, sizeof(length));
		at += 16;
		REQUIRE(length <= size - at);
		capture_take(capture, LINK_RAW, file + at, length, length, 1);
		at += length;
	}
	REQUIRE(capture_counts(capture)->tcp == capture_counts(capture)->packets);
	capture_end(capture);
	capture_free(capture);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *file = NULL;
	size_t file_size = 0;
	if (size < 1)
		return 0;
	memset(&seen, 0, sizeof(seen));
	struct capture *capture = open_capture();
	run(capture, data, size);
	REQUIRE(capture_counts(capture)->sessions <= capture_counts(capture)->flows);
	capture_free(capture);

	FILE *stream = open_memstream(&file, &file_size);
	REQUIRE(stream != NULL);
	seen.record = record_new(seen.ids, seen.count, stream);
	REQUIRE(seen.record != NULL);
	capture = open_capture();
	struct capture_watch watch = record_watch(seen.record);
	capture_set_watch(capture, &watch);
	run(capture, data, size);
	capture_free(capture);
	REQUIRE(record_count(seen.record) == seen.count); /* the same sessions, each time */
	record_free(seen.record);
	seen.record = NULL;
	REQUIRE(fclose(stream) == 0);
	read_back((const uint8_t *)file, file_size);
	free(file);
	return 0;
}
