/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes what `smtpward probe` reads: a DNS answer (first piece), and all that a server sends (the rest), over a real
 * socket, with a TLS handshake where the server says 220.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "../../userspace/probe_mx.c" /* its reader of answers is static */

#include "fuzz.h"
#include "probe_dialogue.h"
#include "probe_link.h"

static void check_text(const char *text)
{
	for (; *text; text++)
		REQUIRE((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_answer(const uint8_t *bytes, size_t length)
{
	struct probe_mx list[PROBE_MX_MAX];
	char error[256] = "";
	unsigned char *copy = malloc(length ? length : 1);
	REQUIRE(copy != NULL);
	memcpy(copy, bytes, length);
	int count = read_answer(copy, (int)length, "example.org", list, error, sizeof(error));
	free(copy);
	REQUIRE(count <= PROBE_MX_MAX);
	REQUIRE(count >= 0 || strlen(error) > 0);
	for (int i = 0; i < count; i++)
		REQUIRE(is_host_name(list[i].host) && (i == 0 || list[i - 1].preference <= list[i].preference));
}

static void check_reply(const struct probe_reply *reply)
{
	REQUIRE(reply->code < 1000 && reply->count <= PROBE_LINES_MAX);
	for (unsigned i = 0; i < reply->count; i++)
		check_text(reply->lines[i]);
}

static void shake_hands(struct probe_link *link)
{
	static SSL_CTX *context;
	if (!context)
		context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(context);
	REQUIRE(ssl != NULL);
	probe_link_handshake(link, ssl);
}

static void talk(struct probe_link *link)
{
	static struct probe_reply greeting, ehlo, starttls;
	struct probe_talk talk = { .greeting = &greeting, .ehlo = &ehlo, .starttls = &starttls };
	struct probe_mechanisms mechanisms;

	memset(&greeting, 0, sizeof(greeting));
	memset(&ehlo, 0, sizeof(ehlo));
	memset(&starttls, 0, sizeof(starttls));
	int result = probe_talk(link, &talk);
	check_reply(&greeting);
	check_reply(&ehlo);
	check_reply(&starttls);
	if (result < 0)
		check_text(probe_error_text(result));
	probe_read_mechanisms(&ehlo, &mechanisms);
	REQUIRE(mechanisms.count <= PROBE_MECHANISMS_MAX);
	if (result == 1)
		shake_hands(link);
	probe_quit(link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct probe_link link;
	struct fuzz_input input = { data, size };
	size_t length;
	int ends[2], room = 1 << 20;

	const uint8_t *answer = fuzz_piece(&input, &length);
	check_answer(answer, length);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	if (input.left && send(ends[1], input.bytes, input.left, MSG_NOSIGNAL) < 0)
		input.left = 0;
	shutdown(ends[1], SHUT_WR); /* all that will ever come is here: nothing waits for time to pass */
	memset(&link, 0, sizeof(link));
	link.fd = ends[0];
	link.end = probe_now_ms() + 60000;
	dialogue_start(&link.client, &link.server, false);
	talk(&link);
	probe_link_close(&link);
	close(ends[1]);
	return 0;
}
