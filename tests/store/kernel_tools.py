"""Short words for the tests of the kernel, and for the processes that they start."""

from __future__ import annotations

import os
import signal
import sys

from modelmgmt.store.journal import pack_point
from modelmgmt.store.kernel import Kernel
from modelmgmt.store.rows import row_crc


def add_run(kernel, run="run-1"):
    """A row in `runs`: points of runs that are not there are not folded."""
    values = (run, "exp", run, 1, "running", "2026-01-01T00:00:00.000000Z", *[None] * 5, "h", "b", 1, "s", "cmd", 0)
    with kernel.database.writing() as connection:
        row = (*values, row_crc("runs", values))
        connection.execute(f"INSERT OR IGNORE INTO runs VALUES ({', '.join('?' * len(row))})", row)


def log(kernel, key, step, value=None, run="run-1"):
    """One point; by default its value and its time are its step."""
    stream = kernel.journal.define(run, key)
    kernel.journal.append([pack_point(step, float(step if value is None else value), step, stream)])


def read(kernel, key="loss", run="run-1"):
    with kernel.series.snapshot() as snapshot:
        return snapshot.read(run, key)


def steps(kernel, key="loss", run="run-1"):
    return read(kernel, key, run).steps.tolist()


def say(*words):
    """One line to the parent, at once."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def wait():
    """Until the parent says go on. It is gone when there is nothing to read."""
    if not sys.stdin.readline():
        os._exit(9)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def open_kernel_at(path):
    from pathlib import Path

    return Kernel(Path(path))
