/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file is read with pread() alone, and by nothing but this: a mapping raises SIGBUS when its file is cut, and
 * libelf's authors ask not to feed it what one does not trust. Every offset is held against the size that the file had
 * at the start; a file that is cut since then ends in -EINVAL.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "library.h"
#include "library_code.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "library_code.c does not know this machine's code"
#endif

#define FILE_BYTES_MAX (256ULL << 20)
#define TABLE_BYTES_MAX (16ULL << 20) /* of symbols, and of their names; node has 1.8 and 5.3 MB */
#define SECTIONS_MAX 4096
#define PROGRAM_HEADERS_MAX 128
#define SEGMENTS_MAX 16 /* that are executable; a library has one, node two */
#define SYMBOLS_AT_ONCE 512
#define VERSION_HIDDEN 0x8000 /* in .gnu.version: not what a program is linked with that asks for no version */

/* Functions of OpenSSL whose code is read, behind those that are watched. */
enum {
	GET_ERROR = LIBRARY_FUNCTION_COUNT,
	GET_PARAM,
	SET_DANE,
	GET_HOSTFLAGS,
	GET_PEERNAME,
	GET_HOST,
	GET_EMAIL,
	GET_EX_DATA,
	GET_VERIFY_MODE,
	IS_SERVER,
	WANTED_COUNT,
};

static const char *const wanted[] = {
	[LIBRARY_SSL_DO_HANDSHAKE] = "SSL_do_handshake",
	[LIBRARY_SSL_GET_VERIFY_RESULT] = "SSL_get_verify_result",
	[LIBRARY_D2I_X509] = "d2i_X509",
	[LIBRARY_X509_VERIFY_CERT] = "X509_verify_cert",
	[LIBRARY_GNUTLS_HANDSHAKE] = "gnutls_handshake",
	[LIBRARY_GNUTLS_CRT_IMPORT] = "gnutls_x509_crt_import",
	[LIBRARY_GNUTLS_VERIFY_PEERS] = "gnutls_certificate_verify_peers",
	[LIBRARY_GNUTLS_VERIFY_PEERS2] = "gnutls_certificate_verify_peers2",
	[LIBRARY_GNUTLS_VERIFY_PEERS3] = "gnutls_certificate_verify_peers3",
	[LIBRARY_GNUTLS_CHECK_HOSTNAME2] = "gnutls_x509_crt_check_hostname2",
	[GET_ERROR] = "X509_STORE_CTX_get_error",
	[GET_PARAM] = "X509_STORE_CTX_get0_param",
	[SET_DANE] = "X509_STORE_CTX_set0_dane",
	[GET_HOSTFLAGS] = "X509_VERIFY_PARAM_get_hostflags",
	[GET_PEERNAME] = "X509_VERIFY_PARAM_get0_peername",
	[GET_HOST] = "X509_VERIFY_PARAM_get0_host",
	[GET_EMAIL] = "X509_VERIFY_PARAM_get0_email",
	[GET_EX_DATA] = "X509_STORE_CTX_get_ex_data",
	[GET_VERIFY_MODE] = "SSL_get_verify_mode",
	[IS_SERVER] = "SSL_is_server",
};

_Static_assert(sizeof(wanted) / sizeof(wanted[0]) == WANTED_COUNT, "one name each");

struct segment {
	uint64_t offset, address, size; /* size is that in the file */
};

struct function {
	uint64_t offset; /* in the file; 0: not found */
	uint64_t size;   /* of its code, as far as it is in the segment */
	bool is_default; /* of its versions */
};

struct file {
	int fd;
	uint64_t size;
	Elf64_Ehdr header;
	struct segment segments[SEGMENTS_MAX];
	unsigned segment_count;
	Elf64_Shdr symbols, names, versions; /* sh_size 0: there is none */
	struct function functions[WANTED_COUNT];
};

/* Returns 0, -EINVAL if the file does not reach that far (any more), or another negative errno. */
static int read_at(const struct file *file, uint64_t offset, void *buffer, uint64_t n)
{
	uint8_t *bytes = buffer;

	if (offset > file->size || n > file->size - offset)
		return -EINVAL;
	while (n > 0) {
		ssize_t done = pread(file->fd, bytes, n, (off_t)offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EINVAL;
		bytes += done;
		offset += (uint64_t)done;
		n -= (uint64_t)done;
	}
	return 0;
}

static int read_header(struct file *file)
{
	Elf64_Ehdr *header = &file->header;
	struct stat status;

	if (fstat(file->fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode)) /* a FIFO or a device might keep us for ever */
		return -EINVAL;
	if (status.st_size < 0 || (uint64_t)status.st_size > FILE_BYTES_MAX)
		return -EFBIG;
	file->size = (uint64_t)status.st_size;
	if (file->size < EI_NIDENT)
		return -ENOEXEC;
	int result = read_at(file, 0, header, file->size < sizeof(*header) ? EI_NIDENT : sizeof(*header));
	if (result < 0)
		return result;
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	if (file->size < sizeof(*header))
		return -EINVAL;
	if (header->e_machine != MACHINE || (header->e_type != ET_DYN && header->e_type != ET_EXEC))
		return -ENOEXEC;
	return header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phnum <= PROGRAM_HEADERS_MAX ? 0 : -EINVAL;
}

static int read_segments(struct file *file)
{
	Elf64_Phdr headers[PROGRAM_HEADERS_MAX];
	int result = read_at(file, file->header.e_phoff, headers, file->header.e_phnum * sizeof(headers[0]));

	for (unsigned i = 0; result == 0 && i < file->header.e_phnum; i++) {
		const Elf64_Phdr *header = &headers[i];
		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
			continue;
		if (file->segment_count == SEGMENTS_MAX || header->p_offset > file->size ||
		    header->p_filesz > file->size - header->p_offset)
			return -EINVAL;
		file->segments[file->segment_count++] =
			(struct segment){ header->p_offset, header->p_vaddr, header->p_filesz };
	}
	return result;
}

static int read_section(const struct file *file, unsigned index, Elf64_Shdr *section)
{
	if (index >= file->header.e_shnum || file->header.e_shoff > file->size)
		return -EINVAL;
	return read_at(file, file->header.e_shoff + index * sizeof(*section), section, sizeof(*section));
}

/* Finds the symbols that the dynamic linker knows, their names and their versions. -ENOENT: a static program. */
static int read_sections(struct file *file)
{
	unsigned symbols_index = 0, versions_of = 0;
	Elf64_Shdr section;
	int result = 0;

	if (file->header.e_shnum == 0)
		return -ENOENT;
	if (file->header.e_shnum > SECTIONS_MAX || file->header.e_shentsize != sizeof(section))
		return -EINVAL;
	for (unsigned i = 0; result == 0 && i < file->header.e_shnum; i++) {
		result = read_section(file, i, &section);
		if (result == 0 && section.sh_type == SHT_DYNSYM && symbols_index == 0) {
			file->symbols = section;
			symbols_index = i;
		} else if (result == 0 && section.sh_type == SHT_GNU_versym && file->versions.sh_size == 0) {
			file->versions = section;
			versions_of = section.sh_link;
		}
	}
	if (result < 0)
		return result;
	if (file->symbols.sh_size == 0)
		return -ENOENT;
	if (file->versions.sh_size > 0 && versions_of != symbols_index)
		return -EINVAL;
	return read_section(file, file->symbols.sh_link, &file->names);
}

/* Returns the names, as one owned block that ends in a NUL, or NULL with *result set. */
static char *read_names(const struct file *file, int *result)
{
	uint64_t size = file->names.sh_size;
	char *names = NULL;

	if (file->names.sh_type != SHT_STRTAB || size == 0 || size > file->size)
		*result = -EINVAL;
	else if (size > TABLE_BYTES_MAX)
		*result = -EFBIG;
	else if (!(names = malloc(size)))
		*result = -ENOMEM;
	else
		*result = read_at(file, file->names.sh_offset, names, size);
	if (*result == 0 && names[size - 1] != 0)
		*result = -EINVAL;
	if (*result == 0)
		return names;
	free(names);
	return NULL;
}

static bool is_defined_function(const Elf64_Sym *symbol)
{
	unsigned char binding = ELF64_ST_BIND(symbol->st_info);

	/* Not STT_GNU_IFUNC: its address is that of what chooses the function. */
	return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
	       (binding == STB_GLOBAL || binding == STB_WEAK);
}

static struct function function_at(const struct file *file, const Elf64_Sym *symbol, bool is_default)
{
	for (unsigned i = 0; i < file->segment_count; i++) {
		const struct segment *segment = &file->segments[i];
		uint64_t into = symbol->st_value - segment->address;
		if (symbol->st_value < segment->address || into >= segment->size)
			continue;
		uint64_t left = segment->size - into;
		return (struct function){ segment->offset + into, symbol->st_size < left ? symbol->st_size : left, is_default };
	}
	return (struct function){ 0 };
}

static void take_symbol(struct file *file, const Elf64_Sym *symbol, const char *name, bool is_default)
{
	if (!strchr("SXdg", name[0])) /* which spares most of a C++ program's the comparisons */
		return;
	for (unsigned i = 0; i < WANTED_COUNT; i++) {
		struct function *function = &file->functions[i];
		if (strcmp(name, wanted[i]) != 0)
			continue;
		if (function->offset == 0 || (is_default && !function->is_default))
			*function = function_at(file, symbol, is_default);
		return;
	}
}

static int read_symbols(struct file *file, const char *names)
{
	Elf64_Sym symbols[SYMBOLS_AT_ONCE];
	Elf64_Half versions[SYMBOLS_AT_ONCE] = { 0 };
	uint64_t count = file->symbols.sh_size / sizeof(symbols[0]), n;

	if (file->symbols.sh_entsize != sizeof(symbols[0]) || file->symbols.sh_size > file->size ||
	    (file->versions.sh_size > 0 && file->versions.sh_size / sizeof(versions[0]) < count))
		return -EINVAL;
	if (file->symbols.sh_size > TABLE_BYTES_MAX)
		return -EFBIG;
	for (uint64_t at = 0; at < count; at += n) {
		n = count - at < SYMBOLS_AT_ONCE ? count - at : SYMBOLS_AT_ONCE;
		int result = read_at(file, file->symbols.sh_offset + at * sizeof(symbols[0]), symbols, n * sizeof(symbols[0]));
		if (result == 0 && file->versions.sh_size > 0)
			result = read_at(file, file->versions.sh_offset + at * sizeof(versions[0]), versions, n * sizeof(versions[0]));
		if (result < 0)
			return result;
		for (uint64_t i = 0; i < n; i++) {
			if (symbols[i].st_name >= file->names.sh_size)
				return -EINVAL;
			if (is_defined_function(&symbols[i]))
				take_symbol(file, &symbols[i], names + symbols[i].st_name, !(versions[i] & VERSION_HIDDEN));
		}
	}
	return 0;
}

/* Returns the offset that the function's code names, or 0. */
static uint16_t member(const struct file *file, unsigned index, enum library_access access)
{
	const struct function *function = &file->functions[index];
	uint8_t code[LIBRARY_CODE_MAX];
	uint64_t n = function->size < sizeof(code) ? function->size : sizeof(code);

	if (function->offset == 0 || read_at(file, function->offset, code, n) < 0)
		return 0;
	int offset = library_code_offset(MACHINE, code, n, access);
	return offset > 0 ? (uint16_t)offset : 0;
}

/*
 * OpenSSL's structs are not public, but trivial getters are. X509_VERIFY_PARAM, the same from 1.1.0 to 3.6, has
 *
 *	STACK_OF(OPENSSL_STRING) *hosts; unsigned int hostflags; char *peername, *email; size_t emaillen;
 *	unsigned char *ip; size_t iplen;
 *
 * with getters for hostflags and peername, and since 3.0 for hosts and email. What comes after 3.6 keeps hosts and
 * addresses in stacks of structs: there those two getters are not trivial, and so nothing is known.
 */
static void read_layout(const struct file *file, struct openssl_layout *layout)
{
	uint16_t error = member(file, GET_ERROR, LIBRARY_RETURNS_INT);
	uint16_t param = member(file, GET_PARAM, LIBRARY_RETURNS_POINTER);
	uint16_t dane = member(file, SET_DANE, LIBRARY_SETS_POINTER);
	uint16_t hostflags = member(file, GET_HOSTFLAGS, LIBRARY_RETURNS_INT);
	uint16_t peername = member(file, GET_PEERNAME, LIBRARY_RETURNS_POINTER);

	if (!error || !param || !dane || hostflags <= 8 || peername > UINT16_MAX - 32 || peername != hostflags + 8)
		return;
	if (file->functions[GET_HOST].offset && member(file, GET_HOST, LIBRARY_PASSES_POINTER) != hostflags - 8)
		return;
	if (file->functions[GET_EMAIL].offset && member(file, GET_EMAIL, LIBRARY_RETURNS_POINTER) != peername + 8)
		return;
	layout->error = error;
	layout->param = param;
	layout->dane = dane;
	layout->hosts = (uint16_t)(hostflags - 8);
	layout->ip = (uint16_t)(peername + 24);
	uint16_t ex_data = member(file, GET_EX_DATA, LIBRARY_PASSES_ADDRESS);
	/* CRYPTO_EX_DATA is a stack; since 3.0, which X509_VERIFY_PARAM_get0_host came with, there is a pointer before it */
	if (ex_data)
		layout->ex_data = (uint16_t)(ex_data + (file->functions[GET_HOST].offset ? 8 : 0));
	layout->known = 1;
}

static void read_text(const struct file *file, struct library *library)
{
	uint64_t offset = library->offset[LIBRARY_SSL_DO_HANDSHAKE];

	for (unsigned i = 0; i < file->segment_count; i++) {
		const struct segment *segment = &file->segments[i];
		if (offset < segment->offset || offset - segment->offset >= segment->size)
			continue;
		library->text_before = (uint32_t)(offset - segment->offset); /* a file of 256 MiB at most */
		library->text_after = (uint32_t)(segment->size - library->text_before);
	}
}

static int read_functions(struct file *file)
{
	int result = read_header(file);

	if (result == 0)
		result = read_segments(file);
	if (result == 0)
		result = read_sections(file);
	char *names = result == 0 ? read_names(file, &result) : NULL;
	if (names)
		result = read_symbols(file, names);
	free(names);
	return result;
}

int library_read(int fd, struct library *library)
{
	struct file file = { .fd = fd };
	int result = read_functions(&file);
	bool found = false;

	memset(library, 0, sizeof(*library));
	if (result < 0)
		return result;
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++) {
		library->offset[i] = file.functions[i].offset;
		found = found || library->offset[i];
	}
	if (library->offset[LIBRARY_X509_VERIFY_CERT])
		read_layout(&file, &library->layout);
	if (library->offset[LIBRARY_SSL_DO_HANDSHAKE]) {
		read_text(&file, library);
		library->layout.verify_mode = member(&file, GET_VERIFY_MODE, LIBRARY_RETURNS_INT);
		library->layout.is_server = member(&file, IS_SERVER, LIBRARY_RETURNS_INT);
	}
	return found ? 0 : -ENOENT;
}

const char *library_function_name(enum library_function function)
{
	return wanted[function];
}
