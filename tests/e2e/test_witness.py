# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""On which library files the witness is: the linker's, those of a program with copies of its own, and when it lets go."""
import glob
import shutil

import pytest

from harness import CLIENTS
from harness.agent import expect
from harness.lab import wait_until
from harness.programs import MESSAGE, PYTHON, RECIPIENT, SENDER, run

SYSTEM = "/usr/lib/*-linux-gnu"


@pytest.fixture
def own_libraries(tmp_path):
    """Copies, as a container has them."""
    for name in ("libssl.so.3", "libcrypto.so.3"):
        found = glob.glob(f"{SYSTEM}/{name}")
        if not found:
            pytest.skip(f"{name} is not here")
        shutil.copy(found[0], tmp_path / name)
    return tmp_path


def smtplib_with(lab, ca, libraries):
    argv = ["env", f"LD_LIBRARY_PATH={libraries}", PYTHON, CLIENTS / "smtplib_send.py", "server.example", "25", "--tls", "must",
            "--from", SENDER, "--to", RECIPIENT, "--verify", "chain+name", "--trust", ca / "ca.pem"]
    return run(lab, argv, stdin=MESSAGE)


def watched(agent):
    return {library["path"] for library in agent.ask("status")["witness"]["libraries"]}


def test_the_systems_libraries_are_watched_from_the_start(watch):
    agent = watch(identity={"witness": True})
    witness = agent.ask("status")["witness"]
    assert witness["active"] and witness["error"] is None, witness
    kinds = {library["library"] for library in witness["libraries"]}
    assert kinds == {"openssl", "gnutls"} and all(library["readable"] for library in witness["libraries"]), witness
    assert "smtpward_witness_active 1" in agent.metrics()


def test_copies_are_watched_as_they_appear_and_let_go(lab, ca, serve, watch, own_libraries):
    serve(certificate="good")
    agent = watch(identity={"witness": True})
    assert smtplib_with(lab, ca, own_libraries).delivered
    # the very first handshake of a kind may be over before the probes are in place
    assert agent.session()["outcome"] in ("encrypted", "verified")
    copies = {f"{own_libraries}/libssl.so.3", f"{own_libraries}/libcrypto.so.3"}

    def all_are_watched():
        """A first process may be gone again before it was looked at."""
        return copies <= watched(agent) or (smtplib_with(lab, ca, own_libraries), False)[1]
    wait_until(all_are_watched, "the copies are watched")
    count = len(agent.ask("sessions")["sessions"])
    assert smtplib_with(lab, ca, own_libraries).delivered
    expect(agent.sessions(count + 1)[-1], "verified")
    wait_until(lambda: not copies & watched(agent), "the copies are let go", timeout=150)  # looked at once a minute


def test_switched_off(watch):
    agent = watch()
    witness = agent.ask("status")["witness"]
    assert (witness["enabled"], witness["active"], witness["libraries"]) == (False, False, []), witness
    assert agent.ask("status")["health"] == "ok"
    assert "smtpward_witness_active 0" in agent.metrics()
