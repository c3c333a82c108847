/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Writes the dialogue vectors into a folder, as seeds of fuzz_dialogue. Long steps are cut: the fuzzer is faster on short ones. */
#include <stdio.h>

#include "vectors.h"

#define LONGEST 2048

static uint8_t segment[VECTOR_SEGMENT_MAX];

static int write_seed(const char *folder, const struct vector *vector)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", folder, vector->name);
	FILE *file = fopen(path, "we");
	if (!file)
		return -1;
	fputc((vector->implicit_tls ? 1 : 0) | (vector->midway ? 4 : 0), file);
	for (unsigned i = 0; i < vector_steps(vector); i++) {
		size_t length = vector_segment(&vector->steps[i], segment);
		length = length > LONGEST ? LONGEST : length;
		fputc((vector->steps[i].side == VECTOR_SERVER ? 0x80 : 0) | (int)(length >> 8), file);
		fputc((int)(length & 0xff), file);
		fwrite(segment, 1, length, file);
	}
	return fclose(file);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < vector_count; i++) {
		if (write_seed(argv[1], &vectors[i]) < 0) {
			perror(argv[1]);
			return 1;
		}
	}
	return argc == 2 ? 0 : 2;
}
