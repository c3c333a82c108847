# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Every dialogue vector, as a capture file, comes to what it comes to in user space and in the kernel."""
import json
import os
import subprocess

import pytest

from cli import BUILD, only, read


def expectations(folder):
    lines = subprocess.run([os.path.join(BUILD, "tests", "capture_vectors"), folder], check=True, stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in lines.splitlines()]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    return folder, expectations(folder)


def alert_of(row, side):
    alert = row["tls"][side]
    if alert is None:
        return 0
    return 255 if alert["code"] is None else alert["code"] or 256  # close_notify is 0: as tests/vectors.h has it


def told(row):
    return {
        "facts": sorted(row["facts"]), "findings": sorted(row["findings"]), "outcome": row["outcome"],
        "starttls": row["starttls"]["reply"] or 0, "cause": row["cause"],
        "client_alert": alert_of(row, "client_alert"), "server_alert": alert_of(row, "server_alert"),
    }


def wanted(vector):
    keys = ("outcome", "starttls", "cause", "client_alert", "server_alert")
    return {"facts": sorted(vector["facts"]), "findings": sorted(vector["findings"]), **{key: vector[key] for key in keys}}


def test_every_vector(vectors):
    folder, expected = vectors
    assert len(expected) > 100
    # one call for all of them: each row names its file
    answer = read(*(folder / f"{vector['name']}.pcap" for vector in expected))
    rows = {}
    for row in answer["sessions"]:
        rows.setdefault(os.path.basename(row["file"])[:-len(".pcap")], []).append(row)
    wrong = []
    for vector in expected:
        mine = rows.get(vector["name"], [])
        if len(mine) != 1:
            wrong.append((vector["name"], f"{len(mine)} sessions"))
            continue
        row = mine[0]
        for key, value in wanted(vector).items():
            if told(row)[key] != value:
                wrong.append((vector["name"], key, told(row)[key], value))
        if vector["server_name"] and row["server"]["name"] != vector["server_name"]:
            wrong.append((vector["name"], "server name", row["server"]["name"]))
        if not vector["account"] and vector["account"] != row["auth"]["account"]:
            wrong.append((vector["name"], "account", row["auth"]["account"]))
    assert not wrong


def test_a_vector_alone_is_no_other(vectors):
    folder, expected = vectors
    vector = next(one for one in expected if one["findings"])
    assert told(only(read(folder / f"{vector['name']}.pcap"))) == wanted(vector)
