/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/nameser.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

#define ANSWER_SIZE 65536

static int compare(const void *a, const void *b)
{
	return ((const struct probe_mx *)a)->preference - ((const struct probe_mx *)b)->preference;
}

/* "." stands for "takes no mail" (RFC 7505); anything else must be a host name. */
static bool is_host_name(const char *name)
{
	for (const char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && *at != '-' && *at != '.' && *at != '_')
			return false;
	return *name && *name != '.' && *name != '-';
}

/* Takes one record. Returns -EADDRNOTAVAIL for a null MX, else 0, whether it was of use or not. */
static int take_record(ns_msg *message, const ns_rr *record, struct probe_mx *list, unsigned *count)
{
	const unsigned char *data = ns_rr_rdata(*record);
	char host[NS_MAXDNAME];

	if (ns_rr_type(*record) != ns_t_mx || ns_rr_rdlen(*record) < 3)
		return 0;
	if (dn_expand(ns_msg_base(*message), ns_msg_end(*message), data + 2, host, sizeof(host)) < 0)
		return 0;
	if (!*host || !strcmp(host, "."))
		return -EADDRNOTAVAIL;
	if (!is_host_name(host) || strlen(host) >= PROBE_HOST_SIZE || *count == PROBE_MX_MAX)
		return 0;
	list[*count].preference = (int)ns_get16(data);
	strcpy(list[*count].host, host);
	(*count)++;
	return 0;
}

static int read_answer(const unsigned char *answer, int length, const char *domain, struct probe_mx *list, char *error,
		       size_t error_size)
{
	unsigned count = 0, records;
	ns_msg message;
	bool none = false;

	if (ns_initparse(answer, length, &message) < 0) {
		snprintf(error, error_size, "%s: the answer to the query for MX records is malformed", domain);
		return -EAGAIN;
	}
	records = ns_msg_count(message, ns_s_an);
	for (unsigned i = 0; i < records; i++) {
		ns_rr record;
		if (ns_parserr(&message, ns_s_an, (int)i, &record) < 0)
			break;
		none |= take_record(&message, &record, list, &count) != 0;
	}
	if (none && !count) {
		snprintf(error, error_size, "%s takes no mail (null MX)", domain);
		return -EADDRNOTAVAIL;
	}
	if (!count && records) {
		/* no MX of use is not the same as none: the domain's own address is not meant */
		snprintf(error, error_size, "%s: no MX record names a host", domain);
		return -EADDRNOTAVAIL;
	}
	qsort(list, count, sizeof(*list), compare);
	return (int)count;
}

static int query_error(int code, const char *domain, char *error, size_t error_size)
{
	if (code == NO_DATA)
		return 0;
	snprintf(error, error_size, "%s: %s", domain,
		 code == HOST_NOT_FOUND ? "there is no such domain" : "no answer to the query for MX records");
	return code == HOST_NOT_FOUND ? -ENOENT : -EAGAIN;
}

int probe_mx_lookup(const char *domain, unsigned timeout_s, struct probe_mx *list, char *error, size_t error_size)
{
	unsigned char *answer = malloc(ANSWER_SIZE);
	struct __res_state state = { 0 };
	int length, result;

	if (!answer || res_ninit(&state)) {
		free(answer);
		snprintf(error, error_size, "%s: the resolver cannot be used", domain);
		return -EAGAIN;
	}
	state.retry = 2;
	state.retrans = timeout_s >= 20 ? 5 : timeout_s >= 8 ? (int)timeout_s / 4 : 2;
	length = res_nquery(&state, domain, ns_c_in, ns_t_mx, answer, ANSWER_SIZE);
	if (length < 0)
		result = query_error(state.res_h_errno, domain, error, error_size);
	else
		result = read_answer(answer, length < ANSWER_SIZE ? length : ANSWER_SIZE, domain, list, error, error_size);
	res_nclose(&state);
	free(answer);
	return result;
}
