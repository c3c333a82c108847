/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The machine code of a function that does nothing but reach for one member of a struct: where that member is. */
#ifndef SMTPWARD_LIBRARY_CODE_H
#define SMTPWARD_LIBRARY_CODE_H

#include <stddef.h>
#include <stdint.h>

#define LIBRARY_CODE_MAX 64 /* longer than any such function */

/* What the function does with the member of the struct that its first argument points to. */
enum library_access {
	LIBRARY_RETURNS_INT,     /* return s->member; 32 bits */
	LIBRARY_RETURNS_POINTER, /* return s->member; */
	LIBRARY_SETS_POINTER,    /* s->member = second argument; */
	LIBRARY_PASSES_POINTER,  /* return f(s->member, second argument), as a jump */
	LIBRARY_PASSES_ADDRESS,  /* return f(&s->member, second argument), as a jump */
};

/*
 * Reads the n bytes of a whole function, compiled for machine (EM_X86_64, EM_AARCH64). Returns the member's offset,
 * above 0 and not above UINT16_MAX, or -EINVAL if there is anything in the function but that access, and what a compiler
 * puts around it.
 */
int library_code_offset(uint16_t machine, const uint8_t *code, size_t n, enum library_access access);

#endif
