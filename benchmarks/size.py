"""Bytes per point on disk."""

from __future__ import annotations

from pathlib import Path

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, size_of
from benchmarks.rows import INSERT, Loss, as_rows, loss, table

BASELINE = (
    "10 bytes a point. Beside it, the same points as rows of a SQLite table (run, key, step, value, time) with and "
    "without the index on (run, key, step). Points are losses born as float32, with steps, and times that jitter as "
    "those of a training do. All files of the store count, less those of a store without points."
)
ALLOWED = 10
KEYS = 20


def run(place: Path, scale: Scale) -> list[Figure]:
    points = loss(scale.points)
    short = [loss(scale.points // 100, seed) for seed in range(KEYS)]
    with folder(place) as here:
        empty = _store_bytes(here / "empty", [])
        long_bytes = (_store_bytes(here / "long", [points]) - empty) / scale.points
        short_bytes = (_store_bytes(here / "short", short) - empty) / (KEYS * len(short[0].steps))
        rows = _rows_bytes(here / "rows.db", points, index=True) / scale.points
        plain = _rows_bytes(here / "plain.db", points, index=False) / scale.points
    against = f"SQLite rows {rows:.1f}, without an index {plain:.1f}"
    return [
        Figure(
            "bytes per point, one long series / 10 bytes", long_bytes / ALLOWED, 1, "lower",
            f"{long_bytes:.2f} bytes; {against}",
        ),
        Figure(
            f"bytes per point, {KEYS} series of a hundredth of that / 10 bytes", short_bytes / ALLOWED, 1, "lower",
            f"{short_bytes:.2f} bytes; {against}",
        ),
        Figure(
            "bytes per point, SQLite rows / one long series", rows / long_bytes, None, "higher",
            f"{rows:.1f} / {long_bytes:.2f} bytes",
        ),
    ]  # fmt: skip


def _store_bytes(path: Path, series: list[Loss]) -> int:
    with mm.Store(path) as store, store.start_run("size") as training:
        for number, points in enumerate(series):
            training.log_series(f"loss_{number}", points.values, points.steps, points.times)
    return size_of(path)


def _rows_bytes(path: Path, points: Loss, *, index: bool) -> int:
    with table(path, index=index) as connection, connection:
        connection.executemany(INSERT, as_rows(points))
    return path.stat().st_size
