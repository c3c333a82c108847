/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "vectors.h"

#include <string.h>

#include "facts.h"

#include "vectors/shorthand.h"
#include "vectors/sources.h"

/* clang-format off */
const struct vector vectors[] = {
#include "vectors/lines.h"
#include "vectors/offer.h"
#include "vectors/request.h"
#include "vectors/auth.h"
#include "vectors/mail.h"
#include "vectors/tls.h"
#include "vectors/handshake.h"
#include "vectors/removed.h"
#include "vectors/codes.h"
#include "vectors/alerts.h"
#include "vectors/attacks.h"
#include "vectors/traps.h"
#include "vectors/midway.h"
};
/* clang-format on */

const size_t vector_count = sizeof(vectors) / sizeof(vectors[0]);

uint8_t vector_alert(unsigned alert)
{
	return alert == VECTOR_CLOSE_NOTIFY ? 0 : alert ? (uint8_t)alert : TLS_ALERT_NONE;
}

unsigned vector_steps(const struct vector *vector)
{
	unsigned count = 0;
	while (count < VECTOR_STEPS_MAX && vector->steps[count].side != VECTOR_END)
		count++;
	return count;
}

size_t vector_segment(const struct vector_step *step, uint8_t *segment)
{
	for (unsigned i = 0; i < step->repeat; i++)
		memcpy(segment + i * step->length, step->bytes, step->length);
	return step->repeat * step->length;
}
