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
- **password in clear**: the password came in clear, whatever became of the mail. It must be taken for known then.
- gives up: the server received nothing of the mail.

For each cell the tests check that smtpward told the same: outcome `cleartext` and the finding `cleartext-mail` where the mail
came in clear and nowhere else (`cleartext-auth` for a password), with the reason beside it; and none of the findings that the
fault cannot explain.

Every cell in clear is also played in block mode: there no command of the mail and no password may reach the server.

Postfix is watched for one attempt to deliver. Where it defers the mail after a failed handshake, a later attempt goes in clear at
level `may`: it does so once the message is some minutes old.

## What to take from it

{advice}
"""

ADVICE = """1. **Insist.** Of the programs that were told to insist on TLS {insisting}.
   Of those that use it where it is offered, every one sent the mail in clear when STARTTLS was taken out of the server's
   reply. Opportunistic TLS helps against those who listen, not against those who can change a byte.
2. The setting that insists: swaks `-tls`; Python's `smtplib`: call `starttls()` always and let its exception end the session;
   Postfix `smtp_tls_security_level = encrypt` (better: `verify` or `secure`); Exim `hosts_require_tls`; OpenSMTPD
   `relay host smtp+tls://…`; msmtp `tls on`; curl `--ssl-reqd`; nodemailer `requireTLS: true`; s-nail `smtp-use-starttls`.
3. A refused STARTTLS is followed by mail on the same connection (Postfix, Exim, OpenSMTPD, curl, swaks). A handshake
   that fails is followed by a new connection in clear with Exim and OpenSMTPD, and by mail on the same one with swaks. So a
   firewall that lets STARTTLS through and breaks the handshake costs as much as one that strips it.
4. Postfix at level `may` falls for a greeting of asterisks although STARTTLS works behind it: it takes the server for a Cisco
   PIX and says HELO.
5. Where the program has a password, it goes the same way as the mail: opportunistic TLS gives it to whoever takes STARTTLS out
   of a reply. TLS from the first byte (port 465) leaves nothing to strip: no program sent anything in clear there.
6. msmtp and s-nail know no opportunistic TLS: STARTTLS is used always or never."""


def in_clear(word):
    return word in (matrix.CLEAR, matrix.CLEAR_ANEW, matrix.SECRET)


def advice(known):
    gave_in = [f"{sender.title} {sender.note} at *{fault.name}*" for fault, sender in matrix.CELLS
               if not sender.name.endswith("-may") and in_clear(known.get(fault.name, {}).get(sender.name))]
    return ADVICE.format(insisting="these sent in clear: " + "; ".join(gave_in) if gave_in else "none sent a byte of the mail in clear")


def table(known, faults, senders):
    yield "| fault | what is done | " + " | ".join(f"{s.title} {s.note}" for s in senders) + " |"
    yield "|---|---|" + "---|" * len(senders)
    for fault in faults:
        row = known.get(fault.name, {})
        cells = [matrix.WORDS.get(row.get(sender.name), "–") for sender in senders]
        yield f"| {fault.name} | {fault.what} | " + " | ".join(cells) + " |"


def text():
    known = matrix.load()
    opportunistic = [s for s in matrix.SENDERS if s.name.endswith("-may")]
    insisting = [s for s in matrix.SENDERS if s.name.endswith("-must")]
    parts = [HEAD.format(advice=advice(known)), "## TLS where it is offered", "", *table(known, matrix.FAULTS, opportunistic), "",
             "## TLS insisted on", "", *table(known, matrix.FAULTS, insisting), "",
             "## With a password", "", "On port 587, to a server that offers PLAIN and LOGIN in clear as well.", "",
             *table(known, matrix.LOGIN_FAULTS, matrix.LOGIN_SENDERS), "",
             "## TLS from the first byte", "", "On port 465.", "", *table(known, matrix.IMPLICIT_FAULTS, matrix.IMPLICIT_SENDERS), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    matrix.PAGE.write_text(text())
