/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "identity_check.h"
#include "sha256.h"

#define CHECKS_MAX 1024
#define CHECK_LIFE_S 60 /* certificates expire, and a clock may be set */

/* A check that was made: by the digest of chain and name. */
struct known_check {
	uint8_t key[SHA256_SIZE];
	int64_t made;
	struct own_check check;
	UT_hash_handle hh;
};

struct identity_checker {
	struct certificate_store *store;
	struct known_check *known; /* the oldest first */
	struct certificate_check scratch; /* large */
};

struct identity_checker *identity_checker_new(const char *trust, char *error, unsigned error_size)
{
	struct identity_checker *checker = calloc(1, sizeof(*checker));
	if (!checker) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	checker->store = certificate_store_open(trust, error, error_size);
	if (checker->store)
		return checker;
	free(checker);
	return NULL;
}

static void forget(struct identity_checker *checker, struct known_check *known)
{
	HASH_DEL(checker->known, known);
	free(known);
}

void identity_checker_free(struct identity_checker *checker)
{
	if (!checker)
		return;
	while (checker->known)
		forget(checker, checker->known);
	certificate_store_free(checker->store);
	free(checker);
}

/* ---- the name --------------------------------------------------------------------------------------------- */

/* The name that the library was told, as text; false if there is none. */
static bool library_name(const struct witness_word *word, char name[256])
{
	if (word->named == WITNESS_NAMED_ADDRESS && (word->name_length == 4 || word->name_length == 16))
		return inet_ntop(word->name_length == 4 ? AF_INET : AF_INET6, word->name, name, 256) != NULL;
	if (word->named != WITNESS_NAMED_HOST || !word->name[0])
		return false;
	snprintf(name, 256, "%s", word->name[0] == '.' ? "" : word->name); /* ".example": any host of that domain */
	return name[0] != 0;
}

static enum name_source choose_name(const struct identity_record *record, const char *policy_name, const char *sni, char name[256])
{
	name[0] = 0;
	if (policy_name && *policy_name) {
		snprintf(name, 256, "%s", policy_name);
		return NAME_FROM_POLICY;
	}
	if (library_name(&record->witness, name))
		return NAME_FROM_LIBRARY;
	if (!sni || !*sni)
		return NAME_FROM_NOWHERE;
	snprintf(name, 256, "%s", sni);
	return NAME_FROM_SNI;
}

/* ---- the check -------------------------------------------------------------------------------------------- */

static void key_of(const struct certificate_chain *chain, const char *name, uint8_t key[SHA256_SIZE])
{
	uint8_t digests[TLS_CERTIFICATES_MAX + 1][SHA256_SIZE];
	for (unsigned i = 0; i < chain->count; i++)
		sha256(chain->list[i].der, chain->list[i].length, digests[i]);
	sha256(name, strlen(name), digests[chain->count]);
	sha256(digests[0], (chain->count + 1) * sizeof(digests[0]), key);
}

static void summarize(const struct certificate_check *check, struct own_check *own)
{
	own->made = check->readable;
	own->untrusted = check->untrusted;
	own->self_signed = check->self_signed;
	own->name_mismatch = check->name_mismatch;
	own->expired = check->expired;
	own->key_weak = check->key_weak;
	own->name_matched = check->name == CERTIFICATE_NAME_MATCHED || check->name == CERTIFICATE_NAME_CN_ONLY;
	own->verify_text = check->verify_error ? check->verify_text : NULL;
	own->not_after = check->list[0].not_after;
	memcpy(own->sha256, check->list[0].sha256, sizeof(own->sha256));
	snprintf(own->subject, sizeof(own->subject), "%.*s", (int)sizeof(own->subject) - 1, check->list[0].subject);
}

/* The check, made now or lately. NULL: no memory. */
static const struct own_check *make(struct identity_checker *checker, const struct certificate_chain *chain, const char *name,
				    int64_t now)
{
	uint8_t key[SHA256_SIZE];
	struct known_check *known = NULL;
	key_of(chain, name, key);
	HASH_FIND(hh, checker->known, key, sizeof(key), known);
	if (known && now >= known->made && now - known->made < CHECK_LIFE_S)
		return &known->check;
	if (known)
		forget(checker, known);
	if (HASH_COUNT(checker->known) >= CHECKS_MAX)
		forget(checker, checker->known);
	known = calloc(1, sizeof(*known));
	if (!known)
		return NULL;
	memcpy(known->key, key, sizeof(key));
	known->made = now;
	if (certificate_check(checker->store, chain->list, chain->count, name, now, &checker->scratch) == 0)
		summarize(&checker->scratch, &known->check);
	HASH_ADD(hh, checker->known, key, sizeof(known->key), known);
	return &known->check;
}

static bool is_whole(const struct certificate_chain *chain)
{
	bool whole = chain->count > 0 && !chain->broken;
	for (unsigned i = 0; whole && i < chain->count; i++)
		whole = chain->read[i] == chain->list[i].length;
	return whole;
}

/* GnuTLS reads the server's own certificate first, and the rest of the chain only for a check. */
static void mark_partial(struct identity_record *record, enum certificate_source from)
{
	struct own_check *own = &record->check;
	own->partial = from == CERTIFICATE_FROM_WITNESS && record->witness.library == WITNESS_GNUTLS && !record->witness.checked &&
		       own->untrusted && !own->self_signed;
	if (own->partial)
		own->untrusted = false;
}

void identity_check(struct identity_checker *checker, struct identity_record *record, const char *policy_name, const char *sni,
		    int64_t now)
{
	const struct certificate_chain *chain = is_whole(&record->wire) ? &record->wire : &record->heard;
	char name[256];
	if (!is_whole(chain))
		return;
	enum name_source name_from = choose_name(record, policy_name, sni, name);
	enum certificate_source from = chain == &record->wire ? CERTIFICATE_FROM_WIRE : CERTIFICATE_FROM_WITNESS;
	if (record->check.made && record->check.from == from && !record->check.partial && record->check.name_from == name_from &&
	    strcmp(record->check.name, name) == 0)
		return;
	const struct own_check *check = make(checker, chain, name, now);
	if (!check)
		return;
	record->check = *check;
	mark_partial(record, from);
	record->check.from = from;
	record->check.name_from = name_from;
	memcpy(record->check.name, name, sizeof(record->check.name));
}
