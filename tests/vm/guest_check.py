# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How a guest tells what it found: each check in a line of its own, "passed|failed|skipped: NAME[: WHY]"; lines that begin with
anything else are remarks."""
import time


def tell(how, name, why=""):
    why = " ".join(str(why).split())
    print(f"{how}: {name}" + (f": {why[-6000:]}" if why else ""), flush=True)


def check(name):
    """Makes a function a check. It fails by raising."""
    def decorate(function):
        def run(*arguments):
            try:
                function(*arguments)
                tell("passed", name.format(*arguments))
                return True
            except Exception as error:
                tell("failed", name.format(*arguments), f"{type(error).__name__}: {error}")
                return False
        return run
    return decorate


def wait_until(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain: {what}")
        time.sleep(0.05)


def expect(condition, *told):
    if not condition:
        raise AssertionError(" ".join(map(str, told)))
