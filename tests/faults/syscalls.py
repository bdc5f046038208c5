"""Let every call of a training that writes to its store fail, one after the other, and look at what is left.

    python tests/faults/syscalls.py --every 1

A library that is loaded before all others (`shim.c`, compiled here with `cc`) catches the calls of Python and of SQLite:
open, write, pwrite, fsync, fdatasync, rename, link, unlink, mkdir, fallocate, ftruncate, mmap, msync and more. Call by call
it returns ENOSPC or EIO, once or from then on, or ends the process there. With `--python` the functions of the module `os`
are replaced instead, which needs no compiler and sees less.

After each fault the store is opened: every write that was acknowledged is there with its value, every point that is not
there has been counted, the deep check finds nothing, and each error that was raised was a StoreWriteError that names the
store. The same is done to an upgrade, a recovery and a repair (`kill_openers.py`): afterwards they are done again, and the
store is what it is without a fault.

Each training is a fork of one process that has everything imported. It waits for its threads after each write, so that the
same number is the same call every time; where it was not, the report says so. The stores are in memory (`/dev/shm`, where
there is one): the calls are the same, they take less time.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import kill_openers
from full_disk import WHO, child, judge, look_at, seed, train
from workload import Op, Report, backup_of, compare, forked, make_other, other_store, preload, read_all

import modelmgmt
from modelmgmt.errors import StoreReadError, StoreWriteError
from modelmgmt.store import journal

KILL = 0
SHIM = "MODELMGMT_TEST_SHIM"  # where it is, for the process that has it loaded
PLACE = "MODELMGMT_TEST_PLACE"  # the folder of this test, for the process that does it
MEMORY = Path("/dev/shm")
NEED_BYTES = 1 << 28
TRIES = 3  # what a number means may change with the hashes of what is kept, and with the time


@dataclass(frozen=True)
class Mode:
    """How a call fails."""

    error: int
    lasting: bool = False
    reading: bool = False
    """Whether it is a call that reads; else one that writes."""

    def __str__(self) -> str:
        what = "SIGKILL" if self.error == KILL else errno.errorcode[self.error]
        what = f"{what} of a read" if self.reading else what
        return f"{what} from then on" if self.lasting else what


MODES = (Mode(errno.ENOSPC), Mode(errno.EIO), Mode(errno.ENOSPC, True), Mode(errno.EIO, True), Mode(KILL))
READS = (Mode(errno.EIO, reading=True), Mode(errno.EIO, lasting=True, reading=True))


class Faults(Protocol):
    """Counts the calls of this process that write below a folder, and lets one fail, or all from one on."""

    def arm(self, root: Path, at: int, mode: Mode, log: int) -> None:
        """From now on; the first call is 1, `at=0` lets none fail.

        To the descriptor `log` goes a line "name path": of each call when none is to fail, else of the one that does.
        """


class Shim:
    """Every call of every library in the process."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)

    def arm(self, root: Path, at: int, mode: Mode, log: int) -> None:
        options = (mode.error, int(mode.lasting), log, int(mode.reading))
        self._library.arm(os.fsencode(root), ctypes.c_long(at), *options)


class PythonCalls:
    """The calls that Python code makes by the module `os`, and to write a journal; not SQLite's."""

    NAMES = ("open", "write", "pwrite", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "utime")

    def arm(self, root: Path, at: int, mode: Mode, log: int) -> None:
        count = 0

        def fails(name: str, path: str) -> None:
            nonlocal count
            count += 1
            if not at or count == at:
                real["write"](log, f"{name} {path.removeprefix(str(root))}\n".encode())
            if not at or count < at or (count > at and not mode.lasting):
                return
            if mode.error == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(mode.error, os.strerror(mode.error))

        def path_of(what: Any) -> str:
            if isinstance(what, int):
                try:
                    return os.readlink(f"/proc/self/fd/{what}")
                except OSError:
                    return ""
            return str(what)

        def patched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(what: Any, *rest: Any, **more: Any) -> Any:
                is_reading = name == "open" and not rest[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
                folder = more.get("dir_fd", more.get("src_dir_fd"))
                path = path_of(what) if folder is None else f"{path_of(folder)}/{what}"
                if not is_reading and path.startswith(str(root)):
                    fails(name, path)
                return function(what, *rest, **more)

            return call

        real = {name: getattr(os, name) for name in self.NAMES if hasattr(os, name)}
        for name, function in real.items():
            setattr(os, name, patched(name, function))
        journal._pwrite = patched("pwrite", journal._pwrite)


def logging() -> list[Op]:
    """A training with every kind of write to a run, short: it is done for every call that it makes."""
    found: list[Op] = [("next", 0)]
    found += [("log", {"loss": (step, step / 3)}) for step in range(1, 40)]
    found += [("log3", {f"k/{i}": (step, step / (i + 7)) for i in range(3)}) for step in range(40, 60)]
    found += [("params", 1), ("tags", 2), ("note", (3, 1)), ("text", (4, 5)), ("folder", (8, 9))]
    found += [("series", (60, 1, 2000)), ("flush", 0), ("log", {"loss": (3000, 0.5)}), ("pin", 10), ("finish", 0)]
    return [*found, ("next", 11), ("log", {"loss": (1, 1.5)}), ("file", (12, 13)), ("flush", 0), ("finish", 0)]


def beginning() -> list[Op]:
    """What makes a store, and the least that is written to it."""
    found: list[Op] = [("next", 0), ("log", {"loss": (1, 1.5)}), ("params", 1), ("text", (2, 3)), ("flush", 0)]
    return [*found, ("log", {"loss": (2, 2.5)}), ("finish", 0), ("next", 4), ("log", {"loss": (1, 3.5)}), ("finish", 0)]


def keeping() -> list[Op]:
    """What is done to a store as a whole, between two runs and beside one."""
    found: list[Op] = [("next", 0), ("log", {"loss": (1, 1.5)}), ("text", (1, 2)), ("finish", 0), ("next", 3)]
    found += [("log", {"loss": (1, 2.5)}), ("note", (4, 5)), ("gc", 0), ("delete", f"w{WHO}-0"), ("merge", 0)]
    return [*found, ("text", (6, 7)), ("backup", 8), ("log", {"loss": (2, 3.5)}), ("finish", 0)]


TRAININGS = (("training in a store that was there", logging, True), ("training in a new store", beginning, False),
             ("training beside gc, delete, merge and backup", keeping, True))  # fmt: skip


@dataclass
class Tally:
    calls: int = 0
    """How many there were to fail."""
    faults: Counter[str] = field(default_factory=Counter)
    """By the name of the call."""
    missed: int = 0
    """Trainings that made fewer calls than the one that was counted: nothing failed."""
    moved: int = 0
    """Calls that a fault was to meet, and that had another number each time."""
    errors: int = 0
    warned: int = 0
    report: Report = field(default_factory=Report)

    def met(self, counted: str, line: str) -> bool:
        """A fault was to be injected at the call `counted`, and met the one of `line`; whether that was it."""
        if not line:
            self.missed += 1
            return False
        self.faults[line.split(maxsplit=1)[0]] += 1
        if self.faults.total() % 500 == 0:
            print(f"{self.faults.total()} faults so far, {len(self.report.faults)} wrong", file=sys.stderr, flush=True)
        return masked(line) == masked(counted)

    def __str__(self) -> str:
        names = ", ".join(f"{name} {count}" for name, count in self.faults.most_common())
        return (
            f"{self.faults.total()} faults injected into {self.calls} calls ({names}), {self.moved} calls could not be met, "
            f"{self.missed} trainings ended before theirs, {self.errors} clear errors, {self.warned} trainings with a "
            f"warning, {self.report.acknowledged} acknowledged writes looked for: {len(self.report.faults)} faults"
        )


def masked(line: str) -> str:
    """Without what differs from one time to the next: process numbers, times, tokens."""
    return re.sub(r"(?<=/objects/)[0-9a-f/]+|[0-9a-f]*[0-9][0-9a-f]*", "*", line)


def calls_of(faults: Faults, root: Path, mode: Mode, task: Callable[[], object]) -> list[str]:
    """The calls that `task` makes and `mode` is about, as lines "name path"."""

    def count(out: int) -> None:
        faults.arm(root, 0, mode, out)
        task()
        os._exit(0)

    pid, pipe = forked(count)
    lines = read_all(pipe).decode().splitlines()
    os.waitpid(pid, 0)
    return lines


def failing(faults: Faults, root: Path, at: int, mode: Mode, task: Callable[[int], object]) -> tuple[bytes, int, str]:
    """What `task` wrote to its pipe in a child, the child's status, and the call that failed, or nothing."""
    reading, log = os.pipe()

    def armed(out: int) -> None:
        faults.arm(root, at, mode, log)
        task(out)

    pid, pipe = forked(armed)
    os.close(log)
    told = read_all(pipe)
    _, status = os.waitpid(pid, 0)
    return told, status, read_all(reading).decode().strip()


def chosen(count: int, every: int) -> range:
    """Every so manyth of the numbers 1 to `count`; at least one, from the middle."""
    return range((min(every, count) + 1) // 2, count + 1, every)


def settled() -> None:
    """Wait for the threads of this process, so that the calls come in the same order every time."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()


def training(
    faults: Faults, every: int, place: Path, tally: Tally, name: str, ops: list[Op], *, seeded: bool,
    modes: tuple[Mode, ...] = MODES,
) -> None:  # fmt: skip
    """Fail every call of a training, in a new store or in one that is there."""
    before, work = place / "before", place / "work"
    path = work / "store"
    before.mkdir(parents=True)
    journal.YOUNG_S = 0.0 if seeded else float("inf")  # how long a training takes makes no difference
    if any(kind == "merge" for kind, _ in ops):
        make_other(other_store(before / "store"))
    if seeded:
        child(lambda _: seed(before / "store"))

    def prepare() -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(before, work)

    prepare()
    preload(lambda: train(path, "warn", os.open(os.devnull, os.O_WRONLY), ops, settled))
    preload(lambda: look_at([path]))
    prepare()
    calls = calls_of(
        faults, work, modes[0], lambda: train(path, "warn", os.open(os.devnull, os.O_WRONLY), ops, settled)
    )
    tally.calls += len(calls)

    def one(at: int, mode: Mode, on_error: str) -> bool:
        prepare()
        told, status, met = failing(faults, work, at, mode, lambda out: train(path, on_error, out, ops, settled))
        when = f"{mode} at call {at} ({met}), {on_error}, {name}"
        lines = [json.loads(line) for line in told.split(b"\n")[:-1]]
        killed, warn = mode.error == KILL, on_error == "warn"
        judge_training(path, lines, status, when, tally, ops, killed=killed, warn=warn, seeded=seeded)
        return tally.met(calls[at - 1], met)

    for at in chosen(len(calls), every):
        for number, mode in enumerate(modes):
            on_error = "raise" if (at + number) % 3 == 0 else "warn"
            tally.moved += not any(one(at, mode, on_error) for _ in range(TRIES))


def judge_training(
    path: Path,
    told: list[dict[str, Any]],
    status: int,
    when: str,
    tally: Tally,
    ops: list[Op],
    *,
    killed: bool,
    warn: bool,
    seeded: bool,
) -> None:
    report = tally.report
    if status and not killed:
        report.faults.append(f"{when}: the training ended with status {status:#x}")
    errors = [line["error"] for line in told if "error" in line]
    report.faults += [f"{when}: the error does not name the store: {e}" for e in errors if str(path.parent) not in e]
    tally.errors += len(errors)
    tally.warned += any("warning" in line for line in told)
    report.acknowledged += sum(bool(line.get("kept")) for line in told)
    kept = [line["number"] for line in told if line.get("kept")]
    backups = [number for number in kept if ops[number][0] == "backup"]
    copies = [backup_of(path, WHO, ops[number][1]) for number in backups]
    found, *found_copies = look_at([path, *copies]) if path.exists() else [None]
    judge(found, told, when, report, ops, warn=warn, seeded=seeded, killed=killed)
    for number, copy in zip(backups, found_copies, strict=False):
        if copy is None:
            report.faults.append(f"{when}: the backup cannot be read")
        else:
            compare(copy, WHO, ops[:number], lambda n, _, kept=kept: n in kept, report)


def opening(
    faults: Faults, every: int, place: Path, tally: Tally, case: kill_openers.Case, modes: tuple[Mode, ...] = MODES
) -> None:
    """Fail every call of whoever upgrades, recovers or repairs."""
    whole, path = place / case.name, place / "opened"
    case.make(whole)
    expected, _ = kill_openers.undisturbed(case, whole, place)

    def prepare() -> Path:
        shutil.rmtree(path, ignore_errors=True)
        return shutil.copytree(whole, path)

    prepare()
    preload(lambda: kill_openers.judge(case, path, expected))
    prepare()
    calls = calls_of(faults, path, modes[0], lambda: _open_quietly(case, path))
    tally.calls += len(calls)
    for at in chosen(len(calls), every):
        for mode in modes:
            tries = (
                failing_opener(faults, case, prepare(), at, mode, calls[at - 1], expected, tally) for _ in range(TRIES)
            )
            tally.moved += not any(tries)


def failing_opener(
    faults: Faults, case: kill_openers.Case, path: Path, at: int, mode: Mode, counted: str, expected: Any, tally: Tally
) -> bool:
    told, status, met = failing(faults, path, at, mode, _opener(case, path))
    said, when = told.decode(), f"{case.name}, {mode} at call {at} ({met})"
    tally.errors += bool(said)
    if said and str(path) not in said:
        tally.report.faults.append(f"{when}: the error does not name the store: {said}")
    if status and mode.error != KILL:
        tally.report.faults.append(f"{when}: it ended with status {status:#x}")
    tally.report.faults += [f"{when}: {fault}" for fault in kill_openers.judge(case, path, expected)]
    return tally.met(counted, met)


def _open_quietly(case: kill_openers.Case, path: Path) -> None:
    warnings.simplefilter("ignore")
    case.open(path)


def _opener(case: kill_openers.Case, path: Path) -> Callable[[int], None]:
    def task(out: int) -> None:
        try:
            _open_quietly(case, path)
        except (StoreReadError, StoreWriteError) as refused:
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
        raise OSError(f"the shim cannot be compiled here: {done.stderr.strip()[:500]}")
    return target


def room() -> Path | None:
    """Where the stores are: in memory, when there is enough."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return None
    return MEMORY if found.f_bavail * found.f_frsize > NEED_BYTES and os.access(MEMORY, os.W_OK) else None


_SCRIPT = """\
import sys

sys.path.insert(0, {here!r})
{first}
import {module}

sys.exit({module}.main())
"""


SMALL = 'sys.modules["pandas"] = None  # nothing here needs it, and a small process is forked faster'


def as_project(folder: Path, module: str, first: str) -> Path:
    """A project of one file, which does this test: what a training keeps of its code is this file."""
    folder.mkdir()
    script = folder / "train.py"
    here = str(Path(__file__).resolve().parent)
    script.write_text(_SCRIPT.format(here=here, module=module, first=first))
    return script


def again(module: str, first: str = "", *, with_shim: bool) -> int:
    """Do this in a process that has the shim loaded, and whose project is a small one; 3 where that cannot be done."""
    place = Path(tempfile.mkdtemp(dir=room()))
    try:
        return _again(place, module, first, with_shim=with_shim)
    except OSError as error:  # no compiler
        print(f"not tested: {error}")
        return 3
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _again(place: Path, module: str, first: str, *, with_shim: bool) -> int:
    environment = {**os.environ, PLACE: str(place)}
    paths = [str(Path(modelmgmt.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    if with_shim:
        environment[SHIM] = environment["LD_PRELOAD"] = str(compiled(place))
    script = as_project(place / "project", module, first)
    command = [sys.executable, str(script), *sys.argv[1:]]
    return subprocess.run(command, env=environment, cwd=script.parent, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="let every so manyth call fail; 1 is all of them")
    parser.add_argument("--python", action="store_true", help="replace Python's functions; no compiler is needed")
    parser.add_argument("--only", default="", help="the trainings and openings whose name has this in it")
    chosen = parser.parse_args()
    if PLACE not in os.environ:
        return again("syscalls", SMALL, with_shim=not chosen.python)
    tempfile.tempdir = os.environ[PLACE]
    tally = inject(chosen.every, chosen.only, Path(os.environ[PLACE]), python=chosen.python)
    for fault in tally.report.faults[:60]:
        print(fault)
    print(tally)
    return 1 if tally.report.faults else 0


def inject(every: int, only: str, place: Path, *, python: bool) -> Tally:
    """Let every so manyth call fail, in every mode."""
    faults: Faults = PythonCalls() if python else Shim(os.environ[SHIM])
    tally = Tally()
    for number, (name, ops, seeded) in enumerate(TRAININGS):
        if only in name:
            training(faults, every, place / f"training-{number}", tally, name, ops(), seeded=seeded)
    for case in kill_openers.cases(writes=60, dead=1, points=400):
        if only in case.name:
            opening(faults, every, place, tally, case)
    return tally


if __name__ == "__main__":
    sys.exit(main())
