"""Kill processes that write to a store, at random instructions, and look for what they had been told is kept.

    python tests/faults/torture.py --kills 1000 --seed 1

A worker does random writes of every kind (`workload.py`: points, folds, rows, objects, folders, collections, deletions,
merges, backups) and reports each one that returned through a pipe. It is killed with SIGKILL after a random time. Then
whoever opens the store next recovers it, and is often killed at that, too. At last a reader takes stock: every
acknowledged write must be there, exactly once and with its value, at most the one write under way may be there
unacknowledged, what was deleted is gone, the deep check must find nothing, and each backup holds all from before it.
`kill_openers.py` kills those who upgrade, recover and repair.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

from workload import (
    Report,
    backup_of,
    compare,
    forked,
    from_command_line,
    make_other,
    ops,
    other_store,
    read_all,
    take_stock,
    work,
)

import modelmgmt as mm

ROUNDS_PER_STORE = 8
WRITES = 600
WITHIN_S = 0.02
RECOVERY_S = 0.03


def kill_after(pid: int, delay_s: float) -> bool:
    """True when the process was still there to be killed."""
    time.sleep(delay_s)
    was_running = os.waitpid(pid, os.WNOHANG) == (0, 0)
    if was_running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return was_running


def kill_writer(path: Path, seed: int, rng: random.Random, kinds: dict[str, int] | None = None) -> int:
    """Kill it at some time after it has done some writes; returns the number of the last that was acknowledged, or -1."""
    pid, pipe = forked(lambda out: work(path, seed, lambda number: _tell(out, number), kinds))
    enough, acks = 4 * int(WRITES * rng.random() ** 2), b""
    while len(acks) < enough and (block := os.read(pipe, 4)):
        acks += block
    if not kill_after(pid, rng.random() * WITHIN_S):
        raise RuntimeError("the worker ended by itself")
    acks += read_all(pipe)
    whole = len(acks) // 4 * 4
    return int(struct.unpack("<I", acks[whole - 4 : whole])[0]) if whole else -1


def _tell(out: int, number: int) -> None:
    os.write(out, struct.pack("<I", number))


def torture(kills: int, seed: int, place: Path) -> Report:
    """Kill `kills` writers; returns what was found."""
    rng = random.Random(seed)
    report = Report()
    while report.kills < kills:
        path = Path(tempfile.mkdtemp(dir=place)) / "store"
        make_other(other_store(path))
        workers: dict[int, int] = {}
        for _ in range(min(ROUNDS_PER_STORE, kills - report.kills)):
            worker = rng.randrange(1 << 30)
            workers[worker] = kill_writer(path, worker, rng)
            report.kills += 1
            if rng.random() < 0.5:
                pid, pipe = forked(lambda _, path=path: mm.Store(path).close())
                report.recovery_kills += kill_after(pid, rng.random() * RECOVERY_S)
                os.close(pipe)
        judge(path, workers, report)
        if not report.faults:
            shutil.rmtree(path.parent)
    return report


def judge(path: Path, workers: dict[int, int], report: Report) -> None:
    """Hold the store, and the last backup of each worker, against what was acknowledged: worker -> its last write."""
    report.acknowledged += sum(acknowledged + 1 for acknowledged in workers.values())
    look(path, workers, report)
    for worker, acknowledged in workers.items():
        done = list(itertools.islice(ops(worker), acknowledged + 1))
        backups = [(number, content) for number, (kind, content) in enumerate(done) if kind == "backup"]
        if backups:
            number, content = backups[-1]
            report.backups += 1
            look(backup_of(path, worker, content), {worker: number}, report, under_way=0)


def look(path: Path, workers: dict[int, int], report: Report, *, under_way: int = 1) -> None:
    """One write more than acknowledged may be there: it was under way."""
    try:
        found = take_stock(path)
    except RuntimeError as error:
        report.faults.append(f"{path}: {error}")
        return
    before = len(report.faults)
    report.faults += found["problems"]
    if found["chain"]:
        report.faults.append(found["chain"])
    for worker, acknowledged in workers.items():
        done = itertools.islice(ops(worker), acknowledged + 1 + under_way)
        compare(found, worker, done, lambda number, _, last=acknowledged: number <= last, report)
    report.faults[before:] = [f"{path}: {fault}" for fault in report.faults[before:]]


if __name__ == "__main__":
    sys.exit(from_command_line(torture, __doc__, 1000))
