"""Writes of every kind, the same for the same seed; doing them, taking stock of a store, and holding it against them.

What the fault scripts beside this file share: each breaks something else while this goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import importlib
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import modelmgmt as mm
from modelmgmt.store import journal as journal_module

# Loaded before the first fork, so that a worker's life is spent on writing.
with contextlib.suppress(ImportError):  # a script of a fault test may do without
    importlib.import_module("pandas")
for _name in ("filelock", "modelmgmt.store.schema", "modelmgmt.store.integrity",
              "modelmgmt.store.collect", "modelmgmt.store.backup", "modelmgmt.store.trees", "modelmgmt.store.rebuild",
              "modelmgmt.tracking.table_file", "modelmgmt.tracking.integrity", "modelmgmt.tracking.deletion",
              "modelmgmt.tracking.merging", "modelmgmt.tracking.repair"):  # fmt: skip
    importlib.import_module(_name)
_ = mm.Store

Op = tuple[str, Any]

KINDS = {
    "log": 120, "log3": 40, "series": 2, "params": 2, "tags": 2, "note": 2, "text": 2, "table": 2, "folder": 1, "file": 1,
    "pin": 2, "flush": 2, "next": 3, "gc": 2, "delete": 2, "merge": 1, "backup": 1,
}  # fmt: skip
ROWS = ("params", "tags", "note", "text", "table", "folder", "file", "pin")
OTHER_RUNS = 2


def ops(seed: int, kinds: dict[str, int] | None = None) -> Iterator[Op]:
    """The writes of a worker, the same for the same seed, without end; `kinds` says how often each kind comes."""
    rng = random.Random(seed)
    drawn = list((kinds or KINDS).items())
    names, weights = [kind for kind, _ in drawn], [weight for _, weight in drawn]
    step, pinned = 0, False
    finished: list[str] = []  # runs that may be deleted
    current = f"w{seed}-0"
    yield "next", 0
    for n in range(1, 1 << 30):
        [kind] = rng.choices(names, weights)
        step += 1
        match kind:
            case "log":
                yield kind, {"loss": (step, rng.random())}
            case "log3":
                yield kind, {f"k/{i}": (step, rng.choice([rng.random(), float("nan"), -0.0, 1e300])) for i in range(3)}
            case "series":
                yield kind, (step, rng.randrange(1 << 16), rng.choice([10, 3000]))
                step += 3000
            case "text" | "table" | "note" | "folder" | "file":
                yield kind, (n, rng.randrange(1 << 30))
            case "delete":
                if finished:
                    yield kind, finished.pop(rng.randrange(len(finished)))
                else:
                    yield "flush", n
            case "next":
                if not pinned:
                    finished.append(current)
                current, pinned = f"w{seed}-{n}", False
                yield kind, n
            case _:
                pinned |= kind == "pin"
                yield kind, n


def points_of(op: Op) -> Iterator[tuple[str, int, float]]:
    """The points that a write adds to its run."""
    kind, content = op
    if kind in ("log", "log3"):
        for key, (step, value) in content.items():
            yield key, step, value
    elif kind == "series":
        start, seed, count = content
        for i, value in enumerate(np.random.default_rng(seed).random(count)):
            yield "bulk", start + i, float(value)


def many_files() -> None:
    """Small journals in this process: many files, many folds."""
    journal_module.FULL_BYTES = 4096 + 32 * 256


def work(path: Path, seed: int, done: Callable[[int], None], kinds: dict[str, int] | None = None) -> None:
    """Do the writes, one after the other, and report each that returned."""
    many_files()
    store = mm.Store(path)
    run: Any = None
    for number, op in enumerate(ops(seed, kinds)):
        run = perform(store, run, op, seed, number)
        done(number)


def perform(store: mm.Store, run: Any, op: Op, seed: int, number: int, **options: Any) -> Any:
    """Do one write; returns the run that the next one is for."""
    kind, content = op
    match kind:
        case "next":
            if run is not None:
                run.finish()
            params = {"seed": seed, "first": number}
            return store.start_run("torture", name=f"w{seed}-{content}", params=params, **options)
        case "finish":
            run.finish()
        case "log" | "log3":
            steps = {step for step, _ in content.values()}
            run.log({key: value for key, (_, value) in content.items()}, step=steps.pop())
        case "series":
            start, data, count = content
            run.log_series("bulk", np.random.default_rng(data).random(count), steps=np.arange(start, start + count))
        case "params":
            run.log_params({f"p{content}": content, "nested": {"x": 0.5}})
        case "tags":
            run.set_tags({f"t{content}": str(content)})
        case "note":
            run.note(f"{content}")
        case "text":
            run.log_text(f"{content}" * 50, f"text-{content[0]}.txt")
        case "table":
            run.log_table({"a": [content[0]], "b": [content[1] / 7]}, f"table-{content[0]}")
        case "file" | "folder":
            with tempfile.TemporaryDirectory() as place:
                run.log_artifact(_source(Path(place), kind, content), f"{kind}-{content[0]}")
        case "pin":
            store.pin(run, f"{content}")
        case "flush":
            run.flush()
        case "gc":
            store.gc(grace_s=0.0)
        case "delete":
            store.delete_run(content, reason=content)
        case "merge":
            store.merge(other_store(store.path))
        case "backup":
            store.backup(backup_of(store.path, seed, content))
    return run


def other_store(path: Path) -> Path:
    """Where the store is that is merged into the one at `path`."""
    return path.parent / "other"


def backup_of(path: Path, seed: int, content: int) -> Path:
    return path.parent / f"backup-{seed}-{content}"


def make_other(path: Path) -> None:
    """A store to be merged, in a child: nobody has it open afterwards."""

    def task(_: int) -> None:
        with mm.Store(path) as store:
            for number in range(OTHER_RUNS):
                with store.start_run("other", name=f"other-{number}", params={"seed": number}) as run:
                    run.log_series("loss", np.arange(20) / (number + 3))
                    run.log_text(f"other {number}", "text.txt")

    pid, pipe = forked(task)
    read_all(pipe)
    os.waitpid(pid, 0)


def _source(place: Path, kind: str, content: tuple[int, int]) -> Path:
    """A file of more than one buffer, or a folder of two files."""
    rng = random.Random(content[1])
    source = place / "source"
    if kind == "file":
        source.write_bytes(rng.randbytes((1 << 20) + 4000))
    else:
        (source / "deep").mkdir(parents=True)
        (source / "deep" / "a.txt").write_text(f"{content}")
        (source / "b.bin").write_bytes(rng.randbytes(5000))
    return source


def _content(path: Path) -> str:
    """What a file or folder holds, in a few characters."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return " ".join(hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files)


@functools.lru_cache(maxsize=64)
def _wanted(kind: str, content: tuple[int, int]) -> str:
    with tempfile.TemporaryDirectory() as place:
        return _content(_source(Path(place), kind, content))


def _content_of(artifact: Any) -> str:
    if artifact.kind not in ("file", "folder", "model"):
        return str(artifact.read_text())
    with tempfile.TemporaryDirectory() as place:
        return _content(artifact.save(Path(place) / "kept"))


def stock(path: Path) -> dict[str, Any]:
    """All that is in a store."""
    from modelmgmt.store import events

    store = mm.Store(path)
    found: dict[str, Any] = {"problems": [f"{p.where}: {p.what}" for p in store.check(deep=True)], "runs": {}}
    with store._kernel.database.reading() as connection:
        found["chain"] = events.verify(connection)
        told = [(event, json.loads(event.detail)) for event in events.read(connection)]
    found["pins"] = [[event.subject, detail["reason"]] for event, detail in told if event.kind == "run.pinned"]
    found["deleted"] = [detail["reason"] for event, detail in told if event.kind == "run.deleted"]
    found["names"] = [run.name for run in store.runs()]
    for run in store.runs():
        found["runs"][run.name] = {
            "id": run.id,
            "status": run.status,
            "lost_points": run.lost_points,
            "params": run.params,
            "tags": run.tags,
            "notes": [note.text for note in run.notes],
            "artifacts": {name: _content_of(kept) for name, kept in run.artifacts.items()},
            "points": {
                key: [run.series(key).steps.tolist(), [struct.pack("<d", v).hex() for v in run.series(key).values]]
                for key in run.summaries
            },
        }
    return found


def take_stock(path: Path) -> dict[str, Any]:
    """`stock`, in a child. Raises RuntimeError when that process fails."""

    def task(out: int) -> None:
        with os.fdopen(out, "w") as pipe:
            json.dump(stock(path), pipe)

    pid, pipe = forked(task)
    data = read_all(pipe)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"the store could not be read (status {status})")
    return dict(json.loads(data))


@dataclass
class Report:
    """What a torture found."""

    kills: int = 0
    recovery_kills: int = 0
    acknowledged: int = 0
    points: int = 0
    backups: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills of a writer and {self.recovery_kills} of a recoverer, {self.acknowledged} acknowledged "
            f"writes with {self.points} points, {self.backups} backups: {len(self.faults)} faults"
        )


@dataclass
class _Expected:
    """What is to be found of one run."""

    sure: bool
    points: dict[str, list[tuple[int, str, bool]]] = field(default_factory=dict)
    rows: list[tuple[str, Any, bool]] = field(default_factory=list)
    deletion: bool | None = None
    """Whether its deletion is sure; None when nobody asked for it."""


def compare(
    found: dict[str, Any], seed: int, sequence: Iterable[Op], is_sure: Callable[[int, Op], bool], report: Report
) -> None:
    """Hold what is there against every write that was or may have been done: the sure ones must be there."""
    expected: dict[str, _Expected] = {}
    name = ""
    merged = False
    for number, op in enumerate(sequence):
        surely = is_sure(number, op)
        kind, content = op
        if kind == "next":
            name = f"w{seed}-{content}"
            expected[name] = _Expected(surely)
        for key, step, value in points_of(op):
            expected[name].points.setdefault(key, []).append((step, struct.pack("<d", value).hex(), surely))
            report.points += surely
        if kind in ROWS:
            expected[name].rows.append((kind, content, surely))
        elif kind == "delete":
            expected[content].deletion = surely
        elif kind == "merge":
            merged |= surely
    report.faults += [f"seed {seed}: {fault}" for fault in _faults(expected, found, merged=merged)]


def _faults(expected: dict[str, _Expected], found: dict[str, Any], *, merged: bool) -> Iterator[str]:
    if len(set(found["names"])) != len(found["names"]):
        yield "a run is there twice"
    for name, run in expected.items():
        here = found["runs"].get(name)
        if run.deletion:
            if here is not None:
                yield f"{name} was deleted and is there"
            if found["deleted"].count(name) != 1:
                yield f"{name}: {found['deleted'].count(name)} events tell of its deletion"
        elif here is not None:
            yield from (f"{name}: {fault}" for fault in faults_of(run, here, found))
        elif run.deletion is None and run.sure:
            yield f"run {name} is missing"
    for number in range(OTHER_RUNS if merged else 0):
        here = found["runs"].get(f"other-{number}", {"points": {}, "artifacts": {}})
        if here["points"].get("loss", [[]])[0] != list(range(20)) or here["artifacts"] != {
            "text.txt": f"other {number}"
        }:
            yield f"other-{number} was merged and is not there, or not whole"


def faults_of(run: _Expected, here: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """What is missing, double or wrong in one run."""
    if here["status"] not in ("finished", "crashed"):
        yield f"has the status {here['status']}"
    for key, points in run.points.items():
        steps, values = here["points"].get(key, ([], []))
        there = list(zip(steps, values, strict=True))
        if len(set(there)) != len(there):
            yield f"{key}: points are there twice"
        kept = set(there)
        lost = [(step, value) for step, value, surely in points if surely and (step, value) not in kept]
        if lost:
            yield f"{key}: {len(lost)} acknowledged points are lost, the first {lost[0]}"
        extra = kept - {(step, value) for step, value, _ in points}
        if extra:
            yield f"{key}: {len(extra)} points were never logged"
    for kind, content, surely in run.rows:
        if surely and not is_there(kind, content, here, found):
            yield f"the {kind} {content} is lost or wrong"


def is_there(kind: str, content: Any, here: dict[str, Any], found: dict[str, Any]) -> bool:
    match kind:
        case "params":
            return here["params"].get(f"p{content}") == content and here["params"].get("nested.x") == 0.5
        case "tags":
            return here["tags"].get(f"t{content}") == str(content)
        case "note":
            return here["notes"].count(f"{content}") == 1
        case "text":
            return here["artifacts"].get(f"text-{content[0]}.txt") == f"{content}" * 50
        case "table":
            return f"[{content[1] / 7!r}]" in here["artifacts"].get(f"table-{content[0]}.table.json", "")
        case "file" | "folder":
            return here["artifacts"].get(f"{kind}-{content[0]}") == _wanted(kind, content)
        case _:
            return [here["id"], f"{content}"] in found["pins"]


def forked(task: Callable[[int], None]) -> tuple[int, int]:
    """Run `task` in a child with the writing end of a pipe; returns the child's pid and the reading end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 1
    try:
        os.close(reading)
        task(writing)
        code = 0
    except BaseException:  # noqa: BLE001 - the child's last words
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def preload(task: Callable[[], object]) -> None:
    """Import what `task` imports, so that the children of this process need not: a child of a fork has it at once."""

    def look(out: int) -> None:
        task()
        with os.fdopen(out, "w") as pipe:
            pipe.write("\n".join(sys.modules))

    pid, pipe = forked(look)
    names = read_all(pipe).decode().split()
    os.waitpid(pid, 0)
    for name in names:
        with contextlib.suppress(ImportError):  # what a module in C has made has no file
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is never collected is not copied by a child, either


def read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()


class Faults(Protocol):
    """What a script reports; prints itself as a sentence."""

    faults: list[str]


def from_command_line(torture: Callable[[int, int, Path], Faults], about: str | None, kills: int) -> int:
    """Run a script that kills, as its options say, and print what it found; its folder stays when it found a fault."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where the stores are made")
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=chosen.folder))
    report = torture(chosen.kills, chosen.seed, place)
    for fault in report.faults[:50]:
        print(fault)
    print(report)
    if not report.faults:
        shutil.rmtree(place)
    return 1 if report.faults else 0
