/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Certificate (RFC 5246 section 7.4.2) */
#include <stdlib.h>
#include <string.h>

#include "handshake_message.h"

bool certificates_take(struct reader body, struct tls_certificates *certificates, uint8_t **store, bool *no_memory)
{
	struct reader list, der;
	*store = NULL;
	*no_memory = false;
	if (!read_vector(&body, 3, &list) || body.left > 0)
		return false;
	certificates->seen = true;
	if (list.left == 0)
		return true;
	const uint8_t *start = list.at;
	*store = malloc(list.left);
	*no_memory = !*store;
	if (!*store)
		return true;
	memcpy(*store, list.at, list.left);
	while (list.left > 0) {
		if (!read_vector(&list, 3, &der) || der.left == 0)
			return false;
		certificates->sent++;
		if (certificates->count == TLS_CERTIFICATES_MAX)
			continue;
		struct tls_certificate *certificate = &certificates->list[certificates->count++];
		certificate->der = *store + (der.at - start);
		certificate->length = der.left;
	}
	return true;
}
