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


@pytest.mark.parametrize("options", [["--every", "401"], ["--every", "151", "--python"]], ids=["library", "python"])
def test_a_call_that_fails_costs_nothing_that_was_acknowledged(options):
    report = _inject(*options)
    assert " faults injected" in report
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_call_may_fail():
    assert ": 0 faults" in _inject("--every", "1")
