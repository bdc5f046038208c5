"""Starting a run with its code: a repository of 1,000 files, all of them imported, nothing changed since the last run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import FULL, Figure, Scale, folder, seconds

BASELINE = (
    "30 ms a start. Beside it, one `git status` of the same repository, which is what a look at the files costs git. "
    "All 1,000 modules are imported, which is the most there can be to look at; git has a change to report."
)
ALLOWED_S = 0.030
AGE_S = 2.5  # a file that was written just before it was read is read again

_SCRIPT = """
import json, time
import modelmgmt as mm
import package.everything
store = mm.Store()
taken, cpu = [], []
for _ in range({runs}):
    begin, begin_cpu = time.perf_counter(), time.thread_time()
    run = store.start_run("code")
    taken.append(time.perf_counter() - begin)
    cpu.append(time.thread_time() - begin_cpu)
    run.finish()
assert len(run.code.files) == {files} + 2, len(run.code.files)
print(json.dumps([taken, cpu]))
"""


def run(place: Path, scale: Scale) -> list[Figure]:
    is_full = scale.created_runs == FULL.created_runs
    files, processes, runs = (1_000, 7, 50) if is_full else (20, 1, 3)
    with folder(place) as here:
        _make(here / "project", files, runs)
        _train(here)  # the run before
        time.sleep(AGE_S if is_full else 0)
        _train(here)  # and one that need not trust files that were just written
        first, later, busy, status = [], [], [], []
        for _ in range(processes):
            status.append(seconds(lambda: _git(here / "project", "status", "--porcelain")))
            taken, cpu = _train(here)
            first.append(taken[0])
            busy.append(cpu[0])
            later += taken[1:]
    start, again, asked = (statistics.median(values) for values in (first, later, status))
    detail = f"{start * 1000:.1f} ms, of which {statistics.median(busy) * 1000:.1f} ms CPU"
    return [
        Figure("start_run, the first of a process / 30 ms", start / ALLOWED_S, 1, "lower", detail),
        Figure("start_run, a later one / 30 ms", again / ALLOWED_S, 1, "lower", f"{again * 1000:.2f} ms"),
        Figure(
            "start_run, the first of a process / git status", start / asked, None, "lower",
            f"{start * 1000:.1f} ms / {asked * 1000:.1f} ms",
        ),
    ]  # fmt: skip


def _make(project: Path, files: int, runs: int) -> None:
    package = project / "package"
    package.mkdir(parents=True)
    names = [f"module_{number}" for number in range(files - 1)]
    body = "\n".join(f"def function_{number}(x):\n    return x * {number}\n" for number in range(40))
    for name in names:
        (package / f"{name}.py").write_text(f"# {name}\n{body}")
    (package / "__init__.py").write_text("")
    (package / "everything.py").write_text("".join(f"import package.{name}\n" for name in names))
    (project / "train.py").write_text("")
    _git(project, "init", "-q")
    _git(project, "add", "-A")
    _git(project, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all")
    (project / "train.py").write_text(_SCRIPT.format(runs=runs, files=files))


def _train(here: Path) -> tuple[list[float], list[float]]:
    """Seconds of each start, and how many of them the processor was at work for the caller."""
    environment = {**os.environ, "MODELMGMT_STORE": str(here / "store"), "MODELMGMT_CODE": "on"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=here / "project", env=environment, capture_output=True, text=True, check=True
    )
    taken, cpu = json.loads(done.stdout)
    return taken, cpu


def _git(project: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=project, capture_output=True, check=True)
