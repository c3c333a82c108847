# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Mail servers, and a client that speaks in clear unless told otherwise. As a program: the client, whose report is a line
of JSON."""
import base64
import errno
import json
import os
import socket
import ssl
import subprocess
import sys
import threading

PASSWORD = "sesame-secret"
MESSAGE = "Subject: greetings\r\n\r\nAUTH in a message is text.\r\n"
LARGE = 1_000_000  # bytes, of a message in many segments, which segmentation offload makes long
IPPROTO_MPTCP = 262


class Server:
    """Listens on every address; lines holds (address it was reached at, line) of all that came."""

    def __init__(self, port, starttls=False, mptcp=False):
        self.port = port
        self.lines = []
        self.context = None
        if starttls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain("/tls/server.pem", "/tls/server.key")
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, IPPROTO_MPTCP if mptcp else 0)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        listener.listen(16)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        address = connection.getsockname()[0].removeprefix("::ffff:")
        try:
            connection.sendall(b"220 mx.test ESMTP\r\n")
            if self.converse(connection, address, self.context is not None) == "STAR":
                connection = self.context.wrap_socket(connection, server_side=True)
                self.converse(connection, address, False)
        except OSError:
            pass
        connection.close()

    def converse(self, connection, address, starttls):
        """Until QUIT or STARTTLS; returns that verb."""
        replies = {"EHLO": "250-mx.test\r\n250-PIPELINING\r\n" + starttls * "250-STARTTLS\r\n" + "250 AUTH PLAIN",
                   "AUTH": "235 welcome", "DATA": "354 go on", "QUIT": "221 bye", "STAR": "220 go on"}
        content = False
        for line in connection.makefile("r", encoding="latin-1", newline="\n"):
            verb = line[:4].upper()
            if content and line != ".\r\n":
                continue
            self.lines.append((address, line.rstrip("\r\n")))
            content = verb == "DATA"
            connection.sendall(replies.get(verb, "250 fine").encode() + b"\r\n")
            if verb in ("QUIT", "STAR"):
                return verb
        return None

    def saw(self, verb, address=None, since=0):
        return any(line.upper().startswith(verb) and address in (None, at) for at, line in self.lines[since:])


def say(client, commands):
    """Says one thing after the other; returns the last reply."""
    reply = b""
    for command in commands:
        client.sendall(command.encode() + b"\r\n")
        reply = client.recv(4096)
        if not reply:
            raise OSError("closed by the server")
    return reply.decode(errors="replace").strip()


def dialogue(client, how):
    token = base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode()
    message = MESSAGE + ("x" * 70 + "\r\n") * (LARGE // 72 if "large" in how else 0)
    client.recv(4096)
    say(client, ["EHLO client.test"])
    if "starttls" in how:
        say(client, ["STARTTLS"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if "verified" in how:
            context.load_verify_locations("/tls/ca.pem")
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        client = context.wrap_socket(client, server_hostname="server.example")
        say(client, ["EHLO client.test"])
    if "login" in how:
        say(client, [f"AUTH PLAIN {token}"])
    reply = say(client, ["MAIL FROM:<a@client.test>", "RCPT TO:<b@mx.test>", "DATA", message + ".", "QUIT"])
    client.close()
    return reply


def connect(address, port, how):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if "mptcp" in how else 0)
    client.settimeout(10 if "mptcp" in how else 60)
    client.connect((address, port))
    return client


def converse(address, port, how):
    seen = {"error": None, "port": None, "reply": None}
    try:
        with connect(address, port, how) as client:
            seen["port"] = client.getsockname()[1]
            seen["reply"] = dialogue(client, how)
            if not seen["reply"].startswith("221"):
                seen["error"] = "no good end"
    except OSError as error:  # ETIMEDOUT and this client's own time-out are of one class; the latter has no errno
        seen["error"] = errno.errorcode.get(error.errno, str(error))
    return seen


def send_mail(address, port, *how, namespace=None, user=None):
    """Sends a mail in a process of its own. how: login, starttls, verified, mptcp, large. Returns {"error": name of the errno or
    None, "port": the client's, "reply": the last one}."""
    command = [sys.executable, os.path.abspath(__file__), address, str(port), *how]
    if user:
        command = ["setpriv", "--reuid", user, "--clear-groups", *command]
    if namespace:
        command = ["ip", "netns", "exec", namespace, *command]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


if __name__ == "__main__":
    print(json.dumps(converse(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
