# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The agent itself: what it leaves behind, what bad input gets, what its outputs say."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

from harness import BUILD, programs
from harness.agent import Agent, expect
from harness.lab import sh, wait_until
from harness.life import BLOCKED, attached
from harness.programs import PYTHON, USER


def held(agent):
    """Ids of the BPF objects that the agent holds, by kind."""
    found = {"prog": set(), "map": set(), "link": set()}
    for info in pathlib.Path(f"/proc/{agent.process.pid}/fdinfo").iterdir():
        for kind, number in re.findall(r"^(prog|map|link)_id:\s*(\d+)", info.read_text(), re.M):
            found[kind].add(int(number))
    return found


def still_there(objects):
    def listed(kind):
        told = sh("bpftool", "-j", kind, "list", check=False)  # it gives up where one goes while it looks
        return json.loads(told.stdout.strip() or "[]") if told.returncode == 0 else [{"id": number} for number in objects[kind]]

    # the map of blocked flows is shared with whoever else has hooks on this machine
    return {kind: ids & {o["id"] for o in listed(kind) if not (o.get("name") == "blocked" and BLOCKED.exists())}
            for kind, ids in objects.items()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_nothing_is_left_behind(lab, serve, watch, mode, number):
    serve("strip")
    agent = watch(mode=mode)
    assert attached(lab), "nothing was attached"
    objects = held(agent)
    assert objects["map"] and objects["link"], objects
    programs.swaks(lab, "192.0.2.2")
    agent.session()
    agent.signal(number)
    assert agent.process.wait(timeout=10) == 0
    assert attached(lab) == []
    # the kernel frees objects a moment after their last user went
    wait_until(lambda: not any(still_there(objects).values()), "nothing is left in the kernel")
    assert not agent.socket.exists()


def test_second_instance_names_the_first(lab, watch):
    first = watch()
    before = attached(lab)
    second = Agent(lab, "second")
    second.config["control_socket"] = str(first.socket)
    second.start(wait=False)
    assert second.process.wait(timeout=10) != 0
    assert str(first.process.pid) in second.output.read_text()
    assert attached(lab) == before
    assert first.ask("status")["health"] == "ok"


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_a_second_agent_for_the_same_cgroup_does_not_start(lab, serve, watch, mode):
    """As when somebody tries a configuration on a machine that is at work: it would take the first one's hooks and events."""
    server = serve("strip")
    first = watch(mode="block")
    before = attached(lab)
    second = Agent(lab, f"second-{mode}", mode=mode)
    second.start(wait=False)
    try:
        assert second.process.wait(timeout=60) == 78, second.output.read_text()
    finally:
        second.stop()
    assert "at work" in second.output.read_text()
    assert attached(lab) == before
    assert not programs.swaks(lab, "192.0.2.2").delivered
    server.assert_nothing("MAIL")
    expect(first.session(), "blocked", {"cleartext-mail", "starttls-missing"})


def refuses(lab, number, code, *words, **settings):
    agent = Agent(lab, number, **settings)
    agent.start(wait=False)
    assert agent.process.wait(timeout=10) == code, agent.output.read_text()
    said = agent.output.read_text()
    for word in words:
        assert str(word) in said, said
    assert attached(lab) == []


def test_metrics_port_in_use(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuses(lab, "port", 78, port, metrics={"port": port})


def test_control_socket_not_writable(lab):
    refuses(lab, "socket", 78, "/proc/no/such/place", control_socket="/proc/no/such/place/sock")


def test_unknown_address_in_a_policy(lab):
    refuses(lab, "address", 78, "192.0.2.300", policy={"rules": [{"to": "192.0.2.300", "require": "none"}]})


def test_unknown_key(lab):
    refuses(lab, "key", 78, "colour", colour="blue")


def test_cgroup_that_is_none(lab):
    refuses(lab, "cgroup", 78, "/tmp", cgroup="/tmp")


def test_without_root(lab, watch):
    config = lab.scratch / "plain.yaml"
    config.write_text("mode: monitor\n")
    os.chmod(lab.scratch, 0o755)
    result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BUILD / "smtpwardd", "-f", "-c", config],
                            capture_output=True, text=True, timeout=20)
    assert result.returncode == 77, result
    assert "CAP_" in result.stderr + result.stdout or "root" in result.stderr + result.stdout


def test_check_of_a_configuration(lab):
    good, bad = lab.scratch / "good.yaml", lab.scratch / "bad.yaml"
    good.write_text("mode: block\n")
    bad.write_text("mode: monitor\nports: nonsense\n")
    assert subprocess.run([BUILD / "smtpwardd", "-t", "-c", good]).returncode == 0
    result = subprocess.run([BUILD / "smtpwardd", "-t", "-c", bad], capture_output=True, text=True)
    assert result.returncode == 78
    assert str(bad) in result.stderr and "ports" in result.stderr and "2" in result.stderr, result.stderr


def test_malformed_requests_get_errors(watch):
    agent = watch()
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(agent.socket))
        answers = control.makefile("r", encoding="utf-8")
        for request in (b"nonsense\n", b"{}\n", b'{"command":"no-such"}\n', b'{"command":7}\n', b"[]\n", b"\xff\xfe\n",
                        b'{"command":"sessions","limit":"many"}\n'):
            control.sendall(request)
            assert "error" in json.loads(answers.readline()), request
        control.sendall(b'{"command":"status"}\n')
        assert json.loads(answers.readline())["mode"] == "monitor", "the connection lives on"


def test_hostile_bytes_are_escaped_everywhere(lab, serve, watch):
    hostile = "220 \\x1b[2J\\xff\\x07evil\\x0bname ready\\r\\n"
    serve("strip", f"greeting={hostile}", "auth=PLAIN")
    agent = watch()
    programs.swaks(lab, "192.0.2.2", 587, auth="PLAIN", user="\x1b]0;x\x07a\udcffb")
    agent.session()
    printed = [agent.run(*args).stdout for args in (("sessions",), ("-j", "sessions"), ("findings",), ("-j", "findings"))]
    metrics = agent.metrics()
    agent.stop()
    for text in [*printed, metrics, agent.alerts_file.read_text(), agent.output.read_text()]:
        assert not set(text) & {"\x1b", "\x07", "\x0b", "\x00"}, text


def test_json_shape_does_not_depend_on_rows(lab, serve, watch):
    serve("strip", "auth=PLAIN")
    agent = watch()
    assert agent.ask("sessions") == {"sessions": []}
    programs.swaks(lab, "192.0.2.2", 587, auth="PLAIN")
    first = agent.sessions(1)
    programs.raw(lab, "192.0.2.2", 25, [["expect", "220"]])
    both = agent.sessions(2)
    assert isinstance(first, list) and len({tuple(sorted(s)) for s in both}) == 1
    bare = both[1]
    assert bare["auth"] == {"mechanism": None, "account": None}
    assert bare["findings"] == [] and bare["starttls"]["reply"] is None


def test_filters(lab, serve, watch):
    serve("strip")
    agent = watch()
    programs.swaks(lab, "192.0.2.2")
    programs.swaks(lab, "2001:db8::2", tls="must")
    clear, refused = agent.sessions(2)

    def ids(*arguments):
        return [s["id"] for s in agent.ask("sessions", *arguments)["sessions"]]
    assert ids("--outcome", "cleartext") == [clear["id"]]
    assert ids("--to", "2001:db8::2") == [refused["id"]]
    assert ids("--pid", clear["process"]["pid"]) == [clear["id"]]
    assert ids("--since", "1h") and not ids("--outcome", "verified")


def test_policy_test_and_list(watch):
    agent = watch(mode="block", policy={"rules": [{"to": "192.0.2.0/24", "require": "none", "reason": "an old partner"}]})
    assert "an old partner" in agent.run("policy", "list").stdout
    assert "none" in json.dumps(agent.ask("policy", "test", "192.0.2.77", 25))
    assert "encrypted" in json.dumps(agent.ask("policy", "test", "198.51.100.1", 25))


def test_reload_brings_a_new_policy(lab, serve, watch):
    serve("strip")
    agent = watch(mode="block")
    assert not programs.swaks(lab, "192.0.2.2").delivered
    agent.config["policy"] = {"rules": [{"to": "192.0.2.2", "require": "none", "reason": "agreed"}]}
    agent.write_config()
    agent.signal(signal.SIGHUP)
    wait_until(lambda: "agreed" in agent.run("policy", "list").stdout, "the new policy")
    assert programs.swaks(lab, "192.0.2.2").delivered


def test_reload_replaces_every_rule_of_a_large_policy(lab, watch):
    """The new rules are in before the old ones go: for a moment there are those of both."""
    def rules(network):
        return {"rules": [{"to": f"10.{network}.{n // 256}.{n % 256}", "require": "none", "reason": f"net {network}"}
                          for n in range(3000)]}
    agent = watch(mode="block", policy=rules(1))
    for network in (2, 3):
        agent.config["policy"] = rules(network)
        agent.write_config()
        result = agent.run("policy", "reload")
        assert result.returncode == 0, result
    assert "net 3" in agent.run("policy", "test", "10.3.7.7", "25").stdout
    assert "net 2" not in agent.run("policy", "test", "10.2.7.7", "25").stdout


def test_alerts_file_is_reopened(lab, serve, watch):
    serve("strip")
    agent = watch()
    programs.swaks(lab, "192.0.2.2")
    agent.session()
    wait_until(lambda: agent.alerts_file.exists() and agent.alerts(), "an alert")
    agent.alerts_file.rename(agent.folder / "alerts.old")
    agent.signal(signal.SIGHUP)
    wait_until(agent.alerts_file.exists, "the file is there again")
    programs.swaks(lab, "2001:db8::2")
    agent.sessions(2)
    wait_until(agent.alerts, "an alert in the new file")


def test_watch_tells_sessions_and_alerts(lab, serve, watch):
    serve("strip", "auth=PLAIN")
    agent = watch()
    watcher = lab.start(None, [BUILD / "smtpward", "-j", "-s", agent.socket, "watch"], stdout=subprocess.PIPE, text=True)
    # it has subscribed once it tells anything: sessions until then are harmless
    os.set_blocking(watcher.stdout.fileno(), False)
    told = []

    def both():
        programs.swaks(lab, "192.0.2.2", 587, auth="PLAIN")
        told.extend(json.loads(line) for line in watcher.stdout.readlines())
        return {"session", "alert"} <= {key for line in told for key in line}
    wait_until(both, "the watcher told of a session and an alert")
    watcher.kill()
    watcher.wait()
    watcher.stdout.close()
    assert USER in json.dumps(told)


def test_metrics_count(lab, serve, watch):
    serve("strip")
    agent = watch()
    programs.swaks(lab, "192.0.2.2")
    agent.session()
    text = agent.metrics()
    assert "starttls-missing" in text and "cleartext" in text, text


@pytest.mark.parametrize("name", ["cleartext-auth", "tls-fallback", "starttls-masked"])
def test_explain(name):
    result = subprocess.run([BUILD / "smtpward", "explain", name], capture_output=True, text=True)
    assert result.returncode == 0 and "Postfix" in result.stdout
    assert subprocess.run([BUILD / "smtpward", "explain", "no-such"], capture_output=True).returncode == 64


def test_a_port_that_is_not_watched(lab, serve, watch):
    serve("strip")
    agent = watch(ports={"starttls": [25], "implicit_tls": []})
    programs.swaks(lab, "192.0.2.2", 2525)
    programs.swaks(lab, "192.0.2.2", 25)
    expect(agent.session(), "cleartext", {"cleartext-mail", "starttls-missing"}, server__port=25)


CONTAINER_CLIENT = """
import socket
connection = socket.create_connection(("192.0.2.9", 25))
connection.send(b"MAIL FROM:<a>\\r\\n")
try:
    connection.recv(99)
except OSError:  # by the agent, or where that is slow by the kernel
    print("stopped")
"""


def test_a_deleted_network_namespace_goes(lab, watch):
    """The agent enters a container's namespace to end a connection; it must not keep it, with its interfaces, for ever."""
    agent = watch(mode="block")
    name, link = f"{lab.name}-container", f"swv{os.getpid()}"
    sh("ip", "netns", "add", name)
    lab.ns["container"] = name
    try:
        sh("ip", "link", "add", link, "type", "veth", "peer", "name", "veth0", "netns", name)
        sh("ip", "-n", name, "addr", "add", "192.0.2.9/24", "dev", "veth0")
        for device in ("lo", "veth0"):
            sh("ip", "-n", name, "link", "set", device, "up")
        listen = "import socket, time; s = socket.create_server(('192.0.2.9', 25)); print('up', flush=True); time.sleep(60)"
        server = lab.start("container", [PYTHON, "-c", listen], stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "up\n"
        client = lab.start("container", [PYTHON, "-c", CONTAINER_CLIENT], watched=True, stdout=subprocess.PIPE, text=True)
        assert client.communicate(timeout=30)[0] == "stopped\n"
        expect(agent.session(), "blocked", ["cleartext-mail"])
        server.kill()
        server.communicate()
    finally:
        del lab.ns["container"]
        sh("ip", "netns", "delete", name)
    try:
        wait_until(lambda: sh("ip", "link", "show", link, check=False).returncode, "the namespace's interface is gone", 30)
    finally:
        sh("ip", "link", "delete", link, check=False)
