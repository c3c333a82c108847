# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The ground that the other tests stand on, proven without the agent: clients, servers and their records."""
import base64

import pytest

from harness import programs
from harness.programs import BODY, PASSWORD, PROGRAMS, SUBJECT, USER

SEND = [(name, tls) for name in PROGRAMS for tls in (None, "may", "must", "implicit") if (name, tls) != ("msmtp", "may")]


@pytest.mark.parametrize("name,tls", SEND)
def test_every_program_delivers(lab, serve, server_address, name, tls):
    server = serve()
    result = PROGRAMS[name](lab, server_address, 465 if tls == "implicit" else 25, tls, watched=False)
    assert result.delivered, result.output
    server.wait_closed()
    layer, other = ("tls", "plain") if tls else ("plain", "tls")
    assert BODY.encode() in server.received(layer)
    assert BODY.encode() not in server.received(other)


@pytest.mark.parametrize("name,mechanism", [
    ("swaks", "PLAIN"), ("swaks", "LOGIN"), ("swaks", "CRAM-MD5"), ("smtplib", "PLAIN"), ("smtplib", "LOGIN"),
    ("smtplib", "CRAM-MD5"), ("msmtp", "PLAIN"), ("msmtp", "LOGIN"), ("curl", "PLAIN"), ("curl", "LOGIN"), ("curl", "DIGEST-MD5"),
])
def test_every_program_authenticates(lab, serve, name, mechanism):
    server = serve(f"auth={mechanism}")
    result = PROGRAMS[name](lab, "192.0.2.2", 587, auth=mechanism, watched=False)
    assert result.delivered, result.output
    got = server.received("plain")
    assert b"AUTH " + mechanism.encode() in got
    if mechanism == "PLAIN":
        assert base64.b64encode(b"\0" + USER.encode() + b"\0" + PASSWORD.encode()) in got


def test_postfix_to_postfix(postfix_sender, postfix_server):
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    postfix_server.wait_status("sent")
    assert "TLS connection established to 192.0.2.2" in postfix_sender.log()


@pytest.mark.parametrize("level,layer", [("none", "plain"), ("may", "tls"), ("encrypt", "tls")])
def test_postfix_to_fault_server(postfix_sender, serve, level, layer):
    server = serve()
    postfix_sender.configure(relayhost="[2001:db8::2]:25", smtp_tls_security_level=level)
    postfix_sender.submit()
    postfix_sender.wait_status("sent")
    assert SUBJECT.encode() in server.received(layer)


def test_stripped_postfix_encrypt_keeps_its_mail(postfix_sender, serve):
    server = serve("strip")
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="encrypt")
    postfix_sender.submit()
    postfix_sender.wait_status("deferred")
    assert len(postfix_sender.queue()) == 1
    server.assert_nothing(SUBJECT, BODY)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_use_postfix_as_server(lab, postfix_server, server_address, name):
    result = PROGRAMS[name](lab, server_address, 25, "must", watched=False)
    assert result.delivered, result.output
    postfix_server.wait_status("sent")


@pytest.mark.parametrize("behaviour,step", [
    ("after-hello=reset", 5), ("after-hello=close", 5), ("after-220=close", 5), ("after-hello=alert-40", 5),
    ("after-220=garbage", 5), ("after-hello=plaintext", 5), ("starttls-close", 4), ("starttls-reset", 4),
])
def test_broken_handshakes_break(lab, serve, behaviour, step):
    serve(behaviour)
    result = programs.raw(lab, "192.0.2.2", 25, [
        ["expect", "220 "], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", "STARTTLS\r\n"], ["expect", "220"],
        ["starttls"]], watched=False)
    assert result.report["error"], result.report
    assert result.report["step"] == step, result.report


def test_one_byte_segments_arrive_whole(lab, serve):
    serve("segment=1", "auth=PLAIN LOGIN")
    assert programs.swaks(lab, "2001:db8::2", 25, "must", watched=False).delivered
