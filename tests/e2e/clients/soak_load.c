/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SMTP sessions of every sort, many and fast, and a server for them.
 *
 *   soak_load serve ADDRESS PORT CERTIFICATE KEY
 *   soak_load send ADDRESS PORT SESSIONS THREADS
 *
 * Of ten sessions three send mail in clear, one a login in clear, two go on in TLS, one breaks the handshake off with
 * garbage, one is reset in the middle of the dialogue, one sends a FIN after EHLO and goes, and one is left open,
 * silent, until a hundred others of its thread are over, and then reset. That a session is stopped is no error.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define LINE_SIZE 512
#define IDLE_MAX 100 /* silent connections of a thread */
#define STACK_SIZE (256 * 1024)
#define TIMEOUT_S 30

static SSL_CTX *context;
static struct sockaddr_in address;
static atomic_uint left;

/* One end of a session. */
struct peer {
	int fd;
	SSL *ssl; /* NULL: in clear */
};

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
	fprintf(stderr, "soak_load: %s: %s\n", what, strerror(errno));
	exit(EX_OSERR);
}

static bool say(const struct peer *peer, const char *text)
{
	size_t length = strlen(text);
	if (peer->ssl)
		return SSL_write(peer->ssl, text, (int)length) == (int)length;
	return send(peer->fd, text, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* Reads up to the end of a line that is the last of its reply; of a client's command, one line. False: there is none. */
static bool hear(const struct peer *peer, char text[LINE_SIZE])
{
	size_t used = 0;
	for (;;) {
		ssize_t n = peer->ssl ? SSL_read(peer->ssl, text + used, (int)(LINE_SIZE - 1 - used))
				      : recv(peer->fd, text + used, LINE_SIZE - 1 - used, 0);
		if (n <= 0)
			return false;
		used += (size_t)n;
		text[used] = 0;
		if (text[used - 1] != '\n') {
			if (used == LINE_SIZE - 1)
				return false;
			continue;
		}
		text[used - 1] = 0;
		const char *last = strrchr(text, '\n');
		last = last ? last + 1 : text;
		if (strlen(last) < 4 || last[3] != '-')
			return true;
		text[used - 1] = '\n';
	}
}

static void tune(int fd)
{
	struct timeval limit = { .tv_sec = TIMEOUT_S };
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static void reset(int fd)
{
	const struct linger at_once = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

/* ---- the server ------------------------------------------------------------------------------------------- */

static bool start_tls(struct peer *peer, bool as_server)
{
	peer->ssl = SSL_new(context);
	if (!peer->ssl || SSL_set_fd(peer->ssl, peer->fd) != 1)
		die("SSL_new");
	if ((as_server ? SSL_accept(peer->ssl) : SSL_connect(peer->ssl)) == 1)
		return true;
	ERR_clear_error();
	return false;
}

static bool answer(struct peer *peer, const char *command, bool *content)
{
	if (*content) {
		const char *last = strrchr(command, '\n'); /* the content may have come in one piece */
		*content = strcmp(last ? last + 1 : command, ".\r") != 0;
		return *content || say(peer, "250 taken\r\n");
	}
	if (!strncmp(command, "EHLO", 4))
		return say(peer, peer->ssl ? "250-soak.example\r\n250 AUTH PLAIN\r\n"
					   : "250-soak.example\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n");
	if (!strncmp(command, "STARTTLS", 8))
		return say(peer, "220 go\r\n") && start_tls(peer, true);
	if (!strncmp(command, "DATA", 4)) {
		*content = true;
		return say(peer, "354 go\r\n");
	}
	if (!strncmp(command, "QUIT", 4)) {
		say(peer, "221 bye\r\n");
		return false;
	}
	return say(peer, !strncmp(command, "AUTH", 4) ? "235 yes\r\n" : "250 ok\r\n");
}

static void *serve_one(void *argument)
{
	struct peer peer = { .fd = (int)(long)argument };
	char line[LINE_SIZE];
	bool content = false;
	tune(peer.fd);
	if (say(&peer, "220 soak.example ready\r\n")) {
		while (hear(&peer, line) && answer(&peer, line, &content))
			;
	}
	SSL_free(peer.ssl);
	close(peer.fd);
	return NULL;
}

static void serve(void)
{
	pthread_attr_t small;
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, STACK_SIZE);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4096))
		die("listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		pthread_t thread;
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0 && pthread_create(&thread, &small, serve_one, (void *)(long)client))
			close(client);
	}
}

/* ---- the clients ------------------------------------------------------------------------------------------ */

/* Says it and hears the reply. */
static bool ask(const struct peer *peer, const char *text)
{
	char line[LINE_SIZE];
	return say(peer, text) && hear(peer, line);
}

static void send_mail(const struct peer *peer)
{
	if (ask(peer, "MAIL FROM:<a@example.org>\r\n") && ask(peer, "RCPT TO:<b@example.net>\r\n") && ask(peer, "DATA\r\n") &&
	    say(peer, "Subject: soak\r\n\r\nhello\r\n"))
		ask(peer, ".\r\n");
	ask(peer, "QUIT\r\n");
}

static void in_tls(struct peer *peer)
{
	if (!ask(peer, "STARTTLS\r\n") || !start_tls(peer, false) || !ask(peer, "EHLO client.example\r\n"))
		return;
	send_mail(peer);
	SSL_shutdown(peer->ssl);
}

/* What becomes of a session that has greeted; number is which of ten. Returns true if the connection is to stay open. */
static bool play(struct peer *peer, unsigned number)
{
	char line[LINE_SIZE];
	switch (number) {
	case 0:
	case 1:
	case 2:
		send_mail(peer);
		return false;
	case 3:
		ask(peer, "AUTH PLAIN AHNvYWsAU29hay1wYXNzd29yZC0xMQ==\r\n");
		ask(peer, "QUIT\r\n");
		return false;
	case 4:
	case 5:
		in_tls(peer);
		return false;
	case 6:
		if (ask(peer, "STARTTLS\r\n"))
			ask(peer, "this is no ClientHello\r\n");
		return false;
	case 7:
		ask(peer, "NOOP\r\n");
		reset(peer->fd);
		peer->fd = -1;
		return false;
	case 8:
		shutdown(peer->fd, SHUT_WR);
		hear(peer, line);
		return false;
	default:
		return true;
	}
}

static int connect_one(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	tune(fd);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	return fd;
}

static void *send_many(void *argument)
{
	int idle[IDLE_MAX];
	unsigned count = 0;
	(void)argument;
	for (unsigned number; (number = atomic_fetch_sub(&left, 1)) != 0 && number <= 1U << 31;) {
		struct peer peer = { .fd = connect_one() };
		char line[LINE_SIZE];
		bool stays = hear(&peer, line) && ask(&peer, "EHLO client.example\r\n") && play(&peer, number % 10);
		SSL_free(peer.ssl);
		if (!stays && peer.fd >= 0)
			close(peer.fd);
		if (!stays)
			continue;
		if (count >= IDLE_MAX / 10) /* ten sessions of others for each */
			reset(idle[--count]);
		memmove(idle + 1, idle, count * sizeof(*idle)); /* the oldest is the last */
		idle[0] = peer.fd;
		count++;
	}
	while (count)
		reset(idle[--count]);
	return NULL;
}

static void send_all(unsigned sessions, unsigned threads)
{
	pthread_t thread[64];
	atomic_store(&left, sessions);
	for (unsigned i = 0; i < threads; i++) {
		if (pthread_create(&thread[i], NULL, send_many, NULL))
			die("pthread_create");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
	bool server = argc == 6 && !strcmp(argv[1], "serve");
	struct rlimit many = { .rlim_cur = 8192, .rlim_max = 8192 };
	if (!server && (argc != 6 || strcmp(argv[1], "send") || atoi(argv[5]) < 1 || atoi(argv[5]) > 64))
		return EX_USAGE;
	address.sin_family = AF_INET;
	address.sin_port = htons((uint16_t)atoi(argv[3]));
	if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1)
		return EX_USAGE;
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &many);
	context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!context || (server && (SSL_CTX_use_certificate_chain_file(context, argv[4]) != 1 ||
				    SSL_CTX_use_PrivateKey_file(context, argv[5], SSL_FILETYPE_PEM) != 1)))
		die("TLS");
	if (server)
		serve();
	send_all((unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
	return EX_OK;
}
