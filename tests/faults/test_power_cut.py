"""The short form of the power cuts; the long one is `python tests/faults/power_cut.py --cuts 100`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

POWER_CUT = Path(__file__).with_name("power_cut.py")


def _cut(cuts: int, seed: int) -> str:
    command = [sys.executable, str(POWER_CUT), "--cuts", str(cuts), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_was_durable_survives_a_power_cut():
    report = _cut(6, 1)
    assert report.startswith("6 power cuts")
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_was_durable_survives_a_hundred_power_cuts():
    assert ": 0 faults" in _cut(100, 2)
