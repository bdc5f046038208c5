"""Running the scripts of this folder as a person would, by their commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOT_TESTED = 3


def printed(script: str, *options: str) -> str:
    """What the script prints. Skips the test where the script says that it cannot be done here; fails on a fault."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == NOT_TESTED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
