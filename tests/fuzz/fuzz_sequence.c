/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Differential: the same two streams of bytes as the hooks see them on a bad wire, and as they were said (sequence.h).
 * What the hooks come to is the same, or they say that there is a gap and tell nothing that is not so.
 *
 * The input: a byte of options, the server's stream (a piece), the client's (a piece), and the wire: operations of three
 * bytes. A client's segment is what comes next of its stream; a server's is any part of what it has sent by now, so that
 * it may come twice, early, or late; spoilt, it has other bytes and TCP drops it.
 */
#include "fuzz.h"
#include "sequence.h"

#define CLIENT_NEXT 0   /* so many bytes of the client's */
#define CLIENT_AGAIN 1  /* a retransmission that goes a little further */
#define SERVER_NEXT 2   /* so many bytes of the server's */
#define SERVER_AGAIN 3  /* from so far back */
#define SERVER_SKIP 4   /* so many bytes are sent, and lost on the way */
#define SERVER_SPOILT 5 /* so many bytes, not as they were sent */
#define OPERATIONS 6

static struct sequence sequence;

struct stream {
	const uint8_t *bytes;
	uint32_t length, sent;
};

static uint32_t at_most(uint32_t wanted, uint32_t limit)
{
	return wanted < limit ? wanted : limit;
}

static void server_part(const struct stream *server, uint32_t from, uint32_t length, bool spoilt)
{
	uint8_t *copy = malloc(length ? length : 1);
	REQUIRE(copy != NULL);
	memcpy(copy, server->bytes + from, length);
	for (uint32_t i = 0; spoilt && i < length; i++)
		copy[i] ^= (uint8_t)(1 + i % 3);
	if (length)
		sequence_server(&sequence, from, copy, length, spoilt);
	free(copy);
}

/* TCP sees to it: what was lost or spoilt comes again, and the client cannot have acted on it before. */
static void mend(const struct stream *server)
{
	if (sequence.server_taken < server->sent)
		server_part(server, sequence.server_taken, server->sent - sequence.server_taken, false);
	REQUIRE(sequence.server_taken == server->sent);
}

static void client_part(struct stream *client, const struct stream *server, uint32_t back, uint32_t length)
{
	uint32_t from = client->sent - at_most(back, client->sent);
	length = at_most(length + (client->sent - from), client->length - from);
	mend(server);
	if (length && sequence_client(&sequence, from, client->bytes + from, length) && from + length > client->sent)
		client->sent = from + length;
}

static void operate(struct stream *client, struct stream *server, struct fuzz_input *input)
{
	uint8_t operation = fuzz_byte(input) % OPERATIONS, more = fuzz_byte(input), length = fuzz_byte(input);
	uint32_t wanted = (uint32_t)length + (more & 0xc0 ? 256U * (more & 0x3f) : 0), rest = server->length - server->sent;
	switch (operation) {
	case CLIENT_NEXT:
		client_part(client, server, 0, wanted);
		break;
	case CLIENT_AGAIN:
		client_part(client, server, more, length);
		break;
	case SERVER_NEXT:
	case SERVER_SPOILT:
		wanted = at_most(wanted, rest);
		server->sent += wanted;
		server_part(server, server->sent - wanted, wanted, operation == SERVER_SPOILT);
		break;
	case SERVER_AGAIN:
		server_part(server, server->sent - at_most(more, server->sent), at_most(length, at_most(more, server->sent)), false);
		break;
	case SERVER_SKIP:
		server->sent += at_most(length, rest);
		break;
	}
}

static void tell_facts(const char *whose, const struct dialogue_run *run)
{
	static const char *const names[] = {
#define X(id, name) name,
		FACTS(X)
#undef X
	};
	uint64_t facts = run->client.facts | run->server.facts;
	fprintf(stderr, "%s:", whose);
	for (unsigned i = 0; i < FACT_COUNT; i++)
		if (facts >> i & 1)
			fprintf(stderr, " %s", names[i]);
	fprintf(stderr, "\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct stream client = { 0 }, server = { 0 };
	size_t length;

	uint8_t options = fuzz_byte(&input);
	server.bytes = fuzz_piece(&input, &length);
	server.length = at_most((uint32_t)length, SEQUENCE_BYTES_MAX);
	client.bytes = fuzz_piece(&input, &length);
	client.length = (uint32_t)length;
	sequence_start(&sequence, options & 1, options & 2 ? MODE_BLOCK : MODE_MONITOR);
	if (options & 4) {
		dialogue_run_midway(&sequence.seen);
		dialogue_run_midway(&sequence.said);
	}
	while (input.left && !sequence.seen.blocked && !sequence.said.blocked)
		operate(&client, &server, &input);
	mend(&server);
	const char *fault = sequence_fault(&sequence);
	if (!fault)
		return 0;
	fprintf(stderr, "violated: the hooks tell %s\n", fault);
	tell_facts("seen", &sequence.seen);
	tell_facts("said", &sequence.said);
	abort();
}
