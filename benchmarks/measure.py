"""How time is taken: subject and baseline in turns, many repetitions, medians; a call is not charged for the clock."""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: a ratio to a baseline, and what it should reach; without a target it is only printed."""

    name: str
    ratio: float
    target: float | None
    better: Literal["higher", "lower"]
    detail: str
    """The absolute numbers behind the ratio, for this machine at this moment."""

    @property
    def is_met(self) -> bool | None:
        """None where there is nothing to reach."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.better == "higher" else self.ratio <= self.target


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is."""

    points: int
    """In a long series."""
    committed_points: int
    """For the baseline that commits each point; its time is scaled to `points`."""
    repeats: int
    """Of what takes seconds."""
    rounds: int
    """Of what takes microseconds; each round is a block of the subject's calls, then one of the baseline's."""
    calls: int
    """Of the subject in a round; a commit, which costs more, is called a tenth as often."""
    processes: int
    """Interpreters started to time an import."""
    runs: int
    """In the store that is queried."""
    created_runs: int
    file_bytes: int


FULL = Scale(
    points=1_000_000, committed_points=100_000, repeats=5, rounds=20, calls=10_000, processes=20, runs=20_000,
    created_runs=200, file_bytes=512 << 20,
)  # fmt: skip
QUICK = Scale(
    points=20_000, committed_points=500, repeats=1, rounds=2, calls=500, processes=2, runs=200, created_runs=5,
    file_bytes=1 << 20,
)  # fmt: skip


@contextmanager
def folder(place: Path) -> Iterator[Path]:
    """A folder that is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=place) as name:
        yield Path(name)


def seconds(call: Call) -> float:
    """How long one call takes, without what others left for the garbage collector."""
    gc.collect()
    begin = perf_counter()
    call()
    return perf_counter() - begin


def in_turns(calls: Mapping[str, Call], repeats: int) -> dict[str, float]:
    """The median seconds of each call; they take turns, so that a busy moment meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return {name: statistics.median(values) for name, values in taken.items()}


def each_call_ns(call: Call, count: int) -> NDArray[np.int64]:
    """How long each of `count` calls takes, less what the clock and an empty call take: nanoseconds, `(count,)`."""
    empty = int(np.median(_laps(_nothing, 1_000)))
    return np.maximum(_laps(call, count) - empty, 0)


def per_call_in_turns(
    calls: Mapping[str, tuple[Call, int]], rounds: int, between: Call
) -> dict[str, NDArray[np.int64]]:
    """Nanoseconds of every call, `(rounds * count,)`, by name: blocks of `count` calls, in turns.

    `between` runs before each block, off the clock: what one block left under way must not slow the next one.
    """
    taken: dict[str, list[NDArray[np.int64]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, count) in calls.items():
            between()
            gc.collect()
            taken[name].append(each_call_ns(call, count))
    return {name: np.concatenate(blocks) for name, blocks in taken.items()}


def median_us(nanoseconds: NDArray[np.int64]) -> float:
    return float(np.median(nanoseconds)) / 1000


def percentile_us(nanoseconds: NDArray[np.int64], percent: float) -> float:
    return float(np.percentile(nanoseconds, percent)) / 1000


def size_of(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _laps(call: Call, count: int) -> NDArray[np.int64]:
    # The gap between one reading of the clock and the next holds one call.
    clock = perf_counter_ns
    marks = [0] * (count + 1)
    marks[0] = clock()
    for place in range(1, count + 1):
        call()
        marks[place] = clock()
    read = np.array(marks, np.int64)
    return read[1:] - read[:-1]


def _nothing() -> None:
    """What an empty call costs."""
