# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the end-to-end tests stand on: namespaces, servers, real mail programs, the agent."""
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = ROOT / os.environ.get("BUILD", "build")
TOOLS = ROOT / "tools"
CLIENTS = ROOT / "tests" / "e2e" / "clients"
