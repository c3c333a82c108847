# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""docs/clients.md, made of what the senders did (matrix.json). Run as a program, it writes the page."""
import pathlib
import sys

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import matrix  # noqa: E402

HEAD = """# What mail programs do when TLS is attacked

An attacker on the way between a mail program and its server need not break TLS: most attacks only keep it from coming about,
and then count on the program to send the mail all the same. This page tells which programs do. Each cell is a mail really sent
by the program as Debian 12 ships it (nodemailer: version 6) to a server that makes the fault named on the left, and what that
server received:

- TLS: the mail came encrypted. No program here was told to check certificates, so this says nothing of the server's identity.
- **in clear**: the mail came in clear. *New connection*: a first one failed, and the program opened another one without TLS.
- gives up: the server received nothing of the mail.

For each cell the tests check that smtpward told the same: outcome `cleartext` and the finding `cleartext-mail` where the mail
came in clear and nowhere else, with the reason beside it; and none of the findings that the fault cannot explain.

Postfix is watched for one attempt to deliver. Where it defers the mail after a failed handshake, a later attempt goes in clear at
level `may`: it does so once the message is some minutes old.

## What to take from it

{advice}
"""

ADVICE = """1. Programs that were told to insist (the second column of each pair) gave up in every case but where TLS came about.
   Opportunistic TLS protects against who listens, never against who is able to change a byte.
2. The setting that insists: {notes}.
3. msmtp and s-nail know no opportunistic TLS: STARTTLS is used always or never."""

INSIST = {"swaks": "swaks `-tls`", "smtplib": "Python's `smtplib`: call `starttls()` always and let its exception end the session",
          "Postfix": "Postfix `smtp_tls_security_level = encrypt` (better: `verify` or `secure`)",
          "Exim": "Exim `hosts_require_tls`", "OpenSMTPD": "OpenSMTPD `relay … tls`", "curl": "curl `--ssl-reqd`",
          "nodemailer": "nodemailer `requireTLS: true`"}


def insisting_ones_never_gave_in(known):
    return all(row.get(sender.name) in (matrix.TLS, matrix.NOTHING) for row in known.values() for sender in matrix.SENDERS
               if sender.name.endswith("-must"))


def exceptions(known):
    """Senders that were told to insist and sent in clear, by fault."""
    for fault, row in known.items():
        for sender in matrix.SENDERS:
            if sender.name.endswith("-must") and row.get(sender.name) in (matrix.CLEAR, matrix.CLEAR_ANEW):
                yield f"{sender.title} ({sender.note}) at *{fault}*"


def advice(known):
    notes = "; ".join(INSIST.values())
    text = ADVICE.format(notes=notes)
    if not insisting_ones_never_gave_in(known):
        first, rest = text.split("2. ", 1)
        first = ("1. Programs that were told to insist (the second column of each pair) gave up, or TLS came about, but for these, which\n"
                 "   sent in clear: " + "; ".join(exceptions(known)) + ".\n"
                 "   Opportunistic TLS protects against who listens, never against who is able to change a byte.\n")
        text = first + "2. " + rest
    return text


def table(known, senders):
    yield "| fault | what is done | " + " | ".join(f"{s.title} {s.note}" for s in senders) + " |"
    yield "|---|---|" + "---|" * len(senders)
    for fault in matrix.FAULTS:
        row = known.get(fault.name, {})
        cells = [matrix.WORDS.get(row.get(sender.name), "–") for sender in senders]
        yield f"| {fault.name} | {fault.what} | " + " | ".join(cells) + " |"


def text():
    known = matrix.load()
    opportunistic = [s for s in matrix.SENDERS if s.name.endswith("-may")]
    insisting = [s for s in matrix.SENDERS if s.name.endswith("-must")]
    parts = [HEAD.format(advice=advice(known)), "## TLS where it is offered", "", *table(known, opportunistic), "", "## TLS insisted on", "",
             *table(known, insisting), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    matrix.PAGE.write_text(text())
