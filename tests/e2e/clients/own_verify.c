// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A sender that puts a check of its own in the place of OpenSSL's, and a bad one: it takes every certificate.
 * own_verify ADDRESS PORT NAME FROM TO < MESSAGE. Exit 0: the server took it.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>

static int fd;
static SSL *ssl; /* NULL: still in clear */

static void expect(const char *code)
{
	char line[4096];
	int got;

	/* one reply is one segment or record here */
	got = ssl ? SSL_read(ssl, line, sizeof(line) - 1) : (int)read(fd, line, sizeof(line) - 1);
	line[got > 0 ? got : 0] = '\0';
	if (strncmp(line, code, 3) == 0)
		return;
	printf("not %s: %s\n", code, line);
	exit(1);
}

static void say(const char *text, const char *code)
{
	int length = (int)strlen(text);

	if ((ssl ? SSL_write(ssl, text, length) : (int)write(fd, text, (size_t)length)) != length)
		exit(1);
	if (code)
		expect(code);
}

static int accept_everything(X509_STORE_CTX *store, void *context)
{
	(void)context;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static void start_tls(const char *name)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(context, accept_everything, NULL);
	ssl = SSL_new(context);
	SSL_set_tlsext_host_name(ssl, name);
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) == 1)
		return;
	puts("the handshake failed");
	exit(1);
}

static void send_mail(const char *from, const char *to)
{
	char text[4096];

	snprintf(text, sizeof(text), "MAIL FROM:<%s>\r\n", from);
	say(text, "250");
	snprintf(text, sizeof(text), "RCPT TO:<%s>\r\n", to);
	say(text, "250");
	say("DATA\r\n", "354");
	while (fgets(text, sizeof(text), stdin))
		say(text, NULL);
	say(".\r\n", "250");
	say("QUIT\r\n", "221");
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = { .sin_family = AF_INET };

	if (argc != 6 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
		return 64;
	server.sin_port = htons((unsigned short)atoi(argv[2]));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) != 0)
		return 1;
	expect("220");
	say("EHLO client.example\r\n", "250");
	say("STARTTLS\r\n", "220");
	start_tls(argv[3]);
	say("EHLO client.example\r\n", "250");
	send_mail(argv[4], argv[5]);
	printf("sent; SSL_get_verify_result: %ld\n", SSL_get_verify_result(ssl));
	return 0;
}
