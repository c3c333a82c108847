# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The CLI as it is installed gives up what it does not need before it reads a byte, and does its work all the same."""
import json
import subprocess
import time

import pytest

from cli import FOUND, NOTHING, PLAIN, read
from frames import Flow, LINKS, frames, login, mail, packed, pcap, write
from test_vectors import expectations

CAP_DAC_READ_SEARCH = 1 << 2


def status_of(process, wanted, seconds=30):
    """/proc/PID/status as a dictionary, as soon as wanted(status) holds."""
    end = time.monotonic() + seconds
    while True:
        with open(f"/proc/{process.pid}/status", encoding="ascii", errors="replace") as lines:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
        if wanted(status) or time.monotonic() > end:
            return status
        time.sleep(0.02)


def test_what_is_given_up(path):
    data = pcap(*frames(login()))
    process = subprocess.Popen([PLAIN, "-j", "read", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(data[:100])
    process.stdin.flush()
    status = status_of(process, lambda status: status.get("Seccomp") == "2")
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
    for which in ("CapEff", "CapPrm", "CapInh"):
        assert int(status[which], 16) & ~CAP_DAC_READ_SEARCH == 0
    with open(f"/proc/{process.pid}/limits", encoding="ascii") as limits:
        values = {line[:26].strip(): line[26:].split()[0] for line in limits}
    assert values["Max core file size"] == "0" and values["Max processes"] == "0"
    output, _ = process.communicate(data[100:])
    assert process.returncode == FOUND and len(json.loads(output)["sessions"]) == 1


def plain(*words, data=None):
    return subprocess.run([PLAIN, *map(str, words)], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("link", LINKS)
def test_reads_as_the_other_build(path, link):
    write(path, login(), link)
    assert json.loads(plain("-j", "read", path).stdout)["sessions"] == read(path)["sessions"]


def test_reads_packed_and_standard_input(path):
    data = packed(pcap(*frames(mail())))
    path.write_bytes(data)
    assert plain("read", path).returncode == plain("read", "-", data=data).returncode == FOUND


def test_text_on_a_terminal(path):
    """With its width, its colours and a local time zone."""
    write(path, login())
    done = subprocess.run(["script", "-qec", f"{PLAIN} read {path}", "/dev/null"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert done.returncode == FOUND and b"cleartext-auth" in done.stdout and b"\x1b[" in done.stdout


def test_certificates_are_checked(tmp_path):
    """The trust anchors are read from within."""
    for vector in expectations(tmp_path)[:1]:
        assert plain("read", tmp_path / f"{vector['name']}.pcap").returncode in (NOTHING, FOUND)
    anchors = tmp_path / "anchors.pem"
    anchors.write_text("nothing")
    done = plain("read", "--ca", anchors, write(tmp_path / "x", login()))
    assert done.returncode == 71 and b"anchors.pem" in done.stderr


def test_records(path, tmp_path):
    rows = read(write(path, [login(), Flow(client_port=2).open().close()]))["sessions"]
    done = plain("record", path, "--session", rows[0]["id"], "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert json.loads(plain("-j", "read", tmp_path / "out").stdout)["sessions"][0]["findings"] == rows[0]["findings"]
