/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pins: where they are made, the kernel goes on without an agent, and the next agent takes over what it finds. Maps and
 * links are pinned in one folder for each attach point; its name ends in the ABI version, since maps can be shared only
 * by objects that mean the same by them. What an object of another version has left: kernel_replace.c.
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
#include "pins.h"

static void note_use(struct kernel *kernel, const char *folder)
{
	kernel->pins_in_use |= pins_in_use(folder);
}

static void set_path(struct kernel *kernel)
{
	snprintf(kernel->pin_path, sizeof(kernel->pin_path), PINS "/%llu-%d", (unsigned long long)cgroup_id(kernel->cgroup),
		 EVENT_ABI_VERSION);
}

bool kernel_pins_place(struct kernel *kernel)
{
	set_path(kernel);
	kernel->pins_in_use = pins_in_use(kernel->pin_path);
	unsigned others = kernel_pins_others(kernel, note_use, kernel);
	kernel->had_pins = others || access(kernel->pin_path, F_OK) == 0;
	return !kernel->pins_in_use;
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

/* Whether the map is pinned in the folder: the object's own are, but not the one of all versions. */
static bool is_pinned_here(const struct kernel *kernel, const struct bpf_map *map)
{
	return !bpf_map__is_internal(map) && map != kernel->bpf->maps.blocked;
}

/* ---- taking over ------------------------------------------------------------------------------------------ */

bool kernel_map_is_alike(const struct bpf_map *map, int fd)
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
		if (!is_pinned_here(kernel, map))
			continue;
		int fd = bpf_obj_get(pin_name(kernel, PIN_MAP_PREFIX, bpf_map__name(map), path));
		bool alike = fd >= 0 && kernel_map_is_alike(map, fd);
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
	kernel->maps_adopted = true;
	bpf_object__for_each_map(map, kernel->bpf->obj) {
		if (!is_pinned_here(kernel, map))
			continue;
		int fd = bpf_obj_get(pin_name(kernel, PIN_MAP_PREFIX, bpf_map__name(map), path));
		if (fd < 0 || bpf_map__reuse_fd(map, fd))
			kernel->maps_adopted = false;
		if (fd >= 0)
			close(fd);
	}
}

int kernel_pins_adopt_link(const struct kernel *kernel, const char *hook, int program)
{
	char path[256];
	int link = bpf_obj_get(pin_name(kernel, PIN_LINK_PREFIX, hook, path));
	if (link < 0)
		return -1;
	/* in place, so that no packet goes by in between; it fails where the cgroup was removed and made again */
	if (bpf_link_update(link, program, NULL) == 0)
		return link;
	close(link);
	return -1;
}

/* ---- pinning ---------------------------------------------------------------------------------------------- */

/* One that is ours already, since it was taken over, is pinned anew all the same. */
int kernel_pin_one(const struct kernel *kernel, int fd, const char *path)
{
	char fresh[256];
	snprintf(fresh, sizeof(fresh), "%s/fresh", kernel->pin_path);
	unlink(fresh);
	if (bpf_obj_pin(fd, fresh) || rename(fresh, path))
		return -errno;
	return 0;
}

static int make_folder(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int pin_all(struct kernel *kernel)
{
	struct bpf_map *map;
	char path[256];
	int error = bpffs_is_there() ? make_folder(PINS) : -errno;
	if (!error)
		error = make_folder(kernel->pin_path);
	if (!error)
		error = kernel_blocked_pin(kernel);
	/* links first: the old ones, which are still pinned, are at work until then */
	for (unsigned i = 0; i < HOOKS && !error; i++)
		error = kernel_pin_one(kernel, kernel->links[i], pin_name(kernel, PIN_LINK_PREFIX, kernel->hooks[i].name, path));
	bpf_object__for_each_map(map, kernel->bpf->obj) {
		if (!error && is_pinned_here(kernel, map))
			error = kernel_pin_one(kernel, bpf_map__fd(map), pin_name(kernel, PIN_MAP_PREFIX, bpf_map__name(map), path));
	}
	return error;
}

int kernel_pin(struct kernel *kernel)
{
	int error = pin_all(kernel);
	if (!error && kernel->pin_lock < 0)
		kernel->pin_lock = pins_lock(kernel->pin_path);
	if (!error && !kernel->pinned)
		kernel->pin_round++;
	kernel->pinned = kernel->pinned || !error;
	return error;
}

/* Whether name is that of one of this attach point's folders; of all versions. */
static bool is_of_attach_point(const struct kernel *kernel, const char *name)
{
	const char *own = strrchr(kernel->pin_path, '/') + 1;
	return strncmp(name, own, (size_t)(strchr(own, '-') + 1 - own)) == 0;
}

unsigned kernel_pins_others(const struct kernel *kernel, void (*found)(struct kernel *kernel, const char *folder),
			    struct kernel *context)
{
	char folder[PIN_PATH_SIZE];
	unsigned count = 0;
	DIR *directory = opendir(PINS);
	if (!directory)
		return 0;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (!is_of_attach_point(kernel, entry->d_name))
			continue;
		snprintf(folder, sizeof(folder), PINS "/%s", entry->d_name);
		if (strcmp(folder, kernel->pin_path) == 0)
			continue;
		count++;
		found(context, folder);
	}
	closedir(directory);
	return count;
}

static void remove_folder(struct kernel *kernel, const char *folder)
{
	(void)kernel;
	pins_remove(folder, NULL, NULL);
}

/* Those of other ABI versions, too. */
void kernel_unpin(struct kernel *kernel)
{
	if (kernel->pin_lock >= 0)
		close(kernel->pin_lock);
	kernel->pin_lock = -1;
	kernel_pins_others(kernel, remove_folder, kernel);
	pins_remove(kernel->pin_path, NULL, NULL);
	kernel_blocked_unpin();
	if (kernel->pinned)
		kernel->pin_round++;
	kernel->pinned = false;
}

/* The folder is renamed, so that the witness's pins stay. What other versions had on the old cgroup is over. */
void kernel_pins_follow(struct kernel *kernel)
{
	char before[sizeof(kernel->pin_path)];
	int error = 0;
	pthread_mutex_lock(&kernel->place_lock);
	if (kernel->pinned)
		kernel_pins_others(kernel, remove_folder, kernel);
	memcpy(before, kernel->pin_path, sizeof(before));
	set_path(kernel);
	if (kernel->pinned)
		error = rename(before, kernel->pin_path) ? -errno : pin_all(kernel);
	pthread_mutex_unlock(&kernel->place_lock);
	if (error)
		fprintf(stderr, "smtpwardd: the hooks cannot be pinned at %s: %s\n", kernel->pin_path, strerror(-error));
}
