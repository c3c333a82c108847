# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real OpenSMTPD as sender: TLS and the check of the certificate are in two processes."""
import re
import subprocess
import time

from .lab import wait_until
from .mta_root import MtaRoot
from .programs import MESSAGE, RECIPIENT, Result, SENDER

PACKAGES = ("opensmtpd",)

CONFIGURATION = """
queue ttl 5m
smtp max-message-size 1M
action "relay" relay host "{url}" {tls} helo "client.example"
match from any for any action "relay"
"""

TLS = {"must": "tls", "no-verify": "tls no-verify", "may": ""}


class OpenSmtpd(MtaRoot):
    def __init__(self, lab, ca):
        super().__init__(lab, "client", True, "opensmtpd", PACKAGES, "user opensmtpd\nuser opensmtpq\n")
        # the authorities are a file known to the program; in this root it holds the test's
        self.put("/etc/ssl/certs/ca-certificates.crt", (ca / "ca.pem").read_text())
        self.inside("sh", "-c", "chgrp opensmtpq /usr/sbin/smtpctl && chmod 2555 /usr/sbin/smtpctl")  # sendmail is a link to it
        self.daemon = None

    def stop(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            self.daemon.wait(timeout=10)

    def restart(self, tls, url):
        self.stop()
        self.inside("sh", "-c", "rm -rf /var/spool/smtpd /run/smtpd.sock")
        self.put("/etc/smtpd.conf", CONFIGURATION.format(url=url, tls=TLS[tls]))
        self.clear_log()
        self.daemon = self.start("sh", "-c", f"exec smtpd -d > {self.log_path} 2>&1", stdin=subprocess.DEVNULL)
        wait_until(lambda: (self.root / "run/smtpd.sock").exists(), "smtpd started")

    def deliver(self, tls, url="smtp://server.example:25"):
        """tls: a key of TLS. The word is its own, from its log: "success" or "failure" of its check, or why it left."""
        self.restart(tls, url)
        began = time.monotonic()
        self.inside("sendmail", "-f", SENDER, RECIPIENT, stdin=MESSAGE.replace("\r", ""))
        # after an error the route is given up only some ten seconds later
        end = self.wait_log(re.compile(
            r' mta (?:delivery .*result="(?P<result>\w+)" stat="(?P<why>.*)"|error reason=(?P<error>.*))$', re.M))
        self.stop()  # the connection would be kept open for ten seconds
        check = re.findall(r'server-cert-check result="(\w+)"', self.log())
        delivered = end["result"] == "Ok"
        return Result(0 if delivered else 1, self.log(), time.monotonic() - began,
                      check[-1] if check and delivered else end["error"] or end["why"])

    def halt(self):
        self.stop()
        super().halt()
