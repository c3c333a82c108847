/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <pthread.h>
#include <string.h>

#include <openssl/evp.h>

#include "sha256.h"

/* OpenSSL 3 looks an algorithm up by its name each time, unless it is told to keep it; that takes longer than the hash of what
 * is hashed here. */
static EVP_MD *algorithm;

static void fetch(void)
{
	algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

bool sha256(const void *bytes, size_t n, uint8_t hash[SHA256_SIZE])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	memset(hash, 0, SHA256_SIZE);
	return pthread_once(&once, fetch) == 0 && algorithm && EVP_Digest(bytes, n, hash, NULL, algorithm, NULL) == 1;
}
