# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Real senders against faults of the server (harness/matrix.py). MATRIX=all plays every cell, else a part of them is; MATRIX=write
besides writes what the senders did to matrix.json, from which `make clients_page` makes docs/clients.md.
"""
import json
import os

import pytest

from harness import clients_page, matrix
from harness.lab import wait_until
from harness.senders import Bench

MODE = os.environ.get("MATRIX", "")
KNOWN = matrix.load()


def cells(quick=8, slow=32, wanted=lambda fault, sender: True):
    """Of a run of a few minutes: every fault with one sender at least, every sender with several, the slow ones with fewer."""
    for faults, senders in matrix.GROUPS:
        for row, fault in enumerate(faults):
            for column, sender in enumerate(senders):
                step = slow if sender.slow else quick
                if wanted(fault, sender) and (MODE or (3 * row + column) % step == 0):
                    yield pytest.param(fault, sender, id=f"{fault.name}-{sender.name}")


@pytest.fixture(scope="module")
def agent(lab, ca):
    """One for all cells."""
    from harness.agent import Agent
    made = Agent(lab, "matrix", sessions={"keep": 60})
    made.start()
    yield made
    made.stop()


def new_sessions(agent, seen, count):
    """The sessions that are not in seen, once there are as many as the server had connections, and all are over."""
    fresh = []

    def over():
        fresh[:] = [session for session in agent.ask("sessions")["sessions"] if session["id"] not in seen]
        return len(fresh) >= count and all(session["closed"] for session in fresh)
    wait_until(over, f"{count} sessions are over", timeout=60)
    return fresh


seen_sessions = set()


@pytest.mark.parametrize("fault,sender", cells())
def test_cell(lab, ca, serve, agent, request, fault, sender):
    server = serve(*fault.behaviours, **{"certificate": "server", **fault.options})
    result = sender.send(Bench(lab, ca, request.getfixturevalue))
    came_of_it = matrix.received(server)
    sessions = new_sessions(agent, seen_sessions, server.connections())
    seen_sessions.update(session["id"] for session in sessions)
    matrix.check(fault, matrix.received(server), server, sessions)
    if MODE == "write":
        KNOWN.setdefault(fault.name, {})[sender.name] = came_of_it
        matrix.KNOWN.write_text(json.dumps(KNOWN, indent=1) + "\n")
    assert fault.racy or came_of_it == KNOWN.get(fault.name, {}).get(sender.name), result.output


def gives_in(fault, sender):
    return KNOWN.get(fault.name, {}).get(sender.name) in (matrix.CLEAR, matrix.CLEAR_ANEW, matrix.SECRET)


@pytest.mark.parametrize("fault,sender", cells(quick=12, slow=48, wanted=gives_in))
def test_blocked(lab, ca, serve, agent, request, fault, sender):
    """The same cells in block mode: no MAIL and no password reach the server in clear, and nothing is delivered."""
    server = serve(*fault.behaviours, **{"certificate": "server", **fault.options})
    agent.set_mode("block")
    try:
        result = sender.send(Bench(lab, ca, request.getfixturevalue))
        sessions = new_sessions(agent, seen_sessions, server.connections())
    finally:
        agent.set_mode("monitor")
    seen_sessions.update(session["id"] for session in sessions)
    assert matrix.received(server) == matrix.NOTHING, result.output
    assert not result.delivered, result.output
    outcomes = {session["outcome"] for session in sessions}
    assert "blocked" in outcomes and outcomes <= {"blocked", "failed", "refused", "unknown"}, json.dumps(sessions, indent=1)


def test_the_page_tells_of_these():
    assert matrix.PAGE.read_text() == clients_page.text(), "docs/clients.md is not up to date: make clients_page"


def test_every_cell_is_known():
    assert {(fault, sender) for fault, row in KNOWN.items() for sender in row} == {
        (fault.name, sender.name) for fault, sender in matrix.CELLS}
