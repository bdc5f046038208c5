"""Many processes that log to one store at once, and what the worst call costs beside a fold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder

BASELINE = (
    "What one process reaches alone, times the number of cores (or of processes, if those are fewer): points per second from "
    "the common start to the last call. The one alone is measured before and after, in stores of its own."
)
PROCESSES = 16

_LOGGER = """
import sys, time
import modelmgmt as mm
number, count = int(sys.argv[2]), int(sys.argv[3])
with mm.Store(sys.argv[1]) as store:
    run = store.start_run("many", name=f"process {number}")
    run.log(loss=-1.0)
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.perf_counter()
    for step in range(count):
        run.log(loss=0.25)
    print(time.perf_counter() - begin, flush=True)
    sys.stdin.readline()
    run.finish()
"""


def run(place: Path, scale: Scale) -> list[Figure]:
    count = scale.points // PROCESSES
    cores = min(os.cpu_count() or 1, PROCESSES)
    with folder(place) as here:
        alone, _ = _points_per_s(here / "alone", 1, count)
        together, errors = _points_per_s(here / "together", PROCESSES, count)
        alone_again, _ = _points_per_s(here / "again", 1, count)
        lost = PROCESSES * (count + 1) - _points_in(here / "together")
    single = (alone + alone_again) / 2
    return [
        Figure(
            f"{PROCESSES} processes to one store / one alone x cores", together / (single * cores), 0.5, "higher",
            f"{together:,.0f} points/s / {single:,.0f} points/s x {cores} cores",
        ),
        Figure(
            f"{PROCESSES} processes to one store, points lost", lost, 0, "lower",
            f"of {PROCESSES * (count + 1):,}; {errors} processes with an error",
        ),
        Figure(f"{PROCESSES} processes to one store, errors", errors, 0, "lower", "processes that did not end well"),
    ]  # fmt: skip


def _points_per_s(path: Path, processes: int, count: int) -> tuple[float, int]:
    """Points per second of all together, and how many processes failed."""
    mm.Store(path).close()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _LOGGER, str(path), str(number), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(processes)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    begin = perf_counter()
    for child in children:
        _go_on(child)
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    taken = perf_counter() - begin
    errors = 0
    for child in children:
        _go_on(child)
        child.communicate()
        errors += child.returncode != 0
    return processes * count / taken, errors


def _go_on(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def _points_in(path: Path) -> int:
    with mm.Store(path) as store:
        return sum(run.summaries["loss"].count for run in store.runs())
