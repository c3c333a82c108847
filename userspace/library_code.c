/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "library_code.h"

/*
 * A function is walked from its first instruction to the one that leaves it. Every instruction has to be known: the
 * access, once, or one that does not change what the access means. So no branch is met, and nothing is guessed.
 */
struct walk {
	const uint8_t *code;
	size_t n;  /* bytes left */
	int frame; /* the frame pointers on the stack */
	int offset; /* of the member; 0: not accessed so far */
};

enum step { STEP_ON, STEP_LEFT, STEP_UNKNOWN };

static bool take(struct walk *walk, const void *bytes, size_t n)
{
	if (walk->n < n || memcmp(walk->code, bytes, n) != 0)
		return false;
	walk->code += n;
	walk->n -= n;
	return true;
}

#define TAKE(walk, bytes) take(walk, bytes, sizeof(bytes) - 1)

/* A function with a second access is not the one that was meant. */
static enum step accessed(struct walk *walk, int64_t offset)
{
	if (walk->offset || offset <= 0 || offset > UINT16_MAX)
		return STEP_UNKNOWN;
	walk->offset = (int)offset;
	return STEP_ON;
}

static enum step frame_moved(struct walk *walk, int by)
{
	walk->frame += by;
	return walk->frame == 0 || walk->frame == 1 ? STEP_ON : STEP_UNKNOWN;
}

/* Whether the function ends in a jump to another. */
static bool is_passed_on(enum library_access access)
{
	return access == LIBRARY_PASSES_POINTER || access == LIBRARY_PASSES_ADDRESS;
}

/* A displacement, or an immediate number, of 1 or 4 bytes. */
static enum step x86_accessed(struct walk *walk, size_t size)
{
	uint32_t offset = 0;

	if (walk->n < size)
		return STEP_UNKNOWN;
	for (size_t i = 0; i < size; i++)
		offset |= (uint32_t)walk->code[i] << 8 * i;
	walk->code += size;
	walk->n -= size;
	return accessed(walk, size == 1 ? (int8_t)offset : (int32_t)offset);
}

/* mov between memory at disp(%rdi) and a register, in Intel's SDM: opcode, ModRM with mod 1 or 2 and rm 7, disp. */
static enum step x86_access(struct walk *walk, enum library_access access)
{
	static const struct {
		uint8_t opcode[2], n;
		uint8_t modrm; /* with mod 0 */
	} forms[] = {
		[LIBRARY_RETURNS_INT] = { { 0x8b }, 1, 0x07 },           /* mov disp(%rdi),%eax */
		[LIBRARY_RETURNS_POINTER] = { { 0x48, 0x8b }, 2, 0x07 }, /* mov disp(%rdi),%rax */
		[LIBRARY_SETS_POINTER] = { { 0x48, 0x89 }, 2, 0x37 },    /* mov %rsi,disp(%rdi) */
		[LIBRARY_PASSES_POINTER] = { { 0x48, 0x8b }, 2, 0x3f },  /* mov disp(%rdi),%rdi */
		[LIBRARY_PASSES_ADDRESS] = { { 0x48, 0x8d }, 2, 0x3f },  /* lea disp(%rdi),%rdi */
	};
	uint8_t modrm = forms[access].modrm;

	if (access == LIBRARY_PASSES_ADDRESS && TAKE(walk, "\x48\x83\xc7")) /* add $imm8,%rdi */
		return x86_accessed(walk, 1);
	if (access == LIBRARY_PASSES_ADDRESS && TAKE(walk, "\x48\x81\xc7")) /* add $imm32,%rdi */
		return x86_accessed(walk, 4);
	if (!take(walk, forms[access].opcode, forms[access].n) || walk->n < 2)
		return STEP_UNKNOWN;
	size_t size = walk->code[0] == (modrm | 0x40) ? 1 : walk->code[0] == (modrm | 0x80) ? 4 : 0;
	walk->code++;
	walk->n--;
	return size ? x86_accessed(walk, size) : STEP_UNKNOWN;
}

/*
 * gcc's -fzero-call-used-regs, which Debian builds OpenSSL with: at the end, registers that were used and hold no result
 * are set to 0. Whoever returns nothing may clear the result's, too.
 */
static bool x86_clears_register(struct walk *walk, enum library_access access)
{
	if (!walk->offset)
		return false;
	if (access == LIBRARY_SETS_POINTER && TAKE(walk, "\x31\xc0"))
		return true;
	return TAKE(walk, "\x31\xc9") || TAKE(walk, "\x31\xd2") || TAKE(walk, "\x31\xf6") || TAKE(walk, "\x31\xff");
}

/* mov xN, #0 */
static bool arm_clears_register(const struct walk *walk, uint32_t instruction, enum library_access access)
{
	uint32_t n = instruction & 0x1f;

	return walk->offset && (instruction & ~0x1fU) == 0xd2800000 && n <= 18 && (n > 0 || access == LIBRARY_SETS_POINTER);
}

static enum step x86_step(struct walk *walk, enum library_access access)
{
	if (TAKE(walk, "\xf3\x0f\x1e\xfa") || TAKE(walk, "\x48\x89\xe5")) /* endbr64; mov %rsp,%rbp */
		return STEP_ON;
	if (TAKE(walk, "\x55")) /* push %rbp */
		return frame_moved(walk, 1);
	if (TAKE(walk, "\x5d")) /* pop %rbp */
		return frame_moved(walk, -1);
	if (is_passed_on(access) && walk->offset)
		/* jmp rel32; jmp *disp32(%rip), as with -fno-plt */
		return (TAKE(walk, "\xe9") || TAKE(walk, "\xff\x25")) && walk->n >= 4 ? STEP_LEFT : STEP_UNKNOWN;
	if (x86_clears_register(walk, access))
		return STEP_ON;
	if (TAKE(walk, "\xc3") || TAKE(walk, "\xf3\xc3")) /* ret; repz ret, of older compilers */
		return STEP_LEFT;
	return x86_access(walk, access);
}

/* LDR and STR (immediate, unsigned offset), in the Arm ARM: size and opcode, imm12 in units of the size, Rn, Rt. */
static enum step arm_access(struct walk *walk, uint32_t instruction, enum library_access access)
{
	static const struct {
		uint32_t bits;
		int unit;
	} forms[] = {
		[LIBRARY_RETURNS_INT] = { 0xb9400000, 4 },     /* ldr w0, [x0, #offset] */
		[LIBRARY_RETURNS_POINTER] = { 0xf9400000, 8 }, /* ldr x0, [x0, #offset] */
		[LIBRARY_SETS_POINTER] = { 0xf9000001, 8 },    /* str x1, [x0, #offset] */
		[LIBRARY_PASSES_POINTER] = { 0xf9400000, 8 },  /* ldr x0, [x0, #offset] */
		[LIBRARY_PASSES_ADDRESS] = { 0x91000000, 1 },  /* add x0, x0, #offset */
	};

	if ((instruction & ~(0xfffU << 10)) != forms[access].bits)
		return STEP_UNKNOWN;
	return accessed(walk, (int64_t)(instruction >> 10 & 0xfff) * forms[access].unit);
}

static enum step arm_step(struct walk *walk, enum library_access access)
{
	if (walk->n < 4)
		return STEP_UNKNOWN;
	uint32_t instruction = walk->code[0] | (uint32_t)walk->code[1] << 8 | (uint32_t)walk->code[2] << 16 |
			       (uint32_t)walk->code[3] << 24;
	walk->code += 4;
	walk->n -= 4;
	switch (instruction) {
	case 0xd503245f: /* bti c */
	case 0xd503201f: /* nop */
	case 0xd503233f: /* paciasp */
	case 0xd50323bf: /* autiasp */
	case 0x910003fd: /* mov x29, sp */
		return STEP_ON;
	case 0xa9bf7bfd: /* stp x29, x30, [sp, #-16]! */
		return frame_moved(walk, 1);
	case 0xa8c17bfd: /* ldp x29, x30, [sp], #16 */
		return frame_moved(walk, -1);
	case 0xd65f03c0: /* ret */
	case 0xd65f0bff: /* retaa */
		return is_passed_on(access) ? STEP_UNKNOWN : STEP_LEFT;
	}
	if (is_passed_on(access))
		return instruction >> 26 == 5 ? STEP_LEFT : arm_access(walk, instruction, access); /* b */
	return arm_clears_register(walk, instruction, access) ? STEP_ON : arm_access(walk, instruction, access);
}

int library_code_offset(uint16_t machine, const uint8_t *code, size_t n, enum library_access access)
{
	struct walk walk = { .code = code, .n = n };
	enum step step = STEP_ON;

	if (machine != EM_X86_64 && machine != EM_AARCH64)
		return -EINVAL;
	while (step == STEP_ON && walk.n > 0)
		step = machine == EM_X86_64 ? x86_step(&walk, access) : arm_step(&walk, access);
	return step == STEP_LEFT && walk.frame == 0 && walk.offset ? walk.offset : -EINVAL;
}
