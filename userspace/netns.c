/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "netns.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define NAMESPACES_MAX 4096 /* visited in one walk */
#define PASSES_MAX 3        /* through /proc: a process may end while it is looked at, and its namespace live on */

/* ---- all of them ------------------------------------------------------------------------------------------ */

struct inodes {
	ino_t list[NAMESPACES_MAX];
	unsigned count;
};

struct walk {
	int (*visit)(void *context, int netns_fd);
	void *context;
	struct inodes done;   /* of the namespaces */
	struct inodes seen;   /* of the same ones' /proc/PID/net/tcp: each namespace has files of its own there */
	struct inodes hidden; /* of those of processes whose namespace may not be opened */
	unsigned unseen;
	bool over; /* no more are wanted */
};

static bool has(const struct inodes *inodes, ino_t inode)
{
	for (unsigned i = 0; i < inodes->count; i++) {
		if (inodes->list[i] == inode)
			return true;
	}
	return false;
}

/* Returns false if it was there before, or there is no room. */
static bool note(struct inodes *inodes, ino_t inode)
{
	if (has(inodes, inode) || inodes->count == NAMESPACES_MAX)
		return false;
	inodes->list[inodes->count++] = inode;
	return true;
}

/* Visits the namespace behind the descriptor, if that was not done yet. Returns 0 or a negative errno. */
static int look_into(struct walk *walk, int fd)
{
	struct stat status;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!note(&walk->done, status.st_ino))
		return 0;
	int result = walk->visit(walk->context, fd);
	walk->unseen += result < 0;
	walk->over = result > 0;
	return result < 0 ? result : 0;
}

static int look_at_process(struct walk *walk, const char *process)
{
	char path[64], file[64];
	struct stat status;
	snprintf(path, sizeof(path), "/proc/%.32s/ns/net", process);
	snprintf(file, sizeof(file), "/proc/%.32s/net/tcp", process);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int error = errno;
		/* it may be one that others are in, too */
		if ((error == EACCES || error == EPERM) && stat(file, &status) == 0)
			note(&walk->hidden, status.st_ino);
		return -error;
	}
	unsigned before = walk->done.count;
	int result = look_into(walk, fd);
	/* of the first process in each, and, where it matters, of all */
	if ((walk->done.count != before || walk->hidden.count) && stat(file, &status) == 0)
		note(&walk->seen, status.st_ino);
	close(fd);
	return result;
}

static void look_at_processes(struct walk *walk)
{
	DIR *directory = opendir("/proc");
	if (!directory)
		return;
	for (struct dirent *entry; !walk->over && (entry = readdir(directory));) {
		if (isdigit((unsigned char)entry->d_name[0]))
			look_at_process(walk, entry->d_name);
	}
	closedir(directory);
}

/* As `ip netns` names them: a socket may be in one that no process is in any more. */
static void look_at_names(struct walk *walk)
{
	DIR *directory = opendir("/run/netns");
	if (!directory)
		return;
	for (struct dirent *entry; !walk->over && (entry = readdir(directory));) {
		int fd = entry->d_name[0] == '.' ? -1 : openat(dirfd(directory), entry->d_name,
							       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		struct statfs kind;
		if (fd < 0)
			continue;
		if (fstatfs(fd, &kind) == 0 && kind.f_type == NSFS_MAGIC) /* else it has the name still, and no namespace any more */
			look_into(walk, fd);
		close(fd);
	}
	closedir(directory);
}

int netns_walk(int (*visit)(void *context, int netns_fd), void *context, unsigned *unseen)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	*unseen = 0;
	if (!walk)
		return -ENOMEM;
	walk->visit = visit;
	walk->context = context;
	int error = look_at_process(walk, "self");
	for (unsigned pass = 0, before = 0; !error && !walk->over && pass < PASSES_MAX && walk->done.count != before; pass++) {
		before = walk->done.count;
		look_at_processes(walk);
		look_at_names(walk);
	}
	*unseen = walk->unseen;
	for (unsigned i = 0; i < walk->hidden.count; i++)
		*unseen += !has(&walk->seen, walk->hidden.list[i]);
	free(walk);
	return error;
}

/* ---- a socket in one -------------------------------------------------------------------------------------- */

/*
 * Connected, so that nobody but the kernel is heard: who has CAP_NET_ADMIN in the namespace, as a container's root has, may
 * send to other sockets of it, too (net/netlink/af_netlink.c, netlink_getsockbyportid()).
 */
static int open_diag(void)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const struct timeval limit = { .tv_sec = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit))) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

struct opening {
	int netns_fd;
	int socket_fd; /* or a negative errno */
};

/* In a thread of its own: a namespace is changed for one thread, and this one ends with it. */
static void *open_inside(void *argument)
{
	struct opening *opening = argument;
	opening->socket_fd = setns(opening->netns_fd, CLONE_NEWNET) < 0 ? -errno : open_diag();
	return NULL;
}

static bool is_own(int netns_fd)
{
	struct stat own, other;
	return stat("/proc/self/ns/net", &own) == 0 && fstat(netns_fd, &other) == 0 && own.st_dev == other.st_dev &&
	       own.st_ino == other.st_ino;
}

int netns_open_diag(int netns_fd)
{
	struct opening opening = { .netns_fd = netns_fd, .socket_fd = -EAGAIN };
	pthread_t thread;
	if (is_own(netns_fd))
		return open_diag(); /* setns() takes CAP_SYS_ADMIN even for that */
	if (pthread_create(&thread, NULL, open_inside, &opening) == 0)
		pthread_join(thread, NULL);
	return opening.socket_fd;
}

uint64_t netns_cookie(int socket_fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	return getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}
