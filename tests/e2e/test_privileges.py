# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who the processes are, what they may do, and what happens when one of them dies."""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import threading

import pytest

from harness import BUILD, programs
from harness.agent import Agent, expect
from harness.lab import sh, wait_until
from harness.life import attached

NOBODY = 65534
ROOT = pathlib.Path(__file__).resolve().parents[2]
CAPABILITIES = {"dac_read_search": 2, "net_admin": 12, "sys_ptrace": 19, "sys_admin": 21, "perfmon": 38, "bpf": 39}


HARDENING = os.environ.get("SMTPWARD_HARDENING", "required")


def landlock_version():
    """Of this kernel; 0: it has none (before Linux 5.13)."""
    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))  # landlock_create_ruleset, its version


def status(pid, task=None):
    text = pathlib.Path(f"/proc/{pid}/task/{task or pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def tasks(pid):
    return [status(pid, task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def capabilities(told, which="CapEff"):
    mask = int(told[which], 16)
    known = {name for name, bit in CAPABILITIES.items() if mask >> bit & 1}
    assert mask == sum(1 << CAPABILITIES[name] for name in known), f"others, too: {mask:x}"
    return known


def pins(lab):
    found = pathlib.Path("/sys/fs/bpf/smtpward").glob(f"{lab.cgroup.stat().st_ino}-*/*")
    return [path.name for path in found]


def test_agent_and_reader_have_no_rights(watch):
    agent = watch(identity={"witness": True})
    monitor, *others = agent.processes()
    assert len(others) == 2, "agent and reader"
    for pid in others:
        for told in tasks(pid):
            assert told["Uid"].split() == [str(NOBODY)] * 4 and told["Gid"].split() == [str(NOBODY)] * 4, told
            assert not told["Groups"].split()
            for which in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
                assert capabilities(told, which) == set(), (which, told)
            assert told["NoNewPrivs"] == "1" and told["Seccomp"] == "2", told
        # what belongs to a process that may be dumped belongs to its user
        assert os.stat(f"/proc/{pid}/fd").st_uid == 0, "not dumpable"
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits
    privileges = agent.ask("status")["privileges"]
    assert privileges["agent"]["uid"] == NOBODY and privileges["agent"]["pid"] == others[-1]
    assert privileges["agent"]["seccomp"] and privileges["agent"]["landlock"] == landlock_version(), privileges
    assert (privileges["agent"]["missing"] is None) == (landlock_version() > 0), privileges
    assert privileges["agent"]["capabilities"] == "none" and privileges["monitor"]["pid"] == monitor


@pytest.mark.parametrize("containers", [True, False])
def test_monitor_keeps_what_is_documented(lab, serve, watch, containers):
    serve("strip")
    agent = watch(mode="block", privileges={"user": "nobody", "containers": containers, "hardening": HARDENING})
    expected = set(CAPABILITIES) if containers else {"bpf", "net_admin", "perfmon"}
    for told in tasks(agent.processes()[0]):
        # the thread that opens files, which may hang, has none
        assert capabilities(told) in (expected, set()), told
        assert told["NoNewPrivs"] == "1"
    told = status(agent.process.pid)
    assert capabilities(told) == capabilities(told, "CapPrm") == expected
    assert capabilities(told, "CapBnd") <= set(CAPABILITIES)
    assert told["Seccomp"] == "2", told
    assert set(agent.ask("status")["privileges"]["monitor"]["capabilities"].split()) == expected
    # and with those it still stops what it shall stop, and reads the name of a cgroup
    assert not programs.swaks(lab, "192.0.2.2").delivered
    session = agent.session()
    expect(session, "blocked", {"cleartext-mail", "starttls-missing"})
    assert lab.cgroup.name in session["process"]["cgroup"], session


def test_without_containers_a_blocked_sender_beside_the_agent_is_told(lab, serve, watch):
    """In the monitor's own network namespace: ending a connection there takes CAP_NET_ADMIN alone."""
    serve("strip")
    agent = watch(mode="block", side="client", privileges={"user": "nobody", "containers": False, "hardening": HARDENING})
    assert not programs.swaks(lab, "192.0.2.2").delivered
    expect(agent.session(), "blocked", {"cleartext-mail", "starttls-missing"})
    counters = agent.ask("status")["counters"]["agent"]
    assert (counters["sockets_destroyed"], counters["destroy_failed"]) == (1, 0), counters


def test_descriptors_are_not_shared(watch):
    """The agent has the ring's map and no other object of BPF's; the reader nothing but its socket."""
    agent = watch(mode="block", identity={"witness": True})
    _, reader, worker = agent.processes()
    kinds = [os.readlink(path) for path in pathlib.Path(f"/proc/{worker}/fd").iterdir()]
    assert [kind for kind in kinds if "bpf" in kind] == ["anon_inode:bpf-map"], kinds
    held = [os.readlink(path) for path in pathlib.Path(f"/proc/{reader}/fd").iterdir()]
    assert len(held) == 1 and held[0].startswith("socket:"), held


def test_the_agent_dies_in_block_mode(lab, serve, watch):
    server = serve("strip")
    agent = watch(mode="block")
    os.kill(agent.processes()[-1], signal.SIGKILL)
    assert agent.process.wait(timeout=20) == 70, agent.output.read_text()
    assert "signal 9" in agent.output.read_text()
    assert not agent.socket.exists()
    assert pins(lab) and attached(lab), "what blocks stays"
    result = programs.raw(lab, "192.0.2.2", 25, [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "],
                                                 ["send", "MAIL FROM:<a@example.org>\r\n"], ["expect", "250"]])
    assert result.report["error"], result.report
    server.assert_nothing("MAIL")
    following = watch(mode="block")
    following.stop()
    assert not pins(lab) and not attached(lab)


def test_the_agent_dies_in_monitor_mode(lab, watch):
    agent = watch()
    os.kill(agent.processes()[-1], signal.SIGSEGV)
    assert agent.process.wait(timeout=20) == 70, agent.output.read_text()
    assert "signal 11" in agent.output.read_text()
    assert not pins(lab) and attached(lab) == []


def test_the_monitor_dies(lab, serve, watch):
    serve("strip")
    agent = watch(mode="block", identity={"witness": True})
    children = agent.processes()[1:]
    agent.signal(signal.SIGKILL)
    agent.process.wait(timeout=10)
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}/exe").exists() for pid in children), "agent and reader end")
    last = agent.alerts()[-1]
    assert last["event"]["action"] == "stopped" and last["log"]["level"] == "critical", last
    assert pins(lab), "what blocks stays"
    watch(mode="block").stop()
    assert not pins(lab)


def test_a_reader_that_died_is_told(lab, serve, watch):
    """A library that nobody has read yet is needed to notice; the witness goes on with what it has."""
    library = next(pathlib.Path("/usr/lib").glob("*/libssl.so.3"), None)
    if not library:
        pytest.skip("libssl.so.3 is not here")
    agent = watch(identity={"witness": True})
    _, reader, _ = agent.processes()
    os.kill(reader, signal.SIGKILL)
    (lab.scratch / "own").mkdir(exist_ok=True)
    copied = lab.scratch / "own" / "libssl.so.3"
    shutil.copy(library, copied)
    script = f"import ctypes, socket; ctypes.CDLL('{copied}'); socket.create_connection(('192.0.2.2', 25)).recv(9)"
    serve("strip")
    lab.start("client", [programs.PYTHON, "-c", script], watched=True).wait(timeout=30)
    agent.session()

    def told():
        status = agent.ask("status")
        return status["witness"]["active"] and any("reader" in reason for reason in status["reasons"])
    wait_until(told, "status says that the reader has ended")
    shutil.rmtree(copied.parent)


def test_the_agent_is_told_to_end(lab, watch):
    """As by a service manager that signals every process of the service."""
    agent = watch(mode="block", identity={"witness": True})
    for pid in reversed(agent.processes()):
        os.kill(pid, signal.SIGTERM)
    assert agent.process.wait(timeout=20) == 0, agent.output.read_text()
    assert not pins(lab) and attached(lab) == []


def test_told_to_end_while_it_ends(lab, watch):
    """The service manager's signal and the monitor's word come in any order, and impatient hands press Ctrl-C again."""
    agent = watch(mode="block")
    worker = agent.processes()[-1]
    agent.process.terminate()
    with contextlib.suppress(ProcessLookupError):
        while pathlib.Path(f"/proc/{worker}/exe").exists():
            os.kill(worker, signal.SIGTERM)
            os.kill(worker, signal.SIGINT)
    assert agent.process.wait(timeout=20) == 0, agent.output.read_text()
    assert not pins(lab) and attached(lab) == []


def connection_to_monitor(worker):
    """A copy of the agent's end of the first connection that it has to the monitor."""
    pidfd = os.pidfd_open(worker)
    try:
        for number in sorted(int(path.name) for path in pathlib.Path(f"/proc/{worker}/fd").iterdir()):
            fd = ctypes.CDLL(None).syscall(438, pidfd, number, 0)  # pidfd_getfd
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.close(fd)
                continue
            copy = socket.socket(fileno=fd)
            if copy.type == socket.SOCK_SEQPACKET:
                return copy
            copy.close()
    finally:
        os.close(pidfd)
    raise AssertionError("the agent has no connection to the monitor")


HEARTBEAT = struct.pack("=IIQ", 3, 0, 0)  # MONITOR_HEARTBEAT, and a body that says nothing


def talk(connection, over):
    """As a taken-over agent could: signs of life, and nothing else."""
    while not over.wait(0.2):
        with contextlib.suppress(OSError):
            connection.send(HEARTBEAT)
            connection.recv(4096)


@pytest.mark.parametrize("talks", [False, True])
def test_an_agent_that_does_not_end(lab, watch, talks):
    """The monitor may not kill another user's process; it does what is its own and leaves."""
    agent = watch()
    worker = agent.processes()[-1]
    os.kill(worker, signal.SIGSTOP)
    over = threading.Event()
    if talks:
        connection = connection_to_monitor(worker)
        threading.Thread(target=talk, args=(connection, over), daemon=True).start()
    try:
        agent.process.terminate()
        assert agent.process.wait(timeout=90) == 70
        assert "does not end" in agent.output.read_text()
        assert attached(lab) == []
    finally:
        over.set()
        if talks:
            connection.close()
        os.kill(worker, signal.SIGCONT)
    wait_until(lambda: not pathlib.Path(f"/proc/{worker}/exe").exists(), "it ends as soon as it can")


def test_in_the_background(lab, serve):
    """Started without -f: the shell gets its exit code once the hooks are at work; the terminal is let go of."""
    serve("strip")
    agent = Agent(lab, "background", mode="block")
    agent.write_config()
    started = subprocess.run([BUILD / "smtpwardd", "-c", agent.config_path], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=120)
    assert started.returncode == 0, started
    told = agent.ask("status")
    pids = [told["pid"], told["privileges"]["agent"]["pid"]]
    try:
        for pid in pids:
            assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}, pid
        assert os.readlink(f"/proc/{pids[0]}/cwd") == "/"
        assert not programs.swaks(lab, "192.0.2.2").delivered
        expect(agent.session(), "blocked", {"cleartext-mail", "starttls-missing"})
    finally:
        os.kill(pids[0], signal.SIGTERM)
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}/exe").exists() for pid in pids), "both have ended", 60)
    assert not pins(lab) and attached(lab) == []
    started = subprocess.run([BUILD / "smtpwardd", "-c", lab.scratch / "no-such-file"], capture_output=True, text=True, timeout=60)
    assert started.returncode == 78 and "no-such-file" in started.stderr, started


def refuses(lab, number, code, *words, prepare=None, **settings):
    agent = Agent(lab, number, **settings)
    agent.write_config()
    told = subprocess.run([BUILD / "smtpwardd", "-f", "-c", agent.config_path], capture_output=True, text=True, timeout=30,
                          preexec_fn=prepare)
    assert told.returncode == code, told
    for word in words:
        assert word in told.stderr, told.stderr
    assert attached(lab) == [] and not agent.socket.exists()


@pytest.mark.parametrize("user,word", [("no-such-user", "there is no such user"), ("root", "not root")])
def test_a_user_that_will_not_do(lab, user, word):
    refuses(lab, f"user-{user}", 78, user, word, privileges={"user": user})


@pytest.mark.parametrize("key", ["owner", "group", "admin_group"])
def test_a_name_that_is_none(lab, key):
    refuses(lab, f"name-{key}", 78, f"control.{key}", "no-such", control={key: "no-such"})


def without_landlock():
    """From here on, as on a kernel that has none: landlock_create_ruleset fails with ENOSYS."""
    instructions = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]
    program = b"".join(struct.pack("HBBI", *one) for one in instructions)
    space = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(space))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, ctypes.create_string_buffer(header, len(header)), 0, 0) == 0  # PR_SET_SECCOMP, a filter


@pytest.mark.parametrize("witness", [True, False])
def test_hardening_that_is_required(lab, witness):
    refuses(lab, f"hardening-{witness}", 69, "Landlock", "privileges.hardening", prepare=without_landlock,
            identity={"witness": witness}, privileges={"user": "nobody", "hardening": "required"})


def test_hardening_that_is_not_there(lab):
    agent = Agent(lab, "available", privileges={"user": "nobody", "hardening": "available"})
    agent.write_config()
    with open(agent.output, "ab") as output:
        agent.process = subprocess.Popen([BUILD / "smtpwardd", "-f", "-c", agent.config_path], stdout=output, stderr=output,
                                         preexec_fn=without_landlock)
    try:
        wait_until(lambda: agent.run("-j", "status").returncode == 0, "the agent answers")
        told = agent.ask("status")
        assert told["privileges"]["agent"]["landlock"] == 0 and told["privileges"]["agent"]["seccomp"] is True
        assert "Landlock" in told["privileges"]["agent"]["missing"]
        assert told["health"] == "degraded" and any("Landlock" in reason for reason in told["reasons"]), told["reasons"]
        assert status(agent.processes()[-1])["Uid"].split()[0] == str(NOBODY)
    finally:
        agent.stop()


def test_a_reload_asks_for_users(lab, serve, watch):
    """The agent may not ask a name service; the monitor does, for the rules of a new configuration."""
    serve("strip")
    agent = watch(mode="block")
    agent.config["policy"] = {"rules": [{"user": "root", "require": "none", "reason": "by name"}]}
    agent.write_config()
    agent.signal(signal.SIGHUP)
    wait_until(lambda: "by name" in agent.run("policy", "list").stdout, "the new policy")
    assert programs.swaks(lab, "192.0.2.2").delivered
    agent.config["policy"]["rules"][0]["user"] = "no-such-user"
    agent.write_config()
    told = agent.run("policy", "reload")
    assert told.returncode != 0 and "no-such-user" in told.stderr, told
    assert "by name" in agent.run("policy", "list").stdout


@pytest.mark.parametrize("known", [True, False])
def test_the_systems_authorities_are_in_reach(lab, ca, serve, watch, monkeypatch, known):
    """OpenSSL reads a folder of authorities when one is looked for: the agent has no rights any more by then."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here")
    folder = lab.scratch / f"authorities-{known}"
    folder.mkdir()
    if known:
        shutil.copy(ca / "ca.pem", folder)
        os.chmod(folder / "ca.pem", 0o644)
    sh("openssl", "rehash", folder)
    os.chmod(lab.scratch, 0o755)
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    serve(version="1.2")
    agent = watch(identity={"trust": None})
    assert programs.swaks(lab, "192.0.2.2", tls="must").delivered
    expect(agent.session(), "encrypted", set() if known else {"certificate-untrusted"})


# ---- the control socket --------------------------------------------------------------------------------------------


def ask_as(agent, uid, groups, request):
    """What the agent answers a process with this user and these groups."""
    script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1]); "
              "s.sendall(sys.argv[2].encode() + b'\\n'); print(s.makefile().readline())")
    told = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--groups", ",".join(map(str, groups)) or str(uid), "--",
                           programs.PYTHON, "-c", script, str(agent.socket), json.dumps(request)], capture_output=True, text=True)
    return json.loads(told.stdout) if told.returncode == 0 else told.stderr


def test_who_may_ask_and_who_may_change(lab, watch):
    readers, admins, somebody = 61001, 61002, 61003
    os.chmod(lab.scratch, 0o755)
    agent = watch(control={"owner": "daemon", "group": str(readers), "admin_group": str(admins)})
    entry = agent.socket.stat()
    assert (entry.st_mode & 0o777, entry.st_gid) == (0o660, readers) and entry.st_uid != 0
    assert "PermissionError" in ask_as(agent, somebody, [], {"command": "status"})
    assert ask_as(agent, somebody, [readers], {"command": "status"})["mode"] == "monitor"
    for request in ({"command": "mode", "set": "block"}, {"command": "policy-reload"}):
        assert ask_as(agent, somebody, [readers], request)["error"]["code"] == "denied", request
    assert ask_as(agent, somebody, [readers], {"command": "mode"}) == {"mode": "monitor"}
    assert ask_as(agent, somebody, [readers, admins], {"command": "mode", "set": "block"}) == {"mode": "block"}
    assert ask_as(agent, 0, [], {"command": "mode", "set": "monitor"}) == {"mode": "monitor"}


def test_without_an_admin_group_root_alone(lab, watch):
    os.chmod(lab.scratch, 0o755)
    agent = watch(control={"group": "61001"})
    assert ask_as(agent, 61003, [61001, 0], {"command": "mode", "set": "block"})["error"]["code"] == "denied"
    assert agent.ask("mode") == {"mode": "monitor"}


# ---- the unit ------------------------------------------------------------------------------------------------------


def unit(name):
    return (ROOT / "packaging" / name).read_text().replace("@SBINDIR@", "/usr/sbin")


def unit_capabilities(*names):
    lines = [line for name in names for line in unit(name).splitlines()]
    return {word.removeprefix("CAP_").lower() for line in lines if line.startswith("CapabilityBoundingSet=")
            for word in line.partition("=")[2].split()}


def test_unit_is_hardened(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "smtpwardd.service"
    path.write_text(unit(path.name))
    told = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25", path],
                          capture_output=True, text=True, env={**os.environ, "SYSTEMD_COLORS": "0"})
    assert "exposure level" in told.stdout, told
    assert told.returncode == 0, told.stdout
    # a list that takes away takes away what was given before it, too
    filters = [line for line in unit(path.name).splitlines() if line.startswith("SystemCallFilter=")]
    given = [line.partition("=")[2].split() for line in filters]
    assert [number for number, words in enumerate(given) if words[0].startswith("~")][-1] < min(
        number for number, words in enumerate(given) if "bpf" in words or "perf_event_open" in words or "capset" in words)


def memory_lock_unlimited():
    """LimitMEMLOCK=infinity: Linux 5.10 counts BPF maps against it. Where it may not be raised, the kernel is a later one."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("drop_ins", [[], ["containers.conf"]])
def test_unit_gives_the_capabilities_that_it_takes(lab, serve, drop_ins):
    """As the service manager starts it: with those and no others, and no way to get more."""
    start = {"setuid", "setgid", "setpcap"}
    bounding = unit_capabilities("smtpwardd.service", *drop_ins)
    kept = set(CAPABILITIES) if drop_ins else {"bpf", "net_admin", "perfmon", "sys_admin"}
    assert bounding == kept | start
    serve("strip")
    agent = Agent(lab, f"unit-{len(drop_ins)}", mode="block", control={"group": "61001"}, identity={"witness": True})
    agent.write_config()
    with open(agent.output, "ab") as output:
        agent.process = subprocess.Popen(["setpriv", "--bounding-set", ",".join(["-all", *(f"+{name}" for name in sorted(bounding))]),
                                          "--no-new-privs", "--", BUILD / "smtpwardd", "-f", "-c", agent.config_path],
                                         stdout=output, stderr=output, preexec_fn=memory_lock_unlimited)
    try:
        wait_until(lambda: agent.process.poll() is not None or agent.run("-j", "status").returncode == 0, "the agent answers")
        assert agent.process.poll() is None, agent.output.read_text()
        told = agent.ask("status")
        assert set(told["privileges"]["monitor"]["capabilities"].split()) == kept
        # without containers.conf what was there first in another network namespace is not found, which is told
        reasons = [reason for reason in told["reasons"] if drop_ins or "network namespaces could not be looked into" not in reason]
        reasons = [reason for reason in reasons if landlock_version() or "Landlock" not in reason]
        assert not reasons and told["witness"]["active"], (reasons, told["witness"])
        assert not programs.swaks(lab, "192.0.2.2").delivered
        session = agent.session()
        expect(session, "blocked", {"cleartext-mail", "starttls-missing"})
        assert lab.cgroup.name in session["process"]["cgroup"], session
        assert agent.socket.stat().st_gid == 61001
    finally:
        agent.stop()
    assert not pins(lab) and attached(lab) == []
