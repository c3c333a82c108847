/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SMTPWARD_SHA256_H
#define SMTPWARD_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

/* Writes the hash of n bytes. Returns false, with a hash of zeros, where OpenSSL has no memory or no SHA-256. */
bool sha256(const void *bytes, size_t n, uint8_t hash[SHA256_SIZE]);

#endif
