/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "path.h"

static const char *const titles[] = {
#define X(id, title) [CATALOGUE_##id] = title,
	CATALOGUE_GROUPS(X)
#undef X
};

static void write_findings(FILE *out, uint32_t findings)
{
	bool any = false;
	for (unsigned finding = 0; finding < FINDING_COUNT; finding++) {
		if (!(findings & FINDING_MASK(finding)))
			continue;
		fprintf(out, "%s%s", any ? ", " : "", finding_name((enum finding)finding));
		any = true;
	}
	if (!any)
		fputs("–", out);
}

/* What would end a cell or be read as markup. */
static void write_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("|*_<", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void write_row(FILE *out, const struct scenario *scenario)
{
	fprintf(out, "| %s | ", scenario->name);
	write_text(out, scenario->what);
	fprintf(out, " | %s | ", outcome_name(scenario->outcome));
	write_findings(out, scenario->findings);
	fputs(" | ", out);
	write_text(out, scenario->source);
	fputs(" |\n", out);
}

void markdown_write(FILE *out)
{
	size_t count;
	const struct scenario *list = scenarios(&count);
	fprintf(out,
		"# The catalogue of attacks\n\n"
		"Every way known to us to keep a mail connection from being encrypted, or from being encrypted well, and what\n"
		"smtpward makes of it: %zu cases. Each is a row of bytes in `tests/`, played through the dialogue machine in user\n"
		"space, over real sockets through the kernel, and as a capture file through `smtpward read`, and must come to the\n"
		"same on all three. This page is written by `make catalogue_page`, and a test holds it to the cases.\n\n"
		"*Outcome* and *findings* are those of the session as a whole, seen to its end, with the default policy (and, for\n"
		"certificates, without the word of the sender's own TLS library). They are explained in [findings.md](findings.md).\n"
		"Where the client is said to take or to refuse something, that is its choice: both are in the list, since both are met.\n",
		count);
	for (unsigned group = CATALOGUE_NOT + 1; group < CATALOGUE_GROUP_COUNT; group++) {
		fprintf(out, "\n## %s\n\n| name | what is done | outcome | findings | known from |\n|---|---|---|---|---|\n", titles[group]);
		for (size_t i = 0; i < count; i++)
			if (list[i].group == group)
				write_row(out, &list[i]);
	}
}
