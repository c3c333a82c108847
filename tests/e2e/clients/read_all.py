# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
read_all.py ADDRESS PORT SAY ...: says each SAY (with \\r, \\n) once the server has been quiet for a moment, and reads all that it
says, without keeping it, until the server ends the connection or there is nothing more to say. Prints how many bytes that was.
"""
import socket
import sys

QUIET = 0.3

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30) as server:
    received, ended = 0, False
    for text in [*sys.argv[3:], None]:
        server.settimeout(30)  # the first byte may take its time
        try:
            while not ended:
                got = len(server.recv(1 << 20))
                received += got
                ended = not got
                server.settimeout(QUIET)
        except TimeoutError:
            pass
        except ConnectionError:
            ended = True
        if text is None or ended:
            break
        server.sendall(text.encode().decode("unicode_escape").encode("latin-1"))
print(received)
