# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What waits for a verdict on the server, who gives it, and what becomes of it where nobody does."""
import signal
import subprocess
import time

import pytest

from harness import BUILD, programs
from harness.agent import expect
from harness.programs import BODY

HEARTBEAT = 5  # seconds; an agent that was silent for longer is none


@pytest.fixture
def watch_demanding(watch):
    """The agent in block mode, where every server has to be verified."""
    def start(undecided="block", **identity):
        return watch(mode="block", identity={"witness": True, **identity},
                     policy={"rules": [{"to": "any", "require": "verified", "undecided": undecided}]})
    return start


def strict(lab, ca):
    """Its library checks chain and name."""
    return programs.smtplib(lab, "server.example", tls="must", verify="chain+name", trust=ca / "ca.pem")


def unheard(lab):
    """It has put a check of its own in the library's place: only the agent's own check can tell."""
    return programs.own_verify(lab, "192.0.2.2", name="server.example")


def test_kernel_alone(lab, ca, serve, watch_demanding):
    """The agent stands still; the library's word is enough, and a failed check is none."""
    server = serve(certificate="good")
    agent = watch_demanding()
    agent.signal(signal.SIGSTOP)
    time.sleep(HEARTBEAT + 1)
    assert strict(lab, ca).delivered
    assert BODY.encode() in server.received("tls")
    agent.signal(signal.SIGCONT)
    expect(agent.session(), "verified", absent={"held"})


def test_agent_decides(lab, serve, watch_demanding):
    server = serve(certificate="good")
    agent = watch_demanding()
    assert unheard(lab).delivered
    assert BODY.encode() in server.received("tls")
    session = agent.session()
    expect(session, "verified", identity__sender_check="unknown")
    holds = agent.ask("status")["holds"]
    assert holds["sessions"] == ("held" in session["facts"]) and holds["release_failed"] == 0, holds
    assert "smtpward_hold_seconds_count" in agent.metrics()


@pytest.mark.parametrize("undecided", ["pass", "block"])
def test_no_agent(lab, serve, watch_demanding, undecided):
    """Nothing waits for an agent that gives no sign of life."""
    server = serve(certificate="good")
    agent = watch_demanding(undecided)
    agent.signal(signal.SIGSTOP)
    time.sleep(HEARTBEAT + 1)
    result = unheard(lab)
    assert result.delivered == (undecided == "pass"), result.output
    assert (server.received("tls") != b"") == (undecided == "pass")
    agent.signal(signal.SIGCONT)
    expect(agent.session(), "blocked" if undecided == "block" else "encrypted", absent={"held"})


@pytest.mark.parametrize("undecided", ["pass", "block"])
def test_limit(lab, serve, watch_demanding, undecided):
    """The agent has just stopped: what waits for it does so for a second, and no longer."""
    server = serve(certificate="good")
    agent = watch_demanding(undecided, hold="1s")
    for attempt in range(1, 6):
        time.sleep(1)
        agent.signal(signal.SIGSTOP)
        result = unheard(lab)
        agent.signal(signal.SIGCONT)
        session = agent.sessions(attempt)[-1]
        # on a slow machine the agent may have been silent for too long before the client's first data
        if "held" in session["facts"] or result.seconds < HEARTBEAT - 2:
            break
    assert result.delivered == (undecided == "pass"), result.output
    assert (server.received("tls") != b"") == (undecided == "pass")
    expect(session, "blocked" if undecided == "block" else "encrypted", facts={"held"})
    assert undecided == "block" or session["held_ms"] >= 1000, session


def test_killed(lab, ca, serve, watch_demanding):
    """Where the kernel cannot pin probes they die with the agent, the demand does not; the next agent's are heard again."""
    server = serve(certificate="good")
    agent = watch_demanding("block")
    outlives = agent.ask("status")["witness"]["outlives_agent"]
    agent.kill()
    time.sleep(HEARTBEAT + 1)
    assert strict(lab, ca).delivered == outlives
    assert (server.received("tls") != b"") == outlives
    agent.start()
    assert strict(lab, ca).delivered
    assert BODY.encode() in server.received("tls")


def test_switched_off(lab, ca, serve, watch):
    """Without the witness, the wire: up to TLS 1.2 the certificates are in clear, and the agent checks them."""
    server = serve(certificate="good", version="1.2")
    agent = watch(mode="block", policy={"rules": [{"to": "any", "require": "verified", "undecided": "block"}]})
    assert strict(lab, ca).delivered
    assert BODY.encode() in server.received("tls")
    expect(agent.session(), "verified", facts={"held"}, identity__witness=None, identity__certificate__from="wire")
    assert agent.ask("status")["witness"]["enabled"] is False


def test_authorities_are_looked_at(tmp_path):
    """smtpwardd -t finds a file of authorities that cannot be used."""
    config = tmp_path / "smtpward.yaml"
    config.write_text("identity:\n  trust: /nonexistent.pem\n")
    told = subprocess.run([BUILD / "smtpwardd", "-t", "-c", config], capture_output=True, text=True)
    assert told.returncode == 78 and "/nonexistent.pem" in told.stderr, told
