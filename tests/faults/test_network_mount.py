"""The short form of two machines at one store; the long one is `python tests/faults/network_mount.py --kills 200`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NETWORK_MOUNT = Path(__file__).with_name("network_mount.py")


def _kill(kills: int, seed: int) -> str:
    command = [sys.executable, str(NETWORK_MOUNT), "--kills", str(kills), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_machines_lose_nothing_to_kills():
    report = _kill(8, 1)
    assert report.startswith("8 kills of a writer on two machines")
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_machines_lose_nothing_to_two_hundred_kills():
    assert ": 0 faults" in _kill(200, 2)
