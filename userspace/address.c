/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool address_parse(const char *text, uint8_t address[16])
{
	if (inet_pton(AF_INET, text, address + 12) == 1) {
		memcpy(address, mapped, sizeof(mapped));
		return true;
	}
	return inet_pton(AF_INET6, text, address) == 1;
}

static void ipv4_text(const uint8_t address[4], char *text)
{
	for (int i = 0; i < 4; i++) {
		if (i)
			*text++ = '.';
		if (address[i] >= 100)
			*text++ = (char)('0' + address[i] / 100);
		if (address[i] >= 10)
			*text++ = (char)('0' + address[i] / 10 % 10);
		*text++ = (char)('0' + address[i] % 10);
	}
	*text = 0;
}

const char *address_text(const uint8_t address[16], char text[ADDRESS_TEXT_SIZE])
{
	if (memcmp(address, mapped, sizeof(mapped)) == 0)
		ipv4_text(address + 12, text);
	else
		inet_ntop(AF_INET6, address, text, ADDRESS_TEXT_SIZE);
	return text;
}

bool address_prefix_parse(const char *text, struct address_prefix *prefix)
{
	char address[ADDRESS_TEXT_SIZE];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = 0;
	if (!address_parse(address, prefix->address))
		return false;
	unsigned offset = strchr(address, ':') ? 0 : 96;
	unsigned long bits = 128 - offset;
	if (slash) {
		char *end;
		if (slash[1] < '0' || slash[1] > '9')
			return false;
		bits = strtoul(slash + 1, &end, 10);
		if (*end || bits > 128 - offset)
			return false;
	}
	prefix->bits = (unsigned)bits + offset;
	return true;
}

static uint8_t mask_of(unsigned bits, unsigned byte)
{
	if (bits >= 8 * (byte + 1))
		return 0xff;
	if (bits <= 8 * byte)
		return 0;
	return (uint8_t)(0xff00U >> (bits - 8 * byte));
}

bool address_prefix_clean(struct address_prefix *prefix)
{
	bool clean = true;
	for (unsigned i = 0; i < 16; i++) {
		uint8_t kept = prefix->address[i] & mask_of(prefix->bits, i);
		clean = clean && kept == prefix->address[i];
		prefix->address[i] = kept;
	}
	return clean;
}

bool address_prefix_has(const struct address_prefix *prefix, const uint8_t address[16])
{
	for (unsigned i = 0; i < 16; i++) {
		uint8_t mask = mask_of(prefix->bits, i);
		if ((prefix->address[i] ^ address[i]) & mask)
			return false;
	}
	return true;
}
