# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real Postfix, as sender or as server, in a root of its own (tools/mta_root.sh)."""
import json
import os
import re
import signal
import subprocess
import time

from .lab import sh, wait_until
from .mta_root import MtaRoot
from .programs import BODY, RECIPIENT, Result, SENDER, SUBJECT

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


class Postfix(MtaRoot):
    def __init__(self, lab, side, watched, parameters, services=()):
        super().__init__(lab, side, watched, "postfix", PACKAGES, "user postfix\ngroup postdrop\n")
        self.inside("sh", "-c", PREPARE)
        for port in services:
            entry = [f"{port}/inet={port} inet n - n - - smtpd"] + [f"-o {o}" for o in SERVICES[port]]
            self.inside("postconf", "-M", " ".join(entry))
        self.set({**COMMON, **parameters})
        self.master = None
        self.defaults = {}  # what configure() sets where the test does not

    def listen(self):
        self.clear_log()
        self.master = self.start("postfix", "start-fg", stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        wait_until(lambda: "daemon started" in self.log(), "Postfix started")

    def set(self, parameters):
        self.inside("postconf", "-e", *(f"{key}={value}" for key, value in parameters.items()))
        # every program of Postfix sleeps over a file changed within the last second
        past = time.time() - 60
        os.utime(self.root / "etc/postfix/main.cf", (past, past))

    def configure(self, **parameters):
        """Sets parameters and empties queue and log: a clean start for one test."""
        self.set({**self.defaults, **parameters})
        self.inside("postsuper", "-d", "ALL")
        self.clear_log()
        self.inside("postfix", "reload")
        wait_until(lambda: "reload -- version" in self.log(), "Postfix has reloaded")  # the command does not wait for that
        self.clear_log()

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
        return self.wait_log(re.compile(f"^.*status={status}.*$", re.M), timeout).group()

    def deliver(self, level, nexthop="[server.example]:25", **parameters):
        """Submits one message at that TLS security level. The word is Postfix's own: "Untrusted", "Trusted", "Verified",
        "Anonymous", or why there was no TLS session that it would use."""
        self.configure(relayhost=nexthop, smtp_tls_security_level=level, **parameters)
        began = time.monotonic()
        self.submit()
        status = self.wait_log(re.compile(r"^.*status=(\w+) \((.*)\)$", re.M))
        established = re.findall(r"(\w+) TLS connection established to", self.log())
        return Result(0 if status[1] == "sent" else 1, self.log(), time.monotonic() - began,
                      established[-1] if established and status[1] == "sent" else status[2])

    def stop(self):
        """Ends the daemon; the root stays."""
        pid = self.root / "var/spool/postfix/pid/master.pid"
        os.kill(int(pid.read_text()), signal.SIGTERM)
        self.master.wait(timeout=10)

    def halt(self):
        if self.master and self.master.poll() is None:
            self.stop()
        super().halt()


# what a test may have set, back to Postfix's own
NO_TLS_POLICY = {
    "smtp_tls_CAfile": "",
    "smtp_tls_verify_cert_match": "hostname",
    "smtp_tls_secure_cert_match": "nexthop, dot-nexthop",
    "smtp_tls_fingerprint_cert_match": "",
    "smtp_tls_fingerprint_digest": "sha256",
    "smtp_tls_connection_reuse": "no",
    "smtp_tls_wrappermode": "no",
    "smtp_sasl_auth_enable": "no",
}


def sender(lab, ca):
    made = Postfix(lab, "client", True, {
        "myhostname": "client.example", "mydestination": "", "inet_interfaces": "loopback-only",
        "relayhost": "[192.0.2.2]:25", "disable_dns_lookups": "yes", "inet_protocols": "all",
        "smtp_tls_security_level": "may", "smtp_tls_loglevel": "1", "smtp_connection_cache_on_demand": "no",
        "smtp_helo_timeout": "10s", "smtp_starttls_timeout": "10s", "smtp_mail_timeout": "10s",
    })
    made.put("/etc/postfix/ca.pem", (ca / "ca.pem").read_text())
    made.inside("postconf", "-M", "tlsproxy/unix=tlsproxy unix - - n - 0 tlsproxy")  # Debian ships it switched off
    made.inside("postconf", "-MX", "smtp/inet")  # it sends only; the port is free for other servers
    made.defaults = NO_TLS_POLICY
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
