/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Puts fragments of IP packets together (RFC 791 section 3.2, RFC 8200 section 4.5). Fragments that overlap with other bytes
 * are an attack, and their packet is lost (RFC 5722), as is one of which a fragment does not come.
 */
#ifndef SMTPWARD_CAPTURE_FRAGMENT_H
#define SMTPWARD_CAPTURE_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "capture_frame.h"

#define FRAGMENTED_MAX 64 /* packets at once; the one that was begun first gives way */

struct fragments;

struct fragment_counts {
	uint64_t fragments;
	uint64_t lost; /* packets that could not be put together */
};

/* Returns NULL without memory. */
struct fragments *fragments_new(void);
void fragments_free(struct fragments *fragments);

/*
 * Takes what capture_frame() told of a fragment. If its packet is complete, returns its payload, valid until the next call, and
 * in *length how long it is; else NULL.
 */
const uint8_t *fragments_take(struct fragments *fragments, const struct capture_segment *segment, uint32_t *length);
/* The file is over: what is incomplete stays so. */
void fragments_end(struct fragments *fragments);
const struct fragment_counts *fragments_counts(const struct fragments *fragments);

#endif
