"""Reading a long series back as numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns
from benchmarks.rows import INSERT, KEY, ROW, RUN, SELECT, as_rows, loss, table

BASELINE = (
    "Steps, values and times of the same points fetched by an indexed SELECT ... ORDER BY step into numpy arrays, by "
    "`numpy.fromiter` over the cursor: the fastest of four ways tried. Beside it, the usual `zip(*rows)` and `np.array`."
)


def run(place: Path, scale: Scale) -> list[Figure]:
    points = loss(scale.points)
    with folder(place) as here, table(here / "rows.db") as connection, mm.Store(here / "store") as store:
        with connection:
            connection.executemany(INSERT, as_rows(points))
        with store.start_run("read") as bulk:
            bulk.log_series(KEY, points.values, points.steps, points.times)
        with store.start_run("read") as single:
            for value in points.values.tolist():
                single.log({KEY: value})

        def usual() -> object:
            return [np.array(column) for column in zip(*connection.execute(SELECT, (RUN, KEY)), strict=True)]

        taken = in_turns(
            {
                "bulk": lambda: bulk.series(KEY).values,
                "single": lambda: single.series(KEY).values,
                "rows": lambda: np.fromiter(connection.execute(SELECT, (RUN, KEY)), ROW),
                "usual": usual,
            },
            max(scale.repeats * 2 - 1, 1),
        )
    rows, usual_s = taken["rows"], taken["usual"]
    return [
        Figure(
            f"read a series {how} / SQLite rows", taken[name] / rows, 1 / 15, "lower",
            f"{taken[name] * 1000:.1f} ms / {rows * 1000:.0f} ms; the usual way {usual_s * 1000:.0f} ms "
            f"(1/{usual_s / taken[name]:.0f})",
        )
        for how, name in (("logged as an array", "bulk"), ("logged by single calls", "single"))
    ]  # fmt: skip
