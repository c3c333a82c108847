/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "event_record.h"

#include <string.h>

#include "facts.h"
#include "event_ring.h"
#include "policy.h"

static bool is_text(const char *field, size_t size)
{
	return memchr(field, 0, size) != NULL;
}

/* CLOCK_MONOTONIC in nanoseconds: 146 years at most, so that differences of clocks can be reckoned with. */
static bool is_time(uint64_t ns)
{
	return ns < 1ULL << 62;
}

static bool flow_is_valid(const struct flow_event *event)
{
	return event->flow_id != 0 && event->sequence != 0 && event->reason >= EVENT_OPENED && event->reason <= EVENT_HELD &&
	       event->end <= FLOW_END_RESET && (event->facts | event->stopped) >> FACT_COUNT == 0 &&
	       is_time(event->time_ns) && is_time(event->opened_ns) && is_time(event->held_ns) &&
	       event->require <= REQUIRE_VERIFIED && event->undecided <= DOUBT_BLOCK &&
	       is_text(event->mechanism, sizeof(event->mechanism)) && is_text(event->account, sizeof(event->account)) &&
	       is_text(event->server_name, sizeof(event->server_name));
}

static bool handshake_is_valid(const struct handshake_event *event)
{
	return event->flow_id != 0 && event->length > 0 && event->length <= sizeof(event->bytes) && event->from_server <= 1 &&
	       event->offset <= HANDSHAKE_LIMIT;
}

/* A host name is a text; an address is four or sixteen bytes; a name too long was not copied whole. */
static bool witness_is_valid(const struct witness_event *event)
{
	if (event->flow_id == 0 || !is_time(event->time_ns) || (event->library != WITNESS_OPENSSL && event->library != WITNESS_GNUTLS) ||
	    event->kind < WITNESS_HANDSHAKE || event->kind > WITNESS_RESULT || event->named > WITNESS_NAMED_SEVERAL ||
	    event->mode > WITNESS_MODE_STRICT || event->name_length > sizeof(event->name))
		return false;
	return event->named != WITNESS_NAMED_HOST || is_text(event->name, sizeof(event->name));
}

static bool certificate_is_valid(const struct certificate_event *event)
{
	return event->flow_id != 0 && event->length > 0 && event->length <= sizeof(event->bytes) &&
	       event->total <= CERTIFICATE_BYTES_MAX && event->offset < event->total &&
	       event->length <= event->total - event->offset && event->index < WITNESS_CERTIFICATES_MAX;
}

bool event_record_take(const struct event_reader *reader, const void *record, size_t size)
{
	bool valid = false;
	switch (size) {
	case sizeof(struct flow_event):
		valid = flow_is_valid(record);
		if (valid)
			reader->flow(reader->context, record);
		break;
	case sizeof(struct handshake_event):
		valid = handshake_is_valid(record);
		if (valid)
			reader->handshake(reader->context, record);
		break;
	case sizeof(struct witness_event):
		valid = witness_is_valid(record);
		if (valid)
			reader->witness(reader->context, record);
		break;
	case sizeof(struct certificate_event):
		valid = certificate_is_valid(record);
		if (valid)
			reader->certificate(reader->context, record);
		break;
	}
	return valid;
}
