# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Many sessions of every sort: memory stays flat, no descriptor and no map entry is left, the counts add up. `make soak` runs
200,000 of them; SOAK says how many.
"""
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from harness import BUILD
from harness.lab import sh, wait_until
from harness.life import blocked_flows

SOAK = int(os.environ.get("SOAK", "5000"))
CHUNK = 1000 if SOAK > 50000 else 500  # sessions between two looks at the ring: nothing shall be lost
KEEP = 400     # closed sessions that the agent remembers
SMALL_KB = 384  # what a heap of a few megabytes moves by itself


def memory_kb(pids):
    status = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return [int(re.search(r"^RssAnon:\s*(\d+)", text, re.M)[1]) for text in status]


def descriptors(pids):
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]


def at_rest(pids):
    """Their descriptors; the last command's may be closing meanwhile."""
    seen = []
    for _ in range(20):
        seen.append(descriptors(pids))
        time.sleep(0.02)
    return [min(column) for column in zip(*seen)]


def entries(pids, name):
    """How many entries the agent's map of that name has."""
    ids = {number for pid in pids for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir()
           for number in re.findall(r"^map_id:\s*(\d+)", info.read_text(), re.M)}
    found = [number for number in ids if json.loads(sh("bpftool", "-j", "map", "show", "id", number).stdout)["name"] == name]
    assert found, f"no map {name}"
    return sum(len(json.loads(sh("bpftool", "-j", "map", "dump", "id", number).stdout)) for number in found)


def send(lab, count):
    load = lab.start("client", [BUILD / "soak_load", "send", "192.0.2.2", "25", str(count), "4"], watched=True)
    assert load.wait(timeout=300) == 0


def settled(agent):
    """All flows are over and all events read. The agent's numbers then."""
    seen = {}

    def quiet():
        status = agent.ask("status")
        seen.update(status)
        kernel, own = status["counters"]["kernel"], status["counters"]["agent"]
        return (status["sessions"]["open"] == 0 and kernel["flows_opened"] == kernel["flows_closed"] and
                kernel["events_sent"] == own["events_read"] and status)
    try:
        return wait_until(quiet, "no session is open and all events are read", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {json.dumps(seen)}") from None


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_soak(lab, ca, watch, mode):
    server = lab.start("server", [BUILD / "soak_load", "serve", "192.0.2.2", "25", ca / "server.pem", ca / "server.key"],
                       stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    try:
        agent = watch(mode=mode, sessions={"keep": KEEP}, identity={"witness": False})
        send_all(lab, agent, SOAK // 2)
    finally:
        server.kill()
        server.communicate()


def send_all(lab, agent, sessions):
    warm, sent = None, 0
    pids = agent.processes()
    while sent < sessions:
        send(lab, CHUNK)
        sent += CHUNK
        settled(agent)
        if warm is None and sent >= max(2 * KEEP, sessions // 5):
            warm = memory_kb(pids), at_rest(pids)
    status = settled(agent)
    wait_until(lambda: all(now <= before for now, before in zip(descriptors(pids), warm[1])), "no descriptor is left over")
    after = memory_kb(pids), descriptors(pids)
    print(f"{sent} sessions; anonymous memory {warm[0]} -> {after[0]} kB; descriptors {warm[1]} -> {after[1]}")
    for before, now in zip(warm[0], after[0]):
        assert now <= before * 1.05 + SMALL_KB, (warm, after)
    check_counts(status, sent)
    for name in ("hellos", "witnesses", "verdicts"):
        assert entries(pids, name) == 0, name
    assert not blocked_flows(lab)


def check_counts(status, sent):
    kernel, own = status["counters"]["kernel"], status["counters"]["agent"]
    outcomes = status["counters"]["outcomes"]
    assert kernel["flows_opened"] == sent == sum(outcomes.values()) + status["sessions"]["open"], status
    assert kernel["events_lost"] == 0 and own["events_missed"] == 0 and kernel["events_sent"] == own["events_read"], status
    assert kernel["helper_failed"] == 0 and kernel["storage_failed"] == 0, status
    tenth = sent // 10
    assert outcomes["cleartext" if status["mode"] == "monitor" else "blocked"] == 4 * tenth, outcomes
    assert outcomes["encrypted"] == 2 * tenth, outcomes
