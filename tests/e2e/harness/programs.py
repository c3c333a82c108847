# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real mail programs as clients, behind one function each with the same arguments."""
import dataclasses
import json
import subprocess
import sys
import time

from . import CLIENTS

USER = "alice@example.org"
PASSWORD = "Correct-Horse-42-battery"
SUBJECT = "Quarterly-figures-inside"
BODY = "The-body-nobody-shall-read"
SENDER = "alice@example.org"
RECIPIENT = "bob@example.net"
MESSAGE = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {SUBJECT}\r\n\r\n{BODY}\r\n"

PYTHON = "/usr/bin/python3"


@dataclasses.dataclass
class Result:
    code: int
    output: str
    seconds: float

    @property
    def delivered(self):
        return self.code == 0


def run(lab, argv, stdin=None, timeout=40, **where):
    where.setdefault("watched", True)
    began = time.monotonic()
    child = lab.start("client", argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **where)
    try:
        output, _ = child.communicate((stdin or "").encode(), timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        output += b"\n(the test's time limit ended this program)"
    return Result(child.returncode, output.decode("utf-8", "replace"), time.monotonic() - began)


def bracket(host):
    return f"[{host}]" if ":" in host else host


# tls: None (in clear), "may" (where offered), "must", "implicit" (TLS from the first byte)


def swaks(lab, host, port=25, tls=None, auth=None, user=USER, password=PASSWORD, extra=(), **where):
    argv = ["swaks", "--server", host, "--port", port, "--helo", "client.example", "--from", SENDER, "--to", RECIPIENT,
            "--header", f"Subject: {SUBJECT}", "--body", BODY, "--timeout", "15s"]
    argv += {None: [], "may": ["--tls-optional"], "must": ["-tls"], "implicit": ["--tlsc"]}[tls]
    if auth:
        argv += ["--auth", auth, "--auth-user", user, "--auth-password", password]
    return run(lab, argv + list(extra), **where)


def smtplib(lab, host, port=25, tls=None, auth=None, user=USER, password=PASSWORD, extra=(), **where):
    argv = [PYTHON, CLIENTS / "smtplib_send.py", host, port, "--tls", tls or "none", "--from", SENDER, "--to", RECIPIENT]
    if auth:
        argv += ["--auth", auth, "--user", user, "--password", password]
    return run(lab, argv + list(extra), stdin=MESSAGE, **where)


def msmtp(lab, host, port=25, tls=None, auth=None, user=USER, password=PASSWORD, extra=(), **where):
    if tls == "may":
        raise ValueError("msmtp has no opportunistic TLS")
    argv = ["msmtp", "--file=/dev/null", f"--host={host}", f"--port={port}", f"--from={SENDER}", "--domain=client.example",
            "--timeout=15", "--tls-certcheck=off"]
    argv += {None: ["--tls=off"], "must": ["--tls=on"], "implicit": ["--tls=on", "--tls-starttls=off"]}[tls]
    if auth:
        argv += [f"--auth={auth.lower()}", f"--user={user}", f"--passwordeval=echo {password}"]
    else:
        argv += ["--auth=off"]
    return run(lab, argv + list(extra) + [RECIPIENT], stdin=MESSAGE, **where)


def curl(lab, host, port=25, tls=None, auth=None, user=USER, password=PASSWORD, extra=(), **where):
    scheme = "smtps" if tls == "implicit" else "smtp"
    argv = ["curl", "--silent", "--show-error", "--insecure", "--max-time", "20", "--url", f"{scheme}://{bracket(host)}:{port}/client.example",
            "--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", "-"]
    argv += {None: [], "may": ["--ssl"], "must": ["--ssl-reqd"], "implicit": []}[tls]
    if auth:
        argv += ["--user", f"{user}:{password}", "--login-options", f"AUTH={auth}"]
    return run(lab, argv + list(extra), stdin=MESSAGE, **where)


def raw(lab, host, port, steps, **where):
    """Plays steps on a socket; see clients/raw.py. Result.output is its report, as a dict in .report."""
    where.setdefault("watched", True)
    result = run(lab, [PYTHON, CLIENTS / "raw.py", host, port, json.dumps(steps)], **where)
    result.report = json.loads(result.output.splitlines()[-1])
    return result


PROGRAMS = {"swaks": swaks, "smtplib": smtplib, "msmtp": msmtp, "curl": curl}
assert sys.version_info >= (3, 9)
