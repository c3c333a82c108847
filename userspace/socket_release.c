/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "socket_release.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define DESCRIPTORS_MAX 4096 /* looked at in one process */

static bool is_socket(int folder, const char *name)
{
	char target[32];
	ssize_t n = readlinkat(folder, name, target, sizeof(target));
	return n > 8 && strncmp(target, "socket:[", 8) == 0;
}

static int push(int fd)
{
	int corked = 0, off = 0;
	socklen_t size = sizeof(corked);
	if (getsockopt(fd, IPPROTO_TCP, TCP_CORK, &corked, &size))
		return -errno;
	if (corked)
		return 0;
	return setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off)) ? -errno : 0;
}

/* Of descriptor number in the process behind pidfd: 1 if it is not the socket, else as socket_release(). */
static int try_descriptor(int pidfd, int number, uint64_t cookie)
{
	uint64_t found = 0;
	socklen_t size = sizeof(found);
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		return errno == EBADF ? 1 : -errno;
	bool same = getsockopt(fd, SOL_SOCKET, SO_COOKIE, &found, &size) == 0 && found == cookie;
	int result = same ? push(fd) : 1;
	close(fd);
	return result;
}

int socket_release(uint32_t pid, uint64_t cookie)
{
	char path[32];
	int result = 1;
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (pidfd < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	DIR *folder = opendir(path);
	unsigned looked = 0;
	for (struct dirent *entry; folder && result == 1 && looked < DESCRIPTORS_MAX && (entry = readdir(folder));) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		looked++;
		if (is_socket(dirfd(folder), entry->d_name))
			result = try_descriptor(pidfd, atoi(entry->d_name), cookie);
	}
	if (folder)
		closedir(folder);
	close(pidfd);
	return result == 1 ? -ENOENT : result;
}
