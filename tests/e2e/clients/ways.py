# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
raw.py with other ways for the bytes to leave: ways.py WAY HOST PORT STEPS, with raw.py's steps. TLS is made in memory, so
that its bytes take the same way. Ways, each of which the hooks must see as they see write():

  write       one send() a step
  bytes       one send() for each byte
  io_uring    IORING_OP_SEND
  sendfile    out of a file in memory
  splice      through a pipe
  zerocopy    MSG_ZEROCOPY
  urgent      (not TLS) each send's last byte with MSG_OOB
  fastopen    TCP Fast Open: what is sent first leaves in the SYN
  mptcp       an MPTCP socket
  hopopts, dstopts   IPv6 extension headers in front of TCP
  ktls        the kernel encrypts, after a handshake in user space; needs OpenSSL with kTLS

The last line printed is raw.py's report; {"missing": why} where kernel or library has no such way.
"""
import ctypes
import errno
import json
import mmap
import os
import select
import socket
import ssl
import struct
import sys

import raw

IPPROTO_MPTCP = 262
MSG_FASTOPEN = 0x20000000
MSG_ZEROCOPY = 0x4000000
SO_ZEROCOPY = 60
IPV6_HOPOPTS, IPV6_DSTOPTS = 54, 59
OP_ENABLE_KTLS = 1 << 3
TCP_ULP = 31
PATIENCE = 30


class Missing(Exception):
    """Kernel or library has no such way."""


class Uring:
    """An io_uring with room for one request at a time (io_uring_setup(2), io_uring_enter(2))."""
    SETUP, ENTER, OP_SEND, GETEVENTS = 425, 426, 26, 1
    PARAMS, SQ_OFFSETS, CQ_OFFSETS = 120, 40, 80  # sizes and places in struct io_uring_params
    SQE_BYTES, CQE_BYTES = 64, 16

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        params = ctypes.create_string_buffer(self.PARAMS)
        self.fd = self.call(self.SETUP, 2, params)
        entries_sq, entries_cq = struct.unpack_from("=II", params.raw, 0)
        self.sq = struct.unpack_from("=7I", params.raw, self.SQ_OFFSETS)  # head, tail, mask, entries, flags, dropped, array
        self.cq = struct.unpack_from("=6I", params.raw, self.CQ_OFFSETS)  # head, tail, mask, entries, overflow, cqes
        self.rings = mmap.mmap(self.fd, max(self.sq[6] + 4 * entries_sq, self.cq[5] + self.CQE_BYTES * entries_cq), offset=0)
        self.sqes = mmap.mmap(self.fd, self.SQE_BYTES * entries_sq, offset=0x10000000)

    def call(self, number, *arguments):
        result = self.libc.syscall(number, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), "io_uring")
        return result

    def word(self, at):
        return struct.unpack_from("=I", self.rings, at)[0]

    def send(self, fd, data):
        """Returns how many bytes were sent."""
        buffer = ctypes.create_string_buffer(data, len(data))
        tail, mask = self.word(self.sq[1]), self.word(self.sq[2])
        index = tail & mask
        struct.pack_into("=BBHiQQII28x", self.sqes, index * self.SQE_BYTES, self.OP_SEND, 0, 0, fd, 0,
                         ctypes.addressof(buffer), len(data), socket.MSG_NOSIGNAL)
        struct.pack_into("=I", self.rings, self.sq[6] + 4 * index, index)
        struct.pack_into("=I", self.rings, self.sq[1], tail + 1)
        self.call(self.ENTER, self.fd, 1, 1, self.GETEVENTS, None, 0)
        head = self.word(self.cq[0])
        result = struct.unpack_from("=i", self.rings, self.cq[5] + self.CQE_BYTES * (head & self.word(self.cq[2])) + 8)[0]
        struct.pack_into("=I", self.rings, self.cq[0], head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result


class Way(raw.Player):
    def __init__(self, way, host, port):
        self.way = way
        self.tls = None
        self.uring = None
        super().__init__(host, port)

    # ---- the connection ----

    def connect(self):
        family = socket.AF_INET6 if ":" in self.to[0] else socket.AF_INET
        self.waiting = b""
        self.connected = False
        self.socket = socket.socket(family, socket.SOCK_STREAM, self.protocol())
        self.socket.settimeout(PATIENCE)
        self.prepare()
        if self.way != "fastopen":
            self.socket.connect(self.to)
            self.connected = True
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def protocol(self):
        if self.way != "mptcp":
            return 0
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP).close()
        except OSError as error:
            raise Missing(f"MPTCP: {error}") from None
        return IPPROTO_MPTCP

    def prepare(self):
        """What the way needs of socket and kernel."""
        try:
            if self.way == "zerocopy":
                self.socket.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
            elif self.way == "io_uring":
                self.uring = Uring()
            elif self.way in ("hopopts", "dstopts"):
                # next header (the kernel fills it in), length 0 (8 bytes in all), PadN of six bytes (RFC 8200 section 4.2)
                self.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_HOPOPTS if self.way == "hopopts" else IPV6_DSTOPTS,
                                       bytes([0, 0, 1, 4, 0, 0, 0, 0]))
        except OSError as error:
            raise Missing(f"{self.way}: {error}") from None

    # ---- bytes, each way ----

    def put(self, data):
        if self.way == "bytes":
            for at in range(len(data)):
                self.socket.sendall(data[at:at + 1])
        elif self.way == "fastopen" and not self.connected:
            self.connected = True
            sent = self.socket.sendto(data, MSG_FASTOPEN, self.to)
            self.socket.sendall(data[sent:])
        else:
            getattr(self, "put_" + self.way, self.socket.sendall)(data)

    def put_io_uring(self, data):
        while data:
            self.await_room()
            try:
                data = data[self.uring.send(self.socket.fileno(), data):]
            except BlockingIOError:
                pass

    def await_room(self):
        if not select.select([], [self.socket], [], PATIENCE)[1]:
            raise socket.timeout("timed out")

    def put_sendfile(self, data):
        file = os.memfd_create("bytes")
        os.write(file, data)
        at = 0
        while at < len(data):
            self.await_room()
            at += os.sendfile(self.socket.fileno(), file, at, len(data) - at)
        os.close(file)

    def put_splice(self, data):
        out, into = os.pipe()
        while data:
            written = os.write(into, data[:4096])
            data = data[written:]
            while written:
                self.await_room()
                written -= os.splice(out, self.socket.fileno(), written)
        os.close(out)
        os.close(into)

    def put_zerocopy(self, data):
        while data:
            self.await_room()
            data = data[self.socket.send(data, MSG_ZEROCOPY):]

    def put_urgent(self, data):
        self.socket.send(data, socket.MSG_OOB)

    # ---- the steps that differ ----

    def do_send(self, text):
        data = text.encode("latin-1")
        if not self.tls:
            self.put(data)
            return
        self.tls.write(data)
        self.put(self.outgoing.read())

    def read(self):
        got = self.socket.recv(65536)
        if self.tls and got:
            self.incoming.write(got)
            return self.decrypt()
        self.received += got
        self.waiting += got
        return got

    def decrypt(self):
        """Returns something even where only a ticket came, and no line: that is not the end."""
        clear = b""
        try:
            while piece := self.tls.read(65536):
                clear += piece
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        self.received += clear
        self.waiting += clear
        return clear or b"\0"

    def do_starttls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.way == "ktls":
            self.starttls_in_kernel(context)
            return
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self.incoming, self.outgoing)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.put(self.outgoing.read())
                got = self.socket.recv(65536)
                if not got:
                    raise EOFError("the server closed in the handshake") from None
                self.incoming.write(got)
        self.put(self.outgoing.read())
        self.tls = tls

    def starttls_in_kernel(self, context):
        try:
            # to a port of its own: a connection to the server would be a session
            with (socket.create_server((self.socket.getsockname()[0], 0), family=self.socket.family) as listener,
                  socket.create_connection(listener.getsockname()[:2], timeout=PATIENCE) as probe):
                probe.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except OSError as error:
            raise Missing(f"kTLS: {error}") from None
        context.options |= OP_ENABLE_KTLS
        before = kernel_tls_sessions()
        self.socket = context.wrap_socket(self.socket)
        if kernel_tls_sessions() == before:
            raise Missing("kTLS: this OpenSSL does not use it")


def kernel_tls_sessions():
    """How many TLS sessions the kernel has ever sent for in this namespace."""
    with open("/proc/net/tls_stat", encoding="ascii") as file:
        counts = dict(line.split() for line in file)
    return int(counts["TlsTxSw"]) + int(counts["TlsTxDevice"])


def main():
    way, host, port, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    try:
        print(json.dumps(raw.play(lambda: Way(way, host, port), steps)))
    except Missing as missing:
        print(json.dumps({"missing": str(missing)}))


main()
