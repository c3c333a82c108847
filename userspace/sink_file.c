/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The file of JSON lines. A FIFO will do as well: it is never waited for. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sink_backend.h"

int sink_file_create(const char *path)
{
	struct stat status;
	/* O_NONBLOCK: a FIFO without a reader is an error (ENXIO), not a wait. O_NOFOLLOW: whoever may write to the
	 * directory must not lead root's output elsewhere. */
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0 || !(S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))) {
		close(fd);
		return -EINVAL;
	}
	if (S_ISREG(status.st_mode) && status.st_nlink > 1) { /* nor with a hard link, where the kernel lets everybody make one */
		close(fd);
		return -EMLINK;
	}
	return fd;
}

static int file_open(const struct sink_target *target, struct sink_connection *connection)
{
	int fd = target->opener.open ? target->opener.open(target->opener.context) : sink_file_create(target->path);

	if (fd < 0)
		return fd;
	connection->fd = fd;
	connection->stream = true;
	return 0;
}

static char *file_format(const struct sink_target *target, const struct sink_message *message, bool stream,
			 size_t *length)
{
	size_t n = strlen(message->json);
	char *line = malloc(n + 1);

	(void)target;
	(void)stream;
	if (!line)
		return NULL;
	memcpy(line, message->json, n);
	line[n] = '\n';
	*length = n + 1;
	return line;
}

static ssize_t file_write(const struct sink_connection *connection, const char *bytes, size_t length)
{
	ssize_t n = write(connection->fd, bytes, length);
	return n < 0 ? -errno : n;
}

const struct sink_backend sink_file = { "file", file_open, file_format, file_write };
