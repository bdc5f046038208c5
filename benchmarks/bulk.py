"""A million points: by single calls, and as one array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns, seconds
from benchmarks.rows import INSERT, Committer, Loss, as_rows, loss, table

BASELINE = (
    "The same points as rows of a SQLite table (run, key, step, value, time), WAL, synchronous=NORMAL: `executemany` in "
    "one transaction, from the same arrays; and one commit per point, measured on fewer points and scaled up. Each is "
    "timed from opening a new folder to closing it: the run finished, every point folded; the rows checkpointed."
)


def run(place: Path, scale: Scale) -> list[Figure]:
    points = loss(scale.points)
    values = points.values.tolist()
    share = scale.committed_points / scale.points
    with folder(place) as here:
        mm.Store(here / "warm").start_run().finish()  # what is imported at the first use is not what is measured
        number = iter(range(1 << 30))

        def new(work: Callable[[Path], object]) -> Callable[[], object]:
            return lambda: work(here / str(next(number)))

        taken = in_turns(
            {
                "calls": new(lambda path: _single_calls(path, values)),
                "series": new(lambda path: _series(path, points)),
                "rows": new(lambda path: _executemany(path, points, index=True)),
                "rows without index": new(lambda path: _executemany(path, points, index=False)),
                "commits": new(lambda path: _commits(path, scale.committed_points)),
            },
            scale.repeats,
        )
        finish_s = seconds(lambda: _single_calls(here / "finish", values[:1]))
    commits_s = taken["commits"] / share
    calls, series, rows, plain = (taken[name] for name in ("calls", "series", "rows", "rows without index"))
    return [
        Figure(
            "single calls to a finished run, points/s / commit per point, points/s", commits_s / calls, 3, "higher",
            f"{scale.points / calls:,.0f} / {scale.points / commits_s:,.0f} points/s "
            f"({scale.committed_points:,} points, scaled); {finish_s * 1000:.0f} ms of it is a store with one point",
        ),
        Figure(
            "single calls to a finished run / executemany", calls / rows, 1.5, "lower", f"{calls:.2f} s / {rows:.2f} s"
        ),
        Figure(
            "single calls to a finished run / executemany without an index", calls / plain, None, "lower",
            f"{calls:.2f} s / {plain:.2f} s",
        ),
        Figure(
            "executemany / log_series", rows / series, 10, "higher", f"{rows:.2f} s / {series * 1000:.0f} ms"
        ),
        Figure(
            "executemany without an index / log_series", plain / series, None, "higher",
            f"{plain:.2f} s / {series * 1000:.0f} ms",
        ),
    ]  # fmt: skip


def _single_calls(path: Path, values: list[float]) -> None:
    with mm.Store(path) as store:
        training = store.start_run("bulk")
        log = training.log
        for value in values:
            log(loss=value)
        training.finish()


def _series(path: Path, points: Loss) -> None:
    with mm.Store(path) as store:
        training = store.start_run("bulk")
        training.log_series("loss", points.values, points.steps, points.times)
        training.finish()


def _executemany(path: Path, points: Loss, *, index: bool) -> None:
    with table(path, index=index) as connection, connection:
        connection.executemany(INSERT, as_rows(points))


def _commits(path: Path, count: int) -> None:
    with table(path) as connection:
        commit = Committer(connection)
        for _ in range(count):
            commit()
