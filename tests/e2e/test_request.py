# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Group request: unused, refused, unanswered, bad reply, and the two injections."""
import pytest

from harness import programs
from harness.agent import expect
from harness.programs import PROGRAMS, SENDER


@pytest.mark.parametrize("name", PROGRAMS)
def test_offered_and_not_used(lab, serve, watch, server_address, name):
    serve()
    agent = watch()
    assert PROGRAMS[name](lab, server_address).delivered
    expect(agent.session(), "cleartext", {"starttls-unused", "cleartext-mail"}, {"starttls-offered"}, {"starttls-asked"},
           starttls__asked=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_offered_and_used(lab, serve, watch, server_address, name):
    serve()
    agent = watch()
    assert PROGRAMS[name](lab, server_address, tls="must").delivered
    expect(agent.session(), "encrypted", (), {"starttls-offered", "starttls-asked", "starttls-accepted"}, starttls__reply=220)


@pytest.mark.parametrize("code", [454, 501, 502, 554])
@pytest.mark.parametrize("name", PROGRAMS)
def test_refused_and_the_client_gives_up(lab, serve, watch, name, code):
    serve(f"starttls-code={code}")
    agent = watch()
    assert not PROGRAMS[name](lab, "192.0.2.2", 587, "must").delivered
    expect(agent.session(), "refused", {"starttls-refused"}, absent={"mail-clear"}, starttls__reply=code)


@pytest.mark.parametrize("code", [454, 502])
def test_refused_and_postfix_goes_on_in_clear(postfix_sender, serve, watch, code):
    serve(f"starttls-code={code}")
    agent = watch()
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    expect(agent.session(), "cleartext", {"starttls-refused", "cleartext-mail"}, starttls__reply=code)


def test_refused_in_several_lines(lab, serve, watch):
    serve("starttls-text=454-4.7.0 one\\r\\n454-two\\r\\n454 three\\r\\n")
    agent = watch()
    programs.smtplib(lab, "192.0.2.2", tls="must")
    expect(agent.session(), "refused", {"starttls-refused"}, starttls__reply=454)


def test_accepted_in_several_lines(lab, serve, watch):
    serve("starttls-text=220-one\\r\\n220-two\\r\\n220 three\\r\\n")
    agent = watch()
    assert programs.swaks(lab, "192.0.2.2", tls="must").delivered
    expect(agent.session(), "encrypted", absent={"reply-injected"})


@pytest.mark.parametrize("behaviour", ["starttls-silent", "starttls-close", "starttls-reset"])
def test_unanswered(lab, serve, watch, behaviour):
    serve(behaviour)
    agent = watch()
    assert not programs.swaks(lab, "192.0.2.2", tls="must", extra=["--timeout", "2s"]).delivered
    session = agent.session()
    assert session["findings"] == ["starttls-unanswered"], session
    assert session["starttls"]["asked"] is True and session["starttls"]["reply"] is None


def test_slow_answer_is_an_answer(lab, serve, watch):
    serve("segment=2", "drip-ms=20")
    agent = watch()
    assert programs.swaks(lab, "192.0.2.2", tls="must").delivered
    expect(agent.session(), "encrypted")


@pytest.mark.parametrize("code", [221, 250])
def test_another_2xx_and_postfix_takes_it(postfix_sender, serve, watch, code):
    serve(f"starttls-code={code}")
    agent = watch()
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    expect(agent.session(), "encrypted", {"starttls-bad-reply"}, starttls__reply=code)


def test_3xx_is_a_bad_reply(lab, serve, watch):
    serve("starttls-code=354")
    agent = watch()
    assert not programs.smtplib(lab, "192.0.2.2", tls="must").delivered
    session = agent.session()
    assert session["findings"] == ["starttls-bad-reply"], session


@pytest.mark.parametrize("where", ["inject", "inject-next"])
def test_reply_injection(lab, serve, watch, server_address, where):
    serve(f"{where}=250-injected\\r\\n250 AUTH PLAIN\\r\\n")
    agent = watch()
    programs.swaks(lab, server_address, tls="must")
    session = agent.session()
    assert "reply-injection" in session["findings"], session


def test_reply_injection_postfix(postfix_sender, serve, watch):
    serve("inject=250 injected\\r\\n")
    agent = watch()
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    expect(agent.session(), "encrypted", {"reply-injection"})


def dialogue_until_starttls(first):
    return [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", first], ["expect", "220"], ["starttls"],
            ["send", "QUIT\r\n"], ["end"]]


@pytest.mark.parametrize("behind", [f"MAIL FROM:<{SENDER}>\r\n", "NOOP\r\n", "RSET\r\nEHLO y\r\n"])
def test_command_injection(lab, serve, watch, behind):
    serve()
    agent = watch()
    programs.raw(lab, "192.0.2.2", 25, dialogue_until_starttls(f"STARTTLS\r\n{behind}"))
    session = agent.session()
    assert "command-injection" in session["findings"], session


def test_pipelined_ehlo_and_starttls_before_the_banner(lab, serve, watch):
    """Exim's PIPECONNECT, which looks like command injection and is not."""
    serve()
    agent = watch()
    result = programs.raw(lab, "192.0.2.2", 25, [
        ["send", "EHLO x\r\nSTARTTLS\r\n"], ["expect", "220 server"], ["expect", "250 "], ["expect", "220"], ["starttls"],
        ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", "QUIT\r\n"], ["end"]])
    assert result.report["error"] is None, result.report
    expect(agent.session(), "encrypted", (), {"starttls-asked", "starttls-accepted"}, {"command-injected", "reply-injected"})


def test_starttls_split_over_segments(lab, serve, watch):
    serve()
    agent = watch()
    steps = [["expect", "220"], ["send", "ehlo x\r\n"], ["expect", "250 "]]
    for byte in "starTTLS\r\n":
        steps += [["send", byte], ["sleep", 0.005]]
    programs.raw(lab, "2001:db8::2", 25, steps + [["expect", "220"], ["starttls"], ["send", "EHLO x\r\n"], ["expect", "250 "],
                                                  ["send", "QUIT\r\n"], ["end"]])
    expect(agent.session(), "encrypted", (), {"starttls-asked"}, {"command-injected"})
