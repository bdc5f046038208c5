"""Kill whoever opens a store that needs something done first: an upgrade, a recovery, a repair.

    python tests/faults/kill_openers.py --kills 200 --seed 1

Each is a store in a known state, copied for every round. A process that opens it is killed at a random instruction, again
and again, and then one is left to finish. The store must then be what it is when nobody is killed, to the last value.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from torture import kill_after
from workload import forked, from_command_line, many_files, ops, perform, read_all, stock

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError
from modelmgmt.store import schema
from modelmgmt.store.database import APPLICATION_ID
from modelmgmt.store.kernel import Kernel
from modelmgmt.tracking import lifecycle
from modelmgmt.tracking.repair import rescue

KILLS_PER_STORE = 4
WRITES = 150
OLD_VERSION = 12
KINDS = {
    "log": 60,
    "log3": 20,
    "series": 3,
    "params": 3,
    "tags": 3,
    "note": 3,
    "text": 3,
    "folder": 1,
    "pin": 2,
    "next": 3,
}


@dataclass(frozen=True)
class Case:
    """What is to be done with a store, and how to make one that needs it."""

    name: str
    make: Callable[[Path], None]
    open: Callable[[Path], None]


def fill(path: Path, writes: int) -> None:
    """A store with some of everything; its last run is still going on when the process ends."""
    many_files()
    store, run = mm.Store(path), None
    for number, op in enumerate(itertools.islice(ops(7, KINDS), writes)):
        run = perform(store, run, op, 7, number)
    os._exit(0)


def make_old(path: Path, writes: int) -> None:
    """A store as the first two migrations made it, with a journal that nobody has folded."""
    child(lambda: fill(path, writes))
    child(lambda: mm.Store(path).close())
    child(lambda: crash(path))
    old = path / "old.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        steps = {number: statements for number, statements in schema.STEPS.items() if number <= OLD_VERSION}
        with mock.patch.object(schema, "STEPS", steps):
            schema.apply(connection)
        connection.execute("ATTACH ? AS new", (str(path / "store.db"),))
        tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if not table.startswith("_"):
                connection.execute(f"INSERT INTO main.{table} SELECT * FROM new.{table}")
        connection.execute(f"PRAGMA user_version = {OLD_VERSION}")
        connection.execute("DETACH new")
    for part in path.glob("store.db*"):
        part.unlink()
    old.rename(path / "store.db")


def crash(path: Path) -> None:
    """A process that dies with points in its journal."""
    run = mm.Store(path).start_run("torture", name="killed")
    for step in range(100):
        run.log(loss=step / 7, step=step)
    os._exit(0)


def make_crashed(path: Path, writes: int, dead: int, points: int) -> None:
    """A store with the journals, some files each, of dead processes: one that filled it, and `dead` more."""
    child(lambda: fill(path, writes))
    for number in range(dead):
        child(lambda number=number: crash_as(path, f"killed-{number}", points))


def crash_as(path: Path, name: str, points: int) -> None:
    """As `crash`, and another process's journals stay as they are."""
    Kernel._recover = lifecycle.bury = lambda _: None
    many_files()
    store = mm.Store(path)
    store._kernel.series.fold_in_background = lambda _: None  # its segments are full, and nobody has folded them
    run = store.start_run("torture", name=name)
    for step in range(points):
        run.log(loss=step / 7, step=step)
    os._exit(0)


def make_damaged(path: Path, writes: int) -> None:
    """A store with a page that is lost, and an object."""
    child(lambda: fill(path, writes))
    child(lambda: mm.Store(path).close())
    rng = random.Random(3)
    with (path / "store.db").open("rb+") as file:
        file.seek(path.joinpath("store.db").stat().st_size // 2 // 4096 * 4096)
        file.write(rng.randbytes(4096))
    victim = min((path / "objects").glob("*/*"))
    victim.chmod(0o644)
    victim.write_bytes(b"damaged")


def repair(path: Path) -> None:
    """As `modelmgmt store check --repair` does."""
    try:
        mm.Store(path).repair()
    except CorruptDataError:
        rescue(path)


def cases(writes: int = WRITES, dead: int = 3, points: int = 3000) -> tuple[Case, ...]:
    """What is done to stores of `writes` writes; the one to be recovered has the journals of `dead` processes more."""
    return (
        Case("upgrade", lambda path: make_old(path, writes), lambda path: mm.Store(path).close()),
        Case("recovery", lambda path: make_crashed(path, writes, dead, points), lambda path: mm.Store(path).close()),
        Case("repair", lambda path: make_damaged(path, writes), repair),
    )


def child(task: Callable[[], Any]) -> Any:
    """What `task` gives, from a process of its own. Raises RuntimeError when that process fails."""

    def work(out: int) -> None:
        warnings.simplefilter("ignore")  # that a journal was damaged, while that is what is tested
        with os.fdopen(out, "w") as pipe:
            json.dump(task(), pipe)

    pid, pipe = forked(work)
    data = read_all(pipe)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"a process failed with status {status}")
    return json.loads(data) if data else None


def state(path: Path) -> Any:
    """All that is in the store but for what differs from one time to the next."""
    found = stock(path)
    for run in found["runs"].values():
        run["notes"].sort()
    found["names"].sort()
    return found


@dataclass
class Report:
    kills: dict[str, int] = field(default_factory=dict)
    stores: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{count} of {name}" for name, count in self.kills.items())
        return f"{sum(self.kills.values())} kills ({kills}) of {self.stores} stores: {len(self.faults)} faults"


def torture(kills: int, seed: int, place: Path) -> Report:
    """About `kills` kills, shared out between the cases."""
    rng, report = random.Random(seed), Report()
    for case in (chosen := cases()):
        whole = place / case.name
        case.make(whole)
        expected, took_s = undisturbed(case, whole, place)
        report.kills[case.name] = 0
        tries = 0
        while report.kills[case.name] < kills / len(chosen) and tries < kills:
            tries += 1
            path = place / f"{case.name}-{report.stores}"
            shutil.copytree(whole, path)
            for _ in range(rng.randint(1, KILLS_PER_STORE)):
                delay_s = rng.random() * took_s * 1.1
                pid, pipe = forked(_quietly(case, path))
                report.kills[case.name] += kill_after(pid, delay_s)
                if not report.kills[case.name]:
                    took_s = min(took_s, delay_s)  # it takes no longer: the machine was slower the first time
                os.close(pipe)
            report.stores += 1
            report.faults += [f"{path}: {fault}" for fault in judge(case, path, expected)]
            if not report.faults:
                shutil.rmtree(path)
    return report


def undisturbed(case: Case, whole: Path, place: Path) -> tuple[Any, float]:
    """What the store is when nobody is killed, and how long that takes, in seconds."""
    path = place / f"{case.name}-undisturbed"
    shutil.copytree(whole, path)
    begun = time.monotonic()
    child(lambda: case.open(path))
    took_s = time.monotonic() - begun
    found = child(lambda: state(path))
    assert not found["problems"], found["problems"]
    return found, took_s


def _quietly(case: Case, path: Path) -> Callable[[int], None]:
    def task(_: int) -> None:
        warnings.simplefilter("ignore")
        case.open(path)

    return task


def judge(case: Case, path: Path, expected: Any) -> list[str]:
    try:
        child(lambda: case.open(path))
        found = child(lambda: state(path))
    except RuntimeError as error:
        return [str(error)]
    faults = list(found["problems"])
    if found != expected:
        faults.append(f"differs from what it is undisturbed: {difference(found, expected)}")
    for copy in (path / "backups").glob("*.db"):
        with contextlib.closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                faults.append(f"the copy from before the upgrade, {copy.name}, is not whole")
    if case.name == "upgrade" and not list((path / "backups").glob("*.db")):
        faults.append("there is no copy from before the upgrade")
    return faults


def difference(found: Any, expected: Any) -> str:
    for what in expected:
        if found.get(what) != expected[what] and isinstance(expected[what], dict) and isinstance(found.get(what), dict):
            return f"{what} / {difference(found[what], expected[what])}"
        if found.get(what) != expected[what]:
            return f"{what}: {str(found.get(what))[:200]} and not {str(expected[what])[:200]}"
    return f"also there: {sorted(set(found) - set(expected))}"


if __name__ == "__main__":
    sys.exit(from_command_line(torture, __doc__, 200))
