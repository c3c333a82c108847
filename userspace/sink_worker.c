/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sink_worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS 1000 /* between attempts at a target that fails */
#define CLOSE_MS 1000
#define NEVER_MS (-1)

struct sink {
	const struct sink_backend *backend;
	struct sink_target target;
	pthread_t thread;
	int wake; /* eventfd: something below has changed */
	pthread_mutex_t lock;
	/* under the lock */
	struct sink_message *head, **tail;
	size_t queued_bytes;
	struct sink_stats stats;
	bool reopen;
	int64_t stop_at; /* CLOCK_MONOTONIC in ms: be gone by then; 0: go on */
	/* the thread's own */
	struct sink_connection connection; /* fd -1: not open */
	bool proven;                       /* something was written to the connection */
	int64_t retry_at;
	char *bytes; /* of the message at the queue's head, as they are written */
	size_t length, offset;
};

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int sink_connect(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

ssize_t sink_send(const struct sink_connection *connection, const char *bytes, size_t length)
{
	ssize_t n = send(connection->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static void wake(struct sink *sink)
{
	uint64_t one = 1;
	ssize_t n = write(sink->wake, &one, sizeof(one));
	(void)n; /* it fails only where the counter is full, and then the thread is awake */
}

/* Waits until woken, until fd (if not -1) can be written, or for timeout_ms. */
static void wait_for(struct sink *sink, int fd, int64_t timeout_ms)
{
	struct pollfd polled[] = { { .fd = sink->wake, .events = POLLIN }, { .fd = fd, .events = POLLOUT } };
	uint64_t count;

	poll(polled, 2, (int)timeout_ms);
	if (polled[0].revents & POLLIN) {
		ssize_t n = read(sink->wake, &count, sizeof(count));
		(void)n;
	}
}

static void forget_bytes(struct sink *sink)
{
	free(sink->bytes);
	sink->bytes = NULL;
	sink->length = sink->offset = 0;
}

/* A message that went out only in part goes out whole on the next connection. */
static void disconnect(struct sink *sink)
{
	if (sink->connection.fd >= 0)
		close(sink->connection.fd);
	sink->connection.fd = -1;
	forget_bytes(sink);
}

/*
 * An attempt failed. The next follows at once if this connection has worked before: a daemon that was restarted. On a
 * full disk the connection stays, so that the rest of a line that went out in part comes right behind it.
 */
static void note_failure(struct sink *sink, const char *what, int error)
{
	char reason[64];

	pthread_mutex_lock(&sink->lock);
	sink->stats.failed++;
	snprintf(sink->stats.last_error, sizeof(sink->stats.last_error), "cannot %s: %s", what,
		 strerror_r(-error, reason, sizeof(reason)));
	pthread_mutex_unlock(&sink->lock);
	sink->retry_at = now_ms() + RETRY_MS;
	if (error == -ENOSPC || error == -EDQUOT || error == -EFBIG)
		return;
	disconnect(sink);
	if (sink->proven)
		sink->retry_at = 0;
	sink->proven = false;
}

static void free_head(struct sink *sink)
{
	struct sink_message *head = sink->head;

	sink->head = head->next;
	if (!sink->head)
		sink->tail = &sink->head;
	sink->queued_bytes -= head->size;
	sink->stats.queued--;
	free(head);
}

/* The message at the head is done with. */
static void finish(struct sink *sink, bool written)
{
	pthread_mutex_lock(&sink->lock);
	if (written) {
		sink->stats.written++;
		sink->stats.last_error[0] = '\0';
	} else {
		sink->stats.dropped++;
	}
	free_head(sink);
	pthread_mutex_unlock(&sink->lock);
	forget_bytes(sink);
}

static bool is_open(struct sink *sink)
{
	if (sink->connection.fd >= 0)
		return true;
	int error = sink->backend->open(&sink->target, &sink->connection);
	if (error) {
		sink->connection.fd = -1;
		note_failure(sink, "open", error);
	}
	return !error;
}

/* Writes what can be written of the message. Returns false if the thread has to wait until fd takes more. */
static bool write_some(struct sink *sink, const struct sink_message *message)
{
	if (!sink->bytes)
		sink->bytes = sink->backend->format(&sink->target, message, sink->connection.stream, &sink->length);
	if (!sink->bytes) {
		finish(sink, false);
		return true;
	}
	ssize_t n = sink->backend->write(&sink->connection, sink->bytes + sink->offset, sink->length - sink->offset);
	if (n == -EAGAIN || n == -EINTR)
		return n == -EINTR;
	if (n == 0)
		n = -EIO;
	if (n == -EMSGSIZE) {
		finish(sink, false); /* it will never fit */
	} else if (n < 0) {
		note_failure(sink, "write", (int)n);
	} else {
		sink->proven = true;
		sink->offset += (size_t)n;
		if (sink->offset == sink->length)
			finish(sink, true);
	}
	return true;
}

struct orders {
	const struct sink_message *head; /* stays where it is: only this thread takes from the queue */
	int64_t stop_at;
	bool reopen;
};

static struct orders take_orders(struct sink *sink)
{
	pthread_mutex_lock(&sink->lock);
	struct orders orders = { sink->head, sink->stop_at, sink->reopen };
	sink->reopen = false;
	pthread_mutex_unlock(&sink->lock);
	return orders;
}

/* One step. Returns false when the thread shall end. */
static bool step(struct sink *sink)
{
	struct orders orders = take_orders(sink);
	int64_t now = now_ms();
	int64_t left = orders.stop_at ? orders.stop_at - now : NEVER_MS;

	if (orders.reopen) {
		disconnect(sink);
		sink->retry_at = 0;
	}
	if (orders.stop_at && (!orders.head || left <= 0 || sink->retry_at > now))
		return false; /* done, or late, or the target does not answer */
	if (!orders.head)
		wait_for(sink, -1, NEVER_MS);
	else if (sink->retry_at > now)
		wait_for(sink, -1, sink->retry_at - now);
	else if (is_open(sink) && !write_some(sink, orders.head))
		wait_for(sink, sink->connection.fd, left);
	return true;
}

static void *run(void *argument)
{
	struct sink *sink = argument;
	char name[16];
	snprintf(name, sizeof(name), "sink-%s", sink->backend->name);
	pthread_setname_np(pthread_self(), name); /* by the thread itself: another's name is a file in /proc */
	while (step(sink))
		;
	return NULL;
}

void sink_free(struct sink *sink)
{
	if (!sink)
		return;
	disconnect(sink);
	while (sink->head)
		free_head(sink);
	if (sink->wake >= 0)
		close(sink->wake);
	pthread_mutex_destroy(&sink->lock);
	free(sink->target.path);
	free(sink->target.prefix);
	free(sink);
}

struct sink *sink_new(const struct sink_backend *backend, const char *path, const char *prefix, int facility)
{
	struct sink *sink = calloc(1, sizeof(*sink));
	if (!sink)
		return NULL;
	sink->backend = backend;
	sink->stats.name = backend->name;
	sink->connection.fd = -1;
	sink->tail = &sink->head;
	pthread_mutex_init(&sink->lock, NULL);
	sink->target.path = strdup(path);
	sink->target.prefix = strdup(prefix);
	sink->target.facility = facility;
	sink->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!sink->target.path || !sink->target.prefix || sink->wake < 0) {
		sink_free(sink);
		return NULL;
	}
	return sink;
}

void sink_set_opener(struct sink *sink, const struct sink_file_opener *opener)
{
	sink->target.opener = *opener;
}

/* Whether a first failure to open is one that only the administrator can mend. */
static bool is_permanent(const struct sink *sink, int error)
{
	if (error == -ENAMETOOLONG)
		return true;
	return sink->backend == &sink_file && error != 0 && error != -ENXIO && error != -ENOSPC && error != -EDQUOT &&
	       error != -EIO && error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -EINTR;
}

int sink_start(struct sink *sink)
{
	sigset_t all, before;

	int failure = sink->backend->open(&sink->target, &sink->connection);
	if (failure)
		sink->connection.fd = -1; /* the thread tries again */
	if (is_permanent(sink, failure))
		return failure;

	sigfillset(&all); /* signals are the event loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&sink->thread, NULL, run, sink);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

/* One line: what would begin another is a space. In JSON a control byte can only be white space anyway. */
static void put_line(char *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
	out[n] = '\0';
}

static struct sink_message *new_message(enum severity severity, const char *sentence, const char *json)
{
	size_t sentence_length = strlen(sentence), json_length = strlen(json);
	size_t size = sizeof(struct sink_message) + sentence_length + json_length + 2;
	struct sink_message *message = malloc(size);

	if (!message)
		return NULL;
	message->next = NULL;
	message->severity = severity;
	message->time = time(NULL);
	message->size = size;
	message->json = message->sentence + sentence_length + 1;
	put_line(message->sentence, sentence, sentence_length);
	put_line(message->json, json, json_length);
	return message;
}

void sink_write(struct sink *sink, enum severity severity, const char *sentence, const char *json)
{
	struct sink_message *message = new_message(severity, sentence, json);

	pthread_mutex_lock(&sink->lock);
	if (!message || sink->stats.queued >= SINK_QUEUE_MESSAGES || sink->queued_bytes + message->size > SINK_QUEUE_BYTES) {
		sink->stats.dropped++;
		free(message);
	} else {
		*sink->tail = message;
		sink->tail = &message->next;
		sink->queued_bytes += message->size;
		sink->stats.queued++;
	}
	pthread_mutex_unlock(&sink->lock);
	wake(sink);
}

void sink_reopen(struct sink *sink)
{
	pthread_mutex_lock(&sink->lock);
	sink->reopen = true;
	pthread_mutex_unlock(&sink->lock);
	wake(sink);
}

void sink_stop(struct sink *sink)
{
	pthread_mutex_lock(&sink->lock);
	sink->stop_at = now_ms() + CLOSE_MS;
	pthread_mutex_unlock(&sink->lock);
	wake(sink);
}

void sink_join(struct sink *sink)
{
	struct timespec latest;

	clock_gettime(CLOCK_MONOTONIC, &latest);
	latest.tv_sec += CLOSE_MS / 1000 + 1;
	/* A thread that hangs in the kernel still uses its memory: the process ends with both. */
	if (pthread_clockjoin_np(sink->thread, NULL, CLOCK_MONOTONIC, &latest) == 0)
		sink_free(sink);
}

void sink_stats(struct sink *sink, struct sink_stats *stats)
{
	pthread_mutex_lock(&sink->lock);
	*stats = sink->stats;
	pthread_mutex_unlock(&sink->lock);
}
