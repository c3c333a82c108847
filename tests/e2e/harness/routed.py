# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Three network namespaces in a row: a client, a router, a server. The agent runs in the middle one, and sees traffic
that is none of its host's own."""
import os

from .lab import PREFIX, Lab, sh, sweep

ADDRESSES = {
    "client": ("192.0.2.1", "2001:db8:1::1"),
    "server": ("198.51.100.2", "2001:db8:2::2"),
}
ROUTERS = {
    "client": ("192.0.2.254", "2001:db8:1::254"),
    "server": ("198.51.100.254", "2001:db8:2::254"),
}
INTERFACES = {"client": "lan0", "server": "wan0"}  # the router's
SIDES = ("client", "router", "server")


class RoutedLab(Lab):
    def __init__(self, scratch):
        super().__init__(scratch)
        self.name = f"{PREFIX}-{os.getpid()}-routed"
        self.ns = {side: f"{PREFIX}-{os.getpid()}-r{side}" for side in SIDES}

    def open(self):
        sweep()
        for ns in self.ns.values():
            sh("ip", "netns", "add", ns)
            sh("ip", "-n", ns, "link", "set", "lo", "up")
        for side in ADDRESSES:
            self.join(side)
        self.run_in("router", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self._make_cgroup()
        self._give_names()

    def join(self, side):
        """A veth pair from the router to that side, with addresses and routes."""
        inner, router = self.ns[side], self.ns["router"]
        name = INTERFACES[side]
        sh("ip", "-n", inner, "link", "add", "veth0", "type", "veth", "peer", "name", name, "netns", router)
        for ns, device, addresses in ((inner, "veth0", ADDRESSES[side]), (router, name, ROUTERS[side])):
            sh("ip", "-n", ns, "addr", "add", f"{addresses[0]}/24", "dev", device)
            sh("ip", "-n", ns, "addr", "add", f"{addresses[1]}/64", "dev", device, "nodad")
            sh("ip", "-n", ns, "link", "set", device, "up")
        for address, family in zip(ROUTERS[side], ("-4", "-6")):
            sh("ip", "-n", inner, family, "route", "add", "default", "via", address)

    def cut(self, side):
        sh("ip", "-n", self.ns["router"], "link", "delete", INTERFACES[side])

    def run_in(self, side, *argv):
        # not `ip netns exec`, which hides /sys/fs/cgroup and /sys/fs/bpf
        return sh("nsenter", f"--net=/run/netns/{self.ns[side]}", "--", *argv)
