"""The short form of the bit rot; the long one is `python tests/faults/bit_rot.py --flips 1000`."""

from __future__ import annotations

from pathlib import Path

import pytest
from by_command import printed


def _rot(flips: int, seed: int, folder: Path) -> str:
    return printed("bit_rot.py", "--flips", str(flips), "--seed", str(seed), "--folder", str(folder))


def test_a_flipped_bit_is_never_read_as_a_value(tmp_path):
    assert ", 0 silently wrong" in _rot(40, 1, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_flipped_bits_are_never_read_as_values(tmp_path):
    assert ", 0 silently wrong" in _rot(1000, 2, tmp_path)
