/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Ranges that a reader does not see, or that change what is seen of the text around them. */
static const struct {
	uint32_t first, last;
} unprintable[] = {
	{ 0x0000, 0x001f },   /* C0 */
	{ 0x007f, 0x009f },   /* DEL, C1: some terminals obey U+009B as ESC [ */
	{ 0x00ad, 0x00ad },   /* soft hyphen */
	{ 0x061c, 0x061c },   /* Arabic letter mark */
	{ 0x115f, 0x1160 },   /* Hangul fillers */
	{ 0x180e, 0x180e },   /* Mongolian vowel separator */
	{ 0x200b, 0x200f },   /* zero width, left-to-right and right-to-left marks */
	{ 0x2028, 0x202e },   /* line and paragraph separator, bidirectional embeddings and overrides */
	{ 0x2060, 0x206f },   /* word joiner, invisible operators, bidirectional isolates */
	{ 0x3164, 0x3164 },   /* Hangul filler */
	{ 0xfdd0, 0xfdef },   /* no characters */
	{ 0xfeff, 0xfeff },   /* byte order mark */
	{ 0xffa0, 0xffa0 },   /* Hangul filler */
	{ 0xfff0, 0xfffb },   /* not assigned, interlinear annotation */
	{ 0xe0000, 0xe0fff }, /* tags: a hidden copy of ASCII */
};

static bool is_printable(uint32_t character)
{
	if ((character & 0xfffe) == 0xfffe)
		return false; /* the last two of each plane are no characters */
	for (size_t i = 0; i < sizeof(unprintable) / sizeof(unprintable[0]); i++)
		if (character >= unprintable[i].first && character <= unprintable[i].last)
			return false;
	return true;
}

/*
 * Returns the length of the UTF-8 sequence that begins at bytes, or 0 if there is none:
 *
 *   UTF8-2 = %xC2-DF UTF8-tail                                   (RFC 3629 section 4)
 *   UTF8-3 = %xE0 %xA0-BF UTF8-tail / %xE1-EC 2( UTF8-tail ) / %xED %x80-9F UTF8-tail / %xEE-EF 2( UTF8-tail )
 *   UTF8-4 = %xF0 %x90-BF 2( UTF8-tail ) / %xF1-F3 3( UTF8-tail ) / %xF4 %x80-8F 2( UTF8-tail )
 */
static size_t decode(const unsigned char *bytes, size_t n, uint32_t *character)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char lead = bytes[0];
	size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;

	if (length == 0 || length > n)
		return 0;
	*character = length == 1 ? lead : lead & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (bytes[i] & 0x3f);
	}
	if (*character < least[length] || *character > 0x10ffff || (*character >= 0xd800 && *character <= 0xdfff))
		return 0;
	return length;
}

/* One character, or one byte of what is none, as it is shown. Returns how many bytes were taken. */
static size_t escape_one(char shown[4], size_t *shown_length, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t character;
	size_t length = decode(bytes, n, &character);

	if (length == 1 && character == '\\') {
		memcpy(shown, "\\\\", 2);
		*shown_length = 2;
		return 1;
	}
	if (length > 0 && is_printable(character)) {
		memcpy(shown, bytes, length);
		*shown_length = length;
		return length;
	}
	shown[0] = '\\';
	shown[1] = 'x';
	shown[2] = digits[bytes[0] >> 4];
	shown[3] = digits[bytes[0] & 15];
	*shown_length = 4;
	return 1; /* the rest of a sequence follows as stray tail bytes, each escaped likewise */
}

/* How many bytes are shown as they are: nearly all that is escaped is nothing but these. */
static size_t plain_run(const unsigned char *bytes, size_t n)
{
	size_t i = 0;
	while (i < n && bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\')
		i++;
	return i;
}

size_t escape_text(char *out, size_t out_size, const char *bytes, size_t n)
{
	const unsigned char *in = (const unsigned char *)bytes;
	size_t written = 0;

	if (out_size == 0)
		return 0;
	while (n > 0) {
		char shown[4];
		size_t shown_length, plain = plain_run(in, n), room = out_size - written - 1;
		if (plain > 0 && room > 0) {
			plain = plain < room ? plain : room;
			memcpy(out + written, in, plain);
			written += plain;
			in += plain;
			n -= plain;
			continue;
		}
		size_t taken = escape_one(shown, &shown_length, in, n);
		if (shown_length >= out_size - written)
			break;
		memcpy(out + written, shown, shown_length);
		written += shown_length;
		in += taken;
		n -= taken;
	}
	out[written] = '\0';
	return written;
}
