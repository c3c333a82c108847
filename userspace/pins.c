/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pins.h"

#define DEPTH_MAX 4 /* there are two levels; a loop cannot be, since bpffs has no links that lead anywhere */

static int remove_below(const char *folder, pins_visitor *visit, void *context, unsigned depth)
{
	char path[PIN_PATH_SIZE];
	int first = 0;
	DIR *directory = opendir(folder);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *entry; (entry = readdir(directory));) {
		struct stat status;
		int error = 0;
		if (entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= sizeof(path)) {
			error = -ENAMETOOLONG;
		} else if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
			error = depth < DEPTH_MAX ? remove_below(path, visit, context, depth + 1) : -ELOOP;
		} else {
			if (visit)
				visit(context, path);
			error = unlink(path) && errno != ENOENT ? -errno : 0;
		}
		first = first ? first : error;
	}
	closedir(directory);
	if (rmdir(folder) && errno != ENOENT && !first)
		first = -errno;
	return first;
}

int pins_remove(const char *folder, pins_visitor *visit, void *context)
{
	return remove_below(folder, visit, context, 0);
}

int pins_lock(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_SH)) { /* whoever asks pins_in_use() has it for a moment */
		int error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

bool pins_in_use(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool in_use = flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	return in_use;
}
