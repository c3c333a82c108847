# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A local user against the agent: the control socket, and links where it writes. Nothing changes, the agent lives, root is served."""
import ctypes
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import pytest

from harness import CLIENTS, programs
from harness.agent import Agent
from harness.lab import wait_until
from harness.programs import PYTHON

NOBODY = 65534
ANSWER_SECONDS = 20  # for root, whoever else asks; the CI machine is slow


class Intruder:
    """clients/hostile_user.py as a user without rights, from a folder that user can enter."""

    def __init__(self, agent, what):
        script = (CLIENTS / "hostile_user.py").read_text()
        self.process = subprocess.Popen(
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
             "--no-new-privs", PYTHON, "-c", script, agent.socket, what],
            cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line.strip()

    def go_on(self):
        """Lets it end. Returns what else it said."""
        output, errors = self.process.communicate("\n", timeout=120)
        assert self.process.returncode == 0, errors
        return output


@pytest.fixture
def open_agent(lab, watch):
    """The agent, in block mode, with a control socket that everybody may open: the worst that an administrator could do."""
    os.chmod(lab.scratch, 0o711)
    agent = watch(mode="block", policy={"rules": [{"to": "192.0.2.77", "require": "none", "reason": "stays"}]})
    os.chmod(agent.folder, 0o711)
    os.chmod(agent.socket, 0o666)
    before = (agent.processes(), agent.run("policy", "list").stdout, agent.config_path.read_bytes())
    yield agent
    assert agent.processes() == before[0], "a process of the agent is another one now"
    assert agent.ask("mode")["mode"] == "block"
    assert agent.run("policy", "list").stdout == before[1]
    assert agent.config_path.read_bytes() == before[2]
    assert agent.ask("status")["health"] == "ok", agent.ask("status")["reasons"]


def root_is_served(agent):
    began = time.monotonic()
    assert agent.ask("status")["mode"] == "block"
    assert agent.run("mode", "block").returncode == 0
    assert time.monotonic() - began < ANSWER_SECONDS


def memory_kb(agent):
    text = pathlib.Path(f"/proc/{agent.processes()[-1]}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


def test_the_socket_is_closed_to_others(lab, watch):
    os.chmod(lab.scratch, 0o711)
    agent = watch()
    os.chmod(agent.folder, 0o711)
    intruder = Intruder(agent, "commands")
    _, errors = intruder.process.communicate(timeout=60)
    assert intruder.process.returncode != 0 and "PermissionError" in errors, errors


def test_every_command(open_agent):
    answers = json.loads(Intruder(open_agent, "commands").go_on())
    for text, answer in answers.items():
        request = json.loads(text)
        error = (answer or {}).get("error", {}).get("code")
        if "set" in request or request["command"] == "policy-reload":
            assert error in ("denied", "bad-argument"), (text, answer)
        elif request["command"] in ("stop", "detach", "set_mode"):
            assert error == "unknown-command", (text, answer)
        else:
            assert answer and not error, (text, answer)
    assert answers['{"command": "mode", "set": "monitor"}']["error"]["code"] == "denied"
    assert answers['{"command": "policy-reload"}']["error"]["code"] == "denied"


def test_a_thousand_connections(open_agent):
    intruder = Intruder(open_agent, "flood")
    told = json.loads(intruder.line())
    assert told["served"] == 16 and told["busy"] + told["refused"] == 1000 - 16, told
    assert intruder.line() == "here"
    root_is_served(open_agent)
    assert open_agent.ask("status")["counters"]["agent"]["connections_refused"] >= told["busy"]
    intruder.go_on()


def test_garbage(open_agent):
    assert int(Intruder(open_agent, "garbage").go_on()) > 60
    root_is_served(open_agent)


def test_half_requests(open_agent):
    intruder = Intruder(open_agent, "half")
    assert intruder.line() == "here"
    root_is_served(open_agent)
    intruder.go_on()
    root_is_served(open_agent)


def test_oversized_requests(open_agent):
    before = memory_kb(open_agent)
    assert set(Intruder(open_agent, "oversized").go_on().split()) <= {"malformed", "closed"}
    assert memory_kb(open_agent) - before < 4096
    root_is_served(open_agent)


def test_readers_that_do_not_read(lab, serve, open_agent):
    """Sixteen connections, each with forty thousand requests: what is not read is not made."""
    serve()
    for _ in range(5):
        programs.swaks(lab, "192.0.2.2", tls="must")
    open_agent.sessions(5)
    before = memory_kb(open_agent)
    intruder = Intruder(open_agent, "slow")
    assert intruder.line() == "here"
    root_is_served(open_agent)
    assert memory_kb(open_agent) - before < 32 * 1024
    intruder.go_on()


# ---- links where the agent writes ----

VICTIM = b"root's own\n"


@pytest.fixture
def trap(lab):
    """A folder of the hostile user's, and files of root's that the user would like to have written to."""
    folder, victims = (pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=lab.scratch)) for prefix in ("trap-", "victims-"))
    os.chown(folder, NOBODY, NOBODY)
    os.chmod(folder, 0o777)  # root's processes have given up the right to write where they may not
    (victims / "file").write_bytes(VICTIM)
    before = os.stat(victims)
    yield folder, victims
    assert (victims / "file").read_bytes() == VICTIM
    assert sorted(os.listdir(victims)) == ["file"]
    after = os.stat(victims)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def does_not_start(lab, name, **settings):
    agent = Agent(lab, name, **settings)
    agent.start(wait=False)
    assert agent.process.wait(timeout=30) == 78, agent.output.read_text()
    return agent.output.read_text()


def set_link(link, target):
    """As the hostile user would."""
    os.symlink(target, link)
    os.lchown(link, NOBODY, NOBODY)


@pytest.mark.parametrize("kind", ["symlink", "hard link", "to nothing"])
def test_a_link_where_the_alerts_go(lab, trap, kind):
    folder, victims = trap
    link = folder / "alerts.jsonl"
    if kind == "hard link":  # the kernel may not let the user make one (fs.protected_hardlinks)
        os.link(victims / "file", link)
    else:
        set_link(link, victims / ("file" if kind == "symlink" else "new"))
    said = does_not_start(lab, f"link-{kind.replace(' ', '-')}", file={"path": str(link)})
    assert str(link) in said and ("Too many links" if kind == "hard link" else "symbolic links") in said, said


def test_a_link_where_the_alerts_went(lab, serve, watch, trap):
    """Set while the agent runs: it is met as the file is opened anew."""
    folder, victims = trap
    path = folder / "alerts.jsonl"
    serve("strip")
    agent = watch(file={"path": str(path)})
    path.rename(folder / "old")
    set_link(path, victims / "file")
    agent.signal(signal.SIGHUP)
    programs.swaks(lab, "192.0.2.2")
    agent.session()
    wait_until(lambda: agent.ask("status")["health"] != "ok", "the agent says that it cannot write")
    assert agent.process.poll() is None


def test_a_link_in_the_place_of_the_sockets_directory(lab, trap):
    folder, victims = trap
    set_link(folder / "run", victims)
    said = does_not_start(lab, "link-directory", control_socket=str(folder / "run" / "control.sock"))
    assert "another user could replace it" in said


def test_a_socket_in_another_users_directory(lab, trap):
    folder, _ = trap
    said = does_not_start(lab, "their-directory", control_socket=str(folder / "control.sock"))
    assert "another user could replace it" in said
    os.chown(folder, 0, 0)
    os.chmod(folder, 0o777)
    said = does_not_start(lab, "everybodys-directory", control_socket=str(folder / "control.sock"))
    assert "another user could replace it" in said
    os.chown(folder, 0, NOBODY)
    os.chmod(folder, 0o775)
    said = does_not_start(lab, "a-groups-directory", control_socket=str(folder / "control.sock"))
    assert "another user could replace it" in said


# ---- files that the monitor opens ----

LINE_PREFIX = 73  # of a line of /proc/PID/maps, before the path
MAPS_LINE = 1023  # where readers that take a line for so long at most go on with the rest, as if it were the next one

MAP_AND_SEND = """
import mmap, os, shutil, socket, sys

def map_file(name):
    with open(name, "rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)

os.chdir(sys.argv[1])
shutil.copy(sys.argv[4], "libssl.so.3")
read = map_file("libssl.so.3")
for folder in sys.argv[2].split("/")[:-1]:
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
with open("libssl.so", "wb") as library:
    library.write(bytes(4096))
forged = map_file("libssl.so")
assert any(line[1023:].startswith(sys.argv[3]) for line in open("/proc/self/maps")), open("/proc/self/maps").read()
socket.create_connection(("192.0.2.2", 25)).recv(9)
sys.stdin.readline()
"""


MAP_MANY_AND_SEND = """
import mmap, os, shutil, socket, sys
os.chdir(sys.argv[1])
mappings = []
for i in range(int(sys.argv[3])):
    name = f"libgnutls-{i}.so"
    shutil.copy(sys.argv[2], name)
    with open(name, "rb") as file:
        mappings.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE))
socket.create_connection(("192.0.2.2", 25)).recv(9)
sys.stdin.readline()
"""


def was_opened(path, act):
    """Whether somebody opens the file while act() runs."""
    libc = ctypes.CDLL(None, use_errno=True)
    watching = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watching, os.fsencode(path), 0x20) >= 0  # IN_OPEN
    try:
        act()
        return bool(os.read(watching, 4096))
    except BlockingIOError:
        return False
    finally:
        os.close(watching)


def watched_libraries(agent):
    return [library["path"] for library in agent.ask("status")["witness"]["libraries"]]


def test_a_mapping_whose_path_looks_like_another_mapping(lab, serve, watch, trap):
    """What stands in the place of the addresses would have root open any file, a device's included."""
    library = next(pathlib.Path("/usr/lib").glob("*/libssl.so.3"), None)
    if not library:
        pytest.skip("libssl.so.3 is not here")
    folder, victims = trap
    os.chmod(lab.scratch, 0o711)
    forged = f"../root{victims}/file r-xp 0 0 1 "
    start = str(folder)
    filler = MAPS_LINE - LINE_PREFIX - len(start) - 1
    names = []
    while filler > 200:
        names.append("x" * 99)
        filler -= 100
    names.append("x" * filler)  # "xxx.." is a name like any other
    path = "/".join(names) + forged + "/libssl.so"
    serve("strip")
    agent = watch(identity={"witness": True})

    def act():
        child = lab.start("client", ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "--", PYTHON,
                                     "-c", MAP_AND_SEND, start, path, forged, library], watched=True, stdin=subprocess.PIPE)
        wait_until(lambda: f"{start}/libssl.so.3" in watched_libraries(agent), "the process is looked at: its other library is watched")
        child.communicate(b"\n", timeout=60)
        assert child.returncode == 0
        agent.session()
    assert not was_opened(victims / "file", act)


def test_more_library_files_than_there_are_places(lab, serve, watch, trap, tmp_path):
    """One user's copies do not keep root's out."""
    if tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (5, 15):
        pytest.skip("before Linux 5.15 a probe cannot tell which file it is in, and there is one of each kind")
    library = next(pathlib.Path("/usr/lib").glob("*/libgnutls.so.30"), None)
    if not library:
        pytest.skip("libgnutls.so.30 is not here")
    folder, _ = trap
    os.chmod(lab.scratch, 0o711)
    serve("strip")
    agent = watch(identity={"witness": True})

    def send_with(count, where, *setpriv):
        return lab.start("client", [*setpriv, PYTHON, "-c", MAP_MANY_AND_SEND, where, library, str(count)], watched=True,
                         stdin=subprocess.PIPE)

    def count_in(where):
        return sum(path.startswith(f"{where}/") for path in watched_libraries(agent))

    users = send_with(80, folder, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "--")
    wait_until(lambda: "users have too many of their own" in (agent.ask("status")["witness"]["error"] or ""), "the user's files are too many")
    roots = send_with(1, tmp_path)
    wait_until(lambda: count_in(tmp_path) == 1, "root's library is watched")
    assert 0 < count_in(folder) <= 32, watched_libraries(agent)
    for child in (users, roots):
        child.communicate(b"\n", timeout=60)
        assert child.returncode == 0


@pytest.mark.parametrize("target", ["file", "new"])
def test_a_link_in_the_sockets_place(lab, trap, target):
    """In a directory where everybody has their own names, as /tmp is."""
    folder, victims = trap
    os.chown(folder, 0, 0)
    os.chmod(folder, 0o1777)
    set_link(folder / "control.sock", victims / target)
    said = does_not_start(lab, f"link-socket-{target}", control_socket=str(folder / "control.sock"))
    assert "something else at this path" in said
