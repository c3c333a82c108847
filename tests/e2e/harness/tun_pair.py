# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A cable between two network namespaces whose ends have no link layer: tun_pair.py NAME NAMESPACE NAMESPACE makes a TUN
device of that name in each, says "ready", and carries packets until it is killed."""
import ctypes
import fcntl
import os
import select
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
CLONE_NEWNET = 0x40000000


def open_in(namespace, name):
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


ends = [open_in(namespace, sys.argv[1]) for namespace in sys.argv[2:4]]
print("ready", flush=True)
while True:
    for end in select.select(ends, [], [])[0]:
        try:
            os.write(ends[1 - ends.index(end)], os.read(end, 65536))
        except OSError:
            pass  # the other one is not up yet
