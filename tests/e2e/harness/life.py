# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What an agent leaves in the kernel, and clients that never give up."""
import base64
import collections
import json
import pathlib
import subprocess

from . import BUILD, CLIENTS
from .lab import sh
from .programs import PYTHON

PINS = pathlib.Path("/sys/fs/bpf/smtpward")
BLOCKED = PINS / "blocked-1"  # for all cgroups and versions
SECRET = base64.b64encode(b"\0life@example.org\0Lifelong-Secret-77").decode()
OTHER_ABI = BUILD / "smtpwardd_other_abi"


def attached(lab):
    """What hangs on the test's cgroup, and what is pinned for it."""
    shown = [json.loads(sh("bpftool", "-j", *words, check=False).stdout.strip() or "[]")
             for words in (("cgroup", "show", lab.cgroup), ("link", "show"))]
    here = lab.cgroup.stat().st_ino
    return shown[0] + [link for link in shown[1] if link.get("cgroup_id") == here] + [str(p) for p in pins(lab)]


def folders(lab):
    """The folders of pins, one for each version of the ABI."""
    return sorted(PINS.glob(f"{lab.cgroup.stat().st_ino}-*"))


def pins(lab):
    return [p for folder in folders(lab) for p in (folder, *folder.rglob("*"))]


NETNS_COOKIE = "import socket; print(int.from_bytes(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8), 'little'))"


def netns_cookie(lab):
    """Of the clients' namespace. SO_NETNS_COOKIE; 0 before Linux 5.14."""
    told = sh("nsenter", f"--net=/run/netns/{lab.ns['client']}", PYTHON, "-c", NETNS_COOKIE, check=False)
    return int(told.stdout) if told.returncode == 0 else 0


def blocked_flows(lab):
    """Those of the test's own clients: the map is one for all agents on the machine, and of all versions."""
    if not BLOCKED.exists():
        return []
    own = netns_cookie(lab)
    dump = json.loads(sh("bpftool", "-j", "map", "dump", "pinned", BLOCKED).stdout)
    entries = [e["formatted"]["value"] for e in dump if "formatted" in e]  # not so of one that goes meanwhile
    return [e for e in entries if not own or e["netns_cookie"] == own]


def detach(lab, *arguments, json_too=False):
    """Of the test's own cgroup only: others may be at work on this machine."""
    return subprocess.run([BUILD / "smtpward", *(["-j"] if json_too else []), "detach", "--cgroup", lab.cgroup, *arguments],
                          capture_output=True, text=True)


class Senders:
    """Processes that log in in clear all the time; count of them for each address and hold."""

    def __init__(self, lab, addresses=("192.0.2.2", "2001:db8::2"), holds=(0, 0.5), count=1):
        self.children = [lab.start("client", [PYTHON, CLIENTS / "auth_loop.py", address, "25", SECRET, str(hold)], watched=True,
                                   stdout=subprocess.PIPE, text=True)
                         for address in addresses for hold in holds for _ in range(count)]

    def end(self):
        """Sums of what they saw. Each one ends with the attempt that it is at."""
        for child in self.children:
            child.terminate()
        told = [json.loads(child.communicate(timeout=90)[0]) for child in self.children]
        errors = collections.Counter()
        for one in told:
            errors.update(one.pop("errors"))
        return {**{key: (max if key == "slowest" else sum)(t[key] for t in told) for key in told[0]}, "errors": dict(errors)}
