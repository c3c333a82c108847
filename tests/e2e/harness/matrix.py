# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Real senders against faults of the server: who sends the mail in clear, who gives up, and what the agent must say of both. What
the fault-making server received is the truth; what each sender does is written down in matrix.json, and docs/clients.md is
made of that.
"""
import base64
import dataclasses
import json
import pathlib
import re
import typing

from . import programs, ROOT
from .programs import BODY, PASSWORD, SENDER, USER

ENVELOPE = f"FROM:<{SENDER}>".upper()
KNOWN = pathlib.Path(__file__).resolve().parents[1] / "matrix.json"
PAGE = ROOT / "docs" / "clients.md"
WAITING = "patience-ms=4000"  # a silent server gives up then, so that no cell lasts as long as a sender's time-out

TLS, CLEAR, CLEAR_ANEW, SECRET, NOTHING = "tls", "clear", "clear-anew", "secret", "nothing"
WORDS = {TLS: "TLS", CLEAR: "**in clear**", CLEAR_ANEW: "**in clear**, new connection", SECRET: "**password in clear**",
         NOTHING: "gives up"}


@dataclasses.dataclass
class Fault:
    """what: for the page. findings: what sessions that end in clear or without mail may be told of, beyond cleartext-mail and
    tls-fallback; must: at least one of these is told of, wherever the sender has come so far."""
    name: str
    what: str
    behaviours: tuple
    must: set = frozenset()
    may: set = frozenset()
    options: dict = dataclasses.field(default_factory=dict)
    in_tls: set = frozenset()  # told of where TLS came about
    racy: bool = False  # what comes of it may be otherwise on a slower machine
    port: int = 25

    def allowed(self):
        return self.must | self.may | self.in_tls | {"cleartext-mail", "cleartext-auth", "tls-fallback"}


def codes(name, what, option, numbers, must, **rest):
    return [Fault(f"{name}-{n}", what.format(n), (option.format(n),), must, **rest) for n in numbers]


UNUSED = {"starttls-unused"}
NOT_STARTED = {"tls-not-started"}
FAILED = {"tls-handshake-failed"}
FAULTS = [
    Fault("none", "nothing: STARTTLS is offered and works", (), may=UNUSED),
    Fault("strip", "STARTTLS is taken out of the EHLO reply", ("strip",), {"starttls-missing"}),
    Fault("empty-reply", "the EHLO reply is `250` and a blank", ("ehlo-text=250 \\r\\n",), {"starttls-missing"}),
    Fault("first-line", "STARTTLS stands on the first line of the EHLO reply, where it is no keyword",
          ("ehlo-text=250-STARTTLS\\r\\n250 SIZE\\r\\n",), {"starttls-missing"}),
    Fault("mask-xxxxxxxa", "STARTTLS becomes `XXXXXXXA`", ("mask=XXXXXXXA",), {"starttls-masked"}),
    Fault("mask-xxxxxxxx", "STARTTLS becomes `XXXXXXXX`", ("mask=XXXXXXXX",), {"starttls-masked"}),
    Fault("mask-letter", "STARTTLS becomes `STARTTLX`", ("mask=STARTTLX",), {"starttls-masked"}),
    Fault("mask-high-bit", "one letter of STARTTLS becomes another byte", ("mask=ST\\xc1RTTLS",), {"starttls-masked"}),
    Fault("mask-banner", "the greeting becomes asterisks, STARTTLS is gone", ("mask-banner", "strip"), {"starttls-masked"}),
    Fault("mask-banner-only", "the greeting becomes asterisks, STARTTLS works", ("mask-banner",), may={"starttls-masked"} | UNUSED),
    *codes("ehlo", "EHLO is answered with {}", "ehlo-code={}", (421, 500, 502, 504, 530, 550), set(), may={"ehlo-refused"}),
    Fault("ehlo-masked", "the verb EHLO is masked on its way: `500 … \"XXXX\"`",
          ("ehlo-text=500 5.5.1 Command unrecognized: \"XXXX client.example\"\\r\\n",), may={"ehlo-refused"}),
    Fault("ehlo-220", "EHLO is answered with 220 and no keywords", ("ehlo-text=220 server.example\\r\\n",), {"starttls-missing"}),
    Fault("blank-line", "a blank line inside the EHLO reply", ("ehlo-blank-line",), may=UNUSED | FAILED | {"starttls-missing"}),
    Fault("unended", "the EHLO reply never ends", ("ehlo-unended", WAITING)),
    *codes("starttls", "STARTTLS is answered with {}", "starttls-code={}", (421, 454, 500, 501, 502, 530, 554), {"starttls-refused"}),
    *codes("starttls", "STARTTLS is answered with {}", "starttls-code={}", (200, 221, 250), {"starttls-bad-reply"},
           may=NOT_STARTED, in_tls={"starttls-bad-reply"}),
    Fault("starttls-354", "STARTTLS is answered with 354", ("starttls-code=354",), {"starttls-bad-reply"}),
    Fault("starttls-lines", "the 220 in several lines", ("starttls-text=220-one\\r\\n220 two\\r\\n",)),
    Fault("starttls-silent", "STARTTLS is not answered", ("starttls-silent", WAITING), {"starttls-unanswered"}, may=UNUSED),
    Fault("starttls-close", "the connection ends at STARTTLS", ("starttls-close",), {"starttls-unanswered"}, may=UNUSED),
    Fault("starttls-reset", "a reset at STARTTLS", ("starttls-reset",), {"starttls-unanswered"}, may=UNUSED),
    Fault("inject", "a reply injected in the segment of the 220", ("inject=250 injected\\r\\n",), {"reply-injection"},
          may=NOT_STARTED | FAILED | UNUSED, in_tls={"reply-injection"}),
    Fault("inject-next", "a reply injected in the segment behind the 220 (what comes of it depends on the moment)",
          ("inject-next=250 injected\\r\\n",), racy=True,
          may=NOT_STARTED | FAILED | UNUSED | {"reply-injection"}, in_tls={"reply-injection"}),
    Fault("220-silent", "the 220, then silence", ("after-220=silent", WAITING), FAILED, may=NOT_STARTED | UNUSED),
    Fault("220-close", "the 220, then the end of the connection", ("after-220=close",), FAILED | NOT_STARTED, may=UNUSED),
    Fault("220-reset", "the 220, then a reset", ("after-220=reset",), FAILED | NOT_STARTED, may=UNUSED),
    Fault("220-garbage", "the 220, then garbage", ("after-220=garbage", WAITING), FAILED | NOT_STARTED, may={"reply-injection"} | UNUSED),
    Fault("220-plaintext", "the 220, and the server goes on in clear", ("after-220=plaintext", WAITING), FAILED | NOT_STARTED,
          may=UNUSED | {"reply-injection"}),
    Fault("220-alert", "the 220, then the alert handshake_failure", ("after-220=alert-40", WAITING), FAILED | NOT_STARTED, may=UNUSED),
    Fault("hello-silent", "no answer to the ClientHello", ("after-hello=silent", WAITING), FAILED, may=UNUSED),
    Fault("hello-close", "the connection ends at the ClientHello", ("after-hello=close",), FAILED, may=UNUSED),
    Fault("hello-reset", "a reset at the ClientHello", ("after-hello=reset",), FAILED, may=UNUSED),
    Fault("hello-garbage", "the ClientHello is answered with garbage", ("after-hello=garbage", WAITING), FAILED, may=UNUSED),
    Fault("hello-plaintext", "the ClientHello is answered with `500`", ("after-hello=plaintext", WAITING), FAILED, may=UNUSED),
    *[Fault(f"hello-alert-{n}", f"the ClientHello is answered with the alert {name}", (f"after-hello=alert-{n}", WAITING), FAILED,
            may=UNUSED) for n, name in ((40, "handshake_failure"), (70, "protocol_version"), (80, "internal_error"))],
    *[Fault(f"tls-{v}", f"the server speaks TLS {v} only", (), may=FAILED | UNUSED, options={"version": v},
            in_tls={"tls-version-weak", "tls-cipher-weak"}) for v in ("1.0", "1.1")],
    Fault("tls-null", "the server speaks suites without encryption only", ("ciphers=NULL", "tls-max=1.2"), may=FAILED | UNUSED,
          in_tls={"tls-cipher-weak"}),
    *[Fault(f"certificate-{name}", f"the server's certificate: {what}", (), may=FAILED | UNUSED | {finding},
            options={"certificate": name}, in_tls={finding})
      for name, what, finding in (("self-signed", "signed by itself", "certificate-untrusted"),
                                  ("wrong-name", "for another name", "certificate-name-mismatch"),
                                  ("expired", "expired", "certificate-expired"))],
]


LOGIN = "auth=PLAIN LOGIN"
LOGIN_FAULTS = [
    Fault("login-none", "nothing: STARTTLS is offered and works", (LOGIN,), may=UNUSED),
    Fault("login-strip", "STARTTLS is taken out of the EHLO reply", (LOGIN, "strip"), {"starttls-missing"}),
    Fault("login-mask", "STARTTLS becomes `XXXXXXXA`", (LOGIN, "mask=XXXXXXXA"), {"starttls-masked"}),
    Fault("login-ehlo-502", "EHLO is answered with 502", (LOGIN, "ehlo-code=502"), may={"ehlo-refused"}),
    *[Fault(f"login-starttls-{n}", f"STARTTLS is answered with {n}", (LOGIN, f"starttls-code={n}"), {"starttls-refused"})
      for n in (454, 502, 530)],
    Fault("login-starttls-250", "STARTTLS is answered with 250", (LOGIN, "starttls-code=250"), {"starttls-bad-reply"},
          may=NOT_STARTED, in_tls={"starttls-bad-reply"}),
    Fault("login-starttls-close", "the connection ends at STARTTLS", (LOGIN, "starttls-close"), {"starttls-unanswered"}, may=UNUSED),
    Fault("login-220-plaintext", "the 220, and the server goes on in clear", (LOGIN, "after-220=plaintext", WAITING),
          FAILED | NOT_STARTED, may=UNUSED | {"reply-injection"}),
    Fault("login-inject", "a reply injected in the segment of the 220", (LOGIN, "inject=250 AUTH PLAIN LOGIN\\r\\n"),
          {"reply-injection"}, may=NOT_STARTED | FAILED | UNUSED, in_tls={"reply-injection"}),
    Fault("login-hello-alert-40", "the ClientHello is answered with the alert handshake_failure", (LOGIN, "after-hello=alert-40", WAITING),
          FAILED, may=UNUSED),
    Fault("login-hello-reset", "a reset at the ClientHello", (LOGIN, "after-hello=reset"), FAILED, may=UNUSED),
]
for login_fault in LOGIN_FAULTS:
    login_fault.port = 587

IMPLICIT_FAULTS = [Fault(f"465-{fault.name}", fault.what, fault.behaviours, fault.must, may=fault.may, port=465) for fault in (
    Fault("none", "nothing: TLS from the first byte works", ()),
    Fault("greeting", "a greeting in clear, and no TLS", ("plaintext-on-tls", WAITING), {"plaintext-on-tls-port"}, may=FAILED),
    Fault("silent", "no answer to the ClientHello", ("after-hello=silent", WAITING), FAILED),
    Fault("close", "the connection ends at the ClientHello", ("after-hello=close",), FAILED),
    Fault("reset", "a reset at the ClientHello", ("after-hello=reset",), FAILED),
    Fault("garbage", "the ClientHello is answered with garbage", ("after-hello=garbage", WAITING), FAILED, may={"plaintext-on-tls-port"}),
    Fault("plaintext", "the ClientHello is answered with `500`", ("after-hello=plaintext", WAITING), FAILED | {"plaintext-on-tls-port"}),
    Fault("alert", "the ClientHello is answered with the alert handshake_failure", ("after-hello=alert-40", WAITING), FAILED),
)]


@dataclasses.dataclass
class Sender:
    """send: takes a senders.Bench, returns a programs.Result. title: of its column; note: how it is configured."""
    name: str
    title: str
    note: str
    send: typing.Callable
    slow: bool = False


def program(function, tls, port=25, **options):
    return lambda bench: function(bench.lab, bench.host, port, tls=tls, **options)


def nodemailer(tls, port=25, **options):
    def send(bench):
        bench.fixture("nodemailer")
        return programs.nodemailer(bench.lab, bench.host, port, tls=tls, verify=None, trust=bench.trust, **options)
    return send


def postfix(level, port=25, **parameters):
    return lambda bench: bench.fixture("postfix_sender").deliver(level, f"[server.example]:{port}", **parameters)


def exim(*options, port=25):
    return lambda bench: bench.fixture("exim_sender").deliver("no", port=port, options=("command_timeout = 10s", *options))


def opensmtpd(tls, url="smtp://server.example:25"):
    return lambda bench: bench.fixture("opensmtpd_sender").deliver(tls, url)


SENDERS = [
    Sender("swaks-may", "swaks", "`--tls-optional`", program(programs.swaks, "may")),
    Sender("swaks-must", "swaks", "`-tls`", program(programs.swaks, "must")),
    Sender("smtplib-may", "smtplib", "`starttls()` where offered", program(programs.smtplib, "may")),
    Sender("smtplib-must", "smtplib", "`starttls()` always", program(programs.smtplib, "must")),
    Sender("postfix-may", "Postfix", "`may`", postfix("may"), slow=True),
    Sender("postfix-must", "Postfix", "`encrypt`", postfix("encrypt"), slow=True),
    Sender("exim-may", "Exim", "as it comes", exim()),
    Sender("exim-must", "Exim", "`hosts_require_tls`", exim("hosts_require_tls = *")),
    Sender("opensmtpd-may", "OpenSMTPD", "`smtp://`", opensmtpd("may"), slow=True),
    Sender("opensmtpd-must", "OpenSMTPD", "`tls no-verify`", opensmtpd("no-verify"), slow=True),
    Sender("msmtp-must", "msmtp", "`tls on`", program(programs.msmtp, "must")),
    Sender("curl-may", "curl", "`--ssl`", program(programs.curl, "may")),
    Sender("curl-must", "curl", "`--ssl-reqd`", program(programs.curl, "must")),
    Sender("nodemailer-may", "nodemailer", "as it comes", nodemailer("may")),
    Sender("nodemailer-must", "nodemailer", "`requireTLS`", nodemailer("must")),
    Sender("s-nail-must", "s-nail", "`smtp-use-starttls`", program(programs.s_nail, "must")),
]


LOGGED_IN = {"port": 587, "auth": "PLAIN"}
SASL = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": f"static:{USER}:{PASSWORD}", "smtp_sasl_security_options": "noanonymous"}
LOGIN_SENDERS = [
    Sender("swaks-may", "swaks", "`--tls-optional`", program(programs.swaks, "may", **LOGGED_IN)),
    Sender("swaks-must", "swaks", "`-tls`", program(programs.swaks, "must", **LOGGED_IN)),
    Sender("smtplib-may", "smtplib", "`starttls()` where offered", program(programs.smtplib, "may", **LOGGED_IN)),
    Sender("smtplib-must", "smtplib", "`starttls()` always", program(programs.smtplib, "must", **LOGGED_IN)),
    Sender("postfix-may", "Postfix", "`may`, SASL", postfix("may", 587, **SASL), slow=True),
    Sender("postfix-must", "Postfix", "`encrypt`, SASL", postfix("encrypt", 587, **SASL), slow=True),
    Sender("msmtp-must", "msmtp", "`tls on`", program(programs.msmtp, "must", **LOGGED_IN)),
    Sender("curl-may", "curl", "`--ssl`", program(programs.curl, "may", **LOGGED_IN)),
    Sender("curl-must", "curl", "`--ssl-reqd`", program(programs.curl, "must", **LOGGED_IN)),
    Sender("nodemailer-may", "nodemailer", "as it comes", nodemailer("may", **LOGGED_IN)),
    Sender("nodemailer-must", "nodemailer", "`requireTLS`", nodemailer("must", **LOGGED_IN)),
    Sender("s-nail-must", "s-nail", "`smtp-use-starttls`", program(programs.s_nail, "must", **LOGGED_IN)),
]

IMPLICIT_SENDERS = [
    Sender("swaks", "swaks", "`--tlsc`", program(programs.swaks, "implicit", 465)),
    Sender("smtplib", "smtplib", "`SMTP_SSL`", program(programs.smtplib, "implicit", 465)),
    Sender("postfix", "Postfix", "`smtp_tls_wrappermode`", postfix("encrypt", 465, smtp_tls_wrappermode="yes"), slow=True),
    Sender("exim", "Exim", "`protocol = smtps`", exim("protocol = smtps", port=465)),
    Sender("opensmtpd", "OpenSMTPD", "`smtps://`", opensmtpd("no-verify", "smtps://server.example:465"), slow=True),
    Sender("msmtp", "msmtp", "`tls_starttls off`", program(programs.msmtp, "implicit", 465)),
    Sender("curl", "curl", "`smtps://`", program(programs.curl, "implicit", 465)),
    Sender("nodemailer", "nodemailer", "`secure: true`", nodemailer("implicit", 465)),
    Sender("s-nail", "s-nail", "`smtps://`", program(programs.s_nail, "implicit", 465)),
]

GROUPS = [(FAULTS, SENDERS), (LOGIN_FAULTS, LOGIN_SENDERS), (IMPLICIT_FAULTS, IMPLICIT_SENDERS)]
CELLS = [(fault, sender) for faults, senders in GROUPS for fault in faults for sender in senders]


def load():
    return json.loads(KNOWN.read_text()) if KNOWN.exists() else {}


def words_of(text):
    """All of it, and what is base64 in it decoded."""
    yield text
    for word in re.findall(r"[A-Za-z0-9+/]{8,}={0,2}", text):
        try:
            yield base64.b64decode(word).decode("latin-1")
        except ValueError:
            pass


def received(server):
    """What came of the mail, by the server's own account: one of WORDS."""
    if any(PASSWORD in word for word in words_of(server.received("plain").decode("latin-1"))):
        return SECRET
    # MAIL, whose first bytes a handshake may have taken
    if ENVELOPE in server.received("plain").decode("latin-1").upper():
        first = [r["connection"] for r in server.records() if r["event"] == "opened"][0]
        in_clear = {r["connection"] for r in server.records()
                    if r["event"] == "received" and r["layer"] == "plain" and ENVELOPE in r["data"].upper()}
        return CLEAR if first in in_clear else CLEAR_ANEW
    return TLS if BODY.encode() in server.received("tls") else NOTHING


def check(fault, came_of_it, server, sessions):
    """The agent's sessions, all of this cell, against what the server received."""
    told = json.dumps(sessions, indent=1)
    outcomes = [session["outcome"] for session in sessions]
    findings = set().union(*(session["findings"] for session in sessions))
    assert len(sessions) == server.connections(), told
    in_clear = came_of_it in (CLEAR, CLEAR_ANEW, SECRET)
    assert ("cleartext" in outcomes) == in_clear, f"{came_of_it}: {told}"
    assert ("cleartext-auth" in findings) == (came_of_it == SECRET), f"{came_of_it}: {told}"
    assert ("cleartext-mail" in findings) == (ENVELOPE in server.received("plain").decode("latin-1").upper()), f"{came_of_it}: {told}"
    assert findings <= fault.allowed(), f"not expected: {findings - fault.allowed()}: {told}"
    if came_of_it == TLS:
        assert set(outcomes) & {"encrypted", "unverified"}, told
        assert fault.in_tls <= findings or fault.name.startswith(("certificate", "tls-")), told
        return
    assert in_clear or not set(outcomes) & {"cleartext", "blocked"}, told
    assert not fault.must or fault.must & findings, f"one of {fault.must} is missing: {told}"
    if came_of_it == CLEAR_ANEW:
        assert_linked(sessions, told)


def assert_linked(sessions, told):
    """Mail in clear on a new connection, behind one where TLS was tried in vain, is its fallback."""
    tried = {session["id"] for session in sessions if session["outcome"] in ("failed", "refused") and "starttls-asked" in session["facts"]}
    for session in sessions:
        if session["outcome"] == "cleartext" and tried:
            assert "tls-fallback" in session["findings"] and session["linked_session"] in tried, told
