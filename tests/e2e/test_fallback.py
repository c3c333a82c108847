# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
tls-fallback and the session that it links, by what mail servers do of themselves after TLS that failed. Postfix on a new flow
and an application are in test_handshake.py.
"""
import pytest

from harness.agent import expect

CLEAR = {"starttls-unused", "cleartext-mail"}


def last_in_clear(agent, at_least):
    """The sessions before the one that went in clear, and that one."""
    agent.sessions(at_least, at_least=True)
    *before, clear = sorted(agent.ask("sessions")["sessions"], key=lambda session: session["opened"])
    return before, clear


def expect_fallback(agent, findings):
    """One session went in clear; those before it failed in TLS, with findings, and one of them is linked."""
    before, clear = last_in_clear(agent, 2)
    for session in before:
        expect(session, "failed", findings)
    expect(clear, "cleartext", CLEAR | {"tls-fallback"}, cause="tls-fallback")
    assert clear["linked_session"] in {session["id"] for session in before}, clear
    raised = [alert for alert in agent.alerts() if alert["event"]["action"] == "tls-fallback"]
    assert len(raised) == 1 and clear["linked_session"] in raised[0]["message"], raised


@pytest.mark.parametrize("fault", ["after-hello=alert-40", "after-hello=reset", "after-hello=close"])
def test_exim(exim_sender, serve, watch, fault):
    """It goes on in clear on a new flow at once (tls_tempfail_tryclear)."""
    serve(fault)
    agent = watch()
    assert exim_sender.deliver("no").delivered
    expect_fallback(agent, {"tls-handshake-failed"})


def test_exim_after_a_bad_certificate(exim_sender, serve, watch):
    """tls_verify_hosts without hosts_require_tls: Exim refuses the certificate, and then sends in clear to whoever has it."""
    serve(certificate="self-signed")
    agent = watch(identity={"witness": True})
    assert exim_sender.deliver("must-or-clear").delivered
    expect_fallback(agent, {"certificate-untrusted"})


@pytest.mark.parametrize("code", ["454", "502"])
def test_exim_after_a_refusal(exim_sender, serve, watch, code):
    """Refused STARTTLS: 5xx goes on in clear on the same flow, 4xx on a new one."""
    serve(f"starttls-code={code}")
    agent = watch()
    assert exim_sender.deliver("no").delivered
    before, clear = last_in_clear(agent, 1)
    assert clear["outcome"] == "cleartext" and {"cleartext-mail"} <= set(clear["findings"]), clear
    if before:
        assert "tls-fallback" in clear["findings"] and clear["linked_session"] == before[-1]["id"], clear
    else:
        assert "starttls-refused" in clear["findings"] and clear["linked_session"] is None, clear


@pytest.mark.parametrize("fault", ["after-hello=alert-40", "after-hello=reset"])
def test_opensmtpd(opensmtpd_sender, serve, watch, fault):
    """It reconnects in clear where TLS was opportunistic."""
    serve(fault)
    agent = watch()
    assert opensmtpd_sender.deliver("may").delivered
    expect_fallback(agent, {"tls-handshake-failed"})


def test_what_policy_stopped_inside_tls_is_linked(exim_sender, serve, watch):
    """Stopped for a server that could not be verified, Exim tries in clear, and is stopped there."""
    server = serve(certificate="self-signed")
    agent = watch(mode="block", identity={"witness": True}, policy={"rules": [{"to": "any", "require": "verified", "undecided": "block"}]})
    assert not exim_sender.deliver("try").delivered
    server.assert_no_mail()
    sessions = sorted(agent.sessions(2, at_least=True), key=lambda session: session["opened"])
    assert {session["outcome"] for session in sessions} == {"blocked"}, sessions
    clear = [session for session in sessions if "cleartext-mail" in session["findings"]]
    assert clear and all("tls-fallback" in session["findings"] for session in clear), sessions
    assert clear[0]["linked_session"] == sessions[0]["id"], sessions
