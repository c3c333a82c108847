# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Link types, file formats, and files that are none."""
import os
import subprocess

import pytest

from cli import CLI, FOUND, NOTHING, UNREADABLE, USAGE, only, read, read_many, run
from frames import CLIENT6, LINKS, SERVER6, Flow, frames, ipv4, ipv6, login, mail, packed, pcap, pcapng, write

SECRET = {"cleartext-auth", "starttls-unused"}


def found(row):
    return set(row["findings"])


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_link_type(path, link, family):
    options = {} if family == "ipv4" else {"client": CLIENT6, "server": SERVER6}
    row = only(read(write(path, login(**options), link)))
    assert found(row) == SECRET and row["outcome"] == "cleartext" and row["auth"] == {"mechanism": "PLAIN", "account": "user"}
    assert row["client"] == {"address": options.get("client", "192.0.2.2"), "port": 40000}
    assert row["file"] == str(path) and row["closed"] and row["end"] == "client"


@pytest.mark.parametrize("kind,maker", [
    ("pcap", pcap), ("pcapng", pcapng), ("nanoseconds", lambda *a: pcap(*a, nanoseconds=True)),
    ("big endian", lambda *a: pcap(*a, order=">"))])
@pytest.mark.parametrize("way", ["file", "gzip", "stdin", "gzip on stdin"])
def test_format(path, kind, maker, way):
    data = maker(*frames(login()))
    data = packed(data) if "gzip" in way else data
    path.write_bytes(data)
    answer = read("-", data=data) if "stdin" in way else read(path)
    row = only(answer)
    assert found(row) == SECRET and row["opened"].startswith("2025-06-15T15:06:40.00")
    assert row["file"] == ("-" if "stdin" in way else str(path))
    assert answer["files"][0]["link_type"] == "EN10MB" and answer["files"][0]["error"] is None


def test_ip_options_and_extension_headers(path):
    options = Flow(wrap=lambda source, target, segment: ipv4(source, target, segment, options=b"\1" * 8))
    row = only(read(write(path, options.open().talk(*("S: 220 a", "C: EHLO b", "S: 250 a", "C: MAIL FROM:<a>")).close())))
    assert "cleartext-mail" in row["findings"]
    headers = [(0, b"\0" + b"\0" * 6), (43, b"\0" + b"\0" * 6), (60, b"\1" + b"\0" * 14), (44, b"\0\0\0\0\0\0\1")]
    extended = login(client=CLIENT6, server=SERVER6, wrap=lambda source, target, segment: ipv6(source, target, segment, headers))
    assert found(only(read(write(path, extended)))) == SECRET


def test_lengths_left_to_the_frame(path):
    """Segmentation offload: the total length is 0."""
    flow = login(wrap=lambda source, target, segment: ipv4(source, target, segment, total=0))
    assert found(only(read(write(path, flow, "raw")))) == SECRET


def fragmented(flow, which, sizes=(24, 16), lost=(), order=1, other=None):
    """Cuts the packets with those numbers into fragments: the first sizes long, and a rest."""
    packets = []
    for number, (time, who, packet) in enumerate(flow.packets):
        if number not in which:
            packets.append([time, who, packet])
            continue
        source, target = flow.address[who], flow.address["S" if who == "C" else "C"]
        payload = packet[40 if ":" in source else 20:]
        cuts = [0]
        for size in sizes:
            cuts.append(min(len(payload), cuts[-1] + size))
        cuts.append(len(payload))
        parts = []
        for i, (start, end) in enumerate(zip(cuts, cuts[1:])):
            if start == end or i in lost:
                continue
            more, part = end < len(payload), payload[start:end] if other is None or i != 1 else other * (end - start)
            if ":" in source:
                head = bytes([0]) + (start | more).to_bytes(2, "big") + number.to_bytes(4, "big")
                parts.append(ipv6(source, target, part, [(44, head)]))
            else:
                made = ipv4(source, target, part, fragment=start // 8 | (0x2000 if more else 0))
                parts.append(made[:4] + number.to_bytes(2, "big") + made[6:])
        packets += [[time, who, part] for part in parts[::order]]
    flow.packets = packets
    return flow


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("sizes", [(24,), (24, 8), (8, 8, 8), (32, 16)])
@pytest.mark.parametrize("options", [{}, {"client": CLIENT6, "server": SERVER6}])
def test_fragments(path, order, sizes, options):
    count = len(login(**options).packets)
    answer = read(write(path, fragmented(login(**options), range(3, count), sizes, order=order), "raw"))
    assert found(only(answer)) == SECRET and answer["files"][0]["fragments"] > 3
    assert answer["files"][0]["packets_fragmented_lost"] == 0 and answer["files"][0]["gaps"] == 0


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_lost_fragment_is_a_gap(path, lost):
    answer = read(write(path, fragmented(Flow().open().talk(*LOGIN_START, "C: MAIL FROM:<a@b>", "S: 250 ok", "C: QUIT").close(), [5],
                                         lost=[lost])), status=NOTHING)
    row = only(answer)
    assert row["outcome"] == "unknown" and row["unknown_reason"] == "gap" and not row["findings"]
    assert answer["files"][0]["packets_fragmented_lost"] == 1


def test_contradicting_fragments_are_a_gap(path):
    flow = Flow().open().talk(*LOGIN_START, "C: MAIL FROM:<a@b>", "S: 250 ok", "C: QUIT").close()
    forged = fragmented(Flow().open().talk(*LOGIN_START), [5], other=b"X")
    whole = fragmented(flow, [5])
    flow.packets = whole.packets[:5] + forged.packets[5:8][1:2] + whole.packets[5:]
    row = only(read(write(path, flow), status=NOTHING))
    assert row["unknown_reason"] == "gap"


LOGIN_START = ("S: 220 mx.example ESMTP", "C: EHLO client.example", "S: 250-mx.example greets you\n250-PIPELINING\n250 STARTTLS")


def test_several_files(tmp_path):
    one, other = write(tmp_path / "a", login()), write(tmp_path / "b", mail(client_port=40001))
    answer = read(one, other, status=FOUND)
    assert [row["file"] for row in answer["sessions"]] == [str(one), str(other)]
    assert [(file["file"], file["sessions"]) for file in answer["files"]] == [(str(one), 1), (str(other), 1)]


def test_exit_code_nothing_found(path):
    answer = read(write(path, Flow().open().talk("S: 220 a", "C: QUIT", "S: 221 a").close()), status=NOTHING)
    assert only(answer)["outcome"] == "unknown"
    assert read(write(path, Flow(port=8080).open().talk("S: 220 a").close()), status=NOTHING)["sessions"] == []


@pytest.mark.parametrize("data,words", [
    (b"", "empty"), (b"not a capture", "no capture file"), (packed(b""), "empty"), (b"\x1f\x8bnonsense", "unpacked"),
    (pcap(105, []), "link type")])
def test_unreadable(path, data, words):
    path.write_bytes(data)
    answer = read(path, status=UNREADABLE)
    assert words in answer["files"][0]["error"] and str(path) in answer["errors"] and answer["sessions"] == []


def test_missing_file_and_directory(tmp_path):
    for name in (tmp_path / "nothing", tmp_path):
        assert read(name, status=UNREADABLE)["files"][0]["error"]


def test_unreadable_among_others(tmp_path):
    good = write(tmp_path / "good", login())
    answer = read(tmp_path / "nothing", good, status=UNREADABLE)
    assert found(only(answer)) == SECRET


def test_cut_off_in_the_midst(path):
    """What could be read is told, and that it was not all."""
    data = pcap(*frames(login()))
    path.write_bytes(data[:-7])
    answer = read(path, status=UNREADABLE)
    assert found(only(answer)) == SECRET and "truncated" in answer["files"][0]["error"]


@pytest.mark.parametrize("packing", [False, True])
def test_cut_off_at_every_byte(path, tmp_path, packing):
    """No crash, and nothing found that the whole does not show."""
    whole = pcap(*frames(Flow().open().talk(*LOGIN_START, "C: STARTTLS", "S: 454 no", "C: QUIT", "S: 221 bye").close()))
    path.write_bytes(whole)
    allowed = found(only(read(path)))
    assert allowed == {"starttls-refused"}
    data = packed(whole) if packing else whole
    paths = []
    for length in range(len(data)):
        paths.append(tmp_path / str(length))
        paths[-1].write_bytes(data[:length])
    for rows in read_many(paths):
        for row in rows:
            assert found(row) <= allowed
            assert row["outcome"] in ("unknown", "refused")


def test_text(path):
    write(path, login())
    done = run("read", path)
    text = done.stdout.decode()
    assert done.returncode == FOUND
    assert "cleartext-auth starttls-unused" in text and "192.0.2.1:25" in text and "user" in text
    assert text.splitlines()[0].split() == ["SESSION", "OPENED", "OUTCOME", "CLIENT", "SERVER", "ACCOUNT", "FINDINGS"]
    assert "mx.example" in text.splitlines()[-1] and "cleartext 1" in text.splitlines()[-1]


def test_hostile_text_is_escaped(path):
    flow = Flow().open().talk("S: 220 mx\x9b\x7f0;owned x", "C: EHLO a", "S: 250 x", "C: MAIL FROM:<a>").close()
    done = run("read", write(path, flow))
    assert b"\x9b" not in done.stdout and b"\x7f" not in done.stdout and b"mx\\x9b\\x7f0;owned" in done.stdout


def test_no_secret_in_the_output(path):
    write(path, login())
    for words in (["read", path], ["-j", "read", path]):
        done = run(*words)
        for form in (b"password", b"AHVzZXIAcGFzc3dvcmQ=", b"cGFzc3dvcmQ"):
            assert form not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [
    ["read"], ["read", "--ports", "x", "f"], ["read", "--ports", "25,", "f"], ["read", "--ports", "70000", "f"],
    ["read", "--ports", "25/ssl", "f"], ["read", "--nonsense", "f"]])
def test_usage(words):
    assert run(*words).returncode == USAGE


def test_ports(path):
    write(path, login(port=10025))
    assert read(path, status=NOTHING)["sessions"] == []
    assert found(only(read("--ports", "25,10025", path))) == SECRET
    assert found(only(read("--ports", "10025/tls", path))) == {"cleartext-auth", "plaintext-on-tls-port"}


def test_any_port(path):
    ftp = Flow(client_port=40001, port=21).open().talk("S: 220 ftp ready", "C: USER a", "S: 331 go on", "C: PASS b").close()
    http = Flow(client_port=40002, port=80).open().talk("C: GET / HTTP/1.0\n", "S: HTTP/1.0 200 ok\n").close()
    tls = Flow(client_port=40003, port=443).open().send("C", b"\x16\x03\x01\x02\x00" + bytes(512)).close()
    early = Flow(client_port=40004, port=10026).open().talk("C: EHLO a", "S: 220 x\n250 x", "C: MAIL FROM:<a>").close()
    write(path, [login(port=10025), ftp, http, tls, early])
    answer = read("--any-port", path)
    assert [row["server"]["port"] for row in answer["sessions"]] == [10025, 10026]
    # byte by byte, too
    write(path, Flow(port=10025).open().talk(*LOGIN_START, "C: MAIL FROM:<a>", size=1).close())
    assert only(read("--any-port", path))["outcome"] == "cleartext"


def test_no_progress_but_on_a_terminal(path):
    assert run("read", write(path, login())).stderr == b""


def test_reader_goes_away(path):
    write(path, [login(client_port=port) for port in range(1000, 1400)])
    process = subprocess.Popen([CLI, "read", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    assert b"Sanitizer" not in process.stderr.read()
    assert process.wait(60) in (0, 1)


def test_reads_what_only_the_user_may(path):
    """Without any right but those of its user."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    os.chmod(write(path, login()), 0o644)
    with open(path, "rb") as data:
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CLI, "-j", "read", "-"], stdin=data,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == FOUND, done.stderr
