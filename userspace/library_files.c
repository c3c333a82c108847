/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "library_files.h"

struct library_file_identity library_file_identity(const struct stat *status)
{
	struct library_file_identity identity;
	memset(&identity, 0, sizeof(identity)); /* compared as a whole */
	identity.inode = status->st_ino;
	identity.size = status->st_size;
	identity.modified = status->st_mtim;
	identity.changed = status->st_ctim;
	return identity;
}

bool library_file_is(const struct library_file_identity *a, const struct library_file_identity *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void library_files_add(struct library_files *files, const struct library_file_identity *identity)
{
	files->known[files->next++ % LIBRARY_FILES_MAX] = *identity;
}

bool library_files_have(const struct library_files *files, const struct library_file_identity *identity)
{
	for (unsigned i = 0; i < LIBRARY_FILES_MAX; i++) {
		if (library_file_is(&files->known[i], identity))
			return true;
	}
	return false;
}
