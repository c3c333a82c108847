# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The fault-making server: started with behaviours, asked afterwards what reached it."""
import json
import subprocess

from . import BUILD
from .lab import ADDRESSES, wait_until
from .programs import BODY

PORTS = (25, 587, 2525)
TLS_PORTS = (465,)


def listen_options(addresses, ports):
    for address in addresses:
        bracketed = f"[{address}]" if ":" in address else address
        for port in ports:
            yield from ("--listen-tls" if port in TLS_PORTS else "--listen", f"{bracketed}:{port}")


class FaultServer:
    def __init__(self, lab, ca, number, behaviours, side="server", addresses=None, ports=PORTS + TLS_PORTS, certificate="server",
                 version=None):
        """certificate: a name of tools/test_ca.sh; version: the only version of TLS that is spoken ("1.0" to "1.3")."""
        self.log = lab.scratch / f"fault-{number}.jsonl"
        argv = [BUILD / "fault_server", "--log", self.log, "--cert", ca / f"{certificate}.pem",
                "--key", ca / f"{certificate}.key"]
        argv += listen_options(addresses or ADDRESSES[side], ports)
        if version:
            behaviours = (*behaviours, f"tls-min={version}", f"tls-max={version}")
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

    def handshakes(self):
        """The version of TLS of each handshake that succeeded, as the server saw it."""
        return [r["layer"] for r in self.records() if r["event"] == "tls"]

    def resumed(self):
        """How many of them resumed a session."""
        return sum(r["event"] == "resumed" for r in self.records())

    def ends(self):
        """How the client ended each connection, as the server saw it: "eof", "ECONNRESET" ..."""
        return [r["data"] for r in self.records() if r["event"] == "end"]

    def wait_closed(self, count=1):
        wait_until(lambda: sum(r["event"] == "closed" for r in self.records()) >= count, "connection closed")

    def assert_no_mail(self):
        """Nothing of a mail arrived, in TLS or in clear: no command but EHLO, HELO, STARTTLS, RSET, NOOP and QUIT."""
        got = self.received().upper()
        for verb in (b"MAIL FROM", b"RCPT TO", b"\nDATA", b"BDAT", b"AUTH ", BODY.encode().upper()):
            assert verb not in got, f"{verb!r} reached the server: {got!r}"

    def assert_nothing(self, *secrets):
        got = self.received()
        for secret in secrets:
            secret = secret if isinstance(secret, bytes) else secret.encode()
            assert secret not in got, f"{secret!r} reached the server"
