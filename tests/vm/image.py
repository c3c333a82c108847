# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Initial RAM disks: cpio archives (newc, as in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst)
made of this host's own programs, so that nothing has to be built or installed for the guest."""
import glob
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig

TRAILER = "TRAILER!!!"
# Of Python's library only what the checks and what they import can want.
PYTHON_PACKAGES = ("asyncio", "collections", "concurrent", "ctypes", "email", "encodings", "importlib", "json", "logging",
                   "html", "http", "multiprocessing", "re", "sysconfig", "tomllib", "unittest", "urllib", "xml", "lib-dynload")
# pytest, and what it imports: Debian's packages.
PYTEST_PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "attr", "attrs", "py", "pytest-*", "pluggy-*", "packaging-*",
                   "iniconfig-*", "attrs-*")
PYTEST_FOLDER = "/usr/lib/python3/dist-packages"


def library_paths(program):
    """The shared libraries that a program loads, dynamic linker included."""
    told = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    return re.findall(r"(/\S+) \(0x", told)


class Image:
    """One archive, written at once; folders of a file are made as it is added."""

    def __init__(self, path):
        self.out = open(path, "wb")
        self.names = set()

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self._entry(TRAILER, 0, b"")
        self.out.close()

    def _entry(self, name, mode, data, time=0):
        self.names.add(name)
        encoded = name.encode() + b"\0"
        fields = [len(self.names), mode, 0, 0, 1, time, len(data), 0, 0, 0, 0, len(encoded), 0]
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        for block in (header + encoded, data):
            self.out.write(block + bytes(-len(block) % 4))

    def folder(self, path):
        path = path.strip("/")
        if path and path not in self.names:
            self.folder(os.path.dirname(path))
            self._entry(path, stat.S_IFDIR | 0o755, b"")

    def data(self, path, data, mode=0o644, time=0):
        self.folder(os.path.dirname(path))
        if path.strip("/") not in self.names:
            self._entry(path.strip("/"), stat.S_IFREG | mode, data, time)

    def link(self, path, target):
        self.folder(os.path.dirname(path))
        self._entry(path.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def file(self, path, source=None):
        status = os.stat(source or path)
        with open(source or path, "rb") as file:
            # with its time, or Python compiles all it imports anew
            self.data(path, file.read(), status.st_mode & 0o777, int(status.st_mtime))

    def program(self, source, path=None):
        """A program or a shared object, with the libraries it needs at the same places."""
        self.file(path or source, source)
        for library in library_paths(source):
            self.file(library)

    def python(self):
        """The interpreter that runs this, and its library."""
        library = sysconfig.get_path("stdlib")
        self.program(os.path.realpath(sys.executable), sys.executable)
        sources = glob.glob(f"{library}/*.py") + glob.glob(f"{library}/__pycache__/*.pyc")
        for package in PYTHON_PACKAGES:
            sources += [path for path in glob.glob(f"{library}/{package}/**", recursive=True) if os.path.isfile(path)]
        for package in PYTEST_PACKAGES:
            sources += [path for path in glob.glob(f"{PYTEST_FOLDER}/{package}/**", recursive=True) if os.path.isfile(path)]
        for path in sources:
            self.program(path) if path.endswith(".so") else self.file(path)

    def tree(self, path, source, pattern):
        """The files below source, to the same places below path."""
        for name in glob.glob(f"{source}/**/{pattern}", recursive=True):
            self.file(f"{path}/{os.path.relpath(name, source)}", name)


def write_root(path, here, programs, own, parts):
    """The guest's system. programs: this host's, by name. own: {path there: file here}, with their libraries. here: where
    the guest's scripts are. parts: of guest.py's work, those that are wanted."""
    with Image(path) as image:
        for folder in ("dev", "proc", "sys", "tmp", "run", "etc", "root", "var/log", "modules"):
            image.folder(folder)
        image.program(shutil.which("busybox"), "/bin/busybox")
        image.program(shutil.which("dash"), "/bin/sh")  # busybox's would run its own programs before those of this host
        image.data("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nsmtpward:x:990:990::/:/bin/false\n"
                                  b"daemon:x:1:1::/:/bin/false\n"
                                  b"nobody:x:65534:65534::/:/bin/false\n")
        image.data("/etc/group", b"root:x:0:\nsmtpward:x:990:\nnogroup:x:65534:\n")
        image.data("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
        image.python()
        for name in programs:
            image.program(shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin"))
        for place, source in own.items():
            image.program(source, place)
        image.file("/init", f"{here}/init")
        image.data("/checks/python", sys.executable.encode())
        image.data("/checks/parts", parts.encode())
        for script in glob.glob(f"{here}/guest*.py"):
            image.file(f"/checks/{os.path.basename(script)}", script)
        image.tree("/src/tests/e2e", f"{here}/../e2e", "*.py")


def write_modules(path, modules):
    """A kernel's modules, [(name, bytes)], to go behind the root."""
    with Image(path) as image:
        for name, data in modules:
            image.data(f"/modules/{name}", data)
        image.data("/modules/order", "".join(f"{name}\n" for name, _ in modules).encode())
