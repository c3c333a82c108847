# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real Exim as sender: GnuTLS, no daemon; one process submits and delivers."""
import re
import time

from .lab import sh
from .mta_root import MtaRoot
from .programs import MESSAGE, RECIPIENT, Result, SENDER

PACKAGES = ("exim4-daemon-light", "exim4-base", "exim4-config")

CONFIGURATION = """
primary_hostname = client.example
log_selector = +tls_certificate_verified +tls_peerdn +tls_cipher
keep_environment =
acl_not_smtp = accept
begin routers
all:
  driver = manualroute
  route_list = * "{host}::{port}" byname
  transport = smtp
  self = send
begin transports
smtp:
  driver = smtp
  tls_verify_certificates = /etc/exim4/ca.pem
  {options}
# without a rule the first failure is final, and its report is the next mail
begin retry
* * F,1h,10m
"""

# Exim tries verification unless told otherwise. A list of only ":" has no host in it. Where the one list is not given and the
# other is empty, it demands verification.
VERIFY = {
    "must": ("tls_verify_hosts = *", "hosts_require_tls = *"),
    "must-or-clear": ("tls_verify_hosts = *",),
    "unset": ("tls_try_verify_hosts =",),
    "try": ("tls_try_verify_hosts = *",),
    "no": ("tls_verify_hosts = :", "tls_try_verify_hosts = :"),
}


class Exim(MtaRoot):
    log_path = "/var/log/exim4/mainlog"

    def __init__(self, lab, ca):
        super().__init__(lab, "client", True, "exim", PACKAGES, "user Debian-exim\n")
        self.put("/etc/exim4/ca.pem", (ca / "ca.pem").read_text())
        self.inside("sh", "-c", "mkdir -p /var/log/exim4 /var/spool/exim4 && chown Debian-exim: /var/log/exim4 /var/spool/exim4")

    def clear(self):
        """An empty queue, an empty log, and no memory of hosts that failed."""
        self.inside("sh", "-c", "rm -rf /var/spool/exim4/* /var/log/exim4/*")

    def deliver(self, verify, host="server.example", port=25, options=()):
        """verify: a key of VERIFY. The word is Exim's own, from its log: "CV=yes", "CV=no", or why there was no TLS."""
        self.put("/etc/exim4/exim4.conf",
                 CONFIGURATION.format(host=host, port=port, options="\n  ".join([*VERIFY[verify], *options])))
        self.clear()
        began = time.monotonic()
        self.inside("exim4", "-odf", "-f", SENDER, RECIPIENT, stdin=MESSAGE.replace("\r", ""))
        log = self.log()
        sent = re.search(r"^.* => .*$", log, re.M)
        verified = re.search(r"CV=\w+", sent[0]) if sent else None
        refusal = re.findall(r"^.*(?:TLS session|TLS error|verif).*$", log, re.M)
        word = verified[0] if verified else refusal[-1] if refusal else ""
        return Result(0 if sent else 1, log, time.monotonic() - began, word)
