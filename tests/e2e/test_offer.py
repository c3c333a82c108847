# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Group offer: starttls-missing, starttls-masked, ehlo-refused; and the shapes beside them that raise nothing."""
import pytest

from harness import programs
from harness.agent import expect
from harness.programs import PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_missing_offer_and_the_client_gives_up(lab, serve, watch, name):
    serve("strip")
    agent = watch()
    assert not PROGRAMS[name](lab, "192.0.2.2", 587, "must").delivered
    expect(agent.session(), "refused", {"starttls-missing"}, absent={"mail-clear", "auth-clear"}, starttls__offered=False)


@pytest.mark.parametrize("relay", ["[192.0.2.2]:25", "[2001:db8::2]:25"], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("level,outcome,findings", [
    ("may", "cleartext", {"starttls-missing", "cleartext-mail"}),
    ("none", "cleartext", {"starttls-missing", "cleartext-mail"}),
    ("encrypt", "refused", {"starttls-missing"}),
])
def test_missing_offer_postfix(postfix_sender, serve, watch, relay, level, outcome, findings):
    serve("strip")
    agent = watch()
    postfix_sender.configure(relayhost=relay, smtp_tls_security_level=level)
    postfix_sender.submit()
    postfix_sender.wait_status("deferred" if level == "encrypt" else "sent")
    session = agent.session()
    expect(session, outcome, findings, process__comm="smtp")
    assert session["process"]["cgroup"], session


@pytest.mark.parametrize("level,outcome,findings", [
    ("none", "cleartext", {"starttls-unused", "cleartext-mail"}), ("may", "encrypted", ()), ("encrypt", "encrypted", ()),
])
def test_postfix_to_postfix(postfix_sender, postfix_server, watch, level, outcome, findings):
    agent = watch()
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level=level)
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    postfix_server.wait_status("sent")
    expect(agent.session(), outcome, findings, server__name="server.example", starttls__offered=True)


@pytest.mark.parametrize("mask", ["XXXXXXXA", "XXXXXXXX", "********", "xxxxxxxa", "STARTTLX"])
def test_masked_offer(lab, serve, watch, server_address, mask):
    serve(f"mask={mask}")
    agent = watch()
    assert programs.swaks(lab, server_address, tls="may").delivered
    expect(agent.session(), "cleartext", {"starttls-masked", "cleartext-mail"}, {"starttls-masked"}, {"starttls-offered"})


@pytest.mark.parametrize("keyword", ["XSTARTTL", "DELIVERB", "CHECKPNT", "XXXXXXXXA"])
def test_other_keywords_are_no_mask(lab, serve, watch, keyword):
    """Of the same length but a keyword of its own, or masked but of another length: then nothing stood there."""
    serve(f"mask={keyword}")
    agent = watch()
    assert programs.swaks(lab, "192.0.2.2", tls="may").delivered
    expect(agent.session(), "cleartext", {"starttls-missing", "cleartext-mail"}, absent={"starttls-masked"})


def test_masked_banner(lab, serve, watch):
    serve("mask-banner", "strip")
    agent = watch()
    assert programs.smtplib(lab, "192.0.2.2", tls="may").delivered
    session = agent.session()
    assert "banner-masked" in session["facts"]
    assert {"starttls-masked", "cleartext-mail"} <= set(session["findings"]), session


@pytest.mark.parametrize("greeting", [
    "220 server.example *** no spam ***\\r\\n", "220 XXL.example ready\\r\\n", "220 \\r\\n", "220\\r\\n", "220-one\\r\\n220 two\\r\\n",
    "220 \\x1b[2J\\xff\\xfe\\x00hostile\\r\\n",
])
def test_strange_banners_are_not_masked(lab, serve, watch, greeting):
    serve(f"greeting={greeting}")
    agent = watch()
    assert programs.curl(lab, "192.0.2.2", tls="must").delivered
    session = agent.session()
    expect(session, "encrypted", absent={"banner-masked"})
    assert "\x1b" not in agent.run("sessions").stdout


@pytest.mark.parametrize("program,tls", [("swaks", "may"), ("smtplib", "may"), ("curl", "may"), ("msmtp", None)])
@pytest.mark.parametrize("code", [500, 502, 421])
def test_ehlo_refused(lab, serve, watch, program, tls, code):
    serve(f"ehlo-code={code}")
    agent = watch()
    result = PROGRAMS[program](lab, "192.0.2.2", tls=tls)
    session = agent.session()
    assert "ehlo-refused" in session["facts"], session
    if result.delivered:
        expect(session, "cleartext", {"ehlo-refused", "cleartext-mail"}, {"helo-sent", "helo-accepted"})
    else:
        assert "cleartext-mail" not in session["findings"], session


def test_ehlo_refused_postfix(postfix_sender, serve, watch):
    serve("ehlo-code=502")
    agent = watch()
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    expect(agent.session(), "cleartext", {"ehlo-refused", "cleartext-mail"})


def test_helo_by_choice_is_not_ehlo_refused(lab, serve, watch):
    serve()
    agent = watch()
    assert programs.swaks(lab, "192.0.2.2", extra=["--protocol", "SMTP"]).delivered
    session = agent.session()
    expect(session, "cleartext", {"cleartext-mail"}, {"helo-sent"}, {"ehlo-sent", "ehlo-refused"})


def test_another_2xx_to_ehlo_is_a_yes(postfix_sender, serve, watch):
    serve("ehlo-code=220")
    agent = watch()
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    expect(agent.session(), "encrypted", (), {"ehlo-accepted", "starttls-offered"}, {"ehlo-refused"})


def test_offer_in_the_last_line(lab, serve, watch):
    serve("starttls-last")
    agent = watch()
    assert programs.smtplib(lab, "192.0.2.2", tls="may").delivered
    expect(agent.session(), "encrypted", (), {"starttls-offered"})


@pytest.mark.parametrize("reply,offered", [
    ("250-STARTTLS\\r\\n250-SIZE 1000000\\r\\n250 HELP\\r\\n", False),  # the first line is the server's greeting text
    ("250 STARTTLS\\r\\n", False),
    ("250-x\\r\\n250 STARTTLS\\r\\n", True),
    ("250-x\\r\\n250-staRttLs\\r\\n250 HELP\\r\\n", True),
    ("250-x\\r\\n250-STARTTLS \\r\\n250 HELP\\r\\n", True),
    ("250-x\\r\\n250-STARTTLSX\\r\\n250 HELP\\r\\n", False),
    ("250-x\\n250-STARTTLS\\n250 HELP\\n", True),
    ("250-x\\r\\n250-HELP STARTTLS\\r\\n250 SIZE\\r\\n", False),
])
def test_where_an_offer_stands(lab, serve, watch, reply, offered):
    serve(f"ehlo-text={reply}")
    agent = watch()
    assert programs.swaks(lab, "192.0.2.2").delivered
    expect(agent.session(), "cleartext", {"starttls-unused" if offered else "starttls-missing", "cleartext-mail"},
           starttls__offered=offered)


def test_blank_line_in_the_reply(lab, serve, watch):
    """smtplib ends the reply there and says HELO; that is its doing, and STARTTLS was offered all the same."""
    serve("ehlo-blank-line")
    agent = watch()
    programs.curl(lab, "192.0.2.2", tls="may")
    session = agent.session()
    assert "starttls-missing" not in session["findings"], session


def test_no_starttls_inside_tls_is_right(lab, serve, watch):
    """The EHLO reply inside TLS names no STARTTLS; nobody outside can read it."""
    serve()
    agent = watch()
    assert programs.swaks(lab, "2001:db8::2", tls="must").delivered
    expect(agent.session(), "encrypted")


def test_one_byte_at_a_time(lab, serve, watch, server_address):
    serve("segment=1")
    agent = watch()
    assert programs.smtplib(lab, server_address, tls="must").delivered
    expect(agent.session(), "encrypted", (), {"starttls-offered", "starttls-accepted"})


def test_ehlo_reply_that_never_ends(lab, serve, watch):
    serve("ehlo-unended")
    agent = watch()
    programs.raw(lab, "192.0.2.2", 25, [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250-CHUNKING"], ["reset"]])
    session = agent.session()
    assert session["findings"] == [], session
    assert "ehlo-accepted" not in session["facts"]


def test_postfix_takes_a_masked_banner_for_a_pix(postfix_sender, serve, watch):
    """With asterisks in the banner Postfix says HELO by itself, and so asks for no TLS although it is there."""
    serve("mask-banner")
    agent = watch()
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    session = agent.session()
    assert {"starttls-masked", "cleartext-mail"} <= set(session["findings"]), session
