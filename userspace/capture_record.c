/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_record.h"

#include <stdlib.h>
#include <string.h>

#include "capture_blank.h"
#include "capture_write.h"

#define ITEMS_MAX 65536

enum item_kind { ITEM_BYTES, ITEM_GAP, ITEM_FINISH, ITEM_RESET };

/* What happened on a flow, in order. */
struct item {
	uint64_t time_ns;
	size_t count;
	uint8_t kind, direction;
	bool urgent;
};

struct recorded {
	uint64_t id;
	const struct capture_flow *flow;
	struct blank *blank;
	struct item *items;
	size_t count, room;
	uint64_t opened_ns;
	bool midway, failed;
	struct recorded *next;
};

struct record {
	const uint64_t *ids;
	unsigned id_count, written;
	struct recorded *open;
	struct recorded *over; /* its session comes next */
	FILE *stream;
	const char *error;
};

struct record *record_new(const uint64_t *ids, unsigned count, FILE *stream)
{
	struct record *record = calloc(1, sizeof(*record));
	if (!record)
		return NULL;
	record->ids = ids;
	record->id_count = count;
	record->stream = stream;
	if (!capture_write_header(stream))
		record->error = "it cannot be written";
	return record;
}

static void recorded_free(struct recorded *recorded)
{
	if (!recorded)
		return;
	blank_free(recorded->blank);
	free(recorded->items);
	free(recorded);
}

void record_free(struct record *record)
{
	if (!record)
		return;
	while (record->open) {
		struct recorded *recorded = record->open;
		record->open = recorded->next;
		recorded_free(recorded);
	}
	recorded_free(record->over);
	free(record);
}

/* ---- what the capture tells ------------------------------------------------------------------------------- */

static bool on_opened(void *context, const struct capture_flow *flow, uint64_t id)
{
	struct record *record = context;
	unsigned i = 0;
	while (i < record->id_count && record->ids[i] != id)
		i++;
	if (i == record->id_count)
		return false;
	struct recorded *recorded = calloc(1, sizeof(*recorded));
	struct policy_rule rule = dialogue_run_encrypted;
	if (recorded)
		recorded->blank = blank_new(flow->implicit_tls, flow->order.midway, &rule);
	if (!recorded || !recorded->blank) {
		free(recorded);
		record->error = "out of memory";
		return false;
	}
	recorded->id = id;
	recorded->flow = flow;
	recorded->opened_ns = flow->opened_ns;
	recorded->midway = flow->order.midway;
	recorded->next = record->open;
	record->open = recorded;
	return true;
}

static struct recorded *find(const struct record *record, const struct capture_flow *flow)
{
	struct recorded *recorded = record->open;
	while (recorded && recorded->flow != flow)
		recorded = recorded->next;
	return recorded;
}

static void add_item(struct recorded *recorded, struct item item)
{
	if (recorded->count == recorded->room) {
		size_t room = recorded->room ? recorded->room * 2 : 64;
		struct item *items = room > ITEMS_MAX ? NULL : reallocarray(recorded->items, room, sizeof(*items));
		if (!items) {
			recorded->failed = true;
			return;
		}
		recorded->items = items;
		recorded->room = room;
	}
	recorded->items[recorded->count++] = item;
}

static void on_bytes(void *context, const struct capture_flow *flow, enum direction direction, const uint8_t *bytes, size_t count,
		     bool urgent, uint64_t time_ns)
{
	struct recorded *recorded = find(context, flow);
	if (!recorded)
		return;
	size_t kept = blank_take(recorded->blank, direction, bytes, count, urgent);
	recorded->failed |= blank_has_failed(recorded->blank);
	if (kept)
		add_item(recorded, (struct item){ time_ns, kept, ITEM_BYTES, (uint8_t)direction, urgent });
}

static void on_gap(void *context, const struct capture_flow *flow, enum direction direction, uint64_t time_ns)
{
	struct recorded *recorded = find(context, flow);
	if (!recorded)
		return;
	blank_gap(recorded->blank, direction);
	add_item(recorded, (struct item){ time_ns, 0, ITEM_GAP, (uint8_t)direction, false });
}

static void on_finished(void *context, const struct capture_flow *flow, enum direction direction, uint64_t time_ns)
{
	struct recorded *recorded = find(context, flow);
	if (recorded)
		add_item(recorded, (struct item){ time_ns, 0, ITEM_FINISH, (uint8_t)direction, false });
}

static void on_closed(void *context, const struct capture_flow *flow, bool reset, bool seen, uint64_t time_ns)
{
	struct record *record = context;
	struct recorded *recorded = find(record, flow), **link = &record->open;
	if (!recorded)
		return;
	if (reset && seen)
		add_item(recorded, (struct item){ time_ns, 0, ITEM_RESET, FROM_CLIENT, false });
	while (*link != recorded)
		link = &(*link)->next;
	*link = recorded->next;
	recorded_free(record->over);
	record->over = recorded;
}

struct capture_watch record_watch(struct record *record)
{
	return (struct capture_watch){ .opened = on_opened, .bytes = on_bytes, .gap = on_gap, .finished = on_finished,
				       .closed = on_closed, .context = record };
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static bool write_item(FILE *stream, struct written_flow *flow, const struct item *item, const uint8_t *bytes)
{
	enum direction direction = item->direction;
	switch ((enum item_kind)item->kind) {
	case ITEM_BYTES:
		return capture_write_bytes(stream, flow, direction, bytes, item->count, item->urgent, item->time_ns);
	case ITEM_GAP:
		capture_write_gap(flow, direction);
		return true;
	case ITEM_FINISH:
		return capture_write_finish(stream, flow, direction, item->time_ns);
	case ITEM_RESET:
		return capture_write_reset(stream, flow, direction, item->time_ns);
	}
	return false;
}

static bool write_recorded(const struct recorded *recorded, const struct session *session, FILE *stream)
{
	struct written_flow flow = { .next = { 1000000, 2000000 } };
	size_t at[2] = { 0, 0 };
	memcpy(flow.address[FROM_CLIENT], session->last.client_address, 16);
	memcpy(flow.address[FROM_SERVER], session->last.server_address, 16);
	flow.port[FROM_CLIENT] = session->last.client_port;
	flow.port[FROM_SERVER] = session->last.server_port;
	if (!recorded->midway && !capture_write_open(stream, &flow, recorded->opened_ns))
		return false;
	for (size_t i = 0; i < recorded->count; i++) {
		const struct item *item = &recorded->items[i];
		const uint8_t *bytes = blank_bytes(recorded->blank, item->direction);
		if (!write_item(stream, &flow, item, bytes ? bytes + at[item->direction] : NULL))
			return false;
		at[item->direction] += item->count;
	}
	return true;
}

void record_session(struct record *record, const struct session *session)
{
	struct recorded *recorded = record->over;
	if (!recorded || recorded->id != session->id)
		return;
	record->over = NULL;
	blank_fill(recorded->blank, session->tls && session->tls->version_max);
	if (recorded->failed || blank_has_failed(recorded->blank))
		record->error = "a session is too large to be recorded";
	else if (!write_recorded(recorded, session, record->stream))
		record->error = "it cannot be written";
	else
		record->written++;
	recorded_free(recorded);
}

unsigned record_count(const struct record *record)
{
	return record->written;
}

const char *record_error(const struct record *record)
{
	return record->error;
}

/* ---- verdicts --------------------------------------------------------------------------------------------- */

void verdict_note(const struct session *session, struct verdict_told *verdict)
{
	const struct flow_event *last = &session->last;
	memset(verdict, 0, sizeof(*verdict));
	verdict->id = session->id;
	verdict->linked_id = session->linked_id;
	verdict->facts = last->facts;
	verdict->findings = session->judgement.findings;
	verdict->outcome = session->judgement.outcome;
	verdict->cause = session->judgement.cause_name;
	verdict->unknown_reason = session->judgement.unknown_reason;
	verdict->codes[0] = last->greeting_code;
	verdict->codes[1] = last->ehlo_code;
	verdict->codes[2] = last->starttls_code;
	verdict->codes[3] = last->auth_code;
	verdict->client_alert = last->client_alert;
	verdict->server_alert = last->server_alert;
	if (session->tls) {
		verdict->tls_version = session->tls->version;
		verdict->tls_suite = session->tls->suite;
	}
	memcpy(verdict->mechanism, last->mechanism, sizeof(verdict->mechanism));
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

const char *verdict_difference(const struct verdict_told *a, const struct verdict_told *b)
{
	if (a->outcome != b->outcome || !same_text(a->unknown_reason, b->unknown_reason))
		return "outcome";
	if (a->findings != b->findings || !same_text(a->cause, b->cause) || a->linked_id != b->linked_id)
		return "findings";
	if (a->facts != b->facts)
		return "facts";
	if (memcmp(a->codes, b->codes, sizeof(a->codes)) != 0 || memcmp(a->mechanism, b->mechanism, sizeof(a->mechanism)) != 0)
		return "codes and mechanism";
	if (a->client_alert != b->client_alert || a->server_alert != b->server_alert || a->tls_version != b->tls_version ||
	    a->tls_suite != b->tls_suite)
		return "handshake";
	return NULL;
}
