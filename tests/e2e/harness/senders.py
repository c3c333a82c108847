# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Every program that sends mail to server.example, by the check that it makes of the server's certificate: one list for the tests of
the programs themselves and for those of what the agent says of them.

A sender is a function of a Bench that returns a programs.Result.
"""
import dataclasses
import typing

from . import programs
from .lab import sh

HOST = "server.example"


def fingerprint(certificate):
    told = sh("openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256")
    return told.stdout.strip().split("=")[1]


@dataclasses.dataclass
class Bench:
    """What a sender is run with: fixtures are asked for by name, so that a mail server's root is made only where it is used."""
    lab: object
    ca: object
    fixture: typing.Callable
    certificate: str = "good"
    host: str = HOST

    @property
    def trust(self):
        return self.ca / "ca.pem"


def program(function, verify):
    return lambda bench: function(bench.lab, bench.host, tls="must", verify=verify, trust=bench.trust)


def node(verify):
    def send(bench):
        bench.fixture("nodemailer")
        return programs.nodemailer(bench.lab, bench.host, verify=verify, trust=bench.trust)
    return send


def own_verify(bench):
    return programs.own_verify(bench.lab, "192.0.2.2", name=bench.host)


def postfix(level, nexthop="[server.example]:25", **parameters):
    def send(bench):
        pin = fingerprint(bench.ca / f"{bench.certificate}.pem")
        given = {key: value.format(fingerprint=pin) for key, value in parameters.items()}
        return bench.fixture("postfix_sender").deliver(level, nexthop, **{"smtp_tls_CAfile": "/etc/postfix/ca.pem", **given})
    return send


def exim(verify):
    return lambda bench: bench.fixture("exim_sender").deliver(verify, bench.host)


def opensmtpd(tls):
    return lambda bench: bench.fixture("opensmtpd_sender").deliver(tls)


PINNED = {"smtp_tls_fingerprint_cert_match": "{fingerprint}"}
REUSE = {"smtp_tls_connection_reuse": "yes"}
BY_ADDRESS = "[192.0.2.2]:25"

# Those that check chain and name, and refuse.
STRICT = {
    "smtplib": program(programs.smtplib, "chain+name"),
    "msmtp": program(programs.msmtp, "chain+name"),
    "curl": program(programs.curl, "chain+name"),
    "s_client": program(programs.s_client, "chain+name"),
    "nodemailer": node("chain+name"),
    "ruby": program(programs.net_smtp_ruby, "chain+name"),
    "perl": program(programs.net_smtp_perl, "chain+name"),
    "postfix verify": postfix("verify"),
    "postfix secure": postfix("secure"),
    "postfix secure, matched": postfix("secure", BY_ADDRESS, smtp_tls_secure_cert_match="server.example"),
    "postfix verify, matched": postfix("verify", BY_ADDRESS, smtp_tls_verify_cert_match="server.example"),
    "postfix verify, reuse": postfix("verify", **REUSE),
    "postfix secure, reuse": postfix("secure", **REUSE),
    "exim must": exim("must"),
    "opensmtpd tls": opensmtpd("must"),
}

# Those that check the chain only, and refuse.
CHAIN_ONLY = {
    "swaks, chain": program(programs.swaks, "chain"),
    "smtplib, chain": program(programs.smtplib, "chain"),
    "s_client, chain": program(programs.s_client, "chain"),
}

# Those that have the one certificate pinned; whose it is and until when does not matter.
PINNING = {
    "postfix fingerprint": postfix("fingerprint", **PINNED),
    "postfix fingerprint, reuse": postfix("fingerprint", **PINNED, **REUSE),
}

# Those that go on with any certificate.
LAX = {
    "swaks, lax": program(programs.swaks, None),
    "smtplib, lax": program(programs.smtplib, None),
    "msmtp, lax": program(programs.msmtp, None),
    "curl, lax": program(programs.curl, None),
    "s_client, lax": program(programs.s_client, None),
    "nodemailer, lax": node(None),
    "ruby, lax": program(programs.net_smtp_ruby, None),
    "perl, lax": program(programs.net_smtp_perl, None),
    "own_verify": own_verify,
    "postfix may": postfix("may"),
    "postfix encrypt": postfix("encrypt"),
    "postfix may, no CA": postfix("may", smtp_tls_CAfile=""),
    "postfix may, reuse": postfix("may", **REUSE),
    "postfix encrypt, reuse": postfix("encrypt", **REUSE),
    "exim try": exim("try"),
    "exim no": exim("no"),
    "opensmtpd no-verify": opensmtpd("no-verify"),
    "opensmtpd may": opensmtpd("may"),
}

SENDERS = {**STRICT, **CHAIN_ONLY, **PINNING, **LAX}
