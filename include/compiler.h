/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What clang for BPF and gcc for user space must be told alike. */
#ifndef SMTPWARD_COMPILER_H
#define SMTPWARD_COMPILER_H

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

/* Hides from the compiler what it knows of a variable's value. (As in bpf_helpers.h, which user space does not have.) */
#ifndef barrier_var
#define barrier_var(variable) asm volatile("" : "+r"(variable))
#endif

/*
 * An index that the BPF verifier can follow: the empty asm hides from the compiler what it knows of i, so that
 * it cannot drop the mask as redundant or put it on a copy of the register.
 */
#define MASKED_INDEX(i, mask)                 \
	({                                    \
		__u32 masked_ = (i);          \
		asm volatile("" : "+r"(masked_)); \
		masked_ &= (mask);            \
		masked_;                      \
	})

#endif
