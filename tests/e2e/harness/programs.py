# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real mail programs as clients, behind one function each with the same arguments."""
import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time

import pytest

from . import BUILD, CLIENTS

USER = "alice@example.org"
PASSWORD = "Correct-Horse-42-battery"
SUBJECT = "Quarterly-figures-inside"
BODY = "The-body-nobody-shall-read"
SENDER = "alice@example.org"
RECIPIENT = "bob@example.net"
MESSAGE = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {SUBJECT}\r\n\r\n{BODY}\r\n"

PYTHON = "/usr/bin/python3"

# What a client of clients/raw.py is told when its flow is blocked: by the agent; by the kernel, where the agent is slow or gone.
STOPPED = ("ECONNABORTED", "ETIMEDOUT")


@dataclasses.dataclass
class Result:
    code: int
    output: str
    seconds: float
    word: str = ""  # what the client itself says of the server's certificate, where it says something

    @property
    def delivered(self):
        return self.code == 0

    def with_word(self, pattern):
        """The word is the last line that the pattern is found in."""
        found = [line.strip() for line in self.output.splitlines() if re.search(pattern, line)]
        return dataclasses.replace(self, word=found[-1] if found else "")


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


def needed(program):
    """The guests of tests/vm have few programs; elsewhere all are installed."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not here")


def bracket(host):
    return f"[{host}]" if ":" in host else host


# The arguments that all have:
# tls: None (in clear), "may" (where offered), "must", "implicit" (TLS from the first byte)
# verify: None (every certificate will do), "chain", "chain+name"; trust: the file of authorities then
# name: the server's name, where it is not host


def refuse(what, program):
    raise ValueError(f"{program} has no {what}")


def swaks(lab, host, port=25, tls=None, auth=None, user=USER, password=PASSWORD, extra=(), verify=None, trust=None, **where):
    needed("swaks")
    argv = ["swaks", "--server", host, "--port", port, "--helo", "client.example", "--from", SENDER, "--to", RECIPIENT,
            "--header", f"Subject: {SUBJECT}", "--body", BODY, "--timeout", "15s"]
    argv += {None: [], "may": ["--tls-optional"], "must": ["-tls"], "implicit": ["--tlsc"]}[tls]
    # this version has no check of the name
    argv += {None: [], "chain": ["--tls-verify", "--tls-ca-path", trust]}[verify]
    if auth:
        argv += ["--auth", auth, "--auth-user", user, "--auth-password", password]
    return run(lab, argv + list(extra), **where).with_word("TLS startup failed|TLS peer|TLS started")


def smtplib(lab, host, port=25, tls=None, auth=None, user=USER, password=PASSWORD, extra=(), verify=None, trust=None, name=None,
            **where):
    argv = [PYTHON, CLIENTS / "smtplib_send.py", host, port, "--tls", tls or "none", "--from", SENDER, "--to", RECIPIENT]
    if verify:
        argv += ["--verify", verify, "--trust", trust]
    if name:
        argv += ["--name", name]
    if auth:
        argv += ["--auth", auth, "--user", user, "--password", password]
    return run(lab, argv + list(extra), stdin=MESSAGE, **where).with_word("Error")


def msmtp(lab, host, port=25, tls=None, auth=None, user=USER, password=PASSWORD, extra=(), verify=None, trust=None, **where):
    needed("msmtp")
    if tls == "may":
        refuse("opportunistic TLS", "msmtp")
    argv = ["msmtp", "--file=/dev/null", f"--host={host}", f"--port={port}", f"--from={SENDER}", "--domain=client.example",
            "--timeout=15"]
    argv += {None: ["--tls=off"], "must": ["--tls=on"], "implicit": ["--tls=on", "--tls-starttls=off"]}[tls]
    argv += {None: ["--tls-certcheck=off"], "chain+name": ["--tls-certcheck=on", f"--tls-trust-file={trust}"]}[verify]
    if auth:
        argv += [f"--auth={auth.lower()}", f"--user={user}", f"--passwordeval=echo {password}"]
    else:
        argv += ["--auth=off"]
    return run(lab, argv + list(extra) + [RECIPIENT], stdin=MESSAGE, **where).with_word("TLS ")


def curl(lab, host, port=25, tls=None, auth=None, user=USER, password=PASSWORD, extra=(), verify=None, trust=None, **where):
    needed("curl")
    scheme = "smtps" if tls == "implicit" else "smtp"
    argv = ["curl", "--silent", "--show-error", "--max-time", "20", "--url", f"{scheme}://{bracket(host)}:{port}/client.example",
            "--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", "-"]
    argv += {None: [], "may": ["--ssl"], "must": ["--ssl-reqd"], "implicit": []}[tls]
    argv += {None: ["--insecure"], "chain+name": ["--cacert", trust, "--verbose"]}[verify]
    if auth:
        argv += ["--user", f"{user}:{password}", "--login-options", f"AUTH={auth}"]
    return run(lab, argv + list(extra), stdin=MESSAGE, **where).with_word(r"SSL certificate verify|^curl: ")


def s_nail(lab, host, port=25, tls="must", auth=None, **where):
    """It knows no opportunistic TLS."""
    scheme = "smtps" if tls == "implicit" else "smtp"
    login = f"{USER}:{PASSWORD}@".replace("@", "%40", 1) if auth else ""
    settings = {"v15-compat": None, "mta": f"{scheme}://{login}{bracket(host)}:{port}", "smtp-auth": (auth or "none").lower(), "hostname": "client.example",
                "tls-verify": "ignore", "sendwait": None, "nosave": None, "socket-connect-timeout": "15"}
    settings |= {"smtp-use-starttls": None} if tls == "must" else {}
    argv = ["s-nail", "-n", *(f"-S{name}" + (f"={value}" if value is not None else "") for name, value in settings.items()),
            "-r", SENDER, "-s", SUBJECT, RECIPIENT]
    return run(lab, argv, stdin=BODY + "\n", **where).with_word("TLS|tls|server")


def s_client(lab, host, port=25, tls="must", extra=(), verify=None, trust=None, name=None, **where):
    """Delivered: openssl went on after the handshake, and the server took the mail."""
    argv = ["openssl", "s_client", "-crlf", "-ign_eof", "-connect", f"{bracket(host)}:{port}", "-servername", name or host]
    argv += {"must": ["-starttls", "smtp"], "implicit": []}[tls]
    if verify:
        argv += ["-CAfile", trust, "-verify_return_error"]
    if verify == "chain+name":
        argv += ["-verify_hostname", name or host]
    envelope = f"EHLO client.example\nMAIL FROM:<{SENDER}>\nRCPT TO:<{RECIPIENT}>\nDATA\n"
    dialogue = envelope + MESSAGE.replace("\r", "") + ".\nQUIT\n"
    result = run(lab, argv + list(extra), stdin=dialogue, **where)
    taken = re.search(r"^221 ", result.output, re.M)
    result.code = 0 if taken else result.code or 1
    return result.with_word("Verify return code|Verification error|verify error")


def scripted(interpreter, script, words):
    """A client of ours in another language: HOST PORT must|implicit none|chain+name TRUST FROM TO < MESSAGE."""
    def send(lab, host, port=25, tls="must", verify=None, trust=None, auth=None, **where):
        argv = [*interpreter, CLIENTS / script, host, port, tls, verify or "none", trust, SENDER, RECIPIENT]
        argv += [USER, PASSWORD] if auth else []
        return run(lab, argv, stdin=MESSAGE, **where).with_word(words)
    return send


net_smtp_ruby = scripted(["ruby"], "net_smtp.rb", "Error")
net_smtp_perl = scripted(["perl"], "net_smtp.pl", "no TLS|no connection")

NODE_MODULES = BUILD / "nodemailer" / "node_modules"


def fetch_nodemailer():
    """Returns what is missing for nodemailer, or None."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            return program
    if not NODE_MODULES.exists():
        fetched = subprocess.run(["npm", "install", "--prefix", NODE_MODULES.parent, "--no-audit", "--no-fund",
                                  "--ignore-scripts", "nodemailer@6"], capture_output=True, text=True)
        assert fetched.returncode == 0, fetched.stderr
    return None


nodemailer = scripted(["env", f"NODE_PATH={NODE_MODULES}", "node"], "nodemailer_send.js", "^E[A-Z]+ |certificate")


def own_verify(lab, host, port=25, name="server.example", **where):
    """Replaces OpenSSL's check by one that takes every certificate; host is an address."""
    argv = [BUILD / "own_verify", host, port, name, SENDER, RECIPIENT]
    return run(lab, argv, stdin=MESSAGE, **where).with_word("SSL_get_verify_result")


def many_at_once(lab, how, targets, trust, **where):
    """how: "asyncio" or "threads"; targets: (host, port, verify) each. Result.report: for each None or the error's text."""
    mail = {"trust": str(trust), "from": SENDER, "to": RECIPIENT, "message": MESSAGE}
    told = [{"host": host, "port": port, "verify": verify, **mail} for host, port, verify in targets]
    result = run(lab, [PYTHON, CLIENTS / "many_at_once.py", how, json.dumps(told)], **where)
    assert result.code == 0, result.output
    result.report = json.loads(result.output.splitlines()[-1])
    return result


def raw(lab, host, port, steps, **where):
    """Plays steps on a socket; see clients/raw.py. Result.output is its report, as a dict in .report."""
    where.setdefault("watched", True)
    result = run(lab, [PYTHON, CLIENTS / "raw.py", host, port, json.dumps(steps)], **where)
    result.report = json.loads(result.output.splitlines()[-1])
    return result


PROGRAMS = {"swaks": swaks, "smtplib": smtplib, "msmtp": msmtp, "curl": curl}
assert sys.version_info >= (3, 9)
