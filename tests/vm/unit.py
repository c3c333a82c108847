# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A whole Debian for a guest, with its service manager, its syslog and its Postfix, and smtpward put into it by `make install`:
as an administrator has it."""
import glob
import os
import re
import shutil
import subprocess

import image
import kernel

PACKAGES = ("systemd", "systemd-sysv", "rsyslog", "postfix", "python3", "iproute2", "procps", "kmod")
PROGRAMS = ("smtpwardd", "smtpward")
CHECKS = """[Unit]
Description=The checks
After=multi-user.target

[Service]
Type=exec
ExecStart=/checks/unit_guest.sh
"""


def release():
    """This host's, whose libraries the programs were linked with: ("bookworm", where it is had from)."""
    with open("/etc/os-release", encoding="ascii") as file:
        told = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', file.read(), re.M))
    place = kernel.mirrors().get("debian")
    if told.get("ID") != "debian" or not place:
        raise kernel.Unavailable("this host is no Debian that is had from an archive")
    if not shutil.which("mmdebstrap"):
        raise kernel.Unavailable("missing: mmdebstrap")
    if os.geteuid() != 0:
        raise kernel.Unavailable("root is needed to unpack a Debian")
    return told["VERSION_CODENAME"], place


def libraries(build):
    """The packages that the programs' libraries are of."""
    paths = {path for name in PROGRAMS for path in image.library_paths(f"{build}/{name}")}
    owners = set()
    for path in paths:
        for known in {path, os.path.realpath(path), path.removeprefix("/usr"), os.path.realpath(path).removeprefix("/usr")}:
            told = subprocess.run(["dpkg-query", "-S", known], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
            owners.update(line.partition(":")[0] for line in told.splitlines())
    return sorted(owners)


def unpack(build, folder):
    """The packages' system, made once, to a folder made anew."""
    suite, place = release()
    archive = f"{folder}.tar"
    if not os.path.exists(archive):
        wanted = ",".join([*PACKAGES, *libraries(build)])
        kernel.run("mmdebstrap", "--variant=minbase", "--mode=root", "--format=tar", f"--include={wanted}", suite, f"{archive}.part",
                   f"deb [signed-by={kernel.KEYRING}] {place} {suite} main")
        os.rename(f"{archive}.part", archive)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    kernel.run("tar", "-x", "-f", archive, "-C", folder, "--exclude=./dev/*")


def write_root(path, here, build, tls):
    """The initial RAM disk to path. here: where the guest's scripts are; tls: the tests' authority and its certificates."""
    folder = f"{os.path.dirname(path)}/unit-root"
    unpack(build, folder)
    kernel.run("make", "--no-print-directory", "-C", f"{here}/../..", f"BUILD={os.path.abspath(build)}", "install",
               f"DESTDIR={os.path.abspath(folder)}", "PREFIX=/usr")
    for script in glob.glob(f"{here}/guest_*.py") + glob.glob(f"{here}/unit_guest.*"):
        os.makedirs(f"{folder}/checks", exist_ok=True)
        shutil.copy(script, f"{folder}/checks/")
    shutil.copytree(tls, f"{folder}/tls")
    units = f"{folder}/etc/systemd/system"
    with open(f"{units}/checks.service", "w", encoding="ascii") as file:
        file.write(CHECKS)
    os.makedirs(f"{units}/graphical.target.wants", exist_ok=True)
    os.symlink("../checks.service", f"{units}/graphical.target.wants/checks.service")
    os.symlink("/lib/systemd/systemd", f"{folder}/init")
    with open(path, "wb") as out:
        listed = subprocess.Popen(["find", "."], cwd=folder, stdout=subprocess.PIPE)
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=folder, stdin=listed.stdout, stdout=out,
                       stderr=subprocess.DEVNULL, check=True)
    shutil.rmtree(folder)
