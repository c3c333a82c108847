/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The verdict: a pure function of facts and policy. Block mode drops what it condemns; monitor mode says so. */
#ifndef SMTPWARD_VERDICT_H
#define SMTPWARD_VERDICT_H

#include "compiler.h"
#include "dialogue.h"
#include "facts.h"
#include "policy.h"
#include "witness.h"

enum verdict {
	VERDICT_PASS,
	VERDICT_BLOCK,
	VERDICT_HOLD, /* not yet: it hangs on the peer's identity, which is still being found out */
};

/* What is known of the peer, for the verdict. */
struct peer {
	enum identity identity;
	__u16 tls_version; /* chosen in the ServerHello; 0: not known */
};

/* What VERDICT_HOLD becomes where waiting is no use (any more). */
static __always_inline enum verdict verdict_undecided(const struct policy_rule *rule)
{
	return rule->undecided == DOUBT_BLOCK ? VERDICT_BLOCK : VERDICT_PASS;
}

/*
 * Judges one segment of the client's: facts as they would be after it, demands (DEMAND_*) as it raises them. Does
 * not look at mode or rule->action.
 */
static __always_inline enum verdict verdict_of(__u64 facts, __u32 demands, const struct policy_rule *rule,
					       const struct peer *peer)
{
	if (rule->require == REQUIRE_NONE)
		return VERDICT_PASS;
	const __u64 greetings = FACT(EHLO_SENT) | FACT(HELO_SENT) | FACT(LHLO_SENT);
	__u32 condemned = DEMAND_AUTH | DEMAND_CREDENTIAL | DEMAND_MAIL | DEMAND_CAP; /* raised before TLS only */
	if ((facts & greetings) == FACT(LHLO_SENT))
		condemned &= ~(__u32)DEMAND_MAIL; /* LMTP; a credential is one there, too */
	int lost = facts_are_lost(facts); /* then a demand may be a line of a message */
	int too_old = rule->min_tls && peer->tls_version && peer->tls_version < rule->min_tls &&
		      (demands & (DEMAND_TLS_FINISHED | DEMAND_TLS_DATA));
	int on_peer = (demands & DEMAND_TLS_DATA) && (rule->require == REQUIRE_VERIFIED || (rule->min_tls && !peer->tls_version));
	/*
	 * A demand is made by bytes that were read in order, so it stands whatever is missing behind them; and so does what is
	 * known to be bad of the peer, or whoever is on the path would have to spoil but one segment of the server's.
	 */
	if (((demands & condemned) || too_old || (on_peer && peer->identity == IDENTITY_REFUSED)) && !lost)
		return VERDICT_BLOCK;
	if ((facts & (FACT(CLIENT_GAP) | FACT(SERVER_GAP))) || lost)
		return rule->unknown == DOUBT_BLOCK ? VERDICT_BLOCK : VERDICT_PASS;
	if (!on_peer)
		return VERDICT_PASS;
	switch (peer->identity) {
	case IDENTITY_VERIFIED:
		return VERDICT_PASS;
	case IDENTITY_LEFT_OPEN:
		return verdict_undecided(rule);
	default:
		return VERDICT_HOLD;
	}
}

/* Whether a condemned segment is really dropped. */
static __always_inline int verdict_is_enforced(const struct policy_rule *rule, __u8 mode)
{
	return mode == MODE_BLOCK && rule->action == ACTION_BLOCK;
}

#endif
