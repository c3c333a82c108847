# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Prints a line for each BPF program that is on an interface of this network namespace by TCX: bpftool of Debian 12 does
not know of these."""
import ctypes
import platform
import socket

BPF_PROG_QUERY = 16
NUMBER = {"x86_64": 321, "aarch64": 280}[platform.machine()]
WAYS = {"in": 46, "out": 47}  # BPF_TCX_INGRESS, BPF_TCX_EGRESS


class Query(ctypes.Structure):
    _fields_ = [("ifindex", ctypes.c_uint32), ("attach_type", ctypes.c_uint32), ("query_flags", ctypes.c_uint32),
                ("attach_flags", ctypes.c_uint32), ("prog_ids", ctypes.c_uint64), ("count", ctypes.c_uint32),
                ("more", ctypes.c_uint32 * 21)]


def programs(ifindex, way):
    """How many there are; 0 where the kernel has no TCX."""
    query = Query(ifindex=ifindex, attach_type=WAYS[way])
    failed = ctypes.CDLL(None, use_errno=True).syscall(NUMBER, BPF_PROG_QUERY, ctypes.byref(query), ctypes.sizeof(query))
    return 0 if failed else query.count


for index, name in socket.if_nameindex():
    for direction in WAYS:
        for _ in range(programs(index, direction)):
            print(name, direction)
