# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Makes captures: TCP segments, IP packets, frames of each link type, files. Everything by hand, so that anything can be
wrong in it."""
import gzip
import ipaddress
import struct

ETHERNET, NULL, PPP, RAW, LOOP, SLL, SLL2, PPP_ETHER, IPV4, IPV6 = 1, 0, 9, 101, 108, 113, 276, 51, 228, 229
PPP_SERIAL, PPP_PPPD, PPP_WITH_DIR = 50, 166, 204
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
CLIENT, SERVER = "192.0.2.2", "192.0.2.1"
CLIENT6, SERVER6 = "2001:db8::2", "2001:db8::1"
START = 1_750_000_000.0


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp(source, target, sequence, acknowledged, flags, payload=b"", options=b""):
    offset = 20 + len(options)
    return struct.pack("!HHIIBBHHH", source, target, sequence & 0xffffffff, acknowledged & 0xffffffff, offset // 4 << 4, flags,
                       65535, 0, 0) + options + payload


def ipv4(source, target, payload, options=b"", fragment=0, protocol=6, total=None):
    length = 20 + len(options) + len(payload)
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | (20 + len(options)) // 4, 0, length if total is None else total, 1, fragment, 64,
                       protocol, 0, ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source, target, payload, extensions=(), length=None):
    """extensions: (protocol number, the header's bytes without its first one) in their order."""
    behind, following = payload, 6
    for number, body in reversed(extensions):
        behind = bytes([following]) + body + behind
        following = number
    return struct.pack("!IHBB16s16s", 6 << 28, len(behind) if length is None else length, following, 64,
                       ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed) + behind


def ethernet(packet, tags=(), kind=None):
    kind = kind or (0x86dd if packet[0] >> 4 == 6 else 0x0800)
    head = b"\2\0\0\0\0\1\2\0\0\0\0\2"
    for tag, number in tags:
        head += struct.pack("!HH", tag, number)
    return head + struct.pack("!H", kind) + packet


def ppp(packet, full=True):
    number = 0x57 if packet[0] >> 4 == 6 else 0x21
    return (b"\xff\x03" + struct.pack("!H", number) if full else bytes([number])) + packet


def pppoe(packet):
    inner = ppp(packet)[2:]
    return struct.pack("!BBHH", 0x11, 0, 7, len(inner)) + inner


def ethertype(packet):
    return struct.pack("!H", 0x86dd if packet[0] >> 4 == 6 else 0x0800)


LINKS = {
    "ethernet": (ETHERNET, ethernet),
    "ethernet padded": (ETHERNET, lambda packet: ethernet(packet).ljust(64, b"\xaa")),
    "vlan": (ETHERNET, lambda packet: ethernet(packet, [(0x8100, 5)])),
    "qinq": (ETHERNET, lambda packet: ethernet(packet, [(0x88a8, 5), (0x8100, 6)])),
    "pppoe": (ETHERNET, lambda packet: ethernet(pppoe(packet), kind=0x8864)),
    "pppoe in vlan": (ETHERNET, lambda packet: ethernet(pppoe(packet), [(0x8100, 7)], kind=0x8864)),
    "ppp": (PPP, ppp),
    "ppp compressed": (PPP, lambda packet: ppp(packet, full=False)),
    "ppp serial": (PPP_SERIAL, ppp),
    "ppp pppd": (PPP_PPPD, lambda packet: b"\1\3" + ppp(packet)[2:]),
    "ppp with direction": (PPP_WITH_DIR, lambda packet: b"\1" + ppp(packet)),
    "ppp ether": (PPP_ETHER, pppoe),
    "cooked": (SLL, lambda packet: b"\0\0\0\1\0\6\2\0\0\0\0\1\0\0" + ethertype(packet) + packet),
    "cooked 2": (SLL2, lambda packet: ethertype(packet) + b"\0\0\0\0\0\1\0\1\0\6\2\0\0\0\0\1\0\0" + packet),
    "raw": (RAW, lambda packet: packet),
    "null little": (NULL, lambda packet: struct.pack("<I", 30 if packet[0] >> 4 == 6 else 2) + packet),
    "null big": (NULL, lambda packet: struct.pack(">I", 24 if packet[0] >> 4 == 6 else 2) + packet),
    "loop": (LOOP, lambda packet: struct.pack(">I", 10 if packet[0] >> 4 == 6 else 2) + packet),
}


class Flow:
    """A TCP connection as packets: a list of [time, who, IP packet]. Both sides acknowledge what they have got."""

    def __init__(self, client=CLIENT, server=SERVER, client_port=40000, port=25, isn=(1000, 5000), start=START, wrap=None):
        self.address = {"C": client, "S": server}
        self.port = {"C": client_port, "S": port}
        self.next = {"C": isn[0], "S": isn[1]}
        self.time = start
        self.packets = []
        self.wrap = wrap or (lambda source, target, segment: (ipv6 if ":" in source else ipv4)(source, target, segment))

    def segment(self, who, flags, payload=b"", sequence=None, acknowledged=None):
        other = "S" if who == "C" else "C"
        sequence = self.next[who] if sequence is None else sequence
        acknowledged = self.next[other] if acknowledged is None else acknowledged
        self.time += 0.001
        segment = tcp(self.port[who], self.port[other], sequence, acknowledged if flags & ACK else 0, flags, payload)
        self.packets.append([self.time, who, self.wrap(self.address[who], self.address[other], segment)])
        return self

    def open(self):
        self.segment("C", SYN)
        self.next["C"] += 1
        self.segment("S", SYN | ACK)
        self.next["S"] += 1
        return self.segment("C", ACK)

    def send(self, who, payload, size=None):
        for at in range(0, len(payload), size or len(payload)):
            piece = payload[at:at + (size or len(payload))]
            self.segment(who, PSH | ACK, piece)
            self.next[who] += len(piece)
        return self

    def close(self, first="C"):
        for who in (first, "S" if first == "C" else "C"):
            self.segment(who, FIN | ACK)
            self.next[who] += 1
        return self.segment(first, ACK)

    def talk(self, *steps, size=None):
        """steps: "C: text" or "S: text", each a line or several; its CRLF is added."""
        for step in steps:
            who, text = step[0], step[3:]
            self.send(who, text.encode("latin-1").replace(b"\n", b"\r\n") + b"\r\n", size)
        return self


MAIL = ("S: 220 mx.example ESMTP", "C: EHLO client.example", "S: 250-mx.example\n250 PIPELINING", "C: MAIL FROM:<a@b>", "S: 250 ok",
        "C: RCPT TO:<c@d>", "S: 250 ok", "C: DATA", "S: 354 go", "C: Subject: x\n\ntext\n.", "S: 250 ok", "C: QUIT", "S: 221 bye")
LOGIN = ("S: 220 mx.example ESMTP", "C: EHLO client.example", "S: 250-mx.example\n250-STARTTLS\n250 AUTH PLAIN",
         "C: AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=", "S: 235 ok", "C: QUIT", "S: 221 bye")


def mail(**options):
    return Flow(**options).open().talk(*MAIL).close()


def login(**options):
    return Flow(**options).open().talk(*LOGIN).close()


def frames(flow, link="ethernet"):
    kind, wrap = LINKS[link]
    return kind, [(time, wrap(packet)) for time, _, packet in flow.packets]


def pcap(kind, packets, snap=None, nanoseconds=False, order="<"):
    out = struct.pack(f"{order}IHHiIII", 0xa1b23c4d if nanoseconds else 0xa1b2c3d4, 2, 4, 0, 0, snap or 262144, kind)
    for time, frame in packets:
        kept = frame[:snap] if snap else frame
        fraction = round(time % 1 * (1e9 if nanoseconds else 1e6)) % (10**9 if nanoseconds else 10**6)
        out += struct.pack(f"{order}IIII", int(time) & 0xffffffff, fraction, len(kept), len(frame)) + kept
    return out


def block(kind, body):
    body += b"\0" * (-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def pcapng(kind, packets):
    out = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1)) + block(1, struct.pack("<HHI", kind, 0, 0))
    for time, frame in packets:
        stamp = round(time * 1e6)
        padded = frame + b"\0" * (-len(frame) % 4)
        out += block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xffffffff, len(frame), len(frame)) + padded)
    return out


def write(path, flow, link="ethernet", snap=None):
    """flow: one, or several one behind the other."""
    flows = flow if isinstance(flow, (list, tuple)) else [flow]
    packets = [frame for one in flows for frame in frames(one, link)[1]]
    path.write_bytes(pcap(LINKS[link][0], packets, snap))
    return path


def packed(data):
    return gzip.compress(data)
