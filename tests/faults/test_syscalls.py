"""The short forms of the system call faults; the long one is `python tests/faults/syscalls.py --every 1`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SYSCALLS = Path(__file__).with_name("syscalls.py")


def _inject(*options: str) -> str:
    done = subprocess.run([sys.executable, str(SYSCALLS), *options], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("what", ["training", "opening"])
@pytest.mark.parametrize("how", ["library", "python"])
def test_a_call_that_fails_costs_nothing_that_was_acknowledged(what, how):
    every = {"library": {"training": 801, "opening": 307}, "python": {"training": 97, "opening": 53}}[how][what]
    more = ["--python"] if how == "python" else []
    report = _inject("--every", str(every), "--what", what, *more)
    assert " faults injected" in report
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_call_may_fail():
    assert ": 0 faults" in _inject("--every", "1")
