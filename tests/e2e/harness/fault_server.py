# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The fault-making server: started with behaviours, asked afterwards what reached it."""
import json
import subprocess

from . import BUILD
from .lab import ADDRESSES, wait_until

PORTS = (25, 587, 2525)
TLS_PORTS = (465,)


def listen_options(addresses):
    for address in addresses:
        bracketed = f"[{address}]" if ":" in address else address
        for port in PORTS:
            yield from ("--listen", f"{bracketed}:{port}")
        for port in TLS_PORTS:
            yield from ("--listen-tls", f"{bracketed}:{port}")


class FaultServer:
    def __init__(self, lab, ca, number, behaviours, side="server", addresses=None):
        self.log = lab.scratch / f"fault-{number}.jsonl"
        argv = [BUILD / "fault_server", "--cert", ca / "server.pem", "--key", ca / "server.key", "--log", self.log]
        argv += listen_options(addresses or ADDRESSES[side])
        for behaviour in behaviours:
            argv += ["--behaviour", behaviour]
        self.process = lab.start(side, argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "the fault-making server did not start"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def records(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def received(self, layer=None):
        """All bytes that arrived, over all connections."""
        return b"".join(r["data"].encode("latin-1") for r in self.records()
                        if r["event"] == "received" and layer in (None, r["layer"]))

    def connections(self):
        return sum(r["event"] == "opened" for r in self.records())

    def ends(self):
        """How the client ended each connection, as the server saw it: "eof", "ECONNRESET" ..."""
        return [r["data"] for r in self.records() if r["event"] == "end"]

    def wait_closed(self, count=1):
        wait_until(lambda: sum(r["event"] == "closed" for r in self.records()) >= count, "connection closed")

    def assert_nothing(self, *secrets):
        got = self.received()
        for secret in secrets:
            secret = secret if isinstance(secret, bytes) else secret.encode()
            assert secret not in got, f"{secret!r} reached the server"
