/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Writes the fuzzer's seeds, real handshakes without what is encrypted, into the directory given. Run when the seeds
 * are to be made anew; they are kept in the tree. */
#include <stdio.h>

#include "../unit/tls_pair.h"

#define ENCRYPTED_KEPT 64

static const char *directory;

/* Each turn as the fuzzer reads it: flags, length, bytes; but for one that only goes on with encrypted records. */
static void write_tape(const char *name, const struct tape *tape)
{
	char path[4096];
	size_t at[2] = { 0, 0 };
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "w");
	for (size_t i = 0; file && i < tape->turn_count; i++) {
		enum direction direction = tape->turns[i].direction;
		const uint8_t *bytes = tape->bytes[direction] + at[direction];
		size_t n = tape->turns[i].n;
		at[direction] += n;
		if (bytes[0] == 23 && n > ENCRYPTED_KEPT)
			n = ENCRYPTED_KEPT;
		fputc(direction == FROM_SERVER, file);
		fputc((int)(n >> 8), file);
		fputc((int)(n & 0xff), file);
		fwrite(bytes, 1, n, file);
	}
	if (!file || fclose(file) != 0)
		perror(path);
}

static void write_version(const char *name, int version, const char *ciphers)
{
	struct pair *pair = pair_new();
	char again[64];
	use_identity(pair->server_context, &ec_identity);
	use_identity(pair->server_context, &rsa_identity);
	SSL_CTX_set_min_proto_version(pair->server_context, version);
	SSL_CTX_set_max_proto_version(pair->server_context, version);
	if (ciphers)
		SSL_CTX_set_cipher_list(pair->server_context, ciphers);
	pair_ready(pair);
	SSL_set_tlsext_host_name(pair->client, "mail.example.com");
	pair_play(pair);
	write_tape(name, &pair->tape);
	pair_play_again(pair);
	snprintf(again, sizeof(again), "%s_resumed", name);
	write_tape(again, &pair->tape);
	pair_free(pair);
}

static int accept_any(int good, X509_STORE_CTX *context)
{
	(void)context;
	return good | 1;
}

static void write_mutual(void)
{
	struct pair *pair = pair_new();
	static const unsigned char protocols[] = "\004smtp\002h2";
	SSL_CTX_set_max_proto_version(pair->server_context, TLS1_2_VERSION);
	SSL_CTX_set_verify(pair->server_context, SSL_VERIFY_PEER, accept_any);
	SSL_CTX_set_alpn_protos(pair->client_context, protocols, sizeof(protocols) - 1);
	use_identity(pair->client_context, &ec_identity);
	use_identity(pair->server_context, &ec_identity);
	SSL_CTX_set_max_send_fragment(pair->client_context, 512);
	SSL_CTX_set_max_send_fragment(pair->server_context, 512);
	SSL_CTX_add1_chain_cert(pair->server_context, ec_identity.certificate);
	pair_play(pair);
	write_tape("mutual", &pair->tape);
	pair_free(pair);
}

static void write_retry(void)
{
	struct pair *pair = pair_new();
	SSL_CTX_set1_groups_list(pair->client_context, "X25519:P-256");
	SSL_CTX_set1_groups_list(pair->server_context, "P-256");
	pair_play(pair);
	write_tape("retry", &pair->tape);
	pair_free(pair);
}

static void write_refusals(void)
{
	struct pair *pair = pair_new();
	SSL_CTX_set_verify(pair->client_context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_max_proto_version(pair->client_context, TLS1_2_VERSION);
	pair_play(pair);
	write_tape("refused_by_client", &pair->tape);
	pair_free(pair);
	pair = pair_new();
	SSL_CTX_set_max_proto_version(pair->client_context, TLS1_VERSION);
	SSL_CTX_set_min_proto_version(pair->server_context, TLS1_3_VERSION);
	pair_play(pair);
	write_tape("refused_by_server", &pair->tape);
	pair_free(pair);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 64;
	}
	directory = argv[1];
	make_identities(NULL);
	write_version("tls10", TLS1_VERSION, NULL);
	write_version("tls11", TLS1_1_VERSION, "AES128-SHA");
	write_version("tls12", TLS1_2_VERSION, NULL);
	write_version("tls12_dhe", TLS1_2_VERSION, "DHE-RSA-AES256-GCM-SHA384");
	write_version("tls12_anonymous", TLS1_2_VERSION, "ADH-AES128-SHA");
	write_version("tls13", TLS1_3_VERSION, NULL);
	write_mutual();
	write_retry();
	write_refusals();
	free_identities(NULL);
	return 0;
}
