# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The same answers with other servers than the fault-making one: Postfix, and `openssl s_server`."""
import subprocess

import pytest

from harness import programs
from harness.agent import expect
from harness.lab import sh, wait_until

VERIFY = pytest.mark.parametrize("verify,outcome,findings",
                                 [("chain+name", "verified", set()), (None, "unverified", {"verification-skipped"})])
PORT = 465
REPLIES = "220 server.example\r\n250 fine\r\n250 fine\r\n250 fine\r\n354 go on\r\n250 taken\r\n221 bye\r\n"


@VERIFY
@pytest.mark.parametrize("program", [programs.smtplib, programs.msmtp, programs.curl])
def test_postfix(lab, ca, postfix_server, watch, program, verify, outcome, findings):
    agent = watch(identity={"witness": True})
    assert program(lab, "server.example", tls="must", verify=verify, trust=ca / "ca.pem").delivered
    session = agent.session()
    expect(session, outcome, findings)
    assert session["identity"]["certificate"]["problems"] == [], session


@pytest.fixture
def s_server(lab, ca):
    """It knows no SMTP: what a server answers is put in beforehand."""
    started = []

    def start(*options):
        child = lab.start("server", ["openssl", "s_server", "-accept", f"192.0.2.2:{PORT}", "-cert", ca / "server.pem", "-key",
                                     ca / "server.key", "-quiet", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
        started.append(child)
        wait_until(lambda: f":{PORT} " in sh("nsenter", f"--net=/run/netns/{lab.ns['server']}", "ss", "-ltnH").stdout, "it listens")
        child.stdin.write(REPLIES.encode())
        child.stdin.flush()
    yield start
    for child in started:
        child.kill()
        child.communicate()


@VERIFY
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_server(lab, ca, s_server, watch, version, verify, outcome, findings):
    s_server(version)
    agent = watch(identity={"witness": True})
    assert programs.smtplib(lab, "server.example", PORT, tls="implicit", verify=verify, trust=ca / "ca.pem").delivered
    expect(agent.session(), outcome, findings, tls__from_start=True)
