/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `smtpward probe`: asks a server, as a mail client would, what encryption it has to offer. No AUTH and no MAIL is sent.
 *
 * The server is hostile: lines, replies, bytes and time are bounded, and every text in the result is escaped (escape.h).
 */
#ifndef SMTPWARD_PROBE_H
#define SMTPWARD_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "certificate.h"

#define PROBE_TEXT_SIZE 512
#define PROBE_HOST_SIZE 256
#define PROBE_LINES_MAX 64 /* kept of a reply */
#define PROBE_MECHANISMS_MAX 24
#define PROBE_FINDINGS_MAX 16
#define PROBE_VERSIONS 4 /* TLS 1.0 to 1.3 */
#define PROBE_MX_MAX 16

struct probe_options {
	const char *host;
	const char *name; /* to be found in the certificate; NULL: the host's */
	uint16_t port;
	int family; /* AF_UNSPEC, AF_INET, AF_INET6 */
	bool mx;
	unsigned timeout_s; /* for one server, all connections together */
	const struct certificate_store *store;
};

/* A reply of the server's; code 0: there was none. */
struct probe_reply {
	unsigned code;
	unsigned count; /* lines kept */
	char lines[PROBE_LINES_MAX][PROBE_TEXT_SIZE]; /* without code */
};

struct probe_mechanisms {
	unsigned count;
	char names[PROBE_MECHANISMS_MAX][24];
};

enum probe_answer { PROBE_NOT_KNOWN, PROBE_NO, PROBE_YES };

struct probe_tls {
	bool tried;
	bool established;
	uint16_t version; /* as in the protocol: 0x0304 */
	uint16_t suite;
	char cipher[64];
	char group[64]; /* "" where there is none */
	bool alerted;
	bool alert_from_server;
	uint8_t alert;
	char error[PROBE_TEXT_SIZE]; /* "" if all went well */
	enum probe_answer versions[PROBE_VERSIONS];
};

/* One server, probed. */
struct probe_server {
	char host[PROBE_HOST_SIZE];
	int preference; /* of its MX record; -1: none */
	uint16_t port;
	char name[PROBE_HOST_SIZE]; /* looked for in the certificate */
	char address[64];	    /* that answered; "" if none did */
	char error[PROBE_TEXT_SIZE]; /* what ended the dialogue early, or why there was none; "": nothing */
	bool unknown_host;
	uint64_t facts; /* facts.h, of the conversation */
	struct probe_reply greeting, ehlo, starttls, ehlo_tls;
	struct probe_mechanisms auth, auth_tls;
	struct probe_tls tls;
	bool checked; /* certificate was filled in */
	struct certificate_check certificate;
	const char *outcome; /* one of the words for sessions; NULL: not reached */
	unsigned finding_count;
	const char *findings[PROBE_FINDINGS_MAX];
};

/* Probes server->host, which the caller has set together with port, name and preference. */
void probe_run(const struct probe_options *options, struct probe_server *server);

/* Whether TLS was verified and nothing falls short. */
bool probe_is_good(const struct probe_server *server);

/* The server as JSON; the shape never varies. Returns NULL without memory. The caller owns the result. */
json_t *probe_json(const struct probe_server *server);

struct probe_mx {
	char host[PROBE_HOST_SIZE];
	int preference;
};

/*
 * Looks a domain's MX records up, the preferred first. Returns how many were written to list, which has room for
 * PROBE_MX_MAX; 0 where there is none, so that the domain is its own (RFC 5321 section 5.1). Or, with one line in error:
 * -ENOENT if there is no such domain, -EADDRNOTAVAIL if it takes no mail (RFC 7505), -EAGAIN if no answer came.
 */
int probe_mx_lookup(const char *domain, unsigned timeout_s, struct probe_mx *list, char *error, size_t error_size);

#endif
