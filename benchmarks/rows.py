"""The baseline: a plain SQLite table with one row per point, and the points that are kept in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import repeat
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

RUN = "01jd0f3v9m2k7wq5x8r4tz6abc"  # as long as the ids that trackers use
KEY = "train/loss"
INSERT = "INSERT INTO points (run, key, step, value, time) VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT step, value, time FROM points WHERE run = ? AND key = ? ORDER BY step"
ROW = np.dtype([("step", "i8"), ("value", "f8"), ("time", "i8")])

_TABLE = "CREATE TABLE points (run TEXT, key TEXT, step INTEGER, value REAL, time INTEGER)"
_INDEX = "CREATE INDEX points_by_series ON points (run, key, step)"


class Loss(NamedTuple):
    """A training's loss, `(n_points,)` each: int64 steps, values born as float32, times in microseconds."""

    steps: NDArray[np.int64]
    values: NDArray[np.float32]
    times: NDArray[np.int64]


def loss(count: int, seed: int = 0) -> Loss:
    """A noisy decaying loss; a step takes 100 ms, give or take, and now and then a checkpoint takes longer."""
    random = np.random.default_rng(seed)
    steps = np.arange(count)
    trend = 0.2 + 2.3 * np.exp(-5.0 * steps / max(count, 1))
    values = (trend * random.lognormal(0.0, 0.1, count)).astype(np.float32)
    step_us = random.normal(100_000, 4_000, count).clip(50_000)
    step_us[random.random(count) < 0.001] += 2_000_000
    times = 1_767_225_600_000_000 + np.cumsum(step_us.astype(np.int64))
    return Loss(steps, values, times)


def as_rows(points: Loss) -> Iterable[tuple[str, str, int, float, int]]:
    """The points as rows, made while they are inserted."""
    columns: tuple[Iterator[str], Iterator[str], list[int], list[float], list[int]] = (
        repeat(RUN), repeat(KEY), points.steps.tolist(), points.values.tolist(), points.times.tolist(),
    )  # fmt: skip
    return zip(*columns, strict=False)


@contextmanager
def table(
    path: Path, *, index: bool = True, synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
) -> Iterator[sqlite3.Connection]:
    """A new database in WAL mode with the table of points."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(_TABLE)
        if index:
            connection.execute(_INDEX)
        connection.commit()
        yield connection


class Committer:
    """Inserts a row and commits, each time it is called; steps count up."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._step = 0

    def __call__(self) -> None:
        step = self._step
        self._step = step + 1
        self._connection.execute(INSERT, (RUN, KEY, step, 0.25, 1_767_225_600_000_000 + step))
        self._connection.commit()
