/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "dialogue_run.h"

static bool play_piece(struct dialogue_run *run, enum vector_side side, const uint8_t *bytes, size_t length)
{
	if (side == VECTOR_CLIENT)
		return length == 0 || dialogue_run_client(run, bytes, length);
	dialogue_run_server(run, bytes, length);
	return true;
}

static bool play(struct dialogue_run *run, enum vector_side side, const uint8_t *bytes, size_t length, size_t first,
		 size_t piece)
{
	if (!play_piece(run, side, bytes, first))
		return false;
	for (size_t at = first; at < length; at += piece) {
		size_t size = length - at < piece ? length - at : piece;
		if (!play_piece(run, side, bytes + at, size))
			return false;
	}
	return true;
}

void dialogue_run_begin(struct dialogue_run *run, const struct vector *vector, uint8_t mode, const struct policy_rule *rule)
{
	dialogue_run_start(run, vector->implicit_tls, mode, rule);
	if (vector->midway)
		dialogue_run_midway(run);
}

unsigned dialogue_run_vector(struct dialogue_run *run, const struct vector *vector, uint8_t mode,
			     const struct policy_rule *rule, const struct dialogue_cut *cut)
{
	static uint8_t segment[VECTOR_SEGMENT_MAX];
	unsigned count = vector_steps(vector);
	dialogue_run_begin(run, vector, mode, rule);
	for (unsigned i = 0; i < count; i++) {
		enum vector_side side = vector->steps[i].side;
		size_t length = vector_segment(&vector->steps[i], segment);
		size_t first = cut && !cut->every_byte && cut->step == (int)i ? cut->at : 0;
		bool passed = play(run, side, segment, length, first, cut && cut->every_byte ? 1 : length);
		if (!passed)
			return i + 1;
	}
	return 0;
}
