# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Path x session: whatever way the bytes take, verdicts are right, or unknown where bytes may be missed; and in block mode
no byte of a credential arrives."""
import base64
import functools
import json
import subprocess

import pytest

from harness import CLIENTS, paths
from harness.agent import expect
from harness.lab import wait_until
from harness.programs import BODY, PASSWORD, PYTHON, RECIPIENT, SENDER, USER

CREDENTIAL = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
LOGIN = f"AUTH PLAIN {CREDENTIAL}\r\n"
LARGE = "x" * 98 + "\r\n"


def on(path, *arguments, **settings):
    return functools.partial(path, **settings), arguments


VLAN = ("802.1Q", 7)
PATHS = {
    "one-byte": on(paths.direct, way="bytes", behaviours=("segment=1",), doubtful=True),
    "one-byte-client": on(paths.direct, way="bytes"),
    "mss-88": on(paths.mss88),
    "gso": on(paths.direct),
    "wire-loss": on(paths.bad_wire, "loss=5"),
    "wire-reorder": on(paths.bad_wire, "reorder=25"),
    "wire-duplicate": on(paths.bad_wire, "duplicate=30"),
    "wire-delay": on(paths.bad_wire, "delay=40"),
    "wire-corrupt": on(paths.bad_wire, "corrupt=5"),
    "wire-all": on(paths.bad_wire, "loss=3", "reorder=15", "duplicate=10", "corrupt=2", "delay=5"),
    "netem-loss": on(paths.netem, "loss", "5%"),
    "netem-reorder": on(paths.netem, "delay", "10ms", "reorder", "25%"),
    "netem-duplicate": on(paths.netem, "duplicate", "30%"),
    "netem-delay": on(paths.netem, "delay", "40ms"),
    "netem-corrupt": on(paths.netem, "corrupt", "5%"),
    "vlan": on(paths.vlan, VLAN),
    "qinq": on(paths.vlan, ("802.1ad", 5), VLAN),
    "nat-here": on(paths.nat_here),
    "nat-router": on(paths.nat_router),
    "container": on(paths.container),
    "esp": on(paths.esp),
    "fast-open": on(paths.fast_open),
    "mptcp": on(paths.direct, way="mptcp", relay="mptcp", listen=("127.0.0.1",)),
    "ktls": on(paths.direct, way="ktls"),
    "io-uring": on(paths.direct, way="io_uring"),
    "sendfile": on(paths.direct, way="sendfile"),
    "splice": on(paths.direct, way="splice"),
    "zerocopy": on(paths.direct, way="zerocopy"),
}
ROWS = [(name, 0) for name in PATHS] + [(name, 1) for name in ("one-byte-client", "gso", "nat-here", "nat-router", "container", "esp",
                                                               "fast-open", "vlan", "wire-all")]
# only IPv6 has extension headers; the server's come from a relay before it
for header in ("hopopts", "dstopts"):
    PATHS[header] = on(paths.direct, way=header)
    PATHS[f"{header}-both-ways"] = on(paths.direct, way=header, relay=header, listen=("127.0.0.1",))
    ROWS += [(header, 1), (f"{header}-both-ways", 1)]


@pytest.fixture(params=ROWS, ids=lambda row: f"{row[0]}-{('ipv4', 'ipv6')[row[1]]}")
def path(request, lab):
    name, family = request.param
    make, arguments = PATHS[name]
    with make(lab, family, *arguments) as made:
        made.name = name
        yield made


@pytest.fixture
def start_server(lab, serve, path):
    """The fault-making server, and before it the relay where the path has one."""
    relays = []

    def start(*behaviours):
        server = serve(*behaviours, *path.behaviours, **({"addresses": path.listen} if path.listen else {}))
        if path.relay:
            relays.append(lab.start("server", [PYTHON, paths.SERVERS / "relay.py", path.relay, path.host, path.port, "127.0.0.1",
                                               path.port], stdout=subprocess.PIPE, text=True))
            said = relays[-1].stdout.readline().strip()
            if said != "ready":
                pytest.skip(said)
        return server

    yield start
    for relay in relays:
        relay.kill()
        relay.wait()
        relay.stdout.close()


def play(lab, path, steps, in_the_syn=True):
    """in_the_syn: over TCP Fast Open, data did go in the SYN and was taken from there."""
    proof = {"fastopen": "TCPFastOpenActive", "mptcp": "MPCapableSYNACKRX"}.get(path.way if in_the_syn else None)
    before = proof and paths.kernel_count(lab, path.side, proof)
    argv = [PYTHON, CLIENTS / "ways.py", path.way, path.host, path.port, json.dumps(steps)]
    child = lab.start(path.side, argv, watched=True, cgroup=path.cgroup, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    report = json.loads(output.splitlines()[-1])
    if "missing" in report:
        pytest.skip(report["missing"])
    assert proof is None or paths.kernel_count(lab, path.side, proof) == before + 1, "it was plain TCP"
    return report


def greet(path, more=""):
    """TCP Fast Open: the client speaks before the greeting, in its SYN."""
    hello = ["send", f"EHLO client.example\r\n{more}"]
    return [hello, ["expect", "220"]] if path.way == "fastopen" else [["expect", "220"], hello]


def envelope(large=False):
    return [["send", f"MAIL FROM:<{SENDER}>\r\n"], ["expect", "250"], ["send", f"RCPT TO:<{RECIPIENT}>\r\n"], ["expect", "250"],
            ["send", "DATA\r\n"], ["expect", "354"], ["send", f"Subject: x\r\n\r\n{BODY}\r\n"],
            *([["repeat", LARGE, 2600]] if large else []), ["send", ".\r\n"], ["expect", "250"], ["send", "QUIT\r\n"], ["end"]]


def session_of(agent, path, report):
    """The one session; or, over MPTCP, the only one that moved bytes."""
    sessions = [s for s in agent.sessions(1, at_least=True) if s["facts"]]
    assert len(sessions) == 1, (sessions, report)
    for key, value in path.session.items():
        assert sessions[0]["server"][key] == value, sessions[0]
    return sessions[0]


def expect_or_unknown(path, session, outcome, findings):
    """A path that loses bytes may leave it open, and may not see every finding; none is ever made up."""
    if path.doubtful and session["outcome"] == "unknown":
        assert set(session["findings"]) <= set(findings), session
        assert {"client-gap", "server-gap"} & set(session["facts"]), session
    else:
        expect(session, outcome, findings)


def expect_unseen(agent, session):
    expect(session, "unknown", unknown_reason="unseen")
    status = agent.ask("status")
    assert status["sessions"]["unseen"] == 1 and status["health"] == "degraded", status
    assert any("unseen" in reason for reason in status["reasons"]), status


def test_starttls_passes(lab, watch, start_server, path):
    """In block mode, and with large content: nothing is stopped that is encrypted, and nothing is found."""
    server = start_server("auth=PLAIN")
    agent = watch(mode="block")
    report = play(lab, path, [
        *greet(path), ["expect", "250 "], ["send", "STARTTLS\r\n"], ["expect", "220"], ["starttls"],
        ["send", "EHLO client.example\r\n"], ["expect", "250 "], ["send", LOGIN], ["expect", "235"],
        *envelope(large=path.name in ("gso", "sendfile", "io-uring", "ktls", "mptcp"))])
    assert report["error"] is None, report
    assert BODY.encode() in server.received()
    session = session_of(agent, path, report)
    assert session["blocked"] is False
    if path.unseen:
        expect_unseen(agent, session)
    else:
        expect_or_unknown(path, session, "encrypted", ())


def exposed(path, first=""):
    """AUTH and MAIL in clear; over gso, behind so much else that it leaves in one large packet."""
    padding = "NOOP\r\n" * 400 if path.name == "gso" else ""
    replies = [["expect", "250"]] * (400 if padding else 0)
    return [*greet(path, first), ["expect", "250 "], *([] if first else [["send", padding + LOGIN], *replies]), ["expect", "235"],
            *envelope()]


def test_exposed_credential_is_found(lab, watch, start_server, path):
    server = start_server("strip", "auth=PLAIN")
    agent = watch()
    report = play(lab, path, exposed(path))
    assert report["error"] is None, report
    session = session_of(agent, path, report)
    assert CREDENTIAL.encode() in server.received()
    if path.unseen:
        expect_unseen(agent, session)
        return
    expect_or_unknown(path, session, "cleartext", {"cleartext-auth", "cleartext-mail", "starttls-missing"})
    if session["outcome"] == "cleartext":
        assert session["auth"] == {"mechanism": "PLAIN", "account": USER}, session


def test_exposed_credential_is_stopped(lab, watch, start_server, path):
    server = start_server("strip", "auth=PLAIN")
    agent = watch(mode="block", policy={"default": {"require": "encrypted", "action": "block", "unknown": "block"}})
    report = play(lab, path, exposed(path))
    session = session_of(agent, path, report)
    if path.unseen:
        expect_unseen(agent, session)
        return
    assert report["error"] is not None, report
    server.assert_nothing("AUTH PLAIN", CREDENTIAL, CREDENTIAL[:8], SENDER)
    assert session["outcome"] == "blocked" and session["blocked"] is True, session


def test_masked_starttls_is_found(lab, watch, start_server, path):
    start_server("mask=XXXXXXXA")
    agent = watch()
    report = play(lab, path, [*greet(path), ["expect", "250 "], *envelope()])
    assert report["error"] is None, report
    session = session_of(agent, path, report)
    if path.unseen:
        expect_unseen(agent, session)
    else:
        expect_or_unknown(path, session, "cleartext", {"cleartext-mail", "starttls-masked"})


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_credential_in_the_syn(lab, serve, watch, family, mode):
    """The very first packet of the connection carries it."""
    agent = watch(mode=mode)
    with paths.fast_open(lab, family) as path:  # before the server listens
        server = serve("strip", "auth=PLAIN")
        path.name = "fast-open"
        report = play(lab, path, exposed(path, LOGIN), in_the_syn=mode == "monitor")
    if mode == "block":
        assert report["error"] is not None, report
        server.assert_nothing("AUTH PLAIN", CREDENTIAL, CREDENTIAL[:8], SENDER)
        assert all(s["outcome"] in ("blocked", "unknown") for s in agent.sessions(1, at_least=True))
    else:
        assert report["error"] is None, report
        expect(agent.session(), "cleartext", {"cleartext-auth", "cleartext-mail", "starttls-missing"}, auth__account=USER)


def test_the_bad_wire_is_bad(lab):
    """What the rows above stand on: frames do get lost, doubled and overtaken, and TCP mends it."""
    with paths.bad_wire(lab, 0, "loss=20", "reorder=20", "duplicate=20"):
        before = paths.kernel_count(lab, "client", "TCPLossProbes")
        script = ("import socket\ns = socket.create_server(('', 9))\nprint('ready', flush=True)\nc = s.accept()[0]\nn = 0\n"
                  "while True:\n d = c.recv(65536)\n n += len(d)\n if not d: break\nprint(n, flush=True)")
        sink = lab.start("server", [PYTHON, "-c", script], stdout=subprocess.PIPE, text=True)
        assert sink.stdout.readline() == "ready\n"
        sender = lab.start("client", [PYTHON, "-c", "import socket\ns = socket.create_connection(('198.51.100.2', 9))\n"
                                      "s.sendall(bytes(200000))"])
        assert sender.wait(timeout=120) == 0
        assert sink.stdout.readline() == "200000\n"
        sink.stdout.close()
        sink.wait()

        def mended():
            return paths.kernel_count(lab, "client", "TCPSackRecovery") + paths.kernel_count(lab, "client", "TCPLossProbes") - before
        wait_until(mended, "something was lost")
