/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SMTP sessions with STARTTLS, one after the other, and a server for them.
 *
 *   handshakes serve ADDRESS PORT CHAIN KEY
 *   handshakes send chain|name PROCESSES SESSIONS ADDRESS PORT CA NAME
 *
 * A session is a greeting, EHLO, STARTTLS, a full handshake of TLS 1.3, EHLO and QUIT. The sender checks the server's chain
 * against CA and, with "name", that it is for NAME, which it asks for in either case. Each process has one session to warm
 * up and then SESSIONS that count; prints how many handshakes a second all of them made. The first session that fails ends
 * it with an error.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define SERVER_THREADS 8
#define PROCESSES_MAX 16
#define REPLY_SIZE 512

/* One end of a session. */
struct peer {
	int fd;
	SSL *ssl; /* NULL: still in clear */
};

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
	fprintf(stderr, "handshakes: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(EX_OSERR);
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in socket_address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	if (inet_pton(AF_INET, address, &socket_address.sin_addr) != 1)
		die(address);
	return socket_address;
}

static void send_at_once(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* ---- lines ------------------------------------------------------------------------------------------------ */

static bool put(struct peer *peer, const char *text)
{
	size_t length = strlen(text);
	if (peer->ssl)
		return SSL_write(peer->ssl, text, (int)length) == (int)length;
	return send(peer->fd, text, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* Reads what the other side says in one go: its end is the end of a line. */
static bool get(struct peer *peer, char text[REPLY_SIZE])
{
	size_t length = 0;
	do {
		size_t room = REPLY_SIZE - 1 - length;
		ssize_t n = peer->ssl ? SSL_read(peer->ssl, text + length, (int)room) : recv(peer->fd, text + length, room, 0);
		if (n <= 0)
			return false;
		length += (size_t)n;
	} while (text[length - 1] != '\n' && length < REPLY_SIZE - 1);
	text[length] = 0;
	return true;
}

static void end(struct peer *peer)
{
	if (peer->ssl)
		SSL_shutdown(peer->ssl);
	SSL_free(peer->ssl);
	close(peer->fd);
}

/* ---- the server ------------------------------------------------------------------------------------------- */

static int listener;
static SSL_CTX *server_tls;

static bool server_starts_tls(struct peer *peer)
{
	if (!put(peer, "220 go ahead\r\n"))
		return false;
	peer->ssl = SSL_new(server_tls);
	return peer->ssl && SSL_set_fd(peer->ssl, peer->fd) == 1 && SSL_accept(peer->ssl) == 1;
}

static bool answer(struct peer *peer, const char *command)
{
	if (strncmp(command, "EHLO ", 5) == 0)
		return put(peer, peer->ssl ? "250 bench.example\r\n" : "250-bench.example\r\n250 STARTTLS\r\n");
	if (strcmp(command, "STARTTLS\r\n") == 0)
		return server_starts_tls(peer);
	put(peer, "221 bye\r\n");
	return false;
}

static void *serve_in_turn(void *context)
{
	char command[REPLY_SIZE];
	for (;;) {
		struct peer peer = { .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC) };
		if (peer.fd < 0)
			continue;
		send_at_once(peer.fd);
		bool goes_on = put(&peer, "220 bench.example ESMTP\r\n");
		while (goes_on && get(&peer, command))
			goes_on = answer(&peer, command);
		end(&peer);
		ERR_clear_error();
	}
	return context;
}

static int serve(char **argv)
{
	struct sockaddr_in address = address_of(argv[0], argv[1]);
	int on = 1;
	pthread_t thread;
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes as well */
	server_tls = SSL_CTX_new(TLS_server_method());
	if (!server_tls || SSL_CTX_use_certificate_chain_file(server_tls, argv[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server_tls, argv[3], SSL_FILETYPE_PEM) != 1)
		die(argv[2]);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 128))
		die("listen");
	for (int i = 1; i < SERVER_THREADS; i++) {
		if (pthread_create(&thread, NULL, serve_in_turn, NULL))
			die("no thread");
	}
	serve_in_turn(NULL);
	return EX_OK;
}

/* ---- the sender ------------------------------------------------------------------------------------------- */

struct sender {
	struct sockaddr_in server;
	SSL_CTX *tls;
	const char *name;
	bool checks_name;
};

static void expect(struct peer *peer, const char *command, const char *code)
{
	char reply[REPLY_SIZE];
	if (command && !put(peer, command))
		die(command);
	if (!get(peer, reply) || strncmp(reply, code, 3) != 0)
		die(command ? command : "no greeting");
}

static void shake_hands(const struct sender *sender, struct peer *peer)
{
	peer->ssl = SSL_new(sender->tls);
	if (!peer->ssl || !SSL_set_fd(peer->ssl, peer->fd) || !SSL_set_tlsext_host_name(peer->ssl, sender->name) ||
	    (sender->checks_name && !SSL_set1_host(peer->ssl, sender->name)))
		die("no session");
	if (SSL_connect(peer->ssl) != 1 || SSL_get_verify_result(peer->ssl) != X509_V_OK)
		die("the handshake failed");
}

static void run_session(const struct sender *sender)
{
	struct peer peer = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	if (peer.fd < 0 || connect(peer.fd, (const struct sockaddr *)&sender->server, sizeof(sender->server)))
		die("connect");
	send_at_once(peer.fd);
	expect(&peer, NULL, "220");
	expect(&peer, "EHLO client.example\r\n", "250");
	expect(&peer, "STARTTLS\r\n", "220");
	shake_hands(sender, &peer);
	expect(&peer, "EHLO client.example\r\n", "250");
	expect(&peer, "QUIT\r\n", "221");
	end(&peer);
}

/* One process: says when it is warm, and goes on when start ends. */
static void run_process(const struct sender *sender, int sessions, int warm, int start)
{
	char byte;
	run_session(sender);
	if (write(warm, "w", 1) != 1 || close(warm) || read(start, &byte, 1) != 0)
		die("pipe");
	for (int i = 0; i < sessions; i++)
		run_session(sender);
	_exit(EX_OK); /* without OpenSSL's tidying, which takes its time */
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double run_processes(const struct sender *sender, int processes, int sessions)
{
	int warm[2], start[2], status, failed = 0;
	char byte;
	if (pipe(warm) || pipe(start))
		die("pipe");
	for (int i = 0; i < processes; i++) {
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			close(start[1]);
			run_process(sender, sessions, warm[1], start[0]);
		}
	}
	close(warm[1]);
	for (int i = 0; i < processes; i++)
		failed |= read(warm[0], &byte, 1) != 1;
	double from = seconds();
	close(start[1]);
	while (wait(&status) > 0)
		failed |= status;
	if (failed)
		exit(EX_UNAVAILABLE); /* the process has said why */
	return seconds() - from;
}

static int send_mail(char **argv)
{
	int processes = atoi(argv[1]), sessions = atoi(argv[2]);
	struct sender sender = {
		.server = address_of(argv[3], argv[4]),
		.tls = SSL_CTX_new(TLS_client_method()),
		.name = argv[6],
		.checks_name = strcmp(argv[0], "name") == 0,
	};
	if (processes < 1 || processes > PROCESSES_MAX || sessions < 1 || (!sender.checks_name && strcmp(argv[0], "chain") != 0))
		return EX_USAGE;
	if (!sender.tls || !SSL_CTX_set_min_proto_version(sender.tls, TLS1_3_VERSION) ||
	    SSL_CTX_load_verify_locations(sender.tls, argv[5], NULL) != 1)
		die(argv[5]);
	SSL_CTX_set_verify(sender.tls, SSL_VERIFY_PEER, NULL);
	printf("%.1f\n", processes * sessions / run_processes(&sender, processes, sessions));
	return EX_OK;
}

int main(int argc, char **argv)
{
	int status = EX_USAGE;
	if (argc == 6 && strcmp(argv[1], "serve") == 0)
		status = serve(argv + 2);
	else if (argc == 9 && strcmp(argv[1], "send") == 0)
		status = send_mail(argv + 2);
	if (status == EX_USAGE)
		fputs("usage: handshakes serve ADDRESS PORT CHAIN KEY\n"
		      "       handshakes send chain|name PROCESSES SESSIONS ADDRESS PORT CA NAME\n",
		      stderr);
	return status;
}
