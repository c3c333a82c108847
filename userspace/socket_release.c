/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "socket_release.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define DESCRIPTORS_MAX 4096 /* looked at in one process */
#define SECONDS_MAX 1        /* that is waited for */
#define HANGING_MAX 16       /* threads that did not end by then; with so many, no more are made */

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

static bool is_wanted(int fd, uint64_t cookie, uint16_t server_port)
{
	struct sockaddr_in6 peer = { .sin6_family = AF_UNSPEC }; /* an IPv4 address has its port at the same place */
	uint64_t found = 0;
	socklen_t size = sizeof(found), peer_size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &found, &size) == 0 && found == cookie &&
	       getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0 &&
	       (peer.sin6_family == AF_INET || peer.sin6_family == AF_INET6) && ntohs(peer.sin6_port) == server_port;
}

struct release {
	uint32_t pid;
	uint16_t server_port;
	uint64_t cookie;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool done, left_alone; /* whoever comes second frees it */
	int result;
};

/* Of descriptor number in the process behind pidfd: 1 if it is not the socket, else as socket_release(). */
static int try_descriptor(const struct release *release, int pidfd, int number)
{
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		return errno == EBADF ? 1 : -errno;
	int result = is_wanted(fd, release->cookie, release->server_port) ? push(fd) : 1;
	close(fd);
	return result;
}

static int search(const struct release *release)
{
	char path[32];
	int result = 1;
	snprintf(path, sizeof(path), "/proc/%u/fd", release->pid);
	int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)release->pid, 0);
	if (pidfd < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	DIR *folder = opendir(path);
	unsigned looked = 0;
	for (struct dirent *entry; folder && result == 1 && looked < DESCRIPTORS_MAX && (entry = readdir(folder));) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		looked++;
		if (is_socket(dirfd(folder), entry->d_name))
			result = try_descriptor(release, pidfd, atoi(entry->d_name));
	}
	if (folder)
		closedir(folder);
	close(pidfd);
	return result == 1 ? -ENOENT : result;
}

static void free_release(struct release *release)
{
	pthread_cond_destroy(&release->changed);
	pthread_mutex_destroy(&release->lock);
	free(release);
}

static atomic_uint hanging; /* threads that were left alone */

static void *run(void *argument)
{
	struct release *release = argument;
	int result = search(release);
	pthread_mutex_lock(&release->lock);
	release->result = result;
	release->done = true;
	bool left_alone = release->left_alone;
	pthread_cond_signal(&release->changed);
	pthread_mutex_unlock(&release->lock);
	if (left_alone) {
		free_release(release);
		hanging--;
	}
	return NULL;
}

/* Returns the thread's result, or -ETIMEDOUT if it hangs. */
static int wait_for(struct release *release)
{
	struct timespec deadline;
	int result = -ETIMEDOUT, error = 0;
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += SECONDS_MAX;
	pthread_mutex_lock(&release->lock);
	while (!release->done && !error)
		error = pthread_cond_clockwait(&release->changed, &release->lock, CLOCK_MONOTONIC, &deadline);
	bool done = release->done;
	release->left_alone = !done;
	hanging += !done;
	if (done)
		result = release->result;
	pthread_mutex_unlock(&release->lock);
	if (done)
		free_release(release);
	return result;
}

/*
 * In a thread of its own, which is left alone if it hangs: the process may put something else in a descriptor's place at any
 * time, and to close that can take as long as its user likes (a FUSE daemon that does not answer a flush; SO_LINGER).
 */
int socket_release(uint32_t pid, uint64_t cookie, uint16_t server_port)
{
	pthread_t thread;
	if (hanging >= HANGING_MAX)
		return -EBUSY;
	struct release *release = calloc(1, sizeof(*release));
	if (!release)
		return -ENOMEM;
	release->pid = pid;
	release->cookie = cookie;
	release->server_port = server_port;
	pthread_mutex_init(&release->lock, NULL);
	pthread_cond_init(&release->changed, NULL);
	int error = pthread_create(&thread, NULL, run, release);
	if (error) {
		free_release(release);
		return -error;
	}
	pthread_detach(thread);
	return wait_for(release);
}
