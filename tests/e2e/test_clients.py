# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the mail programs do with a server's certificate, by their own word and the server's, with no agent about: the ground that
test_identity.py stands on."""
import re

import pytest

from harness import programs
from harness.programs import BODY
from harness.senders import Bench, CHAIN_ONLY, LAX, PINNING, SENDERS, STRICT

CERTIFICATES = ("good", "missing-intermediate", "wrong-name", "expired", "not-yet-valid", "self-signed", "unknown-ca", "weak-key",
                "weak-signature", "cn-only", "wide-wildcard")
BAD_CHAINS = {"missing-intermediate", "expired", "not-yet-valid", "self-signed", "unknown-ca"}
# certificates beyond those that a strict sender takes although its chain or its key is weak
TAKES = {
    # OpenSSL at security level 1 or 0; GnuTLS takes 1024 bits, too
    "msmtp": {"weak-key"}, "nodemailer": {"weak-key"}, "exim must": {"weak-key"},
    "postfix verify": {"weak-key"}, "postfix secure": {"weak-key"}, "postfix verify, reuse": {"weak-key"},
    "postfix secure, reuse": {"weak-key"}, "postfix secure, matched": {"weak-key"}, "postfix verify, matched": {"weak-key"},
    "opensmtpd tls": {"weak-key", "weak-signature"},
    # its own comparison of names takes a wildcard right under a top-level domain
    "ruby": {"wide-wildcard"},
}

# the others' next hop is a part of what they are
STRICT_ANYWHERE = [name for name in STRICT if not name.startswith(("postfix", "opensmtpd"))]


def takes(sender, certificate):
    """Whether the sender goes on with mail."""
    if sender in LAX or sender in PINNING or certificate in ("good", "cn-only"):
        return True
    if sender in CHAIN_ONLY:
        return certificate in ("wrong-name", "wide-wildcard")
    return certificate in TAKES.get(sender, ())


@pytest.fixture
def bench(lab, ca, request):
    return Bench(lab, ca, request.getfixturevalue)


@pytest.mark.parametrize("certificate", CERTIFICATES)
@pytest.mark.parametrize("sender", SENDERS)
def test_sender(bench, serve, sender, certificate):
    server = serve(certificate=certificate)
    bench.certificate = certificate
    result = SENDERS[sender](bench)
    assert result.delivered == takes(sender, certificate), f"{result.word}\n{result.output}"
    assert result.delivered == (BODY.encode() in server.received("tls")), result.output
    assert BODY.encode() not in server.received("plain")
    if not result.delivered:
        server.assert_no_mail()
        assert result.word, f"it does not say why: {result.output}"


WORDS = {
    # what a program says, up to the part that the case is about
    ("smtplib", "wrong-name"): "Hostname mismatch",
    ("smtplib", "expired"): "certificate has expired",
    ("smtplib", "self-signed"): "self-signed certificate",
    ("smtplib", "unknown-ca"): "unable to get local issuer certificate",
    ("curl", "good"): "SSL certificate verify ok",
    ("curl", "wrong-name"): "no alternative certificate subject name matches",
    ("msmtp", "wrong-name"): "The name in the certificate does not match",
    ("msmtp", "expired"): "uses expired certificate",
    ("s_client", "good"): r"Verify return code: 0 \(ok\)",
    ("s_client", "wrong-name"): r"Verify return code: 62",
    ("s_client, lax", "expired"): r"Verify return code: 10 ",
    ("nodemailer", "wrong-name"): "does not match certificate's altnames",
    ("ruby", "wrong-name"): "hostname mismatch",
    ("perl", "wrong-name"): "hostname verification failed",
    ("own_verify", "self-signed"): "SSL_get_verify_result: 0",
    ("postfix may", "good"): "^Trusted$",
    ("postfix may", "wrong-name"): "^Trusted$",
    ("postfix may", "expired"): "^Untrusted$",
    ("postfix may, no CA", "good"): "^Untrusted$",
    ("postfix may, reuse", "expired"): "^Untrusted$",
    ("postfix verify", "good"): "^Verified$",
    ("postfix secure, matched", "good"): "^Verified$",
    ("postfix verify, reuse", "good"): "^Verified$",
    ("postfix verify", "wrong-name"): "^Server certificate not verified$",
    ("postfix fingerprint", "self-signed"): "^Verified$",
    ("postfix fingerprint, reuse", "expired"): "^Verified$",
    ("exim must", "good"): "^CV=yes$",
    ("exim must", "expired"): "certificate verification failed",
    ("exim try", "good"): "^CV=yes$",
    ("exim try", "wrong-name"): "^CV=no$",
    ("exim no", "good"): "^CV=no$",
    ("opensmtpd tls", "good"): "^success$",
    ("opensmtpd tls", "expired"): "SSL certificate check failed",
    ("opensmtpd no-verify", "expired"): "^failure$",
}


@pytest.mark.parametrize("sender,certificate", WORDS)
def test_word(bench, serve, sender, certificate):
    serve(certificate=certificate)
    bench.certificate = certificate
    word = SENDERS[sender](bench).word
    assert re.search(WORDS[sender, certificate], word), word


@pytest.mark.parametrize("sender", STRICT_ANYWHERE)
def test_wildcard(bench, serve, sender):
    """mx.server.example against *.server.example."""
    server = serve(certificate="wildcard")
    bench.host = "mx.server.example"
    assert STRICT[sender](bench).delivered
    assert BODY.encode() in server.received("tls")


def test_the_wrong_name_is_asked_for(lab, ca, serve):
    """A good certificate, and a client that holds it against another name."""
    server = serve(certificate="good")
    result = programs.smtplib(lab, "server.example", tls="must", verify="chain+name", trust=ca / "ca.pem", name="other.example")
    assert not result.delivered and "Hostname mismatch" in result.word
    server.assert_no_mail()


def test_postfix_with_another_fingerprint(postfix_sender, serve):
    server = serve(certificate="good")
    result = postfix_sender.deliver("fingerprint", smtp_tls_fingerprint_cert_match=":".join(["AB"] * 32))
    assert not result.delivered and result.word == "Server certificate not verified"
    server.assert_no_mail()


def test_exim_falls_back_to_clear(exim_sender, serve):
    """tls_verify_hosts without hosts_require_tls: what does not verify goes out in clear. So it does where
    tls_try_verify_hosts is empty and the other not given."""
    for verify in ("must-or-clear", "unset"):
        server = serve(certificate="expired")
        result = exim_sender.deliver(verify)
        assert result.delivered and "delivering unencrypted" in result.word, result.output
        assert BODY.encode() in server.received("plain")
        server.stop()


@pytest.mark.parametrize("how", ["asyncio", "threads"])
def test_many_at_once(lab, ca, serve, how):
    """Handshakes of one process at the same time: only what belongs to the good one verifies."""
    servers = [serve(certificate=name, ports=(port,)) for name, port in (("good", 25), ("expired", 587), ("wrong-name", 2525))]
    targets = [("server.example", port, verify) for port in (25, 587, 2525) for verify in (True, False)]
    report = programs.many_at_once(lab, how, targets, ca / "ca.pem").report
    assert [error is None for error in report] == [True, True, False, True, False, True], report
    assert "expired" in report[2] and "mismatch" in report[4], report
    assert [server.received("tls").count(BODY.encode()) for server in servers] == [2, 1, 1]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_version(lab, ca, serve, version):
    server = serve(version=version)
    assert programs.smtplib(lab, "server.example", tls="must", verify="chain+name", trust=ca / "ca.pem",
                            extra=["--version", version]).delivered
    assert server.handshakes() == ["TLSv1" if version == "1.0" else f"TLSv{version}"]


@pytest.mark.parametrize("behaviours", [(), ("no-tickets",)], ids=["tickets", "ids"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_resumption(lab, ca, serve, version, behaviours):
    """A second process goes on with the session of the first one."""
    server = serve(*behaviours, certificate="good", version=version)
    kept = lab.scratch / f"session-{version}-{len(behaviours)}"
    for option in ("-sess_out", "-sess_in"):
        assert programs.s_client(lab, "server.example", verify="chain+name", trust=ca / "ca.pem", extra=[option, kept]).delivered
    assert server.resumed() == 1 and len(server.handshakes()) == 2


def test_the_names_are_the_clients_own(lab):
    """The machine's own /etc/hosts is as it was."""
    assert "192.0.2.2" in programs.run(lab, ["getent", "hosts", "server.example"]).output
    with open("/etc/hosts") as hosts:
        assert "server.example" not in hosts.read()
