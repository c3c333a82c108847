# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
kill -9 at random moments, under load, in block mode. KILLS says how often:

    KILLS=500 make e2e E2E=test_kill.py
"""
import os
import random
import signal
import time

import pytest

from harness.lab import wait_until
from harness.life import OTHER_ABI, SECRET, Senders, attached, blocked_flows, detach, folders

KILLS = int(os.environ.get("KILLS", "50"))


def kill_one_or_all(agent):
    """All of its processes at once, or one of them: then the others have to end by themselves."""
    pids = agent.processes()
    doomed = pids if random.random() < 0.5 else [random.choice(pids)]
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    agent.wait_gone()


@pytest.mark.parametrize("versions", ["one", "two"])
def test_killed_at_random_moments(lab, serve, watch, versions):
    """two: the next agent is of another ABI version, or of the same."""
    server = serve("strip", "auth=PLAIN")
    agent = watch(mode="block", on_exit="keep")
    senders = Senders(lab, holds=(0, 0.3, 2))
    kept = folders(lab)
    programs = [agent.program] if versions == "one" else [agent.program, OTHER_ABI]
    wait_until(lambda: server.connections() > 10, "the senders are at work")
    for _ in range(KILLS):
        # while it starts, takes over, or is at work; and for a while there is none
        time.sleep(random.choice((0, 0.05, 0.2, 0.5, 1)) * random.random())
        kill_one_or_all(agent)
        assert folders(lab) == kept if versions == "one" else folders(lab), "what blocks is pinned at any time"
        time.sleep(random.choice((0, 0, 0.2)))
        agent.program = random.choice(programs)
        agent.start(wait=False)
    wait_until(agent._answers, "the last agent answers", 60)
    seen = senders.end()
    server.assert_nothing(SECRET, "AUTH")
    assert seen["answered"] == 0 and seen["stuck"] == 0, seen
    assert seen["stopped"] == seen["attempts"] > 0, seen
    wait_until(lambda: not blocked_flows(lab), "no blocked flow is left")
    assert agent.ask("status")["sessions"]["unseen"] == 0
    agent.kill()
    assert folders(lab) == kept if versions == "one" else folders(lab)
    result = detach(lab)
    assert result.returncode == 0, result
    assert attached(lab) == []
    assert folders(lab) == []
