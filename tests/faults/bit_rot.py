"""Flip one random bit in one file of a store, read everything, and look for a value that is silently wrong.

    python tests/faults/bit_rot.py --flips 1000 --seed 1

Harmless is a flip after which every value reads as before and the deep check is silent or not. Named is one after which
a read raises an error of the library, or the deep check names damage. A value that differs without an error, or one that
is missing while the check finds nothing, is silently wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from workload import forked, read_all  # this folder

import modelmgmt as mm
from modelmgmt.errors import ModelmgmtError


def build(path: Path) -> None:
    """A store with some of everything: finished runs, one that was killed, folders, a deleted run."""
    rng = np.random.default_rng(0)
    with mm.Store(path) as store:
        for number in range(6):
            params = {"lr": 0.1 * number, "net": {"layers": [number, 64], "act": "relu"}, "amp": True, "seed": number}
            with store.start_run("rot", name=f"run-{number}", params=params, tags={"team": "ab"[number % 2]}) as run:
                for step in range(300):
                    run.log({"loss": float(rng.random()), "val/acc": step / 300, "nan": float("nan")}, step=step)
                run.log_series("bulk", rng.random(5000))
                run.log_text(f"text {number}" * 20, "remarks.txt")
                run.log_table({"a": [1, 2], "b": ["x", "y"]}, "rows")
                run.note(f"note {number}")
        folder = path.parent / "folder"
        folder.mkdir()
        (folder / "one.txt").write_text("one")
        with store.start_run("rot", name="folder") as run:
            run.log_artifact(folder)
        shutil.rmtree(folder)
        store.pin("run-1", "kept")
        store.delete_run("run-5")


def crash(path: Path) -> None:
    """A process that dies with points in its journal."""
    run = mm.Store(path).start_run("rot", name="killed")
    for step in range(200):
        run.log({"loss": step / 7}, step=step)


@dataclass
class Reading:
    """What could be read, by what it is, and the errors by which the rest was named."""

    values: dict[str, Any] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)

    def take(self, what: str, read: Callable[[], Any]) -> Any:
        """Read one thing; an error of the library names what is wrong with it."""
        try:
            self.values[what] = read()
        except ModelmgmtError as error:
            self.named.append(f"{what}: {error}")
            return None
        return self.values[what]


def read_everything(path: Path) -> Reading:
    """Every value of a store, through the public surface."""
    reading = Reading()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store: Any = None
        try:
            store = mm.Store(path)
        except ModelmgmtError as error:
            reading.named.append(f"open: {error}")
            return reading
        runs = reading.take("ids", lambda: sorted(store.runs().ids)) or []
        for run_id in runs:
            _read_run(reading, store, run_id)
        reading.take("frame", lambda: json.loads(_frame(store).to_json(orient="index", date_format="iso")))
        reading.take("history", lambda: _history(store))
        try:
            reading.named += [f"check: {problem.where}: {problem.what}" for problem in store.check(deep=True)]
        except ModelmgmtError as error:
            reading.named.append(f"check: {error}")
    reading.named += [f"warning: {warning.message}" for warning in caught]
    return reading


def _read_run(reading: Reading, store: Any, run_id: str) -> None:
    run = reading.take(run_id, lambda: store.runs[run_id])
    reading.values.pop(run_id, None)
    if run is None:
        return
    record = reading.take(f"{run_id} record", lambda: [str(run._row_now), run.status][0])
    del record
    for what in ("params", "config", "tags"):
        reading.take(f"{run_id} {what}", lambda what=what: getattr(run, what))
    reading.take(f"{run_id} notes", lambda: [str(note) for note in run.notes])
    for key, summary in (reading.take(f"{run_id} summaries", lambda: _texts(run.summaries)) or {}).items():
        del summary
        reading.take(f"{run_id} series {key}", lambda key=key: _points(run.series(key)))
    for name in reading.take(f"{run_id} artifacts", lambda: sorted(run.artifacts)) or []:
        reading.take(f"{run_id} artifact {name}", lambda name=name: _content(run.artifact(name)))


def _frame(store: Any) -> Any:
    return store.runs().to_frame().sort_index().astype(object)


def _texts(summaries: dict[str, Any]) -> dict[str, str]:
    return {key: str(summary) for key, summary in summaries.items()}


def _points(series: Any) -> list[Any]:
    steps, times = series.steps.tolist(), series.points.times.tolist()
    return [list(point) for point in zip(steps, map(float.hex, series.points.values.tolist()), times, strict=True)]


def _history(store: Any) -> list[Any]:
    frame = store.runs(order_by="run.id").history("loss")
    return [list(row) for row in zip(frame["run"], frame["step"], map(float.hex, frame["value"]), strict=True)]


def _content(artifact: Any) -> str:
    if artifact.kind != "folder":
        return str(artifact.read_bytes().hex())
    with tempfile.TemporaryDirectory() as place:
        artifact.save(Path(place) / "out")
        return str(sorted((path.name, path.read_text()) for path in (Path(place) / "out").iterdir()))


def in_child(task: Callable[[], Any]) -> Any:
    """The JSON that `task` gives in a process of its own; None when that process died."""

    def work(out: int) -> None:
        with os.fdopen(out, "w") as pipe:
            json.dump(task(), pipe)

    pid, pipe = forked(work)
    data = read_all(pipe)
    _, status = os.waitpid(pid, 0)
    return None if status else json.loads(data)


def _reading(path: Path) -> list[Any]:
    reading = read_everything(path)
    return [reading.values, reading.named]


@dataclass
class Report:
    flips: int = 0
    harmless: int = 0
    named: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.flips} flipped bits: {self.harmless} harmless, {self.named} named, {len(self.faults)} silently wrong"


def rot(flips: int, seed: int, place: Path) -> Report:
    """Flip `flips` bits, each in a fresh copy."""
    rng, report = random.Random(seed), Report()
    whole = place / "whole"
    in_child(lambda: build(whole))
    in_child(lambda: crash(whole))
    reference = place / "reference"
    shutil.copytree(whole, reference)
    expected, named = in_child(lambda: _reading(reference))
    assert not named, named
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.stat().st_size)
    for number in range(flips):
        copy = place / f"copy-{number}"
        shutil.copytree(whole, copy)
        # Half of the flips where most of the bytes are, half in any file.
        target = copy / (rng.choice(files) if rng.random() < 0.5 else Path("store.db"))
        what = flip(target, rng)
        found = in_child(lambda copy=copy: _reading(copy))
        report.flips += 1
        judge(report, f"{target.relative_to(copy)} {what}", expected, found)
        shutil.rmtree(copy)
    return report


def flip(path: Path, rng: random.Random) -> str:
    path.chmod(0o644)
    place, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
    with path.open("rb+") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))
    return f"byte {place} bit {bit}"


def judge(report: Report, where: str, expected: dict[str, Any], found: Any) -> None:
    if found is None:
        report.faults.append(f"{where}: the reader died with an error that is not the library's")
        return
    values, named = found
    wrong = [what for what, value in values.items() if what in expected and value != expected[what]]
    missing = [what for what in expected if what not in values]
    # What is there must be right. Something may be missing from a list when that is named; a summary follows its points.
    wrong_values = [what for what in wrong if " summaries" not in what and not _is_subset(values[what], expected[what])]
    if wrong_values or ((wrong or missing) and not named):
        report.faults.append(f"{where}: {(wrong_values or wrong or missing)[:3]} wrong, named: {named[:2]}")
    elif named:
        report.named += 1
    else:
        report.harmless += 1


def _is_subset(value: Any, expected: Any) -> bool:
    """Whether what is there is right and only something is missing from it."""
    if isinstance(value, dict) and isinstance(expected, dict):
        return all(key in expected and _is_right(value[key], expected[key]) for key in value)
    if isinstance(value, list) and isinstance(expected, list):
        there = {json.dumps(item) for item in expected}
        return all(json.dumps(item) in there for item in value)
    return False


def _is_right(value: Any, expected: Any) -> bool:
    """Equal, or the row of a frame in which something is missing."""
    if isinstance(value, dict) and isinstance(expected, dict):
        return all(cell is None or cell == expected.get(column) for column, cell in value.items())
    return bool(value == expected)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=chosen.folder))
    report = rot(chosen.flips, chosen.seed, place)
    for fault in report.faults[:50]:
        print(fault)
    print(report)
    shutil.rmtree(place)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
