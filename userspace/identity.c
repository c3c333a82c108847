/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "identity.h"
#include "sha256.h"

/* ---- certificates ----------------------------------------------------------------------------------------- */

static void clear_chain(struct certificate_chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++)
		free((void *)(uintptr_t)chain->list[i].der);
	memset(chain, 0, sizeof(*chain));
}

void identity_drop_certificates(struct identity_record *record)
{
	clear_chain(&record->wire);
	clear_chain(&record->heard);
}

void identity_clear(struct identity_record *record)
{
	identity_drop_certificates(record);
	memset(record, 0, sizeof(*record));
}

/* Makes room for the next certificate. Returns its bytes, or NULL: the chain is broken then. */
static uint8_t *add_certificate(struct certificate_chain *chain, uint32_t length)
{
	uint8_t *der = NULL;
	if (chain->count < TLS_CERTIFICATES_MAX && length > 0 && length <= CHAIN_BYTES_MAX - chain->bytes)
		der = malloc(length);
	if (!der) {
		chain->broken = true;
		return NULL;
	}
	chain->list[chain->count].der = der;
	chain->list[chain->count].length = length;
	chain->bytes += length;
	chain->count++;
	return der;
}

/* In order, each from its first byte: a piece that does not follow the last one means that one was lost. */
void identity_take_certificate(struct identity_record *record, const struct certificate_event *event)
{
	struct certificate_chain *chain = &record->heard;
	unsigned index = event->index;
	record->certificates_seen = true;
	if (event->index == 0 && event->offset == 0)
		clear_chain(chain); /* the first one again: another handshake, or the chain read anew for the check */
	if (chain->broken || event->length > sizeof(event->bytes))
		return;
	if (event->offset == 0 && index == chain->count)
		add_certificate(chain, event->total);
	if (index + 1 != chain->count || event->total != chain->list[index].length || event->offset != chain->read[index] ||
	    event->length > event->total - event->offset) {
		chain->broken = true;
		return;
	}
	memcpy((uint8_t *)(uintptr_t)chain->list[index].der + event->offset, event->bytes, event->length);
	chain->read[index] += event->length;
	if (index == 0 && chain->read[0] == event->total) {
		sha256(chain->list[0].der, chain->list[0].length, record->heard_digest);
		record->heard_seen = true;
	}
}

void identity_take_wire(struct identity_record *record, const struct tls_certificates *certificates)
{
	struct certificate_chain *chain = &record->wire;
	if (record->wire_seen || !certificates->seen || !certificates->count)
		return;
	record->wire_seen = record->certificates_seen = true;
	for (unsigned i = 0; i < certificates->count && !chain->broken; i++) {
		uint8_t *der = add_certificate(chain, (uint32_t)certificates->list[i].length);
		if (der)
			memcpy(der, certificates->list[i].der, certificates->list[i].length);
		chain->read[i] = (uint32_t)certificates->list[i].length;
	}
	if (certificates->sent > certificates->count)
		chain->broken = true;
	if (chain->count)
		sha256(chain->list[0].der, chain->list[0].length, record->wire_digest);
}

/* ---- the witness ------------------------------------------------------------------------------------------ */

static void take_name(struct witness_word *word, const struct witness_event *event)
{
	word->named = event->named;
	word->name_length = event->name_length < sizeof(word->name) ? event->name_length : 0;
	memcpy(word->name, event->name, sizeof(word->name));
	word->name[sizeof(word->name) - 1] = 0;
}

void identity_take_witness(struct identity_record *record, const struct witness_event *event)
{
	struct witness_word *word = &record->witness;
	word->library = event->library;
	word->pid = event->pid;
	switch (event->kind) {
	case WITNESS_HANDSHAKE:
		word->handshake_done = true;
		break;
	case WITNESS_CHAIN:
		/* OpenSSL looks again where a first chain did not lead to an anchor: the last word is the one that counts */
		word->checked = true;
		word->result = event->result;
		word->error = event->error;
		word->mode = event->mode;
		take_name(word, event);
		break;
	case WITNESS_NAME:
		if (!word->name_checked)
			word->name_by_call = word->named == WITNESS_NAMED_NONE;
		word->name_checked = true;
		/* one after the other, until one matches */
		if (word->name_by_call && (word->named == WITNESS_NAMED_NONE || event->result != 0))
			take_name(word, event);
		word->name_matched = event->result != 0;
		break;
	case WITNESS_RESULT:
		word->asked = true;
		word->asked_error = event->error;
		break;
	}
}

/* ---- what it comes to ------------------------------------------------------------------------------------- */

/* A check that was bound to fail, for want of any anchor, and is not the one that counts. */
static bool is_for_show(const struct identity_record *record)
{
	return record->checked_elsewhere && record->witness.library == WITNESS_OPENSSL && record->witness.mode != WITNESS_MODE_STRICT &&
	       record->witness.error != 0;
}

static enum sender_check check_of_chain(const struct witness_word *word)
{
	bool refused = word->library == WITNESS_OPENSSL ? word->result != 1 : word->result < 0;
	if (word->error == WITNESS_ERROR_UNKNOWN)
		return refused ? SENDER_FOUND_FAULT : SENDER_UNKNOWN;
	if (refused || word->error != 0 || (word->name_checked && !word->name_matched))
		return SENDER_FOUND_FAULT;
	if (word->named == WITNESS_NAMED_NONE)
		return SENDER_CHAIN_ONLY;
	return SENDER_VERIFIED;
}

enum sender_check identity_sender_check(const struct identity_record *record)
{
	const struct witness_word *word = &record->witness;
	if (word->checked)
		return is_for_show(record) ? SENDER_UNKNOWN : check_of_chain(word);
	if (word->asked && word->asked_error != 0)
		return SENDER_FOUND_FAULT; /* the result that was kept with the session that is resumed */
	if (record->resumed_check != SENDER_UNKNOWN)
		return record->resumed_check;
	if (!word->handshake_done || !record->heard_seen)
		return SENDER_UNKNOWN;
	/* OpenSSL always checks, unless the application has put something else in that place: who knows what */
	return word->library == WITNESS_GNUTLS ? SENDER_DID_NOT_CHECK : SENDER_UNKNOWN;
}

unsigned identity_disagreements(const struct identity_record *record, const char *texts[DISAGREEMENTS_MAX])
{
	enum sender_check sender = identity_sender_check(record);
	const struct own_check *own = &record->check;
	bool sound = !own->untrusted && !own->partial && !own->expired;
	unsigned count = 0;
	if (record->wire_seen && record->heard_seen &&
	    memcmp(record->wire_digest, record->heard_digest, sizeof(record->wire_digest)) != 0)
		texts[count++] = "the certificate on the wire is not the one that the sender's library got";
	if (!own->made)
		return count;
	if ((sender == SENDER_VERIFIED || sender == SENDER_CHAIN_ONLY) && (own->untrusted || own->expired))
		texts[count++] = "the sender's library trusts the chain, the agent's own check does not";
	if (sender == SENDER_FOUND_FAULT && sound && !own->name_mismatch)
		texts[count++] = "the sender's library found fault, the agent's own check does not";
	if (sender == SENDER_VERIFIED && record->witness.named != WITNESS_PINNED && own->name_mismatch &&
	    own->name_from != NAME_FROM_POLICY)
		texts[count++] = "the sender's library accepts the name, the agent's own check does not";
	return count;
}

const char *witness_library_name(unsigned library)
{
	return library == WITNESS_OPENSSL ? "openssl" : library == WITNESS_GNUTLS ? "gnutls" : NULL;
}

const char *sender_check_name(enum sender_check check)
{
	static const char *const names[] = {
		[SENDER_UNKNOWN] = "unknown",
		[SENDER_VERIFIED] = "verified",
		[SENDER_CHAIN_ONLY] = "chain-only",
		[SENDER_FOUND_FAULT] = "failed",
		[SENDER_DID_NOT_CHECK] = "not-made",
	};
	return names[check];
}
