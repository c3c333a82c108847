/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which file is which: by more than its name, since a container may call its own by any, and an update takes over an old one. */
#ifndef SMTPWARD_LIBRARY_FILES_H
#define SMTPWARD_LIBRARY_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

/* What tells a file from another. Containers of one image share a file, under a device number for each. */
struct library_file_identity {
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct library_file_identity library_file_identity(const struct stat *status);
bool library_file_is(const struct library_file_identity *a, const struct library_file_identity *b);

#define LIBRARY_FILES_MAX 4096

/* Files to be remembered; of more than LIBRARY_FILES_MAX the last ones. All zero: none. */
struct library_files {
	struct library_file_identity known[LIBRARY_FILES_MAX];
	unsigned next;
};

void library_files_add(struct library_files *files, const struct library_file_identity *identity);
bool library_files_have(const struct library_files *files, const struct library_file_identity *identity);

#endif
