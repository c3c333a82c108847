# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the CLI that is built with sanitizers."""
import json
import os
import subprocess

BUILD = os.path.abspath(os.environ.get("BUILD", "../../build"))
CLI = os.path.join(BUILD, "san", "smtpward")
PLAIN = os.path.join(BUILD, "smtpward")  # as it is installed: without sanitizers, and with its sandbox
NOTHING, FOUND, UNREADABLE, USAGE = 0, 1, 2, 64


def run(*words, data=None, environment=None):
    """Returns the finished process, output as bytes. A sanitizer's report fails the test."""
    done = subprocess.run([CLI, *map(str, words)], input=data, stdin=subprocess.DEVNULL if data is None else None,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                          env=dict(os.environ, UBSAN_OPTIONS="halt_on_error=1", **(environment or {})))
    assert b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.returncode >= 0, done
    return done


def read(*words, data=None, status=None):
    """`smtpward -j read`; returns what it says, with "status", its exit code."""
    done = run("-j", "read", *words, data=data)
    answer = json.loads(done.stdout)
    answer["status"] = done.returncode
    answer["errors"] = done.stderr.decode()
    assert status is None or done.returncode == status, (done.returncode, done.stderr)
    expected = UNREADABLE if any(file["error"] for file in answer["files"]) else \
        FOUND if any(row["findings"] for row in answer["sessions"]) else NOTHING
    assert done.returncode == expected
    return answer


def only(answer):
    """The one session there is."""
    assert len(answer["sessions"]) == 1, [row["facts"] for row in answer["sessions"]]
    return answer["sessions"][0]


def read_many(paths, *words):
    """Reads files at once, since a process for each takes its time: a list of lists of sessions, in the order of paths."""
    answer = read(*words, *paths)
    rows = {str(path): [] for path in paths}
    for row in answer["sessions"]:
        rows[row["file"]].append(row)
    return [rows[str(path)] for path in paths]
