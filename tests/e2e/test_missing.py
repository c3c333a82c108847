# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""When something is missing: each row of the design's table, in monitor and in block mode.

Not here: the dead agent (test_block.py)."""
import json
import signal
import subprocess

import pytest

from harness import CLIENTS, ROOT, programs
from harness.agent import expect
from harness.lab import sh, wait_until
from harness.programs import PYTHON, SENDER

MAIL = [["send", f"MAIL FROM:<{SENDER}>\r\n"], ["expect", "250"], ["send", "QUIT\r\n"], ["end"]]
GREET = [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "]]


@pytest.fixture
def no_socket_storage(lab):
    """Option memory of the client's namespace down to nothing; a namespace's own setting from Linux 6.8 on."""
    path = "/proc/sys/net/core/optmem_max"
    inside = ["nsenter", f"--net=/run/netns/{lab.ns['client']}", "--"]
    before = sh(*inside, "cat", path, check=False)
    if before.returncode != 0:
        pytest.skip("optmem_max is the whole machine's on this kernel")
    sh(*inside, "sh", "-c", f"echo 0 > {path}")
    yield
    sh(*inside, "sh", "-c", f"echo {before.stdout.strip()} > {path}")


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_no_socket_storage(lab, serve, watch, no_socket_storage, mode):
    server = serve("strip")
    agent = watch(mode=mode)
    assert programs.raw(lab, "192.0.2.2", 25, GREET + MAIL).report["error"] is None
    assert b"MAIL" in server.received()
    session = agent.session()
    expect(session, "unknown", (), {"no-storage"}, blocked=False, unknown_reason="no-storage")
    status = agent.ask("status")
    assert status["counters"]["kernel"]["storage_failed"] >= 1
    assert status["health"] != "ok" and any("optmem_max" in reason for reason in status["reasons"])


@pytest.fixture
def late_segments(lab):
    """A server whose EHLO reply arrives out of order, at an address of no interface."""
    address = "192.0.2.9"
    mac = json.loads(sh("ip", "-j", "-n", lab.ns["server"], "link", "show", "veth0").stdout)[0]["address"]
    sh("ip", "-n", lab.ns["client"], "neigh", "replace", address, "lladdr", mac, "dev", "veth0")
    output = open(lab.scratch / "late.out", "w+")
    server = lab.start("server", [PYTHON, ROOT / "tests/e2e/servers/packets.py", address, 25], stdout=output)
    wait_until(lambda: "ready" in (lab.scratch / "late.out").read_text(), "the packet server is ready")
    yield address
    server.kill()
    server.wait()
    output.close()
    sh("ip", "-n", lab.ns["client"], "neigh", "del", address, "dev", "veth0")


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_gap(lab, watch, late_segments, mode):
    """The offer was not read. That is no downgrade, and nothing is stopped."""
    agent = watch(mode=mode)
    programs.raw(lab, late_segments, 25, GREET + [["send", "QUIT\r\n"], ["expect", "250"]])
    expect(agent.session(), "unknown", (), {"server-gap"}, blocked=False, unknown_reason="gap")
    assert agent.ask("status")["counters"]["kernel"]["gaps"] == 1


@pytest.mark.parametrize("mode,policy,passes", [
    ("monitor", {}, True), ("block", {}, True), ("block", {"default": {"unknown": "block"}}, False),
], ids=["monitor", "block", "block unknown"])
def test_mail_behind_a_gap(lab, watch, late_segments, mode, policy, passes):
    """What a line means may hang on the reply that was not read: nothing is claimed of it."""
    agent = watch(mode=mode, policy=policy) if policy else watch(mode=mode)
    result = programs.raw(lab, late_segments, 25, GREET + MAIL[:2])
    assert ("MAIL" in (lab.scratch / "late.out").read_text()) == passes
    assert (result.report["error"] is None) == passes, result.report
    expect(agent.session(), "unknown" if passes else "blocked", (), {"server-gap"}, blocked=not passes,
           unknown_reason="gap" if passes else None)


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_joined_midway(lab, serve, watch, mode):
    """A flow that was there before the agent: nothing is claimed of it, and nothing of it is stopped."""
    server = serve("strip")
    here, go_on = lab.scratch / "here", lab.scratch / "go-on"
    for path in (here, go_on):
        path.unlink(missing_ok=True)
    steps = GREET + [["touch", str(here)], ["await", str(go_on)]] + MAIL
    child = lab.start("client", [PYTHON, CLIENTS / "raw.py", "192.0.2.2", "25", json.dumps(steps)], watched=True,
                      stdout=subprocess.PIPE, text=True)
    wait_until(here.exists, "the client greeted")
    agent = watch(mode=mode)
    go_on.touch()
    report = json.loads(child.communicate(timeout=30)[0])
    assert report["error"] is None, report
    assert b"MAIL" in server.received()
    for session in agent.ask("sessions")["sessions"]:
        expect(session, "unknown", ())


FLOOD = [["flood", "NOOP " + "x" * 495 + "\r\n", 140]]  # above 64 KiB of commands


def test_parse_cap_monitor(lab, serve, watch):
    serve("strip")
    agent = watch()
    assert programs.raw(lab, "192.0.2.2", 25, GREET + FLOOD + MAIL).report["error"] is None
    session = agent.session()
    assert "client-cap" in session["facts"], session
    assert session["would_block"] is True and session["findings"], session


def test_parse_cap_block(lab, serve, watch):
    server = serve("strip")
    agent = watch(mode="block")
    result = programs.raw(lab, "192.0.2.2", 25, GREET + FLOOD + MAIL)
    assert result.report["error"] in ("ECONNABORTED", "ECONNRESET", "EPIPE"), result.report
    server.assert_nothing("MAIL")
    assert agent.session()["outcome"] == "blocked"


def test_below_the_cap_nothing_happens(lab, serve, watch):
    serve()
    agent = watch(mode="block")
    steps = GREET + [["flood", "NOOP " + "x" * 495 + "\r\n", 100], ["send", "STARTTLS\r\n"], ["expect", "220"], ["starttls"],
                     ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", "QUIT\r\n"], ["end"]]
    assert programs.raw(lab, "192.0.2.2", 25, steps).report["error"] is None
    expect(agent.session(), "encrypted", absent={"client-cap"})


def test_large_message_does_not_count_against_the_cap(lab, serve, watch):
    serve("strip")
    agent = watch()
    body = "x" * 70 + "\r\n"
    steps = GREET + MAIL[:2] + [["send", "RCPT TO:<bob@example.net>\r\n"], ["expect", "250"], ["send", "DATA\r\n"],
                                ["expect", "354"], ["repeat", body, 20000], ["send", ".\r\n"], ["expect", "250"],
                                ["send", "QUIT\r\n"], ["end"]]
    assert programs.raw(lab, "192.0.2.2", 25, steps).report["error"] is None
    expect(agent.session(), "cleartext", {"cleartext-mail", "starttls-missing"}, {"quit-sent"}, {"client-cap", "client-gap"})


@pytest.mark.parametrize("undecided,passes", [("pass", True), ("block", False)])
def test_no_witness(lab, serve, watch, undecided, passes):
    """A verified peer is demanded and nobody can tell: the policy says what then."""
    server = serve()
    agent = watch(mode="block", policy={"default": {"require": "verified", "undecided": undecided}})
    assert programs.swaks(lab, "192.0.2.2", tls="must").delivered == passes
    assert (b"MAIL" in server.received("tls")) == passes
    assert agent.session()["outcome"] == ("encrypted" if passes else "blocked")


@pytest.fixture
def ipsec(lab):
    """Transport-mode ESP between the two namespaces."""
    keys = ["enc", "cbc(aes)", "0x" + "11" * 16, "auth", "hmac(sha256)", "0x" + "22" * 32]
    ends = {"client": ("192.0.2.1", "192.0.2.2"), "server": ("192.0.2.2", "192.0.2.1")}
    try:
        for side, (own, other) in ends.items():
            for source, target, spi in ((own, other, ""), (other, own, "")):
                spi = "0x100" if source == "192.0.2.1" else "0x101"
                made = sh("ip", "-n", lab.ns[side], "xfrm", "state", "add", "src", source, "dst", target, "proto", "esp",
                          "spi", spi, "mode", "transport", *keys, check=False)
                if made.returncode != 0:
                    pytest.skip(f"no ESP on this kernel: {made.stderr.strip()}")
            sh("ip", "-n", lab.ns[side], "xfrm", "policy", "add", "src", own, "dst", other, "dir", "out", "tmpl",
               "src", own, "dst", other, "proto", "esp", "mode", "transport")
        yield
    finally:
        for ns in lab.ns.values():
            sh("ip", "-n", ns, "xfrm", "state", "flush", check=False)
            sh("ip", "-n", ns, "xfrm", "policy", "flush", check=False)


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_unseen(lab, serve, watch, ipsec, mode):
    serve("strip")
    agent = watch(mode=mode)
    assert programs.swaks(lab, "192.0.2.2").delivered
    expect(agent.session(), "unknown", (), {"unseen"}, blocked=False, unknown_reason="unseen")
    status = agent.ask("status")
    assert status["sessions"]["unseen"] == 1 and status["health"] != "ok"


RING_EVENTS = 2 * 1024 * 1024 // 352  # an event of 344 bytes and the record's header


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_full_ring(lab, serve, watch, mode):
    """The agent stands still until the ring is full: what is lost is counted, and blocking is the kernel's alone."""
    server = serve("strip")
    agent = watch(mode=mode, sessions={"keep": 10000})
    agent.signal(signal.SIGSTOP)
    flood = lab.start("client", [PYTHON, CLIENTS / "flood.py", "192.0.2.2", "25", str(RING_EVENTS // 2 + 200)], watched=True)
    assert flood.wait(timeout=120) == 0
    result = programs.raw(lab, "192.0.2.2", 25, GREET + MAIL)
    assert result.report["error"] == ("ETIMEDOUT" if mode == "block" else None), result.report
    assert (b"MAIL" in server.received()) == (mode == "monitor")
    agent.signal(signal.SIGCONT)
    kernel = agent.ask("status")["counters"]["kernel"]
    assert kernel["events_lost"] > 0
    assert kernel["flows_blocked"] == (1 if mode == "block" else 0)
    wait_until(lambda: agent.ask("status")["health"] != "ok", "the loss is told")
    assert any("lost" in reason for reason in agent.ask("status")["reasons"])
    # a session whose end was lost does not stay open for ever
    wait_until(lambda: all(s["closed"] for s in agent.ask("sessions")["sessions"]), "no session is open")
    jammed = {s["id"] for s in agent.ask("sessions")["sessions"]}
    # what comes after the jam is whole again
    programs.raw(lab, "192.0.2.2", 25, GREET + [["send", "QUIT\r\n"], ["end"]])

    def newest():
        session = agent.ask("sessions", "--limit", "1")["sessions"][-1]
        return session["closed"] and session["id"] not in jammed and session
    assert wait_until(newest, "the newest session is over")["events_missed"] == 0
