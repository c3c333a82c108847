# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Captures of others, with what another tool made of them. They are no part of this project: the test runs where they are.
What is not the same is explained in docs/read.md."""
import collections
import csv
import pathlib
import random
import struct

import pytest

from cli import read, read_many

CORPUS = pathlib.Path(__file__).resolve().parents[3] / "shared" / "corpus"
# file, stream: why there is no session, or what is told otherwise
EXPLAINED = {
    ("socks5-smtp-503.pcap", "0"): "no session",  # SMTP within SOCKS: neither port nor first bytes are SMTP's
    ("Smtp.pcap", "0"): "midway",  # the beginning is missing: nothing is read of it
}

if not CORPUS.is_dir():
    pytest.skip("the corpus is not beside this tree", allow_module_level=True)


def truths():
    for part in ("public", "clients"):
        with open(CORPUS / part / "truth.tsv", newline="") as table:
            rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
        files = collections.defaultdict(list)
        for row in rows:
            files[row["file"]].append(row)
        for name, streams in files.items():
            yield pytest.param(CORPUS / part / name, streams, id=f"{part}-{pathlib.Path(name).name}")


def ends(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def end_of(row, side):
    return row[side]["address"], row[side]["port"]


def expected(truth):
    return {
        "offered": truth["starttls_offered"] == "1", "asked": truth["starttls_sent"] == "1",
        "reply": None if truth["starttls_reply"] == "-" else int(truth["starttls_reply"]),
        "version": None if truth["tls_version"] == "-" else truth["tls_version"].removeprefix("TLS"),
        "cipher": None if truth["tls_cipher"] == "-" else truth["tls_cipher"],
        "mechanism": None if truth["auth_mech"] == "-" else truth["auth_mech"].split("(")[0].split()[0],
        "mail": truth["cleartext_mail"] == "1", "content": truth["cleartext_data"] == "1",
    }


def told(row):
    return {
        **row["starttls"], "version": row["tls"]["version"], "cipher": row["tls"]["cipher"], "mechanism": row["auth"]["mechanism"],
        "mail": "mail-clear" in row["facts"], "content": "content-clear" in row["facts"],
    }


def outcomes(truth):
    """What a session with these facts can have come to."""
    if truth["cleartext_mail"] == "1" or truth["auth_mech"] != "-":
        return {"cleartext", "refused", "unknown"} if truth["cleartext_mail"] == "0" else {"cleartext"}
    if truth["tls_version"] != "-":
        return {"encrypted", "failed"}
    return {"unknown", "refused", "failed"}


@pytest.mark.parametrize("path,streams", truths())
def test_corpus(path, streams):
    rows = collections.defaultdict(list)
    for row in read("--any-port", path)["sessions"]:
        rows[end_of(row, "client"), end_of(row, "server")].append(row)
    wrong = []
    for truth in streams:
        reason = EXPLAINED.get((path.name, truth["stream"]))
        mine = rows[ends(truth["client"]), ends(truth["server:port"])]
        if not mine:
            # a connection on which nothing was said, of which only a part was captured, is no session
            if reason != "no session" and "no-payload" not in truth["notes"]:
                wrong.append((truth["stream"], "no session"))
            continue
        row = mine.pop(0)
        if reason == "midway":
            assert row["unknown_reason"] == "midway" and not row["findings"]
            continue
        wrong += [(truth["stream"], key, told(row)[key], value) for key, value in expected(truth).items() if told(row)[key] != value]
        if row["outcome"] not in outcomes(truth):
            wrong.append((truth["stream"], "outcome", row["outcome"]))
    assert not wrong
    # some captures have the client's own inner connections, too, on ports that the table leaves out
    assert not [row["id"] for left in rows.values() for row in left if row["server"]["port"] in (25, 465, 587, 2525)]


def records(data):
    """The file's header and the packets of a pcap, each with its own; none if it is anything else."""
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(data[:4])
    at, found = 24, []
    while order and at + 16 <= len(data):
        size = 16 + struct.unpack_from(f"{order}I", data, at + 8)[0]
        found.append(data[at:at + size])
        at += size
    return data[:24], found


def spoil(packets, choose):
    """Some lost, one repeated at some other place, the end missing, or neighbours that have changed places."""
    packets, way = list(packets), choose.randrange(4)
    for _ in range(choose.choice((0, 1, 1, 2, 5)) if way < 3 else 0):
        packets.pop(choose.randrange(len(packets)))
    if way == 1:
        packets.insert(choose.randrange(len(packets)), choose.choice(packets))
    elif way == 2:
        packets = packets[:choose.randrange(1, len(packets) + 1)]
    for at in [choose.randrange(len(packets) - 1) for _ in range(3)] if way == 3 else []:
        packets[at], packets[at + 1] = packets[at + 1], packets[at]
    return packets


def ends_of(row):
    return end_of(row, "client"), end_of(row, "server")


def to_spoil():
    """Those that are pcap, and neither short nor long; one has a login that is found once it is spoilt in the right place."""
    paths = sorted({path.values[0] for path in truths()})
    return [path for path in paths if 8 <= len(records(path.read_bytes())[1]) <= 2000 and path.name != "Smtp.pcap"]


@pytest.mark.parametrize("path", to_spoil(), ids=lambda path: path.name)
def test_what_is_missing_is_no_finding(tmp_path, path):
    head, packets = records(path.read_bytes())
    choose, paths = random.Random(path.name), [path]
    for i in range(40):
        paths.append(tmp_path / str(i))
        paths[-1].write_bytes(head + b"".join(spoil(packets, choose)))
    whole, *spoilt = read_many(paths, "--any-port")
    allowed = collections.defaultdict(lambda: {"tls-fallback"})
    for row in whole:
        allowed[ends_of(row)] |= set(row["findings"])
    for name, rows in zip(paths[1:], spoilt):
        for row in rows:
            assert set(row["findings"]) <= allowed[ends_of(row)], (name, row["findings"], row["facts"])
