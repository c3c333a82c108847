/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the files are that may be, or hold, a TLS library: those that the dynamic linker finds, and those that processes map. */
#ifndef SMTPWARD_LIBRARY_SEARCH_H
#define SMTPWARD_LIBRARY_SEARCH_H

#include <stdbool.h>

/*
 * Called with each file, and as often as it is met: fd, closed afterwards; its name as whoever maps it calls it, hostile;
 * whether it lasts, mapped or not, since the linker will find it.
 */
typedef void library_taker(void *context, int fd, const char *name, bool lasting);

/* Those in the dynamic linker's cache. */
void library_search_linker(library_taker *take, void *context);
/* Those that a process maps, and its program itself: some have OpenSSL inside. */
void library_search_process(const char *pid, library_taker *take, void *context);
/* Those of all processes. Returns false if the processes cannot be looked at. */
bool library_search_processes(library_taker *take, void *context);

#endif
