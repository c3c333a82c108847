# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
import itertools
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from harness import TOOLS, agent as agent_module, exim, opensmtpd, postfix, programs  # noqa: E402
from harness.fault_server import FaultServer  # noqa: E402
from harness.lab import ADDRESSES, Lab, hide_mounts, sh  # noqa: E402


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("these tests make namespaces and attach BPF programs: run them as root", 77)
    # a plain SIGTERM would leave the namespaces behind
    signal.signal(signal.SIGTERM, interrupt)
    hide_mounts()


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def lab():
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="smtpward-e2e-"))
    made = Lab(scratch)
    try:
        made.open()
        yield made
    finally:
        made.close()
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="session")
def ca(lab):
    sh(TOOLS / "test_ca.sh", lab.scratch / "ca")
    return lab.scratch / "ca"


numbers = itertools.count(1)


@pytest.fixture
def serve(lab, ca):
    """serve("strip", "auth=PLAIN", certificate="expired", version="1.2") starts a fault-making server for this test."""
    started = []

    def start(*behaviours, **options):
        server = FaultServer(lab, ca, next(numbers), behaviours, **options)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def watch(lab):
    """watch(mode="block") starts the agent for this test."""
    started = []

    def start(**options):
        made = agent_module.Agent(lab, next(numbers), **options)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.stop()


@pytest.fixture(params=[0, 1], ids=["ipv4", "ipv6"])
def server_address(request):
    return ADDRESSES["server"][request.param]


@pytest.fixture(scope="session")
def postfix_sender(lab, ca):
    made = postfix.sender(lab, ca)
    yield made
    made.halt()


@pytest.fixture(scope="session")
def exim_sender(lab, ca):
    made = exim.Exim(lab, ca)
    yield made
    made.halt()


@pytest.fixture(scope="session")
def opensmtpd_sender(lab, ca):
    made = opensmtpd.OpenSmtpd(lab, ca)
    yield made
    made.halt()


@pytest.fixture(scope="session")
def nodemailer():
    missing = programs.fetch_nodemailer()
    if missing:
        pytest.skip(f"{missing} is not here")


@pytest.fixture(scope="session")
def postfix_keeper(lab, ca):
    made = postfix.receiver(lab, ca)
    yield made
    made.halt()


@pytest.fixture
def postfix_server(postfix_keeper):
    """Listening for one test only: the fault-making server takes the same ports in others."""
    postfix_keeper.listen()
    yield postfix_keeper
    postfix_keeper.stop()
