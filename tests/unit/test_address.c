/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses as text: as the C library writes them, IPv4 without its prefix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "address.h"

static void check(const uint8_t address[16], int family)
{
	char text[ADDRESS_TEXT_SIZE], wanted[INET6_ADDRSTRLEN];
	uint8_t read_back[16];
	assert_non_null(inet_ntop(family, address + (family == AF_INET ? 12 : 0), wanted, sizeof(wanted)));
	assert_string_equal(address_text(address, text), wanted);
	assert_true(address_parse(text, read_back));
	assert_memory_equal(read_back, address, sizeof(read_back));
}

static void test_ipv4(void **state)
{
	uint8_t address[16] = { [10] = 0xff, [11] = 0xff };
	(void)state;
	for (unsigned place = 12; place < 16; place++) {
		for (unsigned value = 0; value < 256; value++) {
			address[place] = (uint8_t)value;
			check(address, AF_INET);
		}
		address[place] = (uint8_t)(place * 7);
	}
}

static void test_ipv6(void **state)
{
	static const uint8_t addresses[][16] = { { 0 }, { [15] = 1 }, { 0x20, 1, 0xd, 0xb8, [15] = 7 }, { 0xfe, 0x80, [8] = 1, [12] = 0xff } };
	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		check(addresses[i], AF_INET6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
