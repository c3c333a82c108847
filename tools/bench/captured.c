/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes a capture of mixed SMTP sessions to standard output: mail in clear, with and without a login, STARTTLS refused, and
 * TLS 1.2 and 1.3 with real handshakes; many at once, in segments of 1,448 bytes.
 *
 *   captured SESSIONS
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "capture_write.h"

#define AT_ONCE 256
#define SEGMENT 1448
#define TAPE_SIZE (64 * 1024)
#define TURNS_MAX 64
#define BODY_LINES 40
#define MAIL_IN_TLS 3000

/* Who says what, in turn. */
struct tape {
	uint8_t bytes[TAPE_SIZE];
	size_t size;
	struct {
		enum direction direction;
		size_t count;
	} turns[TURNS_MAX];
	unsigned count;
	uint16_t port;
};

static struct tape tapes[5];

static void fail(const char *what)
{
	fprintf(stderr, "captured: %s\n", what);
	exit(1);
}

static void say(struct tape *tape, enum direction direction, const void *bytes, size_t count)
{
	if (count > TAPE_SIZE - tape->size || tape->count == TURNS_MAX)
		fail("a session is too long");
	memcpy(tape->bytes + tape->size, bytes, count);
	tape->size += count;
	tape->turns[tape->count].direction = direction;
	tape->turns[tape->count++].count = count;
}

static void client(struct tape *tape, const char *text)
{
	say(tape, FROM_CLIENT, text, strlen(text));
}

static void server(struct tape *tape, const char *text)
{
	say(tape, FROM_SERVER, text, strlen(text));
}

/* ---- TLS -------------------------------------------------------------------------------------------------- */

static SSL_CTX *context_new(const SSL_METHOD *method, int version)
{
	SSL_CTX *context = SSL_CTX_new(method);
	if (!context || !SSL_CTX_set_min_proto_version(context, version) || !SSL_CTX_set_max_proto_version(context, version))
		fail("OpenSSL");
	return context;
}

static void use_certificate(SSL_CTX *context)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *certificate = X509_new();
	X509_NAME *name = X509_NAME_new();
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"mx.example", -1, -1, 0);
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * 365);
	X509_set_subject_name(certificate, name);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	if (!X509_sign(certificate, key, EVP_sha256()) || SSL_CTX_use_certificate(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey(context, key) != 1)
		fail("no certificate");
	X509_NAME_free(name);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* Moves what from has to say to to, and onto the tape. Returns whether there was anything. */
static bool carry(struct tape *tape, SSL *from, SSL *to, enum direction direction)
{
	uint8_t bytes[TAPE_SIZE];
	int n = BIO_read(SSL_get_wbio(from), bytes, sizeof(bytes));
	if (n <= 0)
		return false;
	say(tape, direction, bytes, (size_t)n);
	return BIO_write(SSL_get_rbio(to), bytes, n) == n;
}

static SSL *ssl_new(SSL_CTX *context)
{
	SSL *ssl = SSL_new(context);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	return ssl;
}

static void talk_tls(struct tape *tape, int version)
{
	static const char mail[MAIL_IN_TLS] = "MAIL FROM:<a@client.example>\r\n";
	char answer[64];
	SSL_CTX *contexts[2] = { context_new(TLS_client_method(), version), context_new(TLS_server_method(), version) };
	use_certificate(contexts[1]);
	SSL *a = ssl_new(contexts[0]), *b = ssl_new(contexts[1]);
	SSL_set_tlsext_host_name(a, "mx.example");
	SSL_set_connect_state(a);
	SSL_set_accept_state(b);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(a);
		carry(tape, a, b, FROM_CLIENT);
		SSL_do_handshake(b);
		carry(tape, b, a, FROM_SERVER);
	}
	if (SSL_write(a, "EHLO client.example\r\n", 21) != 21 || !carry(tape, a, b, FROM_CLIENT) ||
	    SSL_write(b, "250 mx.example\r\n", 16) != 16 || !carry(tape, b, a, FROM_SERVER) ||
	    SSL_read(a, answer, sizeof(answer)) <= 0 || SSL_write(a, mail, sizeof(mail)) != sizeof(mail))
		fail("the handshake has failed");
	carry(tape, a, b, FROM_CLIENT);
	SSL_shutdown(a);
	carry(tape, a, b, FROM_CLIENT);
	SSL_free(a);
	SSL_free(b);
	SSL_CTX_free(contexts[0]);
	SSL_CTX_free(contexts[1]);
}

/* ---- sessions --------------------------------------------------------------------------------------------- */

static void talk_mail(struct tape *tape)
{
	static const char line[] = "Lorem ipsum dolor sit amet, consectetur adipisici elit, sed eiusmod\r\n";
	char body[BODY_LINES * sizeof(line) + 8] = "";
	for (int i = 0; i < BODY_LINES; i++)
		strcat(body, line);
	strcat(body, ".\r\n");
	client(tape, "MAIL FROM:<a@client.example>\r\n");
	server(tape, "250 2.1.0 ok\r\n");
	client(tape, "RCPT TO:<b@mx.example>\r\n");
	server(tape, "250 2.1.5 ok\r\n");
	client(tape, "DATA\r\n");
	server(tape, "354 go on\r\n");
	client(tape, body);
	server(tape, "250 2.0.0 queued\r\n");
	client(tape, "QUIT\r\n");
	server(tape, "221 2.0.0 bye\r\n");
}

static void greet(struct tape *tape, uint16_t port, const char *offer)
{
	tape->port = port;
	server(tape, "220 mx.example ESMTP\r\n");
	client(tape, "EHLO client.example\r\n");
	server(tape, offer);
}

static void make_tapes(void)
{
	static const char plain[] = "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250 8BITMIME\r\n";
	static const char offer[] = "250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n";
	greet(&tapes[0], 25, plain);
	talk_mail(&tapes[0]);
	greet(&tapes[1], 587, offer);
	client(&tapes[1], "AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=\r\n");
	server(&tapes[1], "235 2.7.0 ok\r\n");
	talk_mail(&tapes[1]);
	greet(&tapes[2], 25, offer);
	client(&tapes[2], "STARTTLS\r\n");
	server(&tapes[2], "454 4.7.0 not now\r\n");
	client(&tapes[2], "QUIT\r\n");
	server(&tapes[2], "221 2.0.0 bye\r\n");
	for (int i = 3; i < 5; i++) {
		greet(&tapes[i], 25, offer);
		client(&tapes[i], "STARTTLS\r\n");
		server(&tapes[i], "220 2.0.0 go ahead\r\n");
		talk_tls(&tapes[i], i == 3 ? TLS1_2_VERSION : TLS1_3_VERSION);
	}
}

/* ---- the capture ------------------------------------------------------------------------------------------ */

struct session {
	struct written_flow flow;
	const struct tape *tape; /* NULL: none */
	unsigned turn;
	size_t at;    /* on the tape */
	size_t spoken; /* of the turn */
};

static void begin(struct session *session, unsigned number, uint64_t time_ns)
{
	static const unsigned kinds[] = { 0, 4, 1, 4, 2, 3, 4, 0 }; /* three in eight with TLS 1.3 */
	*session = (struct session){ .tape = &tapes[kinds[number % 8]] };
	struct written_flow *flow = &session->flow;
	for (int i = 0; i < 2; i++)
		memcpy(flow->address[i], "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a", 13);
	flow->address[FROM_CLIENT][14] = (uint8_t)(number >> 14);
	flow->address[FROM_CLIENT][15] = (uint8_t)(number / 50000);
	flow->address[FROM_SERVER][13] = 1;
	flow->address[FROM_SERVER][15] = (uint8_t)(number % 97);
	flow->port[FROM_CLIENT] = (uint16_t)(10000 + number % 50000);
	flow->port[FROM_SERVER] = session->tape->port;
	flow->next[FROM_CLIENT] = number * 2654435761U;
	flow->next[FROM_SERVER] = number * 40503U;
	if (!capture_write_open(stdout, flow, time_ns))
		fail("it cannot be written");
}

/* The next segment. Returns false when the session is over. */
static bool go_on(struct session *session, uint64_t time_ns)
{
	const struct tape *tape = session->tape;
	struct written_flow *flow = &session->flow;
	if (session->turn == tape->count) {
		if (!capture_write_finish(stdout, flow, FROM_CLIENT, time_ns) || !capture_write_finish(stdout, flow, FROM_SERVER, time_ns))
			fail("it cannot be written");
		return false;
	}
	size_t left = tape->turns[session->turn].count - session->spoken, n = left < SEGMENT ? left : SEGMENT;
	if (!capture_write_bytes(stdout, flow, tape->turns[session->turn].direction, tape->bytes + session->at, n, false, time_ns))
		fail("it cannot be written");
	session->at += n;
	session->spoken += n;
	if (n == left) {
		session->turn++;
		session->spoken = 0;
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct session sessions[AT_ONCE];
	unsigned count = argc == 2 ? (unsigned)atoi(argv[1]) : 0, begun = 0, open = 0;
	uint64_t time_ns = 1790000000ULL * 1000000000;
	if (count < 1 || count > 10000000)
		fail("how many sessions?");
	make_tapes();
	if (!capture_write_header(stdout))
		fail("it cannot be written");
	do {
		for (unsigned i = 0; i < AT_ONCE; i++) {
			time_ns += 20000;
			if (!sessions[i].tape && begun < count) {
				begin(&sessions[i], begun++, time_ns);
				open++;
			} else if (sessions[i].tape && !go_on(&sessions[i], time_ns)) {
				sessions[i].tape = NULL;
				open--;
			}
		}
	} while (open || begun < count);
	return fflush(stdout) ? 1 : 0;
}
