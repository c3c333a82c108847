/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The verdict: a pure function of facts and policy. Block mode drops what it condemns; monitor mode says so. */
#ifndef SMTPWARD_VERDICT_H
#define SMTPWARD_VERDICT_H

#include "compiler.h"
#include "dialogue.h"
#include "facts.h"
#include "policy.h"

enum verdict { VERDICT_PASS, VERDICT_BLOCK };

/*
 * Judges one segment of the client's: facts as they would be after it, demands (DEMAND_*) as it raises them. Does
 * not look at mode or rule->action.
 */
static __always_inline enum verdict verdict_of(__u64 facts, __u32 demands, const struct policy_rule *rule)
{
	if (rule->require == REQUIRE_NONE)
		return VERDICT_PASS;
	const __u64 greetings = FACT(EHLO_SENT) | FACT(HELO_SENT) | FACT(LHLO_SENT);
	__u32 condemned = DEMAND_AUTH | DEMAND_CREDENTIAL | DEMAND_MAIL | DEMAND_CAP; /* raised before TLS only */
	if ((facts & greetings) == FACT(LHLO_SENT))
		condemned &= ~(__u32)DEMAND_MAIL; /* LMTP; a credential is one there, too */
	/* A demand is made by bytes that were read in order, so it stands whatever is missing behind them. */
	if ((demands & condemned) && !(facts & FACT(MIDWAY)))
		return VERDICT_BLOCK;
	if (facts & (FACT(CLIENT_GAP) | FACT(SERVER_GAP) | FACT(MIDWAY)))
		return rule->unknown == DOUBT_BLOCK ? VERDICT_BLOCK : VERDICT_PASS;
	if ((demands & DEMAND_TLS_DATA) && rule->require == REQUIRE_VERIFIED)
		return rule->undecided == DOUBT_BLOCK ? VERDICT_BLOCK : VERDICT_PASS;
	return VERDICT_PASS;
}

/* Whether a condemned segment is really dropped. */
static __always_inline int verdict_is_enforced(const struct policy_rule *rule, __u8 mode)
{
	return mode == MODE_BLOCK && rule->action == ACTION_BLOCK;
}

#endif
