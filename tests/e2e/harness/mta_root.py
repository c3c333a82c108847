# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A mail server from Debian's packages in a root of its own (tools/mta_root.sh), on one side of the lab."""
import pathlib
import subprocess

from . import BUILD, TOOLS
from .lab import HOSTS, sh, wait_until


class MtaRoot:
    log_path = "/var/log/mail.log"

    def __init__(self, lab, side, watched, name, packages, accounts):
        directory = BUILD / "mta" / name
        sh(TOOLS / "mta_root.sh", "fetch", directory, *packages)
        (directory / "accounts").write_text(accounts)
        self.lab, self.side, self.watched = lab, side, watched
        # the keeper holds the mount namespace; every other command joins it
        self.keeper = lab.start(side, [TOOLS / "mta_root.sh", "enter", directory, "sh", "-c", "echo ready; exec sleep 86400"],
                                watched=watched, stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout.readline() == "ready\n", f"no root for {name}"
        self.root = pathlib.Path(f"/proc/{self.keeper.pid}/root")
        if side == "client":
            self.put("/etc/hosts", HOSTS)

    def _join(self, argv):
        return ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", f"--root=/proc/{self.keeper.pid}/root", "--wdns=/", "--",
                *argv]

    def start(self, *argv, **options):
        return self.lab.start(self.side, self._join(argv), watched=self.watched, **options)

    def inside(self, *argv, stdin="", check=True):
        child = self.start(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = child.communicate(stdin.encode(), timeout=60)
        assert not check or child.returncode == 0, f"{argv}: {output.decode()}"
        return output.decode()

    def put(self, path, text, mode=0o644):
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def clear_log(self):
        self.put(self.log_path, "")

    def log(self):
        path = self.root / self.log_path.lstrip("/")
        return path.read_text() if path.exists() else ""

    def wait_log(self, pattern, timeout=40):
        """Waits for a line of its log that the compiled pattern is found in; returns the match."""
        try:
            return wait_until(lambda: pattern.search(self.log()), f"its log has {pattern.pattern}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log:\n{self.log()}") from None

    def halt(self):
        self.keeper.kill()
        self.keeper.wait()
        self.keeper.stdout.close()
