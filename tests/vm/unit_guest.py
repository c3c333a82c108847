# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Inside the guest with a service manager: what an administrator does with the unit, step by step."""
import glob
import json
import os
import signal
import subprocess

from guest_check import check, expect, tell, wait_until
from guest_mail import Server, send_mail

CONFIG = "/etc/smtpward/smtpward.yaml"
PINS = "/sys/fs/bpf/smtpward"
HERE = "127.0.0.9"  # of all loopback, this alone is watched
BLOCK = {"mode": "block", "identity": {"trust": "/tls/ca.pem"}, "policy": {"rules": [{"to": HERE, "require": "encrypted"}]}}
MISTAKEN = {**BLOCK, "bloc": 1}


def run(*command, code=0):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    expect(code in (None, done.returncode), command, done.returncode, done.stdout)
    return done.stdout


def ask(*arguments):
    return json.loads(run("smtpward", "-j", *arguments))


def shown(*names):
    told = run("systemctl", "show", "smtpwardd", *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in told.splitlines())


def configure(config):
    with open(CONFIG, "w", encoding="ascii") as file:
        file.write(json.dumps(config, indent=1) + "\n")  # JSON is YAML, too


def journal():
    return run("journalctl", "--unit=smtpwardd", "--output=cat", "--no-pager")


def processes():
    return [int(pid) for pid in run("pgrep", "-x", "smtpwardd", code=None).split()]


def expect_at_work(mode):
    expect(shown("ActiveState") == {"ActiveState": "active"}, shown("ActiveState", "Result"), journal()[-2000:])
    status = ask("status")
    expect(status["mode"] == mode and not status["reasons"], status)


def stopped(server, error, **who):
    """A login in clear that does not get through. Returns the client's port."""
    before = len(server.lines)
    seen = send_mail(HERE, server.port, "login", **who)
    expect(seen["error"] == error, seen)
    expect(server.saw("EHLO", since=before) and not server.saw("AUTH", since=before), server.lines[before:])
    return seen["port"]


def session(port):
    found = []

    def is_over():
        found[:] = [seen for seen in ask("sessions")["sessions"] if seen["client"]["port"] == port]
        return found and found[-1]["closed"]
    wait_until(is_over, f"the session from port {port} ends")
    return found[-1]


@check("as installed: it starts, in monitor mode, and has nothing to complain of")
def check_start():
    run("systemd-sysusers")
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "smtpwardd")
    expect_at_work("monitor")
    agent = ask("status")["privileges"]["agent"]
    expect(str(agent["uid"]) == run("id", "-u", "smtpward").strip() and agent["capabilities"] == "none", agent)
    expect(agent["landlock"] and agent["seccomp"] and not agent["missing"], agent)


@check("monitor: a stop is no failure, and leaves nothing")
def check_stop_in_monitor():
    run("systemctl", "stop", "smtpwardd")
    expect(shown("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}, journal()[-2000:])
    expect(not os.path.exists(PINS) and not processes(), glob.glob(f"{PINS}/**"), processes())


@check("block: another user's login in clear is stopped, the sender told at once, journal and syslog too")
def check_block(server):
    configure(BLOCK)
    run("systemctl", "restart", "smtpwardd")
    expect_at_work("block")
    port = stopped(server, "ECONNABORTED", user="nobody")
    expect(session(port)["outcome"] == "blocked", session(port))
    expect(ask("status")["counters"]["agent"]["destroy_failed"] == 0, ask("status"))
    for place, read in (("the journal", journal), ("syslog", lambda: open("/var/log/syslog", encoding="utf-8").read())):
        wait_until(lambda: "smtpward explain cleartext-auth" in read(), f"the alert is in {place}")


@check("block: a login inside TLS passes")
def check_tls(server):
    seen = send_mail(HERE, server.port, "login", "starttls", user="nobody")
    expect(seen["error"] is None and session(seen["port"])["findings"] == ["verification-skipped"], seen)


@check("block: Postfix keeps the mail while there is no TLS, and sends it when there is")
def check_postfix(server, tls_server):
    for setting in ("smtp_tls_security_level=may", f"relayhost=[{HERE}]:{server.port}"):
        run("postconf", "-e", setting)
    run("systemctl", "restart", "postfix")
    before = len(server.lines)
    subprocess.run(["sendmail", "-f", "a@client.test", "b@mx.test"], input=b"Subject: x\n\nhello\n", check=True)
    wait_until(lambda: "(" in run("postqueue", "-p"), "the mail is deferred")
    expect(not server.saw("MAIL", since=before), server.lines[before:])
    run("postconf", "-e", f"relayhost=[{HERE}]:{tls_server.port}")
    run("systemctl", "reload", "postfix")
    run("postqueue", "-f")
    wait_until(lambda: "is empty" in run("postqueue", "-p"), "the mail is gone")
    expect(tls_server.saw("MAIL FROM:<A@CLIENT.TEST>"), tls_server.lines)


@check("a reload brings another policy into force, a wrong one does not")
def check_reload(server):
    configure({**BLOCK, "policy": {"rules": []}})  # loopback is exempt
    run("systemctl", "reload", "smtpwardd")
    wait_until(lambda: send_mail(HERE, server.port, "login")["error"] is None, "the login passes")
    configure(BLOCK)
    run("systemctl", "reload", "smtpwardd")
    wait_until(lambda: send_mail(HERE, server.port, "login")["error"] == "ECONNABORTED", "the login is stopped")
    configure(MISTAKEN)
    run("systemctl", "reload", "smtpwardd")
    wait_until(lambda: "'bloc' is not a key here" in journal(), "the journal says why")
    stopped(server, "ECONNABORTED")
    configure(BLOCK)


@check("every process killed: the kernel goes on blocking, and the service is there again")
def check_kill(server):
    before = int(shown("NRestarts")["NRestarts"])
    run("systemctl", "kill", "--signal=SIGKILL", "smtpwardd")
    stopped(server, "ETIMEDOUT")
    wait_until(lambda: shown("ActiveState")["ActiveState"] == "active", "it is active")
    expect(int(shown("NRestarts")["NRestarts"]) == before + 1, shown("NRestarts"))
    expect_at_work("block")
    stopped(server, "ECONNABORTED", user="nobody")


@check("an agent that hangs is found by the watchdog, and started again")
def check_watchdog(server):
    before = int(shown("NRestarts")["NRestarts"])
    worker = ask("status")["privileges"]["agent"]["pid"]
    os.kill(worker, signal.SIGSTOP)
    stopped(server, "ETIMEDOUT")
    wait_until(lambda: int(shown("NRestarts")["NRestarts"]) > before, "it is started again", 300)
    wait_until(lambda: shown("ActiveState")["ActiveState"] == "active", "it is active")
    expect_at_work("block")
    expect("Watchdog timeout" in run("journalctl", "--unit=smtpwardd", "--no-pager", "--output=cat"))


@check("a mistake in the configuration: the start says where it is, and is not tried over and over")
def check_mistake(server):
    configure(MISTAKEN)
    run("systemctl", "restart", "smtpwardd", code=1)
    expect(shown("ActiveState", "ExecMainStatus") == {"ActiveState": "failed", "ExecMainStatus": "78"}, journal()[-2000:])
    told = run("systemctl", "status", "--no-pager", "--full", "smtpwardd", code=3)
    expect("'bloc' is not a key here" in told, told)
    stopped(server, "ETIMEDOUT")
    expect(shown("ActiveState", "NRestarts") == {"ActiveState": "failed", "NRestarts": "0"}, shown("ActiveState", "NRestarts"))
    configure(BLOCK)
    run("systemctl", "restart", "smtpwardd")
    expect_at_work("block")


@check("with containers.conf: another user's sender in another network namespace is told at once, too")
def check_containers(server):
    for command in ("netns add sender", "link add mail type veth peer name uplink netns sender", "link set mail up",
                    "addr add 10.9.0.1/24 dev mail", "-n sender link set uplink up", "-n sender addr add 10.9.0.2/24 dev uplink"):
        run("ip", *command.split())
    drop_ins = "/etc/systemd/system/smtpwardd.service.d"
    os.makedirs(drop_ins)
    run("cp", "/usr/share/smtpward/containers.conf", drop_ins)
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "smtpwardd")
    expect_at_work("block")
    before = len(server.lines)
    seen = send_mail("10.9.0.1", server.port, "login", namespace="sender", user="nobody")
    expect(seen["error"] == "ECONNABORTED" and not server.saw("AUTH", since=before), seen, server.lines[before:])


@check("block: stopped, the kernel goes on blocking; detach takes all away, and mail passes")
def check_detach(server):
    run("systemctl", "stop", "smtpwardd")
    expect(shown("Result")["Result"] == "success", journal()[-2000:])
    expect(not processes() and glob.glob(f"{PINS}/*/link-*"), processes(), glob.glob(f"{PINS}/**"))
    stopped(server, "ETIMEDOUT")
    run("smtpward", "detach")
    expect(not os.path.exists(PINS), glob.glob(f"{PINS}/**"))
    expect(send_mail(HERE, server.port, "login")["error"] is None)


def main():
    server, tls_server = Server(587), Server(2525, starttls=True)
    try:
        if check_start():
            check_stop_in_monitor()
            check_block(server)
            check_tls(tls_server)
            check_postfix(server, tls_server)
            check_reload(server)
            check_kill(server)
            check_watchdog(server)
            check_mistake(server)
            check_containers(server)
            check_detach(server)
    except Exception as error:
        tell("failed", "the unit", f"{type(error).__name__}: {error}")


main()
