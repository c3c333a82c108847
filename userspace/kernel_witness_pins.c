/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel_witness_pins.h"

void witness_pins_place(const struct kernel *kernel, char folder[PIN_PATH_SIZE])
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now); /* a pid would do, but in a container it is the same one each time */
	snprintf(folder, PIN_PATH_SIZE, "%s/" PIN_WITNESS_PREFIX "%llx", kernel->pin_path,
		 (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec);
}

void witness_pins_follow(struct kernel *kernel, char folder[PIN_PATH_SIZE])
{
	char name[64];
	snprintf(name, sizeof(name), "%s", strrchr(folder, '/') + 1);
	pthread_mutex_lock(&kernel->place_lock);
	snprintf(folder, PIN_PATH_SIZE, "%s/%s", kernel->pin_path, name);
	pthread_mutex_unlock(&kernel->place_lock);
}

static bool pin_path(char path[PIN_PATH_SIZE], const char *folder, unsigned file, unsigned probe)
{
	return snprintf(path, PIN_PATH_SIZE, "%s/%u-%u", folder, file, probe) < PIN_PATH_SIZE;
}

int witness_pin(const char *folder, unsigned file, unsigned probe, int fd)
{
	char path[PIN_PATH_SIZE];
	if ((mkdir(folder, 0700) && errno != EEXIST) || !pin_path(path, folder, file, probe))
		return -errno;
	unlink(path);
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

void witness_unpin(const char *folder, unsigned file, unsigned probes)
{
	char path[PIN_PATH_SIZE];
	for (unsigned i = 0; i < probes; i++) {
		if (pin_path(path, folder, file, i))
			unlink(path);
	}
}

void witness_pins_drop_others(const struct kernel *kernel, const char *folder)
{
	char other[PIN_PATH_SIZE];
	DIR *directory = opendir(kernel->pin_path);
	if (!directory)
		return;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (strncmp(entry->d_name, PIN_WITNESS_PREFIX, strlen(PIN_WITNESS_PREFIX)) != 0)
			continue;
		if (snprintf(other, sizeof(other), "%s/%s", kernel->pin_path, entry->d_name) < PIN_PATH_SIZE &&
		    strcmp(other, folder) != 0)
			pins_remove(other, NULL, NULL);
	}
	closedir(directory);
}
