# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Block mode. What counts is the server's record: no byte of a credential or a message arrived."""
import base64
import json
import signal
import subprocess
import time

import pytest

from harness import CLIENTS, programs
from harness.agent import expect
from harness.lab import wait_until
from harness.programs import BODY, PASSWORD, PROGRAMS, PYTHON, SENDER, STOPPED, SUBJECT, USER

PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
SECRETS = (PASSWORD, PLAIN, base64.b64encode(PASSWORD.encode()), base64.b64encode(USER.encode()))
ENVELOPE = (SENDER, "MAIL", "RCPT", SUBJECT, BODY)


def assert_destroyed(server):
    """The server saw the reset of a destroyed socket: the client did not have to wait for a time limit of its own."""
    server.wait_closed()
    assert server.ends() == ["ECONNRESET"], server.records()


@pytest.mark.parametrize("name,mechanism", [
    ("swaks", "PLAIN"), ("swaks", "LOGIN"), ("swaks", "CRAM-MD5"), ("smtplib", "PLAIN"), ("smtplib", "LOGIN"),
    ("msmtp", "PLAIN"), ("msmtp", "LOGIN"), ("curl", "PLAIN"), ("curl", "LOGIN"),
])
def test_credential_is_stopped(lab, serve, watch, server_address, name, mechanism):
    server = serve("strip", f"auth={mechanism}")
    agent = watch(mode="block")
    result = PROGRAMS[name](lab, server_address, 587, auth=mechanism)
    assert not result.delivered, result.output
    assert_destroyed(server)
    server.assert_nothing("AUTH", *SECRETS, *ENVELOPE)
    session = agent.session()
    assert session["outcome"] == "blocked" and session["blocked"] is True
    assert "auth-clear" in session["facts"] and "blocked" in session["facts"]
    assert "cleartext-auth" in session["findings"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_mail_is_stopped(lab, serve, watch, server_address, name):
    server = serve("strip")
    agent = watch(mode="block")
    result = PROGRAMS[name](lab, server_address)
    assert not result.delivered, result.output
    assert_destroyed(server)
    server.assert_nothing(*ENVELOPE)
    session = agent.session()
    assert session["outcome"] == "blocked" and session["blocked"] is True


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("tls,port", [("must", 587), ("implicit", 465)])
def test_tls_passes(lab, serve, watch, server_address, name, tls, port):
    server = serve("auth=PLAIN")
    agent = watch(mode="block")
    assert PROGRAMS[name](lab, server_address, port, tls, auth="PLAIN").delivered
    assert BODY.encode() in server.received("tls")
    expect(agent.session(), "encrypted", blocked=False)


@pytest.mark.parametrize("behaviours", [
    ("strip",), ("mask=XXXXXXXA",), ("ehlo-code=502",), ("starttls-code=454",), ("starttls-code=502",),
], ids=lambda b: b[0])
@pytest.mark.parametrize("relay", ["[192.0.2.2]:25", "[2001:db8::2]:25"], ids=["ipv4", "ipv6"])
def test_postfix_may_keeps_its_mail(postfix_sender, serve, watch, behaviours, relay):
    server = serve(*behaviours)
    agent = watch(mode="block")
    postfix_sender.configure(relayhost=relay, smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("deferred")
    assert len(postfix_sender.queue()) == 1
    server.assert_nothing(*ENVELOPE)
    assert all(s["outcome"] == "blocked" for s in agent.sessions(1))


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_postfix_with_a_password(postfix_sender, serve, watch, mode):
    server = serve("strip", "auth=PLAIN")
    agent = watch(mode=mode)
    postfix_sender.configure(relayhost="[192.0.2.2]:587", smtp_tls_security_level="may", smtp_sasl_auth_enable="yes",
                             smtp_sasl_password_maps=f"static:{USER}:{PASSWORD}", smtp_sasl_security_options="noanonymous")
    try:
        postfix_sender.submit()
        postfix_sender.wait_status("sent" if mode == "monitor" else "deferred")
    finally:
        postfix_sender.set({"smtp_sasl_auth_enable": "no"})
    assert (PLAIN in server.received()) == (mode == "monitor")
    session = agent.session()
    assert "cleartext-auth" in session["findings"] and session["auth"] == {"mechanism": "PLAIN", "account": USER}, session
    assert session["outcome"] == ("cleartext" if mode == "monitor" else "blocked")
    if mode == "block":
        assert len(postfix_sender.queue()) == 1
        server.assert_nothing("AUTH", *SECRETS, *ENVELOPE)


def test_postfix_sends_it_when_tls_is_back(postfix_sender, serve, watch):
    agent = watch(mode="block")
    stripping = serve("strip")
    postfix_sender.configure(relayhost="[192.0.2.2]:25", smtp_tls_security_level="may")
    postfix_sender.submit()
    postfix_sender.wait_status("deferred")
    stripping.stop()
    honest = serve()
    postfix_sender.flush()
    postfix_sender.wait_status("sent")
    assert SUBJECT.encode() in honest.received("tls")
    blocked, sent = agent.sessions(2)
    expect(sent, "encrypted")
    assert blocked["outcome"] == "blocked"


SPLITS = [
    ["AU", "TH PL", f"AIN {PLAIN.decode()}\r\n"],
    list(f"AUTH PLAIN {PLAIN.decode()}\r\n"[:11]) + [f"{PLAIN.decode()}\r\n"],
    ["NOOP\r\nAUT", f"H PLAIN {PLAIN.decode()}\r\n"],
    ["auth plain", f" {PLAIN.decode()}\r\n"],
    ["M", f"AIL FROM:<{SENDER}>\r\n"],
    ["MAI", f"L FROM:<{SENDER}>\r\n"],
    ["RSET\r", f"\nMAIL FROM:<{SENDER}>\r\n"],
]


@pytest.mark.parametrize("parts", SPLITS, ids=lambda parts: repr(parts[0]))
def test_split_commands_do_not_slip_through(lab, serve, watch, server_address, parts):
    server = serve("strip", "auth=PLAIN")
    agent = watch(mode="block")
    steps = [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "]]
    for part in parts:
        # sent apart: each is a segment of its own
        steps += [["sleep", 0.02], ["send", part]]
    result = programs.raw(lab, server_address, 587, steps + [["end"]])
    assert result.report["error"] in ("ECONNABORTED", "ECONNRESET", "EPIPE"), result.report
    server.wait_closed()
    server.assert_nothing(SENDER, *SECRETS)
    assert agent.session()["outcome"] == "blocked"


def test_first_line_of_a_pipeline_goes_with_it(lab, serve, watch):
    """The whole segment is dropped, what stands before the offending command included; nothing comes after."""
    server = serve("strip")
    watch(mode="block")
    programs.raw(lab, "192.0.2.2", 25, [
        ["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", f"NOOP\r\nMAIL FROM:<{SENDER}>\r\nDATA\r\n"],
        ["send", "QUIT\r\n"], ["end"]])
    server.wait_closed()
    assert server.received() == b"EHLO x\r\n"


def test_near_miss_noop_and_vrfy_pass(lab, serve, watch):
    server = serve("strip")
    agent = watch(mode="block")
    result = programs.raw(lab, "192.0.2.2", 25, [
        ["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", "NOOP AUTH\r\nMAILX\r\nAUTHOR\r\n"],
        ["expect", "250"], ["expect", "500"], ["expect", "500"], ["send", "RSET\r\n"], ["expect", "250"],
        ["send", "QUIT\r\n"], ["end"]])
    assert result.report["error"] is None, result.report
    assert b"QUIT" in server.received()
    assert agent.session()["blocked"] is False


def test_blocked_command_is_one_event(lab, serve, watch):
    """While the agent stands still TCP presents the dropped bytes again and again; that is still one event."""
    serve("strip")
    agent = watch(mode="block")
    agent.signal(signal.SIGSTOP)
    programs.raw(lab, "192.0.2.2", 25, raw_mail())
    agent.signal(signal.SIGCONT)
    agent.session()
    counters = agent.ask("status")["counters"]["kernel"]
    assert counters["flows_blocked"] == 1 and counters["segments_dropped"] > 1, counters
    agent.stop()
    told = [a["rule"]["id"] for a in agent.alerts() if "rule" in a]
    assert told.count("cleartext-mail") == 1, told


def raw_mail(extra=()):
    return [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], *extra,
            ["send", f"MAIL FROM:<{SENDER}>\r\n"], ["expect", "250"], ["send", "QUIT\r\n"], ["end"]]


def test_killed_agent_leaves_the_kernel_blocking(lab, serve, watch):
    server = serve("strip")
    agent = watch(mode="block")
    agent.kill()
    try:
        result = programs.raw(lab, "192.0.2.2", 25, raw_mail())
        assert result.report["error"] == "ETIMEDOUT", result.report
        server.assert_nothing(SENDER, "MAIL")
    finally:
        # the next instance takes over what is pinned, and leaves nothing at its end
        agent.start()
    assert agent.stop() == 0


def test_restarted_agent_goes_on(lab, serve, watch):
    server = serve("strip")
    agent = watch(mode="block")
    agent.kill()
    agent.start()
    result = programs.raw(lab, "192.0.2.2", 25, raw_mail())
    assert result.report["error"] in STOPPED, result.report
    server.assert_nothing(SENDER, "MAIL")
    assert agent.session()["outcome"] == "blocked"


@pytest.mark.parametrize("delay", [0, 0.1, 0.25])
def test_flow_outlives_its_agent(lab, serve, watch, delay):
    """A connection opened under one agent, which is killed; the command comes while the next one starts, or later."""
    server = serve("strip")
    agent = watch(mode="block")
    here, go_on = lab.scratch / "here", lab.scratch / "go-on"
    for path in (here, go_on):
        path.unlink(missing_ok=True)
    steps = [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["touch", str(here)], ["await", str(go_on)]]
    child = lab.start("client", [PYTHON, CLIENTS / "raw.py", "192.0.2.2", "25", json.dumps(steps + raw_mail()[3:])],
                      watched=True, stdout=subprocess.PIPE, text=True)
    wait_until(here.exists, "the client greeted")
    agent.kill()
    agent.start(wait=False)
    time.sleep(delay)
    go_on.touch()
    report = json.loads(child.communicate(timeout=30)[0])
    assert report["error"] in STOPPED, report
    server.assert_nothing(SENDER, "MAIL")
    wait_until(agent._answers, "the agent answers")
    assert agent.session()["outcome"] == "blocked"


def test_stopped_agent_leaves_the_kernel_blocking(lab, serve, watch):
    server = serve("strip")
    agent = watch(mode="block")
    agent.signal(signal.SIGSTOP)
    result = programs.raw(lab, "192.0.2.2", 25, raw_mail())
    assert result.report["error"] == "ETIMEDOUT", result.report
    server.assert_nothing(SENDER, "MAIL")
    agent.signal(signal.SIGCONT)
    assert agent.session()["outcome"] == "blocked"


def test_mode_change_takes_effect_at_the_next_command(lab, serve, watch):
    server = serve("strip")
    agent = watch()
    here, go_on = lab.scratch / "here", lab.scratch / "go-on"
    for path in (here, go_on):
        path.unlink(missing_ok=True)
    steps = raw_mail([["touch", str(here)], ["await", str(go_on)]])
    child = lab.start("client", [PYTHON, CLIENTS / "raw.py", "192.0.2.2", "25", json.dumps(steps)],
                      watched=True, stdout=subprocess.PIPE, text=True)
    wait_until(here.exists, "the client greeted")
    agent.set_mode("block")
    go_on.touch()
    report = json.loads(child.communicate(timeout=30)[0])
    assert report["error"] == "ECONNABORTED", report
    server.assert_nothing("MAIL")
    assert agent.session()["outcome"] == "blocked"


def test_mode_change_never_cuts_a_message(lab, serve, watch):
    server = serve("strip")
    agent = watch()
    here, go_on = lab.scratch / "here", lab.scratch / "go-on"
    for path in (here, go_on):
        path.unlink(missing_ok=True)
    steps = [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", f"MAIL FROM:<{SENDER}>\r\n"],
             ["expect", "250"], ["send", "RCPT TO:<bob@example.net>\r\n"], ["expect", "250"], ["send", "DATA\r\n"],
             ["expect", "354"], ["send", "Subject: half\r\n"], ["touch", str(here)], ["await", str(go_on)],
             ["send", f"\r\n{BODY}\r\n.\r\n"], ["expect", "250"],
             ["send", f"MAIL FROM:<second-{SENDER}>\r\n"], ["end"]]
    child = lab.start("client", [PYTHON, CLIENTS / "raw.py", "192.0.2.2", "25", json.dumps(steps)],
                      watched=True, stdout=subprocess.PIPE, text=True)
    wait_until(here.exists, "the client is inside its message")
    agent.set_mode("block")
    go_on.touch()
    report = json.loads(child.communicate(timeout=30)[0])
    assert report["error"] == "ECONNABORTED", report
    server.wait_closed()
    assert BODY.encode() in server.received()
    server.assert_nothing("second-")


def test_back_to_monitor(lab, serve, watch):
    serve("strip")
    agent = watch(mode="block")
    agent.set_mode("monitor")
    assert agent.ask("status")["mode"] == "monitor"
    assert programs.swaks(lab, "192.0.2.2").delivered
    expect(agent.session(), "cleartext", {"cleartext-mail", "starttls-missing"}, blocked=False, would_block=True)


def test_loopback_is_followed_and_not_blocked(lab, serve, watch):
    server = serve("strip", side="client", addresses=("127.0.0.1", "::1"))
    agent = watch(mode="block")
    assert programs.swaks(lab, "127.0.0.1").delivered
    assert programs.smtplib(lab, "::1").delivered
    assert server.connections() == 2
    for session in agent.sessions(2):
        assert session["blocked"] is False and session["would_block"] is False, session
        assert session["outcome"] == "cleartext"


@pytest.mark.parametrize("mode,policy,delivered", [
    ("block", {}, False), ("block", {"rules": [{"to": "192.0.2.2", "require": "none"}]}, True),
], ids=["default", "exception"])
def test_ipv4_on_an_ipv6_socket(lab, serve, watch, mode, policy, delivered):
    """::ffff:192.0.2.2 is 192.0.2.2: for the policy, and in what is told."""
    server = serve("strip")
    agent = watch(mode=mode, policy=policy) if policy else watch(mode=mode)
    result = programs.raw(lab, "::ffff:192.0.2.2", 25, raw_mail())
    assert (result.report["error"] is None) == delivered, result.report
    assert (b"MAIL" in server.received()) == delivered
    session = agent.session()
    assert session["server"]["address"] == "192.0.2.2" and session["blocked"] is not delivered, session


def test_socket_connected_again(lab, serve, watch):
    """connect() is where a flow begins, every time: nothing of the TLS before counts for the flow after."""
    server = serve("strip")
    agent = watch(mode="block")
    script = """if True:
        import socket, struct, sys
        s = socket.socket()
        for round in range(2):
            s.connect(("192.0.2.2", 25))
            f = s.makefile("rb", 0)
            assert f.readline().startswith(b"220")
            s.sendall(b"EHLO x\\r\\n")
            while not f.readline().startswith(b"250 "):
                pass
            if round == 0:
                # AF_UNSPEC takes the connection off the socket
                import ctypes
                ctypes.CDLL(None).connect(s.fileno(), struct.pack("=H14x", 0), 16)
        try:
            s.sendall(b"MAIL FROM:<again@example.org>\\r\\n")
            print("answer", f.readline())
        except OSError as error:
            print("error", error.errno)
    """
    result = programs.run(lab, [PYTHON, "-c", script])
    assert "error" in result.output, result.output
    server.assert_nothing("again@")
    first, second = agent.sessions(2)
    assert first["blocked"] is False and second["blocked"] is True


def exception(**rule):
    return {"rules": [{"to": "192.0.2.2", "reason": "the partner has no TLS yet", **rule}]}


def test_exception_lets_pass(lab, serve, watch):
    serve("strip")
    agent = watch(mode="block", policy=exception(require="none"))
    assert programs.swaks(lab, "192.0.2.2").delivered
    assert not programs.swaks(lab, "2001:db8::2").delivered, "the exception is for the IPv4 address only"
    first, second = agent.sessions(2)
    assert first["blocked"] is False and first["would_block"] is False
    assert second["blocked"] is True


def test_exception_for_one_port(lab, serve, watch):
    serve("strip")
    agent = watch(mode="block", policy=exception(port=2525, require="none"))
    assert programs.swaks(lab, "192.0.2.2", 2525).delivered
    assert not programs.swaks(lab, "192.0.2.2", 25).delivered
    assert [s["blocked"] for s in agent.sessions(2)] == [False, True]


def test_action_monitor_says_what_would_be_blocked(lab, serve, watch):
    serve("strip")
    agent = watch(mode="block", policy=exception(require="encrypted", action="monitor"))
    assert programs.swaks(lab, "192.0.2.2").delivered
    expect(agent.session(), "cleartext", {"cleartext-mail", "starttls-missing"}, blocked=False, would_block=True)


def as_user(argv):
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]


def test_exception_for_a_user(lab, serve, watch):
    serve("strip")
    agent = watch(mode="block", policy={"rules": [{"to": "any", "user": "nobody", "require": "none", "reason": "test"}]})
    script = (CLIENTS / "raw.py").read_text()  # that user may not enter the folder
    argv = [PYTHON, "-c", script, "192.0.2.2", "25", json.dumps(raw_mail())]
    for program, stopped in ((as_user(argv), False), (argv, True)):
        report = json.loads(programs.run(lab, program).output.splitlines()[-1])
        assert (report["error"] is not None) == stopped, report
    assert [(s["process"]["uid"], s["blocked"]) for s in agent.sessions(2)] == [(65534, False), (0, True)]


def test_exception_for_a_cgroup(lab, serve, watch):
    serve("strip")
    below = lab.cgroup / "exempt"
    below.mkdir(exist_ok=True)
    agent = watch(mode="block", policy={"rules": [{"to": "any", "cgroup": f"/{lab.name}/exempt", "require": "none",
                                                   "reason": "test"}]})
    assert programs.swaks(lab, "192.0.2.2", cgroup=below).delivered
    assert not programs.swaks(lab, "192.0.2.2").delivered
    first, second = agent.sessions(2)
    assert first["process"]["cgroup"].endswith("/exempt") and first["blocked"] is False
    assert second["blocked"] is True


def test_clear_text_on_the_tls_port_is_stopped(lab, serve, watch, server_address):
    server = serve("plaintext-on-tls", "auth=PLAIN")
    agent = watch(mode="block")
    assert not programs.swaks(lab, server_address, 465, auth="PLAIN").delivered
    server.wait_closed()
    server.assert_nothing("AUTH", *SECRETS, *ENVELOPE)
    session = agent.session()
    assert session["outcome"] == "blocked" and "plaintext-on-tls-port" in session["findings"], session


def test_ended_exception_does_not_hold(lab, serve, watch):
    server = serve("strip")
    watch(mode="block", policy=exception(require="none", until="2020-01-01"))
    assert not programs.swaks(lab, "192.0.2.2").delivered
    server.assert_nothing(*ENVELOPE)


def test_socket_in_a_namespace_of_its_own(lab, serve, watch):
    """
    As in a container: the process runs in a network namespace that has no name; its socket is destroyed there. It was opened
    when nothing could block it, so that the kernel does not end it by itself.
    """
    server = serve("strip", side="client", addresses=("192.0.2.1",))
    agent = watch()
    here, go_on = lab.scratch / "here", lab.scratch / "go-on"
    for path in (here, go_on):
        path.unlink(missing_ok=True)
    steps = raw_mail([["touch", str(here)], ["await", str(go_on)]])
    # a namespace inside the client's, joined to it by a veth pair that the process sets up itself
    script = f"""
        set -e
        ip link set lo up
        touch {lab.scratch}/inside
        while ! ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
        ip addr add 198.51.100.2/24 dev eth0
        ip link set eth0 up
        ip route add 192.0.2.1 dev eth0
        exec {PYTHON} {CLIENTS}/raw.py 192.0.2.1 25 '{json.dumps(steps)}'
    """
    (lab.scratch / "inside").unlink(missing_ok=True)
    child = lab.start("client", ["unshare", "--net", "sh", "-c", script], watched=True, stdout=subprocess.PIPE, text=True)
    wait_until((lab.scratch / "inside").exists, "the container's namespace is there")
    in_client = ["nsenter", f"--net=/run/netns/{lab.ns['client']}", "--"]
    for argv in (["ip", "link", "add", "veth1", "type", "veth", "peer", "name", "eth0", "netns", str(child.pid)],
                 ["ip", "addr", "add", "198.51.100.1/24", "dev", "veth1"], ["ip", "link", "set", "veth1", "up"]):
        subprocess.run(in_client + argv, check=True)
    wait_until(here.exists, "the client greeted")
    agent.set_mode("block")
    go_on.touch()
    report = json.loads(child.communicate(timeout=40)[0])
    assert report["error"] == "ECONNABORTED", report
    server.assert_nothing("MAIL")
    session = agent.session()
    assert session["outcome"] == "blocked"
    assert session["client"]["address"] == "198.51.100.2"
