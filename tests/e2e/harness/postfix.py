# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real Postfix, as sender or as server, in a root of its own (tools/mta_root.sh)."""
import json
import os
import pathlib
import signal
import subprocess

from . import BUILD, TOOLS
from .lab import sh, wait_until
from .programs import BODY, RECIPIENT, SENDER, SUBJECT

DIRECTORY = BUILD / "mta" / "postfix"
PACKAGES = ("postfix", "libsasl2-modules")

PREPARE = """
set -e
cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
# no chroot of Postfix's own inside ours
sed 's/^\\([a-z].* .* .*\\)y  /\\1n  /' /usr/share/postfix/master.cf.dist > /etc/postfix/master.cf
cp /usr/share/postfix/dynamicmaps.cf /etc/postfix/
chgrp postdrop /usr/sbin/postdrop /usr/sbin/postqueue
chmod 2555 /usr/sbin/postdrop /usr/sbin/postqueue
chown postfix: /var/lib/postfix
touch /etc/aliases
"""

COMMON = {
    "maillog_file": "/var/log/mail.log",
    "compatibility_level": "3.6",
    "alias_maps": "",
    "alias_database": "",
    "smtputf8_enable": "no",
    "biff": "no",
}

SERVICES = {
    "465": ("smtpd_tls_wrappermode=yes", "smtpd_tls_security_level=encrypt"),
    "587": (),
    "2525": (),
}


class Postfix:
    def __init__(self, lab, side, watched, parameters, services=()):
        sh(TOOLS / "mta_root.sh", "fetch", DIRECTORY, *PACKAGES)
        (DIRECTORY / "accounts").write_text("user postfix\ngroup postdrop\n")
        self.lab, self.side, self.watched = lab, side, watched
        # the keeper holds the mount namespace; every other command joins it
        self.keeper = lab.start(side, [TOOLS / "mta_root.sh", "enter", DIRECTORY, "sh", "-c", "echo ready; exec sleep 86400"],
                                watched=watched, stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout.readline() == "ready\n", "no root for Postfix"
        self.root = pathlib.Path(f"/proc/{self.keeper.pid}/root")
        self.inside("sh", "-c", PREPARE)
        for port in services:
            entry = [f"{port}/inet={port} inet n - n - - smtpd"] + [f"-o {o}" for o in SERVICES[port]]
            self.inside("postconf", "-M", " ".join(entry))
        self.set({**COMMON, **parameters})
        self.master = None

    def listen(self):
        self.clear_log()
        self.master = self.start("postfix", "start-fg", stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        wait_until(lambda: "daemon started" in self.log(), "Postfix started")

    def _join(self, argv):
        return ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", f"--root=/proc/{self.keeper.pid}/root", "--", *argv]

    def start(self, *argv, **options):
        return self.lab.start(self.side, self._join(argv), watched=self.watched, **options)

    def inside(self, *argv, stdin=""):
        child = self.start(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = child.communicate(stdin.encode(), timeout=30)
        assert child.returncode == 0, f"{argv}: {output.decode()}"
        return output.decode()

    def put(self, path, text, mode=0o644):
        target = self.root / path.lstrip("/")
        target.write_text(text)
        target.chmod(mode)

    def set(self, parameters):
        self.inside("postconf", "-e", *(f"{key}={value}" for key, value in parameters.items()))

    def configure(self, **parameters):
        """Sets parameters and empties queue and log: a clean start for one test."""
        self.set(parameters)
        self.inside("postsuper", "-d", "ALL")
        self.inside("postfix", "reload")
        self.clear_log()

    def clear_log(self):
        (self.root / "var/log/mail.log").write_text("")

    def log(self):
        path = self.root / "var/log/mail.log"
        return path.read_text() if path.exists() else ""

    def submit(self, body=BODY):
        self.inside("sendmail", "-f", SENDER, RECIPIENT,
                    stdin=f"From: {SENDER}\nTo: {RECIPIENT}\nSubject: {SUBJECT}\n\n{body}\n")

    def flush(self):
        self.inside("postqueue", "-f")

    def queue(self):
        """Messages still held, as postqueue -j tells them."""
        return [json.loads(line) for line in self.inside("postqueue", "-j").splitlines()]

    def wait_status(self, status, timeout=40):
        """Waits for a delivery attempt to end: "sent", "deferred", "bounced". Returns its log line."""
        def find():
            return next((line for line in self.log().splitlines() if f"status={status}" in line), None)
        try:
            return wait_until(find, f"Postfix says status={status}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; its log:\n{self.log()}") from None

    def stop(self):
        """Ends the daemon; the root stays."""
        pid = self.root / "var/spool/postfix/pid/master.pid"
        os.kill(int(pid.read_text()), signal.SIGTERM)
        self.master.wait(timeout=10)

    def halt(self):
        if self.master and self.master.poll() is None:
            self.stop()
        self.keeper.kill()
        self.keeper.wait()
        self.keeper.stdout.close()


def sender(lab):
    made = Postfix(lab, "client", True, {
        "myhostname": "client.example", "mydestination": "", "inet_interfaces": "loopback-only",
        "relayhost": "[192.0.2.2]:25", "disable_dns_lookups": "yes", "inet_protocols": "all",
        "smtp_tls_security_level": "may", "smtp_tls_loglevel": "1", "smtp_connection_cache_on_demand": "no",
        "smtp_helo_timeout": "10s", "smtp_starttls_timeout": "10s", "smtp_mail_timeout": "10s",
    })
    made.inside("postconf", "-MX", "smtp/inet")  # it sends only; the port is free for other servers
    made.listen()
    return made


def receiver(lab, ca):
    made = Postfix(lab, "server", False, {
        "myhostname": "server.example", "mydestination": "example.net", "inet_interfaces": "all",
        "inet_protocols": "all", "disable_dns_lookups": "yes", "smtpd_peername_lookup": "no",
        "local_recipient_maps": "", "local_transport": "discard:",
        "mynetworks": "127.0.0.0/8 192.0.2.0/24 [2001:db8::]/64", "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": "/etc/postfix/server.pem", "smtpd_tls_key_file": "/etc/postfix/server.key",
    }, services=tuple(SERVICES))
    made.put("/etc/postfix/server.pem", (ca / "server.pem").read_text())
    made.put("/etc/postfix/server.key", (ca / "server.key").read_text(), 0o600)
    return made
