# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The witness without an agent: its uprobes are pinned where the kernel can do that, and status says so."""
import pytest

from harness import programs
from harness.lab import wait_until
from harness.life import attached, detach, folders
from harness.programs import BODY

GOOD = "server.example"
DEMAND = {"rules": [{"to": "any", "require": "verified", "undecided": "block"}]}


@pytest.fixture(autouse=True)
def nothing_stays(lab):
    yield
    if attached(lab):
        detach(lab, "--force")
    assert attached(lab) == []


@pytest.fixture
def watch_demanding(watch):
    def start(mode="block"):
        return watch(mode=mode, on_exit=None, identity={"witness": True}, policy=DEMAND)
    return start


def witness_pins(lab):
    return [pin for folder in folders(lab) for pin in folder.glob("witness-*/*")]


def outlives(agent):
    return agent.ask("status")["witness"]["outlives_agent"]


def send(lab, ca, verify="chain+name"):
    return programs.smtplib(lab, GOOD, tls="must", verify=verify, trust=ca / "ca.pem" if verify else None)


def end(agent, how):
    if how == "told":
        assert agent.stop() == 0
    else:
        agent.kill()


@pytest.mark.parametrize("how", ["told", "killed"])
def test_verified_mail_passes_without_an_agent(lab, ca, serve, watch_demanding, how):
    """Where the probes outlive the agent. Else, and for who verifies nothing, `undecided` decides."""
    server = serve(certificate="good")
    agent = watch_demanding()
    assert send(lab, ca).delivered
    can = outlives(agent)
    assert bool(witness_pins(lab)) == can
    assert ("outlives the agent" in agent.run("status").stdout) == can
    end(agent, how)
    assert bool(witness_pins(lab)) == can
    before = server.received("tls").count(BODY.encode())
    assert send(lab, ca).delivered == can
    assert (server.received("tls").count(BODY.encode()) > before) == can
    before = len(server.received("tls"))
    assert not send(lab, ca, verify=None).delivered
    assert len(server.received("tls")) == before, "application data left, and nobody had verified the server"


def test_the_next_agent_has_probes_of_its_own(lab, ca, serve, watch_demanding):
    serve(certificate="good")
    agent = watch_demanding()
    if not outlives(agent):
        pytest.skip("uprobes cannot be pinned on this kernel")
    first = {pin.parent for pin in witness_pins(lab)}
    end(agent, "killed")
    agent.start()
    second = {pin.parent for pin in witness_pins(lab)}
    assert len(first) == len(second) == 1 and first != second, (first, second)
    assert send(lab, ca).delivered
    session = wait_until(lambda: [s for s in agent.ask("sessions")["sessions"] if s["closed"]], "the session is over")[-1]
    assert session["outcome"] == "verified", session
    assert agent.ask("status")["counters"]["kernel"]["helper_failed"] == 0


def test_pins_follow_the_mode(lab, ca, serve, watch_demanding):
    serve(certificate="good")
    agent = watch_demanding("monitor")
    assert not outlives(agent) and not witness_pins(lab)
    agent.set_mode("block")
    # the next process that sends has the witness look after them; else it would be the next minute
    send(lab, ca)
    if not wait_until(lambda: (outlives(agent) or not can_pin(agent)), "it is known"):
        return
    agent.set_mode("monitor")
    assert not witness_pins(lab)


def can_pin(agent):
    return agent.ask("status")["witness"]["active"]
