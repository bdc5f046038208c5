"""Frames of runs and of their histories."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from modelmgmt.store.chunk import Points
from modelmgmt.tracking import runs
from modelmgmt.tracking.record import RunRecord

if TYPE_CHECKING:
    import sqlite3


def runs_frame(connection: sqlite3.Connection, found: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a run, indexed by id; see `Runs.to_frame`."""
    ids = [record.id for record in found]
    place = {run: at for at, run in enumerate(ids)}
    columns: dict[str, Any] = {
        "name": pd.Series([record.name for record in found], dtype=object),
        "experiment": pd.Series([record.experiment for record in found], dtype=object),
        "status": pd.Series([record.true_status for record in found], dtype=object),
        "started_at": _times([record.started_at for record in found]),
        "duration_s": pd.Series([record.duration_s for record in found], dtype="float64"),
        "group": pd.Series([record.group_name for record in found], dtype=object),
        "parent": pd.Series([record.parent for record in found], dtype=object),
    }
    columns |= _params(connection, ids, place)
    columns |= _metrics(connection, ids, place)
    columns |= _tags(connection, ids, place)
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(ids)))
    frame.index = pd.Index(ids, name="run", dtype=object)
    return frame


def history_frame(parts: Iterable[tuple[str, str, Points]]) -> pd.DataFrame:
    """The long frame of `(run, name, points)`; see `Runs.history`."""
    kept = [part for part in parts if len(part[2].steps)]
    lengths = [len(points.steps) for _, _, points in kept]
    times = _column([points.times for _, _, points in kept], np.int64).view("datetime64[us]")
    return pd.DataFrame(
        {
            "run": _repeated([run for run, _, _ in kept], lengths),
            "name": _repeated([name for _, name, _ in kept], lengths),
            "step": _column([points.steps for _, _, points in kept], np.int64),
            "value": _column([points.values for _, _, points in kept], np.float64),
            "time": pd.Series(times).dt.tz_localize("UTC"),
        }
    )


def _params(connection: sqlite3.Connection, ids: list[str], place: dict[str, int]) -> dict[str, pd.Series[Any]]:
    columns: dict[str, list[Any]] = {}
    kinds: dict[str, list[str]] = {}
    for run, param in runs.read_params(connection, ids):
        column = columns.get(param.key)
        if column is None:
            column = columns[param.key] = [None] * len(ids)
            kinds[param.key] = []
        column[place[run]] = param.decode()
        kinds[param.key].append(param.type)
    return {
        f"params.{key}": _typed(columns[key], set(kinds[key]), len(ids) - len(kinds[key])) for key in sorted(columns)
    }


def _typed(cells: list[Any], kinds: set[str], missing: int) -> pd.Series[Any]:
    """The narrowest dtype that keeps every value what it is."""
    complete = missing == 0 and "null" not in kinds
    kinds = kinds - {"null"}
    if kinds == {"bool"}:
        return pd.Series(cells, dtype="bool" if complete else "boolean")
    if kinds == {"int"} and all(cell is None or -(1 << 63) <= cell < 1 << 63 for cell in cells):
        return pd.Series(cells, dtype="int64" if complete else "Int64")
    if kinds == {"float"}:
        return pd.Series([math.nan if cell is None else cell for cell in cells], dtype="float64")
    return pd.Series(cells, dtype=object)


def _metrics(connection: sqlite3.Connection, ids: list[str], place: dict[str, int]) -> dict[str, pd.Series[Any]]:
    cells: dict[str, Any] = {}
    for run, key, last in runs.read_last(connection, ids):
        column = cells.get(key)
        if column is None:
            column = cells[key] = np.full(len(ids), math.nan)
        if last is not None:
            column[place[run]] = last
    return {f"metrics.{key}": pd.Series(cells[key]) for key in sorted(cells)}


def _tags(connection: sqlite3.Connection, ids: list[str], place: dict[str, int]) -> dict[str, pd.Series[Any]]:
    columns: dict[str, list[Any]] = {}
    for run, key, value in runs.read_tags(connection, ids):
        column = columns.get(key)
        if column is None:
            column = columns[key] = [None] * len(ids)
        column[place[run]] = value
    return {f"tags.{key}": pd.Series(columns[key], dtype=object) for key in sorted(columns)}


def _times(texts: list[str]) -> pd.Series[Any]:
    return pd.Series(pd.to_datetime(texts, utc=True, format="ISO8601").as_unit("us"))


def _column(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _repeated(labels: list[str], lengths: list[int]) -> Any:
    # A categorical would be smaller; plain text is what every join and group by expects.
    return np.repeat(np.array(labels, dtype=object), lengths)
