"""A kernel, and other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from kernel_tools import add_run

from modelmgmt.store.kernel import Kernel

HERE = Path(__file__).parent
PRELUDE = "import os, sys\nfrom pathlib import Path\nfrom kernel_tools import *\n"


class Child:
    """Another process that runs `script`, and talks in lines."""

    def __init__(self, script, *args, env=None):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]), **(env or {})},
        )

    def hear(self):
        """The next line that it says; empty when it is gone."""
        return self.process.stdout.readline().decode().strip()

    def go_on(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        return self.process.communicate()[0].decode().split("\n")

    def end(self):
        """What it says until it ends; it must end well."""
        out, errors = self.process.communicate()
        assert self.process.returncode == 0, errors.decode()
        assert not errors, errors.decode()
        return out.decode().strip()


@pytest.fixture
def child():
    children = []

    def start(script, *args, **more):
        children.append(Child(script, *args, **more))
        return children[-1]

    yield start
    for one in children:
        if one.process.poll() is None:
            one.process.kill()
        for pipe in (one.process.stdin, one.process.stdout, one.process.stderr):
            pipe.close()
        one.process.wait()


@pytest.fixture
def kernel(tmp_path):
    """A kernel with the run run-1."""
    kernel = Kernel(tmp_path / "kernel")
    add_run(kernel)
    yield kernel
    kernel.close()
