"""The short forms of the kills; the long ones are `torture.py --kills 1000` and `kill_openers.py --kills 400`."""

from __future__ import annotations

from pathlib import Path

import pytest
from by_command import printed


def _torture(script: str, kills: int, seed: int, folder: Path) -> str:
    return printed(script, "--kills", str(kills), "--seed", str(seed), "--folder", str(folder))


def test_nothing_acknowledged_is_lost_to_kills(tmp_path):
    report = _torture("torture.py", 16, 1, tmp_path)
    assert report.startswith("16 kills")
    assert ": 0 faults" in report
    assert " 0 acknowledged" not in report


def test_whoever_upgrades_recovers_or_repairs_may_be_killed(tmp_path):
    report = _torture("kill_openers.py", 8, 1, tmp_path)
    assert "0 of " not in report
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_whoever_upgrades_recovers_or_repairs_may_be_killed_four_hundred_times(tmp_path):
    assert ": 0 faults" in _torture("kill_openers.py", 400, 2, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_to_a_thousand_kills(tmp_path):
    assert ": 0 faults" in _torture("torture.py", 1000, 2, tmp_path)
