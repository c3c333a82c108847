/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "probe_link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "dialogue_client.h"
#include "dialogue_server.h"

int64_t probe_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void probe_link_step(struct probe_link *link, int64_t ms)
{
	int64_t end = probe_now_ms() + ms;
	link->step_end = end < link->end ? end : link->end;
}

static int await(const struct probe_link *link, short events)
{
	for (;;) {
		struct pollfd wanted = { .fd = link->fd, .events = events };
		int64_t left = link->step_end - probe_now_ms();
		int ready = left > 0 ? poll(&wanted, 1, (int)left) : 0;
		if (ready > 0)
			return 0;
		if (ready == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

int probe_link_open(struct probe_link *link, const struct sockaddr *address, socklen_t size, bool implicit_tls, int64_t end)
{
	int error = 0, result;
	socklen_t error_size = sizeof(error);

	memset(link, 0, sizeof(*link));
	link->end = end;
	dialogue_start(&link->client, &link->server, implicit_tls);
	probe_link_step(link, PROBE_STEP_MS);
	link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (link->fd < 0)
		return -errno;
	if (!connect(link->fd, address, size))
		return 0;
	result = errno == EINPROGRESS ? await(link, POLLOUT) : -errno;
	if (!result && getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &error_size))
		error = errno;
	if (!result)
		result = -error;
	if (result)
		probe_link_close(link);
	return result;
}

void probe_link_close(struct probe_link *link)
{
	SSL_free(link->ssl);
	link->ssl = NULL;
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

/* ---- bytes on the wire ------------------------------------------------------------------------------------ */

static void see_client(struct probe_link *link, const uint8_t *bytes, size_t length)
{
	client_segment_start(&link->client, &link->server);
	for (size_t i = 0; i < length;) {
		uint32_t skipped = client_skip(&link->client, (uint32_t)(length - i));
		if (!skipped)
			client_byte(&link->client, &link->server, bytes[i]);
		i += skipped ? skipped : 1;
	}
}

static void see_server(struct probe_link *link, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length;) {
		uint32_t skipped = server_skip(&link->server, (uint32_t)(length - i));
		if (!skipped)
			server_byte(&link->server, &link->client, bytes[i]);
		i += skipped ? skipped : 1;
	}
}

static int put(struct probe_link *link, const uint8_t *bytes, size_t length)
{
	see_client(link, bytes, length);
	while (length > 0) {
		ssize_t sent = send(link->fd, bytes, length, MSG_NOSIGNAL);
		int result = 0;
		if (sent > 0) {
			bytes += sent;
			length -= (size_t)sent;
		} else if (sent < 0 && errno == EAGAIN) {
			result = await(link, POLLOUT);
		} else if (sent < 0 && errno != EINTR) {
			result = -errno;
		}
		if (result)
			return result;
	}
	return 0;
}

/* Returns how many bytes came, or a negative errno. */
static ssize_t get(struct probe_link *link, uint8_t *bytes, size_t size)
{
	for (;;) {
		ssize_t got = recv(link->fd, bytes, size, 0);
		int result;
		if (got > 0) {
			see_server(link, bytes, (size_t)got);
			link->received += (uint64_t)got;
			return link->received > PROBE_BYTES_MAX ? -EMSGSIZE : got;
		}
		if (got == 0)
			return -ENODATA;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		result = await(link, POLLIN);
		if (result)
			return result;
	}
}

/* ---- TLS -------------------------------------------------------------------------------------------------- */

/* Sends what the TLS library has ready. */
static int flush_tls(struct probe_link *link)
{
	uint8_t bytes[4096];
	int n, result = 0;

	while (!result && (n = BIO_read(SSL_get_wbio(link->ssl), bytes, sizeof(bytes))) > 0)
		result = put(link, bytes, (size_t)n);
	return result;
}

/* After an SSL_*() call: sends, and, where the library wants more, receives. Returns 0 to try again. */
static int pump(struct probe_link *link, int returned)
{
	int reason = SSL_get_error(link->ssl, returned), result = flush_tls(link);
	uint8_t bytes[4096];
	ssize_t got;

	if (reason == SSL_ERROR_ZERO_RETURN)
		return -ENODATA;
	if (reason != SSL_ERROR_WANT_READ)
		return -EPROTO;
	if (result)
		return result;
	got = get(link, bytes, sizeof(bytes));
	if (got < 0)
		return (int)got;
	return BIO_write(SSL_get_rbio(link->ssl), bytes, (int)got) == (int)got ? 0 : -ENOMEM;
}

static void note_alert(const SSL *ssl, int where, int value)
{
	struct probe_link *link = SSL_get_app_data(ssl);
	uint8_t description = (uint8_t)(value & 0xff);

	if (!(where & SSL_CB_ALERT) || !link->tls || link->tls->alerted || description == 0)
		return;
	link->tls->alerted = true;
	link->tls->alert_from_server = (where & SSL_CB_READ) != 0;
	link->tls->alert = description;
}

int probe_link_handshake(struct probe_link *link, SSL *ssl)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int returned, result = 0;

	link->ssl = ssl;
	if (!in || !out) {
		BIO_free(in);
		BIO_free(out);
		return -ENOMEM;
	}
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	SSL_set_app_data(ssl, link);
	SSL_set_info_callback(ssl, note_alert);
	SSL_set_connect_state(ssl);
	if (link->length && BIO_write(in, link->buffer, (int)link->length) != (int)link->length)
		return -ENOMEM;
	link->length = 0;
	while (!result) {
		ERR_clear_error();
		returned = SSL_do_handshake(ssl);
		if (returned == 1)
			return flush_tls(link);
		result = pump(link, returned);
	}
	return result;
}

/* ---- bytes of the dialogue -------------------------------------------------------------------------------- */

int probe_link_send(struct probe_link *link, const void *bytes, size_t length)
{
	int returned, result = 0;

	if (!link->ssl)
		return put(link, bytes, length);
	while (!result) {
		ERR_clear_error();
		returned = SSL_write(link->ssl, bytes, (int)length);
		if (returned == (int)length)
			return flush_tls(link);
		result = pump(link, returned);
	}
	return result;
}

int probe_link_fill(struct probe_link *link)
{
	uint8_t *to = link->buffer + link->length;
	size_t room = sizeof(link->buffer) - link->length;
	int result = 0;

	if (!room)
		return -EMSGSIZE;
	if (!link->ssl) {
		ssize_t got = get(link, to, room);
		link->length += got > 0 ? (size_t)got : 0;
		return got > 0 ? 0 : (int)got;
	}
	while (!result) {
		int returned;
		ERR_clear_error();
		returned = SSL_read(link->ssl, to, (int)room);
		if (returned > 0) {
			link->length += (size_t)returned;
			return 0;
		}
		result = pump(link, returned);
	}
	return result;
}

int probe_link_peek(struct probe_link *link, int64_t ms)
{
	int result;

	probe_link_step(link, ms);
	do
		result = probe_link_fill(link);
	while (!result);
	return result == -ETIMEDOUT ? 0 : result;
}

const char *probe_error_text(int error)
{
	switch (-error) {
	case ETIMEDOUT: return "no answer in time";
	case ENODATA: return "the server closed the connection";
	case ECONNRESET:
	case EPIPE: return "the server reset the connection";
	case EMSGSIZE: return "the server sends too much";
	case EBADMSG: return "this is no SMTP reply";
	case EPROTO: return "this is no TLS, or not as it should be";
	}
	return strerror(-error);
}
