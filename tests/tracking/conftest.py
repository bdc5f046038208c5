"""Scripts of their own: what a process leaves behind when it ends, well or badly."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(tmp_path) -> Script:
    """Run Python code in a process of its own, where `mm` is there and the store is the test's."""

    def run(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "script.py"
        path.write_text("import os, sys, time\nimport modelmgmt as mm\n" + textwrap.dedent(code))
        environment = {**os.environ, "MODELMGMT_STORE": str(tmp_path / "store"), **variables}
        return subprocess.run(
            [sys.executable, "-W", "error", str(path), *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    return run
