/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a session keeps of its TLS handshake once that has been read. */
#ifndef SMTPWARD_TLS_SUMMARY_H
#define SMTPWARD_TLS_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "tls_facts.h"

struct tls_summary {
	uint16_t version; /* chosen; 0: no ServerHello was read */
	uint16_t version_max; /* the highest that the client offered */
	uint16_t suite;
	uint16_t group; /* 0: none, or not known */
	bool downgrade; /* the server says that it was offered less than the client did offer */
	bool certificate_requested, client_certificate; /* up to TLS 1.2 */
	enum tls_resumed resumed;
	uint8_t protocol_length; /* ALPN, up to TLS 1.2 */
	uint8_t protocol[TLS_PROTOCOL_MAX];
	struct tls_session_id offered_id, issued_id; /* by client and server, up to TLS 1.2 */
	struct tls_ticket offered_ticket, issued_ticket; /* issued in clear: up to TLS 1.2 */
	char server_name[256]; /* SNI, NUL-terminated; hostile bytes */
	char ja4[JA4_SIZE];
};

void tls_summarize(const struct tls_facts *facts, struct tls_summary *summary);

#endif
