# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Connections that were there before the agent: found, followed, and unknown as long as it cannot be known what they say."""
import json
import os
import signal
import subprocess

import pytest

from harness import CLIENTS
from harness.agent import expect
from harness.lab import ADDRESSES, sh, wait_until
from harness.paused import Paused
from harness.programs import PYTHON, SENDER

GREET = [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "]]
QUIT = [["send", "QUIT\r\n"], ["end"]]
# two commands and their answers, and the dialogue is found again
FOUND = [["send", "RSET\r\n"], ["expect", "250"], ["send", "NOOP\r\n"], ["expect", "250"]]
MAIL = [["send", f"MAIL FROM:<{SENDER}>\r\n"], ["expect", "250"]]
RCPT = [["send", "RCPT TO:<bob@example.net>\r\n"], ["expect", "250"]]
DATA = [["send", "DATA\r\n"], ["expect", "354"]]
FIN_WAIT_2, TIME_WAIT = "05", "06"  # include/net/tcp_states.h
AUTH = "AUTH PLAIN AHVzZXJAbXguZXhhbXBsZQBodW50ZXIyLXBhNTU=\r\n"
TRAP = f"MAIL FROM:<{SENDER}>\r\n{AUTH}RCPT TO:<bob@example.net>\r\n"


def only_session(agent):
    sessions = agent.ask("sessions")["sessions"]
    assert len(sessions) == 1, sessions
    return sessions[0]


def state_of(lab, session):
    """Of the session's connection, as the client's kernel tells it (Documentation/networking/proc_net_tcp.rst); None: gone."""
    end = f":{session['client']['port']:04X}"
    lines = sh("nsenter", f"--net=/run/netns/{lab.ns['client']}", "cat", "/proc/self/net/tcp").stdout.splitlines()[1:]
    return next((line.split()[3] for line in lines if line.split()[1].endswith(end)), None)


def closed(agent):
    return agent.sessions(1)[0]


def test_it_is_there_at_once(lab, serve, watch, server_address):
    """Whose it is and where it goes is known before it says anything."""
    serve("strip")
    client = Paused(lab, GREET, QUIT, host=server_address)
    agent = watch()
    wait_until(lambda: agent.ask("sessions")["sessions"], "the session is there")
    session = only_session(agent)
    expect(session, "unknown", (), {"midway"}, midway=True, unknown_reason="midway", closed=None, bytes__sent=None,
           bytes__received=None, server__address=server_address, server__port=25, blocked=False)
    assert session["client"]["address"] in ADDRESSES["client"]
    assert session["process"]["pid"] == client.process.pid and session["process"]["comm"].startswith("python")
    assert session["process"]["uid"] == 0 and session["process"]["cgroup"].endswith(lab.cgroup.name)
    kernel = agent.ask("status")["counters"]["kernel"]
    assert kernel["flows_found"] == 1 and kernel["netns_unseen"] == 0 and kernel["flows_adopted"] == 0
    # 5.10 has no Landlock, which status says
    assert [reason for reason in agent.ask("status")["reasons"] if "Landlock" not in reason] == []
    client.go_on()
    expect(closed(agent), "unknown", (), {"midway"}, {"quit-sent"}, unknown_reason="midway", end="server", events_missed=0)
    assert agent.ask("status")["counters"]["kernel"]["flows_adopted"] == 1
    assert not [a for a in agent.alerts() if a["event"]["kind"] == "alert"]


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_credential_once_the_dialogue_is_found(lab, serve, watch, server_address, mode):
    server = serve("strip", "auth=PLAIN")
    client = Paused(lab, GREET, FOUND + [["send", AUTH], ["expect", "235"]] + QUIT, host=server_address)
    agent = watch(mode=mode)
    report = client.go_on()
    session = closed(agent)
    if mode == "monitor":
        assert report["error"] is None, report
        expect(session, "cleartext", {"cleartext-auth"}, {"midway", "resynced", "credential-clear", "would-block"}, midway=True,
               auth__mechanism="PLAIN", auth__account="user@mx.example")
    else:
        assert report["error"] in ("ECONNABORTED", "ECONNRESET", "EPIPE"), report
        server.assert_nothing("AUTH")
        expect(session, "blocked", {"cleartext-auth"}, {"midway", "resynced", "blocked"}, blocked=True)


def test_credential_is_told_by_its_answer(lab, serve, watch):
    """235 is the answer to AUTH and to nothing else."""
    serve("strip", "auth=PLAIN")
    client = Paused(lab, GREET, [["send", AUTH], ["expect", "235"]] + QUIT)
    agent = watch()
    client.go_on()
    expect(closed(agent), "cleartext", {"cleartext-auth"}, {"credential-clear"}, {"would-block"}, auth__account="user@mx.example")


def test_greets_again(lab, serve, watch):
    """An EHLO reply is read as ever."""
    serve("strip")
    client = Paused(lab, GREET, GREET[1:] + MAIL + QUIT)
    agent = watch()
    client.go_on()
    expect(closed(agent), "cleartext", {"cleartext-mail", "starttls-missing"}, {"ehlo-accepted"}, cause="starttls-missing")


def test_starttls_after_the_start(lab, serve, watch):
    serve()
    client = Paused(lab, GREET, [["send", "STARTTLS\r\n"], ["expect", "220"], ["starttls"]] + GREET[1:] + MAIL + QUIT)
    agent = watch()
    assert client.go_on()["error"] is None
    expect(closed(agent), "encrypted", (), {"midway", "resynced", "client-hello", "server-hello"}, tls__established=True,
           tls__version="1.3")


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_in_the_middle_of_a_message(lab, serve, watch, mode):
    """Whatever stands in it."""
    server = serve("strip", "auth=PLAIN")
    client = Paused(lab, GREET + MAIL + RCPT + DATA + [["send", "Subject: x\r\n\r\n"]],
                    [["send", TRAP], ["send", AUTH], ["sleep", 0.2], ["send", AUTH], ["sleep", 0.2], ["send", f"MAIL FROM:<{SENDER}>\r\n"],
                     ["sleep", 0.2], ["repeat", TRAP, 3000], ["send", ".\r\n"], ["expect", "250"]] + QUIT)
    agent = watch(mode=mode)
    report = client.go_on()
    assert report["error"] is None, report
    assert AUTH.encode() in server.received()
    expect(closed(agent), "unknown", (), {"midway"}, {"would-block", "resynced"}, unknown_reason="midway", blocked=False)


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_the_message_behind_354(lab, serve, watch, mode):
    """DATA was sent before the agent started, or its MAIL was: the message is a message."""
    serve("strip", "auth=PLAIN")
    client = Paused(lab, GREET + MAIL + RCPT, DATA + [["send", TRAP], ["sleep", 0.2], ["send", AUTH + ".\r\n"], ["expect", "250"]] + QUIT)
    agent = watch(mode=mode)
    assert client.go_on()["error"] is None
    expect(closed(agent), "unknown", (), {"midway", "resynced", "content-clear", "quit-sent"}, {"would-block"}, blocked=False)


@pytest.mark.parametrize("mode", ["monitor", "block"])
@pytest.mark.parametrize("port", [25, 465])
def test_in_tls(lab, serve, watch, mode, port):
    server = serve("auth=PLAIN")
    start = [["starttls"], ["expect", "220"]] if port == 465 else GREET + [["send", "STARTTLS\r\n"], ["expect", "220"], ["starttls"]]
    client = Paused(lab, start + GREET[1:], [["send", AUTH], ["expect", "235"]] + MAIL + RCPT + DATA +
                    [["repeat", TRAP, 3000], ["send", ".\r\n"], ["expect", "250"]] + QUIT, port=port)
    agent = watch(mode=mode)
    assert client.go_on()["error"] is None
    assert AUTH.encode() in server.received("tls")
    expect(closed(agent), "unknown", (), {"midway"}, {"resynced", "would-block", "plain-on-tls-port"}, unknown_reason="midway")


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_before_the_greeting_nothing_is_missed(lab, serve, watch, mode):
    """Connected, and nobody has said anything: that is a session like any other."""
    server = serve("strip", "auth=PLAIN")
    server.process.send_signal(signal.SIGSTOP)
    client = Paused(lab, [], GREET + [["send", AUTH], ["expect", "235"]] + QUIT)
    agent = watch(mode=mode)
    server.process.send_signal(signal.SIGCONT)
    report = client.go_on()
    session = closed(agent)
    findings = {"cleartext-auth", "starttls-missing"}
    if mode == "monitor":
        assert report["error"] is None, report
        expect(session, "cleartext", findings, {"greeting-accepted", "ehlo-accepted"}, {"midway", "server-gap", "client-gap"}, midway=False)
    else:
        server.assert_nothing("AUTH")
        expect(session, "blocked", findings, {"greeting-accepted"}, {"midway"})


@pytest.mark.parametrize("unknown,passes", [("pass", True), ("block", False)])
def test_policy_on_the_unknown(lab, serve, watch, unknown, passes):
    server = serve("strip")
    client = Paused(lab, GREET, MAIL + QUIT)
    agent = watch(mode="block", policy={"default": {"unknown": unknown}})
    report = client.go_on()
    assert (report["error"] is None) == passes, report
    assert (b"MAIL" in server.received()) == passes
    expect(closed(agent), "unknown" if passes else "blocked", (), {"midway"}, blocked=not passes)


def test_restart(lab, serve, watch):
    """In monitor mode nothing is left of an agent, and the next one begins anew."""
    serve("strip")
    client = Paused(lab, GREET, MAIL + QUIT)
    first = watch()
    wait_until(lambda: first.ask("sessions")["sessions"], "the session is there")
    assert first.stop() == 0
    second = watch()
    assert only_session(second)["midway"] is True
    client.go_on()
    expect(closed(second), "unknown", (), {"midway"}, unknown_reason="midway")


def test_takeover_needs_no_search(lab, serve, watch):
    """In block mode the hooks outlive a killed agent, and the flow is followed all the time."""
    server = serve("strip", "auth=PLAIN")
    first = watch(mode="block")
    client = Paused(lab, GREET, [["send", AUTH], ["expect", "235"]] + QUIT)
    first.kill()
    second = watch(mode="block")
    assert second.ask("status")["counters"]["kernel"]["flows_found"] == 0
    client.go_on()
    session = closed(second)
    server.assert_nothing("AUTH")
    expect(session, "blocked", {"cleartext-auth", "starttls-missing"}, {"ehlo-accepted"}, {"midway"}, midway=False)


def test_one_that_is_silent_is_known_to_the_next_agent(lab, serve, watch):
    """Its entry waits in a map that outlives the agent."""
    server = serve("strip", "auth=PLAIN")
    client = Paused(lab, GREET, FOUND + [["send", AUTH], ["expect", "235"]] + QUIT)
    first = watch(mode="block")
    before = only_session(first)
    first.kill()
    second = watch(mode="block")
    assert only_session(second)["id"] == before["id"] and only_session(second)["midway"] is True
    client.go_on()
    expect(closed(second), "blocked", {"cleartext-auth"}, {"midway", "resynced"}, events_missed=0)
    server.assert_nothing("AUTH")


def test_restart_under_traffic_raises_nothing(lab, serve, watch):
    """Sessions in all stages, over and over, while agents come and go."""
    serve("auth=PLAIN")
    steps = []
    for _ in range(40):
        steps += GREET + [["send", "STARTTLS\r\n"], ["expect", "220"], ["starttls"]] + GREET[1:]
        steps += [["send", AUTH], ["expect", "235"]] + MAIL + RCPT + DATA
        steps += [["repeat", TRAP, 100], ["send", ".\r\n"], ["expect", "250"]] + QUIT + [["again"]]
    clients = [lab.start("client", [PYTHON, CLIENTS / "raw.py", "192.0.2.2", "25", json.dumps(steps)], watched=True,
                         stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for _ in range(4):
        agent = watch()
        for session in agent.ask("sessions")["sessions"]:
            assert session["findings"] == [] and session["outcome"] in ("unknown", "encrypted"), session
        assert agent.stop() == 0
        assert not [a for a in agent.alerts() if a["event"]["kind"] == "alert"], agent.alerts()
    for client in clients:
        assert json.loads(client.communicate(timeout=120)[0])["error"] is None


def test_ends_without_a_word(lab, serve, watch):
    """Hundreds of them, reset at once: no session stays open, and nothing is left over."""
    serve("strip")
    many = 300
    script = ("import socket, struct, sys, os, time\n"
              f"held = [socket.create_connection(('192.0.2.2', 25)) for _ in range({many})]\n"
              "for s in held:\n"
              "    s.recv(100); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
              "print('ready', flush=True)\n"
              "sys.stdin.readline()\n"
              "for s in held: s.close()\n"
              "sys.stdin.readline()\n")
    client = lab.start("client", [PYTHON, "-c", script], watched=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "ready\n"
    agent = watch()
    wait_until(lambda: agent.ask("status")["sessions"]["open"] == many, "all are there")
    client.stdin.write("\n")
    client.stdin.flush()
    wait_until(lambda: agent.ask("status")["sessions"]["open"] == 0, "all are over", timeout=60)
    assert agent.ask("status")["counters"]["kernel"]["flows_found"] == many
    client.communicate("\n")


def test_reset_by_the_server(lab, serve, watch):
    """The RST comes from the network and may be forged: the socket is looked for instead."""
    server = serve("strip")
    client = Paused(lab, GREET, MAIL)
    agent = watch()
    assert only_session(agent)["closed"] is None
    server.process.kill()  # with what the client sends then unread, its kernel answers with RST
    client.go_on()
    expect(closed(agent), "unknown", (), {"midway"}, events_missed=0)


def test_other_cgroups_are_left_alone(lab, serve, watch):
    serve("strip")
    inside = lab.cgroup / "inside"
    inside.mkdir(exist_ok=True)
    client = Paused(lab, GREET, QUIT, watched=True)
    deeper = Paused(lab, GREET, QUIT, cgroup=inside)
    agent = watch(cgroup=inside)
    session = only_session(agent)
    assert session["process"]["pid"] == deeper.process.pid
    client.go_on()
    deeper.go_on()
    closed(agent)


def test_accepted_connections_are_left_out(lab, watch):
    """Mail that comes in from port 25 of somebody is none that this host sends."""
    server = ("import socket, sys\n"
              "s = socket.create_server(('192.0.2.1', 7025)); s.settimeout(20); print('ready', flush=True)\n"
              "c, _ = s.accept(); print('accepted', flush=True)\n"
              "sys.stdin.readline(); c.sendall(b'220 x\\r\\n'); sys.stdin.readline()\n")
    accepting = lab.start("client", [PYTHON, "-c", server], watched=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert accepting.stdout.readline() == "ready\n"
    peer = lab.start("server", [PYTHON, "-c", "import socket, time\n"
                                "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
                                "s.bind(('192.0.2.2', 25)); s.connect(('192.0.2.1', 7025)); time.sleep(600)"])
    assert accepting.stdout.readline() == "accepted\n"
    agent = watch()
    accepting.stdin.write("\n")
    accepting.stdin.flush()
    assert agent.ask("sessions")["sessions"] == []
    assert agent.ask("status")["counters"]["kernel"]["flows_found"] == 0
    peer.kill()
    accepting.communicate("\n")


@pytest.mark.parametrize("state", (FIN_WAIT_2, TIME_WAIT), ids=("fin-wait-2", "time-wait"))
def test_end_of_which_only_the_kernel_knows(lab, watch, state):
    """Behind the client's FIN its kernel may keep what looks like the socket, and no hook sees the server's FIN then."""
    server = lab.start("server", [PYTHON, "-c", "import socket, sys, time\n"
                                  "s = socket.create_server(('192.0.2.2', 25)); print('ready', flush=True)\n"
                                  "c, _ = s.accept(); c.sendall(b'220 x\\r\\n'); c.recv(100)\n"
                                  "sys.stdin.readline(); c.close(); time.sleep(600)"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    sleeper = lab.start("client", ["sleep", "600"])  # the namespace can be looked into
    client = Paused(lab, [["expect", "220"]], [])
    agent = watch()
    session = only_session(agent)
    assert session["closed"] is None
    client.go_on()
    wait_until(lambda: state_of(lab, session) == FIN_WAIT_2, "the client's FIN is acknowledged")
    if state == TIME_WAIT:
        server.stdin.write("\n")
        server.stdin.flush()
        wait_until(lambda: state_of(lab, session) == TIME_WAIT, "the server's FIN has come")
    expect(closed(agent), "unknown", (), {"midway"}, events_missed=0)
    assert state_of(lab, session) == state
    for process in (server, sleeper):
        process.kill()
        process.wait()


def test_namespace_of_a_process_that_is_gone(lab, serve, watch):
    """A socket may live in a namespace that only it and a name hold."""
    serve("strip")
    mover = ("import os, socket, sys, ctypes\n"
             "s = socket.create_connection(('192.0.2.2', 25)); s.recv(100)\n"
             f"fd = os.open('/proc/{os.getpid()}/ns/net', os.O_RDONLY)\n"
             "assert ctypes.CDLL(None).setns(fd, 0) == 0\n"
             "print('ready', flush=True); sys.stdin.readline()\n")
    client = lab.start("client", [PYTHON, "-c", mover], watched=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "ready\n"
    agent = watch()
    session = only_session(agent)
    assert session["process"]["pid"] == client.pid and session["midway"] is True
    client.communicate("\n")
    closed(agent)
