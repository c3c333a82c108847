// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "fault_link.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

static FILE *record_file;
static pthread_mutex_t record_lock = PTHREAD_MUTEX_INITIALIZER;

int record_open(const char *path)
{
	if (!path)
		return 0;
	record_file = fopen(path, "ae");
	return record_file ? 0 : -errno;
}

static void put_string(const char *data, size_t length)
{
	fputc('"', record_file);
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)data[i];

		if (byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\')
			fputc(byte, record_file);
		else
			fprintf(record_file, "\\u%04x", byte);
	}
	fputc('"', record_file);
}

void record(unsigned connection, const char *event, const char *layer, const char *data, size_t length)
{
	if (!record_file)
		return;
	pthread_mutex_lock(&record_lock);
	fprintf(record_file, "{\"connection\":%u,\"event\":\"%s\"", connection, event);
	if (layer)
		fprintf(record_file, ",\"layer\":\"%s\"", layer);
	if (data) {
		fputs(",\"data\":", record_file);
		put_string(data, length);
	}
	fputs("}\n", record_file);
	/* flushed line by line: a test reads along */
	fflush(record_file);
	pthread_mutex_unlock(&record_lock);
}

static void record_end(struct link *link, ssize_t got)
{
	const char *how = got == 0 ? "eof" : strerrorname_np(errno);

	record(link->id, "end", NULL, how ? how : "?", strlen(how ? how : "?"));
}

ssize_t link_fill(struct link *link)
{
	size_t room = sizeof(link->buffer) - link->length;
	char *to = link->buffer + link->length;
	ssize_t got;

	if (room == 0)
		return -1;
	if (link->ssl)
		got = SSL_read(link->ssl, to, (int)room);
	else
		got = recv(link->fd, to, room, 0);
	if (got <= 0) {
		if (link->ssl && SSL_get_error(link->ssl, (int)got) == SSL_ERROR_ZERO_RETURN)
			got = 0;
		record_end(link, got);
		return got;
	}
	record(link->id, "received", link->ssl ? "tls" : "plain", to, (size_t)got);
	link->length += (size_t)got;
	return got;
}

static void consume(struct link *link, size_t n)
{
	link->length -= n;
	memmove(link->buffer, link->buffer + n, link->length);
}

ssize_t link_read_line(struct link *link, char *line, size_t size)
{
	size_t length, taken;
	char *lf;

	while (!(lf = memchr(link->buffer, '\n', link->length))) {
		if (link->length == sizeof(link->buffer))
			consume(link, link->length);
		if (link_fill(link) <= 0)
			return -1;
	}
	taken = (size_t)(lf - link->buffer) + 1;
	length = taken - 1;
	if (length > 0 && link->buffer[length - 1] == '\r')
		length--;
	if (length >= size)
		length = size - 1;
	memcpy(line, link->buffer, length);
	line[length] = '\0';
	consume(link, taken);
	return (ssize_t)length;
}

bool link_skip(struct link *link, size_t n)
{
	size_t now;

	while (n > 0) {
		if (link->length == 0 && link_fill(link) <= 0)
			return false;
		now = n < link->length ? n : link->length;
		consume(link, now);
		n -= now;
	}
	return true;
}

bool link_skip_data(struct link *link)
{
	char line[4];

	do {
		if (link_read_line(link, line, sizeof(line)) < 0)
			return false;
	} while (strcmp(line, ".") != 0);
	return true;
}

void link_swallow(struct link *link)
{
	do {
		link->length = 0;
	} while (link_fill(link) > 0);
}

static bool write_once(struct link *link, const char *data, size_t length)
{
	ssize_t put;

	if (link->ssl)
		put = SSL_write(link->ssl, data, (int)length);
	else
		put = send(link->fd, data, length, MSG_NOSIGNAL);
	return put == (ssize_t)length;
}

bool link_write(struct link *link, const char *data, size_t length)
{
	size_t most = link->faults->segment ? link->faults->segment : length;
	/* without any pause the stack merges small writes again */
	long pause_ns = link->faults->drip_ms ? (long)link->faults->drip_ms * 1000000L : 200000L;
	struct timespec pause = { pause_ns / 1000000000L, pause_ns % 1000000000L };

	while (length > 0) {
		size_t now = length < most ? length : most;

		if (!write_once(link, data, now))
			return false;
		data += now;
		length -= now;
		if (length > 0)
			nanosleep(&pause, NULL);
	}
	return true;
}

bool link_reply(struct link *link, const char *format, ...)
{
	char line[4096];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line) - 2, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof(line) - 2)
		return false;
	strcpy(line + length, link->faults->lf_only ? "\n" : "\r\n");
	return link_write(link, line, strlen(line));
}

/* A client whose handshake has failed may go on in clear: what it says is recorded, but for what the handshake took. */
static void hear_out(struct link *link)
{
	const struct timeval idle = { .tv_sec = 2 };

	shutdown(link->fd, SHUT_WR);
	setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	link_swallow(link);
}

bool link_start_tls(struct link *link)
{
	char text[256];
	SSL *ssl = SSL_new(link->tls);

	link->length = 0;
	if (!ssl || SSL_set_fd(ssl, link->fd) != 1 || SSL_accept(ssl) != 1) {
		ERR_error_string_n(ERR_peek_error(), text, sizeof(text));
		record(link->id, "tls-failed", NULL, text, strlen(text));
		ERR_clear_error();
		SSL_free(ssl);
		hear_out(link);
		return false;
	}
	link->ssl = ssl;
	record(link->id, "tls", SSL_get_version(ssl), SSL_get_cipher(ssl), strlen(SSL_get_cipher(ssl)));
	if (SSL_session_reused(ssl))
		record(link->id, "resumed", NULL, NULL, 0);
	return true;
}

void link_reset(struct link *link)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}
