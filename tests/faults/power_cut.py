"""Cut the power of a file system under a training, and look for all that was acknowledged as durable. Root, on Linux.

    python tests/faults/power_cut.py --cuts 100 --seed 1

A store lives on an ext4 in a file. A worker writes to it, and reports each write that returned. At a random moment, or
within a second of a write that promises to survive a power cut, the file system is cut by the ioctl EXT4_IOC_SHUTDOWN:
from then on nothing reaches the block device any more, neither data nor journal. It is mounted again, which replays its
journal, and the store is read: what was acknowledged by `flush`, `finish`, an artifact, a pin, a deletion, a merge or a
backup must be there, and every value must be right.

What this cut keeps is every block that had reached the device: a drive that loses what it said to have written is
another fault. Before the first cut two controls show that the test can fail: of files that were written, the synced one is
whole after a cut and the other is not; and a store that leaves out its syncs is found to have broken its word.

Which acknowledgement counts: the worker notes the time after a write has returned, and the parent notes it before it asks
for the cut, both by CLOCK_MONOTONIC, which is one clock for all processes and never goes back. An acknowledgement of an
earlier time belongs to a write that had returned before the cut was asked for; all that it had synced was on the device by
then, so it must be there. The machine of a real cut is gone at once. This one goes on, and a sync that the cut meets on its
way may return as if it had been done: a write that began before the cut had ended, and returned after it was asked for, is
counted and promises nothing. One that began later met a dead disk: it must not be acknowledged as durable.
"""

from __future__ import annotations

import argparse
import contextlib
import io
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
from typing import Any, NamedTuple

from workload import (
    Op,
    Report,
    backup_of,
    compare,
    forked,
    make_other,
    many_files,
    ops,
    other_store,
    perform,
    read_all,
    take_stock,
)  # fmt: skip

import modelmgmt as mm

IMAGE_BYTES = 96 << 20
ROUNDS_PER_STORE = 4
WRITES = 250
WITHIN_S = 0.2  # of the acknowledgement; the file system would commit by itself after five seconds
AFTER_S = 0.01  # for writes to the dead disk
HANG_S = 30
CONTROLS = 10

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
_ACK = struct.Struct("<Idd")


@dataclass
class Disk:
    """An ext4 in a file, mounted at `place`."""

    image: Path
    place: Path

    def mount(self) -> None:
        _command("mount", "-o", "loop", str(self.image), str(self.place))

    def unmount(self) -> None:
        _command("umount", str(self.place))

    def cut(self) -> tuple[float, float]:
        """When the cut was asked for, and when it was done: from then on nothing reaches the device."""
        import fcntl

        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            asked = time.monotonic()
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
            return asked, time.monotonic()
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
        raise OSError("a synced file did not survive the cut: this file system cannot be used for the test")
    if written.exists() and written.read_bytes() == b"x" * 5000:
        raise OSError("a file that was never synced survived the cut: it is none")
    for path in (synced, written, disk.place / "part"):
        path.unlink(missing_ok=True)


class Ack(NamedTuple):
    """A write that returned, and when it was begun and had returned: seconds of CLOCK_MONOTONIC."""

    number: int
    begun: float
    returned: float


@dataclass(frozen=True)
class Cut:
    """A cut, and what was acknowledged before, during and after it, in order."""

    acks: list[Ack]
    asked: float
    done: float

    @property
    def before(self) -> int:
        """The last write that had returned before the cut was asked for, or -1."""
        return max((ack.number for ack in self.acks if ack.returned < self.asked), default=-1)

    @property
    def last(self) -> int:
        """The last write that returned at all, or -1."""
        return self.acks[-1].number if self.acks else -1

    def after(self) -> list[Ack]:
        """What was begun when nothing reached the device any more, and returned."""
        return [ack for ack in self.acks if ack.begun > self.done]


@dataclass
class Tally:
    """What became of the cuts."""

    cuts: int = 0
    met: int = 0
    """Durable writes that returned while the cut was on its way: they promise nothing."""
    met_and_lost: int = 0
    """Cuts of which one of these did not survive."""
    durable: int = 0
    """Acknowledged writes that were promised to survive, each with all that it carries."""
    vanished: int = 0
    """Cuts after which something that was acknowledged and not promised was lost: they are ones."""
    report: Report = field(default_factory=Report)

    def __str__(self) -> str:
        return (
            f"{self.cuts} power cuts, {self.report.acknowledged} acknowledged writes, {self.durable} of them durable "
            f"by themselves or by a later one, with {self.report.points} points and {self.report.backups} backups; "
            f"{self.vanished} cuts took something that nobody had promised; {self.met} durable writes returned while a cut "
            f"was on its way, {self.met_and_lost} cuts took one of them: {len(self.report.faults)} faults"
        )


def train(path: Path, seed: int, out: int) -> None:
    """Do the writes and report each; the cut ends it with an error, or the parent ends it."""
    signal.alarm(HANG_S)
    warnings.simplefilter("ignore")  # that a journal of before the cut was damaged
    many_files()
    store = mm.Store(path)
    run: Any = None
    for number, op in enumerate(ops(seed, KINDS)):
        begun = time.monotonic()
        run = perform(store, run, op, seed, number, on_error="raise")
        os.write(out, _ACK.pack(number, begun, time.monotonic()))


def cut_under(disk: Disk, path: Path, seed: int, rng: random.Random, *, with_sync: bool = True) -> Cut:
    """Cut the power under a training."""
    pid, pipe = forked(_quiet(path, seed, with_sync=with_sync))
    data = b""
    enough = rng.randrange(WRITES)
    kinds = [kind for kind, _ in itertools.islice(ops(seed, KINDS), 4000)]
    wanted = rng.random() < 0.7  # within a moment of a durable write, else at any moment
    while block := os.read(pipe, _ACK.size):
        data += block
        number = len(data) // _ACK.size - 1
        if number >= enough and (not wanted or kinds[number] in DURABLE):
            break
    time.sleep(rng.random() ** 2 * WITHIN_S)
    asked, done = disk.cut()
    time.sleep(AFTER_S)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    data += read_all(pipe)
    return Cut([Ack(*_ACK.unpack_from(data, at)) for at in range(0, len(data), _ACK.size)], asked, done)


def _quiet(path: Path, seed: int, *, with_sync: bool) -> Any:
    def task(out: int) -> None:
        if not with_sync:
            os.fsync = lambda _: None  # SQLite's are its own, and are done
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


def judge(path: Path, worker: int, cut: Cut, tally: Tally, when: str) -> None:
    """Hold the store and the newest backup against what was promised."""
    report = tally.report
    before = len(report.faults)
    done = list(itertools.islice(ops(worker, KINDS), cut.last + 2))
    sure = promised(done, cut.before)
    tally.durable += len(sure)
    report.acknowledged += cut.before + 1
    found = look(path, worker, done, sure, tally)
    met = [ack for ack in cut.acks if ack.returned >= cut.asked and done[ack.number][0] in DURABLE]
    for ack in [ack for ack in met if ack in cut.after()]:
        late_s = ack.begun - cut.done
        report.faults.append(f"{done[ack.number]} was begun {late_s:.6f} s after the cut was done, and returned")
    tally.met += len(met)
    if met and found is not None:
        hoped, scratch = promised(done, cut.last), Report()
        compare(found, worker, done, lambda number, _: number in hoped, scratch)
        tally.met_and_lost += bool(scratch.faults)
    backups = [n for n, (kind, _) in enumerate(done[: cut.before + 1]) if kind == "backup"]
    if backups:
        copy = backup_of(path, worker, done[backups[-1]][1])
        report.backups += 1
        look(copy, worker, done[: backups[-1]], set(range(backups[-1])), tally)
    report.faults[before:] = [f"{when}: {fault}" for fault in report.faults[before:]]


def look(path: Path, worker: int, done: list[Op], sure: set[int], tally: Tally) -> dict[str, Any] | None:
    """What is in the store; None when it cannot be read."""
    report = tally.report
    try:
        found = take_stock(path)
    except RuntimeError as error:
        if sure:
            report.faults.append(f"{path}: {error}")
        return None
    report.faults += found["problems"]
    if found["chain"]:
        report.faults.append(found["chain"])
    compare(found, worker, done, lambda number, _: number in sure, report)
    if len(sure) < len(done) - 1:
        hopes = Report()
        compare(found, worker, done, lambda number, _: number < len(done) - 1, hopes)
        tally.vanished += bool(hopes.faults)
    return found


def torture(cuts: int, seed: int, disk: Disk) -> Tally:
    """Cut `cuts` times."""
    rng, tally = random.Random(seed), Tally()
    while tally.cuts < cuts:
        path = disk.place / "store"
        make_other(other_store(path))
        for _ in range(min(ROUNDS_PER_STORE, cuts - tally.cuts)):
            one(disk, path, rng, tally)
        disk.forget()
    return tally


def one(disk: Disk, path: Path, rng: random.Random, tally: Tally, *, with_sync: bool = True) -> None:
    """One cut, and what is left."""
    worker = rng.randrange(1 << 30)
    cut = cut_under(disk, path, worker, rng, with_sync=with_sync)
    tally.cuts += 1
    disk.again()
    if not other_store(path).exists():
        make_other(other_store(path))
    judge(path, worker, cut, tally, f"cut {tally.cuts}, seed {worker}, {cut.before} acknowledged")


def control(disk: Disk) -> None:
    """A store whose syncs are left out must be found wanting, or this test proves nothing. Raises OSError."""
    rng, tally = random.Random(1), Tally()
    path = disk.place / "store"
    while not tally.report.faults:
        if tally.cuts == CONTROLS:
            raise OSError(f"a store that does not sync has survived {CONTROLS} cuts: they are none")
        make_other(other_store(path))
        with contextlib.redirect_stderr(io.StringIO()):
            one(disk, path, rng, tally, with_sync=False)
        disk.forget()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    try:
        with ext4() as disk:
            control(disk)
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
