# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
many_open.py ADDRESS PORT COUNT SAY [READY GO]: opens COUNT connections, says SAY (with \\r, \\n and \\xHH) on each and reads
nothing but what it has to; with READY and GO it makes the file READY then, and waits for GO. At last it closes them all.
"""
import os
import socket
import sys
import time

address, port, count, text = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
said = text.encode().decode("unicode_escape").encode("latin-1")
open_ones = []
for _ in range(count):
    connection = socket.create_connection((address, port), timeout=30)
    if said:
        connection.sendall(said)
    open_ones.append(connection)
if len(sys.argv) > 5:
    open(sys.argv[5], "w").close()
    for _ in range(6000):
        if os.path.exists(sys.argv[6]):
            break
        time.sleep(0.02)
for connection in open_ones:
    connection.close()
