/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an event says of the dialogue, whoever saw it: compared between kernel and user space. */
#ifndef SMTPWARD_TEST_BPF_SAID_H
#define SMTPWARD_TEST_BPF_SAID_H

#include <stdarg.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "event.h"

/* An event with only that in it. */
static inline struct flow_event said(const struct flow_event *event)
{
	struct flow_event copy;
	memset(&copy, 0, sizeof(copy));
	copy.facts = event->facts;
	copy.stopped = event->stopped;
	copy.greeting_code = event->greeting_code;
	copy.ehlo_code = event->ehlo_code;
	copy.starttls_code = event->starttls_code;
	copy.auth_code = event->auth_code;
	copy.implicit_tls = event->implicit_tls;
	copy.client_alert = event->client_alert;
	copy.server_alert = event->server_alert;
	copy.starttls_anonymous = event->starttls_anonymous;
	memcpy(copy.mechanism, event->mechanism, sizeof(copy.mechanism));
	memcpy(copy.account, event->account, sizeof(copy.account));
	memcpy(copy.server_name, event->server_name, sizeof(copy.server_name));
	return copy;
}

static inline bool same(const char *name, const struct flow_event *kernel, const struct flow_event *user)
{
	struct flow_event a = said(kernel), b = said(user);
	if (memcmp(&a, &b, sizeof(a)) == 0)
		return true;
	print_error("%s: facts %#llx and %#llx, codes %u %u %u %u and %u %u %u %u, account '%s' and '%s'\n", name,
		    (unsigned long long)a.facts, (unsigned long long)b.facts, a.greeting_code, a.ehlo_code, a.starttls_code,
		    a.auth_code, b.greeting_code, b.ehlo_code, b.starttls_code, b.auth_code, a.account, b.account);
	return false;
}

#endif
