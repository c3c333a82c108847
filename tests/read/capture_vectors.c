/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes each dialogue vector as a capture file, FOLDER/NAME.pcap, and to standard output one line of JSON for each: what
 * it must come to.
 */
#include <stdio.h>
#include <string.h>

#include "capture_write.h"
#include "facts.h"
#include "vectors.h"

static uint8_t segment[VECTOR_SEGMENT_MAX];

static const char *const fact_names[] = {
#define X(id, name) name,
	FACTS(X)
#undef X
};

/* Two hours apart, or one would look like the fallback of another. */
static bool write_vector(const struct vector *vector, unsigned number, FILE *stream)
{
	/* 192.0.2.2 to 192.0.2.1 */
	struct written_flow flow = {
		.address = { { [10] = 0xff, [11] = 0xff, 192, 0, 2, 2 }, { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 } },
		.port = { 40000, vector->implicit_tls ? 465 : 25 },
		.next = { 0xffffff00, 0xfffffff0 }, /* both soon go round */
	};
	uint64_t time_ns = (1750000000ULL + number * 7200) * 1000000000;
	bool good = capture_write_header(stream) && (vector->midway || capture_write_open(stream, &flow, time_ns));
	for (unsigned i = 0; good && i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], segment);
		enum direction direction = vector->steps[i].side == VECTOR_CLIENT ? FROM_CLIENT : FROM_SERVER;
		time_ns += 1000000;
		good = capture_write_bytes(stream, &flow, direction, segment, length, false, time_ns);
	}
	return good && capture_write_finish(stream, &flow, FROM_CLIENT, time_ns) &&
	       capture_write_finish(stream, &flow, FROM_SERVER, time_ns);
}

static void print_text(const char *key, const char *text)
{
	printf(",\"%s\":", key);
	if (!text || !*text) {
		printf("null");
		return;
	}
	printf("\"");
	for (; *text; text++)
		printf(*text == '"' || *text == '\\' || *text < ' ' || *text > '~' ? "\\u%04x" : "%c", (unsigned char)*text);
	printf("\"");
}

static void print_list(const char *key, const char *const *names, unsigned count, uint64_t set)
{
	const char *separator = "";
	printf(",\"%s\":[", key);
	for (unsigned i = 0; i < count; i++) {
		if (!(set >> i & 1))
			continue;
		printf("%s\"%s\"", separator, names[i]);
		separator = ",";
	}
	printf("]");
}

static void print_expected(const struct vector *vector)
{
	const char *names[FINDING_COUNT];
	for (unsigned i = 0; i < FINDING_COUNT; i++)
		names[i] = finding_name((enum finding)i);
	printf("{\"name\":\"%s\"", vector->name);
	print_list("facts", fact_names, FACT_COUNT, vector->facts);
	print_list("findings", names, FINDING_COUNT, vector->findings);
	printf(",\"outcome\":\"%s\",\"starttls\":%u", outcome_name(vector->outcome), vector->codes.starttls);
	print_text("cause", vector->cause);
	print_text("mechanism", vector->mechanism);
	print_text("account", vector->account);
	print_text("server_name", vector->server_name);
	printf(",\"client_alert\":%u,\"server_alert\":%u}\n", vector->client_alert, vector->server_alert);
}

int main(int argc, char **argv)
{
	char path[512];
	if (argc != 2) {
		fprintf(stderr, "usage: capture_vectors FOLDER\n");
		return 2;
	}
	for (size_t i = 0; i < vector_count; i++) {
		snprintf(path, sizeof(path), "%s/%s.pcap", argv[1], vectors[i].name);
		FILE *stream = fopen(path, "we");
		bool good = stream && write_vector(&vectors[i], (unsigned)i, stream);
		if (!stream || fclose(stream) != 0 || !good) {
			perror(path);
			return 1;
		}
		print_expected(&vectors[i]);
	}
	return 0;
}
