/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sequence.h"

#include <string.h>

#include "facts.h"
#include "judgement.h"

#define GAPS (FACT(CLIENT_GAP) | FACT(SERVER_GAP))

void sequence_start(struct sequence *sequence, bool implicit_tls, uint8_t mode)
{
	memset(sequence, 0, sizeof(*sequence));
	dialogue_run_start(&sequence->seen, implicit_tls, mode, &dialogue_run_encrypted);
	dialogue_run_start(&sequence->said, implicit_tls, mode, &dialogue_run_encrypted);
}

bool sequence_client(struct sequence *sequence, uint32_t offset, const uint8_t *bytes, size_t length)
{
	size_t old = sequence->client_next - offset;
	if (old >= length)
		return !sequence->seen.blocked; /* sent before */
	dialogue_run_client(&sequence->said, bytes + old, length - old);
	if (!dialogue_run_client(&sequence->seen, bytes + old, length - old))
		return false;
	sequence->client_next += (uint32_t)(length - old);
	return true;
}

/* As server_segment() in bpf/smtpward.bpf.c, with server_taken for the socket's rcv_nxt. */
static void see_server(struct sequence *sequence, uint32_t offset, const uint8_t *bytes, size_t length)
{
	uint32_t end = offset + (uint32_t)length;
	if (sequence->seen.settled || sequence->seen.server.opaque)
		return;
	if (offset != sequence->server_next && sequence->server_taken < (end < sequence->server_next ? end : sequence->server_next)) {
		server_withdraw(&sequence->seen.server);
		return;
	}
	if (end <= sequence->server_next)
		return;
	if (offset > sequence->server_next) {
		dialogue_run_server_lost(&sequence->seen);
		return;
	}
	size_t old = sequence->server_next - offset;
	sequence->server_next = end;
	dialogue_run_server(&sequence->seen, bytes + old, length - old);
}

/* What the client's TCP makes of it. */
static void take_server(struct sequence *sequence, uint32_t offset, const uint8_t *bytes, size_t length)
{
	uint32_t start = sequence->server_taken;
	for (size_t i = 0; i < length && offset + i < SEQUENCE_BYTES_MAX; i++) {
		if (!sequence->here[offset + i])
			sequence->stream[offset + i] = bytes[i];
		sequence->here[offset + i] = true;
	}
	while (sequence->server_taken < SEQUENCE_BYTES_MAX && sequence->here[sequence->server_taken])
		sequence->server_taken++;
	if (sequence->server_taken > start)
		dialogue_run_server(&sequence->said, sequence->stream + start, sequence->server_taken - start);
}

void sequence_server(struct sequence *sequence, uint32_t offset, const uint8_t *bytes, size_t length, bool spoilt)
{
	see_server(sequence, offset, bytes, length);
	if (!spoilt)
		take_server(sequence, offset, bytes, length);
}

/*
 * Behind a gap nobody knows whether the server speaks TLS, so what stands in the client's records is not read as lines
 * any more. Where it is lines after all (a client that hides an AUTH in what looks like a record, from a server that
 * takes it for one), the hooks go on telling records. No TLS library makes such.
 */
static uint64_t excused(const struct dialogue_run *said)
{
	return said->client.left_tls ? FACT(CLIENT_HELLO) | FACT(CLIENT_FINISHED) | FACT(CLIENT_DATA) | FACT(CLIENT_ALERT) |
					       FACT(CLIENT_PROCEEDED)
				     : 0;
}

/* Application data before the server's part of the handshake is over, which no TLS library sends: see facts_tls_established(). */
static bool is_no_tls(const struct dialogue_run *said)
{
	uint64_t facts = said->client.facts | said->server.facts;
	return (facts & FACT(CLIENT_DATA)) && !facts_tls_established(facts);
}

static bool same_words(const struct flow_event *seen, const struct flow_event *said)
{
	return memcmp(seen, said, sizeof(*seen)) == 0;
}

const char *sequence_fault(const struct sequence *sequence)
{
	struct flow_event seen = dialogue_run_event(&sequence->seen, EVENT_CLOSED);
	struct flow_event said = dialogue_run_event(&sequence->said, EVENT_CLOSED);
	struct judgement judged_seen, judged_said;
	judge(&seen, &judged_seen);
	judge(&said, &judged_said);
	if (!(seen.facts & GAPS))
		return same_words(&seen, &said) ? NULL : "without a gap, something else than what was said";
	if (seen.facts & ~said.facts & ~GAPS & ~excused(&sequence->said))
		return "a fact that is not one";
	if (judged_seen.findings & ~judged_said.findings)
		return "a finding that is none";
	if (judged_seen.outcome != OUTCOME_UNKNOWN && judged_seen.outcome != judged_said.outcome && !excused(&sequence->said) &&
	    !is_no_tls(&sequence->said))
		return "an outcome that is another";
	return NULL;
}
