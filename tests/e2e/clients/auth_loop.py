# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""auth_loop.py ADDRESS PORT SECRET HOLD: logs in in clear again and again, until SIGTERM; up to HOLD seconds pass between the
greeting and the AUTH. Then prints what came of it, as JSON: how often the login was stopped, or answered, or hung."""
import errno
import json
import random
import signal
import socket
import sys
import time

HOST, PORT, SECRET, HOLD = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
STUCK = 60  # seconds; a stopped flow ends within one, on an idle machine
ended = False
seen = {"attempts": 0, "stopped": 0, "answered": 0, "stuck": 0, "slowest": 0.0, "errors": {}}


def end(*_):
    global ended
    ended = True


def reply(connection):
    """One whole reply of the server's; b"" at its end."""
    got = b""
    while not got.endswith(b"\n") or got.splitlines()[-1][3:4] == b"-":
        more = connection.recv(4096)
        if not more:
            return b""
        got += more
    return got


def attempt():
    with socket.create_connection((HOST, PORT), timeout=STUCK) as connection:
        reply(connection)
        connection.sendall(b"EHLO client.example\r\n")
        reply(connection)
        time.sleep(random.random() * HOLD)
        seen["attempts"] += 1
        start = time.monotonic()
        try:
            connection.sendall(f"AUTH PLAIN {SECRET}\r\n".encode())
            what = "answered" if reply(connection) else "stopped"
        except OSError as error:  # ECONNABORTED from the agent, ETIMEDOUT from the kernel itself; no number is our own time-out
            what = "stopped" if error.errno else "stuck"
            name = errno.errorcode.get(error.errno, "none")
            seen["errors"][name] = seen["errors"].get(name, 0) + 1
        seen[what] += 1
        seen["slowest"] = max(seen["slowest"], time.monotonic() - start)


signal.signal(signal.SIGTERM, end)
while not ended:
    try:
        attempt()
    except OSError:  # stopped before it could say a word: not what is asked here
        time.sleep(0.05)
print(json.dumps(seen))
