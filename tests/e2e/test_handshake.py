# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Group handshake: tls-not-started, tls-handshake-failed, plaintext-on-tls-port, tls-fallback."""
import pytest

from harness import programs
from harness.agent import expect
from harness.programs import PROGRAMS, SENDER


@pytest.mark.parametrize("behaviours", [
    ("after-hello=close",), ("after-hello=reset",), ("after-hello=alert-40",), ("after-hello=garbage",), ("after-hello=plaintext",),
    ("tls-max=1.2", "ciphers=CAMELLIA128-SHA"),
], ids=lambda b: b[0])
@pytest.mark.parametrize("name", PROGRAMS)
def test_handshake_fails(lab, serve, watch, name, behaviours):
    serve(*behaviours)
    agent = watch()
    assert not PROGRAMS[name](lab, "192.0.2.2", tls="must").delivered
    expect(agent.session(), "failed", {"tls-handshake-failed"}, {"client-hello"}, {"mail-clear", "auth-clear"},
           tls__established=False)


@pytest.mark.parametrize("name", ["swaks", "smtplib", "curl"])
def test_no_common_version(lab, serve, watch, name):
    serve("tls-max=1.1")
    agent = watch()
    assert not PROGRAMS[name](lab, "192.0.2.2", tls="must").delivered
    expect(agent.session(), "failed", {"tls-handshake-failed"}, {"client-hello"})


def test_who_broke_it_server(lab, serve, watch):
    serve("after-hello=alert-40")
    agent = watch()
    programs.smtplib(lab, "192.0.2.2", tls="must")
    expect(agent.session(), "failed", {"tls-handshake-failed"}, {"server-alert"},
           tls__server_alert={"code": 40, "name": "handshake_failure"}, tls__client_alert=None)


def test_who_broke_it_client(lab, serve, watch, ca):
    """The client does not trust the test's authority. Up to TLS 1.2 its alert is readable."""
    serve("tls-max=1.2")
    agent = watch()
    result = programs.run(lab, ["msmtp", "--file=/dev/null", "--host=192.0.2.2", "--port=25", f"--from={SENDER}", "--tls=on",
                                "--tls-trust-file=/etc/ssl/certs/ca-certificates.crt", "bob@example.net"], stdin="x\n")
    assert not result.delivered
    session = agent.session()
    assert session["outcome"] in ("failed", "refused"), session
    assert "cleartext-mail" not in session["findings"], session


@pytest.mark.parametrize("maximum", ["1.2", "1.3"])
def test_openssl_client_distrusts(lab, serve, watch, maximum):
    serve(f"tls-max={maximum}")
    agent = watch()
    result = programs.run(lab, ["curl", "--silent", "--ssl-reqd", "--max-time", "10", "--url", "smtp://192.0.2.2:25/x",
                                "--mail-from", SENDER, "--mail-rcpt", "bob@example.net", "--upload-file", "-"], stdin="x\n")
    assert not result.delivered
    expect(agent.session(), "failed", {"tls-handshake-failed"})


@pytest.mark.parametrize("maximum", ["1.2", "1.3"])
@pytest.mark.parametrize("name", ["swaks", "msmtp"])
def test_handshake_succeeds(lab, serve, watch, server_address, name, maximum):
    serve(f"tls-max={maximum}")
    agent = watch()
    assert PROGRAMS[name](lab, server_address, tls="must").delivered
    expect(agent.session(), "encrypted", (), {"client-hello", "server-hello", "client-data", "server-data"})


def test_established_and_reset_is_no_failed_handshake(lab, serve, watch):
    serve()
    agent = watch()
    programs.raw(lab, "192.0.2.2", 25, [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", "STARTTLS\r\n"],
                                        ["expect", "220"], ["starttls"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["reset"]])
    expect(agent.session(), "encrypted")


def test_server_closes_after_the_220(lab, serve, watch):
    serve("after-220=close")
    agent = watch()
    assert not programs.smtplib(lab, "192.0.2.2", tls="must").delivered
    session = agent.session()
    assert session["outcome"] == "failed", session
    assert set(session["findings"]) <= {"tls-handshake-failed", "tls-not-started"} and session["findings"], session


def test_client_goes_on_in_clear_after_the_220(lab, serve, watch):
    serve("after-220=plaintext")
    agent = watch()
    programs.raw(lab, "192.0.2.2", 25, [
        ["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", "STARTTLS\r\n"], ["expect", "220"],
        ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", f"MAIL FROM:<{SENDER}>\r\n"], ["expect", "250"],
        ["send", "QUIT\r\n"], ["end"]])
    expect(agent.session(), "cleartext", {"tls-not-started", "cleartext-mail"}, {"plain-after-starttls"}, {"client-hello"})


def test_client_leaves_after_the_220(lab, serve, watch):
    serve()
    agent = watch()
    programs.raw(lab, "192.0.2.2", 25, [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", "STARTTLS\r\n"],
                                        ["expect", "220"]])
    session = agent.session()
    assert session["findings"] == ["tls-not-started"], session


@pytest.mark.parametrize("name", ["swaks", "smtplib", "curl"])
def test_plaintext_client_on_the_tls_port(lab, serve, watch, server_address, name):
    serve("plaintext-on-tls")
    agent = watch()
    assert PROGRAMS[name](lab, server_address, 465).delivered
    session = agent.session()
    assert {"plaintext-on-tls-port", "cleartext-mail"} <= set(session["findings"]), session
    assert session["outcome"] == "cleartext"


@pytest.mark.parametrize("name", PROGRAMS)
def test_plaintext_server_on_the_tls_port(lab, serve, watch, name):
    serve("plaintext-on-tls")
    agent = watch()
    assert not PROGRAMS[name](lab, "192.0.2.2", 465, "implicit").delivered
    session = agent.session()
    assert "plaintext-on-tls-port" in session["findings"], session
    assert session["outcome"] == "failed", session


@pytest.mark.parametrize("name", PROGRAMS)
def test_tls_on_the_tls_port(lab, serve, watch, server_address, name):
    serve()
    agent = watch()
    assert PROGRAMS[name](lab, server_address, 465, "implicit").delivered
    expect(agent.session(), "encrypted", (), {"tls-from-start"}, tls__from_start=True)


def test_postfix_falls_back_on_a_new_flow(postfix_sender, serve, watch):
    """Level may: the first handshake breaks and the mail is deferred; the retry goes in clear although TLS is offered."""
    serve("after-hello=reset")
    agent = watch()
    # Postfix goes on in clear only once a message has waited for minimal_backoff_time
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may", minimal_backoff_time="1s",
                             maximal_backoff_time="2s", queue_run_delay="1s")
    try:
        postfix_sender.submit()
        postfix_sender.wait_status("sent", timeout=60)
    finally:
        postfix_sender.configure(minimal_backoff_time="300s", maximal_backoff_time="4000s", queue_run_delay="300s")
    agent.sessions(2, at_least=True)
    sessions = agent.ask("sessions")["sessions"]
    last = max(sessions, key=lambda s: s["opened"])
    expect(last, "cleartext", {"tls-fallback", "starttls-unused", "cleartext-mail"})
    for session in sessions:
        if session is not last:
            expect(session, "failed", {"tls-handshake-failed"})


def test_application_falls_back_on_a_new_flow(lab, serve, watch, server_address):
    serve("after-hello=alert-40")
    agent = watch()
    assert programs.smtplib(lab, server_address, tls="fallback").delivered
    broken, clear = agent.sessions(2)
    expect(broken, "failed", {"tls-handshake-failed"})
    expect(clear, "cleartext", {"tls-fallback", "starttls-unused", "cleartext-mail"})


def test_fallback_may_be_over_before_the_session_that_failed(lab, serve, watch):
    serve("after-hello=alert-40")
    agent = watch()
    assert programs.smtplib(lab, "192.0.2.2", tls="fallback", extra=["--keep"]).delivered
    broken, clear = agent.sessions(2)
    expect(broken, "failed", {"tls-handshake-failed"})
    expect(clear, "cleartext", {"tls-fallback", "starttls-unused", "cleartext-mail"}, linked_session=broken["id"],
           cause="tls-fallback")
    raised = [alert["event"]["action"] for alert in agent.alerts() if alert["event"]["kind"] == "alert"]
    assert raised.count("tls-fallback") == 1, raised


def test_second_try_in_tls_is_no_fallback(lab, serve, watch):
    broken = serve("after-hello=alert-40")
    agent = watch()
    programs.smtplib(lab, "192.0.2.2", tls="must")
    broken.stop()
    serve()
    assert programs.smtplib(lab, "192.0.2.2", tls="must").delivered
    first, second = agent.sessions(2)
    expect(first, "failed", {"tls-handshake-failed"})
    expect(second, "encrypted")


def test_clear_to_another_server_is_no_fallback(lab, serve, watch):
    broken = serve("after-hello=alert-40", addresses=("192.0.2.2",))
    serve("greeting=220 other.example ready\\r\\n", addresses=("2001:db8::2",))
    agent = watch()
    programs.smtplib(lab, "192.0.2.2", tls="must")
    assert programs.smtplib(lab, "2001:db8::2").delivered
    assert broken.connections() == 1
    expect(agent.sessions(2)[1], "cleartext", {"starttls-unused", "cleartext-mail"})


def test_blocked_fallback(lab, serve, watch):
    """What the careless application does after the broken handshake is stopped in block mode."""
    server = serve("after-hello=alert-40")
    agent = watch(mode="block")
    assert not programs.smtplib(lab, "192.0.2.2", tls="fallback").delivered
    server.assert_nothing("MAIL", SENDER)
    broken, stopped = agent.sessions(2)
    expect(broken, "failed", {"tls-handshake-failed"})
    assert stopped["outcome"] == "blocked" and "tls-fallback" in stopped["findings"], stopped
