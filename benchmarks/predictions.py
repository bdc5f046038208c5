"""What logging predictions costs a service, and what they take on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import modelmgmt as mm
from benchmarks.measure import (
    Figure,
    Scale,
    folder,
    in_turns,
    median_us,
    per_call_in_turns,
    percentile_us,
    seconds,
    size_of,
)
from modelmgmt.observe import folding
from modelmgmt.observe.monitor import Monitor

BASELINE = (
    "One `execute('INSERT ...')` (of a batch `executemany` over `tolist()`) and one `commit()` on a SQLite table "
    "(id, time, prediction, 20 inputs) in WAL mode with synchronous=NORMAL and the primary key `id`."
)
Numbers = NDArray[np.float64]
FEATURES = 20
BATCH = 1_000
_WANTED = "the one that is looked for"
_INSERT = f"INSERT INTO predictions VALUES ({', '.join('?' * (FEATURES + 3))})"


def run(place: Path, scale: Scale) -> list[Figure]:
    rng = np.random.default_rng(0)
    asked, said = rng.normal(size=(BATCH, FEATURES)), rng.normal(size=BATCH)
    frame = pd.DataFrame(asked, columns=[f"feature_{number}" for number in range(FEATURES)])
    with (
        folder(place) as here,
        mm.Store(here / "store") as store,
        closing(_table(here / "plain.db")) as plain,
    ):
        digest = store._kernel.objects.put_bytes(b"weights").digest
        store.models.register("churn", digest=digest, format="raw")
        monitor = store.monitor("churn:1")
        number = count()

        def ids(rows: int) -> list[str]:
            return [f"order-{next(number)}" for _ in range(rows)]

        commit, log = _committer(plain, asked, said, ids), _logger(monitor, asked, said, ids)
        calls = max(50, scale.calls // 20)
        settle = folding.of(store._kernel).settle
        one = per_call_in_turns(
            {
                "array": (lambda: log(1), calls),
                "frame": (lambda: monitor.log(frame[:1], said[:1], ids(1)), calls),
                "commit": (lambda: commit(1), calls),
            },
            scale.rounds,
            between=settle,
        )
        # Between those of one row and those of many, with which it is folded.
        monitor.log(asked[:1], said[:1], [_WANTED])
        _committer(plain, asked, said, lambda _: [_WANTED])(1)
        many = per_call_in_turns(
            {"log": (lambda: log(BATCH), max(5, calls // 25)), "commit": (lambda: commit(BATCH), max(5, calls // 25))},
            scale.rounds,
            between=settle,
        )
        settle()
        folding.fold(store._kernel, 2, 1)
        kept = len(store.monitor("churn").predictions())
        seek = in_turns(
            {
                "ours": lambda: store.predictions[_WANTED],
                "plain": lambda: plain.execute("SELECT * FROM predictions WHERE id = ?", (_WANTED,)).fetchall(),
            },
            scale.repeats,
        )
        large = _large(here, scale, rng)
    array, row, single = (median_us(one[name]) for name in ("array", "frame", "commit"))
    worst = {name: percentile_us(taken, 99) for name, taken in one.items()}
    batch, batch_commit = median_us(many["log"]), median_us(many["commit"])
    return [
        Figure("one prediction, inputs as an array / commit of its row", array / single, None, "lower",
               f"{array:.0f} us / {single:.0f} us; p99 {worst['array']:.0f} us / {worst['commit']:.0f} us"),
        Figure("one prediction, inputs as a frame / 1 ms", row / 1000, 1, "lower",
               f"{row:.0f} us / 1 ms; p99 {worst['frame']:.0f} us"),
        Figure("a batch of 1,000 / commit of its rows", batch / batch_commit, 1, "lower",
               f"{batch / BATCH:.2f} us / {batch_commit / BATCH:.2f} us a prediction; 20 inputs"),
        *large,
        Figure("one by its id / by a primary key", seek["ours"] / seek["plain"], None, "lower",
               f"{seek['ours'] * 1000:.1f} ms / {seek['plain'] * 1000:.3f} ms; among {kept:,}"),
    ]  # fmt: skip


def _large(here: Path, scale: Scale, rng: np.random.Generator) -> list[Figure]:
    """A backfill at once, and what it takes on disk."""
    rows = scale.points // 5
    asked, said = rng.normal(size=(rows, FEATURES)).round(3), rng.normal(size=rows).round(3)
    frame = pd.DataFrame(asked)
    keys = [f"order-{number}" for number in range(rows)]
    (here / "rows").mkdir()
    with mm.Store(here / "large") as store, closing(_table(here / "rows" / "plain.db")) as plain:
        digest = store._kernel.objects.put_bytes(b"weights").digest
        store.models.register("churn", digest=digest, format="raw")
        monitor = store.monitor("churn:1")
        before = size_of(here / "large")
        ours = seconds(lambda: monitor.log(frame, said, keys))
        theirs = seconds(lambda: _committer(plain, asked, said, lambda _: keys)(rows))
    size, table = size_of(here / "large") - before, size_of(here / "rows")
    return [
        Figure(f"{rows:,} at once / commit of their rows", ours / theirs, None, "lower",
               f"{ours / rows * 1e6:.2f} us / {theirs / rows * 1e6:.2f} us a prediction; 20 inputs"),
        Figure(f"{rows:,} at once, bytes on disk / of the table", size / table, None, "lower",
               f"{size / rows:.0f} bytes / {table / rows:.0f} bytes a prediction"),
    ]  # fmt: skip


def _table(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    features = ", ".join(f"feature_{number} REAL" for number in range(FEATURES))
    connection.execute(f"CREATE TABLE predictions (id TEXT PRIMARY KEY, time INTEGER, prediction REAL, {features})")
    return connection


def _committer(
    connection: sqlite3.Connection, asked: Numbers, said: Numbers, ids: Callable[[int], list[str]]
) -> Callable[[int], None]:
    def commit(rows: int) -> None:
        keys = ids(rows)
        values = zip(keys, said[:rows].tolist(), asked[:rows].tolist(), strict=True)
        connection.executemany(_INSERT, [(key, 1_767_225_600_000_000, one, *row) for key, one, row in values])
        connection.commit()

    return commit


def _logger(monitor: Monitor, asked: Numbers, said: Numbers, ids: Callable[[int], list[str]]) -> Callable[[int], None]:
    log = monitor.log

    def call(rows: int) -> None:
        log(asked[:rows], said[:rows], ids(rows))

    return call
