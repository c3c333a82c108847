# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What a local user can do to a control socket that they can open: hostile_user.py SOCKET WHAT. Prints JSON, or what the table below
says. Given on the standard input, since that user may not be able to read the tests.

  commands   every command there is, with and without what changes something: {request: answer, ...}
  flood      1,000 connections that stay: {"served", "busy", "refused"}; then waits for a line
  garbage    requests that are none, on one connection after the other: how many were answered with an error
  half       connections with half a request, or one byte of it every now and then; waits for a line
  oversized  requests of a megabyte: the error's code
  slow       asks for much on all connections and reads nothing; waits for a line
"""
import json
import os
import random
import socket
import sys
import time

PATH, WHAT = sys.argv[1], sys.argv[2]
MANY = 1000


def connect(timeout=20.0):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(PATH)
    return connection


def ask(request):
    """On a connection of its own. "": it was closed without an answer."""
    with connect() as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("r", encoding="utf-8", errors="replace").readline()
        except OSError:
            return ""


def commands():
    requests = [
        {"command": "status"}, {"command": "sessions"}, {"command": "findings"}, {"command": "version"},
        {"command": "watch"}, {"command": "mode"}, {"command": "policy-list"},
        {"command": "policy-test", "address": "192.0.2.1", "port": 25},
        {"command": "mode", "set": "monitor"}, {"command": "mode", "set": "block"}, {"command": "policy-reload"},
        {"command": "mode", "set": "monitor", "uid": 0}, {"command": "mode", "set": ["monitor"]}, {"command": "stop"},
        {"command": "detach"}, {"command": "set_mode", "mode": 0},
    ]
    texts = [json.dumps(request) for request in requests]
    print(json.dumps({text: json.loads(ask(text.encode() + b"\n") or "null") for text in texts}))


def pause():
    print("here", flush=True)
    sys.stdin.readline()


def flood():
    told, held = {"served": 0, "busy": 0, "refused": 0}, []
    for _ in range(MANY):
        try:
            connection = connect(timeout=5)
            connection.sendall(b'{"command":"version"}\n')
            answer = connection.recv(4096)
            told["served" if b"version" in answer else "busy"] += 1
            held.append(connection)
        except OSError:
            told["refused"] += 1
    print(json.dumps(told), flush=True)
    pause()


def garbage():
    random.seed(7)
    errors = 0
    pieces = [b"\n", b"{}\n", b"[]\n", b"null\n", b"{" * 4000 + b"\n", b"[" * 4000 + b"]" * 96 + b"\n", b"\xff" * 4000 + b"\n",
              b'{"command":' + b"9" * 4000 + b"}\n", b'{"command":"status\\u0000"}\n', b'{"command":"status","command":"mode"}\n',
              b"\x00" * 100 + b"\n", b'{"command":"sessions","since":1e400}\n', b'{"command":"sessions","limit":-1}\n',
              b'{"command":"policy-test","address":"%n%n%s","port":25}\n', b'{"command":"sessions","to":"' + b"a" * 4000 + b'"}\n']
    pieces += [bytes(random.randrange(256) for _ in range(random.randrange(1, 3000))) + b"\n" for _ in range(60)]
    for piece in pieces:
        errors += "error" in ask(piece)
    print(errors)


def half():
    held = [connect() for _ in range(10)]
    for number, connection in enumerate(held):
        connection.sendall(b'{"command":"sta' if number % 2 else b"{")
    print("here", flush=True)
    for _ in range(20):
        time.sleep(0.05)
        for connection in held:
            connection.send(b" ")
    sys.stdin.readline()


def oversized():
    for _ in range(5):
        answer = ask(b'{"command":"' + b"x" * (1 << 20) + b'"}\n')
        print(json.loads(answer)["error"]["code"] if answer else "closed")


def slow():
    held = [connect() for _ in range(16)]
    for connection in held:
        connection.setblocking(False)
        try:
            for _ in range(20000):
                connection.send(b'{"command":"sessions"}\n{"command":"policy-list"}\n')
        except OSError:
            pass
    pause()


os.umask(0)
globals()[WHAT]()
