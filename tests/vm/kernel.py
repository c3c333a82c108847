# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Debian's kernels, as the archive offers them today: fetched by an apt of its own (this host's is only read), unpacked
to an uncompressed vmlinux, which qemu boots fastest, and the modules that the checks want, in load order."""
import glob
import lzma
import os
import re
import shutil
import subprocess
import zlib

# Which suite each series comes from. "newest" is whatever is the highest there.
SERIES = {
    "5.10": ("debian-security", "bullseye-security"),
    "6.1": ("debian-security", "bookworm-security"),
    "6.12": ("debian", "trixie"),
    "6.18": ("debian", "trixie-backports"),
    "newest": ("debian", "trixie-backports"),
}
MODULES = ["veth", "dummy", "tcp_diag", "inet_diag", "mptcp_diag", "sch_ingress", "cls_bpf", "act_bpf", "sch_netem", "tun",
           "8021q", "tls", "nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "xfrm_user", "esp4", "esp6", "gcm", "ctr", "ghash-generic",
           "ghash_generic", "aes_generic", "seqiv", "echainiv",
           "hmac", "sha256_generic", "sha512_generic", "jitterentropy_rng", "drbg"]  # the IVs of IPsec are random
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unavailable(Exception):
    """The kernel cannot be had here and now."""


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        last = done.stdout.decode(errors="replace").strip().splitlines()[-1:]
        raise Unavailable(f"{os.path.basename(command[0])}: {' '.join(last) or done.returncode}")
    return done.stdout


def mirrors():
    """The places that this host has Debian from, by repository name."""
    found = {}
    for line in run("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)").decode().splitlines():
        origin, _, address = line.partition(" ")
        repository = "debian-security" if "security" in address else "debian"
        if origin == "Debian":
            found.setdefault(repository, address.rstrip("/"))
    return found


class Archive:
    """An apt with lists and caches of its own below folder."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.names = []
        self.problem = "the archive has none"
        for part in ("state/lists/partial", "cache/archives/partial", "packages"):
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
        self.options = []
        settings = {"Dir::Etc::sourcelist": f"{self.folder}/sources.list", "Dir::Etc::sourceparts": "/dev/null",
                    "Dir::State": f"{self.folder}/state", "Dir::State::status": "/var/lib/dpkg/status",
                    "Dir::Cache": f"{self.folder}/cache", "APT::Sandbox::User": "root", "Acquire::Languages": "none"}
        for key, value in settings.items():
            self.options += ["-o", f"{key}={value}"]

    def update(self):
        places = mirrors()
        with open(f"{self.folder}/sources.list", "w", encoding="ascii") as sources:
            for repository, suite in sorted(set(SERIES.values())):
                if repository in places:  # else its kernels are skipped: the archive has none
                    sources.write(f"deb [signed-by={KEYRING}] {places[repository]} {suite} main\n")
        try:
            run("apt-get", *self.options, "update")
        except Unavailable as error:
            self.problem = error  # what was fetched before may do
        self.names = run("apt-cache", *self.options, "pkgnames").decode().split()

    def download(self, package):
        """Returns the path of the package's archive."""
        folder = f"{self.folder}/packages"
        have = glob.glob(f"{folder}/{package}_*.deb")
        if not have:
            run("apt-get", *self.options, "download", package, cwd=folder)
            have = glob.glob(f"{folder}/{package}_*.deb")
        return have[0]


def version_key(name):
    return [int(number) for number in re.findall(r"\d+", name)]


def choose(names, series):
    """The highest version of a series, "6.12.117+deb13-cloud-amd64", or None."""
    number = r"\d+\.\d+" if series == "newest" else re.escape(series)
    pattern = re.compile(rf"linux-(?:image|binary)-({number}\.\d+(?:-\d+|\+deb13(?:\.\d+)?)-cloud-amd64)$")
    versions = {match.group(1) for match in map(pattern.match, names) if match}
    return max(versions, key=version_key, default=None)


def packages_of(names, version):
    """From 7.0 on linux-image is empty: kernel and modules have packages of their own."""
    split = [f"linux-{part}-{version}" for part in ("binary", "modules")]
    there = [name for name in split if name in names]
    return there or [f"linux-image-{version}"]


def decompress(data, start, kind):
    if kind == "xz":
        return lzma.LZMADecompressor().decompress(data[start:])
    if kind == "gzip":
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[start:])
    tool = shutil.which(kind)
    if not tool:
        return b""
    # bytes follow the stream; the tool complains of them after it has written all there was
    return subprocess.run([tool, "-dcq"], input=data[start:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def vmlinux_of(image):
    """The ELF kernel inside a bzImage."""
    magics = {"xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x02\x21\x4c\x18", "gzip": b"\x1f\x8b\x08"}
    for kind, magic in magics.items():
        start = image.find(magic)
        while start >= 0:
            try:
                kernel = decompress(image, start, kind)
            except (lzma.LZMAError, zlib.error):
                kernel = b""
            if kernel[:4] == b"\x7fELF":
                return kernel
            start = image.find(magic, start + 1)
    raise Unavailable("no compressed kernel in its image")


def module_bytes(path):
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    return decompress(data, 0, "zstd") if path.endswith(".zst") else data


def modules_of(tree, version):
    """[(name, bytes)] in load order; what a kernel has built in, or not at all, is left out."""
    modules = {}
    if not os.path.exists(f"{tree}/lib"):
        os.symlink("usr/lib", f"{tree}/lib")
    run("depmod", "-b", tree, version)
    for name in MODULES:
        shown = subprocess.run(["modprobe", "-d", tree, "-S", version, "--show-depends", name], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL).stdout.decode()
        for path in re.findall(r"^insmod (\S+)", shown, re.M):
            modules.setdefault(os.path.basename(path).split(".ko")[0] + ".ko", path)
    return [(name, module_bytes(path)) for name, path in modules.items()]


class Kernel:
    """version, vmlinux (path) and modules ([(name, bytes)])."""

    def __init__(self, archive, series):
        self.version = choose(archive.names, series)
        if not self.version:
            raise Unavailable(archive.problem)
        tree = os.path.join(archive.folder, "kernels", self.version)
        if not os.path.exists(f"{tree}/complete"):
            shutil.rmtree(tree, ignore_errors=True)
            os.makedirs(tree)
            for package in packages_of(archive.names, self.version):
                downloaded = archive.download(package)
                run("dpkg-deb", "-x", downloaded, tree)
                os.unlink(downloaded)
            images = glob.glob(f"{tree}/boot/vmlinuz-*") + glob.glob(f"{tree}/usr/lib/modules/*/vmlinuz")
            if not images:
                raise Unavailable("no kernel in its packages")
            with open(images[0], "rb") as image, open(f"{tree}/vmlinux", "wb") as out:
                out.write(vmlinux_of(image.read()))
            open(f"{tree}/complete", "w", encoding="ascii").close()
        self.vmlinux = f"{tree}/vmlinux"
        self.modules = modules_of(tree, self.version)
