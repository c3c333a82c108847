/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the fault-making SMTP server does wrong: one structure, filled from NAME or NAME=VALUE. */
#ifndef FAULT_OPTIONS_H
#define FAULT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A string of any bytes. */
struct bytes {
	char *data; /* NULL: not given */
	size_t length;
};

struct faults {
	/* greeting */
	struct bytes greeting; /* the whole greeting, verbatim */
	unsigned greet_code;
	bool mask_banner;
	/* EHLO */
	bool strip;
	struct bytes mask;      /* keyword in STARTTLS's place */
	struct bytes ehlo_text; /* the whole reply, verbatim */
	unsigned ehlo_code;
	unsigned helo_code;
	bool ehlo_blank_line;
	bool ehlo_unended;
	bool starttls_last;
	char *auth;       /* mechanisms offered, space separated; NULL: AUTH is not offered */
	bool auth_tls_only;
	unsigned auth_code;
	/* STARTTLS */
	unsigned starttls_code;
	struct bytes starttls_text; /* the whole reply, verbatim */
	bool starttls_silent;
	bool starttls_close;
	bool starttls_reset;
	struct bytes inject;      /* behind the 220, in its segment */
	struct bytes inject_next; /* behind the 220, in a segment of its own */
	/* instead of TLS, at once behind the 220 */
	char *after_220;
	/* instead of a ServerHello, when the ClientHello is here */
	char *after_hello;
	char *tls_min;
	char *tls_max;
	bool no_tickets;
	char *groups;
	char *ciphers;
	bool plaintext_on_tls; /* greet in clear on a listener of implicit TLS */
	/* mail */
	unsigned mail_code;
	unsigned rcpt_code;
	unsigned data_code;
	/* floods */
	unsigned flood_kb;
	struct bytes flood_text;
	bool flood_greeting;
	bool flood_go_on;
	/* transport */
	bool lf_only;
	unsigned segment; /* bytes in a segment */
	unsigned drip_ms; /* pause between segments */
	unsigned patience_ms; /* closes where the client says nothing for that long; 0: two minutes */
};

/* Takes NAME or NAME=VALUE into faults. Returns NULL, or what is wrong with it (static text). */
const char *faults_set(struct faults *faults, const char *text);
/* Lists every behaviour with its kind of value. */
void faults_help(FILE *out);

#endif
