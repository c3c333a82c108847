# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""flood.py ADDRESS PORT COUNT: so many short sessions, one after the other, that send nothing but QUIT."""
import socket
import sys

for _ in range(int(sys.argv[3])):
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) as server:
        server.recv(4096)
        server.sendall(b"QUIT\r\n")
        server.recv(4096)
