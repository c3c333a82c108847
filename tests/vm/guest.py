# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Inside the guest: the agent watches the whole (virtual) host, from the root cgroup."""
import base64
import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys

from guest_check import check, expect, tell, wait_until
from guest_mail import PASSWORD, Server, say, send_mail

CONTROL = "/run/smtpward/vm.sock"
LOOPBACK = ("127.0.0.1", "::1")
VERIFIED_ONLY = "127.0.0.2"  # by the policy
VETH = ("10.9.0.1", "fd00:9::1")  # this side's; the mail comes from the namespace "sender"


class Agent:
    def __init__(self, mode):
        rules = [{"to": "127.0.0.0/8", "require": "encrypted"}, {"to": "::1", "require": "encrypted"},
                 {"to": VERIFIED_ONLY, "require": "verified", "undecided": "block"}]
        config = {"mode": mode, "on_exit": "detach", "control_socket": CONTROL, "syslog": {"enabled": False}, "journal": "off",
                  "metrics": {"enabled": False},
                  "privileges": {"hardening": "available"},  # Linux 5.10 has no Landlock
                  "identity": {"trust": "/tls/ca.pem"}, "policy": {"default": {"require": "encrypted"}, "rules": rules}}
        os.makedirs(os.path.dirname(CONTROL), exist_ok=True)
        with open("/run/smtpward.yaml", "w", encoding="ascii") as file:
            json.dump(config, file, indent=1)  # JSON is YAML, too
            file.write("\n")
        self.output = open("/run/smtpwardd.log", "w+b")
        self.process = subprocess.Popen(["/smtpwardd", "-f", "-c", "/run/smtpward.yaml"], stdout=self.output,
                                        stderr=self.output, env=dict(os.environ, SMTPWARD_DEBUG="1"))
        try:
            wait_until(self.answers, "the agent answers", 600)  # the verifier, on a machine that has much else to do
        except AssertionError as error:
            self.output.seek(0)
            at_work = subprocess.run("for p in /proc/[0-9]*; do grep -q smtpwardd $p/comm && cat $p/status $p/wchan $p/stack; done",
                                     shell=True, capture_output=True, text=True).stdout
            raise AssertionError(f"{error}: {self.output.read().decode()}: {at_work}") from None

    def answers(self):
        if self.process.poll() is not None:
            self.output.seek(0)
            raise AssertionError(f"the agent ended with {self.process.returncode}: {self.output.read().decode()}")
        return subprocess.run(["/smtpward", "-s", CONTROL, "status"], capture_output=True).returncode == 0

    def ask(self, *arguments):
        told = subprocess.run(["/smtpward", "-s", CONTROL, "-j", *arguments], capture_output=True, check=True)
        return json.loads(told.stdout)

    def session(self, client_port):
        """The session of that client port, once it is over."""
        found = []

        def is_over():
            found[:] = [s for s in self.ask("sessions")["sessions"] if s["client"]["port"] == client_port]
            return found and found[-1]["closed"]
        wait_until(is_over, f"the session from port {client_port} ends; seen: {found}")
        return found[-1]

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(30)


def programs_loaded():
    """Names of the agent's programs that the kernel holds now."""
    told = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True)
    return [p["name"] for p in json.loads(told.stdout) if p.get("name", "").startswith("smtpward_")]


def hooks_loaded():
    """Those of the socket hooks; the one that announces connections is in the agent's hands alone."""
    return [name for name in programs_loaded() if name != "smtpward_announce"]


# ---- the checks ------------------------------------------------------------------------------------------------


@check("the verifier takes every program of {0}")
def check_verifier(name):
    done = subprocess.run(["/verify", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told = done.stdout.decode(errors="replace")
    if done.returncode == 0:
        print("instructions:", ", ".join(told.split("\n")).strip(", "), flush=True)
    else:
        print(told[-6000:], flush=True)
    expect(done.returncode == 0, "exit status", done.returncode, told[-400:])


@check("the agent starts on the root cgroup, all hooks attached")
def check_start(agent):
    status = agent.ask("status")
    hooks = status["hooks"]
    expect(len(hooks) == 5 and all(hook["attached"] for hook in hooks), hooks)
    # Linux 5.10 has no Landlock, which is told; there is nothing else to complain of
    reasons = [reason for reason in status["reasons"] if not reason.startswith("not all hardening could be applied: Landlock")]
    expect(status["cgroup"] == "/sys/fs/cgroup" and not reasons, status)
    privileges = status["privileges"]["agent"]
    expect(privileges["uid"] == 990 and privileges["capabilities"] == "none" and privileges["seccomp"], privileges)
    expect(bool(privileges["landlock"]) != bool(privileges["missing"]), privileges)


def expect_exposed(agent, server, seen, address):
    expect(seen["error"] is None, seen)
    session = agent.session(seen["port"])
    expect(session["outcome"] == "cleartext", session)
    expect({"cleartext-auth", "cleartext-mail", "starttls-missing"} <= set(session["findings"]), session)
    expect(session["auth"] == {"mechanism": "PLAIN", "account": "alice"}, session)
    expect(session["would_block"] and not session["blocked"], session)
    expect(server.saw("AUTH", address) and server.saw("MAIL", address), server.lines)


@check("monitor: AUTH and MAIL in clear to {2} are found, the account named")
def check_monitor(agent, server, address):
    expect_exposed(agent, server, send_mail(address, server.port, "login"), address)


@check("monitor: a large message in clear is skipped, not lost")
def check_large(agent, server):
    expect_exposed(agent, server, send_mail("127.0.0.1", server.port, "login", "large"), "127.0.0.1")


@check("monitor: AUTH and MAIL in clear over MPTCP are found")
def check_mptcp(agent, server):
    expect_exposed(agent, server, send_mail("10.9.0.1", server.port, "login", "mptcp", namespace="sender"), "10.9.0.1")


def expect_stopped(server, verb, error, address, how, namespace):
    """Sends a mail of which no verb may get through. Returns the client's port."""
    before = len(server.lines)
    seen = send_mail(address, server.port, *how, namespace=namespace)
    expect(seen["error"] == error, seen)
    expect(server.saw("EHLO", since=before) and not server.saw(verb, since=before), server.lines[before:])
    return seen["port"]


@check("block: {2} to {3}: ECONNABORTED, and the server never sees it")
def check_block(agent, server, verb, address, namespace):
    port = expect_stopped(server, verb, "ECONNABORTED", address, ["login"] if verb == "AUTH" else [], namespace)
    session = agent.session(port)
    expect(session["outcome"] == "blocked" and session["blocked"], session)


@check("block: AUTH over MPTCP: the server never sees it")
def check_mptcp_block(agent, server):
    # The subflow is destroyed at once, but the MPTCP socket above it waits a minute for another: the client gives up before.
    before = len(server.lines)
    seen = send_mail("10.9.0.1", server.port, "login", "mptcp", namespace="sender")
    print("MPTCP, blocked: the client's error is:", seen["error"], flush=True)
    expect(seen["error"] and server.saw("EHLO", since=before), seen, server.lines[before:])
    expect(not server.saw("AUTH", since=before) and not server.saw("MAIL", since=before), server.lines[before:])
    expect(agent.session(seen["port"])["outcome"] == "blocked")


@check("block: with STARTTLS a login and a large message pass to {2}")
def check_starttls(agent, server, address, namespace):
    before = len(server.lines)
    seen = send_mail(address, server.port, "login", "large", "starttls", namespace=namespace)
    expect(seen["error"] is None, seen)
    session = agent.session(seen["port"])
    expect(session["outcome"] == "unverified" and session["findings"] == ["verification-skipped"], session)
    expect(server.saw("AUTH", since=before) and server.saw("QUIT", since=before), server.lines[before:])


@check("the witness hears OpenSSL")
def check_witness(agent):
    witness = agent.ask("status")["witness"]
    expect(witness["active"], witness)
    print("libraries:", [(library["path"], library["readable"]) for library in witness["libraries"]], flush=True)


@check("a sender that verifies the server is told from one that does not")
def check_identity(agent, server):
    for how, outcome in ((["verified"], "verified"), ([], "unverified")):
        seen = send_mail("127.0.0.1", server.port, "starttls", *how)
        expect(seen["error"] is None, seen)
        session = agent.session(seen["port"])
        expect(session["outcome"] == outcome, session)


@check("block, verified required: who verifies passes; for one that does not, the agent does")
def check_demand(agent, server):
    seen = send_mail(VERIFIED_ONLY, server.port, "starttls", "verified")
    expect(seen["error"] is None and agent.session(seen["port"])["outcome"] == "verified", seen)
    before = len(server.lines)
    seen = send_mail(VERIFIED_ONLY, server.port, "starttls")
    session = agent.session(seen["port"])
    expect(seen["error"] is None and session["outcome"] == "verified", seen, session)
    expect(server.saw("MAIL", since=before), server.lines[before:])


@check("block, agent killed: {1} to {2}: ETIMEDOUT, and the server never sees it")
def check_dead(server, verb, address, namespace):
    expect_stopped(server, verb, "ETIMEDOUT", address, ["login"] if verb == "AUTH" else [], namespace)


@check("block, agent killed: with STARTTLS a login and a large message pass to {1}")
def check_dead_starttls(server, address):
    seen = send_mail(address, server.port, "login", "large", "starttls")
    expect(seen["error"] is None, seen)


@check("kill -9 in block mode leaves the programs at work")
def check_kill(agent):
    expect(agent.end(signal.SIGKILL) == -signal.SIGKILL)
    expect(len(hooks_loaded()) == 5, programs_loaded())


@check("a new agent takes over, without a second set of programs")
def check_take_over(agent):
    wait_until(lambda: len(hooks_loaded()) == 5, f"the old programs go: {programs_loaded()}")
    expect(agent.ask("status")["mode"] == "block")


@check("SIGTERM leaves nothing attached")
def check_end(agent):
    expect(agent.end(signal.SIGTERM) == 0, "exit status", agent.process.returncode)
    wait_until(lambda: not programs_loaded(), f"the programs go: {programs_loaded()}")
    expect(not os.path.exists("/sys/fs/bpf/smtpward"), "pins are left")


@check("after that, mail passes as if there had been no agent")
def check_free(server):
    seen = send_mail("127.0.0.1", server.port, "login")
    expect(seen["error"] is None, seen)


@check("no helper failed, no event was lost")
def check_counters(agent):
    counters = agent.ask("status")["counters"]
    bad = {name: counters["kernel"][name] for name in ("helper_failed", "events_lost", "storage_failed", "gaps")}
    expect(not any(bad.values()) and counters["agent"]["destroy_failed"] == 0, counters)


def run_cmocka(path):
    """One test program of tests/bpf, each of its cases a check."""
    suite = os.path.basename(path)
    try:
        done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
                              env=dict(os.environ, CMOCKA_MESSAGE_OUTPUT="tap"))
        told, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as error:
        told, status = (error.stdout or b"").decode(errors="replace"), "time-out"
    cases = re.findall(r"^(not ok|ok) \d+ (- |# SKIP )(\S+)", told, re.M)
    for how, skip, case in cases:
        tell("skipped" if "SKIP" in skip else "passed" if how == "ok" else "failed", f"{suite}: {case}")
    if not cases or (status != 0 and all(how == "ok" for how, _, _ in cases)):
        tell("failed", suite, f"exit status {status}")
    if status != 0 or any("SKIP" in skip for _, skip, _ in cases):
        print(told[-6000:], flush=True)


# End-to-end tests that need no mail program but Python's, and the rows of the paths that a kernel may fail at.
E2E = {
    "test_paths.py": "(netem or vlan or qinq or esp or ktls or mptcp or fast or gso or nat or container) and not ipv6",
    "test_midway.py": "",
    "test_life.py": "",
    "test_kill.py": "",
    "test_privileges.py": "",
    "test_hold.py": "",
}


def run_pytest(name, chosen):
    """A file of tests/e2e, each of its tests a check, told as it ends: the whole may take longer than anybody waits."""
    environment = dict(os.environ, BUILD="/src/build", SMTPWARD_HARDENING="available", KILLS="5", PATIENCE="15", PYTHONDONTWRITEBYTECODE="1",
                       COLUMNS="300", PYTHONUNBUFFERED="1")
    child = subprocess.Popen([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short", "-k", chosen, name],
                             cwd="/src/tests/e2e", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    words = {"PASSED": "passed", "SKIPPED": "skipped", "FAILED": "failed", "ERROR": "failed"}
    output, cases = [], 0
    for line in child.stdout:
        output.append(line)
        case = re.match(r"\S+::(\S+) (PASSED|SKIPPED|FAILED|ERROR)(?: \((.*)\))? +\[", line)
        if case:
            tell(words[case[2]], f"{name[:-3]}: {case[1]}", case[3] or "")
            cases += 1
    status = child.wait()
    if not cases or status not in (0, 1):
        tell("failed", name, f"exit status {status}")
    if status:
        print("".join(output)[-20000:], flush=True)


def make_sender():
    """The namespace that mail comes from, at the other end of a veth."""
    for command in ("netns add sender", "link add mail type veth peer name uplink netns sender",
                    "addr add 10.9.0.1/24 dev mail", "addr add fd00:9::1/64 dev mail nodad", "link set mail up",
                    "-n sender addr add 10.9.0.2/24 dev uplink", "-n sender addr add fd00:9::2/64 dev uplink nodad",
                    "-n sender link set lo up", "-n sender link set uplink up"):
        subprocess.run(["ip", *command.split()], check=True)


def destinations():
    return [(address, None) for address in LOOPBACK] + [(address, "sender") for address in VETH]


def mptcp_server():
    """None, and a skipped check, where the kernel has no MPTCP."""
    try:
        return Server(2525, mptcp=True)
    except OSError as error:
        tell("skipped", "AUTH and MAIL in clear over MPTCP", error)
        return None


def run_monitor(agent, server, tls_server, mptcp):
    check_start(agent)
    for address in LOOPBACK:
        check_monitor(agent, server, address)
    check_large(agent, server)
    check_witness(agent)
    check_identity(agent, tls_server)
    if mptcp:
        check_mptcp(agent, mptcp)


def run_block(agent, server, tls_server, mptcp):
    agent.ask("mode", "block")
    for address, namespace in destinations():
        check_block(agent, server, "AUTH", address, namespace)
        check_block(agent, server, "MAIL", address, namespace)
        check_starttls(agent, tls_server, address, namespace)
    check_demand(agent, tls_server)
    if mptcp:
        check_mptcp_block(agent, mptcp)
    check_counters(agent)


def run_without_agent(agent, server, tls_server):
    check_kill(agent)
    for address, namespace in destinations():
        check_dead(server, "AUTH", address, namespace)
    check_dead(server, "MAIL", "127.0.0.1", None)
    check_dead_starttls(tls_server, "127.0.0.1")


def connect_before(server, address):
    """A connection that is there before the agent is."""
    client = socket.create_connection((address, server.port), timeout=60)
    client.recv(4096)
    say(client, ["EHLO client.test"])
    return client


@check("a connection that was there before the agent, to {2}: its login is found")
def check_older(agent, client, address):
    port = client.getsockname()[1]
    seen = [session for session in agent.ask("sessions")["sessions"] if session["client"]["port"] == port]
    expect(len(seen) == 1 and seen[0]["midway"] and seen[0]["outcome"] == "unknown", seen)
    expect(seen[0]["process"]["pid"] == os.getpid() and seen[0]["bytes"]["sent"] is None, seen)
    login = base64.b64encode(b"\0alice\0" + PASSWORD.encode()).decode()
    say(client, ["RSET", "NOOP", f"AUTH PLAIN {login}", "QUIT"])
    client.close()
    session = agent.session(port)
    expect(session["outcome"] == "cleartext" and session["findings"] == ["cleartext-auth"], session)
    expect(session["auth"] == {"mechanism": "PLAIN", "account": "alice"} and session["would_block"], session)


def run_scene():
    server, tls_server, mptcp = Server(587), Server(25, starttls=True), mptcp_server()
    older = [(connect_before(server, address), address) for address in LOOPBACK]
    agent = Agent("monitor")
    for client, address in older:
        check_older(agent, client, address)
    run_monitor(agent, server, tls_server, mptcp)
    run_block(agent, server, tls_server, mptcp)
    run_without_agent(agent, server, tls_server)
    agent = Agent("block")
    check_take_over(agent)
    check_block(agent, server, "AUTH", "127.0.0.1", None)
    check_end(agent)
    check_free(server)


def run_programs():
    """Objects and verifier, then the agent on the root cgroup."""
    print("instructions are the verifier's, walked per program", flush=True)
    if not all([check_verifier(f"/{name}.bpf.o") for name in ("smtpward", "witness", "forward")]):
        return
    try:
        make_sender()
        run_scene()
    except Exception as error:
        tell("failed", "the scene", f"{type(error).__name__}: {error}")


def main():
    """The parts are "scene", "bpf", "e2e", or one file of the last; others are not for this kind of guest."""
    with open("/checks/parts", encoding="ascii") as file:
        parts = file.read().split()
    if "scene" in parts:
        run_programs()
    for program in sorted(glob.glob("/tests/bpf_*")) if "bpf" in parts else []:
        run_cmocka(program)
    for name, chosen in E2E.items():
        if "e2e" in parts or name in parts:
            run_pytest(name, chosen)


main()
