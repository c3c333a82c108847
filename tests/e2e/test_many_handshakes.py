# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Handshakes at the same time, by senders that verify and senders that do not, with a good server and a bad one: each has its own."""
import collections
import json

import pytest

from harness import CLIENTS, programs
from harness.lab import ADDRESSES
from harness.programs import PYTHON, run

COUNT = 1000
GOOD, BAD = ADDRESSES["server"]


def handshakes(lab, ca):
    result = run(lab, [PYTHON, CLIENTS / "handshakes.py", COUNT, ca / "ca.pem", GOOD, BAD], timeout=300)
    told = [json.loads(line) for line in result.output.splitlines()]
    assert result.code == 0 and len(told) == COUNT, result.output[-2000:]
    return {tuple(one["client"]): one for one in told}


def sessions(agent):
    found = agent.sessions(COUNT)
    return {(one["client"]["address"], one["client"]["port"]): one for one in found}


@pytest.fixture
def servers(serve):
    return serve(certificate="good", addresses=[GOOD]), serve(certificate="self-signed", addresses=[BAD])


def test_every_outcome_is_the_senders_own(lab, ca, servers, watch):
    agent = watch(identity={"witness": True}, sessions={"keep": 2 * COUNT})
    told, seen = handshakes(lab, ca), sessions(agent)
    wrong = []
    for client, one in told.items():
        outcome = "unverified" if not one["verifies"] else "failed" if one["host"] == BAD else "verified"
        assert bool(one["error"]) == (outcome == "failed"), one
        if seen[client]["outcome"] != outcome:
            wrong.append((one, seen[client]["outcome"], seen[client]["identity"]))
    assert not wrong, wrong[:5]
    assert agent.ask("status")["counters"]["kernel"]["events_lost"] == 0


def test_what_is_refused_says_nothing(lab, ca, servers, watch):
    """The agent's own check stands in for the senders that make none."""
    good, bad = servers
    agent = watch(mode="block", identity={"witness": True, "hold": "60s"}, sessions={"keep": 2 * COUNT},
                  policy={"rules": [{"to": "any", "require": "verified", "undecided": "block"}]})
    told, seen = handshakes(lab, ca), sessions(agent)
    for client, one in told.items():
        assert bool(one["error"]) == (one["host"] == BAD), (one, seen[client])
        outcomes = {"verified"} if one["host"] == GOOD else {"failed"} if one["verifies"] else {"blocked"}
        assert seen[client]["outcome"] in outcomes, (one, seen[client])
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
