// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An SMTP server that does wrong what it is told to: strips, masks, refuses, injects, goes silent, breaks the
 * handshake. It records every byte that reached it, so that a test can say what did not. For tests only.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "fault_dialogue.h"

#define LISTENERS_MAX 16
#define CONNECTIONS_MAX 256
#define IDLE_SECONDS 120

static struct pollfd listeners[LISTENERS_MAX];
static bool implicit[LISTENERS_MAX];
static unsigned listener_count;
static struct faults faults;
static SSL_CTX *tls;
static atomic_uint open_connections;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("fault_server: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static void *serve(void *context)
{
	struct link *link = context;

	dialogue_run(link);
	record(link->id, "closed", NULL, NULL, 0);
	if (link->ssl)
		SSL_shutdown(link->ssl);
	SSL_free(link->ssl);
	close(link->fd);
	free(link);
	atomic_fetch_sub(&open_connections, 1);
	return NULL;
}

static void prepare_socket(int fd)
{
	struct timeval idle = { .tv_sec = IDLE_SECONDS };
	int on = 1;

	if (faults.patience_ms)
		idle = (struct timeval){ .tv_sec = faults.patience_ms / 1000, .tv_usec = faults.patience_ms % 1000 * 1000 };
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof(idle));
}

static void take(unsigned listener)
{
	static unsigned last_id;
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	char host[64] = "?";
	struct link *link;
	pthread_t thread;
	int fd = accept4(listeners[listener].fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	link = atomic_load(&open_connections) < CONNECTIONS_MAX ? calloc(1, sizeof(*link)) : NULL;
	if (!link) {
		close(fd);
		return;
	}
	prepare_socket(fd);
	link->id = ++last_id;
	link->fd = fd;
	link->tls = tls;
	link->faults = &faults;
	link->implicit_tls = implicit[listener];
	getnameinfo((struct sockaddr *)&peer, size, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	record(link->id, "opened", NULL, host, strlen(host));
	atomic_fetch_add(&open_connections, 1);
	if (pthread_create(&thread, NULL, serve, link) != 0)
		fail("no thread");
	pthread_detach(thread);
}

/* ADDRESS:PORT, an IPv6 address in brackets. */
static void add_listener(char *text, bool implicit_tls)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *address;
	char *colon = strrchr(text, ':');
	int fd, on = 1;

	if (!colon || listener_count == LISTENERS_MAX)
		fail("%s: takes ADDRESS:PORT, at most %d times", text, LISTENERS_MAX);
	*colon = '\0';
	if (text[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		text++;
	}
	if (getaddrinfo(text, colon + 1, &hints, &address) != 0)
		fail("%s: no address and port", text);
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd < 0 || bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, 64) != 0)
		fail("%s port %s: %s", text, colon + 1, strerror(errno));
	freeaddrinfo(address);
	implicit[listener_count] = implicit_tls;
	listeners[listener_count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

static int version_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} versions[] = { { "1.0", TLS1_VERSION }, { "1.1", TLS1_1_VERSION }, { "1.2", TLS1_2_VERSION }, { "1.3", TLS1_3_VERSION } };

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (strcmp(name, versions[i].name) == 0)
			return versions[i].number;
	}
	fail("%s: no TLS version", name);
}

static void prepare_tls(const char *certificate, const char *key)
{
	tls = SSL_CTX_new(TLS_server_method());
	if (!tls)
		fail("%s", ERR_error_string(ERR_peek_error(), NULL));
	/* old versions and ciphers and weak certificates are faults that a test may ask for */
	SSL_CTX_set_security_level(tls, 0);
	if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
		fail("%s, %s: %s", certificate, key, ERR_error_string(ERR_peek_error(), NULL));
	if (faults.no_tickets)
		SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
	if (faults.tls_min && SSL_CTX_set_min_proto_version(tls, version_number(faults.tls_min)) != 1)
		fail("tls-min");
	if (faults.tls_max && SSL_CTX_set_max_proto_version(tls, version_number(faults.tls_max)) != 1)
		fail("tls-max");
	if (faults.groups && SSL_CTX_set1_groups_list(tls, faults.groups) != 1)
		fail("groups: none known in %s", faults.groups);
	if (faults.ciphers && SSL_CTX_set_cipher_list(tls, faults.ciphers) != 1)
		fail("ciphers: none known in %s", faults.ciphers);
}

static void usage(FILE *out)
{
	fputs("usage: fault_server --listen ADDRESS:PORT [--listen-tls ADDRESS:PORT] [--cert FILE --key FILE]\n"
	      "                    [--log FILE] [--behaviour NAME[=VALUE]] ...\n"
	      "--listen and --listen-tls (TLS from the first byte) may be repeated. Behaviours:\n",
	      out);
	faults_help(out);
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },    { "listen-tls", required_argument, NULL, 't' },
		{ "cert", required_argument, NULL, 'c' },      { "key", required_argument, NULL, 'k' },
		{ "log", required_argument, NULL, 'o' },       { "behaviour", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },	       { NULL, 0, NULL, 0 },
	};
	const char *certificate = NULL, *key = NULL, *log = NULL, *wrong;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'l' || option == 't')
			add_listener(optarg, option == 't');
		else if (option == 'c')
			certificate = optarg;
		else if (option == 'k')
			key = optarg;
		else if (option == 'o')
			log = optarg;
		else if (option == 'b' && (wrong = faults_set(&faults, optarg)))
			fail("--behaviour %s: %s", optarg, wrong);
		else if (option == 'h' || option == '?') {
			usage(option == 'h' ? stdout : stderr);
			exit(option == 'h' ? 0 : 1);
		}
	}
	if (optind != argc || listener_count == 0 || !certificate != !key) {
		usage(stderr);
		exit(1);
	}
	if (certificate)
		prepare_tls(certificate, key);
	if (record_open(log) != 0)
		fail("%s: %s", log, strerror(errno));
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	read_options(argc, argv);
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(listeners, listener_count, -1) < 0 && errno != EINTR)
			fail("poll: %s", strerror(errno));
		for (unsigned i = 0; i < listener_count; i++) {
			if (listeners[i].revents & POLLIN)
				take(i);
		}
	}
}
