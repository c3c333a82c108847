# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A bad wire in user space, for kernels without netem: joins two interfaces of its namespace, and loses, repeats, delays,
reorders and spoils frames as a seed says: wire.py FIRST SECOND SEED KEY=VALUE ...

  loss, duplicate, reorder, corrupt   in percent; a frame that is reordered waits for the two behind it, or 20 ms
  delay                               in milliseconds, for every frame

Says "ready". ARP, neighbour discovery and frames without payload are treated alike.
"""
import heapq
import itertools
import random
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
OVERTAKEN_BY = 2
REORDER_S = 0.02


class Wire:
    def __init__(self, names, seed, settings):
        self.chance = random.Random(seed)
        self.percent = {key: float(settings.get(key, 0)) for key in ("loss", "duplicate", "reorder", "corrupt")}
        self.delay = float(settings.get("delay", 0)) / 1000
        self.ends = [self.open(name) for name in names]
        self.queue = []  # (when, number, end, frame)
        self.numbers = itertools.count()
        self.held = [None, None]  # by direction: [frame, overtaken by, until]

    @staticmethod
    def open(name):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        end.bind((name, 0))
        end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, struct.pack("i", 1))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        return end

    def happens(self, what):
        return self.chance.uniform(0, 100) < self.percent[what]

    def spoil(self, frame):
        """One bit of the payload, behind Ethernet, IP and TCP headers; checksums see it."""
        if len(frame) <= 74:
            return frame
        at = self.chance.randrange(74, len(frame))
        return frame[:at] + bytes([frame[at] ^ 1 << self.chance.randrange(8)]) + frame[at + 1:]

    def take(self, end, frame):
        if self.happens("loss"):
            return
        if self.happens("corrupt"):
            frame = self.spoil(frame)
        if self.held[end]:
            self.held[end][1] += 1
        elif self.happens("reorder"):
            self.held[end] = [frame, 0, time.monotonic() + REORDER_S]
            return
        self.later(end, frame)
        if self.happens("duplicate"):
            self.later(end, frame)
        self.let_go(end)

    def let_go(self, end):
        held = self.held[end]
        if held and (held[1] >= OVERTAKEN_BY or time.monotonic() >= held[2]):
            self.held[end] = None
            self.later(end, held[0])

    def later(self, end, frame):
        heapq.heappush(self.queue, (time.monotonic() + self.delay, next(self.numbers), end, frame))

    def send_due(self):
        while self.queue and self.queue[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(self.queue)
            try:
                self.ends[1 - end].send(frame)
            except OSError:
                pass  # the other side is gone, or its queue is full: lost

    def run(self):
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select(self.ends, [], [], 0.002 if self.queue or any(self.held) else 1)
            for end in ready:
                self.take(self.ends.index(end), end.recv(70000))
            for end in (0, 1):
                self.let_go(end)
            self.send_due()


def main():
    first, second, seed, *settings = sys.argv[1:]
    Wire((first, second), int(seed), dict(setting.split("=") for setting in settings)).run()


main()
