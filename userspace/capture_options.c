/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_options.h"
#include "capture_sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define PORT_IMPLICIT 465

static bool add_port(struct capture_settings *settings, unsigned long number, bool implicit_tls)
{
	if (number < 1 || number > 65535 || settings->port_count == CAPTURE_PORTS_MAX)
		return false;
	settings->ports[settings->port_count].number = (uint16_t)number;
	settings->ports[settings->port_count].implicit_tls = implicit_tls;
	settings->port_count++;
	return true;
}

void capture_default_ports(struct capture_settings *settings)
{
	settings->port_count = 0;
	add_port(settings, 25, false);
	add_port(settings, 587, false);
	add_port(settings, 2525, false);
	add_port(settings, PORT_IMPLICIT, true);
}

bool capture_parse_ports(const char *list, struct capture_settings *settings)
{
	settings->port_count = 0;
	for (;;) {
		char *end;
		if (*list < '0' || *list > '9')
			return false;
		unsigned long number = strtoul(list, &end, 10);
		bool implicit_tls = number == PORT_IMPLICIT;
		if (strncmp(end, "/tls", 4) == 0) {
			implicit_tls = true;
			end += 4;
		} else if (strncmp(end, "/plain", 6) == 0) {
			implicit_tls = false;
			end += 6;
		}
		if (!add_port(settings, number, implicit_tls))
			return false;
		if (*end == 0)
			return true;
		if (*end != ',')
			return false;
		list = end + 1;
	}
}

static bool set_limit(int resource, rlim_t value)
{
	const struct rlimit limit = { value, value };
	return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

static bool drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_get_caps_process())
		return false;
	bool may_read_any = capng_have_capability(CAPNG_EFFECTIVE, CAP_DAC_READ_SEARCH);
	capng_clear(CAPNG_SELECT_CAPS);
	if (may_read_any && capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_DAC_READ_SEARCH))
		return false;
	return capng_apply(CAPNG_SELECT_CAPS) == 0;
}

bool capture_restrict(bool writes, char *error, unsigned error_size)
{
	errno = 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || !set_limit(RLIMIT_CORE, 0) ||
	    !set_limit(RLIMIT_NPROC, 0) || !drop_capabilities()) {
		snprintf(error, error_size, "the process cannot be restricted: %s", errno ? strerror(errno) : "capabilities stay");
		return false;
	}
	int result = capture_filter(writes);
	if (result && result != -ENOSYS && result != -EINVAL) {
		snprintf(error, error_size, "the process cannot be restricted: seccomp: %s", strerror(-result));
		return false;
	}
	return true;
}
