# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Tests of `smtpward read` and `record`: captures made byte by byte, read by the CLI under ASan and UBSan. No root."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))


@pytest.fixture
def path(tmp_path):
    """Where a test's capture goes."""
    return tmp_path / "capture.pcap"
