# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_paths.py's sessions through a router whose agent sees them at its interfaces: whatever way the client's bytes take."""
import json
import subprocess

import pytest

from harness import CLIENTS, paths
from harness.programs import BODY, PYTHON, SENDER, USER
from harness.routed import ADDRESSES
from test_forward import routed, serve, watch  # noqa: F401  (fixtures)
from test_paths import CREDENTIAL, LOGIN, envelope, expect_or_unknown, exposed

ROWS = [("write", 0), ("bytes", 0), ("gso", 0), ("io_uring", 0), ("zerocopy", 0), ("gso", 1), ("hopopts", 1), ("dstopts", 1)]


@pytest.fixture(params=ROWS, ids=lambda row: f"{row[0]}-{('ipv4', 'ipv6')[row[1]]}")
def path(request):
    way, family = request.param
    made = paths.Path(ADDRESSES["server"][family], way="write" if way == "gso" else way, doubtful=way == "bytes",
                      behaviours=("segment=1",) if way == "bytes" else ())
    made.name = way
    return made


def play(routed, path, steps):  # noqa: F811
    argv = [PYTHON, CLIENTS / "ways.py", path.way, path.host, path.port, json.dumps(steps)]
    child = routed.start("client", argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    report = json.loads(output.splitlines()[-1])
    if "missing" in report:
        pytest.skip(report["missing"])
    return report


def test_starttls_passes(routed, serve, watch, path):  # noqa: F811
    server = serve("auth=PLAIN", *path.behaviours)
    agent = watch(mode="block")
    report = play(routed, path, [
        ["expect", "220"], ["send", "EHLO client.example\r\n"], ["expect", "250 "], ["send", "STARTTLS\r\n"], ["expect", "220"],
        ["starttls"], ["send", "EHLO client.example\r\n"], ["expect", "250 "], ["send", LOGIN], ["expect", "235"],
        *envelope(large=path.name == "gso")])
    assert report["error"] is None, report
    assert BODY.encode() in server.received()
    expect_or_unknown(path, agent.session(), "encrypted", ())


def test_exposed_credential_is_found(routed, serve, watch, path):  # noqa: F811
    serve("strip", "auth=PLAIN", *path.behaviours)
    agent = watch()
    assert play(routed, path, exposed(path))["error"] is None
    session = agent.session()
    expect_or_unknown(path, session, "cleartext", {"cleartext-auth", "cleartext-mail", "starttls-missing"})
    if session["outcome"] == "cleartext":
        assert session["auth"] == {"mechanism": "PLAIN", "account": USER}, session


def test_exposed_credential_is_stopped(routed, serve, watch, path):  # noqa: F811
    server = serve("strip", "auth=PLAIN", *path.behaviours)
    agent = watch(mode="block", policy={"default": {"require": "encrypted", "action": "block", "unknown": "block"}})
    report = play(routed, path, exposed(path))
    assert report["error"] is not None, report
    server.assert_nothing("AUTH PLAIN", CREDENTIAL, CREDENTIAL[:8], SENDER)
    assert agent.session()["outcome"] == "blocked"


def test_masked_starttls_is_found(routed, serve, watch, path):  # noqa: F811
    serve("mask=XXXXXXXA", *path.behaviours)
    agent = watch()
    assert play(routed, path, [["expect", "220"], ["send", "EHLO client.example\r\n"], ["expect", "250 "], *envelope()])["error"] is None
    expect_or_unknown(path, agent.session(), "cleartext", {"cleartext-mail", "starttls-masked"})


