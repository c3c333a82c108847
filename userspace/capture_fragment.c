/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_fragment.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#define PACKET_MAX 65536
#define BLOCK 8 /* fragments begin at multiples of it */

struct packet {
	uint8_t from[16], to[16];
	uint32_t id;
	uint32_t total, received; /* bytes; total 0: the last fragment has not come */
	bool broken;              /* its fragments contradict each other */
	uint8_t blocks[PACKET_MAX / BLOCK / 8]; /* which have come */
	uint8_t bytes[PACKET_MAX];
	struct packet *prev, *next;
};

struct fragments {
	struct packet *packets; /* the one that was begun first is first */
	struct packet *complete; /* the one that was given out last */
	unsigned count;
	struct fragment_counts counts;
};

struct fragments *fragments_new(void)
{
	return calloc(1, sizeof(struct fragments));
}

static void forget(struct fragments *fragments, struct packet *packet)
{
	DL_DELETE(fragments->packets, packet);
	fragments->count--;
	free(packet);
}

void fragments_end(struct fragments *fragments)
{
	fragments->counts.lost += fragments->count;
	while (fragments->packets)
		forget(fragments, fragments->packets);
	free(fragments->complete);
	fragments->complete = NULL;
}

void fragments_free(struct fragments *fragments)
{
	if (!fragments)
		return;
	fragments_end(fragments);
	free(fragments);
}

static struct packet *find(const struct fragments *fragments, const struct capture_segment *segment)
{
	struct packet *packet = fragments->packets;
	while (packet && (packet->id != segment->fragment.id || memcmp(packet->from, segment->from, 16) != 0 ||
			  memcmp(packet->to, segment->to, 16) != 0))
		packet = packet->next;
	return packet;
}

static struct packet *begin(struct fragments *fragments, const struct capture_segment *segment)
{
	if (fragments->count == FRAGMENTED_MAX) {
		fragments->counts.lost++;
		forget(fragments, fragments->packets);
	}
	struct packet *packet = calloc(1, sizeof(*packet));
	if (!packet)
		return NULL;
	packet->id = segment->fragment.id;
	memcpy(packet->from, segment->from, 16);
	memcpy(packet->to, segment->to, 16);
	DL_APPEND(fragments->packets, packet);
	fragments->count++;
	return packet;
}

static bool has_block(const struct packet *packet, uint32_t block)
{
	return packet->blocks[block / 8] >> block % 8 & 1;
}

/* Writes the bytes in, block by block. */
static void add(struct packet *packet, uint32_t offset, const uint8_t *bytes, uint32_t length)
{
	for (uint32_t at = 0; at < length; at += BLOCK) {
		uint32_t n = length - at < BLOCK ? length - at : BLOCK, block = (offset + at) / BLOCK;
		if (has_block(packet, block)) {
			packet->broken |= memcmp(packet->bytes + offset + at, bytes + at, n) != 0;
			continue;
		}
		packet->blocks[block / 8] |= (uint8_t)(1 << block % 8);
		memcpy(packet->bytes + offset + at, bytes + at, n);
		packet->received += n;
	}
}

static void take(struct packet *packet, const struct capture_segment *segment)
{
	uint32_t offset = segment->fragment.offset, length = segment->length, end = offset + length;
	bool more = segment->fragment.more;
	if (segment->captured < length || length == 0 || end > PACKET_MAX || (more && length % BLOCK) ||
	    (packet->total && (more ? end > packet->total : end != packet->total))) {
		packet->broken = true;
		return;
	}
	if (!more)
		packet->total = end;
	add(packet, offset, segment->bytes, length);
	packet->broken |= packet->total && packet->received > packet->total;
}

const uint8_t *fragments_take(struct fragments *fragments, const struct capture_segment *segment, uint32_t *length)
{
	fragments->counts.fragments++;
	struct packet *packet = find(fragments, segment);
	if (!packet)
		packet = begin(fragments, segment);
	if (!packet)
		return NULL;
	take(packet, segment);
	if (packet->broken || !packet->total || packet->received < packet->total)
		return NULL; /* a broken one stays until it gives way, so that no other begins with its rest */
	DL_DELETE(fragments->packets, packet);
	fragments->count--;
	free(fragments->complete);
	fragments->complete = packet;
	*length = packet->total;
	return packet->bytes;
}

const struct fragment_counts *fragments_counts(const struct fragments *fragments)
{
	return &fragments->counts;
}
