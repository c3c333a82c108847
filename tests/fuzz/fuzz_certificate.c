/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the check of certificates. The input: a piece that is the name wanted, and pieces that are the chain in DER,
 * the peer's own first. No chain of the fuzzer's is trusted, what is told can be shown, and a second check says the same.
 */
#include "certificate.h"
#include "fuzz.h"

#define NOW 1700000000

static void check_text(const char *text, size_t size)
{
	REQUIRE(memchr(text, 0, size) != NULL);
	for (; *text; text++)
		REQUIRE((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_result(const struct certificate_check *check, unsigned count)
{
	REQUIRE(check->count + check->unread <= count && check->count <= TLS_CERTIFICATES_MAX);
	for (unsigned i = 0; i < check->count; i++) {
		const struct certificate *certificate = &check->list[i];
		check_text(certificate->subject, sizeof(certificate->subject));
		check_text(certificate->issuer, sizeof(certificate->issuer));
		check_text(certificate->serial, sizeof(certificate->serial));
		check_text(certificate->key_type, sizeof(certificate->key_type));
		check_text(certificate->signature, sizeof(certificate->signature));
	}
	REQUIRE(check->name_count <= CERTIFICATE_NAMES_MAX && check->name_count <= check->name_total);
	for (unsigned i = 0; i < check->name_count; i++)
		check_text(check->names[i], sizeof(check->names[i]));
	check_text(check->anchor, sizeof(check->anchor));
	REQUIRE(certificate_validity_name(check->validity) && certificate_name_result_name(check->name));
	REQUIRE(!certificate_is_good(check) || (check->readable && check->trusted));
}

static unsigned read_chain(struct fuzz_input *input, struct tls_certificate chain[TLS_CERTIFICATES_MAX])
{
	unsigned count = 0;
	while (input->left && count < TLS_CERTIFICATES_MAX) {
		size_t length;
		const uint8_t *piece = fuzz_piece(input, &length);
		uint8_t *copy = malloc(length ? length : 1);
		REQUIRE(copy != NULL);
		memcpy(copy, piece, length);
		chain[count].der = copy;
		chain[count++].length = length;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct certificate_store *store;
	static struct certificate_check check, again;
	struct tls_certificate chain[TLS_CERTIFICATES_MAX] = { 0 };
	struct fuzz_input input = { data, size };
	char name[300] = "", error[256];
	size_t length;

	if (!store)
		store = certificate_store_open(NULL, error, sizeof(error));
	REQUIRE(store != NULL);
	const uint8_t *wanted = fuzz_piece(&input, &length);
	memcpy(name, wanted, length < sizeof(name) ? length : sizeof(name) - 1);
	unsigned count = read_chain(&input, chain);
	memset(&check, 0, sizeof(check));
	memset(&again, 0, sizeof(again));
	int result = certificate_check(store, chain, count, name, NOW, &check);
	REQUIRE(certificate_check(store, chain, count, name, NOW, &again) == result);
	REQUIRE(memcmp(&check, &again, sizeof(check)) == 0);
	if (result == 0)
		check_result(&check, count);
	else
		REQUIRE(check.untrusted);
	for (unsigned i = 0; i < count; i++)
		free((void *)(uintptr_t)chain[i].der);
	return 0;
}
