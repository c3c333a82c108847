#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Boots Debian's kernels in qemu, without KVM, and runs guest.py in each: `run.py [SERIES ...]`. BUILD is the folder that
the Makefile builds in. What cannot be run is skipped by name. The last line: N passed, N failed, N skipped."""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys

import image
import kernel
import unit

BUILD = os.environ.get("BUILD", "build")
WORK = os.path.join(BUILD, "vm")
HERE = os.path.dirname(os.path.abspath(__file__))
QEMU = "qemu-system-x86_64"
GUEST_PROGRAMS = ("ip", "tc", "nft", "bpftool", "nsenter", "unshare", "setpriv", "mount", "umount", "sysctl", "pgrep", "ps")
HOST_TOOLS = (QEMU, "busybox", "depmod", "modprobe", "dpkg-deb", "apt-get", "zstd", "openssl", *GUEST_PROGRAMS)
BOOT = ("console=ttyS0 quiet loglevel=4 panic=-1 reboot=t mitigations=off nokaslr random.trust_cpu=on tsc=reliable "
        "audit=0 net.ifnames=0")
TIMEOUT = 3600  # seconds; a guest takes some minutes, of a machine that does nothing else
AT_ONCE = 2
PARTS = os.environ.get("VM_PARTS", "").split() or ["scene", "bpf", "e2e", "unit"]
UNIT_SERIES = "6.1"  # the kernel for the guest with a service manager: that of the Debian it is built on

counts = {"passed": 0, "failed": 0, "skipped": 0}


def note(how, version, text):
    counts[how] += 1
    print(f"{how}: {version}: {text}", flush=True)


def write_root():
    own = {f"/{name}": f"{BUILD}/{name}" for name in ("smtpwardd", "smtpward", "smtpward.bpf.o", "witness.bpf.o", "forward.bpf.o")}
    own["/verify"] = f"{WORK}/verify"
    own[os.path.abspath(f"{BUILD}/smtpward.bpf.o")] = f"{BUILD}/smtpward.bpf.o"  # where the BPF tests look for it
    for program in glob.glob(f"{BUILD}/tests/bpf_*"):
        if os.access(program, os.X_OK) and not os.path.splitext(program)[1]:
            own[f"/tests/{os.path.basename(program)}"] = program
    kernel.run(f"{HERE}/../../tools/test_ca.sh", f"{WORK}/tls")
    for path in glob.glob(f"{WORK}/tls/*.pem") + glob.glob(f"{WORK}/tls/*.key"):
        own[f"/tls/{os.path.basename(path)}"] = path
    # what the end-to-end tests look for, where they look for it
    for name in ("smtpwardd", "smtpward", "smtpwardd_other_abi", "fault_server", "own_verify"):
        own[f"/src/build/{name}"] = f"{BUILD}/{name}"
    for path in glob.glob(f"{HERE}/../../packaging/*"):
        own[f"/src/packaging/{os.path.basename(path)}"] = path
    own["/src/tools/test_ca.sh"] = f"{HERE}/test_ca.sh"
    image.write_root(f"{WORK}/root.cpio", HERE, GUEST_PROGRAMS, own, " ".join(PARTS))


def write_unit_root():
    unit.write_root(f"{WORK}/unit.cpio", HERE, BUILD, f"{WORK}/tls")


def join(target, *sources):
    with open(target, "wb") as out:
        for source in sources:
            with open(source, "rb") as file:
                shutil.copyfileobj(file, out)


def boot(found, root="root", memory_mb=1024):
    """Runs one guest from the disk named root. Returns what it wrote, and the path of its console."""
    base = f"{WORK}/{found.version}-{root}"
    image.write_modules(f"{base}.modules.cpio", found.modules)
    join(f"{base}.cpio", f"{WORK}/{root}.cpio", f"{base}.modules.cpio")
    open(f"{base}.out", "wb").close()
    command = [QEMU, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", str(memory_mb), "-nodefaults",
               "-no-user-config", "-nographic", "-no-reboot", "-display", "none", "-net", "none", "-kernel", found.vmlinux,
               "-initrd", f"{base}.cpio", "-append", BOOT, "-serial", f"file:{base}.console", "-serial", f"file:{base}.out"]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                       timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        pass
    os.unlink(f"{base}.cpio")
    with open(f"{base}.out", encoding="utf-8", errors="replace") as out:
        return out.read(), f"{base}.console"


def read_results(version, told, console):
    """Counts and prints a guest's lines; without its last one the run has failed, whatever came before."""
    for line in told.splitlines():
        result = re.match(r"(passed|failed|skipped): (.*)", line)
        if result:
            note(result.group(1), version, result.group(2))
        elif not line.startswith("the checks ended with 0"):
            print(f"        {version}: {line}", flush=True)
    if not re.search(r"^the checks ended with 0$", told, re.M):
        note("failed", version, "the run came to its end")
        with open(console, encoding="utf-8", errors="replace") as file:
            print(file.read()[-4000:], flush=True)


def try_kernel(archive, series, part):
    """[name, output and console], or the reason why not. part: "unit", or None for all others."""
    name = f"{series}, {part}" if part else series
    try:
        found = kernel.Kernel(archive, series)
        if part == "unit":
            write_unit_root()
            return f"{found.version}, unit", boot(found, "unit", 3072)
    except kernel.Unavailable as error:
        return name, error
    return found.version, boot(found)


def guests(wanted):
    """[(series, part)] to be run."""
    others = [(series, None) for series in wanted if PARTS != ["unit"]]
    return others + [(series, "unit") for series in wanted if series == UNIT_SERIES and "unit" in PARTS]


def what_is_missing():
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [tool for tool in HOST_TOOLS if not shutil.which(tool, path=path)]


def main():
    wanted = sys.argv[1:] or list(kernel.SERIES)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.makedirs(WORK, exist_ok=True)
    missing = what_is_missing()
    archive = None if missing else kernel.Archive(WORK)
    reason = f"missing: {', '.join(missing)}"
    if archive:
        try:
            archive.update()
            write_root()
        except kernel.Unavailable as error:
            archive, reason = None, error
    if not archive:
        for series, part in guests(wanted):
            note("skipped", f"{series}, {part}" if part else series, reason)
    else:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for version, outcome in pool.map(lambda guest: try_kernel(archive, *guest), guests(wanted)):
                if isinstance(outcome, kernel.Unavailable):
                    note("skipped", version, outcome)
                else:
                    read_results(version, *outcome)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    sys.exit(1 if counts["failed"] else 0)


main()
