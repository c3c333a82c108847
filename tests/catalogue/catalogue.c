/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plays the catalogue of attacks through every path there is, prints a table, and fails where a path makes anything else of a
 * case than what is written down. With --markdown: writes docs/catalogue.md to standard output.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "must.h"
#include "path.h"

#define PAGE_MAX (1 << 20)
#define CUT_LENGTH_MAX 8000

enum way { USER_SPACE, KERNEL, CAPTURE, WAYS };

static const char *const way_names[WAYS] = { "user space", "kernel", "capture" };
static char results[WAYS][1000]; /* 0: not played, 'y', 'n' */

size_t piece_max = SIZE_MAX;

static void play_all(enum way way, void (*path)(const struct scenario *scenario, struct conclusion *conclusion))
{
	struct conclusion conclusion;
	unsigned failed = 0;
	size_t count;
	const struct scenario *list = scenarios(&count);
	MUST(count <= sizeof(results[0]));
	for (size_t i = 0; i < count; i++) {
		results[way][i] = 'n'; /* should it not come back */
		path(&list[i], &conclusion);
		results[way][i] = conclusion_fits(&list[i], way_names[way], &conclusion) ? 'y' : 'n';
		failed += results[way][i] == 'n';
	}
	assert_int_equal(failed, 0);
}

static void through_user_space(void **state)
{
	(void)state;
	play_all(USER_SPACE, user_path);
}

static void through_the_kernel(void **state)
{
	(void)state;
	lab_needed();
	play_all(KERNEL, kernel_path);
}

static void through_a_capture_file(void **state)
{
	(void)state;
	play_all(CAPTURE, capture_path);
}

/* Whether a case is one that may be cut, and not so long that cutting it takes a while. */
static bool is_cut(const struct scenario *scenario)
{
	size_t length = 0;
	bool whole = false;
	for (unsigned flow = 0; flow < SCENARIO_FLOWS_MAX && scenario->flows[flow].vector; flow++) {
		const struct vector *vector = scenario->flows[flow].vector;
		whole |= vector->whole_only != NULL;
		for (unsigned i = 0; i < vector_steps(vector); i++)
			length += vector->steps[i].length * vector->steps[i].repeat;
	}
	return !whole && length < CUT_LENGTH_MAX;
}

static void play_cut(const char *label, void (*path)(const struct scenario *scenario, struct conclusion *conclusion), size_t piece)
{
	struct conclusion conclusion;
	unsigned failed = 0, played = 0;
	size_t count;
	const struct scenario *list = scenarios(&count);
	piece_max = piece;
	for (size_t i = 0; i < count; i++) {
		if (!is_cut(&list[i]))
			continue;
		path(&list[i], &conclusion);
		played++;
		failed += !conclusion_fits(&list[i], label, &conclusion);
	}
	piece_max = SIZE_MAX;
	assert_int_equal(failed, 0);
	assert_true(played > count * 3 / 4);
}

static void the_same_cut_small_in_user_space(void **state)
{
	(void)state;
	play_cut("user space, byte by byte", user_path, 1);
}

/* Not byte by byte: the ring is read at the end only. */
static void the_same_cut_small_in_the_kernel(void **state)
{
	(void)state;
	lab_needed();
	play_cut("kernel, in small segments", kernel_path, 23);
}

static void the_same_cut_small_in_a_capture_file(void **state)
{
	(void)state;
	play_cut("capture, byte by byte", capture_path, 1);
}

/* Every chapter has cases, every case its words, and no name is given twice. */
static void cases_are_well_formed(void **state)
{
	size_t count, in_group[CATALOGUE_GROUP_COUNT] = { 0 };
	const struct scenario *list = scenarios(&count);
	(void)state;
	for (size_t i = 0; i < count; i++) {
		assert_non_null(list[i].what);
		assert_non_null(list[i].source);
		in_group[list[i].group]++;
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(list[i].name, list[other].name);
		/* a trap raises nothing, or nothing but what really happened in clear */
		if (list[i].group == CATALOGUE_TRAP && list[i].outcome != OUTCOME_CLEARTEXT)
			assert_int_equal(list[i].findings, 0);
	}
	assert_int_equal(in_group[CATALOGUE_NOT], 0);
	for (unsigned group = CATALOGUE_NOT + 1; group < CATALOGUE_GROUP_COUNT; group++)
		assert_true(in_group[group] > 0);
}

static void the_page_tells_of_these(void **state)
{
	static char text[PAGE_MAX], page[PAGE_MAX];
	FILE *memory = fmemopen(text, sizeof(text), "w"), *file = fopen("docs/catalogue.md", "re");
	(void)state;
	assert_non_null(memory);
	markdown_write(memory);
	size_t size = (size_t)ftell(memory);
	fclose(memory);
	if (!file)
		fail_msg("docs/catalogue.md is not here: run this in the project's folder");
	size_t length = fread(page, 1, sizeof(page), file);
	fclose(file);
	if (length != size || memcmp(page, text, size) != 0)
		fail_msg("docs/catalogue.md is not up to date: make catalogue_page");
}

static void print_table(void)
{
	size_t count, played = 0, good = 0;
	const struct scenario *list = scenarios(&count);
	printf("%-52s", "case");
	for (unsigned way = 0; way < WAYS; way++)
		printf(" %-12s", way_names[way]);
	for (size_t i = 0; i < count; i++) {
		printf("\n%-52s", list[i].name);
		for (unsigned way = 0; way < WAYS; way++) {
			char result = results[way][i];
			printf(" %-12s", result == 'y' ? "same" : result == 'n' ? "DIFFERS" : "not played");
			played += result != 0;
			good += result == 'y';
		}
	}
	printf("\n%zu cases, %zu plays, %zu as written down\n", count, played, good);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases_are_well_formed),
		cmocka_unit_test(through_user_space),
		cmocka_unit_test(through_the_kernel),
		cmocka_unit_test(through_a_capture_file),
		cmocka_unit_test(the_same_cut_small_in_user_space),
		cmocka_unit_test(the_same_cut_small_in_the_kernel),
		cmocka_unit_test(the_same_cut_small_in_a_capture_file),
		cmocka_unit_test(the_page_tells_of_these),
	};
	if (argc == 2 && strcmp(argv[1], "--markdown") == 0) {
		markdown_write(stdout);
		return 0;
	}
	int failed = cmocka_run_group_tests(tests, lab_setup, lab_teardown);
	print_table();
	return failed;
}
