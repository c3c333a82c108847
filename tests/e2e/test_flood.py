# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Servers that say too much, or nothing, and too many of them: the agent's memory and time are bounded, it lives, and what it says
of a session is true or unknown."""
import base64
import json
import os
import pathlib
import re
import subprocess

import pytest

from harness import CLIENTS, ROOT, programs
from harness.agent import expect
from harness.lab import wait_until
from harness.programs import PASSWORD, PYTHON, USER

SERVER = "192.0.2.2"
EHLO = r"EHLO client.example\r\n"
AUTH = "AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode() + r"\r\n"
FLOOD_KB = 16 * 1024
MEMORY_KB = 16 * 1024  # more than that nothing here may cost
CPU_SECONDS = 5        # and of the agent's time; the CI machine is slow


def memory_kb(agent):
    """What the agent's processes have for themselves: shared pages and the ring are not the flood's."""
    total = 0
    for pid in agent.processes():
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty): +(\d+)", rollup, re.M))
    return total


def cpu_seconds(agent):
    ticks = 0
    for pid in agent.processes():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def bounded(watch):
    """bounded(mode="block") starts the agent; at the end it must be there, with a word to say, and have cost little."""
    started = []

    def start(**options):
        agent = watch(**options)
        started.append((agent, agent.processes(), memory_kb(agent), cpu_seconds(agent)))
        return agent

    yield start
    for agent, processes, memory, cpu in started:
        assert agent.ask("status")["counters"]["kernel"]["events_lost"] == 0
        assert agent.processes() == processes, "a process of the agent is another one now"
        assert memory_kb(agent) - memory < MEMORY_KB
        assert cpu_seconds(agent) - cpu < CPU_SECONDS


def read_all(lab, *said, port=25):
    """Returns how many bytes the server said."""
    result = programs.run(lab, [PYTHON, CLIENTS / "read_all.py", SERVER, port, *said], timeout=120)
    assert result.code == 0, result.output
    return int(result.output)


def no_control_bytes(agent):
    printed = [agent.run(*args).stdout for args in (("sessions",), ("-j", "sessions"), ("findings",), ("-j", "findings"))]
    printed += [agent.metrics(), agent.output.read_text()]
    printed += [agent.alerts_file.read_text()] if agent.alerts_file.exists() else []
    for text in printed:
        assert not {c for c in text if ord(c) < 32 or ord(c) == 127} - {"\n", "\t"}, text


FLOODS = {
    "endless reply": (),
    "one line": ("flood-text=x",),
    "one reply line": ("flood-text=250-x x",),
    "NULs": (r"flood-text=\x00",),
    "escape sequences": (r"flood-text=\x1b]0;evil\x07\x1b[2J\x9b31m\xff",),
    "line ends": (r"flood-text=\r\n",),
    "no code twice": (r"flood-text=250-a\r\n500 b\r\n",),
    "TLS records": (r"flood-text=\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03",),
}


CASES = [(kind, where, "monitor") for kind in FLOODS for where in ("greeting", "ehlo")]
CASES += [(kind, "ehlo", "block") for kind in ("endless reply", "TLS records")]


@pytest.mark.parametrize("kind,where,mode", CASES, ids=map(", ".join, CASES))
def test_a_server_that_does_not_stop(lab, serve, bounded, kind, where, mode):
    serve(f"flood-kb={FLOOD_KB}", *FLOODS[kind], *(["flood-greeting"] if where == "greeting" else []))
    agent = bounded(mode=mode)
    assert read_all(lab, EHLO) >= FLOOD_KB * 1024, "the flood was not read: this has tested nothing"
    session = agent.session()
    assert session["outcome"] == "unknown" and session["findings"] == [], session
    assert session["blocked"] is False
    no_control_bytes(agent)


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_a_credential_behind_a_flood(lab, serve, bounded, mode):
    """The replies are not read any more, the commands are: a credential in clear is certain whatever the server said."""
    server = serve("flood-kb=1024", "flood-go-on", "strip", "auth=PLAIN")
    agent = bounded(mode=mode)
    read_all(lab, EHLO, AUTH)
    session = agent.session()
    assert "server-cap" in session["facts"], session
    assert session["findings"] == ["cleartext-auth"], session
    sent = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()) in server.received()
    assert sent == (not session["blocked"])


def test_a_server_that_drips(lab, serve, bounded):
    """One byte at a time is read as any other."""
    serve("strip", "segment=1", "drip-ms=2")
    agent = bounded()
    assert programs.swaks(lab, SERVER).delivered
    expect(agent.session(), "cleartext", {"cleartext-mail", "starttls-missing"})


def test_hostile_bytes_in_an_honest_dialogue(lab, serve, bounded):
    """NULs and escape sequences in the greeting and the keywords: the session is told for what it was."""
    serve(r"greeting=220 evil\x1b[2J\x00\x07.example ESMTP\r\n", "auth=PLAIN",
          r"ehlo-text=250-evil\x00.example\r\n250-\x1b]0;x\x07\r\n250-SIZE \x00\r\n250 AUTH PLAIN\r\n")
    agent = bounded()
    read_all(lab, EHLO, AUTH, r"QUIT\r\n")
    session = agent.session()
    assert session["outcome"] == "cleartext" and "cleartext-auth" in session["findings"], session
    no_control_bytes(agent)


def hold_open(lab, agent, count, say, server_says):
    """COUNT flows at once to a server that says one thing and then nothing. Returns the status as they are all open."""
    ready, go = lab.scratch / "many-ready", lab.scratch / "many-go"
    for path in (ready, go):
        path.unlink(missing_ok=True)
    server = lab.start("server", [PYTHON, ROOT / "tests/e2e/servers/mute.py", SERVER, 25, server_says], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        client = lab.start("client", [PYTHON, CLIENTS / "many_open.py", SERVER, 25, count, say, ready, go], watched=True)
        wait_until(lambda: ready.exists() or client.poll() is not None, "all flows are open", 120)
        assert client.poll() is None, "the client ended early"
        wait_until(lambda: agent.ask("status")["sessions"]["open"] == count, "all sessions are known", 60)
        status = agent.ask("status")
        go.touch()
        assert client.wait(timeout=120) == 0
        wait_until(lambda: agent.ask("status")["sessions"]["open"] == 0, "all sessions are over", 60)
        return status
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


MANY = 3000


@pytest.mark.parametrize("say,server_says", [
    ("", ""),
    (EHLO, r"220 mx.example ESMTP\r\n"),
    (EHLO + r"STARTTLS\r\n", r"220 mx.example ESMTP\r\n250-mx.example\r\n250 STARTTLS\r\n"),
], ids=["mute", "greeted", "asked"])
def test_thousands_of_flows(lab, bounded, say, server_says):
    agent = bounded()
    hold_open(lab, agent, MANY, say, server_says)
    counters = agent.ask("status")["counters"]["kernel"]
    assert counters["flows_opened"] == counters["flows_closed"] == MANY
    assert counters["storage_failed"] == 0
    sessions = agent.ask("sessions")["sessions"]
    assert len(sessions) == MANY and len({s["id"] for s in sessions}) == MANY
    assert all(s["closed"] for s in sessions)


def test_more_flows_than_are_followed(lab, bounded):
    """The oldest are given up, counted once, and not counted again as they end."""
    agent = bounded(sessions={"keep": 100, "open_max": 50})
    ready, go = lab.scratch / "few-ready", lab.scratch / "few-go"
    server = lab.start("server", [PYTHON, ROOT / "tests/e2e/servers/mute.py", SERVER, 25, r"220 mx.example\r\n"],
                       stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        client = lab.start("client", [PYTHON, CLIENTS / "many_open.py", SERVER, 25, 400, EHLO, ready, go], watched=True)
        wait_until(lambda: agent.ask("status")["counters"]["agent"]["sessions_evicted"] == 350, "350 sessions are given up", 60)
        assert agent.ask("status")["sessions"]["open"] == 50
        assert {s["unknown_reason"] for s in agent.ask("sessions")["sessions"] if s["closed"]} == {"given-up"}
        go.touch()
        assert client.wait(timeout=60) == 0
        wait_until(lambda: agent.ask("status")["sessions"]["open"] == 0, "all sessions are over", 60)
        status = agent.ask("status")
        assert status["counters"]["kernel"]["flows_closed"] == 400
        assert sum(status["counters"]["outcomes"].values()) == 400, json.dumps(status["counters"], indent=1)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
