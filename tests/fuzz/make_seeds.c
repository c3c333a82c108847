/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes the dialogue vectors into a folder, as seeds of a fuzzer: make_seeds dialogue|sequence FOLDER. Long steps are cut:
 * the fuzzers are faster on short ones.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vectors.h"

#define LONGEST 2048
#define SERVER_NEXT 2 /* of fuzz_sequence.c; the client's is 0 */

static uint8_t segment[VECTOR_SEGMENT_MAX];

static size_t cut_segment(const struct vector_step *step)
{
	size_t length = vector_segment(step, segment);
	return length > LONGEST ? LONGEST : length;
}

static void put_length(FILE *file, int flags, size_t length)
{
	fputc(flags | (int)(length >> 8), file);
	fputc((int)(length & 0xff), file);
}

/* Each segment behind two bytes, the first of which says whose it is. */
static void write_dialogue(FILE *file, const struct vector *vector)
{
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = cut_segment(&vector->steps[i]);
		put_length(file, vector->steps[i].side == VECTOR_SERVER ? 0x80 : 0, length);
		fwrite(segment, 1, length, file);
	}
}

/* All that one side says, in one piece. */
static void write_stream(FILE *file, const struct vector *vector, enum vector_side side)
{
	size_t total = 0;
	for (unsigned i = 0; i < vector_steps(vector); i++)
		total += vector->steps[i].side == side ? cut_segment(&vector->steps[i]) : 0;
	put_length(file, 0, total);
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = cut_segment(&vector->steps[i]);
		if (vector->steps[i].side == side)
			fwrite(segment, 1, length, file);
	}
}

/* Both streams, and each step as an operation. */
static void write_sequence(FILE *file, const struct vector *vector)
{
	write_stream(file, vector, VECTOR_SERVER);
	write_stream(file, vector, VECTOR_CLIENT);
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = cut_segment(&vector->steps[i]);
		fputc(vector->steps[i].side == VECTOR_SERVER ? SERVER_NEXT : 0, file);
		fputc(length > 0xff ? 0xc0 | (int)(length >> 8) : 0, file);
		fputc((int)(length & 0xff), file);
	}
}

static int write_seed(const char *folder, const struct vector *vector, bool sequence)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", folder, vector->name);
	FILE *file = fopen(path, "we");
	if (!file)
		return -1;
	fputc((vector->implicit_tls ? 1 : 0) | (vector->midway ? 4 : 0), file);
	if (sequence)
		write_sequence(file, vector);
	else
		write_dialogue(file, vector);
	return fclose(file);
}

int main(int argc, char **argv)
{
	bool sequence = argc == 3 && strcmp(argv[1], "sequence") == 0;
	if (argc != 3 || (!sequence && strcmp(argv[1], "dialogue") != 0))
		return 2;
	for (size_t i = 0; i < vector_count; i++) {
		if (write_seed(argv[2], &vectors[i], sequence) < 0) {
			perror(argv[2]);
			return 1;
		}
	}
	return 0;
}
