/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `smtpward probe`: needs no agent. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cli.h"
#include "cli_output.h"
#include "probe.h"

#define TIMEOUT_S 60
#define SHORT 1 /* exit code: reached, but something falls short */

struct request {
	struct probe_options options;
	char host[PROBE_HOST_SIZE];
	const char *ca;
	unsigned good, reached, unknown;
};

/* ---- for people ------------------------------------------------------------------------------------------- */

static void row(const char *title, enum colour colour, const char *text)
{
	out_format("  %-12s", title);
	out_colour(colour, *text ? text : "-");
	out_format("\n");
}

static void row_list(const char *title, json_t *list)
{
	const char *separator = "";
	json_t *item;
	size_t index;

	out_format("  %-12s%s", title, json_array_size(list) ? "" : "-");
	json_array_foreach(list, index, item) {
		out_format("%s", separator);
		out_text(json_string_value(item));
		separator = ", ";
	}
	out_format("\n");
}

static void row_reply(const char *title, const char *missing, const json_t *reply, const char *code_key)
{
	long long code = member_number(reply, code_key);

	if (!code) {
		row(title, COLOUR_NONE, missing);
		return;
	}
	out_format("  %-12s%lld ", title, code);
	out_text(member_text(reply, "text"));
	out_format("\n");
}

static void print_versions(json_t *versions)
{
	const char *name, *separator = "";
	json_t *value;

	out_format("  %-12s", "versions");
	json_object_foreach(versions, name, value) {
		out_format("%s%s %s", separator, name, json_is_null(value) ? "not known" : json_is_true(value) ? "yes" : "no");
		separator = ", ";
	}
	out_format("\n");
}

static void print_tls(const json_t *tls)
{
	char text[256];

	if (!member_true(tls, "tried"))
		return;
	if (member_true(tls, "established")) {
		snprintf(text, sizeof(text), "%s, %s, %s", member_text(tls, "version"), member_text(tls, "cipher"),
			 *member_text(tls, "group") ? member_text(tls, "group") : "no key-exchange group");
		row("tls", COLOUR_NONE, text);
	} else {
		row("tls", COLOUR_BAD, member_text(tls, "error"));
	}
	print_versions(json_object_get(tls, "versions"));
}

static void print_link(const json_t *certificate)
{
	const json_t *key = json_object_get(certificate, "key"), *signature = json_object_get(certificate, "signature");
	char text[CERTIFICATE_TEXT_SIZE];

	row("certificate", COLOUR_NONE, member_text(certificate, "subject"));
	row("  issuer", COLOUR_NONE, member_text(certificate, "issuer"));
	snprintf(text, sizeof(text), "%.10s to %.10s", member_text(certificate, "not_before"),
		 member_text(certificate, "not_after"));
	row("  valid", COLOUR_NONE, text);
	snprintf(text, sizeof(text), "%s %lld, %s", member_text(key, "type"), member_number(key, "bits"),
		 member_text(signature, "algorithm"));
	row("  key", member_true(key, "weak") || member_true(signature, "weak") ? COLOUR_POOR : COLOUR_NONE, text);
	row("  sha256", COLOUR_FAINT, member_text(certificate, "sha256"));
}

static void print_certificate(const json_t *certificate)
{
	const json_t *name = json_object_get(certificate, "name"), *verify = json_object_get(certificate, "verify");
	bool trusted = member_true(certificate, "trusted");
	const char *result = member_text(name, "result");
	char text[2 * CERTIFICATE_TEXT_SIZE];
	json_t *item;
	size_t index;

	if (!json_is_object(certificate))
		return;
	json_array_foreach(json_object_get(certificate, "chain"), index, item)
		print_link(item);
	row_list("names", json_object_get(certificate, "names"));
	snprintf(text, sizeof(text), "%s: %s", member_text(name, "wanted"), result);
	row("name", strcmp(result, "mismatch") ? COLOUR_NONE : COLOUR_BAD, text);
	row("validity", strcmp(member_text(certificate, "validity"), "valid") ? COLOUR_BAD : COLOUR_NONE,
	    member_text(certificate, "validity"));
	if (trusted)
		snprintf(text, sizeof(text), "trusted: %s", member_text(certificate, "anchor"));
	else
		snprintf(text, sizeof(text), "not trusted: %s", member_text(verify, "text"));
	row("chain", trusted ? COLOUR_NONE : COLOUR_BAD, text);
}

static void print_server(const json_t *server)
{
	const json_t *auth = json_object_get(server, "auth"), *starttls = json_object_get(server, "starttls");
	const char *outcome = member_text(server, "outcome"), *error = member_text(server, "error");
	bool asked = member_true(starttls, "asked");

	out_colour(COLOUR_HEAD, member_text(server, "host"));
	out_format(" port %lld", member_number(server, "port"));
	if (json_is_integer(json_object_get(server, "preference")))
		out_format(", MX %lld", member_number(server, "preference"));
	out_format(": ");
	out_colour(*outcome ? outcome_colour(outcome) : COLOUR_BAD, *outcome ? outcome : "not reached");
	out_format("\n");
	if (*outcome) {
		row("address", COLOUR_NONE, member_text(server, "address"));
		row_reply("greeting", "", json_object_get(server, "greeting"), "code");
		row_list("offer", json_object_get(server, "offer"));
		row_reply("starttls", asked ? "no answer" : "not asked", starttls, "reply");
		print_tls(json_object_get(server, "tls"));
		row_list("auth, clear", json_object_get(auth, "before_tls"));
		row_list("auth, TLS", json_object_get(auth, "in_tls"));
		print_certificate(json_object_get(server, "certificate"));
		row_list("findings", json_object_get(server, "findings"));
	}
	if (*error)
		row("error", COLOUR_BAD, error);
}

/* ---- the request ------------------------------------------------------------------------------------------ */

static int take_option(struct request *request, int option)
{
	long long number;

	switch (option) {
	case 'p':
		if (!cli_number(optarg, 1, 65535, &number))
			return cli_usage("--port takes a number from 1 to 65535");
		request->options.port = (uint16_t)number;
		return EX_OK;
	case 't':
		if (!cli_number(optarg, 1, 3600, &number))
			return cli_usage("--timeout takes a number of seconds from 1 to 3600");
		request->options.timeout_s = (unsigned)number;
		return EX_OK;
	case 'm':
		request->options.mx = true;
		return EX_OK;
	case 'c':
		request->ca = optarg;
		return EX_OK;
	case 'n':
		request->options.name = optarg;
		return *optarg && strlen(optarg) < PROBE_HOST_SIZE ? EX_OK : cli_usage("--name takes a host name or an address");
	case '4':
		request->options.family = AF_INET;
		return EX_OK;
	case '6':
		request->options.family = AF_INET6;
		return EX_OK;
	default:
		return cli_usage("probe takes HOST, --port N, --mx, --ca FILE, --name NAME, --timeout SECONDS, -4 and -6");
	}
}

/* A host name, an address, or an address in brackets. What it is made of is looked at, since it is printed and queried. */
static int take_host(struct request *request, const char *host)
{
	size_t length = strlen(host);
	uint8_t address[16];
	char text[64];

	if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
		host++;
		length -= 2;
	}
	for (size_t i = 0; i < length; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%", host[i]))
			length = 0;
	if (!length || length >= sizeof(request->host) || host[0] == '-' || host[0] == '.')
		return cli_usage("\"%s\" is no host name and no address", printable(host, text, sizeof(text)));
	memcpy(request->host, host, length);
	request->options.host = request->host;
	if (request->options.mx && (inet_pton(AF_INET, request->host, address) == 1 || strchr(request->host, ':')))
		return cli_usage("--mx needs a domain, not an address");
	return EX_OK;
}

static int take_words(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },    { "mx", no_argument, NULL, 'm' },
		{ "ca", required_argument, NULL, 'c' },	     { "name", required_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' }, { NULL, 0, NULL, 0 },
	};
	int option, result = EX_OK;

	while (!result && (option = getopt_long(argc, argv, ":46", options, NULL)) != -1)
		result = take_option(request, option);
	if (result)
		return result;
	if (argc - optind != 1)
		return cli_usage("probe takes one HOST");
	return take_host(request, argv[optind]);
}

/* ---- the answer ------------------------------------------------------------------------------------------- */

static void probe_one(struct cli *cli, struct request *request, const char *host, int preference, json_t *servers)
{
	struct probe_server *server = calloc(1, sizeof(*server));
	json_t *object;

	if (!server)
		return;
	snprintf(server->host, sizeof(server->host), "%s", host);
	snprintf(server->name, sizeof(server->name), "%s", request->options.name ? request->options.name : host);
	server->port = request->options.port;
	server->preference = preference;
	probe_run(&request->options, server);
	request->good += probe_is_good(server);
	request->reached += server->outcome != NULL;
	request->unknown += server->unknown_host;
	object = probe_json(server);
	if (!cli->json && object)
		print_server(object);
	out_flush();
	json_array_append_new(servers, object);
	free(server);
}

/* Returns EX_OK, or an exit code after it has put one line into error. */
static int probe_mx(struct cli *cli, struct request *request, json_t *servers, char *error, size_t error_size)
{
	struct probe_mx list[PROBE_MX_MAX];
	int count = probe_mx_lookup(request->host, request->options.timeout_s, list, error, error_size);

	if (count < 0)
		return count == -EAGAIN ? EX_UNAVAILABLE : EX_NOHOST;
	if (!count)
		probe_one(cli, request, request->host, -1, servers);
	for (int i = 0; i < count; i++)
		probe_one(cli, request, list[i].host, list[i].preference, servers);
	return EX_OK;
}

static int exit_code(const struct request *request, const json_t *servers)
{
	size_t count = json_array_size(servers);

	if (!request->reached)
		return count && request->unknown == count ? EX_NOHOST : EX_UNAVAILABLE;
	return request->good == count ? EX_OK : SHORT;
}

/* The system's resolver knows no limit of time but this. */
static void limit_resolver(unsigned timeout_s)
{
	char text[64];
	snprintf(text, sizeof(text), "timeout:%u attempts:2", timeout_s >= 20 ? 5 : timeout_s >= 8 ? timeout_s / 4 : 2);
	setenv("RES_OPTIONS", text, 0);
}

static int probe_all(struct cli *cli, struct request *request)
{
	json_t *servers = json_array(), *answer;
	char error[512] = "";
	int result = EX_OK;

	limit_resolver(request->options.timeout_s);
	if (request->options.mx)
		result = probe_mx(cli, request, servers, error, sizeof(error));
	else
		probe_one(cli, request, request->host, -1, servers);
	if (!result)
		result = exit_code(request, servers);
	if (!cli->json && *error)
		fprintf(stderr, "smtpward: %s\n", error);
	answer = json_pack("{s:s,s:i,s:b,s:o,s:o}", "host", request->host, "port", (int)request->options.port, "mx",
			   request->options.mx, "error", *error ? json_string(error) : json_null(), "servers", servers);
	if (cli->json)
		out_json(answer);
	json_decref(answer);
	return result;
}

int cli_probe(struct cli *cli, int argc, char **argv)
{
	struct request request = { .options = { .port = 25, .timeout_s = TIMEOUT_S } };
	struct certificate_store *store;
	char error[512];
	int result = take_words(&request, argc, argv);

	if (result)
		return result;
	store = certificate_store_open(request.ca, error, sizeof(error));
	if (!store) {
		fprintf(stderr, "smtpward: %s\n", error);
		return EX_NOINPUT;
	}
	request.options.store = store;
	result = probe_all(cli, &request);
	certificate_store_free(store);
	return result;
}
