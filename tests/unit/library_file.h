/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A small library to be read by library_read(): one executable segment, and a function for each symbol. */
#ifndef SMTPWARD_TEST_LIBRARY_FILE_H
#define SMTPWARD_TEST_LIBRARY_FILE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LIBRARY_FILE_MAX 8192
#define LIBRARY_FILE_SYMBOLS_MAX 32
#define LIBRARY_FILE_SHIFT 0x3000 /* of addresses against offsets */

enum { SECTION_NULL, SECTION_SYMBOLS, SECTION_NAMES, SECTION_VERSIONS, SECTION_TEXT, SECTION_COUNT };

#if defined(__x86_64__)
#define LIBRARY_FILE_MACHINE EM_X86_64
#define CODE_EMPTY "\xc3"
#define CODE_ERROR "\x8b\x87\xb0\x00\x00\x00\xc3"
#define CODE_PARAM "\x48\x8b\x47\x20\xc3"
#define CODE_DANE "\x48\x89\xb7\xf0\x00\x00\x00\xc3"
#define CODE_HOSTFLAGS "\x8b\x47\x40\xc3"
#define CODE_PEERNAME "\x48\x8b\x47\x48\xc3"
#define CODE_HOST "\x48\x8b\x7f\x38\xe9\x01\x02\x03\x04"
#define CODE_HOST_ELSEWHERE "\x48\x8b\x7f\x30\xe9\x01\x02\x03\x04"
#define CODE_EMAIL "\x48\x8b\x47\x50\xc3"
#elif defined(__aarch64__)
#define LIBRARY_FILE_MACHINE EM_AARCH64
#define CODE_RET "\xc0\x03\x5f\xd6"
#define CODE_EMPTY CODE_RET
#define CODE_ERROR "\x00\xb0\x40\xb9" CODE_RET
#define CODE_PARAM "\x00\x10\x40\xf9" CODE_RET
#define CODE_DANE "\x01\x78\x00\xf9" CODE_RET
#define CODE_HOSTFLAGS "\x00\x40\x40\xb9" CODE_RET
#define CODE_PEERNAME "\x00\x24\x40\xf9" CODE_RET
#define CODE_HOST "\x00\x1c\x40\xf9\xab\x7b\xf8\x17"
#define CODE_HOST_ELSEWHERE "\x00\x18\x40\xf9\xab\x7b\xf8\x17"
#define CODE_EMAIL "\x00\x28\x40\xf9" CODE_RET
#endif

struct library_symbol {
	const char *name;
	const char *code; /* NULL: CODE_EMPTY */
	size_t size;	  /* of code */
	uint16_t version; /* as in .gnu.version; 0: one that is nothing special */
	unsigned char type, binding; /* 0: a global function */
	uint16_t undefined;
};

#define LIBRARY_SYMBOL(name, code) { name, code, sizeof(code) - 1, 0, 0, 0, 0 }

/* OpenSSL 3's, as far as it matters here. */
static const struct library_symbol library_file_openssl[] = {
	LIBRARY_SYMBOL("SSL_do_handshake", CODE_EMPTY),
	LIBRARY_SYMBOL("X509_verify_cert", CODE_EMPTY),
	LIBRARY_SYMBOL("X509_verify_cert_error_string", CODE_EMPTY),
	LIBRARY_SYMBOL("X509_STORE_CTX_get_error", CODE_ERROR),
	LIBRARY_SYMBOL("X509_STORE_CTX_get0_param", CODE_PARAM),
	LIBRARY_SYMBOL("X509_STORE_CTX_set0_dane", CODE_DANE),
	LIBRARY_SYMBOL("X509_VERIFY_PARAM_get_hostflags", CODE_HOSTFLAGS),
	LIBRARY_SYMBOL("X509_VERIFY_PARAM_get0_peername", CODE_PEERNAME),
	LIBRARY_SYMBOL("X509_VERIFY_PARAM_get0_host", CODE_HOST),
	LIBRARY_SYMBOL("X509_VERIFY_PARAM_get0_email", CODE_EMAIL),
};

#define LIBRARY_FILE_OPENSSL (sizeof(library_file_openssl) / sizeof(library_file_openssl[0]))
#define LIBRARY_FILE_OPENSSL_111 (LIBRARY_FILE_OPENSSL - 2) /* without the getters for host and email */

/* The headers stand in front, so that a file can be cut behind them. */
struct library_file {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	Elf64_Shdr sections[SECTION_COUNT];
	Elf64_Half versions[LIBRARY_FILE_SYMBOLS_MAX];
	Elf64_Sym symbols[LIBRARY_FILE_SYMBOLS_MAX]; /* the first is that of no name */
	char names[2048];
	uint8_t text[LIBRARY_FILE_SYMBOLS_MAX * 64];
};

static void library_file_sections(struct library_file *file, size_t symbols, size_t names)
{
	const Elf64_Shdr sections[SECTION_COUNT] = {
		[SECTION_SYMBOLS] = { .sh_type = SHT_DYNSYM, .sh_offset = offsetof(struct library_file, symbols),
				      .sh_size = symbols * sizeof(Elf64_Sym), .sh_link = SECTION_NAMES,
				      .sh_entsize = sizeof(Elf64_Sym) },
		[SECTION_NAMES] = { .sh_type = SHT_STRTAB, .sh_offset = offsetof(struct library_file, names), .sh_size = names },
		[SECTION_VERSIONS] = { .sh_type = SHT_GNU_versym, .sh_offset = offsetof(struct library_file, versions),
				       .sh_size = symbols * sizeof(Elf64_Half), .sh_link = SECTION_SYMBOLS,
				       .sh_entsize = sizeof(Elf64_Half) },
		[SECTION_TEXT] = { .sh_type = SHT_PROGBITS, .sh_offset = offsetof(struct library_file, text),
				   .sh_size = sizeof(file->text) },
	};

	memcpy(file->sections, sections, sizeof(sections));
}

static void library_file_headers(struct library_file *file)
{
	file->header = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = LIBRARY_FILE_MACHINE,
		.e_version = EV_CURRENT,
		.e_phoff = offsetof(struct library_file, segments),
		.e_shoff = offsetof(struct library_file, sections),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SECTION_COUNT,
	};
	file->segments[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = offsetof(struct library_file, text) };
	file->segments[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X,
					  .p_offset = offsetof(struct library_file, text),
					  .p_vaddr = offsetof(struct library_file, text) + LIBRARY_FILE_SHIFT,
					  .p_filesz = sizeof(file->text) };
}

/* The i-th symbol's function is at text[64 * i], i from 0. */
static void library_file_make(struct library_file *file, const struct library_symbol *symbols, size_t count)
{
	size_t names = 1;

	memset(file, 0, sizeof(*file));
	for (size_t i = 0; i < count; i++) {
		const struct library_symbol *symbol = &symbols[i];
		const char *code = symbol->code ? symbol->code : CODE_EMPTY;
		size_t size = symbol->code ? symbol->size : sizeof(CODE_EMPTY) - 1;
		unsigned type = symbol->type ? symbol->type : STT_FUNC, binding = symbol->binding ? symbol->binding : STB_GLOBAL;

		memcpy(file->text + 64 * i, code, size);
		memcpy(file->names + names, symbol->name, strlen(symbol->name));
		file->versions[i + 1] = symbol->version ? symbol->version : 2;
		file->symbols[i + 1] = (Elf64_Sym){
			.st_name = (Elf64_Word)names,
			.st_info = (unsigned char)(binding << 4 | type),
			.st_shndx = symbol->undefined ? SHN_UNDEF : SECTION_TEXT,
			.st_value = offsetof(struct library_file, text) + LIBRARY_FILE_SHIFT + 64 * i,
			.st_size = size,
		};
		names += strlen(symbol->name) + 1;
	}
	library_file_sections(file, count + 1, names);
	library_file_headers(file);
}

#endif
