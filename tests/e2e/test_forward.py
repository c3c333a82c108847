# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a router forwards: the TC vantage. The agent runs in the router's namespace, client and server are in others."""
import base64
import ipaddress
import itertools
import json
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time

import pytest

from harness import BUILD, CLIENTS, TOOLS
from harness.agent import Agent, expect
from harness.fault_server import FaultServer
from harness.lab import sh, wait_until
from harness.paused import Paused
from harness.programs import BODY, PASSWORD, PYTHON, SENDER, USER, smtplib
from harness.routed import ADDRESSES, ROUTERS, RoutedLab

PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, PLAIN)
BOTH = ["lan0", "wan0"]

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def routed():
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="smtpward-routed-"))
    made = RoutedLab(scratch)
    try:
        made.open()
        sh(TOOLS / "test_ca.sh", scratch / "ca")
        yield made
    finally:
        made.close()
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture
def serve(routed):
    started = []

    def start(*behaviours, **options):
        options.setdefault("addresses", ADDRESSES["server"])
        started.append(FaultServer(routed, routed.scratch / "ca", next(numbers), behaviours, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def watch(routed):
    started = []

    def start(interfaces=BOTH, **options):
        made = Agent(routed, next(numbers), side="router", tc={"interfaces": interfaces}, **options)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.stop()
    assert attached(routed) == [], "left behind"


def attached(routed):
    """Our programs at the router's interfaces, by TCX or clsact, and qdiscs of ours."""
    found = routed.run_in("router", PYTHON, CLIENTS.parent / "harness" / "tcx.py").stdout.splitlines()
    qdiscs = routed.run_in("router", "tc", "qdisc", "show").stdout.splitlines()
    return found + [line for line in qdiscs if "clsact" in line]


def hooks(agent):
    return {hook["name"]: hook["attached"] for hook in agent.ask("status")["hooks"] if "/" in hook["name"] and not hook["name"].startswith("cgroup")}


def interfaces(agent):
    return {name.split("/")[1] for name, is_attached in hooks(agent).items() if is_attached}


class Stepwise:
    """raw.py in the client's namespace, outside the watched cgroup, told when to go on."""

    def __init__(self, routed, host, port, before, after):
        self.go = routed.scratch / f"go-{next(numbers)}"
        self.here = routed.scratch / f"here-{next(numbers)}"
        steps = [*before, ["touch", str(self.here)], ["await", str(self.go)], *after]
        self.child = routed.start("client", [PYTHON, CLIENTS / "raw.py", host, str(port), json.dumps(steps)],
                                  stdout=subprocess.PIPE, text=True)
        wait_until(self.here.exists, "the first half is done")

    def finish(self):
        self.go.touch()
        output, _ = self.child.communicate(timeout=60)
        return json.loads(output.splitlines()[-1])


EHLO = [["expect", "220"], ["send", "EHLO client.example\r\n"], ["expect", "250 "]]
LOGIN = [["send", f"AUTH PLAIN {PLAIN}\r\n"], ["expect", "235"], ["send", "QUIT\r\n"], ["end"]]


# ---- monitor ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("where", [["lan0"], ["wan0"], BOTH], ids="+".join)
def test_a_forwarded_session_is_seen_once(routed, serve, watch, family, where):
    serve("strip", "auth=PLAIN")
    agent = watch(where)
    assert interfaces(agent) == set(where)
    assert smtplib(routed, ADDRESSES["server"][family], 587, auth="PLAIN", watched=False).delivered
    session = agent.session()
    expect(session, "cleartext", ["cleartext-auth", "cleartext-mail", "starttls-missing"], forwarded=True, interface=where[0],
           process__pid=None, process__comm=None, client__address=ADDRESSES["client"][family], would_block=True,
           server__name="server.example", auth__account=USER)
    counters = agent.ask("status")["counters"]["kernel"]
    assert counters["forwards_opened"] == counters["flows_closed"] == 1 and counters["gaps"] == 0
    assert f" {ADDRESSES['client'][family]}@{where[0]} " in agent.run("sessions").stdout
    alert = next(a for a in agent.alerts() if a["event"]["action"] == "cleartext-auth")
    assert alert["message"].startswith(f"{ADDRESSES['client'][family]} (forwarded) to server.example[")
    assert "process" not in alert and PASSWORD not in json.dumps(agent.alerts())


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_passes_and_is_encrypted_at_most(routed, serve, watch, version):
    server = serve("auth=PLAIN", version=version)
    agent = watch(mode="block")
    assert smtplib(routed, ADDRESSES["server"][0], 587, "must", auth="PLAIN", watched=False).delivered
    assert BODY.encode() in server.received("tls")
    session = agent.session()
    expect(session, "encrypted", forwarded=True, blocked=False, tls__version=version)
    certificate = (session["identity"] or {}).get("certificate")
    assert (certificate["from"] if certificate else None) == ("wire" if version == "1.2" else None)


def test_a_session_that_was_there_first_is_unknown(routed, serve, watch):
    serve("strip", "auth=PLAIN")
    client = Stepwise(routed, ADDRESSES["server"][0], 25, EHLO, [["send", "QUIT\r\n"], ["end"]])
    agent = watch()
    assert client.finish()["error"] is None
    expect(agent.session(), "unknown", [], ["midway"], unknown_reason="midway", forwarded=True, bytes__sent=None)


def test_the_dialogue_of_one_is_found_again(routed, serve, watch):
    """The server's 235 shows that what came before was a login."""
    serve("strip", "auth=PLAIN")
    client = Stepwise(routed, ADDRESSES["server"][0], 25, EHLO, LOGIN)
    agent = watch()
    assert client.finish()["error"] is None
    expect(agent.session(), "cleartext", ["cleartext-auth"], ["midway", "resynced"], forwarded=True, auth__account=USER)


def test_other_ports_are_none_of_ours(routed, serve, watch):
    serve("strip", ports=(8025,))
    agent = watch(ports={"starttls": [587]})
    assert smtplib(routed, ADDRESSES["server"][0], 8025, watched=False).delivered
    assert agent.ask("sessions")["sessions"] == []


# ---- once only --------------------------------------------------------------------------------------------------


def test_a_container_of_this_host_counts_once(routed, serve, watch):
    serve("strip")
    agent = watch()
    assert smtplib(routed, ADDRESSES["server"][0], watched=True).delivered
    session = agent.session()
    expect(session, "cleartext", ["cleartext-mail", "starttls-missing"], forwarded=False, interface=None)
    assert session["process"]["pid"] and agent.ask("status")["counters"]["kernel"]["forwards_opened"] == 0


def test_a_containers_connection_that_was_there_first_counts_once(routed, serve, watch):
    serve("strip")
    greet = [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "]]
    client = Paused(routed, greet, greet[1:] + [["send", "MAIL FROM:<a@b>\r\n"], ["expect", "250"], ["send", "QUIT\r\n"], ["end"]],
                    host=ADDRESSES["server"][0])
    agent = watch()
    client.go_on()
    session = agent.session()
    expect(session, "cleartext", ["cleartext-mail", "starttls-missing"], ["midway", "resynced"], forwarded=False)
    assert session["process"]["pid"] == client.process.pid
    assert agent.ask("status")["counters"]["kernel"]["forwards_opened"] == 0


def with_nat(routed, chain):
    rules = f"table ip smtpwardtest {{\n chain nat {{\n {chain}\n }}\n}}\n"
    result = subprocess.run(["nsenter", f"--net=/run/netns/{routed.ns['router']}", "nft", "-f", "-"], input=rules, text=True,
                            capture_output=True)
    if result.returncode and "syntax error" not in result.stderr:
        pytest.skip(f"this kernel has no NAT: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr
    yield
    routed.run_in("router", "nft", "delete", "table", "ip", "smtpwardtest")


@pytest.fixture
def masquerade(routed):
    """Source NAT at the router: what leaves by wan0 has its address."""
    yield from with_nat(routed, "type nat hook postrouting priority 100\n oifname wan0 masquerade")


@pytest.fixture
def port_forward(routed):
    """Destination NAT at the router: its own address stands for the server's."""
    yield from with_nat(routed, "type nat hook prerouting priority -100\n"
                                f" ip daddr {ROUTERS['client'][0]} tcp dport 25 dnat to {ADDRESSES['server'][0]}")


@pytest.mark.parametrize("watched", [False, True], ids=["another-host", "container"])
def test_behind_nat_it_counts_once(routed, serve, watch, masquerade, watched):
    server = serve("strip")
    agent = watch()
    assert smtplib(routed, ADDRESSES["server"][0], watched=watched).delivered
    expect(agent.session(), "cleartext", ["cleartext-mail", "starttls-missing"], forwarded=not watched,
           client__address=ADDRESSES["client"][0])
    assert server.connections() == 1


@pytest.mark.parametrize("watched", [False, True], ids=["another-host", "container"])
def test_behind_a_port_forward_it_counts_once(routed, serve, watch, port_forward, watched):
    server = serve("strip")
    agent = watch()
    assert smtplib(routed, ROUTERS["client"][0], watched=watched).delivered
    expect(agent.session(), "cleartext", ["cleartext-mail", "starttls-missing"], forwarded=not watched,
           client__address=ADDRESSES["client"][0], server__address=ROUTERS["client"][0])
    assert server.connections() == 1


@pytest.mark.parametrize("where", [["wan0"], ["lan0"], BOTH], ids="+".join)
def test_behind_nat_both_ends_are_reset(routed, serve, watch, masquerade, where):
    server = serve("strip", "auth=PLAIN")
    watch(where, mode="block")
    assert "104" in smtplib(routed, ADDRESSES["server"][0], 587, auth="PLAIN", watched=False).output
    server.wait_closed()
    assert server.ends() == ["ECONNRESET"]
    server.assert_nothing(*SECRETS)


def test_mail_for_this_host_itself_is_not_forwarded(routed, serve, watch):
    server = serve("strip", side="router", addresses=ROUTERS["client"])
    agent = watch(mode="block")
    for host in ROUTERS["client"]:
        assert smtplib(routed, host, watched=False).delivered
    assert server.connections() == 2
    assert [(s["client"], s["server"], s["facts"]) for s in agent.ask("sessions")["sessions"]] == []


# ---- block ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("where", [["lan0"], ["wan0"], BOTH], ids="+".join)
def test_both_ends_are_reset(routed, serve, watch, family, where):
    server = serve("strip", "auth=PLAIN")
    agent = watch(where, mode="block")
    result = smtplib(routed, ADDRESSES["server"][family], 587, auth="PLAIN", watched=False)
    assert not result.delivered and "104" in result.output, result.output  # ECONNRESET
    server.wait_closed()
    assert server.ends() == ["ECONNRESET"], server.records()
    server.assert_nothing("AUTH", "MAIL", SENDER, BODY, *SECRETS)
    session = agent.session()
    expect(session, "blocked", ["cleartext-auth", "starttls-missing"], ["credential-clear", "blocked"], blocked=True, end="reset")
    counters = agent.ask("status")["counters"]
    assert counters["kernel"]["forwards_reset"] >= 1 and counters["kernel"]["forwards_unreset"] == 0
    assert counters["agent"]["destroy_failed"] == 0


def test_a_rule_for_another_user_does_not_hold(routed, serve, watch):
    """A forwarded flow has no user, not even root."""
    server = serve("strip", "auth=PLAIN")
    watch(mode="block", policy={"rules": [{"to": "any", "user": "root", "require": "none"}]})
    assert not smtplib(routed, ADDRESSES["server"][0], 587, auth="PLAIN", watched=False).delivered
    server.assert_nothing(*SECRETS)


def test_unknown_is_blocked_where_policy_says_so(routed, serve, watch):
    server = serve("strip", "auth=PLAIN")
    client = Stepwise(routed, ADDRESSES["server"][0], 25, EHLO, LOGIN)
    agent = watch(mode="block", policy={"default": {"unknown": "block"}})
    assert client.finish()["error"] in ("ECONNRESET", "EOFError: the server closed")
    server.assert_nothing(*SECRETS)
    expect(agent.session(), "blocked", [], ["midway", "blocked"], blocked=True)


@pytest.fixture
def tunnel(routed):
    """A second way to the server, by interfaces without a link layer header."""
    if not pathlib.Path("/dev/net/tun").exists():
        pytest.skip("this kernel has no TUN devices")
    child = routed.start(None, [PYTHON, CLIENTS.parent / "harness" / "tun_pair.py", "tun0", routed.ns["router"], routed.ns["server"]],
                         stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    for side, address in (("router", "203.0.113.1"), ("server", "203.0.113.2")):
        sh("ip", "-n", routed.ns[side], "addr", "add", f"{address}/24", "dev", "tun0")
        sh("ip", "-n", routed.ns[side], "link", "set", "tun0", "up")
    sh("ip", "-n", routed.ns["server"], "route", "add", "192.0.2.0/24", "dev", "tun0")
    yield "203.0.113.2"
    child.kill()
    child.wait()


def test_without_a_link_layer_a_session_is_seen(routed, serve, watch, tunnel):
    serve("strip", "auth=PLAIN", addresses=[tunnel])
    agent = watch(["tun0"])
    assert smtplib(routed, tunnel, 587, auth="PLAIN", watched=False).delivered
    expect(agent.session(), "cleartext", ["cleartext-auth", "cleartext-mail", "starttls-missing"], interface="tun0")


@pytest.mark.parametrize("where", [["tun0"], ["lan0"], ["tun0", "lan0"]], ids="+".join)
def test_without_a_link_layer_both_ends_are_reset(routed, serve, watch, tunnel, where):
    server = serve("strip", "auth=PLAIN", addresses=[tunnel])
    watch(where, mode="block")
    assert "104" in smtplib(routed, tunnel, 587, auth="PLAIN", watched=False).output
    server.wait_closed()
    assert server.ends() == ["ECONNRESET"]
    server.assert_nothing("AUTH", *SECRETS)


# ---- life -------------------------------------------------------------------------------------------------------


def test_an_interface_that_appears_is_watched(routed, serve, watch):
    agent = watch(["extra*"])
    assert interfaces(agent) == set()
    try:
        sh("ip", "-n", routed.ns["router"], "link", "add", "extra0", "type", "veth", "peer", "name", "peer0")
        wait_until(lambda: interfaces(agent) == {"extra0"}, "extra0 is watched")
        sh("ip", "-n", routed.ns["router"], "link", "set", "extra0", "name", "extra9")
        wait_until(lambda: interfaces(agent) == {"extra9"}, "the new name is known")
        sh("ip", "-n", routed.ns["router"], "link", "set", "extra9", "name", "other9")
        wait_until(lambda: interfaces(agent) == set(), "it is let go")
        assert attached(routed) == []
        sh("ip", "-n", routed.ns["router"], "link", "set", "other9", "name", "extra9")
        wait_until(lambda: interfaces(agent) == {"extra9"}, "extra9 is watched again")
    finally:
        for name in ("extra0", "extra9", "other9"):
            sh("ip", "-n", routed.ns["router"], "link", "delete", name, check=False)
    wait_until(lambda: interfaces(agent) == set(), "what is gone is let go")
    assert agent.ask("status")["health"] == "ok"


def test_a_client_whose_link_came_later(routed, serve, watch):
    serve("strip")
    routed.cut("client")
    agent = watch(["lan*"])
    routed.join("client")
    wait_until(lambda: interfaces(agent) == {"lan0"}, "lan0 is watched")
    assert smtplib(routed, ADDRESSES["server"][0], watched=False).delivered
    expect(agent.session(), "cleartext", ["cleartext-mail", "starttls-missing"], interface="lan0")


@pytest.mark.parametrize("again", [True, False], ids=["taken-over", "alone"])
def test_killed_it_goes_on_blocking(routed, serve, watch, again):
    server = serve("strip", "auth=PLAIN")
    agent = watch(mode="block")
    client = Stepwise(routed, ADDRESSES["server"][0], 25, EHLO, LOGIN)
    agent.kill()
    assert attached(routed) != []
    if again:
        agent.start()
    report = client.finish()
    assert report["error"] == "ECONNRESET", report
    server.wait_closed()
    server.assert_nothing(*SECRETS)
    if again:
        expect(agent.session(), "blocked", ["cleartext-auth", "starttls-missing"], ["ehlo-accepted", "blocked"],
               ["midway"], forwarded=True)
    else:
        agent.start()


def flow_key(session):
    """The flow's key in the kernel's map, as bpftool takes it."""
    def address(text):
        return ipaddress.ip_address(f"::ffff:{text}" if ":" not in text else text).packed
    key = address(session["client"]["address"]) + address(session["server"]["address"]) + struct.pack(
        "=HH", session["client"]["port"], session["server"]["port"])
    return [f"{byte:#04x}" for byte in key]


@pytest.mark.parametrize("how", ["evicted", "idle"])
def test_a_flow_that_is_lost_track_of_is_closed_and_counted(routed, serve, watch, how):
    """As if others had driven it out of the kernel's map; or as if nothing had been seen of it for twenty minutes."""
    serve("strip", "auth=PLAIN")
    agent = watch(mode="block")
    client = Stepwise(routed, ADDRESSES["server"][0], 25, EHLO, LOGIN)
    session = agent.sessions(closed=False)[0]
    assert session["closed"] is None
    flows = next(pathlib.Path("/sys/fs/bpf/smtpward").glob(f"{routed.cgroup.stat().st_ino}-*/map-forwards"))
    key = flow_key(session)

    def forget():
        """Again and again: an acknowledgement that comes late shows that the flow lives."""
        if how == "evicted":
            sh("bpftool", "map", "delete", "pinned", flows, "key", *key, check=False)
            return
        looked_up = sh("bpftool", "-j", "map", "lookup", "pinned", flows, "key", *key, check=False)
        if looked_up.returncode == 0:
            value = [int(byte, 16) for byte in json.loads(looked_up.stdout)["value"]]
            value[8:16] = struct.pack("=Q", (time.monotonic_ns() - 1300 * 10**9) % 2**64)  # struct forward_head
            sh("bpftool", "map", "update", "pinned", flows, "key", *key, "value", *(f"{byte:#04x}" for byte in value), "exist",
               check=False)

    def is_closed():
        forget()
        return agent.ask("sessions")["sessions"][0]["closed"]

    wait_until(is_closed, "the session is closed", timeout=60)
    expect(agent.ask("sessions")["sessions"][0], "unknown", [], unknown_reason=how)
    status = agent.ask("status")
    assert status["counters"]["agent"][f"forwards_{how}"] == 1
    assert (status["health"] == "degraded") == (how == "evicted"), status["reasons"]
    client.finish()


def test_detach_takes_all_of_it_away(routed, serve, watch):
    server = serve("strip", "auth=PLAIN")
    agent = watch(mode="block")
    agent.kill()
    assert attached(routed) != []
    result = routed.run_in("router", BUILD / "smtpward", "detach", "--cgroup", routed.cgroup)
    assert "tcx-" in result.stdout or "filter" in result.stdout, result.stdout
    assert attached(routed) == []
    assert smtplib(routed, ADDRESSES["server"][0], 587, auth="PLAIN", watched=False).delivered
    assert server.connections() == 1


def test_another_configuration_lets_go_of_what_was_left(routed, serve, watch):
    agent = watch(mode="block")
    agent.kill()
    agent.config["tc"]["interfaces"] = ["wan0"]
    agent.start()
    assert interfaces(agent) == {"wan0"}
    assert len(attached(routed)) == 2


def test_a_bad_kind_of_interface_is_told(routed, watch):
    """An interface that is matched and cannot be watched turns status red; the others go on."""
    result = sh("ip", "-n", routed.ns["router"], "link", "add", "odd0", "type", "vcan", check=False)
    if result.returncode:
        pytest.skip(f"this kernel has no interface that is neither Ethernet nor without a header: {result.stderr.strip()}")
    try:
        agent = watch(["odd0", "lan0"])
        status = agent.ask("status")
        assert interfaces(agent) == {"lan0"} and status["health"] == "degraded"
        assert any("tc/odd0" in reason for reason in status["reasons"])
    finally:
        sh("ip", "-n", routed.ns["router"], "link", "delete", "odd0", check=False)
