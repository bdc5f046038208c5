"""The short form of two machines at one store; the long one is `python tests/faults/network_mount.py --kills 200`."""

from __future__ import annotations

import pytest
from by_command import printed


def _kill(kills: int, seed: int) -> str:
    return printed("network_mount.py", "--kills", str(kills), "--seed", str(seed))


def test_two_machines_lose_nothing_to_kills():
    report = _kill(8, 1)
    assert report.startswith("8 kills of a writer on two machines")
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_machines_lose_nothing_to_two_hundred_kills():
    assert ": 0 faults" in _kill(200, 2)
