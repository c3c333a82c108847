/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the fuzzers share: a condition that must hold, and reading an input piece by piece. */
#ifndef SMTPWARD_FUZZ_H
#define SMTPWARD_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition) require(condition, #condition)

static inline void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

struct fuzz_input {
	const uint8_t *bytes;
	size_t left;
};

/* The next byte; 0 at the end. */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->bytes++;
}

/* A length of two bytes, and so many bytes: as far as there are any. */
static inline const uint8_t *fuzz_piece(struct fuzz_input *input, size_t *length)
{
	const uint8_t *piece;
	*length = (size_t)fuzz_byte(input) << 8;
	*length |= fuzz_byte(input);
	if (*length > input->left)
		*length = input->left;
	piece = input->bytes;
	input->bytes += *length;
	input->left -= *length;
	return piece;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
