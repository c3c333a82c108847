/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <syslog.h>

#include "finding.h"

static void names_lead_back_to_their_value(void **state)
{
	(void)state;
	for (int i = 0; i < FINDING_COUNT; i++)
		assert_int_equal(finding_by_name(finding_name((enum finding)i)), i);
	for (int i = 0; i < OUTCOME_COUNT; i++)
		assert_int_equal(outcome_by_name(outcome_name((enum outcome)i)), i);
	for (int i = 0; i < SEVERITY_COUNT; i++)
		assert_int_equal(severity_by_name(severity_name((enum severity)i)), i);
}

static void other_names_lead_nowhere(void **state)
{
	static const char *const wrong[] = { "", "cleartext", "CLEARTEXT-AUTH", "cleartext-auth ", "nothing" };
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(finding_by_name(wrong[i]), -1);
		assert_int_equal(severity_by_name(wrong[i]), -1);
	}
	assert_int_equal(outcome_by_name("cleartext-auth"), -1);
}

static void severity_rises_as_the_syslog_level_falls(void **state)
{
	(void)state;
	for (int i = 1; i < SEVERITY_COUNT; i++)
		assert_true(severity_syslog((enum severity)i) < severity_syslog((enum severity)(i - 1)));
	assert_int_equal(severity_syslog(SEVERITY_CRITICAL), LOG_CRIT);
}

static void assert_text(const char *text)
{
	assert_non_null(text);
	assert_true(strlen(text) > 0);
	for (; *text; text++)
		assert_in_range((unsigned char)*text, 0x20, 0x7e);
}

static void every_text_is_there_and_printable(void **state)
{
	(void)state;
	for (int i = 0; i < FINDING_COUNT; i++) {
		const struct finding_text *text = finding_text((enum finding)i);
		const char *const members[] = { text->summary, text->meaning, text->signature, text->severity,
						text->postfix, text->exim, text->opensmtpd, text->msmtp,
						text->application, text->rfc8460, text->attack, text->control };
		_Static_assert(sizeof(members) + sizeof(text->first) == sizeof(*text), "all members are looked at");
		if (text->first)
			assert_text(text->first);
		for (size_t j = 0; j < sizeof(members) / sizeof(members[0]); j++)
			assert_text(members[j]);
		assert_int_not_equal(text->summary[strlen(text->summary) - 1], '.');
	}
}

/* RFC 8460 section 4.3, the negotiation and general failures. */
static void result_types_are_those_of_the_rfc(void **state)
{
	static const char *const types[] = { "none", "starttls-not-supported", "certificate-host-mismatch",
					     "certificate-expired", "certificate-not-trusted", "validation-failure" };
	(void)state;
	for (int i = 0; i < FINDING_COUNT; i++) {
		const char *type = finding_text((enum finding)i)->rfc8460;
		size_t j = 0;
		while (j < sizeof(types) / sizeof(types[0]) && strcmp(types[j], type))
			j++;
		assert_true(j < sizeof(types) / sizeof(types[0]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_lead_back_to_their_value),
		cmocka_unit_test(other_names_lead_nowhere),
		cmocka_unit_test(severity_rises_as_the_syslog_level_falls),
		cmocka_unit_test(every_text_is_there_and_printable),
		cmocka_unit_test(result_types_are_those_of_the_rfc),
	};
	return cmocka_run_group_tests_name("finding", tests, NULL, NULL);
}
