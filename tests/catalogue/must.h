/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For what the tests themselves stand on: where it fails, there is nothing to test. */
#ifndef SMTPWARD_TEST_MUST_H
#define SMTPWARD_TEST_MUST_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                     \
	do {                                                                                \
		if (!(condition)) {                                                         \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                            \
		}                                                                           \
	} while (0)

#endif
