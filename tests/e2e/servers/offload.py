# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Switches off what an interface leaves to hardware, so that frames are whole and not over its MTU: offload.py NAME."""
import array
import fcntl
import socket
import struct
import sys

SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO = 0x17, 0x19, 0x1F, 0x24, 0x2C


def main():
    name = sys.argv[1].encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in (ETHTOOL_SGRO, ETHTOOL_SGSO, ETHTOOL_STSO, ETHTOOL_STXCSUM, ETHTOOL_SSG):
            value = array.array("B", struct.pack("=II", command, 0))
            request = struct.pack("=16sQ16x", name, value.buffer_info()[0])
            fcntl.ioctl(control, SIOCETHTOOL, request)


main()
