/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IP addresses and prefixes as text. In memory they are 16 bytes, IPv4 as ::ffff:a.b.c.d. */
#ifndef SMTPWARD_ADDRESS_H
#define SMTPWARD_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_TEXT_SIZE 46

struct address_prefix {
	uint8_t address[16];
	unsigned bits; /* 0 to 128; an IPv4 prefix of n bits is one of 96 + n */
};

/* Reads an IPv4 or IPv6 address; false if text is anything else. */
bool address_parse(const char *text, uint8_t address[16]);
/* Writes it, IPv4 without the prefix of the mapping. Returns text. */
const char *address_text(const uint8_t address[16], char text[ADDRESS_TEXT_SIZE]);

/* Reads ADDRESS or ADDRESS/BITS; false if text is anything else. Host bits may be set: see address_prefix_clean(). */
bool address_prefix_parse(const char *text, struct address_prefix *prefix);
/* Clears the bits behind the prefix; returns false if there were any. */
bool address_prefix_clean(struct address_prefix *prefix);
bool address_prefix_has(const struct address_prefix *prefix, const uint8_t address[16]);

#endif
