"""Kill processes that write to a store, at random instructions, and look for what they had been told is kept.

    python tests/faults/torture.py --kills 1000 --seed 1

A worker does random writes and reports each one that returned through a pipe. It is killed with SIGKILL after a random
time. Then whoever opens the store next recovers it, and is often killed at that, too. At last a reader takes stock:
every acknowledged write must be there, exactly once and with its value, at most the one write under way may be there
unacknowledged, and the deep check must find nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import modelmgmt as mm
from modelmgmt.store import journal as journal_module

# Loaded before the first fork, so that a worker's life is spent on writing.
for _name in ("filelock", "pandas", "sqlite_utils", "modelmgmt.store.schema", "modelmgmt.store.integrity",
              "modelmgmt.store.collect", "modelmgmt.tracking.table_file", "modelmgmt.tracking.integrity"):  # fmt: skip
    importlib.import_module(_name)
_ = mm.Store

ROUNDS_PER_STORE = 8
WORK_S = 0.2
RECOVERY_S = 0.03

Op = tuple[str, Any]


def ops(seed: int) -> Iterator[Op]:
    """The writes of a worker, the same for the same seed, without end."""
    rng = random.Random(seed)
    step = 0
    kinds = (
        ["log"] * 60
        + ["log3"] * 20
        + ["series", "params", "tags", "note", "text", "table", "pin", "flush", "next", "gc"]
    )
    yield "next", 0
    for n in range(1, 1 << 30):
        kind = rng.choice(kinds)
        step += 1
        match kind:
            case "log":
                yield kind, {"loss": (step, rng.random())}
            case "log3":
                yield kind, {f"k/{i}": (step, rng.choice([rng.random(), float("nan"), -0.0, 1e300])) for i in range(3)}
            case "series":
                yield kind, (step, rng.randrange(1 << 16), rng.choice([10, 3000]))
                step += 3000
            case "text" | "table" | "note":
                yield kind, (n, rng.randrange(1 << 30))
            case _:
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


def many_segments() -> None:
    """Small journals in this process: many segments, many folds."""
    journal_module.FIRST_CAPACITY, journal_module.LAST_CAPACITY = 64, 512


def work(path: Path, seed: int, done: Callable[[int], None]) -> None:
    """Do the writes, one after the other, and report each that returned."""
    many_segments()
    store = mm.Store(path)
    run: Any = None
    for number, op in enumerate(ops(seed)):
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
        case "pin":
            store.pin(run, f"{content}")
        case "flush":
            run.flush()
        case "gc":
            store.gc(grace_s=0.0)
    return run


def stock(path: Path) -> dict[str, Any]:
    """All that is in a store."""
    from modelmgmt.store import events

    store = mm.Store(path)
    found: dict[str, Any] = {"problems": [f"{p.where}: {p.what}" for p in store.check(deep=True)], "runs": {}}
    with store.kernel.database.reading() as connection:
        found["chain"] = events.verify(connection)
        found["pins"] = [[e.subject, json.loads(e.detail)["reason"]] for e in events.read(connection)]
    for run in store.runs():
        found["runs"][run.name] = {
            "id": run.id,
            "status": run.status,
            "lost_points": run.record.lost_points,
            "params": run.params,
            "tags": run.tags,
            "notes": [note.text for note in run.notes],
            "artifacts": {name: kept.read_text() for name, kept in run.artifacts.items()},
            "points": {
                key: [run.series(key).steps.tolist(), [struct.pack("<d", v).hex() for v in run.series(key).values]]
                for key in run.summaries
            },
        }
    return found


@dataclass
class Report:
    """What a torture found."""

    kills: int = 0
    recovery_kills: int = 0
    acknowledged: int = 0
    points: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills of a writer and {self.recovery_kills} of a recoverer, {self.acknowledged} acknowledged "
            f"writes with {self.points} points: {len(self.faults)} faults"
        )


def compare(
    found: dict[str, Any], seed: int, sequence: Iterable[Op], is_sure: Callable[[int, Op], bool], report: Report
) -> None:
    """Hold what is there against every write that was or may have been done: the sure ones must be there."""
    expected: dict[str, dict[str, Any]] = {}
    name = ""
    for number, op in enumerate(sequence):
        surely = is_sure(number, op)
        kind, content = op
        if kind == "next":
            name = f"w{seed}-{content}"
            expected[name] = {"sure": surely, "points": {}, "rows": []}
        run = expected[name]
        for key, step, value in points_of(op):
            run["points"].setdefault(key, []).append((step, struct.pack("<d", value).hex(), surely))
            report.points += surely
        if kind in ("params", "tags", "note", "text", "table", "pin"):
            run["rows"].append((kind, content, surely))
    for run_name, run in expected.items():
        here = found["runs"].get(run_name)
        if here is None:
            if run["sure"]:
                report.faults.append(f"seed {seed}: run {run_name} is missing")
            continue
        report.faults += [f"seed {seed}: {run_name}: {fault}" for fault in faults_of(run, here, found)]


def faults_of(run: dict[str, Any], here: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """What is missing, double or wrong in one run."""
    if here["status"] not in ("finished", "crashed"):
        yield f"has the status {here['status']}"
    for key, points in run["points"].items():
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
    for kind, content, surely in run["rows"]:
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


def read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()


def kill_after(pid: int, delay_s: float) -> bool:
    """True when the process was still there to be killed."""
    time.sleep(delay_s)
    was_running = os.waitpid(pid, os.WNOHANG) == (0, 0)
    if was_running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return was_running


def kill_writer(path: Path, seed: int, delay_s: float) -> int:
    """Returns the number of the last write that was acknowledged, -1 for none."""
    pid, pipe = forked(lambda out: work(path, seed, lambda number: _tell(out, number)))
    if not kill_after(pid, delay_s):
        raise RuntimeError("the worker ended by itself")
    acks = read_all(pipe)
    whole = len(acks) // 4 * 4
    return int(struct.unpack("<I", acks[whole - 4 : whole])[0]) if whole else -1


def _tell(out: int, number: int) -> None:
    os.write(out, struct.pack("<I", number))


def take_stock(path: Path) -> dict[str, Any]:
    def task(out: int) -> None:
        with os.fdopen(out, "w") as pipe:
            json.dump(stock(path), pipe)

    pid, pipe = forked(task)
    data = read_all(pipe)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"the store could not be read (status {status})")
    return dict(json.loads(data))


def torture(kills: int, seed: int, place: Path) -> Report:
    """Kill `kills` writers; returns what was found."""
    rng = random.Random(seed)
    report = Report()
    while report.kills < kills:
        path = Path(tempfile.mkdtemp(dir=place)) / "store"
        workers: dict[int, int] = {}
        for _ in range(min(ROUNDS_PER_STORE, kills - report.kills)):
            worker = rng.randrange(1 << 30)
            workers[worker] = kill_writer(path, worker, rng.random() * WORK_S)
            report.kills += 1
            if rng.random() < 0.5:
                pid, pipe = forked(lambda _, path=path: mm.Store(path).close())
                report.recovery_kills += kill_after(pid, rng.random() * RECOVERY_S)
                os.close(pipe)
        try:
            found = take_stock(path)
        except RuntimeError as error:
            report.faults.append(f"{path}: {error}")
            continue
        report.faults += [f"{path}: {problem}" for problem in found["problems"]]
        if found["chain"]:
            report.faults.append(f"{path}: {found['chain']}")
        for worker, acknowledged in workers.items():
            report.acknowledged += acknowledged + 1
            # One write more than acknowledged may be there: it was under way.
            done = itertools.islice(ops(worker), acknowledged + 2)
            compare(found, worker, done, lambda number, _, last=acknowledged: number <= last, report)
        if not report.faults:
            shutil.rmtree(path.parent)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
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


if __name__ == "__main__":
    sys.exit(main())
