/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pack.h"

#include <stdbool.h>
#include <string.h>

#define WORD 8U
#define GROUP 8U /* words */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Packs one word of which at least one byte is not zero. */
static uint8_t *pack_word(uint8_t *out, const uint8_t *word, size_t n)
{
	uint8_t *which = out++;
	*which = 0;
	for (size_t i = 0; i < n; i++) {
		if (!word[i])
			continue;
		*which = (uint8_t)(*which | 1U << i);
		*out++ = word[i];
	}
	return out;
}

static bool is_zero(const uint8_t *word, size_t n)
{
	static const uint8_t zero[WORD];
	return memcmp(word, zero, n) == 0;
}

uint8_t *pack(uint8_t *out, const void *bytes, size_t n)
{
	const uint8_t *in = bytes;
	while (n) {
		uint8_t *which = out++;
		*which = 0;
		for (unsigned i = 0; i < GROUP && n; i++) {
			size_t word = least(n, WORD);
			if (!is_zero(in, word)) {
				*which = (uint8_t)(*which | 1U << i);
				out = pack_word(out, in, word);
			}
			in += word;
			n -= word;
		}
	}
	return out;
}

const uint8_t *unpack(const uint8_t *in, void *bytes, size_t n)
{
	uint8_t *out = bytes;
	memset(bytes, 0, n);
	while (n) {
		uint8_t words = *in++;
		for (unsigned i = 0; i < GROUP && n; i++) {
			size_t word = least(n, WORD);
			if (words >> i & 1) {
				uint8_t which = *in++;
				for (unsigned j = 0; j < word; j++) {
					if (which >> j & 1)
						out[j] = *in++;
				}
			}
			out += word;
			n -= word;
		}
	}
	return in;
}
