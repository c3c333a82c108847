/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The probe's handshakes: the one that a mail client would make, and one for each version. */
#ifndef SMTPWARD_PROBE_TLS_H
#define SMTPWARD_PROBE_TLS_H

#include "probe_link.h"

/* Makes the handshake with any version and fills in server->tls and server->certificate. Returns 0 or a negative errno. */
int probe_tls_start(const struct probe_options *options, struct probe_server *server, struct probe_link *link);

/* Makes the handshake with this version (0x0301 to 0x0304) and no other. Returns whether the server takes it. */
enum probe_answer probe_tls_try(const struct probe_server *server, struct probe_link *link, uint16_t version);

#endif
