"""The short forms of the system call faults; the long ones are `syscalls.py --every 1` and `reads.py --every 1`."""

from __future__ import annotations

import pytest
from by_command import printed


@pytest.mark.parametrize("options", [["--every", "401"], ["--every", "151", "--python"]], ids=["library", "python"])
def test_a_call_that_fails_costs_nothing_that_was_acknowledged(options):
    report = printed("syscalls.py", *options)
    assert " faults injected" in report
    assert ": 0 faults" in report


def test_a_read_that_fails_is_an_error_and_changes_nothing():
    some = "putting files, warned|deep check|repair of a sound store|opening after a crash|model of arrays"
    report = printed("reads.py", "--every", "97", "--only", some)
    assert " faults injected" in report
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("script", ["syscalls.py", "reads.py"])
def test_every_call_may_fail(script):
    assert ": 0 faults" in printed(script, "--every", "1")
