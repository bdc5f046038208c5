"""Cut the power of a file system under a training, and look for all that was acknowledged as durable. Root, on Linux.

    python tests/faults/power_cut.py --cuts 100 --seed 1

A store lives on an ext4 in a file. A worker writes to it, and reports each write that returned. At a random moment, or
within a second of a write that promises to survive a power cut, the file system is cut by the ioctl EXT4_IOC_SHUTDOWN:
from then on nothing reaches the block device any more, neither data nor journal. It is mounted again, which replays its
journal, and the store is read: what was acknowledged by `flush`, `finish`, an artifact, a pin, a deletion, a merge or a
backup must be there, and every value must be right.

What this cut keeps is every block that had reached the device: a drive that loses what it said to have written is
another fault. Before the first cut a control shows that the cut is one: of files that were written, the synced one is
whole and the other is not.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workload import (
    Op,
    Report,
    backup_of,
    compare,
    forked,
    make_other,
    many_segments,
    ops,
    other_store,
    perform,
    take_stock,
)  # fmt: skip

import modelmgmt as mm

IMAGE_BYTES = 96 << 20
ROUNDS_PER_STORE = 4
WRITES = 250
WITHIN_S = 0.2  # of the acknowledgement; the file system would commit by itself after five seconds
HANG_S = 30

KINDS = {
    "log": 60, "log3": 20, "series": 4, "params": 4, "tags": 4, "note": 4, "text": 4, "table": 2, "folder": 2, "file": 1,
    "pin": 4, "flush": 6, "next": 5, "gc": 1, "delete": 2, "merge": 1, "backup": 1,
}  # fmt: skip
CARRIES = ("flush", "finish", "next", "text", "table", "folder", "file", "pin", "delete")
"""What survives a power cut when it returns, with every row before it; "next" finishes the run before."""
DURABLE = (*CARRIES, "merge", "backup")
"""What survives a power cut when it returns."""

_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125  # _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2


@dataclass
class Disk:
    """An ext4 in a file, mounted at `place`."""

    image: Path
    place: Path

    def mount(self) -> None:
        _command("mount", "-o", "loop", str(self.image), str(self.place))

    def unmount(self) -> None:
        _command("umount", str(self.place))

    def cut(self) -> None:
        """From here on nothing reaches the device."""
        import fcntl

        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def again(self) -> None:
        """The machine starts anew."""
        self.unmount()
        self.mount()

    def forget(self) -> None:
        """Remove everything that is on it."""
        for path in self.place.iterdir():
            if path.name != "lost+found":
                shutil.rmtree(path)


def _command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def ext4() -> Iterator[Disk]:
    """An ext4 that can be cut. Raises PermissionError or OSError, with the reason, where there can be none."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise PermissionError("mounting an ext4 from a file needs root, on Linux")
    if shutil.which("mkfs.ext4") is None:
        raise OSError("there is no mkfs.ext4")
    folder = Path(tempfile.mkdtemp(prefix="power-cut-"))
    disk = Disk(folder / "image", folder / "disk")
    try:
        disk.place.mkdir()
        with disk.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _command("mkfs.ext4", "-q", "-F", str(disk.image))
        disk.mount()
        try:
            _control(disk)
            yield disk
        finally:
            disk.unmount()
    finally:
        shutil.rmtree(folder)


def _control(disk: Disk) -> None:
    """The cut must be one: what was not synced is lost, what was synced is not. Raises OSError."""
    for name in ("synced", "written"):
        part = disk.place / "part"
        with part.open("wb") as file:
            file.write(b"x" * 5000)
            if name == "synced":
                os.fsync(file)
        part.rename(disk.place / name)
        if name == "synced":
            descriptor = os.open(disk.place, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
    disk.cut()
    disk.again()
    synced, written = disk.place / "synced", disk.place / "written"
    if synced.read_bytes() != b"x" * 5000:
        raise OSError("a synced file did not survive the cut: this file system can not be used for the test")
    if written.exists() and written.read_bytes() == b"x" * 5000:
        raise OSError("a file that was never synced survived the cut: it is none")
    for path in (synced, written, disk.place / "part"):
        path.unlink(missing_ok=True)


@dataclass
class Tally:
    """What became of the cuts."""

    cuts: int = 0
    durable: int = 0
    """Acknowledged writes that were promised to survive, each with all that it carries."""
    vanished: int = 0
    """Cuts after which something that was acknowledged and not promised was lost: they are ones."""
    report: Report = field(default_factory=Report)

    def __str__(self) -> str:
        return (
            f"{self.cuts} power cuts, {self.report.acknowledged} acknowledged writes, {self.durable} of them durable "
            f"by themselves or by a later one, with {self.report.points} points and {self.report.backups} backups; "
            f"{self.vanished} cuts took something that nobody had promised: {len(self.report.faults)} faults"
        )


def train(path: Path, seed: int, out: int) -> None:
    """Do the writes and report each; the cut ends it with an error, or the parent ends it."""
    signal.alarm(HANG_S)
    warnings.simplefilter("ignore")  # that a journal of before the cut was damaged
    many_segments()
    store = mm.Store(path)
    run: Any = None
    for number, op in enumerate(ops(seed, KINDS)):
        run = perform(store, run, op, seed, number, on_error="raise")
        os.write(out, struct.pack("<I", number))


def cut_under(disk: Disk, path: Path, seed: int, rng: random.Random) -> tuple[int, int]:
    """Cut the power under a training; returns the numbers of the last write that was acknowledged before, and at all.

    The machine of a real cut is gone at once. This one goes on: a sync that the cut met on its way may return as if it
    had been done, so that what is acknowledged after the cut has been begun promises nothing.
    """
    pid, pipe = forked(_quiet(path, seed))
    acks = b""
    enough = rng.randrange(WRITES)
    kinds = [kind for kind, _ in itertools.islice(ops(seed, KINDS), 4000)]
    wanted = rng.random() < 0.7  # within a moment of a durable write, else at any moment
    while block := os.read(pipe, 4):
        acks += block
        number = len(acks) // 4 - 1
        if number >= enough and (not wanted or kinds[number] in DURABLE):
            break
    time.sleep(rng.random() ** 2 * WITHIN_S)
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while block := os.read(pipe, 1 << 16):
            acks += block
    before = len(acks) // 4 - 1
    disk.cut()
    os.set_blocking(pipe, True)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while block := os.read(pipe, 1 << 16):
        acks += block
    os.close(pipe)
    return before, len(acks) // 4 - 1


def _quiet(path: Path, seed: int) -> Any:
    def task(out: int) -> None:
        with contextlib.suppress(OSError):  # the error of the cut, which need not be told
            train(path, seed, out)

    return task


def promised(sequence: list[Op], acknowledged: int) -> set[int]:
    """The numbers of the writes that must have survived.

    A durable write promises itself, and most are transactions that carry every row before them. Points are promised by
    `flush` and by the end of their run.
    """
    acks = [kind for kind, _ in sequence[: acknowledged + 1]]
    rows = max((number for number, kind in enumerate(acks) if kind in CARRIES), default=-1)
    points = max((number for number, kind in enumerate(acks) if kind in ("flush", "finish", "next")), default=-1)
    sure = {number for number, kind in enumerate(acks) if kind in DURABLE}
    sure -= {number for number, kind in enumerate(acks) if kind == "next"}  # the start of a run is a row like any other
    for number, (kind, content) in enumerate(sequence[: acknowledged + 1]):
        is_point = kind in ("log", "log3") or (kind == "series" and content[2] < 1024)
        if number < (points if is_point else rows):
            sure.add(number)
    return sure


def judge(path: Path, worker: int, acknowledged: int, last: int, tally: Tally, when: str) -> None:
    """Hold the store and the newest backup against what was promised."""
    before = len(tally.report.faults)
    done = list(itertools.islice(ops(worker, KINDS), last + 2))
    sure = promised(done, acknowledged)
    tally.durable += len(sure)
    tally.report.acknowledged += acknowledged + 1
    look(path, worker, done, sure, tally)
    backups = [n for n, (kind, _) in enumerate(done[: acknowledged + 1]) if kind == "backup"]
    if backups:
        copy = backup_of(path, worker, done[backups[-1]][1])
        tally.report.backups += 1
        look(copy, worker, done[: backups[-1]], set(range(backups[-1])), tally)
    tally.report.faults[before:] = [f"{when}: {fault}" for fault in tally.report.faults[before:]]


def look(path: Path, worker: int, done: list[Op], sure: set[int], tally: Tally) -> None:
    report = tally.report
    try:
        found = take_stock(path)
    except RuntimeError as error:
        if sure:
            report.faults.append(f"{path}: {error}")
        return
    report.faults += found["problems"]
    if found["chain"]:
        report.faults.append(found["chain"])
    compare(found, worker, done, lambda number, _: number in sure, report)
    if len(sure) < len(done) - 1:
        hopes = Report()
        compare(found, worker, done, lambda number, _: number < len(done) - 1, hopes)
        tally.vanished += bool(hopes.faults)


def torture(cuts: int, seed: int, disk: Disk) -> Tally:
    """Cut `cuts` times."""
    rng, tally = random.Random(seed), Tally()
    while tally.cuts < cuts:
        path = disk.place / "store"
        make_other(other_store(path))
        for _ in range(min(ROUNDS_PER_STORE, cuts - tally.cuts)):
            worker = rng.randrange(1 << 30)
            acknowledged, last = cut_under(disk, path, worker, rng)
            tally.cuts += 1
            disk.again()
            if not other_store(path).exists():
                make_other(other_store(path))
            when = f"cut {tally.cuts}, seed {worker}, {acknowledged} acknowledged"
            judge(path, worker, acknowledged, last, tally, when)
        disk.forget()
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    try:
        with ext4() as disk:
            tally = torture(chosen.cuts, chosen.seed, disk)
    except OSError as error:
        print(f"not tested: {error}")
        return 3
    for fault in tally.report.faults[:50]:
        print(fault)
    print(tally)
    return 1 if tally.report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
