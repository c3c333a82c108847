# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Listens in a way that the fault-making server cannot, and passes every connection on to it:
relay.py mptcp|hopopts|dstopts HOST PORT TARGET_HOST TARGET_PORT. Says "ready", or "missing: why".
"""
import select
import socket
import sys
import threading

IPPROTO_MPTCP = 262
IPV6_HOPOPTS, IPV6_DSTOPTS = 54, 59


def listen(way, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if way == "mptcp" else 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if way in ("hopopts", "dstopts"):  # accepted sockets inherit it
        listener.setsockopt(socket.IPPROTO_IPV6, IPV6_HOPOPTS if way == "hopopts" else IPV6_DSTOPTS,
                            bytes([0, 0, 1, 4, 0, 0, 0, 0]))
    listener.bind((host, port))
    listener.listen(16)
    return listener


def carry(one, other):
    ends = {one: other, other: one}
    try:
        while True:
            for source in select.select(list(ends), [], [])[0]:
                data = source.recv(65536)
                if not data:
                    return
                ends[source].sendall(data)
    except OSError:
        pass
    finally:
        one.close()
        other.close()


def main():
    way, host, port, target_host, target_port = sys.argv[1:]
    try:
        listener = listen(way, host, int(port))
    except OSError as error:
        print(f"missing: {way}: {error}", flush=True)
        return
    print("ready", flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection((target_host, int(target_port)))
        threading.Thread(target=carry, args=(client, server), daemon=True).start()


main()
