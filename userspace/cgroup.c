/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgroup.h"

#define OWN_MOUNT "/run/smtpward/cgroup"
#define INITIAL_CGROUP_NAMESPACE 0xEFFFFFFBU /* PROC_CGROUP_INIT_INO, include/linux/proc_ns.h */
#define FILEID_KERNFS 0xfe                   /* include/linux/exportfs.h */

struct cgroup {
	char *attach_path;
	char *root; /* where the tree is mounted */
	int fd;     /* of the attach point */
	int root_fd;
	bool mounted; /* by us */
};

/* Finds a mount of the whole cgroup v2 tree that covers path, or any if path is NULL. Returns its path, owned. */
static char *find_mount(const char *path)
{
	char line[4096];
	char *best = NULL;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	while (mounts && fgets(line, sizeof(line), mounts)) {
		char root[1024], point[1024];
		const char *type = strstr(line, " - cgroup2 ");
		if (!type || sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 || strcmp(root, "/") != 0)
			continue;
		size_t length = strlen(point);
		if (path && (strncmp(path, point, length) != 0 || (path[length] != '/' && path[length] != 0)))
			continue;
		free(best);
		best = strdup(point); /* the last one mounted is the one that is seen */
	}
	if (mounts)
		fclose(mounts);
	return best;
}

static bool in_initial_namespace(void)
{
	struct stat status;
	return stat("/proc/self/ns/cgroup", &status) < 0 || status.st_ino == INITIAL_CGROUP_NAMESPACE;
}

static char *mount_own(char *error, unsigned error_size)
{
	if ((mkdir("/run/smtpward", 0755) < 0 && errno != EEXIST) || (mkdir(OWN_MOUNT, 0700) < 0 && errno != EEXIST) ||
	    mount("smtpward", OWN_MOUNT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
		snprintf(error, error_size, "no cgroup2 is mounted, and none could be mounted at " OWN_MOUNT ": %s",
			 strerror(errno));
		return NULL;
	}
	return strdup(OWN_MOUNT);
}

static bool find_root(struct cgroup *cgroup, const char *path, char *error, unsigned error_size)
{
	cgroup->root = find_mount(path);
	if (!cgroup->root && !path) {
		cgroup->root = mount_own(error, error_size);
		cgroup->mounted = cgroup->root != NULL;
	} else if (!cgroup->root) {
		snprintf(error, error_size, "cgroup '%s': not in a mounted cgroup2 tree", path);
	}
	if (cgroup->root && !path && !in_initial_namespace()) {
		snprintf(error, error_size,
			 "this is a cgroup namespace: its root is not the host's; name a cgroup with the key 'cgroup'");
		return false;
	}
	return cgroup->root != NULL;
}

struct cgroup *cgroup_open(const char *path, char *error, unsigned error_size)
{
	struct statfs status;
	struct cgroup *cgroup = calloc(1, sizeof(*cgroup));
	if (!cgroup)
		return NULL;
	cgroup->fd = cgroup->root_fd = -1;
	snprintf(error, error_size, "out of memory");
	if (!find_root(cgroup, path, error, error_size))
		goto failed;
	cgroup->attach_path = strdup(path ? path : cgroup->root);
	if (!cgroup->attach_path)
		goto failed;
	cgroup->fd = open(cgroup->attach_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cgroup->root_fd = open(cgroup->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup->fd < 0 || cgroup->root_fd < 0 || fstatfs(cgroup->fd, &status) < 0) {
		snprintf(error, error_size, "cgroup '%s': %s", cgroup->attach_path, strerror(errno));
		goto failed;
	}
	if (status.f_type != CGROUP2_SUPER_MAGIC) {
		snprintf(error, error_size, "cgroup '%s': not a cgroup2 directory", cgroup->attach_path);
		goto failed;
	}
	return cgroup;
failed:
	cgroup_close(cgroup);
	return NULL;
}

void cgroup_close(struct cgroup *cgroup)
{
	if (!cgroup)
		return;
	if (cgroup->fd >= 0)
		close(cgroup->fd);
	if (cgroup->root_fd >= 0)
		close(cgroup->root_fd);
	if (cgroup->mounted && umount2(cgroup->root, MNT_DETACH) == 0)
		rmdir(cgroup->root);
	free(cgroup->attach_path);
	free(cgroup->root);
	free(cgroup);
}

int cgroup_follow(struct cgroup *cgroup)
{
	struct stat status;
	if (stat(cgroup->attach_path, &status) < 0)
		return -errno;
	if (status.st_ino == cgroup_id(cgroup))
		return 0;
	int fd = open(cgroup->attach_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd >= 0 && dup3(fd, cgroup->fd, O_CLOEXEC) >= 0 ? 0 : -errno; /* in one step: other threads use the number */
	if (fd >= 0)
		close(fd);
	return error ? error : 1;
}

int cgroup_fd(const struct cgroup *cgroup)
{
	return cgroup->fd;
}

const char *cgroup_attach_path(const struct cgroup *cgroup)
{
	return cgroup->attach_path;
}

uint64_t cgroup_id(const struct cgroup *cgroup)
{
	struct stat status;
	return fstat(cgroup->fd, &status) == 0 ? status.st_ino : 0;
}

uint64_t cgroup_id_of(const struct cgroup *cgroup, const char *path)
{
	struct stat status;
	while (*path == '/')
		path++;
	return fstatat(cgroup->root_fd, *path ? path : ".", &status, 0) == 0 ? status.st_ino : 0;
}

static const char *below_root(const struct cgroup *cgroup, const char *path)
{
	const char *below = path + strlen(cgroup->root);
	return *below ? below : "/";
}

#define SEARCHED_MAX 4096 /* cgroups looked at for one number */

/* Without CAP_DAC_READ_SEARCH: a cgroup's number is the inode of its directory. */
static char *search_path(const struct cgroup *cgroup, uint64_t id)
{
	char *const roots[] = { cgroup->root, NULL };
	char *found = NULL;
	unsigned looked = 0;
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	for (FTSENT *entry; tree && !found && looked < SEARCHED_MAX && (entry = fts_read(tree));) {
		looked += entry->fts_info == FTS_D;
		if (entry->fts_info == FTS_D && entry->fts_statp->st_ino == id)
			found = strdup(below_root(cgroup, entry->fts_path));
	}
	if (tree)
		fts_close(tree);
	return found;
}

char *cgroup_path_of(const struct cgroup *cgroup, uint64_t id)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + sizeof(id)];
	} u;
	char link[64], path[4096];
	size_t skip = strlen(cgroup->root);
	memset(&u, 0, sizeof(u));
	u.handle.handle_bytes = sizeof(id);
	u.handle.handle_type = FILEID_KERNFS;
	memcpy(u.handle.f_handle, &id, sizeof(id));
	int fd = open_by_handle_at(cgroup->root_fd, &u.handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == EPERM ? search_path(cgroup, id) : NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	close(fd);
	if (n < (ssize_t)skip || memcmp(path, cgroup->root, skip) != 0)
		return NULL;
	path[n] = 0;
	return strdup(below_root(cgroup, path));
}
