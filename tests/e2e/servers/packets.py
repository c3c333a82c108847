# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A TCP server made of raw packets, so that segments can be late: packets.py OWN_ADDRESS PORT.

It greets, answers EHLO and every other command. The EHLO reply comes in two segments, the second one first. OWN_ADDRESS
belongs to no interface, so the kernel's TCP keeps quiet. Each line the client sends is printed.
"""
import socket
import struct
import sys

OWN, PORT = sys.argv[1], int(sys.argv[2])
SYN, ACK, PSH, FIN, RST = 2, 16, 8, 1, 4
ETH_P_IP = 0x0800

listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Connection:
    def __init__(self, peer, port, sequence):
        self.peer, self.port = peer, port
        self.next_in = sequence + 1
        self.next_out = 1000
        self.lines = b""

    def put(self, flags, data=b"", at=None):
        sequence = self.next_out if at is None else at
        head = struct.pack("!HHIIBBHHH", PORT, self.port, sequence, self.next_in, 5 << 4, flags, 65000, 0, 0)
        addresses = socket.inet_aton(OWN) + socket.inet_aton(self.peer)
        pseudo = addresses + struct.pack("!BBH", 0, 6, len(head) + len(data))
        head = head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:]
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(head) + len(data), 0, 0, 64, 6, 0) + addresses
        sender.sendto(ip + head + data, (self.peer, 0))

    def say(self, data):
        self.put(ACK | PSH, data)
        self.next_out += len(data)

    def say_late(self, first, second):
        self.put(ACK | PSH, second, self.next_out + len(first))
        self.put(ACK | PSH, first, self.next_out)
        self.next_out += len(first) + len(second)

    def line(self, line):
        print(line.decode("latin-1"), flush=True)
        if line.upper().startswith(b"EHLO"):
            self.say_late(b"250-server.example\r\n250-SIZE 1000\r\n", b"250-STARTTLS\r\n250 HELP\r\n")
        else:
            self.say(b"250 fine\r\n")

    def take(self, sequence, flags, data):
        if flags & RST:
            return
        if sequence != self.next_in:
            self.put(ACK)
            return
        self.next_in += len(data) + (1 if flags & FIN else 0)
        if data or flags & FIN:
            self.put(ACK)
        self.lines += data
        while b"\r\n" in self.lines:
            line, self.lines = self.lines.split(b"\r\n", 1)
            self.line(line)
        if flags & FIN:
            self.put(FIN | ACK)
            self.next_out += 1


def main():
    connections = {}
    print("ready", flush=True)
    while True:
        packet = listener.recv(65536)
        ihl = (packet[0] & 15) * 4
        if packet[9] != 6 or packet[16:20] != socket.inet_aton(OWN):
            continue
        total = struct.unpack("!H", packet[2:4])[0]
        peer = socket.inet_ntoa(packet[12:16])
        port, to, sequence, _, offset, flags = struct.unpack("!HHIIBB", packet[ihl:ihl + 14])
        data = packet[ihl + (offset >> 4) * 4:total]
        if to != PORT:
            continue
        if flags & SYN:
            made = connections[peer, port] = Connection(peer, port, sequence)
            made.put(SYN | ACK)
            made.next_out += 1
            made.greeted = False
        elif (peer, port) in connections:
            made = connections[peer, port]
            if not made.greeted:
                made.greeted = True
                made.say(b"220 server.example ready\r\n")
            made.take(sequence, flags, data)


main()
