/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Structures that are mostly zero, in fewer bytes. For each eight words of eight bytes a byte tells which are not zero,
 * for each of these a byte tells which of its bytes are not, and those follow. Nothing is lost, and no field has to be
 * known: a structure that grows is still packed right.
 */
#ifndef SMTPWARD_PACK_H
#define SMTPWARD_PACK_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that n bytes can become at most. */
#define PACK_BOUND(n) (((n) + 63) / 64 + ((n) + 7) / 8 + (n))

/* Packs n bytes into out, which has room for PACK_BOUND(n). Returns the end of what was written. */
uint8_t *pack(uint8_t *out, const void *bytes, size_t n);
/* Unpacks n bytes from what pack() wrote for as many. Returns the end of what was read. in is trusted. */
const uint8_t *unpack(const uint8_t *in, void *bytes, size_t n);

#endif
