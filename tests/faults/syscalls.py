"""Let every call of a training that writes to its store fail, one after the other, and look at what is left.

    python tests/faults/syscalls.py --every 1

A library that is loaded before all others (`shim.c`, compiled here with `cc`) catches the calls of Python and of SQLite:
open, write, pwrite, fsync, fdatasync, rename, link, unlink, mkdir, fallocate, ftruncate, mmap, msync. Call by call it
returns ENOSPC or EIO, once or from then on, or ends the process there. With `--python` the functions of the module `os`
are replaced instead, which needs no compiler and sees less.

After each fault the store is opened: every write that was acknowledged is there with its value, every point that is not
there has been counted, the deep check finds nothing, and each error that was raised was a StoreWriteError that names the
store. The same is done to an upgrade, a recovery and a repair (`kill_openers.py`): afterwards they are done again, and the
store is what it is without a fault.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import kill_openers
from full_disk import WHO, child, judge, look, seed, train
from workload import Op, Report, backup_of, compare, forked, make_other, other_store, read_all

from modelmgmt.errors import StoreWriteError

KILL = 0
SHIM = "MODELMGMT_TEST_SHIM"  # where it is, for the process that has it loaded
MODES = ((errno.ENOSPC, False), (errno.EIO, False), (errno.ENOSPC, True), (errno.EIO, True), (KILL, False))


class Faults(Protocol):
    """Counts the calls of this process that write below a folder, and lets one fail, or all from one on."""

    def arm(self, root: Path, at: int, error: int, *, lasting: bool, log: int = -1) -> None:
        """From now on; the first call is 1, `at=0` lets none fail. The names of the calls go to the descriptor `log`."""


class Shim:
    """Every call of every library in the process."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)

    def arm(self, root: Path, at: int, error: int, *, lasting: bool, log: int = -1) -> None:
        self._library.arm(os.fsencode(root), ctypes.c_long(at), error, int(lasting), log)


class PythonCalls:
    """The calls that Python code makes by the module `os`, and its maps; not SQLite's."""

    NAMES = ("open", "write", "pwrite", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "utime",
             "posix_fallocate")  # fmt: skip

    def arm(self, root: Path, at: int, error: int, *, lasting: bool, log: int = -1) -> None:
        count = 0

        def fails(name: str) -> None:
            nonlocal count
            count += 1
            if log >= 0:
                real["write"](log, f"{name}\n".encode())
            if not at or count < at or (count > at and not lasting):
                return
            if error == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(error, os.strerror(error))

        def is_below(what: Any) -> bool:
            if isinstance(what, int):
                try:
                    what = os.readlink(f"/proc/self/fd/{what}")
                except OSError:
                    return False
            return str(what).startswith(str(root))

        def patched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(what: Any, *rest: Any, **more: Any) -> Any:
                is_reading = name == "open" and not rest[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
                if is_below(what) and not is_reading:
                    fails(name)
                return function(what, *rest, **more)

            return call

        real = {name: getattr(os, name) for name in self.NAMES if hasattr(os, name)}
        for name, function in real.items():
            setattr(os, name, patched(name, function))
        mmap.mmap = patched("mmap", mmap.mmap)  # type: ignore[misc, assignment]


def writes() -> list[Op]:
    """A training with every kind of write, short: it is done for every call that it makes."""
    found: list[Op] = [("next", 0)]
    found += [("log", {"loss": (step, step / 3)}) for step in range(1, 40)]
    found += [("log3", {f"k/{i}": (step, step / (i + 7)) for i in range(3)}) for step in range(40, 60)]
    found += [("params", 1), ("tags", 2), ("note", (3, 1)), ("text", (4, 5)), ("table", (6, 7)), ("folder", (8, 9))]
    found += [
        ("series", (60, 1, 2000)),
        ("flush", 0),
        ("log", {"loss": (3000, 0.5)}),
        ("pin", 10),
        ("finish", 0),
        ("next", 11),
    ]
    found += [
        ("log", {"loss": (1, 1.5)}),
        ("text", (12, 13)),
        ("finish", 0),
        ("next", 14),
        ("log", {"loss": (1, 2.5)}),
        ("gc", 0),
    ]
    found += [("delete", f"w{WHO}-11"), ("merge", 0), ("file", (15, 16)), ("backup", 17), ("log", {"loss": (2, 3.5)})]
    return [*found, ("finish", 0)]


@dataclass
class Tally:
    faults: Counter[str] = field(default_factory=Counter)
    """By the name of the call."""
    errors: int = 0
    warned: int = 0
    report: Report = field(default_factory=Report)

    def __str__(self) -> str:
        names = ", ".join(f"{name} {count}" for name, count in self.faults.most_common())
        return (
            f"{self.faults.total()} faults injected ({names}), {self.errors} clear errors, {self.warned} trainings with a "
            f"warning, {self.report.acknowledged} acknowledged writes looked for: {len(self.report.faults)} faults"
        )


def calls_of(faults: Faults, root: Path, task: Callable[[], None]) -> list[str]:
    """The names of the calls that `task` makes."""

    def count(out: int) -> None:
        faults.arm(root, 0, 0, lasting=False, log=out)
        task()
        os._exit(0)

    pid, pipe = forked(count)
    names = read_all(pipe).decode().split()
    os.waitpid(pid, 0)
    return names


def training(faults: Faults, every: int, place: Path, tally: Tally, *, seeded: bool) -> None:
    """Fail every call of a training, in a new store or in one that is there."""
    place.mkdir()
    path = place / "store"
    make_other(other_store(path))
    ops = writes()

    def prepare() -> None:
        shutil.rmtree(path, ignore_errors=True)
        for copy in place.glob("backup-*"):
            shutil.rmtree(copy)
        if seeded:
            child(lambda _: seed(path))

    prepare()
    names = calls_of(faults, place, lambda: train(path, "warn", os.open(os.devnull, os.O_WRONLY), ops))
    for at in range(1, len(names) + 1, every):
        for number, (error, lasting) in enumerate(MODES):
            prepare()
            on_error = "raise" if (at + number) % 3 == 0 else "warn"
            what = "SIGKILL" if error == KILL else errno.errorcode[error]
            when = f"{what}{' from then on' if lasting else ''} at call {at} ({names[at - 1]}), {on_error}, seeded {seeded}"

            def task(out: int, *, at=at, error=error, lasting=lasting, on_error=on_error) -> None:
                faults.arm(place, at, error, lasting=lasting)
                train(path, on_error, out, ops)

            told, status = child(task)
            tally.faults[names[at - 1]] += 1
            judge_training(
                path, told, status, when, tally, killed=error == KILL, warn=on_error == "warn", seeded=seeded
            )


def judge_training(
    path: Path,
    told: list[dict[str, Any]],
    status: int,
    when: str,
    tally: Tally,
    *,
    killed: bool,
    warn: bool,
    seeded: bool,
) -> None:
    report, ops = tally.report, writes()
    if status and not killed:
        report.faults.append(f"{when}: the training ended with status {status:#x}")
    errors = [line["error"] for line in told if "error" in line]
    report.faults += [f"{when}: the error does not name the store: {e}" for e in errors if str(path.parent) not in e]
    tally.errors += len(errors)
    tally.warned += any("warning" in line for line in told)
    report.acknowledged += sum(bool(line.get("kept")) for line in told)
    found = look(path) if path.exists() else None
    judge(found, told, when, report, ops, warn=warn, seeded=seeded, killed=killed)
    kept = [line["number"] for line in told if line.get("kept")]
    for number in (n for n in kept if ops[n][0] == "backup"):
        copy = look(backup_of(path, WHO, ops[number][1]))
        if copy is None:
            report.faults.append(f"{when}: the backup can not be read")
        else:
            compare(copy, WHO, ops[:number], lambda n, _, kept=kept: n in kept, report)


def opening(faults: Faults, every: int, place: Path, tally: Tally) -> None:
    """Fail every call of whoever upgrades, recovers or repairs."""
    for case in kill_openers.CASES:
        whole = place / case.name
        case.make(whole)
        expected, _ = kill_openers.undisturbed(case, whole, place)
        path = place / "opened"
        shutil.copytree(whole, path)
        names = calls_of(faults, path, lambda case=case, path=path: _open_quietly(case, path))
        shutil.rmtree(path)
        for at in range(1, len(names) + 1, every):
            for error, lasting in MODES[:1] + MODES[3:]:
                shutil.copytree(whole, path)
                what = "SIGKILL" if error == KILL else errno.errorcode[error]
                when = f"{case.name}, {what}{' from then on' if lasting else ''} at call {at} ({names[at - 1]})"
                pid, pipe = forked(_opener(faults, case, path, at, error, lasting=lasting))
                said = read_all(pipe).decode()
                _, status = os.waitpid(pid, 0)
                tally.faults[names[at - 1]] += 1
                tally.errors += bool(said)
                if said and str(path) not in said:
                    tally.report.faults.append(f"{when}: the error does not name the store: {said}")
                if status and error != KILL:
                    tally.report.faults.append(f"{when}: it ended with status {status:#x}")
                tally.report.faults += [f"{when}: {fault}" for fault in kill_openers.judge(case, path, expected)]
                shutil.rmtree(path)


def _open_quietly(case: kill_openers.Case, path: Path) -> None:
    warnings.simplefilter("ignore")
    case.open(path)


def _opener(
    faults: Faults, case: kill_openers.Case, path: Path, at: int, error: int, *, lasting: bool
) -> Callable[[int], None]:
    def task(out: int) -> None:
        faults.arm(path, at, error, lasting=lasting)
        try:
            _open_quietly(case, path)
        except StoreWriteError as refused:
            os.write(out, str(refused).encode())

    return task


def compiled(folder: Path) -> Path:
    """The shim, compiled. Raises OSError where there is no compiler, or no Linux."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        raise OSError("catching every system call needs cc, on Linux")
    target = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(target), str(source), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"the shim can not be compiled here: {done.stderr.strip()[:500]}")
    return target


def again_with_shim(folder: Path) -> int:
    """Run this script again in a process that has the shim loaded."""
    target = compiled(folder)
    environment = {**os.environ, "LD_PRELOAD": str(target), SHIM: str(target)}
    return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="let every so manyth call fail; 1 is all of them")
    parser.add_argument("--python", action="store_true", help="replace Python's functions; no compiler is needed")
    parser.add_argument("--what", choices=("all", "training", "opening"), default="all")
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp())
    try:
        if not chosen.python and SHIM not in os.environ:
            try:
                return again_with_shim(place)
            except OSError as error:
                print(f"not tested: {error}")
                return 3
        faults: Faults = PythonCalls() if chosen.python else Shim(os.environ[SHIM])
        tally = Tally()
        if chosen.what != "opening":
            for seeded in (True, False):
                training(faults, chosen.every, place / f"training-{seeded}", tally, seeded=seeded)
        if chosen.what != "training":
            opening(faults, chosen.every, place, tally)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    for fault in tally.report.faults[:60]:
        print(fault)
    print(tally)
    return 1 if tally.report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
