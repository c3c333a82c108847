/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "library.h"
#include "library_code.h"
#include "library_file.h"

static struct library library;
static struct library_file made;

static int memory_file(const void *bytes, size_t n)
{
	int fd = memfd_create("library", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, 0), (ssize_t)n);
	return fd;
}

static int read_bytes(const void *bytes, size_t n)
{
	int fd = memory_file(bytes, n), result;

	memset(&library, 0xaa, sizeof(library));
	result = library_read(fd, &library);
	close(fd);
	return result;
}

static int read_made(void)
{
	return read_bytes(&made, sizeof(made));
}

static int make_and_read(const struct library_symbol *symbols, size_t count)
{
	library_file_make(&made, symbols, count);
	return read_made();
}

static void make_openssl(void)
{
	library_file_make(&made, library_file_openssl, LIBRARY_FILE_OPENSSL);
}

static uint64_t text_at(unsigned symbol)
{
	return offsetof(struct library_file, text) + 64 * symbol;
}

static void assert_nothing(void)
{
	static const struct library nothing;

	assert_memory_equal(&library, &nothing, sizeof(library));
}

/* A word that no file may change: an errno that is told of in library.h, and then nothing; or offsets in the file. */
static void assert_sane(int result, uint64_t size)
{
	if (result != 0) {
		assert_true(result == -ENOENT || result == -ENOEXEC || result == -EINVAL || result == -EFBIG);
		assert_nothing();
	}
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++)
		assert_true(library.offset[i] == 0 || library.offset[i] < size);
	assert_true(library.layout.known <= 1);
}

/* Where the address is mapped from, as the kernel tells: path and offset in the file. */
static bool mapped_from(const void *address, char path[PATH_MAX], uint64_t *offset)
{
	char line[PATH_MAX + 128];
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "re");

	assert_non_null(maps);
	while (!found && fgets(line, sizeof(line), maps)) {
		uintptr_t start, end;
		if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095s", &start, &end, offset, path) == 4) {
			found = (uintptr_t)address >= start && (uintptr_t)address < end;
			*offset += (uintptr_t)address - start;
		}
	}
	fclose(maps);
	return found;
}

/* Opens an installed library as the dynamic linker finds it, and holds every offset against where it was mapped. */
static unsigned compare_installed(const char *name, const char *function)
{
	char path[PATH_MAX], other[PATH_MAX];
	uint64_t offset;
	unsigned count = 0;
	void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		skip();
	assert_true(mapped_from(dlsym(handle, function), path, &offset));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(library_read(fd, &library), 0);
	close(fd);
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++) {
		void *address = dlsym(handle, library_function_name(i));
		bool here = address && mapped_from(address, other, &offset) && strcmp(path, other) == 0;
		assert_int_equal(library.offset[i], here ? offset : 0);
		count += here;
	}
	dlclose(handle);
	return count;
}

static void test_installed_libssl(void **state)
{
	(void)state;
	assert_int_equal(compare_installed("libssl.so.3", "SSL_do_handshake"), 2);
	assert_int_equal(library.layout.known, 0);
}

static void test_installed_libcrypto(void **state)
{
	(void)state;
	assert_int_equal(compare_installed("libcrypto.so.3", "X509_verify_cert"), 2);
	assert_int_equal(library.layout.known, 1);
}

static void test_installed_gnutls(void **state)
{
	(void)state;
	assert_int_equal(compare_installed("libgnutls.so.30", "gnutls_handshake"), 6);
	assert_int_equal(library.layout.known, 0);
}

static void *pointer_at(const void *object, size_t offset)
{
	void *pointer;

	memcpy(&pointer, (const char *)object + offset, sizeof(pointer));
	return pointer;
}

/* The library that this program runs with fills its structs; what is read at the offsets has to be that. */
static void test_layout_is_true(void **state)
{
	static const struct openssl_layout *layout = &library.layout;
	static char marker;
	struct {
		int num;
		char **data;
	} *hosts;
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	size_t length;
	int error;

	(void)state;
	compare_installed("libcrypto.so.3", "X509_verify_cert");
	assert_int_equal(layout->known, 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, NULL, NULL, NULL), 1);
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_HOSTNAME_MISMATCH);
	memcpy(&error, (char *)ctx + layout->error, sizeof(error));
	assert_int_equal(error, X509_V_ERR_HOSTNAME_MISMATCH);

	assert_null(pointer_at(ctx, layout->dane));
	X509_STORE_CTX_set0_dane(ctx, (SSL_DANE *)(void *)&marker);
	assert_ptr_equal(pointer_at(ctx, layout->dane), &marker);
	X509_STORE_CTX_set0_dane(ctx, NULL);

	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	assert_ptr_equal(pointer_at(ctx, layout->param), param);
	assert_null(pointer_at(param, layout->hosts));
	assert_null(pointer_at(param, layout->ip));
	assert_int_equal(X509_VERIFY_PARAM_set1_host(param, "mx1.example.org", 0), 1);
	assert_int_equal(X509_VERIFY_PARAM_add1_host(param, "mx2.example.org", 0), 1);
	assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(param, "192.0.2.25"), 1);
	hosts = pointer_at(param, layout->hosts);
	assert_int_equal(hosts->num, 2);
	assert_string_equal(hosts->data[0], "mx1.example.org");
	assert_string_equal(hosts->data[1], "mx2.example.org");
	assert_memory_equal(pointer_at(param, layout->ip), "\xc0\x00\x02\x19", 4);
	memcpy(&length, (char *)param + layout->ip + sizeof(void *), sizeof(length));
	assert_int_equal(length, 4);
	X509_STORE_CTX_free(ctx);
}

#define X86(code, access, offset) { EM_X86_64, code, sizeof(code) - 1, LIBRARY_##access, offset }
#define ARM(code, access, offset) { EM_AARCH64, code, sizeof(code) - 1, LIBRARY_##access, offset }
#define ARM_PUSH "\xfd\x7b\xbf\xa9\xfd\x03\x00\x91"
#define ARM_POP "\xfd\x7b\xc1\xa8"
#define ARM_RET "\xc0\x03\x5f\xd6"

static const struct {
	uint16_t machine;
	const char *code;
	size_t n;
	enum library_access access;
	int offset; /* 0: -EINVAL */
} codes[] = {
	/* with one byte of displacement, with four; what stands behind the end does not count */
	X86("\x8b\x47\x40\xc3", RETURNS_INT, 0x40),
	X86("\x8b\x87\xb0\x00\x00\x00\xc3", RETURNS_INT, 0xb0),
	X86("\x48\x8b\x47\x20\xc3\xcc\xcc", RETURNS_POINTER, 0x20),
	X86("\x48\x8b\x87\x00\x01\x00\x00\xc3", RETURNS_POINTER, 0x100),
	X86("\x48\x89\x77\x18\xc3", SETS_POINTER, 0x18),
	X86("\x48\x89\xb7\xf0\x00\x00\x00\xc3", SETS_POINTER, 0xf0),
	X86("\x48\x8b\x7f\x38\xe9\x01\x02\x03\x04", PASSES_POINTER, 0x38),
	X86("\x48\x8b\xbf\x38\x00\x00\x00\xff\x25\x01\x02\x03\x04", PASSES_POINTER, 0x38),
	/* endbr64; Debian's cleared registers; repz ret; a frame pointer, in gcc's order and in clang's */
	X86("\xf3\x0f\x1e\xfa\x8b\x47\x40\xc3", RETURNS_INT, 0x40),
	X86("\x48\x89\xb7\xf0\x00\x00\x00\x31\xf6\x31\xff\xc3", SETS_POINTER, 0xf0),
	X86("\x48\x89\x77\x18\x31\xc0\xc3", SETS_POINTER, 0x18),
	X86("\x8b\x47\x40\xf3\xc3", RETURNS_INT, 0x40),
	X86("\xf3\x0f\x1e\xfa\x55\x8b\x47\x40\x48\x89\xe5\x5d\x31\xff\xc3", RETURNS_INT, 0x40),
	X86("\x55\x48\x89\xe5\x48\x8b\x47\x48\x5d\xc3", RETURNS_POINTER, 0x48),
	X86("\x55\x48\x89\xe5\x48\x8b\x7f\x38\x5d\xe9\x01\x02\x03\x04", PASSES_POINTER, 0x38),
	/* another register, width, direction or base; the member at 0, in front, too far; an index */
	X86("\x8b\x4f\x40\xc3", RETURNS_INT, 0),
	X86("\x48\x8b\x47\x40\xc3", RETURNS_INT, 0),
	X86("\x8b\x47\x40\xc3", RETURNS_POINTER, 0),
	X86("\x0f\xb6\x47\x40\xc3", RETURNS_INT, 0),
	X86("\x48\x63\x47\x40\xc3", RETURNS_POINTER, 0),
	X86("\x4c\x8b\x47\x40\xc3", RETURNS_POINTER, 0),
	X86("\x48\x89\x7f\x40\xc3", SETS_POINTER, 0),
	X86("\x89\x77\x40\xc3", SETS_POINTER, 0),
	X86("\x48\x8b\x46\x20\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x07\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x47\x00\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x47\xf8\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x87\xf8\xff\xff\xff\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x87\x00\x00\x01\x00\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x44\x37\x20\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x05\x20\x00\x00\x00\xc3", RETURNS_POINTER, 0),
	/* 1.0.2's, through a second struct; a test for NULL; the result or the argument changed; a frame left open */
	X86("\x48\x8b\x47\x38\x48\x8b\x40\x10\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x47\x38\x48\x8b\x47\x10\xc3", RETURNS_POINTER, 0),
	X86("\x48\x85\xff\x74\x05\x48\x8b\x47\x20\xc3", RETURNS_POINTER, 0),
	X86("\x48\x8b\x47\x20\x31\xc0\xc3", RETURNS_POINTER, 0),
	X86("\x31\xff\x48\x8b\x47\x20\xc3", RETURNS_POINTER, 0),
	X86("\x55\x48\x89\xe5\x48\x8b\x47\x48\xc3", RETURNS_POINTER, 0),
	X86("\x5d\x48\x8b\x47\x48\x55\xc3", RETURNS_POINTER, 0),
	/* nothing accessed; a call in the place of the jump; the argument changed before it; a jump and no access; an int3 */
	X86("\xc3", RETURNS_POINTER, 0),
	X86("\x48\x83\xec\x08\x48\x8b\x7f\x38\xe8\x01\x02\x03\x04\x48\x8b\x00\x48\x83\xc4\x08\xc3", PASSES_POINTER, 0),
	X86("\x48\x8b\x7f\x38\xc3", PASSES_POINTER, 0),
	X86("\x48\x8b\x7f\x38\x31\xff\xe9\x01\x02\x03\x04", PASSES_POINTER, 0),
	X86("\x48\x8b\x7f\x38\xff\xe0\x01\x02\x03\x04", PASSES_POINTER, 0),
	X86("\xe9\x01\x02\x03\x04", PASSES_POINTER, 0),
	X86("\x48\x8b\x47\x20\xe9\x01\x02\x03\x04", RETURNS_POINTER, 0),
	X86("\xcc\x8b\x47\x40\xc3", RETURNS_INT, 0),
	X86("", RETURNS_INT, 0),

	ARM("\x00\xb0\x40\xb9" ARM_RET, RETURNS_INT, 0xb0),
	ARM("\x00\x10\x40\xf9" ARM_RET, RETURNS_POINTER, 0x20),
	ARM("\x01\x78\x00\xf9" ARM_RET, SETS_POINTER, 0xf0),
	ARM("\x00\x1c\x40\xf9\xab\x7b\xf8\x17", PASSES_POINTER, 0x38),
	/* bti c; nop; a signed return address with a frame pointer, as clang has it; Debian's cleared registers */
	ARM("\x5f\x24\x03\xd5\x00\xb0\x40\xb9" ARM_RET, RETURNS_INT, 0xb0),
	ARM("\x1f\x20\x03\xd5\x00\xb0\x40\xb9" ARM_RET, RETURNS_INT, 0xb0),
	ARM("\x3f\x23\x03\xd5" ARM_PUSH "\x00\x5c\x40\xf9" ARM_POP "\xbf\x23\x03\xd5" ARM_RET, RETURNS_POINTER, 0xb8),
	ARM("\x3f\x23\x03\xd5" ARM_PUSH "\x00\x5c\x40\xf9" ARM_POP "\xbf\x23\x03\xd5\x00\x00\x00\x14", PASSES_POINTER, 0xb8),
	ARM("\x3f\x23\x03\xd5\x00\x5c\x40\xf9\xff\x0b\x5f\xd6", RETURNS_POINTER, 0xb8),
	ARM("\x01\x78\x00\xf9\x00\x00\x80\xd2\x01\x00\x80\xd2" ARM_RET, SETS_POINTER, 0xf0),
	ARM("\x00\x10\x40\xf9\x01\x00\x80\xd2" ARM_RET, RETURNS_POINTER, 0x20),
	/* the result cleared, or the argument; another register, width, base; the member at 0; twice; not aligned (ldur) */
	ARM("\x00\x10\x40\xf9\x00\x00\x80\xd2" ARM_RET, RETURNS_POINTER, 0),
	ARM("\x00\x00\x80\xd2\x01\x78\x00\xf9" ARM_RET, SETS_POINTER, 0),
	ARM("\x01\x10\x40\xf9" ARM_RET, RETURNS_POINTER, 0),
	ARM("\x00\xb0\x40\xb9" ARM_RET, RETURNS_POINTER, 0),
	ARM("\x20\x10\x40\xf9" ARM_RET, RETURNS_POINTER, 0),
	ARM("\x00\x00\x40\xf9" ARM_RET, RETURNS_POINTER, 0),
	ARM("\x00\x10\x40\xf9\x00\x08\x40\xf9" ARM_RET, RETURNS_POINTER, 0),
	ARM("\x00\x40\x41\xf8" ARM_RET, RETURNS_POINTER, 0),
	/* a frame left open; a call; a branch; a return where a jump has to be, and the reverse; nothing */
	ARM(ARM_PUSH "\x00\x5c\x40\xf9" ARM_RET, RETURNS_POINTER, 0),
	ARM("\x00\x1c\x40\xf9\xab\x7b\xf8\x97" ARM_RET, PASSES_POINTER, 0),
	ARM("\x80\x00\x00\xb4\x00\x10\x40\xf9" ARM_RET, RETURNS_POINTER, 0),
	ARM("\x00\x1c\x40\xf9" ARM_RET, PASSES_POINTER, 0),
	ARM("\x00\x1c\x40\xf9\xab\x7b\xf8\x17", RETURNS_POINTER, 0),
	ARM("\xab\x7b\xf8\x17", PASSES_POINTER, 0),
	ARM(ARM_RET, RETURNS_POINTER, 0),

	{ EM_386, "\x8b\x47\x40\xc3", 4, LIBRARY_RETURNS_INT, 0 },
};

/* In memory of its own size, so that a read behind it is seen. */
static int code_offset(size_t i, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, codes[i].code, n);
	int offset = library_code_offset(codes[i].machine, copy, n, codes[i].access);
	free(copy);
	return offset;
}

static void test_code(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		int offset = code_offset(i, codes[i].n), expected = codes[i].offset ? codes[i].offset : -EINVAL;
		if (offset != expected)
			fail_msg("code %zu: %d instead of %d", i, offset, expected);
		/* cut before its last instruction is whole, it is nothing: int3 or nothing may stand behind the end */
		for (size_t n = 0; n < codes[i].n; n++) {
			offset = code_offset(i, n);
			if (offset != -EINVAL && !(offset == expected && codes[i].code[n] == (char)0xcc))
				fail_msg("code %zu cut at %zu: %d", i, n, offset);
		}
	}
}

static void test_made(void **state)
{
	static const struct openssl_layout expected = { .error = 176, .param = 32, .dane = 240, .hosts = 56, .ip = 96, .known = 1 };

	(void)state;
	make_openssl();
	assert_int_equal(read_made(), 0);
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++)
		assert_int_equal(library.offset[i], i == LIBRARY_SSL_DO_HANDSHAKE ? text_at(0) :
						    i == LIBRARY_X509_VERIFY_CERT ? text_at(1) : 0);
	assert_memory_equal(&library.layout, &expected, sizeof(expected));
	made.header.e_type = ET_EXEC; /* a program that exports its OpenSSL */
	assert_int_equal(read_made(), 0);
	made.sections[SECTION_VERSIONS].sh_type = SHT_PROGBITS; /* and has no versions */
	assert_int_equal(read_made(), 0);
	assert_int_equal(library.layout.known, 1);
}

static void test_every_function_is_found(void **state)
{
	struct library_symbol symbols[LIBRARY_FUNCTION_COUNT] = { 0 };

	(void)state;
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++)
		symbols[i].name = library_function_name(i);
	assert_int_equal(make_and_read(symbols, LIBRARY_FUNCTION_COUNT), 0);
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++)
		assert_int_equal(library.offset[i], text_at(i));
	assert_int_equal(library.layout.known, 0);
}

static void test_symbols_that_do_not_count(void **state)
{
	const struct library_symbol symbols[] = {
		{ .name = "SSL_do_handshake", .undefined = 1 },
		{ .name = "SSL_get_verify_result", .type = STT_OBJECT },
		{ .name = "d2i_X509", .type = STT_GNU_IFUNC },
		{ .name = "X509_verify_cert_", },
		{ .name = "X509_verify_cer" },
		{ .name = "gnutls_handshake2" },
		{ .name = "free" },
	};

	(void)state;
	assert_int_equal(make_and_read(symbols, sizeof(symbols) / sizeof(symbols[0])), -ENOENT);
	assert_nothing();
	assert_int_equal(make_and_read(symbols, 0), -ENOENT);
	make_openssl();
	for (unsigned i = 0; i < LIBRARY_FILE_SYMBOLS_MAX; i++)
		made.symbols[i].st_info = STB_LOCAL << 4 | STT_FUNC;
	assert_int_equal(read_made(), -ENOENT);
}

static void test_default_version_wins(void **state)
{
	struct library_symbol symbols[] = {
		{ .name = "SSL_do_handshake", .version = 0x8000 | 3 },
		{ .name = "SSL_do_handshake", .version = 4 },
		{ .name = "SSL_do_handshake", .version = 0x8000 | 5 },
		{ .name = "SSL_do_handshake", .version = 6, .binding = STB_WEAK },
	};

	(void)state;
	assert_int_equal(make_and_read(symbols, 4), 0);
	assert_int_equal(library.offset[LIBRARY_SSL_DO_HANDSHAKE], text_at(1));
	symbols[1].version = symbols[3].version = 0x8000 | 7; /* programs of old may be linked with the first */
	assert_int_equal(make_and_read(symbols, 4), 0);
	assert_int_equal(library.offset[LIBRARY_SSL_DO_HANDSHAKE], text_at(0));
}

static void test_outside_of_executable_segments(void **state)
{
	(void)state;
	make_openssl();
	made.symbols[1].st_value = offsetof(struct library_file, versions); /* readable only */
	made.symbols[2].st_value = made.segments[1].p_vaddr + made.segments[1].p_filesz;
	assert_int_equal(read_made(), -ENOENT);
	made.symbols[2].st_value -= 1;
	made.symbols[1].st_value = made.segments[1].p_vaddr - 1;
	assert_int_equal(read_made(), 0);
	assert_int_equal(library.offset[LIBRARY_SSL_DO_HANDSHAKE], 0);
	assert_int_equal(library.offset[LIBRARY_X509_VERIFY_CERT], sizeof(made) - 1);
	made.symbols[1].st_value = UINT64_MAX;
	made.segments[1].p_flags = PF_R | PF_W;
	assert_int_equal(read_made(), -ENOENT);
}

/* Reads the library with another code for one of its functions, or without the function (NULL). */
static int known_with(const char *name, const char *code, size_t n)
{
	struct library_symbol symbols[LIBRARY_FILE_OPENSSL];

	memcpy(symbols, library_file_openssl, sizeof(symbols));
	for (unsigned i = 0; i < LIBRARY_FILE_OPENSSL; i++) {
		if (strcmp(symbols[i].name, name) != 0)
			continue;
		symbols[i].code = code;
		symbols[i].size = n;
		symbols[i].undefined = !code;
	}
	assert_int_equal(make_and_read(symbols, LIBRARY_FILE_OPENSSL), 0);
	if (!library.layout.known) {
		library.layout.known = 1;
		assert_memory_equal(&library.layout, &(struct openssl_layout){ .known = 1 }, sizeof(library.layout));
		return 0;
	}
	return 1;
}

#define KNOWN_WITH(name, code) known_with(name, code, sizeof(code) - 1)

static void test_layout_is_known_or_not(void **state)
{
	(void)state;
	for (unsigned i = 1; i < LIBRARY_FILE_OPENSSL; i++) {
		const char *name = library_file_openssl[i].name;
		/* 1.1.1 has no getter for hosts and email; the string is none of those that are read */
		bool optional = strstr(name, "0_host") || strstr(name, "0_email") || strstr(name, "_string");
		assert_int_equal(known_with(name, NULL, 0), optional);
		if (i > 2)
			assert_int_equal(KNOWN_WITH(name, CODE_EMPTY), 0);
	}
	assert_int_equal(KNOWN_WITH("X509_VERIFY_PARAM_get0_host", CODE_HOST), 1);
	assert_int_equal(KNOWN_WITH("X509_VERIFY_PARAM_get0_host", CODE_HOST_ELSEWHERE), 0);
	assert_int_equal(KNOWN_WITH("X509_VERIFY_PARAM_get0_host", CODE_PARAM), 0);
	assert_int_equal(KNOWN_WITH("X509_VERIFY_PARAM_get0_email", CODE_PEERNAME), 0);
	assert_int_equal(KNOWN_WITH("X509_VERIFY_PARAM_get0_peername", CODE_EMAIL), 0);
	assert_int_equal(KNOWN_WITH("X509_VERIFY_PARAM_get_hostflags", CODE_ERROR), 0);
}

static void test_layout_of_1_1_1(void **state)
{
	(void)state;
	library_file_make(&made, library_file_openssl, LIBRARY_FILE_OPENSSL_111);
	assert_int_equal(read_made(), 0);
	assert_int_equal(library.layout.known, 1);
	memcpy(made.text + 64 * (LIBRARY_FILE_OPENSSL_111 - 1), CODE_EMAIL, sizeof(CODE_EMAIL) - 1); /* peername's place */
	assert_int_equal(read_made(), 0);
	assert_int_equal(library.layout.known, 0);
}

static void test_code_ends_with_its_function(void **state)
{
	const unsigned last = LIBRARY_FILE_OPENSSL - 1;

	(void)state;
	make_openssl();
	made.symbols[last + 1].st_size -= 1;
	assert_int_equal(read_made(), 0);
	assert_int_equal(library.layout.known, 0);
	made.symbols[last + 1].st_size = UINT64_MAX;
	assert_int_equal(read_made(), 0);
	assert_int_equal(library.layout.known, 1);
	made.segments[1].p_filesz = 64 * last + sizeof(CODE_EMAIL) - 2; /* and with its segment */
	assert_int_equal(read_made(), 0);
	assert_int_equal(library.layout.known, 0);
}

static void test_other_files(void **state)
{
	static const char script[] = "#!/bin/sh\nexec true\n# and so on, for more than 64 bytes, which is what a header has\n";

	(void)state;
	assert_int_equal(read_bytes("", 0), -ENOEXEC);
	assert_int_equal(read_bytes("\x7f" "ELF", 4), -ENOEXEC);
	assert_int_equal(read_bytes(script, sizeof(script)), -ENOEXEC);
	make_openssl();
	made.header.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(read_made(), -ENOEXEC);
	make_openssl();
	made.header.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(read_made(), -ENOEXEC);
	make_openssl();
	made.header.e_machine = LIBRARY_FILE_MACHINE == EM_X86_64 ? EM_AARCH64 : EM_X86_64;
	assert_int_equal(read_made(), -ENOEXEC);
	make_openssl();
	made.header.e_type = ET_REL;
	assert_int_equal(read_made(), -ENOEXEC);
	make_openssl();
	made.header.e_shnum = 0;
	assert_int_equal(read_made(), -ENOENT);
	make_openssl();
	made.sections[SECTION_SYMBOLS].sh_type = SHT_SYMTAB;
	made.sections[SECTION_VERSIONS].sh_type = SHT_NULL;
	assert_int_equal(read_made(), -ENOENT);
}

static int read_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC), result;

	assert_true(fd >= 0);
	memset(&library, 0xaa, sizeof(library));
	result = library_read(fd, &library);
	close(fd);
	assert_nothing();
	return result;
}

static void test_no_regular_file(void **state)
{
	char path[] = "/tmp/smtpward-test-library-XXXXXX";
	int ends[2];

	(void)state;
	assert_int_equal(read_path("/dev/zero", O_RDONLY), -EINVAL);
	assert_int_equal(read_path("/", O_RDONLY | O_DIRECTORY), -EINVAL);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(library_read(ends[0], &library), -EINVAL);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(library_read(ends[0], &library), -EBADF);
	assert_non_null(mkdtemp(path));
	char fifo[sizeof(path) + 8];
	snprintf(fifo, sizeof(fifo), "%s/fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(read_path(fifo, O_RDWR), -EINVAL);
	unlink(fifo);
	rmdir(path);
}

static void test_too_large(void **state)
{
	int fd;

	(void)state;
	make_openssl();
	fd = memory_file(&made, sizeof(made));
	assert_int_equal(ftruncate(fd, (256 << 20) + 1), 0);
	assert_int_equal(library_read(fd, &library), -EFBIG);
	assert_int_equal(ftruncate(fd, 256 << 20), 0);
	assert_int_equal(library_read(fd, &library), 0);
	made.sections[SECTION_NAMES].sh_size = (16 << 20) + 1;
	assert_int_equal(pwrite(fd, &made, sizeof(made), 0), sizeof(made));
	assert_int_equal(library_read(fd, &library), -EFBIG);
	made.sections[SECTION_NAMES].sh_size = 16 << 20;
	made.sections[SECTION_SYMBOLS].sh_size = ((16 << 20) / 24 + 1) * 24;
	made.sections[SECTION_VERSIONS].sh_size = 16 << 20;
	assert_int_equal(pwrite(fd, &made, sizeof(made), 0), sizeof(made));
	assert_int_equal(library_read(fd, &library), -EFBIG);
	assert_nothing();
	close(fd);
}

/* Reads the library with one field changed. */
#define MALFORMED(field, value) do { \
		make_openssl(); \
		made.field = (__typeof__(made.field))(value); \
		if (read_made() != -EINVAL) \
			fail_msg("%s = %s", #field, #value); \
		assert_nothing(); \
	} while (0)

static void test_malformed(void **state)
{
	(void)state;
	MALFORMED(header.e_phentsize, 32);
	MALFORMED(header.e_shentsize, 40);
	MALFORMED(header.e_phnum, 0xffff);
	MALFORMED(header.e_phoff, sizeof(made) - 8);
	MALFORMED(header.e_phoff, UINT64_MAX);
	MALFORMED(header.e_shnum, 0xffff);
	MALFORMED(header.e_shnum, 4096);
	MALFORMED(header.e_shoff, UINT64_MAX);
	MALFORMED(header.e_shoff, UINT64_MAX - 63);
	MALFORMED(header.e_shoff, sizeof(made) - 100);
	MALFORMED(segments[1].p_offset, UINT64_MAX);
	MALFORMED(segments[1].p_filesz, UINT64_MAX);
	MALFORMED(segments[1].p_filesz, sizeof(made.text) + 1);
	MALFORMED(sections[SECTION_SYMBOLS].sh_offset, UINT64_MAX - 23);
	MALFORMED(sections[SECTION_SYMBOLS].sh_size, UINT64_MAX);
	MALFORMED(sections[SECTION_SYMBOLS].sh_size, sizeof(made));
	MALFORMED(sections[SECTION_SYMBOLS].sh_entsize, 16);
	MALFORMED(sections[SECTION_SYMBOLS].sh_entsize, 0);
	MALFORMED(sections[SECTION_SYMBOLS].sh_link, SECTION_COUNT);
	MALFORMED(sections[SECTION_SYMBOLS].sh_link, UINT32_MAX);
	MALFORMED(sections[SECTION_SYMBOLS].sh_link, SECTION_TEXT);
	MALFORMED(sections[SECTION_NAMES].sh_offset, UINT64_MAX);
	MALFORMED(sections[SECTION_NAMES].sh_size, UINT64_MAX);
	MALFORMED(sections[SECTION_NAMES].sh_size, 0);
	MALFORMED(sections[SECTION_NAMES].sh_size, 10);
	MALFORMED(sections[SECTION_VERSIONS].sh_offset, UINT64_MAX - 1);
	MALFORMED(sections[SECTION_VERSIONS].sh_size, 20);
	MALFORMED(sections[SECTION_VERSIONS].sh_link, SECTION_TEXT);
	MALFORMED(symbols[3].st_name, UINT32_MAX);
	MALFORMED(symbols[3].st_name, sizeof(made.names));
	make_openssl(); /* more executable segments than any library has */
	made.header.e_phoff = offsetof(struct library_file, text) + 512;
	made.header.e_phnum = 17;
	for (unsigned i = 0; i < 17; i++)
		memcpy(made.text + 512 + i * sizeof(Elf64_Phdr), &made.segments[1], sizeof(Elf64_Phdr));
	assert_int_equal(read_made(), -EINVAL);
	made.header.e_phnum = 16;
	assert_int_equal(read_made(), 0);
}

/* Headers that are all there, but are more than any library has; and one behind the last. */
static void test_too_many_headers(void **state)
{
	static struct {
		struct library_file file;
		Elf64_Shdr sections[4097];
	} large;

	(void)state;
	make_openssl();
	large.file = made;
	memcpy(large.sections, made.sections, sizeof(made.sections));
	large.file.header.e_shoff = sizeof(large.file);
	large.file.header.e_shnum = 4096;
	assert_int_equal(read_bytes(&large, sizeof(large)), 0);
	large.file.header.e_shnum = 4097;
	assert_int_equal(read_bytes(&large, sizeof(large)), -EINVAL);

	large.file.header.e_shnum = SECTION_NAMES;
	assert_int_equal(read_bytes(&large, sizeof(large)), -EINVAL);

	memset(large.sections, 0, sizeof(large.sections));
	memcpy(large.sections, made.segments, sizeof(made.segments));
	large.file.header.e_shoff = made.header.e_shoff;
	large.file.header.e_shnum = SECTION_COUNT;
	large.file.header.e_phoff = sizeof(large.file);
	large.file.header.e_phnum = 128;
	assert_int_equal(read_bytes(&large, sizeof(large)), 0);
	large.file.header.e_phnum = 129;
	assert_int_equal(read_bytes(&large, sizeof(large)), -EINVAL);
}

static void test_cut(void **state)
{
	(void)state;
	make_openssl();
	for (size_t n = 0; n < sizeof(made); n += 16) {
		int result = read_bytes(&made, n);
		assert_int_not_equal(result, 0); /* its segment has to be whole */
		assert_sane(result, n);
	}
}

/* A real one, whose section headers stand at its end. */
static void test_cut_libssl(void **state)
{
	char path[PATH_MAX];
	uint64_t offset;
	struct stat status;
	void *handle = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);

	(void)state;
	if (!handle)
		skip();
	assert_true(mapped_from(dlsym(handle, "SSL_do_handshake"), path, &offset));
	dlclose(handle);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &status), 0);
	char *bytes = malloc((size_t)status.st_size);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, (size_t)status.st_size, 0), status.st_size);
	close(fd);
	fd = memory_file(bytes, (size_t)status.st_size);
	assert_int_equal(library_read(fd, &library), 0);
	for (off_t n = (status.st_size - 1) & ~(off_t)63; n >= 0; n -= 64) {
		assert_int_equal(ftruncate(fd, n), 0);
		int result = library_read(fd, &library);
		assert_int_equal(result, n < EI_NIDENT ? -ENOEXEC : -EINVAL);
		assert_nothing();
	}
	close(fd);
	free(bytes);
}

static void test_corrupted(void **state)
{
	unsigned results[2] = { 0 };

	(void)state;
	srandom(20240625);
	for (unsigned round = 0; round < 30000; round++) {
		make_openssl();
		/* half of them in the headers, where it hurts most */
		size_t range = round % 2 ? sizeof(made) : offsetof(struct library_file, versions);
		for (long changes = 1 + random() % 8; changes > 0; changes--)
			((uint8_t *)&made)[(size_t)random() % range] = (uint8_t)(random() % 4 ? random() : random() % 2 ? 0xff : 0);
		int result = read_made();
		assert_sane(result, sizeof(made));
		results[result != 0]++;
	}
	assert_true(results[0] > 1000 && results[1] > 1000);
}

struct changer {
	int fd;
	atomic_bool stop;
};

static void *change(void *argument)
{
	struct changer *changer = argument;
	struct library_file other;

	memset(&other, 0xff, sizeof(other));
	while (!changer->stop) {
		assert_int_equal(ftruncate(changer->fd, 4096), 0);
		assert_int_equal(pwrite(changer->fd, &other, sizeof(other), 0), sizeof(other));
		assert_int_equal(ftruncate(changer->fd, 0), 0);
		assert_int_equal(pwrite(changer->fd, &made, sizeof(made), 0), sizeof(made));
		sched_yield();
	}
	return NULL;
}

static void test_changed_meanwhile(void **state)
{
	struct changer changer = { 0 };
	pthread_t thread;

	(void)state;
	make_openssl();
	changer.fd = memory_file(&made, sizeof(made));
	assert_int_equal(pthread_create(&thread, NULL, change, &changer), 0);
	for (unsigned i = 0; i < 20000; i++)
		assert_sane(library_read(changer.fd, &library), sizeof(made));
	changer.stop = true;
	pthread_join(thread, NULL);
	close(changer.fd);
}

static void test_position_is_kept(void **state)
{
	(void)state;
	make_openssl();
	int fd = memory_file(&made, sizeof(made));
	assert_int_equal(lseek(fd, 123, SEEK_SET), 123);
	assert_int_equal(library_read(fd, &library), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 123);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_installed_libssl),
		cmocka_unit_test(test_installed_libcrypto),
		cmocka_unit_test(test_installed_gnutls),
		cmocka_unit_test(test_layout_is_true),
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_every_function_is_found),
		cmocka_unit_test(test_symbols_that_do_not_count),
		cmocka_unit_test(test_default_version_wins),
		cmocka_unit_test(test_outside_of_executable_segments),
		cmocka_unit_test(test_layout_is_known_or_not),
		cmocka_unit_test(test_layout_of_1_1_1),
		cmocka_unit_test(test_code_ends_with_its_function),
		cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_no_regular_file),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_too_many_headers),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_cut_libssl),
		cmocka_unit_test(test_corrupted),
		cmocka_unit_test(test_changed_meanwhile),
		cmocka_unit_test(test_position_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
