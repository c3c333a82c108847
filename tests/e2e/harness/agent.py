# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The agent under test and its command line."""
import json
import os
import signal
import socket
import subprocess

from . import BUILD
from .lab import PATIENCE, is_running, started_at, wait_until


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Agent:
    program = BUILD / "smtpwardd"

    def __init__(self, lab, number, mode="monitor", cgroup=None, identity=None, side=None, **settings):
        self.lab = lab
        self.side = side  # the network namespace that it runs in
        self.folder = lab.scratch / f"agent-{number}"
        self.folder.mkdir()
        self.socket = self.folder / "control.sock"
        self.alerts_file = self.folder / "alerts.jsonl"
        self.output = self.folder / "output"
        self.metrics_port = free_port()
        self.config = {
            "mode": mode,
            "on_exit": "detach",  # whatever the mode, so that a test leaves nothing
            "cgroup": str(cgroup or lab.cgroup),
            "control_socket": str(self.socket),
            "syslog": {"enabled": False},
            "journal": "off",
            "file": {"path": str(self.alerts_file)},
            "metrics": {"port": self.metrics_port},
            # a kernel that lacks a part of the sandbox is told of by SMTPWARD_HARDENING=available
            "privileges": {"user": "nobody", "hardening": os.environ.get("SMTPWARD_HARDENING", "required")},
            "identity": {**self._trust(), "witness": False, **(identity or {})},
            **settings,
        }
        self.config_path = self.folder / "smtpward.yaml"
        self.process = None

    def _trust(self):
        """The tests' own authority, where there is one by now."""
        authority = self.lab.scratch / "ca" / "ca.pem"
        return {"trust": str(authority)} if authority.exists() else {}

    def write_config(self):
        self.config_path.write_text(json.dumps(self.config, indent=2) + "\n")  # JSON is YAML in its flow style

    def start(self, wait=True):
        self.write_config()
        with open(self.output, "ab") as output:
            # a session of its own: by that all of its processes are found, whoever is their parent by then
            self.process = self.lab.start(self.side, [self.program, "-f", "-c", self.config_path], stdout=output, stderr=output,
                                          start_new_session=True)
        if wait:
            wait_until(self._answers, "the agent answers")

    def _answers(self):
        assert self.process.poll() is None, f"the agent ended with {self.process.returncode}:\n{self.output.read_text()}"
        return self.run("-j", "status").returncode == 0

    def stop(self):
        """Ends the agent in the orderly way; returns its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(timeout=60 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the agent does not end at SIGTERM") from None
        return self.process.returncode

    def kill(self):
        """kill -9 to all of its processes: one that stands still could not end by itself. They are gone when this returns."""
        def gone():
            alive = self.alive()
            for pid in alive:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not alive
        wait_until(gone, "no process of the agent is left")
        self.process.wait()

    def wait_gone(self):
        """Until all of its processes have ended: before that the control socket is not free."""
        self.process.wait(timeout=60 * PATIENCE)
        wait_until(lambda: not self.alive(), "no process of the agent is left")

    def alive(self):
        """All of its processes that there are, orphans too."""
        found = subprocess.run(["pgrep", "-s", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return [int(pid) for pid in found if is_running(pid)]

    def processes(self):
        """The monitor, which was started, then its children: the agent last."""
        monitor = self.process.pid
        children = subprocess.run(["pgrep", "-P", str(monitor)], capture_output=True, text=True).stdout.split()
        return [monitor, *sorted(map(int, children), key=started_at)]

    def signal(self, number):
        """To the process that was started, as an administrator would; standing still and going on is for all of them."""
        for pid in self.processes() if number in (signal.SIGSTOP, signal.SIGCONT) else [self.process.pid]:
            os.kill(pid, number)

    def run(self, *arguments):
        return subprocess.run([BUILD / "smtpward", "-s", self.socket, *map(str, arguments)], capture_output=True, text=True)

    def ask(self, *arguments):
        result = self.run("-j", *arguments)
        assert result.returncode == 0, f"smtpward {arguments}: {result.returncode}: {result.stderr}{self.output.read_text()}"
        return json.loads(result.stdout)

    def set_mode(self, mode):
        result = self.run("mode", mode)
        assert result.returncode == 0, result.stderr

    def sessions(self, count=1, closed=True, at_least=False):
        """Waits until that many sessions are there (and over), and no other is open. Returns them, the oldest first."""
        seen = []

        def enough():
            seen[:] = self.ask("sessions")["sessions"]
            return len(seen) >= count and not (closed and any(s["closed"] is None for s in seen))
        try:
            wait_until(enough, f"{count} sessions")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are: {json.dumps(seen, indent=1)}\n{self.output.read_text()}") from None
        assert at_least or len(seen) == count, f"{count} sessions expected: {json.dumps(seen, indent=1)}"
        return sorted(seen, key=lambda s: s["opened"])

    def session(self):
        return self.sessions(1)[0]

    def alerts(self):
        if not self.alerts_file.exists():
            return []
        return [json.loads(line) for line in self.alerts_file.read_text().splitlines()]

    def metrics(self):
        import urllib.request
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return answer.read().decode()


def expect(session, outcome, findings=(), facts=(), absent=(), **values):
    """Findings are the exact set; facts must be there, absent must not; values name members, nested ones with two underscores
    ("auth__account")."""
    told = json.dumps(session, indent=1)
    assert session["outcome"] == outcome, told
    assert set(session["findings"]) == set(findings), f"expected {sorted(findings)}: {told}"
    assert len(session["findings"]) == len(set(session["findings"])), told
    assert set(facts) <= set(session["facts"]), f"missing {set(facts) - set(session['facts'])}: {told}"
    assert not set(absent) & set(session["facts"]), f"not expected {set(absent) & set(session['facts'])}: {told}"
    for path, value in values.items():
        member = session
        for name in path.split("__"):
            member = member[name]
        assert member == value, f"{path} is {member!r}, not {value!r}: {told}"
