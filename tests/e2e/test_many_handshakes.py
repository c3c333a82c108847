# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Handshakes at the same time, by senders that verify and senders that do not, with a good server and a bad one: each has its own."""
import collections
import json

import pytest

from harness import CLIENTS, programs
from harness.lab import ADDRESSES
from harness.paths import in_ns, undone
from harness.programs import PYTHON, run

COUNT = 1000
PORTS = "40000 40699"  # few, so that they are used again; enough for those in TIME-WAIT
GOOD, BAD = ADDRESSES["server"]


def handshakes(lab, ca):
    result = run(lab, [PYTHON, CLIENTS / "handshakes.py", COUNT, ca / "ca.pem", GOOD, BAD], timeout=300)
    told = [json.loads(line) for line in result.output.splitlines()]
    assert result.code == 0 and len(told) == COUNT, result.output[-2000:]
    return told


def with_sessions(agent, told):
    """Each client beside its session. A port is used again and again: the first session from it is the first client's."""
    clients, found = collections.defaultdict(list), collections.defaultdict(list)
    for one in sorted(told, key=lambda one: one["connected"]):
        clients[tuple(one["client"])].append(one)
    for one in sorted(agent.sessions(COUNT), key=lambda one: one["opened"]):
        found[one["client"]["address"], one["client"]["port"]].append(one)
    assert {client: len(ones) for client, ones in clients.items()} == {client: len(ones) for client, ones in found.items()}
    assert max(map(len, clients.values())) > 1, "no port was used again"
    return [pair for client, ones in clients.items() for pair in zip(ones, found[client])]


@pytest.fixture
def few_ports(lab):
    name = "net.ipv4.ip_local_port_range"
    before = in_ns(lab, "client", "sysctl", "-n", name).stdout.strip()
    with undone((in_ns, lab, "client", "sysctl", "-qw", f"{name}={before}")):
        in_ns(lab, "client", "sysctl", "-qw", f"{name}={PORTS}")
        yield


@pytest.fixture
def servers(few_ports, serve):
    return serve(certificate="good", addresses=[GOOD]), serve(certificate="self-signed", addresses=[BAD])


def test_every_outcome_is_the_senders_own(lab, ca, servers, watch):
    agent = watch(identity={"witness": True}, sessions={"keep": 2 * COUNT})
    wrong = []
    for one, session in with_sessions(agent, handshakes(lab, ca)):
        outcome = "unverified" if not one["verifies"] else "failed" if one["host"] == BAD else "verified"
        assert bool(one["error"]) == (outcome == "failed"), one
        if session["outcome"] != outcome:
            wrong.append((one, session["outcome"], session["identity"]))
    assert not wrong, wrong[:5]
    assert agent.ask("status")["counters"]["kernel"]["events_lost"] == 0


def test_what_is_refused_says_nothing(lab, ca, servers, watch):
    """The agent's own check stands in for the senders that make none."""
    good, bad = servers
    agent = watch(mode="block", identity={"witness": True, "hold": "60s"}, sessions={"keep": 2 * COUNT},
                  policy={"rules": [{"to": "any", "require": "verified", "undecided": "block"}]})
    for one, session in with_sessions(agent, handshakes(lab, ca)):
        assert bool(one["error"]) == (one["host"] == BAD), (one, session)
        outcomes = {"verified"} if one["host"] == GOOD else {"failed"} if one["verifies"] else {"blocked"}
        assert session["outcome"] in outcomes, (one, session)
    assert bad.received("tls") == b"", "application data reached the bad server"
    assert good.received("tls").count(b"one of many") == COUNT // 2


@pytest.mark.parametrize("how", ["asyncio", "threads"])
def test_one_process(lab, ca, servers, watch, how):
    """asyncio: all in one thread, with TLS in memory BIOs."""
    agent = watch(identity={"witness": True})
    targets = [(host, 25, verifies) for host in (GOOD, BAD) for verifies in (True, False)] * 4
    report = programs.many_at_once(lab, how, targets, ca / "ca.pem").report
    assert [error is None for error in report] == [host == GOOD or not verifies for host, _, verifies in targets], report
    seen = collections.Counter((one["server"]["address"], one["outcome"]) for one in agent.sessions(len(targets)))
    assert seen == {(GOOD, "verified"): 4, (GOOD, "unverified"): 4, (BAD, "failed"): 4, (BAD, "unverified"): 4}
