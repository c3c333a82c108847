# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A client that stops between two of its steps (clients/raw.py), until it is told to go on."""
import json
import subprocess

from . import CLIENTS
from .lab import wait_until
from .programs import PYTHON


class Paused:
    numbers = iter(range(1000000))

    def __init__(self, lab, before, after, host="192.0.2.2", port=25, **where):
        number = next(self.numbers)
        self.here, self.go = lab.scratch / f"here-{number}", lab.scratch / f"go-{number}"
        steps = before + [["touch", str(self.here)], ["await", str(self.go)]] + after
        where = where or {"watched": True}
        self.process = lab.start("client", [PYTHON, CLIENTS / "raw.py", host, str(port), json.dumps(steps)],
                                 stdout=subprocess.PIPE, text=True, **where)
        wait_until(self.here.exists, "the client waits")

    def go_on(self):
        self.go.touch()
        report = json.loads(self.process.communicate(timeout=60)[0])
        return report
