# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""mute.py ADDRESS PORT SAY: accepts every connection, says SAY (with \\r, \\n and \\xHH) and then nothing, until the client ends it."""
import selectors
import socket
import sys

said = sys.argv[3].encode().decode("unicode_escape").encode("latin-1")
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family, backlog=4096)
watched = selectors.DefaultSelector()
watched.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in watched.select():
        try:
            if key.fileobj is listener:
                connection, _ = listener.accept()
                if said:
                    connection.sendall(said)
                watched.register(connection, selectors.EVENT_READ)
            elif not key.fileobj.recv(65536):
                raise EOFError
        except (OSError, EOFError):
            if key.fileobj is not listener:
                watched.unregister(key.fileobj)
                key.fileobj.close()
