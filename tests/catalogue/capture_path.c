/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Through a capture file: written by the same code as evidence is, and read by that of `smtpward read`. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture.h"
#include "capture_file.h"
#include "capture_write.h"
#include "must.h"
#include "path.h"

#define SECOND 1000000000ULL

/* A client at 192.0.2.2 and a server at 192.0.2.1, or its other address. */
static struct written_flow flow_of(const struct vector *vector, unsigned number, bool other_address, bool other_port)
{
	const uint8_t server = other_address ? 3 : 1;
	return (struct written_flow){
		.address = { { [10] = 0xff, [11] = 0xff, 192, 0, 2, 2 }, { [10] = 0xff, [11] = 0xff, 192, 0, 2, server } },
		.port = { (uint16_t)(40000 + number), vector->implicit_tls ? 465 : other_port ? 587 : 25 },
		.next = { 0xffffff00, 0xfffffff0 }, /* both soon go round */
	};
}

static void write_ending(FILE *stream, struct written_flow *flow, enum vector_ending ending, uint64_t time_ns)
{
	enum direction first = ending == VECTOR_CLIENT_CLOSES ? FROM_CLIENT : FROM_SERVER;
	if (ending == VECTOR_SERVER_RESETS)
		MUST(capture_write_reset(stream, flow, FROM_SERVER, time_ns));
	else
		MUST(capture_write_finish(stream, flow, first, time_ns) && capture_write_finish(stream, flow, !first, time_ns));
}

static void write_flow(FILE *stream, const struct vector *vector, unsigned number, bool other_address, bool other_port,
		       uint64_t time_ns)
{
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	struct written_flow flow = flow_of(vector, number, other_address, other_port);
	MUST(vector->midway || capture_write_open(stream, &flow, time_ns));
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], segment);
		enum direction direction = vector->steps[i].side == VECTOR_CLIENT ? FROM_CLIENT : FROM_SERVER;
		time_ns += SECOND / 1000;
		for (size_t at = 0, n; at < length; at += n) {
			n = length - at < piece_max ? length - at : piece_max;
			MUST(capture_write_bytes(stream, &flow, direction, segment + at, n, false, time_ns));
		}
	}
	write_ending(stream, &flow, vector->ending, time_ns);
}

/* Sessions come in the order of their ends. */
static void take(void *context, const struct session *session)
{
	conclusion_of(session, context);
}

static void read_file(const char *path, struct conclusion *conclusion)
{
	const struct capture_settings settings = { .ports = { { 25, false }, { 465, true }, { 587, false } }, .port_count = 3, .trust = scenario_trust() };
	char error[CAPTURE_ERROR_SIZE];
	struct capture_packet packet;
	struct capture *capture = capture_new(&settings, take, conclusion, error, sizeof(error));
	struct capture_file *file = capture_file_open(path, error);
	MUST(capture && file);
	while (capture_file_next(file, &packet, error) > 0)
		capture_take(capture, capture_file_link_type(file), packet.bytes, packet.captured, packet.length, packet.time_ns);
	capture_end(capture);
	capture_file_close(file);
	capture_free(capture);
}

void capture_path(const struct scenario *scenario, struct conclusion *conclusion)
{
	char path[] = "/tmp/smtpward-catalogue-XXXXXX";
	int fd = mkstemp(path);
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
	uint64_t now = (uint64_t)time(NULL) * SECOND;
	MUST(stream && capture_write_header(stream));
	for (unsigned i = 0; i < SCENARIO_FLOWS_MAX && scenario->flows[i].vector; i++)
		write_flow(stream, scenario->flows[i].vector, i, scenario->flows[i].other_address, scenario->flows[i].other_port,
			   now + 10 * i * SECOND);
	MUST(fclose(stream) == 0);
	memset(conclusion, 0, sizeof(*conclusion));
	read_file(path, conclusion);
	unlink(path);
}
