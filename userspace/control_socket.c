/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 32

static int fail(char *error, unsigned error_size, const char *path, const char *why)
{
	snprintf(error, error_size, "control socket %s: %s", path, why);
	return -1;
}

static int connect_to(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), result;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return fd;
	result = -errno;
	close(fd);
	return result;
}

/* Removes a socket that nobody listens on. Anything else that stands at the path stays there. */
static int clear_path(const struct sockaddr_un *address, char *error, unsigned error_size)
{
	const char *path = address->sun_path;
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	char text[48];
	struct stat file;
	int fd;

	if (lstat(path, &file))
		return errno == ENOENT ? 0 : fail(error, error_size, path, strerror(errno));
	if (!S_ISSOCK(file.st_mode))
		return fail(error, error_size, path, "there is something else at this path, not a socket");
	fd = connect_to(address);
	if (fd >= 0) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
		close(fd);
		snprintf(text, sizeof(text), "already running as pid %d", (int)peer.pid);
		return fail(error, error_size, path, text);
	}
	if (fd == -EAGAIN) /* its backlog is full: somebody listens */
		return fail(error, error_size, path, "already running");
	if (fd != -ECONNREFUSED)
		return fail(error, error_size, path, strerror(-fd));
	return unlink(path) && errno != ENOENT ? fail(error, error_size, path, strerror(errno)) : 0;
}

/*
 * Whoever can write to the directory, or has put a link in its place, could have another socket there, or have ours made
 * somewhere else. Root's own links are root's business; in a sticky directory everybody has their own names.
 */
static bool directory_is_ours(const char *directory, uid_t owner)
{
	struct stat file;

	if (lstat(directory, &file))
		return true; /* bind() says why not */
	if (file.st_uid != 0 && file.st_uid != geteuid() && file.st_uid != owner)
		return false;
	bool by_others = (file.st_mode & S_IWOTH) || ((file.st_mode & S_IWGRP) && file.st_gid != 0 && file.st_gid != getegid());
	return S_ISLNK(file.st_mode) || !by_others || (file.st_mode & S_ISVTX);
}

/* Makes the last directory of the path, not those above. That it exists already is fine if it is nobody else's; bind()
 * says the rest. */
static int make_directory(const char *path, uid_t owner, char *error, unsigned error_size)
{
	char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	mode_t mask;
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return 0;
	*slash = '\0';
	mask = umask(022); /* and no chmod() afterwards: by then another might be there */
	(void)mkdir(directory, 0755);
	umask(mask);
	if (directory_is_ours(directory, owner))
		return 0;
	return fail(error, error_size, path, "another user could replace it: the directory is theirs, their group's, or everybody's");
}

/* The group was given when it was made, unless the folder or a missing right has another say; an owner takes CAP_CHOWN. */
static bool give_to(const char *path, const struct stat *file, uid_t owner, gid_t group)
{
	return (file->st_uid == owner && file->st_gid == group) || lchown(path, owner, group) == 0;
}

int control_socket_open(struct control_socket *control, const char *path, uid_t owner, gid_t group, char *error, unsigned error_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat file;
	mode_t mask;
	int fd, result;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(error, error_size, path, "the path is too long for a socket (107 characters at most)");
	strcpy(address.sun_path, path);
	strcpy(control->path, path);
	if (make_directory(path, owner, error, error_size))
		return -1;
	if (clear_path(&address, error, error_size))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(error, error_size, path, strerror(errno));
	mask = umask(0117); /* from the first moment 0660 and the group's: changes afterwards would leave a gap */
	int before = setfsgid(group);
	result = bind(fd, (struct sockaddr *)&address, sizeof(address));
	setfsgid((gid_t)before);
	umask(mask);
	if (result || lstat(path, &file) || !give_to(path, &file, owner, group) || listen(fd, BACKLOG)) {
		fail(error, error_size, path, strerror(errno));
		if (!result)
			unlink(path);
		close(fd);
		return -1;
	}
	control->device = file.st_dev;
	control->inode = file.st_ino;
	return fd;
}

void control_socket_remove(const struct control_socket *control)
{
	struct stat file;

	if (!lstat(control->path, &file) && S_ISSOCK(file.st_mode) && file.st_dev == control->device &&
	    file.st_ino == control->inode)
		unlink(control->path);
}
