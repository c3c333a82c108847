# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Captures of others, with what another tool made of them. They are no part of this project: the test runs where they are.
What is not the same is explained in docs/read.md."""
import collections
import csv
import pathlib

import pytest

from cli import read

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
