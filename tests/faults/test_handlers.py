"""A short form of `handlers.py`: SIGTERM with a handler, in the middle of each kind of write."""

from __future__ import annotations

import os

import pytest
from by_command import printed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.mark.parametrize("count", ["2", pytest.param("200", marks=pytest.mark.long)])
def test_nothing_that_a_handler_said_is_lost(count):
    assert printed("handlers.py", "--signals", count).splitlines()[-1].endswith(" kinds of write: 0 faults")
