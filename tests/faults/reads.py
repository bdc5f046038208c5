"""Let every call that reads fail, one after the other, and look at what was said and what is left.

    python tests/faults/reads.py --every 1

With the library of `syscalls.py`, each call that reads the store, or what is put into it, fails with EIO: once, and from
then on. Opening, stat, listing a folder, read, seek and map: Python's and SQLite's. A disk that does not give back a byte
has said nothing about it. So what is asked either comes as it is without a fault, or raises StoreReadError or
StoreWriteError, which names a file; nobody says that something is damaged, missing or lost; a training goes on; and what
is in the store afterwards is what it was: nothing is removed, set aside or repaired because a read failed once.

The trainings, upgrades, recoveries and repairs of `syscalls.py` are done as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kill_openers
import numpy as np
from full_disk import HANG_S, LOST, child
from syscalls import (
    PLACE,
    READS,
    SHIM,
    TRAININGS,
    TRIES,
    Mode,
    Shim,
    Tally,
    again,
    chosen,
    opening,
    training,
)
from workload import forked, preload, read_all, stock

import modelmgmt as mm
from modelmgmt.errors import ModelmgmtError, StoreReadError, StoreWriteError
from modelmgmt.front import existing_store

OLD = 1_000_000_000  # seconds since 1970: when every object was put
ANYWHERE = "/nowhere"  # no call is below it
WRONG_WORDS = re.compile(r"damaged|missing|is lost|not there|set.aside|no object|no store|other bytes|restore a backup")
NAMES = ("store.db", "store", "objects", "journal", "source", "tmp")


@dataclass(frozen=True)
class Task:
    """What is asked of a store, or done to it."""

    name: str
    do: Callable[[Any, Path], Any]
    """Gets what `begin` gave, and the folder that all is in; its answer can be written as JSON."""
    begin: Callable[[Path], Any] = lambda work: existing_store(work / "store")
    """Done before anything fails."""
    keeps: bool = True
    """Whether the files of the store are the same afterwards; else doing it again gives the same as doing it once."""
    look: Callable[[Path, Any], Any] = lambda _, answer: answer
    """What is to be told, from the folder and the answer, when nothing fails any more."""
    tells: bool = False
    """Whether its answer is a list of what it could not read."""


def make(work: Path) -> None:
    """A store with some of everything, another one to merge, files to put, and a bundle."""
    source = work / "source"
    (source / "folder" / "deep").mkdir(parents=True)
    (source / "file.bin").write_bytes(bytes(range(256)) * 300)
    (source / "folder" / "a.txt").write_text("a")
    (source / "folder" / "deep" / "b.txt").write_text("b")
    (source / "link").symlink_to("file.bin")
    fill(work / "store", source)
    make_crashed(work / "crashed")
    with mm.Store(work / "other") as other, other.start_run("other", name="other") as run:
        run.log_series("loss", np.arange(20) / 3)
        run.log_text("other", "text.txt")
    with mm.Store(work / "store") as store:
        store.export_model("linear:1", work / "bundle.zip")


def fill(path: Path, source: Path) -> None:
    from sklearn.linear_model import LinearRegression

    table = {"a": np.arange(50.0), "b": [f"t{i}" for i in range(50)]}
    with mm.Store(path) as store:
        for number in range(2):
            with store.start_run("reads", name=f"run-{number}", params={"lr": number / 10}, tags={"t": "x"}) as run:
                run.log_series("loss", np.arange(5000) / (number + 3))
                run.log(acc=0.5 + number)
                run.log_text(f"text {number}", "text.txt")
                run.log_artifact(source / "folder", "folder")
                run.log_dataset(table, "table", keep=True)
                run.log_dataset(source / "folder", "files", keep=True)
                run.log_model(
                    LinearRegression().fit([[0.0], [1.0]], [0.0, number + 1.0]), "linear", register_as="linear"
                )
                run.log_model({"w": np.arange(6.0)}, "arrays")
                run.note("a note")
        store.models["linear"].promote(1, "production", reason="it is good")
        with store.monitor("linear:1") as monitor:
            for number in range(3):
                monitor.log([[float(number)]], [2.0 * number], ids=[f"id-{number}"])
        run = store.start_run("reads", name="gone")
        run.log_text("nobody wants this", "text.txt")
        run.finish()
        store._kernel.objects.put_bytes(b"garbage")
    for place in path.glob("objects/*/*"):
        os.utime(place, (OLD, OLD))  # no object is young


def make_crashed(path: Path) -> None:
    """A store with the journal of a process that has died."""
    pid, pipe = forked(lambda _: (mm.Store(path), kill_openers.crash(path)))
    read_all(pipe)
    os.waitpid(pid, 0)


def series(store: mm.Store, _: Path) -> Any:
    return [run.series(key).values.tolist()[:50] for run in store.runs() for key in sorted(run.summaries)]


def runs(store: mm.Store, _: Path) -> Any:
    found = store.runs("params.lr >= 0 and metrics.loss > 1", order_by="-metrics.loss")
    return [
        found.to_frame().drop(columns=["duration_s"], errors="ignore").to_csv(),
        [run.notes[0].text for run in found],
    ]


def artifacts(store: mm.Store, work: Path) -> Any:
    told = []
    for run in store.runs():
        for name, kept in sorted(run.artifacts.items()):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
                told.append([name, contents(kept.save(Path(place) / "kept"))])
    return told


def contents(path: Path) -> list[str]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def model(reference: str, trust: Any = None) -> Callable[[mm.Store, Path], Any]:
    def task(_: mm.Store, work: Path) -> Any:
        found = mm.load_model(reference, store=work / "store", trust=trust)
        return repr(found.model) if isinstance(found.model, dict) else found.predict([[3.0]]).tolist()

    return task


def data(store: mm.Store, _: Path) -> Any:
    told: list[Any] = [store.datasets["table"].load().to_csv(), store.datasets["table"].profile.rows]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        told.append(contents(store.datasets["files"].save(Path(place) / "kept")))
    return told


def compare(store: mm.Store, _: Path) -> Any:
    return store.compare("run-0", "run-1").to_dict()


def predictions(store: mm.Store, _: Path) -> Any:
    found = store.monitor("linear").predictions().to_frame()
    return [found.to_csv(), store.predictions["id-1"].prediction]


def about(store: mm.Store, _: Path) -> Any:
    return [len(store.lineage("linear:1").nodes), store.stats().object_bytes]


def problems(*, deep: bool) -> Callable[[mm.Store, Path], Any]:
    def task(store: mm.Store, _: Path) -> Any:
        return [[problem.where, problem.what, problem.is_unread] for problem in store.check(deep=deep)]

    return task


def repair(store: mm.Store, _: Path) -> Any:
    found = store.repair()
    return [len(found.problems), found.adopted, found.artifacts, found.data, found.predictions]


def backup(store: mm.Store, work: Path) -> Any:
    target = work / "backup"
    shutil.rmtree(target, ignore_errors=True)
    store.backup(target)
    store.close()


def put(on_error: str) -> Callable[[mm.Store, Path], Any]:
    """Sources that cannot be read: the run goes on without what it could not keep, or the call says so."""

    def task(store: mm.Store, work: Path) -> Any:
        source = work / "source"
        with store.start_run("reads", name="put", on_error=on_error, code=False) as run:
            run.log_artifact(source / "file.bin")
            run.log_artifact(source / "link", "linked")
            run.log_artifact(source / "folder", "folder")
            run.log_dataset(source / "folder", "new", keep=True)
            run.log_dataset(source / "file.bin", "single")
            run.log(loss=1.0)
        return run.id

    return task


def kept_names(work: Path, run: str) -> list[str]:
    """The artifacts and data of a run."""
    found = mm.Store(work / "store").runs[run]
    return sorted([*found.artifacts, *found.datasets])


def opened(name: str) -> Callable[[Any, Path], Any]:
    def task(_: Any, work: Path) -> Any:
        store = mm.Store(work / name, read_only=name != "crashed")
        found = [[run.name, run.status] for run in store.runs()]
        found += series(store, work)
        store.close()
        return found

    return task


def collect(store: mm.Store, _: Path) -> Any:
    store.gc(grace_s=0.0)
    store.close()


def delete(store: mm.Store, _: Path) -> Any:
    if "gone" in [run.name for run in store.runs()]:
        store.delete_run("gone", reason="because")
    store.gc(grace_s=0.0)
    store.close()


def merge(store: mm.Store, work: Path) -> Any:
    store.merge(work / "other")
    store.close()


def bring_in(store: mm.Store, work: Path) -> Any:
    if "brought" not in store.models:
        store.import_model(work / "bundle.zip", "brought")
    store.close()


def nothing(_: Path) -> None:
    return None


TASKS = (
    Task("runs and frames", runs),
    Task("series", series),
    Task("artifacts", artifacts),
    Task("model of scikit-learn", model("linear@production", ["sklearn.linear_model._base.LinearRegression"])),
    Task("model of arrays", model("run:run-0/arrays")),
    Task("data", data),
    Task("comparison", compare, tells=True),
    Task("predictions", predictions),
    Task("lineage and sizes", about),
    Task("audit", lambda store, _: store.audit.verify(), tells=True),
    Task("check", problems(deep=False), tells=True),
    Task("deep check", problems(deep=True), tells=True),
    Task("repair of a sound store", repair),
    Task("opening a store for reading", opened("store"), nothing),
    Task("opening after a crash", opened("crashed"), nothing, keeps=False),
    Task("putting files, warned", put("warn"), keeps=False, look=kept_names),
    Task("putting files, raising", put("raise"), keeps=False, look=kept_names),
    Task("gc", collect, keeps=False),
    Task("delete", delete, keeps=False),
    Task("merge", merge, keeps=False),
    Task("backup", backup, keeps=False),
    Task("taking in a bundle", bring_in, keeps=False),
)


@dataclass
class Outcome:
    """What a task said."""

    answer: Any = None
    error: str = ""
    kind: str = ""
    is_clear: bool = True
    warnings: list[str] = field(default_factory=list)

    def said(self) -> str:
        return " | ".join([self.error, *self.warnings])


def attempt(shim: Shim, work: Path, at: int, mode: Mode, task: Task) -> tuple[Outcome | None, int, list[str]]:
    """Do it in a child; what it said, the status of the child, and the calls that were counted or failed."""
    reading, log = os.pipe()

    def run(out: int) -> None:
        signal.alarm(HANG_S)
        tempfile.tempdir = str(work.parent / "temporary")
        outcome = Outcome()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ready = task.begin(work)
            shim.arm(work, at, mode, log)
            try:
                outcome.answer = task.do(ready, work)
            except (ModelmgmtError, OSError) as error:
                outcome.error, outcome.kind = str(error), type(error).__name__
                outcome.is_clear = isinstance(error, (StoreReadError, StoreWriteError)) and str(work) in str(error)
            finally:
                shim.arm(Path(ANYWHERE), 0, mode, -1)
            if not outcome.error:
                outcome.answer = task.look(work, outcome.answer)
        outcome.warnings = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
        with os.fdopen(out, "w") as pipe:
            json.dump(vars(outcome), pipe, default=str)

    pid, pipe = forked(run)
    os.close(log)
    lines: list[str] = []
    told = both(pipe, reading, lines)
    _, status = os.waitpid(pid, 0)
    return (Outcome(**json.loads(told)) if told else None), status, lines


def both(pipe: int, log: int, lines: list[str]) -> bytes:
    """Read two pipes to their ends; neither may be full while the other is waited for."""
    import threading

    thread = threading.Thread(target=lambda: lines.extend(read_all(log).decode().splitlines()))
    thread.start()
    told = read_all(pipe)
    thread.join()
    return told


def files(work: Path) -> dict[str, str]:
    """The bytes of every file that must stay as it is."""
    found = {}
    for path in sorted(work.rglob("*")):
        name = path.relative_to(work).as_posix()
        if path.is_file() and not name.endswith(("-shm", "-wal", ".lock")) and "/tmp/code-" not in name:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def state(work: Path) -> Any:
    """What is in every store that is there."""
    found = {}
    for name in ("store", "crashed", "backup"):
        if (work / name / "store.db").exists():
            here = stock(work / name)
            objects = sorted(path.name for path in (work / name / "objects").glob("*/*"))
            aside = sorted(path.name for path in (work / name).glob("set-aside/*"))
            runs = {run: {**about, "id": ""} for run, about in here["runs"].items()}
            found[name] = {**here, "runs": runs, "objects": objects, "aside": aside}
    return found


def reading(shim: Shim, every: int, place: Path, tally: Tally, task: Task) -> None:
    """Fail every call of a task that reads."""
    before, work = place / "before", place / "work"

    def prepare() -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(before, work, symlinks=True)

    prepare()
    preload(lambda: (task.do(task.begin(work), work), state(work)))
    prepare()
    expected, status, calls = attempt(shim, work, 0, READS[0], task)
    if expected is None or status or not expected.is_clear or expected.error:
        raise RuntimeError(f"{task.name} fails by itself: {expected}")
    undisturbed, _ = child(lambda out: os.write(out, json.dumps(state(work)).encode() + b"\n"))
    sound = files(before)
    tally.calls += len(calls)
    prepare()
    for at in chosen(len(calls), every):
        for mode in READS:
            for _ in range(TRIES):
                outcome, status, met = attempt(shim, work, at, mode, task)
                when = f"{task.name}, {mode} at call {at} of {len(calls)} ({met[0] if met else 'none'})"
                faults = list(judge(task, outcome, status, expected.answer))
                if not task.keeps or files(work) != sound:
                    faults += afterwards(shim, work, task, undisturbed)
                    prepare()
                tally.report.faults += [f"{when}: {fault}" for fault in faults]
                tally.errors += bool(outcome and outcome.error)
                tally.warned += bool(outcome and outcome.warnings)
                if tally.met(calls[at - 1], met[0] if met else ""):
                    break
            else:
                tally.moved += 1


def judge(task: Task, outcome: Outcome | None, status: int, expected: Any) -> list[str]:
    if outcome is None or status:
        return [f"it ended with status {status:#x}"]
    faults = []
    if not outcome.is_clear:
        faults.append(f"the error is not clear: {outcome.kind}: {outcome.error}")
    if WRONG_WORDS.search(outcome.said()):
        faults.append(f"it says more than can be known: {outcome.said()}")
    if outcome.error:
        return faults
    if task.name.startswith("putting"):
        return faults + putting(outcome, expected)
    if outcome.answer != expected and not (task.tells and told_of(outcome.answer)):
        faults.append(f"another answer: {str(outcome.answer)[:300]} and not {str(expected)[:300]}")
    return faults


def told_of(answer: Any) -> bool:
    """Whether it says what could not be read, and nothing else is wrong with it."""
    lines = answer["unread"] if isinstance(answer, dict) else answer
    said = [line if isinstance(line, str) else line[1] for line in lines]
    is_marked = all(line[2] for line in lines if not isinstance(line, str))
    return bool(said) and is_marked and not any(WRONG_WORDS.search(line) for line in said)


def putting(outcome: Outcome, expected: list[str]) -> list[str]:
    """What is not there was counted, and said."""
    missing = len(expected) - len(outcome.answer)
    said = [int(match[2].replace(",", "")) for line in outcome.warnings if (match := LOST.search(line))]
    # The end of the run may be a write that is lost as well.
    return [] if sum(said) >= missing else [f"{missing} writes are lost, and {said} were said to be"]


def afterwards(shim: Shim, work: Path, task: Task, undisturbed: list[Any]) -> list[str]:
    """Once more without a fault: the store is what it is when nothing ever failed."""
    if task.name.startswith("putting"):
        found, status = child(lambda out: os.write(out, json.dumps(state(work)).encode() + b"\n"))
        if status or not found:
            return [f"the store cannot be read afterwards (status {status:#x})"]
        return [str(problem) for problem in found[0]["store"]["problems"]]
    outcome, status, _ = attempt(shim, work, 0, READS[0], task)
    if outcome is None or status or outcome.error:
        return [f"it cannot be done afterwards: {outcome and outcome.error}"]
    found, status = child(lambda out: os.write(out, json.dumps(state(work)).encode() + b"\n"))
    if status or not found:
        return [f"the store cannot be read afterwards (status {status:#x})"]
    return (
        []
        if found == undisturbed
        else [f"the store is another one: {kill_openers.difference(found[0], undisturbed[0])}"]
    )


def inject(every: int, only: str, place: Path) -> Tally:
    shim, tally = Shim(os.environ[SHIM]), Tally()
    (place / "reads" / "temporary").mkdir(parents=True)
    pid, pipe = forked(lambda _: make(place / "reads" / "before"))
    read_all(pipe)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the stores could not be made")
    for task in TASKS:
        if re.search(only, task.name):
            reading(shim, every, place / "reads", tally, task)
    for number, (name, ops, seeded) in enumerate(TRAININGS):
        if re.search(only, name):
            training(shim, every, place / f"training-{number}", tally, name, ops(), seeded=seeded, modes=READS)
    for case in kill_openers.cases(writes=60, dead=1, points=400):
        if re.search(only, case.name):
            opening(shim, every, place, tally, case, READS)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="let every so manyth call fail; 1 is all of them")
    parser.add_argument("--only", default="", help="the tasks, trainings and openings whose name this expression finds")
    options = parser.parse_args()
    if PLACE not in os.environ:
        return again("reads", with_shim=True)
    tempfile.tempdir = os.environ[PLACE]
    tally = inject(options.every, options.only, Path(os.environ[PLACE]))
    for fault in tally.report.faults[:60]:
        print(fault)
    print(tally)
    return 1 if tally.report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
