"""Frames of runs and of their histories."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from modelmgmt.store.chunk import Points
from modelmgmt.tracking import runs
from modelmgmt.tracking.query import Field
from modelmgmt.tracking.record import RunRecord

if TYPE_CHECKING:
    import sqlite3


def runs_frame(connection: sqlite3.Connection, found: Sequence[RunRecord]) -> tuple[pd.DataFrame, list[str]]:
    """One row a run, indexed by id; see `Runs.to_frame`. Then a sentence for each run that is damaged, and left out."""
    cells = _read(connection, found)
    columns = {f"params.{key}": _typed(column) for key, column in sorted(cells.params.items())}
    columns |= {f"metrics.{key}": _numbers(column) for key, column in sorted(cells.metrics.items())}
    columns |= {f"tags.{key}": _objects(column, None) for key, column in sorted(cells.tags.items())}
    return _framed(cells.found, {**_own(cells), **columns}), cells.unread


def shown_frame(
    connection: sqlite3.Connection, found: Sequence[RunRecord], asked: Sequence[Field] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """The same to be shown: every value is what it is, in columns of objects, and what a run never had is NA.

    Then it has a column for every field of `asked`, such as `metrics.loss.min` and `user`.
    """
    cells = _read(connection, found)
    columns = {f"params.{key}": _objects(column, pd.NA) for key, column in sorted(cells.params.items())}
    columns |= {f"metrics.{key}": _objects(column, pd.NA) for key, column in sorted(cells.metrics.items())}
    for field in asked:
        if field.table == "metrics" and field.part not in ("", "last") and field.key in cells.metrics:
            summaries = runs.read_summaries(connection, [record.id for record in cells.found], field.key)
            parts = [
                getattr(summaries[record.id], field.part) if record.id in summaries else pd.NA for record in cells.found
            ]
            columns[column_of(field)] = pd.Series(parts, dtype=object)
    columns |= {f"tags.{key}": _objects(column, pd.NA) for key, column in sorted(cells.tags.items())}
    own = _own(cells)
    for field in asked:
        if field.table == "run" and column_of(field) not in own:
            known = [pd.NA if (value := getattr(record, field.key)) is None else value for record in cells.found]
            own[field.key] = pd.Series(known, dtype=object)
    return _framed(cells.found, {**own, **columns}), cells.unread


def column_of(field: Field) -> str:
    """The column of these frames that shows what a filter or an order names."""
    if field.table == "run":
        return field.key
    return f"{field.table}.{field.key}{f'.{field.part}' if field.part and field.part != 'last' else ''}"


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


class _Cells(dict[int, Any]):
    """The values of one column by the place of their run, of `count` runs; who has none is not in it."""

    def __init__(self, values: Mapping[int, Any], count: int) -> None:
        super().__init__(values)
        self.count = count


@dataclass(frozen=True, slots=True)
class _Read:
    """What the tables hold of some runs, column by column."""

    found: list[RunRecord]
    params: dict[str, _Cells]
    metrics: dict[str, _Cells]
    tags: dict[str, _Cells]
    unread: list[str]


def _read(connection: sqlite3.Connection, found: Sequence[RunRecord]) -> _Read:
    ids = [record.id for record in found]
    damaged: dict[str, str] = {}
    readers = (runs.read_params, runs.read_last, runs.read_tags)
    values = [list(reader(connection, ids, damaged)) for reader in readers]
    kept = [record for record in found if record.id not in damaged]
    place = {record.id: at for at, record in enumerate(kept)}
    parts: list[dict[str, _Cells]] = [{}, {}, {}]
    for columns, part in zip(parts, values, strict=True):
        for run, key, value in part:
            if run in place:
                columns.setdefault(key, _Cells({}, len(kept)))[place[run]] = value
    params, metrics, tags = parts
    return _Read(
        kept,
        params,
        metrics,
        tags,
        [runs.left_out(record, damaged[record.id]) for record in found if record.id in damaged],
    )


def _own(cells: _Read) -> dict[str, pd.Series[Any]]:
    """What a run is."""
    found = cells.found
    diverged: list[list[str]] = [[] for _ in found]
    for key in sorted(cells.metrics):
        for place, last in cells.metrics[key].items():
            if not math.isfinite(last):
                diverged[place].append(key)
    return {
        "name": pd.Series([record.name for record in found], dtype=object),
        "experiment": pd.Series([record.experiment for record in found], dtype=object),
        "status": pd.Series([record.true_status for record in found], dtype=object),
        "started_at": _times([record.started_at for record in found]),
        "duration_s": pd.Series([record.duration_s for record in found], dtype="float64"),
        "group": pd.Series([record.group_name for record in found], dtype=object),
        "parent": pd.Series([record.parent for record in found], dtype=object),
        "diverged": pd.Series([", ".join(keys) for keys in diverged], dtype=object),
    }


def _framed(found: Sequence[RunRecord], columns: dict[str, pd.Series[Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(found)))
    frame.index = pd.Index([record.id for record in found], name="run", dtype=object)
    return frame


def _objects(column: _Cells, missing: Any) -> pd.Series[Any]:
    return pd.Series([column.get(place, missing) for place in range(column.count)], dtype=object)


def _typed(column: _Cells) -> pd.Series[Any]:
    """The narrowest dtype that keeps every value what it is."""
    cells = [column.get(place) for place in range(column.count)]
    kinds = {type(cell) for cell in cells} - {type(None)}
    complete = None not in cells
    if kinds == {bool}:
        return pd.Series(cells, dtype="bool" if complete else "boolean")
    if kinds == {int} and all(cell is None or -(1 << 63) <= cell < 1 << 63 for cell in cells):
        return pd.Series(cells, dtype="int64" if complete else "Int64")
    if kinds == {float}:
        return pd.Series([math.nan if cell is None else cell for cell in cells], dtype="float64")
    return pd.Series(cells, dtype=object)


def _numbers(column: _Cells) -> pd.Series[Any]:
    """The last values. pandas has one NaN for both what is not a number and what was never logged."""
    values = np.full(column.count, math.nan)
    values[list(column)] = list(column.values())
    return pd.Series(values)


def _times(texts: list[str]) -> pd.Series[Any]:
    return pd.Series(pd.to_datetime(texts, utc=True, format="ISO8601").as_unit("us"))


def _column(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _repeated(labels: list[str], lengths: list[int]) -> Any:
    # A categorical would be smaller; plain text is what every join and group by expects.
    return np.repeat(np.array(labels, dtype=object), lengths)
