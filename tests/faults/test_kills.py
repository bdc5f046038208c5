"""The short form of the torture; the long one is `python tests/faults/torture.py --kills 1000`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).with_name("torture.py")


def _torture(kills: int, seed: int, folder: Path) -> str:
    command = [sys.executable, str(TORTURE), "--kills", str(kills), "--seed", str(seed), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_acknowledged_is_lost_to_kills(tmp_path):
    report = _torture(16, 1, tmp_path)
    assert report.startswith("16 kills")
    assert ": 0 faults" in report
    assert " 0 acknowledged" not in report


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_to_a_thousand_kills(tmp_path):
    assert ": 0 faults" in _torture(1000, 2, tmp_path)
