# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Group exposure: cleartext-auth and cleartext-mail, by every program, and what must raise neither."""
import pytest

from harness import programs
from harness.agent import expect
from harness.programs import BODY, PASSWORD, PROGRAMS, RECIPIENT, SENDER, USER


@pytest.mark.parametrize("name", PROGRAMS)
def test_mail_in_clear(lab, serve, watch, server_address, name):
    serve("strip")
    agent = watch()
    assert PROGRAMS[name](lab, server_address).delivered
    session = agent.session()
    expect(session, "cleartext", {"cleartext-mail", "starttls-missing"},
           {"mail-clear", "recipient-clear", "content-clear", "would-block"}, blocked=False, would_block=True,
           server__address=server_address, server__port=25, server__name="server.example")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("tls,port", [("must", 25), ("must", 587), ("implicit", 465)])
def test_mail_in_tls_raises_nothing(lab, serve, watch, server_address, name, tls, port):
    serve("auth=PLAIN LOGIN")
    agent = watch()
    assert PROGRAMS[name](lab, server_address, port, tls, auth="PLAIN").delivered
    expect(agent.session(), "encrypted", absent={"mail-clear", "auth-clear", "would-block"}, blocked=False, would_block=False,
           tls__established=True)


@pytest.mark.parametrize("name,mechanism,account", [
    ("swaks", "PLAIN", USER), ("swaks", "LOGIN", USER), ("swaks", "CRAM-MD5", None), ("swaks", "DIGEST-MD5", None),
    ("smtplib", "PLAIN", USER), ("smtplib", "LOGIN", USER), ("smtplib", "CRAM-MD5", None),
    ("msmtp", "PLAIN", USER), ("msmtp", "LOGIN", USER), ("msmtp", "CRAM-MD5", None),
    ("curl", "PLAIN", USER), ("curl", "LOGIN", USER), ("curl", "DIGEST-MD5", None), ("curl", "XOAUTH2", None),
])
def test_credential_in_clear(lab, serve, watch, name, mechanism, account):
    serve("strip", f"auth={mechanism}")
    agent = watch()
    extra = ["--oauth2-bearer", "a-token-that-nobody-shall-see"] if mechanism == "XOAUTH2" else ()
    PROGRAMS[name](lab, "192.0.2.2", 587, auth=mechanism, extra=extra)
    session = agent.session()
    assert "cleartext-auth" in session["findings"], session
    assert {"auth-clear", "credential-clear"} <= set(session["facts"])
    assert session["auth"] == {"mechanism": mechanism, "account": account}
    assert session["outcome"] == "cleartext"


def test_cancelled_auth_is_no_credential(lab, serve, watch):
    """AUTH was asked for in clear, which is a finding; no SASL response was sent, which is the near-miss."""
    serve("auth=LOGIN", "strip")
    agent = watch()
    programs.raw(lab, "192.0.2.2", 587, [
        ["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", "AUTH LOGIN\r\n"], ["expect", "334"],
        ["send", "*\r\n"], ["expect", "501"], ["send", "QUIT\r\n"], ["end"]])
    session = agent.session()
    assert "credential-clear" not in session["facts"]
    assert session["auth"]["account"] is None


def test_offered_auth_is_not_sent_auth(lab, serve, watch):
    serve("auth=PLAIN LOGIN")
    agent = watch()
    programs.swaks(lab, "192.0.2.2", 587, "must")
    expect(agent.session(), "encrypted", (), {"auth-offered"}, {"auth-clear"})


def test_account_is_named_in_the_alert(lab, serve, watch):
    serve("strip", "auth=PLAIN")
    agent = watch()
    programs.swaks(lab, "192.0.2.2", 587, auth="PLAIN")
    agent.session()
    agent.stop()
    text = agent.alerts_file.read_text()
    assert "cleartext-auth" in text and USER in text
    assert PASSWORD not in text


@pytest.mark.parametrize("form", ["hash", "none"])
def test_account_can_be_withheld(lab, serve, watch, form):
    serve("strip", "auth=PLAIN")
    agent = watch(account=form)
    programs.swaks(lab, "192.0.2.2", 587, auth="PLAIN")
    session = agent.session()
    assert "cleartext-auth" in session["findings"]
    agent.stop()
    assert USER not in str(session) + agent.alerts_file.read_text()
    assert (session["auth"]["account"] is None) == (form == "none")


def test_quit_after_ehlo_raises_nothing(lab, serve, watch):
    """A port check in clear: nothing was exposed. Whether STARTTLS was on offer makes no difference."""
    serve()
    agent = watch()
    programs.swaks(lab, "192.0.2.2", extra=["--quit-after", "EHLO"])
    session = agent.session()
    assert session["findings"] == [], session
    assert session["outcome"] != "cleartext"


def test_the_word_starttls_in_a_body_is_mail(lab, serve, watch):
    """Message content is not dialogue."""
    serve("strip")
    agent = watch()
    programs.raw(lab, "192.0.2.2", 25, [
        ["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", f"MAIL FROM:<{SENDER}>\r\n"], ["expect", "250"],
        ["send", f"RCPT TO:<{RECIPIENT}>\r\n"], ["expect", "250"], ["send", "DATA\r\n"], ["expect", "354"],
        ["send", f"Subject: x\r\n\r\nSTARTTLS\r\nAUTH PLAIN AGEAYg==\r\n{BODY}\r\n.\r\n"], ["expect", "250"],
        ["send", "QUIT\r\n"], ["end"]])
    expect(agent.session(), "cleartext", {"cleartext-mail", "starttls-missing"}, absent={"auth-clear", "starttls-asked"})


def test_bdat_is_counted_not_read(lab, serve, watch):
    serve("strip")
    agent = watch()
    chunk = "AUTH PLAIN AGEAYg==\r\nSTARTTLS\r\n\x16\x03\x01"
    programs.raw(lab, "192.0.2.2", 25, [
        ["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", f"MAIL FROM:<{SENDER}>\r\n"], ["expect", "250"],
        ["send", f"RCPT TO:<{RECIPIENT}>\r\n"], ["expect", "250"], ["send", f"BDAT {len(chunk)} LAST\r\n{chunk}"],
        ["expect", "250"], ["send", "QUIT\r\n"], ["end"]])
    expect(agent.session(), "cleartext", {"cleartext-mail", "starttls-missing"}, {"content-clear", "quit-sent"},
           {"auth-clear", "starttls-asked", "client-hello"})
