/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `smtpward explain`: needs no agent. */
#include <string.h>
#include <sysexits.h>

#include "cli.h"
#include "cli_output.h"
#include "finding.h"

static const struct {
	const char *key;
	size_t offset;
	const char *title;
} members[] = {
	{ "meaning", offsetof(struct finding_text, meaning), NULL },
	{ "signature", offsetof(struct finding_text, signature), "On the wire" },
	{ "severity", offsetof(struct finding_text, severity), "Severity" },
	{ "first", offsetof(struct finding_text, first), "First" },
	{ "postfix", offsetof(struct finding_text, postfix), "Postfix" },
	{ "exim", offsetof(struct finding_text, exim), "Exim" },
	{ "opensmtpd", offsetof(struct finding_text, opensmtpd), "OpenSMTPD" },
	{ "msmtp", offsetof(struct finding_text, msmtp), "msmtp" },
	{ "application", offsetof(struct finding_text, application), "Applications" },
	{ "rfc8460", offsetof(struct finding_text, rfc8460), "TLSRPT result type (RFC 8460)" },
	{ "attack", offsetof(struct finding_text, attack), "MITRE ATT&CK" },
	{ "control", offsetof(struct finding_text, control), "Controls" },
};

_Static_assert(sizeof(members) / sizeof(members[0]) + 1 == sizeof(struct finding_text) / sizeof(char *),
	       "all but the summary, which stands on top");

static const char *member(const struct finding_text *text, size_t offset)
{
	return *(const char *const *)(const void *)((const char *)text + offset);
}

static json_t *explain_json(enum finding finding)
{
	const struct finding_text *text = finding_text(finding);
	json_t *object = json_pack("{s:s,s:s}", "finding", finding_name(finding), "summary", text->summary);

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		{
		const char *words = member(text, members[i].offset);
		json_object_set_new(object, members[i].key, words ? json_string(words) : json_null());
	}
	return object;
}

static void explain_print(enum finding finding)
{
	const struct finding_text *text = finding_text(finding);

	out_colour(COLOUR_HEAD, finding_name(finding));
	out_format(": %s\n\n", text->summary);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (!member(text, members[i].offset))
			continue;
		if (members[i].title) {
			out_format("\n");
			out_colour(COLOUR_HEAD, members[i].title);
			out_format("\n");
		}
		out_paragraph(2, member(text, members[i].offset));
	}
}

static void explain_all(const struct cli *cli)
{
	static const char *const headers[] = { "FINDING", "SUMMARY", NULL };
	json_t *rows = cli->json ? json_array() : NULL;
	struct table *table = cli->json ? NULL : table_new(headers);

	for (int i = 0; i < FINDING_COUNT; i++) {
		if (cli->json)
			json_array_append_new(rows, explain_json((enum finding)i));
		table_cell(table, COLOUR_NONE, finding_name((enum finding)i));
		table_cell(table, COLOUR_NONE, finding_text((enum finding)i)->summary);
	}
	table_print(table);
	if (cli->json) {
		json_t *object = json_pack("{s:o}", "findings", rows);
		out_json(object);
		json_decref(object);
	}
}

int cli_explain(struct cli *cli, int argc, char **argv)
{
	char text[64];
	int finding;

	if (argc > 2)
		return cli_usage("explain takes one finding, or none to list them");
	if (argc < 2) {
		explain_all(cli);
		return EX_OK;
	}
	finding = finding_by_name(argv[1]);
	if (finding < 0)
		return cli_usage("there is no finding \"%s\"; \"smtpward explain\" lists them",
				 printable(argv[1], text, sizeof(text)));
	if (cli->json) {
		json_t *object = explain_json((enum finding)finding);
		out_json(object);
		json_decref(object);
	} else {
		explain_print((enum finding)finding);
	}
	return EX_OK;
}
