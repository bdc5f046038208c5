"""Let the disk run full at every write of a training in turn, and look at what is left. Needs root, on Linux.

    python tests/faults/full_disk.py --disks 200

A small tmpfs is filled until so many bytes are free, a child trains on it, and this is done for many sizes between
nothing and all that the training needs. With `on_error="warn"` the training goes on to its end, and what is missing
afterwards has been counted, point by point; with "raise" every call that failed raised StoreWriteError. The store is read
on the full disk, and again after there is room: every write that was acknowledged is there, and the deep check finds
nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workload import Op, Report, compare, forked, many_files, perform, points_of, read_all, stock

import modelmgmt as mm
from modelmgmt.errors import RunInUseError, StoreReadError, StoreWriteError

DISK_BYTES = 8 << 20
HANG_S = 600
PAGE = 4096
OF_THE_STORE = ("gc", "delete", "merge", "backup")
WHO = 0  # in the names of the runs

# Said after a minute, and here of oneself: nobody else is there.
_WAITED = re.compile(r"has held it for|has held the store.s lock")
LOST = re.compile(r"lost ([\d,]+) points? and ([\d,]+) other writes?")


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A tmpfs of `DISK_BYTES`. Raises PermissionError or OSError where none can be mounted."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise PermissionError("mounting a small disk needs root, on Linux")
    place = Path(tempfile.mkdtemp(prefix="small-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "small-disk", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        place.rmdir()


def sequence() -> list[Op]:
    """The writes of the training: two runs, every kind of write."""
    found: list[Op] = []
    step = 0
    for run in range(2):
        found.append(("next", run))
        for part in range(3):
            mark = 100 * run + 10 * part
            for _ in range(12):
                step += 1
                found.append(("log", {"loss": (step, step / 3)}))
                found.append(("log3", {f"k/{i}": (step, step / (i + 7)) for i in range(3)}))
            found += [("params", mark), ("tags", mark + 1), ("note", (mark + 2, 1)), ("text", (mark + 3, 10**300))]
            found += [("series", (step + 1, mark, 3000)), ("table", (mark + 4, 5)), ("pin", mark + 5), ("flush", 0)]
            step += 3000
            found.append(("series", (step + 1, mark, 20)))
            step += 20
        found.append(("finish", 0))
    return found


def train(path: Path, on_error: str, out: int, writes: list[Op], after: Callable[[], None] = lambda: None) -> None:
    """Do the writes; say of each, as a line of JSON, whether it returned with nothing left to do. `after` follows each."""
    signal.alarm(HANG_S)  # ends this process: a hang is a fault
    many_files()

    def tell(**what: Any) -> None:
        os.write(out, json.dumps(what).encode() + b"\n")

    warnings.simplefilter("always")
    warnings.showwarning = lambda message, *_, **__: tell(warning=str(message))
    try:
        store = mm.Store(path)
    except (StoreReadError, StoreWriteError) as error:
        tell(error=str(error))
        tell(end=True)
        return
    run: Any = None
    started: list[str] = []
    for number, op in enumerate(writes):
        after()
        if (run is None and op[0] not in ("next", *OF_THE_STORE)) or (op[0] == "delete" and op[1] not in started):
            continue
        try:
            guard = run._guard if run else None
            lost = (guard.lost_points, guard.lost_writes) if guard else None
            run = perform(store, run if op[0] != "next" else None, op, WHO, number, on_error=on_error)
        except (StoreReadError, StoreWriteError) as error:
            tell(number=number, kind=op[0], error=str(error))
            if op[0] == "next":
                run = None
            continue
        except RunInUseError:
            continue  # its end could not be written
        if op[0] == "next":
            started.append(run.name)
        is_kept = guard is None or ((guard.lost_points, guard.lost_writes) == lost and not guard.is_waiting)
        tell(number=number, kind=op[0], kept=is_kept)
    after()
    store.close()
    tell(end=True)


def child(task: Any) -> tuple[list[dict[str, Any]], int]:
    """Run `task` in a child; returns the whole lines it wrote, and its exit status as `os.waitpid` gives it."""
    pid, pipe = forked(task)
    lines = read_all(pipe).split(b"\n")[:-1]
    _, status = os.waitpid(pid, 0)
    return [json.loads(line) for line in lines], status


def look(path: Path) -> dict[str, Any] | None:
    """Take stock in a child; None when the store cannot be read."""
    return look_at([path])[0]


def look_at(paths: list[Path]) -> list[dict[str, Any] | None]:
    """Take stock of several stores, one after the other, in a child."""

    def task(out: int) -> None:
        signal.alarm(HANG_S)
        warnings.simplefilter("ignore")  # that a journal could not be folded yet is said on a full disk, and right
        for path in paths:
            data = json.dumps(stock(path)).encode() + b"\n"
            for at in range(0, len(data), PAGE):
                os.write(out, data[at : at + PAGE])

    found, status = child(task)
    if status and len(found) == len(paths):
        found[-1] = None  # type: ignore[call-overload]
    return [*found, *[None] * (len(paths) - len(found))]


def room(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def fill(disk: Path, free: int) -> None:
    """Leave `free` bytes on the disk, when there are more."""
    with contextlib.suppress(OSError), (disk / "ballast").open("ab", buffering=0) as file:
        while (left := room(disk) - free) > 0:
            try:
                file.write(bytes(min(left, 1 << 20)))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break


@dataclass
class Tally:
    """What became of the trainings."""

    disks: int = 0
    failed_calls: int = 0
    warned: int = 0
    lost_points: int = 0


def judge(
    found: dict[str, Any] | None, told: list[dict[str, Any]], when: str, report: Report, writes: list[Op], *, warn: bool,
    seeded: bool, killed: bool = False,
) -> None:  # fmt: skip
    """Hold the store against what the training was told."""
    if not killed and (not told or "end" not in told[-1]):
        report.faults.append(f"{when}: the training did not come to its end")
    said = [line.get("error", "") + line.get("warning", "") for line in told]
    report.faults += [f"{when}: it waited for itself: {text}" for text in said if _WAITED.search(text)]
    kept = {line["number"] for line in told if line.get("kept")}
    if found is None:
        if kept or seeded:
            report.faults.append(f"{when}: the store cannot be read")
        return
    report.faults += [f"{when}: {problem}" for problem in found["problems"]]
    if found["chain"]:
        report.faults.append(f"{when}: {found['chain']}")
    if seeded and found["runs"].get("seed", {}).get("points", {}).get("loss", [[]])[0] != [0, 1, 2]:
        report.faults.append(f"{when}: the run from before is damaged")
    before = len(report.faults)
    compare(found, WHO, writes, lambda number, _: number in kept, report)
    report.faults[before:] = [f"{when}: {fault}" for fault in report.faults[before:]]
    if warn and not killed:
        report.faults += [f"{when}: {fault}" for fault in miscounted(found, told, writes)]


def miscounted(found: dict[str, Any], told: list[dict[str, Any]], ops: list[Op]) -> Iterator[str]:
    """With "warn", every point that is not there has been counted, and no other."""
    starts = [number for number, op in enumerate(ops) if op[0] == "next"]
    for start, stop in zip(starts, [*starts[1:], len(ops)], strict=True):
        name = f"w{WHO}-{ops[start][1]}"
        place = [at for at, line in enumerate(told) if line.get("number") in range(start, stop)]
        if not place or "error" in told[place[0]]:
            continue  # the run did not begin
        here = found["runs"].get(name)
        if here is None:
            continue  # said by compare
        tried = sum(1 for op in ops[start:stop] for _ in points_of(op))
        there = sum(len(steps) for steps, _ in here["points"].values())
        said = [LOST.search(line.get("warning", "")) for line in told[place[0] : place[-1] + 1]]
        points = sum(int(match[1].replace(",", "")) for match in said if match)
        if tried - there != points:
            yield f"{name}: {tried - there} points are not there, {points} were said to be lost"
        if here["status"] == "finished" and here["lost_points"] != points:
            yield f"{name}: its record says {here['lost_points']} lost points, the warning {points}"


def seed(path: Path) -> None:
    """A store with a finished run in it."""
    with mm.Store(path) as store, store.start_run("torture", name="seed") as run:
        for step in range(3):
            run.log(loss=0.5, step=step)


def one(disk: Path, free: int, report: Report, tally: Tally, *, on_error: str, seeded: bool, keep_full: bool) -> int:
    """One training on one disk; returns how many bytes it took."""
    path = disk / "store"
    if seeded:
        child(lambda _: seed(path))
    fill(disk, free)
    before = room(disk)
    told, status = child(lambda out: train(path, on_error, out, sequence()))
    took = before - room(disk)
    when = f"{free} bytes free, {on_error}, {'in a store that was there' if seeded else 'in a new store'}"
    if status:
        report.faults.append(f"{when}: the training ended with status {status:#x}")
    tally.disks += 1
    tally.failed_calls += sum("error" in line for line in told)
    tally.warned += any("warning" in line for line in told)
    tally.lost_points += sum(
        int(match[1].replace(",", "")) for line in told if (match := LOST.search(line.get("warning", "")))
    )
    report.acknowledged += sum(bool(line.get("kept")) for line in told)
    if keep_full:
        fill(disk, 0)
    judge(look(path), told, f"{when}, on the full disk", report, sequence(), warn=on_error == "warn", seeded=seeded)
    (disk / "ballast").unlink(missing_ok=True)
    judge(look(path), told, f"{when}, with room again", report, sequence(), warn=on_error == "warn", seeded=seeded)
    shutil.rmtree(path, ignore_errors=True)
    return took


def torture(disks: int) -> tuple[Report, Tally]:
    """Train on `disks` disks, from one that is full to one that has room for everything."""
    report, tally = Report(), Tally()
    with small_disk() as disk:
        need = one(disk, DISK_BYTES, report, Tally(), on_error="raise", seeded=True, keep_full=False)
        need += need // 4  # the write-ahead log was there too, until the store was closed
        for n in range(disks):
            free = need * n // max(1, disks - 1) // PAGE * PAGE
            on_error = "raise" if n % 4 == 3 else "warn"
            one(disk, free, report, tally, on_error=on_error, seeded=n % 5 != 4, keep_full=True)
    return report, tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--disks", type=int, default=200)
    chosen = parser.parse_args()
    try:
        report, tally = torture(chosen.disks)
    except OSError as error:
        print(f"not tested: {error}")
        return 3
    for fault in report.faults[:50]:
        print(fault)
    print(
        f"{tally.disks} full disks, {tally.failed_calls} calls that failed, {tally.warned} trainings with a warning, "
        f"{tally.lost_points} points lost and counted, {report.acknowledged} acknowledged writes looked for: "
        f"{len(report.faults)} faults"
    )
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
