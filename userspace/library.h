/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TLS library's file: where the functions are that the witness hangs its uprobes on, and where the library keeps what
 * is read of a check.
 */
#ifndef SMTPWARD_LIBRARY_H
#define SMTPWARD_LIBRARY_H

#include <stdint.h>

#include "witness.h"

enum library_function {
	LIBRARY_SSL_DO_HANDSHAKE,
	LIBRARY_SSL_GET_VERIFY_RESULT,
	LIBRARY_D2I_X509,
	LIBRARY_X509_VERIFY_CERT,
	LIBRARY_GNUTLS_HANDSHAKE,
	LIBRARY_GNUTLS_CRT_IMPORT,
	LIBRARY_GNUTLS_VERIFY_PEERS,
	LIBRARY_GNUTLS_VERIFY_PEERS2,
	LIBRARY_GNUTLS_VERIFY_PEERS3,
	LIBRARY_GNUTLS_CHECK_HOSTNAME2,
	LIBRARY_FUNCTION_COUNT,
};

struct library {
	uint64_t offset[LIBRARY_FUNCTION_COUNT]; /* in the file, for a uprobe; 0: not there */
	struct openssl_layout layout;            /* known only in the file that has X509_verify_cert */
	uint32_t text_before, text_after; /* bytes of code before and behind SSL_do_handshake */
};

/*
 * Reads the library or program behind fd, which stays the caller's; its position does not change. Anybody may have
 * written the file, and may write it meanwhile: what is found is the file's word, and is bounded by its size. Returns
 * 0; -ENOENT if none of the functions is defined in it; -ENOEXEC if it is no ELF file of this machine; -EINVAL if it is
 * malformed, or no regular file; -EFBIG if it or its symbols are larger than any library; or another negative errno.
 * Without a 0, library is all zero.
 */
int library_read(int fd, struct library *library);

/* The function's symbol, as in "SSL_do_handshake". */
const char *library_function_name(enum library_function function);

#endif
