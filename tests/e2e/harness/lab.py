# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Two network namespaces joined by a veth pair, and a cgroup for the clients. Nothing leaves them."""
import ctypes
import os
import pathlib
import re
import signal
import subprocess
import time

PREFIX = "swe2e"
PATIENCE = float(os.environ.get("PATIENCE", "1"))  # time limits are longer by this, in a guest that is emulated
ADDRESSES = {
    "client": ("192.0.2.1", "2001:db8::1"),
    "server": ("192.0.2.2", "2001:db8::2"),
}
# what the clients' side resolves, and nothing else; one address each, so that a client has no choice
HOSTS = """127.0.0.1 localhost
192.0.2.1 client.example
192.0.2.2 server.example mx.server.example other.example
2001:db8::2 server6.example
"""


PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


CLONE_NEWNS = 0x20000
MS_REC, MS_SLAVE = 0x4000, 0x80000


def hide_mounts():
    """
    This process and its children get a bpffs of their own. Agents that see the same one share their map of blocked flows, and
    each ends the flows that another has blocked; what these tests do is not to hang on who else is at work on this machine.
    """
    for what, failed in (("unshare", libc.unshare(CLONE_NEWNS)), ("slave", libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None)),
                         ("bpffs", libc.mount(b"bpffs", b"/sys/fs/bpf", b"bpf", 0, b"mode=0700"))):
        assert not failed, f"{what}: {os.strerror(ctypes.get_errno())}"


def sh(*argv, check=True, **options):
    return subprocess.run([str(a) for a in argv], check=check, text=True, capture_output=True, **options)


def wait_until(condition, what, timeout=60.0):
    """Polls; returns the first true value. The limit only ends a test that fails anyway."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"never came true: {what}")
        time.sleep(0.02)


def stat_of(pid):
    """Fields of /proc/PID/stat from the state on; proc(5) counts that as the third. None: there is no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return None


def is_running(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def started_at(pid):
    """For an order of processes: their numbers begin anew behind pid_max."""
    stat = stat_of(pid)
    return int(stat[19]) if stat else 0, pid


def cgroup2_mount():
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(where)
    return None


class Lab:
    """Names carry this process's id, so that two runs do not meet."""

    def __init__(self, scratch):
        self.scratch = pathlib.Path(scratch)
        self.name = f"{PREFIX}-{os.getpid()}"
        self.ns = {side: f"{self.name}-{side}" for side in ADDRESSES}
        self.own_cgroup_mount = None
        self.cgroup = None
        self.names = None
        self.children = []

    def open(self):
        sweep()
        for side in self.ns.values():
            sh("ip", "netns", "add", side)
        sh("ip", "-n", self.ns["client"], "link", "add", "veth0", "type", "veth",
           "peer", "name", "veth0", "netns", self.ns["server"])
        for side, ns in self.ns.items():
            ipv4, ipv6 = ADDRESSES[side]
            sh("ip", "-n", ns, "addr", "add", f"{ipv4}/24", "dev", "veth0")
            # no duplicate address detection: the address is usable at once
            sh("ip", "-n", ns, "addr", "add", f"{ipv6}/64", "dev", "veth0", "nodad")
            sh("ip", "-n", ns, "link", "set", "lo", "up")
            sh("ip", "-n", ns, "link", "set", "veth0", "up")
        self._make_cgroup()
        self._give_names()

    def _give_names(self):
        """A mount namespace for the clients, where /etc/hosts is HOSTS; a child of this process holds it."""
        hosts = self.scratch / "hosts"
        hosts.write_text(HOSTS)
        self.names = self.start(None, ["unshare", "--mount", "--propagation", "slave", "sh", "-c",
                                       f"mount --bind {hosts} /etc/hosts && echo ready && exec sleep infinity"],
                                stdout=subprocess.PIPE, text=True)
        assert self.names.stdout.readline() == "ready\n", "no names for the clients"

    def _make_cgroup(self):
        mount = cgroup2_mount()
        if not mount:
            mount = self.own_cgroup_mount = self.scratch / "cgroup2"
            mount.mkdir()
            sh("mount", "-t", "cgroup2", "none", mount)
        self.cgroup = mount / self.name
        self.cgroup.mkdir()

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        if self.cgroup and self.cgroup.exists():
            self._empty_cgroup()
        for ns in self.ns.values():
            sh("ip", "netns", "delete", ns, check=False)
        if self.own_cgroup_mount:
            sh("umount", self.own_cgroup_mount, check=False)

    def _empty_cgroup(self):
        def empty():
            pids = (self.cgroup / "cgroup.procs").read_text().split()
            for pid in pids:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids
        wait_until(empty, "the test's cgroup is empty")
        for path in sorted(self.cgroup.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        self.cgroup.rmdir()

    def start(self, side, argv, watched=False, cgroup=None, **options):
        """Starts argv in the namespace of side; watched: in the cgroup that the agent watches."""
        procs = (cgroup or self.cgroup) / "cgroup.procs" if watched or cgroup else None

        def prepare():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # even a killed test run leaves no agent and no server
            if procs:
                procs.write_text("0")

        # not `ip netns exec`, which hides /sys/fs/cgroup
        full = ["nsenter", f"--net=/run/netns/{self.ns[side]}"] if side else []
        if side == "client":
            full += [f"--mount=/proc/{self.names.pid}/ns/mnt", f"--wdns={os.getcwd()}"]
        full += ["--"] if side else []
        full += [str(a) for a in argv]
        child = subprocess.Popen(full, preexec_fn=prepare, **options)
        self.children.append(child)
        return child


def is_stale(name):
    match = re.fullmatch(rf"{PREFIX}-(\d+)(-\w+)?", name)
    return match and not pathlib.Path(f"/proc/{match[1]}").exists()


def sweep():
    """Removes what a killed run left: its process is gone, its names are not."""
    for line in sh("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        if is_stale(name):
            for pid in sh("ip", "netns", "pids", name).stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            sh("ip", "netns", "delete", name, check=False)
    mount = cgroup2_mount()
    for folder in mount.glob(f"{PREFIX}-*") if mount else ():
        if is_stale(folder.name):
            for pid in (folder / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            wait_until(lambda: not (folder / "cgroup.procs").read_text(), "the old cgroup is empty")
            folder.rmdir()
