# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Paths between client and server, each a context that puts back what it has changed. What this kernel has not is
skipped by name."""
import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import typing

import pytest

from .lab import ADDRESSES, sh

SERVERS = pathlib.Path(__file__).resolve().parents[1] / "servers"
PYTHON = "/usr/bin/python3"
SEED = 4711  # of the bad wire
# a second network, beside that of the lab: by side, and the address of what stands between
OTHER = {"client": ("198.51.100.1", "2001:db8:1::1"), "server": ("198.51.100.2", "2001:db8:1::2")}
FAR = {"router": ("203.0.113.1", "2001:db8:2::1"), "server": ("203.0.113.2", "2001:db8:2::2")}


@dataclasses.dataclass
class Path:
    host: str  # the server, as the client calls it
    listen: tuple = ()  # where it listens, if not at its address in the lab
    port: int = 25
    side: str = "client"
    way: str = "write"  # of clients/ways.py
    relay: str = ""  # of servers/relay.py, in front of the server
    behaviours: tuple = ()
    cgroup: typing.Optional[pathlib.Path] = None
    doubtful: bool = False  # bytes may be missed: a verdict may be unknown, but never wrong
    unseen: bool = False  # the hooks see no bytes at all
    session: dict = dataclasses.field(default_factory=dict)  # members that the session must have


def in_ns(lab, side, *argv, check=True):
    return sh("nsenter", f"--net=/run/netns/{lab.ns[side]}", "--", *argv, check=check)


def ip(lab, side, *argv):
    return sh("ip", "-n", lab.ns[side], *argv)


def have(what, function, *arguments):
    """Calls function; where the kernel refuses, the test is skipped."""
    try:
        return function(*arguments)
    except subprocess.CalledProcessError as error:
        return pytest.skip(f"{what}: {(error.stderr or error.stdout).strip().splitlines()[-1][:200]}")


@contextlib.contextmanager
def undone(*undo):
    """undo: functions, called at the end whatever happens; those of what was never made fail in silence."""
    try:
        yield
    finally:
        for function, *arguments in undo:
            with contextlib.suppress(subprocess.CalledProcessError):
                function(*arguments)


def join(lab, one, other, addresses, name="other0"):
    """A veth pair between two sides, with these addresses."""
    ip(lab, one, "link", "add", name, "type", "veth", "peer", "name", name, "netns", lab.ns[other])
    for side in (one, other):
        if addresses.get(side):
            give_addresses(lab, side, name, addresses[side])
        ip(lab, side, "link", "set", name, "up")


def give_addresses(lab, side, name, addresses):
    ipv4, ipv6 = addresses
    ip(lab, side, "addr", "add", f"{ipv4}/24", "dev", name)
    ip(lab, side, "addr", "add", f"{ipv6}/64", "dev", name, "nodad")


@contextlib.contextmanager
def namespace(lab, side):
    """A further namespace, called by side."""
    lab.ns[side] = f"{lab.name}-{side}"
    sh("ip", "netns", "add", lab.ns[side])
    try:
        ip(lab, side, "link", "set", "lo", "up")
        yield
    finally:
        sh("ip", "netns", "delete", lab.ns.pop(side), check=False)


# ---- the paths ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def direct(lab, family, **settings):
    yield Path(ADDRESSES["server"][family], **settings)


@contextlib.contextmanager
def mss88(lab, family):
    """The smallest segments that TCP agrees on."""
    networks = {"client": "", "server": ""}
    prefix = "192.0.2.0/24" if family == 0 else "2001:db8::/64"
    sides = [(ip, lab, side, *([] if family == 0 else ["-6"]), "route", "change", prefix, "dev", "veth0", "advmss", "0")
             for side in networks]
    with undone(*sides):
        for side in networks:
            ip(lab, side, *([] if family == 0 else ["-6"]), "route", "change", prefix, "dev", "veth0", "advmss", "88")
        yield Path(ADDRESSES["server"][family], doubtful=True)  # a reply of several segments may be reordered on its way up


@contextlib.contextmanager
def netem(lab, family, *fault):
    sides = ("client", "server")
    with undone(*[(in_ns, lab, side, "tc", "qdisc", "del", "dev", "veth0", "root") for side in sides]):
        for side in sides:
            have("netem", in_ns, lab, side, "tc", "qdisc", "add", "dev", "veth0", "root", "netem", *fault)
        yield Path(ADDRESSES["server"][family], doubtful=True)


@contextlib.contextmanager
def bad_wire(lab, family, *faults):
    """The same faults where the kernel has no netem: a program carries the frames."""
    with namespace(lab, "wire"), undone((ip, lab, "client", "link", "del", "other0"), (ip, lab, "server", "link", "del", "other1")):
        for name, side in (("other0", "client"), ("other1", "server")):
            join(lab, side, "wire", {side: OTHER[side]}, name)
            in_ns(lab, side, PYTHON, SERVERS / "offload.py", name)
        wire = lab.start("wire", [PYTHON, SERVERS / "wire.py", "other0", "other1", SEED, *faults], stdout=subprocess.PIPE, text=True)
        try:
            assert wire.stdout.readline() == "ready\n"
            print(f"the wire's seed is {SEED}, its faults {faults}", file=sys.stderr)
            yield Path(OTHER["server"][family], listen=OTHER["server"], doubtful=True)
        finally:
            wire.kill()
            wire.wait()
            wire.stdout.close()


@contextlib.contextmanager
def vlan(lab, family, *tags):
    """tags: protocol and number of each, the outer first."""
    with undone(*[(ip, lab, side, "link", "del", "tag0") for side in OTHER]):
        for side in OTHER:
            below = "veth0"
            for depth, (protocol, number) in enumerate(tags):
                have(f"VLAN, {protocol}", ip, lab, side, "link", "add", "link", below, "name", f"tag{depth}", "type", "vlan",
                     "proto", protocol, "id", number)
                ip(lab, side, "link", "set", f"tag{depth}", "up")
                below = f"tag{depth}"
            give_addresses(lab, side, below, OTHER[side])
        yield Path(OTHER["server"][family], listen=OTHER["server"])


def nft(lab, side, rules):
    result = subprocess.run(["nsenter", f"--net=/run/netns/{lab.ns[side]}", "--", "nft", "-f", "-"], input=rules, text=True,
                            capture_output=True)
    if result.returncode and "syntax error" in result.stderr:
        raise AssertionError(result.stderr)  # that is no lack of the kernel's
    result.check_returncode()


@contextlib.contextmanager
def nat_here(lab, family):
    """The client's own host sends its connection elsewhere: to another address, and another port."""
    before, word, bits = (("198.51.100.9", "ip", 32), ("2001:db8:1::9", "ip6", 128))[family]
    to = ("192.0.2.2:2525", "[2001:db8::2]:2525")[family]
    rules = (f"table {word} smtpward {{\n chain out {{\n type nat hook output priority -100\n"
             f" {word} daddr {before} tcp dport 25 dnat to {to}\n }}\n}}\n")
    version = () if family == 0 else ("-6",)
    with undone((in_ns, lab, "client", "nft", "delete", "table", word, "smtpward"),
                (ip, lab, "client", *version, "route", "del", f"{before}/{bits}")):
        ip(lab, "client", *version, "route", "add", f"{before}/{bits}", "via", ADDRESSES["server"][family])
        have("NAT", nft, lab, "client", rules)
        yield Path(before, session={"address": before, "port": 25})


@contextlib.contextmanager
def nat_router(lab, family):
    """A router between the two changes both addresses, and the port."""
    word = ("ip", "ip6")[family]
    before, to = (("198.51.100.3", "203.0.113.2:2525"), ("2001:db8:1::3", "[2001:db8:2::2]:2525"))[family]
    near = {"client": OTHER["client"], "router": ("198.51.100.3", "2001:db8:1::3")}
    rules = (f"table {word} smtpward {{\n chain in {{\n type nat hook prerouting priority -100\n"
             f" {word} daddr {before} tcp dport 25 dnat to {to}\n }}\n"
             " chain out {\n type nat hook postrouting priority 100\n masquerade\n }\n}\n")
    with namespace(lab, "router"):
        join(lab, "client", "router", near, "other0")
        join(lab, "router", "server", FAR, "other1")
        in_ns(lab, "router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        have("NAT", nft, lab, "router", rules)
        yield Path(before, listen=FAR["server"], session={"address": before, "port": 25})


@contextlib.contextmanager
def container(lab, family):
    """A namespace and a cgroup of its own, both below those that the agent watches."""
    cgroup = lab.cgroup / "container" / "one"
    cgroup.mkdir(parents=True, exist_ok=True)
    with namespace(lab, "container"):
        join(lab, "container", "server", {"container": OTHER["client"], "server": OTHER["server"]})
        yield Path(OTHER["server"][family], listen=OTHER["server"], side="container", cgroup=cgroup)


ESP_KEYS = ("0x" + "11" * 20, "0x" + "22" * 20)


def esp_side(lab, side, family):
    client, server = (ADDRESSES[name][family] for name in ("client", "server"))
    for spi, key, source, target in (("0x100", ESP_KEYS[0], client, server), ("0x200", ESP_KEYS[1], server, client)):
        ip(lab, side, "xfrm", "state", "add", "src", source, "dst", target, "proto", "esp", "spi", spi, "mode", "transport",
           "aead", "rfc4106(gcm(aes))", key, "128")
        direction = "out" if ADDRESSES[side][family] == source else "in"
        ip(lab, side, "xfrm", "policy", "add", "src", source, "dst", target, "dir", direction, "tmpl", "src", source, "dst", target,
           "proto", "esp", "mode", "transport")


@contextlib.contextmanager
def esp(lab, family):
    """IPsec in transport mode: what leaves is encrypted before the hooks see it."""
    with undone(*[(ip, lab, side, "xfrm", what, "flush") for side in ADDRESSES for what in ("policy", "state")]):
        for side in ADDRESSES:
            have("ESP", esp_side, lab, side, family)
        yield Path(ADDRESSES["server"][family], unseen=True)


@contextlib.contextmanager
def fast_open(lab, family):
    """0x1 client, 0x2 server, 0x4 without a cookie, 0x200 server without one, 0x400 for every listener (ip-sysctl)."""
    old = in_ns(lab, "client", "sysctl", "-n", "net.ipv4.tcp_fastopen").stdout.strip()
    sides = ("client", "server")
    with undone(*[(in_ns, lab, side, "sysctl", "-qw", f"net.ipv4.tcp_fastopen={old}") for side in sides]):
        for side in sides:
            have("TCP Fast Open", in_ns, lab, side, "sysctl", "-qw", f"net.ipv4.tcp_fastopen={0x1 | 0x2 | 0x4 | 0x200 | 0x400}")
        yield Path(ADDRESSES["server"][family], way="fastopen")


def kernel_count(lab, side, name):
    """A counter of /proc/net/netstat in that namespace."""
    lines = in_ns(lab, side, "cat", "/proc/net/netstat").stdout.splitlines()
    for keys, values in zip(lines[::2], lines[1::2]):
        counts = dict(zip(keys.split()[1:], map(int, values.split()[1:])))
        if name in counts:
            return counts[name]
    raise AssertionError(f"no {name}")
