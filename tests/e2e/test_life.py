# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the kernel does once the agent is gone, when it is replaced, and how it is all taken away."""
import ipaddress
import json
import shutil
import signal
import socket
import struct
import subprocess

import pytest

from harness import CLIENTS, programs
from harness.lab import sh, wait_until
from harness.life import BLOCKED, OTHER_ABI, PINS, SECRET, Senders, attached, blocked_flows, detach, folders, netns_cookie
from harness.programs import PYTHON, SENDER, STOPPED

GREET = [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "]]
MAIL = [["send", f"MAIL FROM:<{SENDER}>\r\n"], ["expect", "250"], ["send", "QUIT\r\n"], ["end"]]


@pytest.fixture(autouse=True)
def nothing_stays(lab):
    yield
    if attached(lab):
        detach(lab, "--force")
    assert attached(lab) == []


def greeted(lab, more=MAIL):
    """A client that has greeted and waits to be let on. Returns it, and what lets it on."""
    here, go_on = lab.scratch / "here", lab.scratch / "go-on"
    for path in (here, go_on, lab.scratch / "once-more"):
        path.unlink(missing_ok=True)
    steps = GREET + [["touch", str(here)], ["await", str(go_on)]] + more
    child = lab.start("client", [PYTHON, CLIENTS / "raw.py", "192.0.2.2", "25", json.dumps(steps)], watched=True,
                      stdout=subprocess.PIPE, text=True)
    wait_until(here.exists, "the client greeted")
    return child, go_on.touch


def report_of(child):
    return json.loads(child.communicate(timeout=60)[0])


# ---- on_exit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_exit", [None, "keep"])
def test_in_block_mode_the_kernel_goes_on(lab, serve, watch, on_exit):
    server = serve("strip")
    agent = watch(mode="block", on_exit=on_exit)
    assert agent.stop() == 0
    assert folders(lab), "nothing stayed"
    result = programs.raw(lab, "192.0.2.2", 25, GREET + MAIL)
    assert result.report["error"] == "ETIMEDOUT", result.report
    server.assert_nothing(SENDER, "MAIL")
    assert detach(lab).returncode == 0
    assert attached(lab) == []
    assert programs.raw(lab, "192.0.2.2", 25, GREET + MAIL).report["error"] is None, "nothing is in the way any more"


@pytest.mark.parametrize("settings", [{"mode": "monitor", "on_exit": None}, {"mode": "monitor", "on_exit": "detach"},
                                      {"mode": "block", "on_exit": "detach"}], ids=str)
def test_nothing_stays(lab, watch, settings):
    agent = watch(**settings)
    assert attached(lab)
    assert agent.stop() == 0
    assert attached(lab) == []


def test_what_is_kept_goes_with_the_mode(lab, watch):
    """Set to monitor by hand, the agent leaves nothing, unless it is told to keep."""
    agent = watch(mode="block", on_exit=None)
    agent.set_mode("monitor")
    assert agent.stop() == 0
    assert attached(lab) == []


def test_kept_in_monitor_mode_a_flow_outlives_its_agent(lab, serve, watch):
    serve("strip")
    agent = watch(mode="monitor", on_exit="keep")
    child, go_on = greeted(lab)
    assert agent.stop() == 0
    agent.start()
    go_on()
    assert report_of(child)["error"] is None
    assert agent.session()["outcome"] == "cleartext"


def test_a_start_that_fails_leaves_the_old_hooks_at_work(lab, serve, watch):
    server = serve("strip")
    agent = watch(mode="block", on_exit="keep")
    assert agent.stop() == 0
    before = attached(lab)
    agent.config["metrics"] = {"address": "192.0.2.200", "port": 1}  # nobody's address
    agent.start(wait=False)
    assert agent.process.wait(timeout=20) == 78
    assert attached(lab) == before
    assert programs.raw(lab, "192.0.2.2", 25, GREET + MAIL).report["error"] == "ETIMEDOUT"
    server.assert_nothing(SENDER, "MAIL")


# ---- detach -------------------------------------------------------------------------------------------------


def test_detach_refuses_beside_an_agent(lab, watch):
    agent = watch(mode="block")
    before = attached(lab)
    result = detach(lab)
    assert result.returncode == 75 and "an agent is at work" in result.stderr, result
    assert attached(lab) == before
    agent.kill()
    assert attached(lab) == before
    result = detach(lab, json_too=True)
    assert result.returncode == 0, result
    removed = [entry["path"] for entry in json.loads(result.stdout)["removed"]]
    assert {"link-egress", "link-connect4", "map-flows"} <= {path.rsplit("/", 1)[1] for path in removed}, removed
    assert attached(lab) == []
    assert json.loads(detach(lab, json_too=True).stdout) == {"removed": []}


def test_detach_by_force(lab, watch):
    agent = watch(mode="block")
    assert detach(lab, "--force").returncode == 0
    assert attached(lab) == []
    wait_until(lambda: hooks_at_work(agent) == set(), "status says that the hooks are gone")
    assert agent.ask("status")["health"] == "degraded"
    assert agent.stop() == 0


def test_detach_is_for_root(lab):
    cli = lab.scratch / "smtpward-for-all"
    shutil.copy(OTHER_ABI.parent / "smtpward", cli)
    cli.chmod(0o755)
    result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", cli, "detach"],
                            capture_output=True, text=True, cwd="/")
    assert result.returncode == 77 and "root" in result.stderr, result


# ---- its cgroup ---------------------------------------------------------------------------------------------


def hooks_at_work(agent):
    return {hook["name"] for hook in agent.ask("status")["hooks"] if hook["attached"]}


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_a_cgroup_that_is_made_again(lab, serve, watch, mode):
    """As a service's is, whenever it is restarted: the hooks of the old one are gone, and nothing else says so."""
    server = serve("strip")
    service = lab.cgroup / "service"
    service.mkdir()
    agent = watch(mode=mode, cgroup=service)
    before = service.stat().st_ino
    every = hooks_at_work(agent)
    service.rmdir()
    wait_until(lambda: hooks_at_work(agent) == set(), "status says that the hooks are gone")
    assert agent.ask("status")["health"] == "degraded"
    wait_until(lambda: "hooks-lost" in [a["event"]["action"] for a in agent.alerts()], "the loss is told")
    service.mkdir()
    try:
        wait_until(lambda: hooks_at_work(agent) == every, "the hooks are on the new cgroup")
        result = programs.raw(lab, "192.0.2.2", 25, GREET + MAIL, cgroup=service)
        assert (result.report["error"] in STOPPED) == (mode == "block"), result.report
        assert agent.session()["outcome"] == ("blocked" if mode == "block" else "cleartext")
        here = f"{service.stat().st_ino}-"
        assert [folder.name.startswith(here) for folder in PINS.glob("*-*") if folder.is_dir()] == [True] * (mode == "block")
        agent.kill()
        result = programs.raw(lab, "192.0.2.2", 25, GREET + MAIL, cgroup=service)
        assert (result.report["error"] in STOPPED) == (mode == "block"), result.report
        agent.start()
        assert hooks_at_work(agent) == every
        assert agent.ask("status")["counters"]["agent"]["destroy_failed"] == 0, "a flow that is over is no failure"
        assert agent.stop() == 0
        assert not list(PINS.glob(f"{before}-*")) and not list(PINS.glob(f"{here}*"))
    finally:
        service.rmdir()
    if mode == "block":
        server.assert_nothing(SENDER, "MAIL")


# ---- another agent ------------------------------------------------------------------------------------------


def over_for_sure():
    """Writes down a blocked flow of this namespace whose socket is gone. Returns a function that says whether it is there still."""
    with socket.socket() as gone:
        cookie, netns = (gone.getsockopt(socket.SOL_SOCKET, option, 8) for option in (57, 71))  # SO_COOKIE, SO_NETNS_COOKIE
    entry = struct.pack("=QQ8sIIHHI", 1, 1, netns, 0, 0, 1, 25, 0) + 2 * ipaddress.ip_address("::ffff:192.0.2.2").packed
    sh("bpftool", "map", "update", "pinned", BLOCKED, "key", *hexadecimal(cookie), "value", *hexadecimal(entry))
    return lambda: sh("bpftool", "map", "lookup", "pinned", BLOCKED, "key", *hexadecimal(cookie), check=False).returncode == 0


def hexadecimal(octets):
    return [f"{octet:#04x}" for octet in octets]


def test_an_agent_beside_forgets_no_flow_that_it_cannot_look_for(lab, serve, watch):
    """The map of blocked flows is one for all agents; this one may not enter the flow's network namespace."""
    if not netns_cookie(lab):
        pytest.skip("this kernel gives network namespaces no cookies")
    server = serve("strip")
    agent = watch(mode="monitor", on_exit="keep")
    child, go_on = greeted(lab)
    agent.set_mode("block")
    agent.signal(signal.SIGSTOP)
    go_on()
    wait_until(lambda: blocked_flows(lab), "the flow is blocked")
    beside = lab.cgroup / "beside"
    beside.mkdir()
    try:
        other = watch(mode="block", cgroup=beside, privileges={"user": "nobody", "hardening": "available", "containers": False})
        is_there = over_for_sure()
        wait_until(lambda: not is_there(), "the other agent has looked through the map")
        assert child.poll() is None and len(blocked_flows(lab)) == 1
        agent.signal(signal.SIGCONT)
        assert report_of(child)["error"] == "ECONNABORTED", "its own agent ends it"
        wait_until(lambda: not blocked_flows(lab), "then it is forgotten")
        assert other.stop() == 0
    finally:
        beside.rmdir()
    server.assert_nothing(SENDER, "MAIL")


# ---- another ABI version ------------------------------------------------------------------------------------


def upgrade(agent, wait=True):
    agent.kill()
    agent.program = OTHER_ABI
    agent.start(wait=wait)


def test_a_flow_of_the_old_version_is_blocked_still(lab, serve, watch):
    """The old object knows the flow, and goes on with it; it takes no new ones, and goes with the last of its own."""
    server = serve("strip")
    agent = watch(mode="block")
    child, go_on = greeted(lab)
    upgrade(agent)
    assert len(folders(lab)) == 2, folders(lab)
    old, new = sorted(folders(lab), key=lambda folder: folder.name.endswith("-9999"))
    assert not (old / "link-connect4").exists() and (old / "link-egress").exists()
    result = programs.raw(lab, "192.0.2.2", 25, GREET + MAIL)
    assert result.report["error"] in STOPPED, result.report
    blocked = wait_until(lambda: [s for s in agent.ask("sessions")["sessions"] if s["blocked"]], "a new flow is the new agent's")
    assert [s["midway"] for s in blocked] == [False], blocked
    go_on()
    assert report_of(child)["error"] in STOPPED
    server.assert_nothing(SENDER, "MAIL")
    wait_until(lambda: folders(lab) == [new], "the old object is gone", 60)
    agent.sessions(2)
    status = agent.ask("status")
    assert status["sessions"]["unseen"] == 0, status["reasons"]
    assert status["counters"]["kernel"]["flows_opened"] == status["counters"]["kernel"]["flows_closed"] == 1, status


def test_new_flows_are_not_the_old_versions(lab, serve, watch):
    """It goes on with those that it has, by the policy that it had. What is allowed by now passes."""
    server = serve("strip")
    agent = watch(mode="block")
    child, go_on = greeted(lab)
    agent.config["policy"] = {"rules": [{"to": "any", "require": "none", "reason": "agreed meanwhile"}]}
    upgrade(agent)
    assert len(folders(lab)) == 2, folders(lab)
    result = programs.raw(lab, "192.0.2.2", 25, GREET + MAIL)
    assert result.report["error"] is None, result.report
    assert b"MAIL" in server.received()
    go_on()
    assert report_of(child)["error"] in STOPPED


def test_a_blocked_flow_stays_blocked_across_an_upgrade(lab, serve, watch):
    """
    It was opened when nothing could block it, so the kernel does not end it by itself; the old agent stands still, so it does
    not either. The old object is taken away altogether: what is left is the map that all versions share.
    """
    server = serve("strip")
    agent = watch(mode="monitor", on_exit="keep")
    once_more = lab.scratch / "once-more"
    child, go_on = greeted(lab, [MAIL[0], ["await", str(once_more)], ["send", "RSET\r\n"], *MAIL[1:]])
    agent.set_mode("block")
    agent.signal(signal.SIGSTOP)
    go_on()
    wait_until(lambda: blocked_flows(lab), "the flow is blocked")
    upgrade(agent)
    agent.signal(signal.SIGSTOP)
    old = [folder for folder in folders(lab) if not folder.name.endswith("-9999")][0]
    for pin in old.iterdir():
        pin.unlink()
    old.rmdir()
    before = dropped(lab)
    once_more.touch()  # TCP presents what it has kept, at once and not at its own time
    wait_until(lambda: dropped(lab) > before, "the segment is dropped again", 60)
    assert child.poll() is None and blocked_flows(lab), "the flow is still there"
    server.assert_nothing(SENDER, "MAIL")
    agent.signal(signal.SIGCONT)
    assert report_of(child)["error"] == "ECONNABORTED", "the new agent ends what the old one had no time for"
    wait_until(lambda: not blocked_flows(lab), "the map is empty")
    server.assert_nothing(SENDER, "MAIL")


def dropped(lab):
    """segments_dropped of the new object, whose agent stands still."""
    counters = [folder for folder in folders(lab) if folder.name.endswith("-9999")][0] / "map-counters"
    for entry in json.loads(sh("bpftool", "-j", "map", "dump", "pinned", counters).stdout):
        if entry["formatted"]["key"] == 4:
            return sum(value["value"] for value in entry["formatted"]["values"])
    raise AssertionError("no such counter")


def test_no_gap_while_versions_change(lab, serve, watch):
    server = serve("strip", "auth=PLAIN")
    agent = watch(mode="block")
    senders = Senders(lab)
    old, new = agent.program, OTHER_ABI
    for program in (new, old, new, old):
        wait_for_more(server)
        agent.kill()
        agent.program = program
        agent.start()
        wait_for_more(server)
    seen = senders.end()
    server.assert_nothing(SECRET, "AUTH")
    assert seen["answered"] == 0 and seen["stuck"] == 0, seen
    assert seen["stopped"] > 20, seen


def wait_for_more(server, count=8):
    goal = server.connections() + count
    wait_until(lambda: server.connections() >= goal, "more connections", 60)
