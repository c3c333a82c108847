# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""`smtpward record`: what it writes is read back to the same, and holds no secret in any form."""
import base64
import json
import os
import stat
import subprocess

import pytest

from cli import FOUND, NOTHING, PLAIN as INSTALLED, UNREADABLE, USAGE, only, read, read_many, run
from frames import ACK, CLIENT6, RST, SERVER6, START, Flow, login, mail, write
from test_order import QUIET, what
from test_vectors import expectations

PASSWORD = "correct-horse-battery"
USER = "secretary@hidden.test"
BODY = "The merger is on Friday, says nobody."
HELLO = ("S: 220 mx.example ESMTP", "C: EHLO client.example", "S: 250-mx.example\n250-STARTTLS\n250 AUTH PLAIN LOGIN CRAM-MD5")
DIFFERENCE = 70


def encoded(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


PLAIN = encoded(f"\0{USER}\0{PASSWORD}")
MESSAGE = ("C: MAIL FROM:<a@b>", "S: 250 ok", "C: RCPT TO:<c@d>", "S: 250 ok", "C: DATA", "S: 354 go",
           f"C: Subject: {BODY}\n\n{BODY}\n..\n{BODY}\n.", "S: 250 ok", "C: QUIT", "S: 221 bye")

TALKS = {
    "plain with initial response": (*HELLO, f"C: AUTH PLAIN {PLAIN}", "S: 235 ok", *MESSAGE),
    "plain without": (*HELLO, "C: AUTH PLAIN", "S: 334 ", f"C: {PLAIN}", "S: 235 ok", *MESSAGE),
    "login": (*HELLO, "C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6", f"C: {encoded(USER)}", "S: 334 UGFzc3dvcmQ6", f"C: {encoded(PASSWORD)}",
              "S: 235 ok", *MESSAGE),
    "login with the name at once": (*HELLO, f"C: AUTH LOGIN {encoded(USER)}", "S: 334 UGFzc3dvcmQ6", f"C: {encoded(PASSWORD)}", "S: 235 ok"),
    "pipelined": (*HELLO, f"C: AUTH LOGIN\n{encoded(USER)}\n{encoded(PASSWORD)}\nMAIL FROM:<a@b>", "S: 334 a\n334 b\n235 ok\n250 ok"),
    "cancelled": (*HELLO, "C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6", f"C: {encoded(USER)}", "S: 334 UGFzc3dvcmQ6", "C: *", "S: 501 no"),
    "empty response": (*HELLO, "C: AUTH PLAIN =", "S: 334 ", f"C: {PLAIN}", "S: 235 ok"),
    "not encoded": (*HELLO, "C: AUTH PLAIN", "S: 334 ", f"C: {USER} {PASSWORD}", "S: 501 no"),
    "no mechanism": (*HELLO, f"C: AUTH {PLAIN}", "S: 504 no"),
    "refused, and sent all the same": (*HELLO, "C: AUTH LOGIN", "S: 504 no", f"C: {encoded(USER)}", "S: 500 no", f"C: {PASSWORD}",
                                       "S: 500 no", *MESSAGE),
    "echoed": (*HELLO, f"C: AUTH PLAIN {PLAIN}", f"S: 535-5.7.8 not good: {PLAIN}\n535 {PASSWORD}", *MESSAGE),
    "echoed as no reply": (*HELLO, f"C: AUTH PLAIN {PLAIN}", f"S: {PLAIN}\n235 ok", *MESSAGE),
    "cram": (*HELLO, "C: AUTH CRAM-MD5", "S: 334 PDE+", f"C: {encoded(USER + ' ' + PASSWORD)}", "S: 235 ok", *MESSAGE),
    "unknown commands": (*HELLO, f"C: {PASSWORD}", "S: 500 no", f"C: NOOP {PASSWORD}", "S: 250 ok", f"C: XCLIENT LOGIN={USER}", "S: 250 ok",
                         *MESSAGE),
    "data": (*HELLO, *MESSAGE),
    "bdat": (*HELLO, "C: MAIL FROM:<a@b>", "S: 250 ok", f"C: BDAT {len(BODY) + 2} LAST\n{BODY}", "S: 250 ok", "C: QUIT", "S: 221 bye"),
    "bdat with more behind it": (*HELLO, "C: MAIL FROM:<a@b>", "S: 250 ok",
                                 f"C: BDAT {len(BODY) + 2}\n{BODY}\nAUTH PLAIN {PLAIN}", "S: 250 ok\n235 ok"),
    "auth behind a message": (*HELLO, "C: MAIL FROM:<a@b>", "S: 250 ok", "C: DATA", "S: 354 go",
                              f"C: {BODY}\n.\nAUTH PLAIN {PLAIN}", "S: 250 ok\n235 ok"),
    "no end of the line": (*HELLO, f"C: AUTH PLAIN {PLAIN}"),
}


def forms():
    """The secrets as they may stand somewhere: as they are, in base64 at each of its three offsets, in hexadecimal."""
    for secret in (PASSWORD, BODY, PLAIN, USER):
        data = secret.encode()
        yield data
        yield data.hex().encode()
        for offset in range(3):
            text = base64.b64encode(b"\0" * offset + data)
            yield text[4 if offset else 0:-4]


def check_secrecy(data):
    for form in forms():
        # no piece of eight bytes, either: a secret may be cut into segments
        for at in range(0, max(1, len(form) - 8)):
            piece = form[at:at + 8]
            assert piece.lower() not in data.lower(), (form, piece)


def record(path, *words, status=0):
    out = path.with_name("evidence.pcap")
    done = run("record", path, *words, "-o", out)
    assert done.returncode == status, done.stderr
    return out, done


def same(row, other):
    one, two = what(row), what(other)
    one["auth"] = dict(one["auth"], account=None)
    assert one == {**two, "auth": dict(two["auth"])}
    for key in ("id", "opened", "client", "server", "tls", "severity", "linked_session"):
        assert row[key] == other[key], key


@pytest.mark.parametrize("name", TALKS)
@pytest.mark.parametrize("size", [None, 1, 5])
def test_no_secret(path, name, size):
    flow = Flow().open().talk(*TALKS[name], size=size)
    if name != "no end of the line":
        flow.close()
    row = only(read(write(path, flow)))
    assert set(row["facts"]) & {"credential-clear", "auth-clear", "mail-clear"}
    out, _ = record(path, "--session", row["id"])
    check_secrecy(out.read_bytes())
    same(row, only(read(out)))


def test_line_without_its_end(path):
    """The capture ends within a response."""
    row = only(read(write(path, Flow().open().talk(*HELLO).send("C", f"AUTH PLAIN {PLAIN}".encode()))))
    out, _ = record(path, "--session", row["id"])
    check_secrecy(out.read_bytes())
    same(row, only(read(out)))


def test_public_bytes_stay(path):
    row = only(read(write(path, Flow().open().talk(*TALKS["plain with initial response"]).close())))
    data = record(path, "--session", row["id"])[0].read_bytes()
    for public in (b"220 mx.example ESMTP\r\n", b"EHLO client.example\r\n", b"250-STARTTLS\r\n", b"AUTH PLAIN ..", b"MAIL FROM:<a@b>\r\n",
                   b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"\r\n.\r\n", b"QUIT\r\n"):
        assert public in data, public


@pytest.mark.parametrize("maker", [
    lambda: mail(client=CLIENT6, server=SERVER6), lambda: Flow().open().talk(*QUIET[:3], "C: STARTTLS").segment("S", RST | ACK),
    lambda: Flow().open().talk(*QUIET).close("S"), lambda: Flow().open().close(), lambda: Flow().open().talk(*QUIET[:2]),
    lambda: Flow().open().talk(*QUIET[:3], "C: STARTTLS", "S: 454 no", *MESSAGE).close()])
def test_is_read_back_to_the_same(path, maker):
    row = only(read(write(path, maker())))
    out, done = record(path, "--session", row["id"])
    assert b"1 session" in done.stdout and stat.S_IMODE(os.stat(out).st_mode) == 0o600
    same(row, only(read(out)))


def test_gaps_stay(path):
    flow = Flow().open().talk(*HELLO[:2])
    flow.next["S"] += 30
    row = only(read(write(path, flow.talk(*MESSAGE).close())))
    assert row["unknown_reason"] == "gap"
    same(row, only(read(record(path, "--session", row["id"])[0])))


def test_joined_midway(path):
    flow = mail()
    flow.packets = flow.packets[6:]
    row = only(read(write(path, flow)))
    out = record(path, "--session", row["id"])[0]
    same(row, only(read(out)))
    assert b"Subject" not in out.read_bytes()


@pytest.mark.parametrize("name", ["plain without", "login", "auth behind a message", "echoed"])
def test_no_secret_of_a_session_joined_midway(tmp_path, name):
    """Where the beginning is missing, what a line is has to be guessed: what may be a secret is not shown on a guess."""
    count, paths = len(Flow().open().talk(*TALKS[name]).close().packets), []
    for first in range(3, count - 3):
        flow = Flow().open().talk(*TALKS[name]).close()
        flow.packets = flow.packets[first:]
        paths.append(write(tmp_path / f"{first}.pcap", flow))
    for path, rows in zip(paths, read_many(paths)):
        out = tmp_path / "evidence"
        done = run("record", path, "--session", rows[0]["id"], "-o", out)
        assert done.returncode in (0, DIFFERENCE)
        if done.returncode == 0:
            check_secrecy(out.read_bytes())
            out.unlink()


def test_joined_midway_in_a_message(path):
    """Its lines look like commands, and are not shown."""
    flow = Flow().open().talk(*HELLO)
    flow.packets = []
    lines = b"MAIL FROM:<eve@secret.example>\r\nRSET\r\nAUTH HUSHHUSH AHVzZXI\r\n"
    flow.send("C", b"EHLO secret.example\r\n").send("C", lines).send("C", b"more secret text\r\n.\r\n")
    row = only(read(write(path, flow.talk("S: 250 ok", "C: NOOP", "S: 250 ok", "C: RSET", "S: 250 ok", "C: QUIT", "S: 221 bye").close())))
    assert "resynced" in row["facts"] and not row["findings"]
    out = record(path, "--session", row["id"])[0]
    data = out.read_bytes()
    same(row, only(read(out)))
    assert b"secret" not in data and b"HUSH" not in data
    assert b"NOOP\r\n" in data and b"QUIT\r\n" in data


def test_every_vector(tmp_path):
    """With its secrets taken out each still comes to the same, or is refused; few are."""
    refused = []
    vectors = expectations(tmp_path)
    paths = [tmp_path / f"{vector['name']}.pcap" for vector in vectors]
    for vector, path, rows in zip(vectors, paths, read_many(paths)):
        row, out = rows[0], tmp_path / "evidence"
        # without sanitizers, of which a start takes a tenth of a second: the fuzzer has them
        done = subprocess.run([INSTALLED, "record", path, "--session", row["id"], "-o", out], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        if done.returncode:
            assert done.returncode == DIFFERENCE and not out.exists(), done.stderr
            refused.append(vector["name"])
            continue
        data = out.read_bytes()
        for secret in (b"hunter2", b"pa55", b"aHVudGVy", b"YTU1"):
            assert secret not in data, vector["name"]
        out.unlink()
    # mail and AUTH inside of what looks like TLS records: what they are could only be told by showing them
    assert len(refused) <= 8, refused


def test_by_finding_with_what_it_fell_back_from(path):
    failed = Flow(client_port=41000).open().talk(*QUIET[:3], "C: STARTTLS", "S: 220 go").send("C", b"\x16\x03\x01\x00\x05\x01\0\0\1\0")
    failed = failed.segment("S", RST | ACK)
    retry = mail(client_port=41001, start=START + 60)
    other = login(client="192.0.2.77")
    rows = read(write(path, [failed, other, retry]))["sessions"]
    out, done = record(path, "--finding", "tls-fallback")
    assert b"2 sessions" in done.stdout
    back = read(out)["sessions"]
    assert {row["id"] for row in back} == {rows[0]["id"], rows[2]["id"]}
    assert [row for row in back if row["linked_session"]][0]["linked_session"] == rows[0]["id"]


def test_long_message_makes_a_small_file(path):
    flow = Flow().open().talk(*HELLO, "C: MAIL FROM:<a@b>", "S: 250 ok", "C: DATA", "S: 354 go")
    flow.send("C", (BODY + "\r\n").encode() * 20000, size=1400).talk("C: .", "S: 250 ok", "C: QUIT", "S: 221 bye").close()
    row = only(read(write(path, flow)))
    out, _ = record(path, "--session", row["id"])
    assert os.stat(path).st_size > 700_000 and os.stat(out).st_size < 120_000
    check_secrecy(out.read_bytes())


def test_checksums(path):
    """Over header and pseudo header they come to nothing."""
    from frames import checksum
    row = only(read(write(path, mail())))
    data = record(path, "--session", row["id"])[0].read_bytes()
    at, count = 24, 0
    while at < len(data):
        length = int.from_bytes(data[at + 8:at + 12], "little")
        packet = data[at + 16:at + 16 + length]
        assert checksum(packet[:20]) == 0
        assert checksum(packet[12:20] + b"\0\6" + (length - 20).to_bytes(2, "big") + packet[20:]) == 0
        at, count = at + 16 + length, count + 1
    assert count > 10


def test_refusals(path, tmp_path):
    write(path, login())
    assert run("record", path, "--session", "0123456789abcdef", "-o", tmp_path / "x").returncode == 1
    assert not (tmp_path / "x").exists()
    (tmp_path / "there").write_bytes(b"mine")
    row = only(read(path))
    assert run("record", path, "--session", row["id"], "-o", tmp_path / "there").returncode == 73
    assert (tmp_path / "there").read_bytes() == b"mine"
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert run("record", path, "--session", row["id"], "-o", tmp_path / "link").returncode == 73
    assert not (tmp_path / "target").exists()
    assert run("record", tmp_path / "nothing", "--session", row["id"]).returncode == UNREADABLE
    for words in (["record", path], ["record", "-", "--session", row["id"]], ["record", path, "--session", "x"],
                  ["record", path, "--finding", "x"], ["record", path, path, "--session", row["id"]],
                  ["record", path, "--session", row["id"], "--finding", "cleartext-auth"]):
        assert run(*words).returncode == USAGE, words


def test_json(path, tmp_path):
    row = only(read(write(path, login())))
    out = tmp_path / "x.pcap"
    done = run("-j", "record", path, "--session", row["id"], "-o", out)
    assert json.loads(done.stdout) == {"sessions": [row["id"]], "file": str(out)}
    assert read(out, status=FOUND) and NOTHING == 0
