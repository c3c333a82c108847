# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A mail server that offers no STARTTLS, and a client that does not mind. As a program: the client, whose report is a
line of JSON."""
import base64
import errno
import json
import os
import socket
import subprocess
import sys
import threading

PASSWORD = "sesame-secret"
MESSAGE = "Subject: greetings\r\n\r\nAUTH in a message is text.\r\n.\r\n"


class Server:
    """Listens on every address; lines holds (address it was reached at, line) of all that came."""
    port = 587

    def __init__(self):
        self.lines = []
        listener = socket.create_server(("::", self.port), family=socket.AF_INET6, dualstack_ipv6=True)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        address = connection.getsockname()[0].removeprefix("::ffff:")
        replies = {"EHLO": "250-mx.test\r\n250-PIPELINING\r\n250 AUTH PLAIN", "AUTH": "235 welcome", "DATA": "354 go on",
                   "QUIT": "221 bye"}
        content = False
        try:
            connection.sendall(b"220 mx.test ESMTP\r\n")
            for line in connection.makefile("r", encoding="latin-1", newline="\n"):
                self.lines.append((address, line.rstrip("\r\n")))
                verb = line[:4].upper()
                if content and line != ".\r\n":
                    continue
                content = verb == "DATA"
                connection.sendall(replies.get(verb, "250 fine").encode() + b"\r\n")
                if verb == "QUIT":
                    break
        except OSError:
            pass
        connection.close()

    def saw(self, verb, address=None, since=0):
        return any(line.upper().startswith(verb) and address in (None, at) for at, line in self.lines[since:])


def dialogue(client, login):
    """Says what there is to say; returns the last reply. With a reader of bytes, since an error must come as it is."""
    token = base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode()
    commands = ["EHLO client.test", f"AUTH PLAIN {token}", "MAIL FROM:<a@client.test>", "RCPT TO:<b@mx.test>", "DATA",
                MESSAGE[:-2], "QUIT"]
    if not login:
        del commands[1]
    reply = client.recv(4096)
    for command in commands:
        client.sendall(command.encode() + b"\r\n")
        reply = client.recv(4096)
        if not reply:
            return "closed by the server"
    return reply.decode(errors="replace").strip()


def converse(address, port, login):
    seen = {"error": None, "port": None, "reply": None}
    try:
        with socket.create_connection((address, port), timeout=60) as client:
            seen["port"] = client.getsockname()[1]
            seen["reply"] = dialogue(client, login)
            if not seen["reply"].startswith("221"):
                seen["error"] = "no good end"
    except OSError as error:  # ETIMEDOUT and this client's own time-out are of one class; the latter has no errno
        seen["error"] = errno.errorcode.get(error.errno, "nothing for a minute" if error.errno is None else str(error))
    return seen


def send_mail(address, port, login=True, namespace=None):
    """Sends a mail in a process of its own. Returns {"error": name of the errno or None, "port": the client's, "reply"}."""
    command = [sys.executable, os.path.abspath(__file__), address, str(port), "login" if login else "mail"]
    if namespace:
        command = ["ip", "netns", "exec", namespace, *command]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


if __name__ == "__main__":
    print(json.dumps(converse(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "login")))
