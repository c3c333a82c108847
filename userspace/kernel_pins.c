/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pins: in block mode the kernel goes on without an agent, and the next agent takes over what it finds. Maps and links
 * are pinned in one folder for each attach point; its name ends in the ABI version, since maps can be shared only by
 * objects that mean the same by them.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgroup.h"
#include "kernel_object.h"

#define BPFFS "/sys/fs/bpf"
#define PINS BPFFS "/smtpward"

#define MAP_PREFIX "map-"
#define LINK_PREFIX "link-"

void kernel_pins_place(struct kernel *kernel)
{
	snprintf(kernel->pin_path, sizeof(kernel->pin_path), PINS "/%llu-%d", (unsigned long long)cgroup_id(kernel->cgroup),
		 EVENT_ABI_VERSION);
}

static bool bpffs_is_there(void)
{
	struct statfs status;
	if (statfs(BPFFS, &status) == 0 && status.f_type == BPF_FS_MAGIC)
		return true;
	return mount("bpffs", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0;
}

static const char *pin_name(const struct kernel *kernel, const char *prefix, const char *name, char path[256])
{
	const char *slash = strrchr(name, '/');
	snprintf(path, 256, "%s/%s%s", kernel->pin_path, prefix, slash ? slash + 1 : name);
	return path;
}

/* ---- taking over ------------------------------------------------------------------------------------------ */

static bool is_alike(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);
	return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
	       info.max_entries == bpf_map__max_entries(map);
}

/* All of them or none: the flows in one map go with the rules and counters in the others. */
static bool maps_are_alike(struct kernel *kernel)
{
	struct bpf_map *map;
	char path[256];
	bpf_object__for_each_map(map, kernel->bpf->obj) {
		if (bpf_map__is_internal(map))
			continue;
		int fd = bpf_obj_get(pin_name(kernel, MAP_PREFIX, bpf_map__name(map), path));
		bool alike = fd >= 0 && is_alike(map, fd);
		if (fd >= 0)
			close(fd);
		if (!alike)
			return false;
	}
	return true;
}

void kernel_pins_adopt_maps(struct kernel *kernel)
{
	struct bpf_map *map;
	char path[256];
	if (!maps_are_alike(kernel))
		return;
	bpf_object__for_each_map(map, kernel->bpf->obj) {
		if (bpf_map__is_internal(map))
			continue;
		int fd = bpf_obj_get(pin_name(kernel, MAP_PREFIX, bpf_map__name(map), path));
		if (fd < 0)
			continue;
		bpf_map__reuse_fd(map, fd);
		close(fd);
	}
}

int kernel_pins_adopt_link(const struct kernel *kernel, const char *hook, int program)
{
	char path[256];
	int link = bpf_obj_get(pin_name(kernel, LINK_PREFIX, hook, path));
	if (link < 0)
		return -1;
	/* in place, so that no packet goes by in between; it fails where the cgroup was removed and made again */
	if (bpf_link_update(link, program, NULL) == 0)
		return link;
	close(link);
	return -1;
}

/* ---- pinning ---------------------------------------------------------------------------------------------- */

/* A pin that is there already and ours: taken over. */
static int pin_one(int fd, const char *path)
{
	return bpf_obj_pin(fd, path) == 0 || errno == EEXIST ? 0 : -errno;
}

static int pin_all(struct kernel *kernel)
{
	struct bpf_map *map;
	char path[256];
	int error = 0;
	if (!bpffs_is_there() || (mkdir(PINS, 0700) && errno != EEXIST) || (mkdir(kernel->pin_path, 0700) && errno != EEXIST))
		return -errno;
	bpf_object__for_each_map(map, kernel->bpf->obj) {
		if (!error && !bpf_map__is_internal(map))
			error = pin_one(bpf_map__fd(map), pin_name(kernel, MAP_PREFIX, bpf_map__name(map), path));
	}
	for (unsigned i = 0; i < HOOKS && !error; i++)
		error = pin_one(kernel->links[i], pin_name(kernel, LINK_PREFIX, kernel->hooks[i].name, path));
	return error;
}

int kernel_pin(struct kernel *kernel)
{
	int error = pin_all(kernel);
	if (error)
		kernel_unpin(kernel);
	kernel->pinned = !error;
	return error;
}

static void empty_folder(const char *folder)
{
	char path[1024];
	DIR *directory = opendir(folder);
	if (!directory)
		return;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		unlink(path);
	}
	closedir(directory);
	rmdir(folder);
}

/* Those of other ABI versions, too. */
void kernel_unpin(struct kernel *kernel)
{
	char folder[512], prefix[32];
	DIR *directory = opendir(PINS);
	if (!directory)
		return;
	snprintf(prefix, sizeof(prefix), "%llu-", (unsigned long long)cgroup_id(kernel->cgroup));
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(folder, sizeof(folder), PINS "/%s", entry->d_name);
		empty_folder(folder);
	}
	closedir(directory);
	rmdir(PINS);
	kernel->pinned = false;
}
