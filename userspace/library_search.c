/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "library_search.h"

static bool is_tls_library(const char *path)
{
	static const char *const names[] = { "libssl", "libcrypto", "libgnutls" };
	const char *slash = strrchr(path, '/');
	for (size_t i = 0; slash && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(slash + 1, names[i], strlen(names[i])) == 0 && strstr(slash, ".so"))
			return true;
	}
	return false;
}

#define LINKER_CACHE "/etc/ld.so.cache"
#define LINKER_CACHE_MAX (4 * 1024 * 1024)

/* The cache ends in a table of NUL-terminated texts, full paths among them; that is all that is needed of it. */
void library_search_linker(library_taker *take, void *context)
{
	char *bytes = malloc(LINKER_CACHE_MAX + 1);
	int fd = open(LINKER_CACHE, O_RDONLY | O_CLOEXEC);
	ssize_t size = bytes && fd >= 0 ? read(fd, bytes, LINKER_CACHE_MAX) : 0;
	if (fd >= 0)
		close(fd);
	if (size > 0)
		bytes[size] = 0;
	for (ssize_t at = 0, length; at < size; at += length + 1) {
		const char *text = bytes + at;
		length = (ssize_t)strlen(text);
		if (*text != '/' || !is_tls_library(text))
			continue;
		int library = open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (library < 0)
			continue;
		take(context, library, text, true);
		close(library);
	}
	free(bytes);
}

/* One line of /proc/PID/maps: "start-end r-xp offset dev inode  path". */
static void search_mapping(const char *pid, const char *exe, char *line, library_taker *take, void *context)
{
	char permissions[8], file[128];
	unsigned long start, end, inode;
	int path_at = 0;
	line[strcspn(line, "\n")] = 0;
	if (sscanf(line, "%lx-%lx %7s %*s %*s %lu %n", &start, &end, permissions, &inode, &path_at) < 4 || !path_at ||
	    !strchr(permissions, 'x') || line[path_at] != '/')
		return;
	const char *path = line + path_at;
	if (!is_tls_library(path) && (!exe || strcmp(path, exe) != 0))
		return;
	snprintf(file, sizeof(file), "/proc/%.20s/map_files/%lx-%lx", pid, start, end);
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	take(context, fd, path, false);
	close(fd);
}

/* The lines are read whole: what stands in the middle of a long one is its user's text, and could look like another line. */
void library_search_process(const char *pid, library_taker *take, void *context)
{
	char path[64], exe[512], *line = NULL;
	size_t size = 0;
	snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
	ssize_t length = readlink(path, exe, sizeof(exe) - 1);
	if (length > 0)
		exe[length] = 0;
	snprintf(path, sizeof(path), "/proc/%.20s/maps", pid);
	FILE *maps = fopen(path, "re");
	while (maps && getline(&line, &size, maps) > 0)
		search_mapping(pid, length > 0 ? exe : NULL, line, take, context);
	free(line);
	if (maps)
		fclose(maps);
}

bool library_search_processes(library_taker *take, void *context)
{
	DIR *proc = opendir("/proc");
	if (!proc)
		return false;
	for (struct dirent *entry; (entry = readdir(proc));) {
		if (isdigit((unsigned char)entry->d_name[0]))
			library_search_process(entry->d_name, take, context);
	}
	closedir(proc);
	return true;
}
