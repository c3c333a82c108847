# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What the agent says of the server's identity, and what it lets through, for every sender of harness/senders.py: the table is the
truth. What the senders themselves do and say is in test_clients.py.
"""
import itertools

import pytest

from harness import programs
from harness.agent import Agent, expect
from harness.lab import wait_until
from harness.programs import BODY
from harness.senders import Bench, LAX, PINNING, SENDERS

CERTIFICATES = ("good", "wrong-name", "expired", "self-signed", "unknown-ca")
PROBLEMS = {
    "good": set(),
    "wrong-name": {"certificate-name-mismatch"},
    "wide-wildcard": {"certificate-name-mismatch"},
    "expired": {"certificate-expired"},
    "not-yet-valid": {"certificate-expired"},
    "self-signed": {"certificate-untrusted"},
    "unknown-ca": {"certificate-untrusted"},
    "missing-intermediate": {"certificate-untrusted"},
    "weak-key": {"certificate-key-weak"},
    "weak-signature": {"certificate-key-weak"},
}

# v  verified: the sender checked chain and name (or has the certificate pinned), or it checked the chain, and the certificate is
#    for the name that it asked for. No finding.
# u  unverified: the check failed, was not insisted on or was not made, and the mail went: verification-skipped, and what is wrong
#    with the certificate
# e  encrypted: nobody can tell; with what is wrong with the certificate
# f  failed: the sender found fault and left
# Two letters: both are right, since it hangs on the program's build what can be seen.
TRUTH = {
    #                              good  wrong-name  expired  self-signed  unknown-ca
    # it checks chain and name in the library
    "smtplib":                    ("v",  "f",        "f",     "f",         "f"),
    "msmtp":                      ("v",  "f",        "f",     "f",         "f"),
    "s_client":                   ("v",  "f",        "f",     "f",         "f"),
    "postfix verify":             ("v",  "f",        "f",     "f",         "f"),
    "postfix secure":             ("v",  "f",        "f",     "f",         "f"),
    "postfix secure, matched":    ("v",  "f",        "f",     "f",         "f"),
    "postfix verify, matched":    ("v",  "f",        "f",     "f",         "f"),
    "postfix verify, reuse":      ("v",  "f",        "f",     "f",         "f"),
    "postfix secure, reuse":      ("v",  "f",        "f",     "f",         "f"),
    "exim must":                  ("v",  "f",        "f",     "f",         "f"),
    # the chain in the library, the name with its own code; it sends the name in its ClientHello
    "curl":                       ("v",  "f",        "f",     "f",         "f"),
    "ruby":                       ("v",  "f",        "f",     "f",         "f"),
    "perl":                       ("v",  "f",        "f",     "f",         "f"),
    # the same, with an OpenSSL of its own inside the executable
    "nodemailer":                 ("ve", "f",        "f",     "f",         "f"),
    # both in another process, without a name in the ClientHello
    "opensmtpd tls":              ("ve", "f",        "f",     "f",         "f"),
    # the chain only; swaks sends no name
    "smtplib, chain":             ("v",  "u",        "f",     "f",         "f"),
    # whether it insists is left to a callback, which nobody sees into
    "s_client, chain":            ("ve", "ue",       "f",     "f",         "f"),
    "swaks, chain":               ("e",  "e",        "f",     "f",         "f"),
    # this very certificate and no other
    "postfix fingerprint":        ("v",  "v",        "v",     "v",         "v"),
    "postfix fingerprint, reuse": ("v",  "v",        "v",     "v",         "v"),
    # it goes on whatever was found, or does not look
    "swaks, lax":                 ("u",  "u",        "u",     "u",         "u"),
    "smtplib, lax":               ("u",  "u",        "u",     "u",         "u"),
    "msmtp, lax":                 ("u",  "u",        "u",     "u",         "u"),
    "curl, lax":                  ("u",  "u",        "u",     "u",         "u"),
    "s_client, lax":              ("u",  "u",        "u",     "u",         "u"),
    "ruby, lax":                  ("u",  "u",        "u",     "u",         "u"),
    "perl, lax":                  ("u",  "u",        "u",     "u",         "u"),
    "postfix may":                ("u",  "u",        "u",     "u",         "u"),
    "postfix encrypt":            ("u",  "u",        "u",     "u",         "u"),
    "postfix may, no CA":         ("u",  "u",        "u",     "u",         "u"),
    "postfix may, reuse":         ("u",  "u",        "u",     "u",         "u"),
    "postfix encrypt, reuse":     ("u",  "u",        "u",     "u",         "u"),
    "exim no":                    ("u",  "u",        "u",     "u",         "u"),
    # it looks, and goes on: where it found nothing wrong, the server is verified
    "exim try":                   ("v",  "u",        "u",     "u",         "u"),
    "nodemailer, lax":            ("ue", "ue",       "ue",    "ue",        "ue"),
    "opensmtpd no-verify":        ("ue", "ue",       "ue",    "ue",        "ue"),
    "opensmtpd may":              ("ue", "ue",       "ue",    "ue",        "ue"),
    # a check of its own in the library's place
    "own_verify":                 ("e",  "e",        "e",     "e",         "e"),
}
assert set(TRUTH) == set(SENDERS)
LETTERS = {"v": "verified", "u": "unverified", "e": "encrypted", "f": "failed"}
# neither in the ClientHello nor to its library does it say whom it wants: for whom the certificate should be, nobody knows
NAMELESS = {"swaks, chain", "swaks, lax", "postfix may", "postfix encrypt", "postfix may, no CA", "postfix may, reuse",
            "postfix encrypt, reuse", "postfix fingerprint", "postfix fingerprint, reuse", "exim no", "opensmtpd tls",
            "opensmtpd no-verify", "opensmtpd may"}
# In TLS 1.3 the agent may not get to see the certificate: Node's library is in its executable, s_client shakes hands inside
# SSL_read. What is wrong is then said by the sender's library, which has no authorities where it does not verify.
# GnuTLS reads the intermediate certificates only for the check, so where none is made their absence proves nothing.
CUT_SHORT_IN_13 = {"msmtp, lax", "exim no"}
UNSEEN_IN_13 = {"nodemailer", "nodemailer, lax", "s_client", "s_client, chain", "s_client, lax"}


def cell(sender, certificate):
    return {LETTERS[letter] for letter in TRUTH[sender][CERTIFICATES.index(certificate)]}


def problems(sender, certificate):
    return PROBLEMS[certificate] - ({"certificate-name-mismatch"} if sender in NAMELESS else set())


# One agent for all cells of a kind: it looks through the machine's libraries when it starts.
VERIFIED_ONLY = {"to": "any", "require": "verified", "undecided": "block"}
AGENTS = {
    "monitor": {},
    "strict": {},
    "lax": {},
    "block": {"mode": "block", "policy": {"rules": [VERIFIED_ONLY]}},
    "named": {"mode": "block", "policy": {"rules": [{**VERIFIED_ONLY, "name": "server.example"}]}},
    "min_tls": {"mode": "block", "policy": {"rules": [{"to": "any", "require": "encrypted", "min_tls": "1.3"}]}},
}


NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def agent(request, lab, ca):
    made = Agent(lab, f"identity-{request.param}-{next(NUMBERS)}",
                 identity={"witness": True, "trust": str(ca / "ca.pem"), "hold": "3s"}, **AGENTS[request.param])
    try:
        made.start()
        yield made
    finally:
        made.stop()


def with_agent(kind):
    return pytest.mark.parametrize("agent", [kind], indirect=True)


@pytest.fixture
def bench(lab, ca, request):
    return Bench(lab, ca, request.getfixturevalue)


@pytest.fixture
def new_sessions(agent):
    """Those of this test, once they are over."""
    before = {session["id"] for session in agent.ask("sessions")["sessions"]}

    def wait():
        def over():
            fresh = [session for session in agent.ask("sessions")["sessions"] if session["id"] not in before]
            return fresh and all(session["closed"] for session in fresh) and sorted(fresh, key=lambda session: session["opened"])
        return wait_until(over, "the sessions are over")
    return wait


def judge(session, sender, certificate, version):
    """One session against the truth of its cell."""
    wrong = problems(sender, certificate)
    unseen = version == "1.3" and sender in UNSEEN_IN_13
    if version == "1.3" and sender in CUT_SHORT_IN_13 and certificate != "self-signed":
        wrong -= {"certificate-untrusted"}
    assert session["outcome"] in cell(sender, certificate), session
    findings = set(session["findings"])
    if session["outcome"] == "verified":
        assert not findings, session
    elif session["outcome"] == "unverified":
        skipped = {"verification-skipped"}
        assert findings == skipped | wrong or \
            (unseen and skipped <= findings <= skipped | wrong | {"certificate-untrusted"}), session
    elif session["outcome"] == "encrypted":
        assert findings == wrong or (unseen and not findings), session
    else:
        assert findings <= {"tls-handshake-failed"} | wrong, session
        # a certificate that is bad for a name that the agent does not know, and a client that leaves: an everyday session
        assert findings or sender in NAMELESS, session


@with_agent("monitor")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("certificate", CERTIFICATES)
@pytest.mark.parametrize("sender", TRUTH)
def test_outcome(agent, new_sessions, bench, serve, sender, certificate, version):
    server = serve(certificate=certificate, version=version)
    bench.certificate = certificate
    result = SENDERS[sender](bench)
    assert result.delivered == (BODY.encode() in server.received("tls")), result.output
    for session in new_sessions():
        judge(session, sender, certificate, version)


@with_agent("monitor")
@pytest.mark.parametrize("sender,certificate,outcome,findings", [
    ("postfix verify", "weak-key", "verified", {"certificate-key-weak"}),
    ("msmtp", "weak-key", "verified", {"certificate-key-weak"}),
    # the library takes the CN for want of a subjectAltName; RFC 9525 does not, but the library is whose word counts
    ("smtplib", "cn-only", "verified", set()),
    # Ruby's own code takes the wildcard, the agent's check does not
    ("ruby", "wide-wildcard", "unverified", {"verification-skipped", "certificate-name-mismatch"}),
    ("smtplib, lax", "missing-intermediate", "unverified", {"verification-skipped", "certificate-untrusted"}),
    ("smtplib, lax", "not-yet-valid", "unverified", {"verification-skipped", "certificate-expired"}),
    ("smtplib, lax", "weak-signature", "unverified", {"verification-skipped", "certificate-key-weak"}),
    ("smtplib, lax", "weak-key", "unverified", {"verification-skipped", "certificate-key-weak"}),
])
def test_other_certificates(agent, new_sessions, bench, serve, sender, certificate, outcome, findings):
    serve(certificate=certificate)
    bench.certificate = certificate
    assert SENDERS[sender](bench).delivered
    session, = new_sessions()
    expect(session, outcome, findings)


@with_agent("monitor")
@pytest.mark.parametrize("verify,outcome,skipped", [("chain+name", "verified", set()),
                                                    (None, "unverified", {"verification-skipped"})])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_old_version(agent, new_sessions, lab, ca, serve, version, verify, outcome, skipped):
    serve(version=version, certificate="good")
    assert programs.smtplib(lab, "server.example", tls="must", verify=verify, trust=ca / "ca.pem",
                            extra=["--version", version]).delivered
    session, = new_sessions()
    expect(session, outcome, {"tls-version-weak"} | skipped, tls__version=version)


# An agent for each: in TLS 1.3 it goes by what the sender's earlier sessions with this server were, if they all were the same.
@pytest.mark.parametrize("agent,verify,outcome", [("strict", "chain+name", "verified"), ("lax", None, "unverified")],
                         indirect=["agent"])
@pytest.mark.parametrize("version,behaviours", [("1.2", ()), ("1.2", ("no-tickets",)), ("1.3", ())],
                         ids=["1.2", "1.2-ids", "1.3"])
def test_resumed(agent, new_sessions, lab, ca, serve, version, behaviours, verify, outcome):
    """No certificate is sent and nothing is checked: it is what the session was that it resumes."""
    server = serve(*behaviours, certificate="good", version=version)
    kept = lab.scratch / f"identity-{version}-{len(behaviours)}-{outcome}"
    for option in ("-sess_out", "-sess_in"):
        assert programs.s_client(lab, "server.example", verify=verify, trust=ca / "ca.pem", extra=[option, kept]).delivered
    assert server.resumed() == 1
    wait_until(lambda: len(new_sessions()) == 2, "two sessions")
    first, second = new_sessions()
    assert (first["outcome"], first["tls"]["resumed"]) == (outcome, False), first
    assert (second["outcome"], second["tls"]["resumed"]) == (outcome, True), second
    assert second["identity"]["resumed_from"] == first["id"], second


@with_agent("monitor")
def test_what_is_told(agent, new_sessions, bench, serve):
    serve(certificate="wrong-name")
    bench.certificate = "wrong-name"
    SENDERS["smtplib"](bench)
    session, = new_sessions()
    witness, certificate = session["identity"]["witness"], session["identity"]["certificate"]
    assert (witness["library"], witness["checked"], witness["error"], witness["name"], witness["pinned"]) == \
        ("openssl", True, 62, "server.example", False), witness
    assert (certificate["name"], certificate["problems"]) == ("server.example", ["certificate-name-mismatch"]), certificate


# ---- enforcement: what counts is what the server got


def passes(sender, certificate, version):
    """require: verified without a name. The sender verifies; or the agent itself can, since it knows the name that is wanted."""
    if sender in CUT_SHORT_IN_13 and version == "1.3":
        return False  # undecided: the agent cannot tell
    if "v" in TRUTH[sender][CERTIFICATES.index(certificate)]:
        return None if len(TRUTH[sender][CERTIFICATES.index(certificate)]) > 1 else True
    if certificate == "good" and sender not in NAMELESS:
        return None if sender in UNSEEN_IN_13 else True
    return False


def passes_named(sender, certificate):
    """... with the name: the agent always knows whom the certificate must be for; whoever pins one knows better whom to trust."""
    if sender in CUT_SHORT_IN_13:
        return False
    if sender in UNSEEN_IN_13 and certificate == "good":
        return None
    if certificate == "wrong-name":
        return False
    return certificate == "good" or sender in PINNING


def check_enforced(expected, bench, server, sender, sessions):
    result = SENDERS[sender](bench)
    session = sessions()[0]
    if expected is None:  # a matter of the build; but never a bit of both
        expected = result.delivered
    assert result.delivered == expected, f"{result.word}\n{result.output}\n{session}"
    if expected:
        assert BODY.encode() in server.received("tls"), session
        assert session["outcome"] == "verified" and not session["blocked"], session
    else:
        assert server.received("tls") == b"", session
        server.assert_no_mail()
        assert session["outcome"] in ("blocked", "failed", "refused"), session
    if sender in LAX and not expected:
        assert session["outcome"] == "blocked" and session["blocked"] is True, session


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("certificate", ["good", "wrong-name", "unknown-ca"])
@pytest.mark.parametrize("sender", TRUTH)
@with_agent("block")
def test_block(agent, new_sessions, bench, serve, sender, certificate, version):
    server = serve(certificate=certificate, version=version)
    bench.certificate = certificate
    check_enforced(passes(sender, certificate, version), bench, server, sender, new_sessions)


@pytest.mark.parametrize("certificate", ["good", "wrong-name", "unknown-ca"])
@pytest.mark.parametrize("sender", TRUTH)
@with_agent("named")
def test_block_by_name(agent, new_sessions, bench, serve, sender, certificate):
    server = serve(certificate=certificate)
    bench.certificate = certificate
    check_enforced(passes_named(sender, certificate), bench, server, sender, new_sessions)


@pytest.mark.parametrize("sender", ["smtplib", "msmtp", "postfix secure", "exim must", "smtplib, lax", "postfix may"])
@pytest.mark.parametrize("version,permitted", [("1.2", False), ("1.3", True)])
@with_agent("min_tls")
def test_lowest_version(agent, new_sessions, bench, serve, sender, version, permitted):
    server = serve(certificate="good", version=version)
    result = SENDERS[sender](bench)
    session = new_sessions()[0]
    assert result.delivered == permitted, f"{result.output}\n{session}"
    assert (BODY.encode() in server.received("tls")) == permitted
    if not permitted:
        assert server.received("tls") == b"" and session["outcome"] == "blocked", session
    server.received("plain").index(b"STARTTLS")
