# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Plays a list of steps on one TCP socket: raw.py HOST PORT STEPS, with STEPS in JSON.

  ["send", TEXT]       the characters U+0000 to U+00FF as bytes, in one write
  ["expect", TEXT]     reads until a line that begins with TEXT has come ("" reads once)
  ["flood", TEXT, N]   sends TEXT N times, and waits for a line of answer after each
  ["repeat", TEXT, N]  sends TEXT N times
  ["sleep", SECONDS]
  ["starttls"]         runs the client's side of a TLS handshake, checking nothing
  ["touch", PATH]      makes a file: "I am here"
  ["await", PATH]      waits for a file: "you may go on"
  ["end"]              reads until the server closes
  ["again"]            connects anew
  ["reset"]            closes with an RST

The last line printed is JSON: {"error": errno name or text or null, "step": index where it ended, "seconds": of the last step,
"received": text}.
"""
import errno
import json
import os
import socket
import ssl
import struct
import sys
import time


class Player:
    def __init__(self, host, port):
        self.to = (host, int(port))
        self.received = b""
        self.connect()

    def connect(self):
        self.socket = socket.create_connection(self.to, timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting = b""

    def read(self):
        got = self.socket.recv(65536)
        self.received += got
        self.waiting += got
        return got

    def do_send(self, text):
        self.socket.sendall(text.encode("latin-1"))

    def do_expect(self, text):
        wanted = text.encode()
        if not wanted:
            self.read()
            return
        while True:
            while b"\n" in self.waiting:
                line, self.waiting = self.waiting.split(b"\n", 1)
                if line.startswith(wanted):
                    return
            if not self.read():
                raise EOFError("the server closed")

    def do_flood(self, text, times):
        for _ in range(times):
            self.do_send(text)
            self.do_expect("2")

    def do_repeat(self, text, times):
        self.do_send(text * times)

    def do_sleep(self, seconds):
        time.sleep(seconds)

    def do_starttls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def do_touch(self, path):
        open(path, "w").close()

    def do_await(self, path):
        for _ in range(6000):  # two minutes: an agent may start meanwhile, on a slow machine
            if os.path.exists(path):
                return
            time.sleep(0.02)
        raise EOFError(f"no {path}")

    def do_end(self):
        while self.read():
            pass

    def do_again(self):
        self.socket.close()
        self.connect()

    def do_reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def name_of(error):
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number) if number in errno.errorcode and not isinstance(error, ssl.SSLError) else \
        f"{type(error).__name__}: {error}"


def main():
    print(json.dumps(play(lambda: Player(sys.argv[1], sys.argv[2]), json.loads(sys.argv[3]))))


def play(connect, steps):
    """Plays the steps on what connect() returns. Returns the report."""
    report = {"error": None, "step": 0, "seconds": 0.0, "received": ""}
    player = None
    began = time.monotonic()
    try:
        player = connect()
        for index, (verb, *values) in enumerate(steps):
            report["step"] = index
            began = time.monotonic()
            getattr(player, "do_" + verb)(*values)
    except (OSError, EOFError) as error:
        report["error"] = name_of(error)
    report["seconds"] = time.monotonic() - began
    report["received"] = player.received.decode("latin-1") if player else ""
    return report


if __name__ == "__main__":
    main()
