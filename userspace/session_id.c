/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "session.h"

const char *session_id_text(uint64_t id, char text[SESSION_ID_TEXT_SIZE])
{
	for (int i = SESSION_ID_TEXT_SIZE - 2; i >= 0; i--, id >>= 4)
		text[i] = "0123456789abcdef"[id & 15];
	text[SESSION_ID_TEXT_SIZE - 1] = 0;
	return text;
}

bool session_id_parse(const char *text, uint64_t *id)
{
	uint64_t value = 0;
	if (strlen(text) != SESSION_ID_TEXT_SIZE - 1)
		return false;
	for (; *text; text++) {
		unsigned digit;
		if (*text >= '0' && *text <= '9')
			digit = (unsigned)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			digit = (unsigned)(*text - 'a') + 10;
		else
			return false;
		value = value << 4 | digit;
	}
	*id = value;
	return true;
}
