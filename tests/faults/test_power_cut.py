"""The short form of the power cuts; the long one is `python tests/faults/power_cut.py --cuts 100`."""

from __future__ import annotations

import pytest
from by_command import printed
from power_cut import Ack, Cut


def _cut(cuts: int, seed: int) -> str:
    return printed("power_cut.py", "--cuts", str(cuts), "--seed", str(seed))


def test_only_what_had_returned_before_the_cut_was_asked_for_counts():
    acks = [Ack(0, 1.0, 1.5), Ack(1, 1.5, 1.9), Ack(2, 1.9, 2.0), Ack(3, 2.05, 2.3), Ack(4, 2.3, 2.4)]
    cut = Cut(acks, asked=2.0, done=2.1)
    assert (cut.before, cut.last, cut.after()) == (1, 4, [acks[4]])
    assert (Cut([], 2.0, 2.1).before, Cut([], 2.0, 2.1).last) == (-1, -1)


def test_what_was_durable_survives_a_power_cut():
    report = _cut(6, 1)
    assert report.startswith("6 power cuts")
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_was_durable_survives_a_hundred_power_cuts():
    assert ": 0 faults" in _cut(100, 2)
