/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include <openssl/x509_vfy.h>

#include "facts.h"
#include "identity_judgement.h"
#include "policy.h"

/* ---- what was wrong, in the library's words --------------------------------------------------------------- */

/* gnutls_certificate_status_t */
#define GNUTLS_CERT_SIGNER_NOT_FOUND (1U << 6)
#define GNUTLS_CERT_NOT_ACTIVATED (1U << 9)
#define GNUTLS_CERT_EXPIRED (1U << 10)
#define GNUTLS_CERT_UNEXPECTED_OWNER (1U << 14)
#define GNUTLS_CERT_INVALID (1U << 1) /* beside each of the others */
#define GNUTLS_CERT_KNOWN                                                                                                     \
	(GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_NOT_ACTIVATED | GNUTLS_CERT_EXPIRED |               \
	 GNUTLS_CERT_UNEXPECTED_OWNER)

/* What a library's error comes to. */
struct fault {
	bool trust; /* no way from the chain to an anchor of the sender's */
	bool name;
	bool time;
	bool other; /* revoked, say: beyond what the agent's own check can know better */
};

static struct fault openssl_fault(uint32_t error)
{
	struct fault fault = { .trust = false };
	switch (error) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		fault.trust = true;
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CERT_HAS_EXPIRED:
		fault.time = true;
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		fault.name = true;
		break;
	default:
		fault.other = error != 0;
	}
	return fault;
}

static struct fault fault_of(const struct witness_word *word)
{
	struct fault none = { .trust = false };
	if (!word->checked || word->error == WITNESS_ERROR_UNKNOWN)
		return none;
	if (word->library == WITNESS_OPENSSL)
		return openssl_fault(word->error);
	return (struct fault){
		.trust = (word->error & GNUTLS_CERT_SIGNER_NOT_FOUND) != 0,
		.name = (word->error & GNUTLS_CERT_UNEXPECTED_OWNER) != 0 || (word->name_checked && !word->name_matched),
		.time = (word->error & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED)) != 0,
		.other = (word->error & ~GNUTLS_CERT_KNOWN) != 0,
	};
}

/* ---- findings --------------------------------------------------------------------------------------------- */

/*
 * Port 25 is opportunistic: most mail goes to certificates that nobody checks, and that is no news. Where policy demands
 * more, or where a login is under way, it is.
 */
static enum severity severity_of(const struct flow_event *event)
{
	if (event->require == REQUIRE_VERIFIED)
		return SEVERITY_ERROR;
	return event->server_port == 25 ? SEVERITY_INFO : SEVERITY_WARNING;
}

static void find(struct judgement *judgement, enum finding finding, enum severity severity)
{
	judgement->findings |= FINDING_MASK(finding);
	judgement->severity[finding] = (uint8_t)severity;
}

/* What is wrong with the certificate: by the agent's own check, or by the library's word where there was none. */
static void find_faults(const struct flow_event *event, const struct identity_record *record, struct judgement *judgement)
{
	enum sender_check sender = identity_sender_check(record);
	enum severity severity = severity_of(event);
	const struct own_check *own = &record->check;
	struct fault fault = fault_of(&record->witness);
	bool trusted_by_sender = sender == SENDER_VERIFIED || sender == SENDER_CHAIN_ONLY;
	if (own->made ? own->untrusted && !trusted_by_sender : fault.trust)
		find(judgement, FINDING_CERTIFICATE_UNTRUSTED,
		     sender == SENDER_UNKNOWN && event->require != REQUIRE_VERIFIED ? SEVERITY_INFO : severity); /* the sender may have anchors of its own */
	if (own->made ? own->expired && !trusted_by_sender : fault.time)
		find(judgement, FINDING_CERTIFICATE_EXPIRED, severity);
	bool mismatch = own->made && own->name_mismatch;
	if (sender == SENDER_VERIFIED && own->name_from != NAME_FROM_POLICY)
		mismatch = false; /* the library matches names, too, and is the one that counts */
	if (mismatch || (fault.name && own->name_from != NAME_FROM_POLICY))
		find(judgement, FINDING_CERTIFICATE_NAME_MISMATCH, severity);
	if (own->made && own->key_weak)
		find(judgement, FINDING_CERTIFICATE_KEY_WEAK, severity < SEVERITY_WARNING ? severity : SEVERITY_WARNING);
}

/* Nothing was checked, since an earlier session is resumed, of which it is known what it came to. */
static bool is_as_before(const struct identity_record *record)
{
	return !record->witness.checked && record->resumed_id &&
	       (record->resumed_outcome == OUTCOME_VERIFIED || record->resumed_outcome == OUTCOME_UNVERIFIED ||
		record->resumed_outcome == OUTCOME_ENCRYPTED);
}

/* ---- the outcome of a session that is encrypted ----------------------------------------------------------- */

/* The chain was found good, and the library was given no name: an application's own code may have looked at that. */
static enum outcome outcome_without_name(const struct identity_record *record)
{
	const struct own_check *own = &record->check;
	if (record->witness.mode == WITNESS_MODE_LENIENT)
		return OUTCOME_UNVERIFIED; /* whatever was found, the handshake went on */
	if (!own->made || own->name_from == NAME_FROM_NOWHERE)
		return OUTCOME_ENCRYPTED;
	if (own->name_mismatch)
		return OUTCOME_UNVERIFIED;
	return record->witness.mode == WITNESS_MODE_STRICT && own->name_matched ? OUTCOME_VERIFIED : OUTCOME_ENCRYPTED;
}

static enum outcome outcome_of(const struct flow_event *event, const struct identity_record *record)
{
	bool went_on = (event->facts & FACT(CLIENT_PROCEEDED)) != 0;
	bool closed = event->reason == EVENT_CLOSED;
	if (is_as_before(record) && (went_on || record->resumed_outcome != OUTCOME_UNVERIFIED))
		return record->resumed_outcome;
	switch (identity_sender_check(record)) {
	case SENDER_VERIFIED:
		return record->check.name_from == NAME_FROM_POLICY && record->check.name_mismatch ? OUTCOME_UNVERIFIED :
												    OUTCOME_VERIFIED;
	case SENDER_CHAIN_ONLY: {
		enum outcome outcome = outcome_without_name(record);
		return outcome == OUTCOME_UNVERIFIED && !went_on ? OUTCOME_ENCRYPTED : outcome;
	}
	case SENDER_FOUND_FAULT:
	case SENDER_DID_NOT_CHECK:
		if (went_on)
			return OUTCOME_UNVERIFIED;
		/* the client took its leave over TLS, as Postfix does where it wants to verify and cannot */
		return closed && identity_sender_check(record) == SENDER_FOUND_FAULT ? OUTCOME_FAILED : OUTCOME_ENCRYPTED;
	case SENDER_UNKNOWN:
		break;
	}
	return OUTCOME_ENCRYPTED;
}

/* The sender has insisted on a good server; that it is not the one whom policy names, it could not know. */
static bool did_its_part(const struct identity_record *record)
{
	enum sender_check sender = identity_sender_check(record);
	return sender == SENDER_VERIFIED || (sender == SENDER_CHAIN_ONLY && record->witness.mode == WITNESS_MODE_STRICT &&
					     record->check.name_from == NAME_FROM_POLICY);
}

void judge_identity(const struct flow_event *event, const struct tls_summary *tls, const struct identity_record *record,
		    struct judgement *judgement)
{
	if (!tls || !record)
		return;
	bool established = judgement->outcome == OUTCOME_ENCRYPTED;
	bool went_on = (event->facts & FACT(CLIENT_PROCEEDED)) != 0;
	if (established)
		judgement->outcome = outcome_of(event, record);
	enum outcome by_sender = judgement->outcome;
	/* policy has made up for it: nothing left before the agent's own check had said yes */
	bool by_policy = established && event->enforced && event->require == REQUIRE_VERIFIED && record->told == IDENTITY_VERIFIED;
	if (by_policy)
		judgement->outcome = OUTCOME_VERIFIED;
	/* of a flow in clear, or one whose story is not known, a certificate says nothing */
	if (judgement->outcome == OUTCOME_CLEARTEXT || judgement->outcome == OUTCOME_UNKNOWN)
		return;
	find_faults(event, record, judgement);
	if (by_sender == OUTCOME_UNVERIFIED && went_on && established && !did_its_part(record))
		find(judgement, FINDING_VERIFICATION_SKIPPED, by_policy ? SEVERITY_INFO : severity_of(event));
	if (event->require == REQUIRE_NONE)
		memset(judgement->severity, SEVERITY_INFO, sizeof(judgement->severity));
}

/* ---- policy ----------------------------------------------------------------------------------------------- */

/* The agent's own word: a whole check, and a name that fits. */
static enum identity own_verdict(const struct own_check *own)
{
	if (!own->made)
		return IDENTITY_LEFT_OPEN;
	if (own->untrusted || own->expired || own->name_mismatch)
		return IDENTITY_REFUSED;
	return own->name_matched && !own->partial ? IDENTITY_VERIFIED : IDENTITY_LEFT_OPEN;
}

/* The library trusts the chain, by anchors that may be the sender's own, and has looked at no name. */
static enum identity verdict_on_name(const struct own_check *own)
{
	if (!own->made || own->name_from == NAME_FROM_NOWHERE)
		return IDENTITY_LEFT_OPEN;
	return own->name_matched ? IDENTITY_VERIFIED : IDENTITY_REFUSED;
}

/*
 * A sender without trust anchors finds fault with every server, and one that was told another name than policy demands
 * with the right one: there the agent knows better. It knows nothing of revocation and the like.
 */
static enum identity verdict_of_fault(const struct identity_record *record, const char *policy_name)
{
	struct fault fault = fault_of(&record->witness);
	bool excusable = !fault.other && !fault.time && (fault.trust || fault.name) && (!fault.name || policy_name);
	return excusable && own_verdict(&record->check) == IDENTITY_VERIFIED ? IDENTITY_VERIFIED : IDENTITY_REFUSED;
}

static enum identity verdict_verified(const struct identity_record *record, const char *policy_name)
{
	const struct own_check *own = &record->check;
	if (is_as_before(record) && record->resumed_outcome == OUTCOME_VERIFIED && !policy_name)
		return IDENTITY_VERIFIED;
	switch (identity_sender_check(record)) {
	case SENDER_VERIFIED:
		if (!policy_name || (record->witness.named == WITNESS_NAMED_HOST && strcasecmp(record->witness.name, policy_name) == 0))
			return IDENTITY_VERIFIED;
		return verdict_on_name(own);
	case SENDER_CHAIN_ONLY:
		return verdict_on_name(own);
	case SENDER_FOUND_FAULT:
		return verdict_of_fault(record, policy_name);
	case SENDER_DID_NOT_CHECK:
	case SENDER_UNKNOWN:
		break;
	}
	return own_verdict(own);
}

enum identity identity_verdict(const struct flow_event *event, const struct tls_summary *tls,
			       const struct identity_record *record, const char *policy_name)
{
	bool read = tls && tls->version;
	enum identity verdict = IDENTITY_VERIFIED;
	if (event->min_tls && read && tls->version < event->min_tls)
		return IDENTITY_REFUSED;
	if (event->require == REQUIRE_VERIFIED)
		verdict = record ? verdict_verified(record, policy_name) : IDENTITY_LEFT_OPEN;
	return verdict == IDENTITY_VERIFIED && event->min_tls && !read ? IDENTITY_LEFT_OPEN : verdict;
}
