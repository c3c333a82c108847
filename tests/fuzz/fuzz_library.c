/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the reader of TLS libraries. The input is the file; it is also taken for the code of a getter, on both machines.
 * What is found has to be in the file, and be found again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../../userspace/library.c"
#include "../../userspace/library_code.c"

#define REQUIRE(condition) require(condition, #condition)

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

static void check_file(int fd, size_t size)
{
	struct library library, again;
	int result = library_read(fd, &library);

	REQUIRE(result == 0 || result == -ENOENT || result == -ENOEXEC || result == -EINVAL || result == -EFBIG);
	REQUIRE(library_read(fd, &again) == result && memcmp(&library, &again, sizeof(library)) == 0);
	unsigned found = 0;
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++) {
		REQUIRE(library.offset[i] == 0 || library.offset[i] < size);
		found += library.offset[i] != 0;
	}
	REQUIRE((found > 0) == (result == 0));
	const struct openssl_layout *layout = &library.layout;
	if (layout->known) {
		REQUIRE(library.offset[LIBRARY_X509_VERIFY_CERT] != 0);
		REQUIRE(layout->error && layout->param && layout->dane && layout->hosts && layout->ip == layout->hosts + 40);
	} else {
		REQUIRE(!layout->error && !layout->param && !layout->dane && !layout->hosts && !layout->ip);
	}
}

static void check_code(const uint8_t *data, size_t size)
{
	for (int access = LIBRARY_RETURNS_INT; access <= LIBRARY_PASSES_POINTER; access++) {
		int x86 = library_code_offset(EM_X86_64, data, size, (enum library_access)access);
		int arm = library_code_offset(EM_AARCH64, data, size, (enum library_access)access);
		REQUIRE(x86 == -EINVAL || (x86 > 0 && x86 <= UINT16_MAX));
		REQUIRE(arm == -EINVAL || (arm > 0 && arm <= 4095 * 8));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("library", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	check_file(fd, size);
	check_code(data, size);
	return 0;
}
