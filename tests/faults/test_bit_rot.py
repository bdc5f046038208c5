"""The short form of the bit rot; the long one is `python tests/faults/bit_rot.py --flips 1000`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BIT_ROT = Path(__file__).with_name("bit_rot.py")


def _rot(flips: int, seed: int, folder: Path) -> str:
    command = [sys.executable, str(BIT_ROT), "--flips", str(flips), "--seed", str(seed), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_flipped_bit_is_never_read_as_a_value(tmp_path):
    assert ", 0 silently wrong" in _rot(40, 1, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_flipped_bits_are_never_read_as_values(tmp_path):
    assert ", 0 silently wrong" in _rot(1000, 2, tmp_path)
