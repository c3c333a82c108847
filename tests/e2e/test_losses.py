# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The ring is full: what is lost is counted by kind, told with the session, and blocks nothing less."""
import signal
import subprocess

from harness import CLIENTS
from harness.lab import wait_until
from harness.life import SECRET, Senders
from harness.programs import PYTHON

RING_EVENTS = 2 * 1024 * 1024 // 352  # an event of 344 bytes and the record's header
KINDS = ("flow", "handshake", "witness", "certificate")


def counters(agent):
    return agent.ask("status")["counters"]["kernel"]


def flood(lab, count):
    sender = lab.start("client", [PYTHON, CLIENTS / "flood.py", "192.0.2.2", "25", str(count)], watched=True)
    assert sender.wait(timeout=180) == 0


def test_thousands_of_flows_and_nobody_reads(lab, serve, watch):
    """No credential leaves meanwhile, and afterwards the numbers add up."""
    server = serve("strip", "auth=PLAIN")
    agent = watch(mode="block", sessions={"keep": 10000})
    agent.signal(signal.SIGSTOP)
    senders = Senders(lab, holds=(0,))
    flood(lab, RING_EVENTS // 2 + 1000)
    seen = senders.end()
    agent.signal(signal.SIGCONT)
    server.assert_nothing(SECRET, "AUTH")
    assert seen["stopped"] > 0 and seen["answered"] == 0 and seen["stuck"] == 0, seen

    def all_over():
        """The kernel may have to wait for the server's last FIN."""
        found = counters(agent)
        return found["flows_opened"] == found["flows_closed"] and found
    kernel = wait_until(all_over, "all flows are over")
    assert kernel["events_lost_flow"] > 500, kernel
    assert sum(kernel[f"events_lost_{kind}"] for kind in KINDS) == kernel["events_lost"], kernel
    assert kernel["flows_blocked"] == seen["stopped"], (kernel, seen)

    def all_read():
        status = agent.ask("status")["counters"]
        return status["kernel"]["events_sent"] == status["agent"]["events_read"]
    wait_until(all_read, "all that was sent is read")
    metrics = agent.metrics()
    assert f"smtpward_kernel_events_lost_flow_total {counters(agent)['events_lost_flow']}" in metrics


def test_a_session_says_what_it_lost(lab, serve, watch, ca):
    """A handshake while the ring is full: its pieces are lost, and the session, which closes later, says so."""
    serve()
    agent = watch(mode="monitor", sessions={"keep": 10000})
    agent.signal(signal.SIGSTOP)
    flood(lab, RING_EVENTS // 2 + 200)
    client = lab.start("client", ["openssl", "s_client", "-starttls", "smtp", "-connect", "192.0.2.2:587", "-quiet", "-ign_eof"],
                       watched=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    client.stdin.write(b"EHLO in.tls.example\r\n")
    client.stdin.flush()
    while not client.stdout.readline().startswith(b"250 "):
        assert client.poll() is None
    agent.signal(signal.SIGCONT)
    wait_until(lambda: agent.ask("status")["ring"]["used"] == 0, "the ring is read")
    client.stdin.write(b"QUIT\r\n")
    client.stdin.close()
    client.wait(timeout=30)
    client.stdout.close()
    kernel = counters(agent)
    assert kernel["events_lost_handshake"] >= 2, kernel

    def session():
        found = [s for s in agent.ask("sessions")["sessions"] if s["server"]["port"] == 587 and s["closed"]]
        return found[0] if found else None
    found = wait_until(session, "the session is over")
    lost_flow_events = 1  # opened; that TLS is established is told with the next packet
    assert found["events_missed"] >= lost_flow_events + kernel["events_lost_handshake"], (found, kernel)
    assert found["tls"] is None or not found["tls"].get("certificate"), "of a handshake that was lost nothing is told"
