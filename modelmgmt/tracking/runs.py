"""Many runs at once: find them, put them into a frame, read one metric of all of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, get_args, overload

from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError, NotFoundError, OutOfRangeError, warn
from modelmgmt.store.names import among, counted
from modelmgmt.store.rows import verified
from modelmgmt.store.summary import LAST, SUMMARY_ROW, Summary, from_row
from modelmgmt.tracking import lifecycle, params
from modelmgmt.tracking import record as records
from modelmgmt.tracking.query import Field, compile_filter, compile_order, fields_of, unknown_fields
from modelmgmt.tracking.record import RunRecord
from modelmgmt.tracking.run import Run

if TYPE_CHECKING:
    import sqlite3

    import pandas as pd

    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.curves import RunCollection

R = TypeVar("R", bound=Run)
Best = Literal["max", "min"]
Statistic = Literal["last", "min", "max", "mean", "first"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)


def _records(rows: Iterable[Sequence[Any]]) -> tuple[list[RunRecord], list[str]]:
    """The records, and a sentence for each that is damaged."""
    found, damaged = [], []
    for row in rows:
        try:
            found.append(records.from_row(row))
        except CorruptDataError as error:
            damaged.append(f"The run {row[0]!r} is left out: {error}")
    return found, damaged


class Runs(Sequence[R], Generic[R]):
    """The runs that a query found, in its order. Their values are read when they are asked for."""

    def __init__(
        self, kernel: Kernel, run_type: type[R], found: Sequence[RunRecord], unknown: Sequence[str] = ()
    ) -> None:
        self._kernel = kernel
        self._run_type = run_type
        self._found = found
        self._unknown = tuple(unknown)

    _asked: Sequence[Field] = ()
    """What the filter and the order name: a table keeps these columns."""
    _left_out: Sequence[str] = ()
    """A sentence for each run whose row is damaged."""

    @classmethod
    def _query(
        cls,
        kernel: Kernel,
        run_type: type[R],
        text: str = "",
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Self:
        """The runs for which the filter is true; see `unknown`. Raises QuerySyntaxError with the column."""
        condition, order = compile_filter(text), compile_order(order_by)
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
            raise InvalidValueError(f"limit is a count of runs, and {limit!r} was given.")
        fields = fields_of(text, order_by)
        lifecycle.bury(kernel)
        sql = f"{records.SELECT} WHERE {condition.sql} ORDER BY {order.sql} LIMIT ?"
        values = [*condition.values, *order.values, -1 if limit is None else min(limit, sys.maxsize)]
        with kernel.series.snapshot() as snapshot:
            found, damaged = _records(snapshot.connection.execute(sql, values))
            unknown = unknown_fields(snapshot.connection, "" if found else text, order_by)
        for sentence in damaged:
            warn(sentence)
        runs = cls(kernel, run_type, found, unknown)
        runs._asked, runs._left_out = fields, damaged
        return runs

    @property
    def unknown(self) -> tuple[str, ...]:
        """A sentence for each name of the order, and of the filter that found nothing, that no run of the store has."""
        return self._unknown

    @property
    def ids(self) -> list[str]:
        return [record.id for record in self._found]

    def to_frame(self) -> pd.DataFrame:
        """One row a run, indexed by its id: what it is, then `params.*`, `metrics.*` (last values) and `tags.*`, typed.

        `diverged` names the metrics of a run whose last value is NaN or infinite, as `loss, val/loss`, and is empty where
        there are none: pandas shows NaN for a metric that was never logged, too. A run that is damaged in the store is left
        out, with a warning that names it.
        """
        from modelmgmt.tracking.frames import runs_frame

        with self._kernel.series.snapshot() as snapshot:
            frame, damaged = runs_frame(snapshot.connection, self._found)
        for sentence in damaged:
            warn(sentence)
        return frame

    def _shown_frame(self, asked: Sequence[Field] | None = None) -> tuple[pd.DataFrame, list[str], list[str]]:
        """The frame to be shown; the columns for `asked`, which the query says; a sentence for each run that is damaged."""
        from modelmgmt.tracking.frames import column_of, shown_frame

        asked = self._asked if asked is None else asked
        with self._kernel.series.snapshot() as snapshot:
            frame, damaged = shown_frame(snapshot.connection, self._found, asked)
        return frame, list(map(column_of, asked)), [*self._left_out, *damaged]

    def history(self, key: str) -> pd.DataFrame:
        """Every point of one metric of all these runs: columns run, name, step, value, time (UTC); exact, long.

        Runs come in the order of this collection, the points of each by step. A run whose points are damaged in the store is
        left out, with a warning that names it. Raises NotFoundError, with the metrics that there are, when there are runs
        and none has it.
        """
        frame, damaged = self._history(key)
        for sentence in damaged:
            warn(sentence)
        return frame

    def _history(self, key: str) -> tuple[pd.DataFrame, list[str]]:
        """The points, and a sentence for each run whose points are damaged."""
        from modelmgmt.tracking.frames import history_frame

        _check_asked(key)
        parts, damaged = [], []
        with self._kernel.series.snapshot() as snapshot:
            for record in self._found:
                try:
                    parts.append((record.id, record.name, snapshot.read(record.id, key)))
                except CorruptDataError as error:
                    damaged.append(f"The curve of {key} of the run {record.name} ({record.id}) is left out: {error}")
        if parts and not damaged and not any(len(points.steps) for _, _, points in parts):
            raise no_metric(self, key)
        return history_frame(parts), damaged

    def summaries(self, key: str) -> list[Summary | None]:
        """Count, first, last, min, max, mean of one metric, one a run in order; None for a run that does not have it.

        It is None, too, for a run that is damaged in the store, and a warning names that run. Raises NotFoundError, with the
        metrics that there are, when there are runs and none has it.
        """
        _check_asked(key)
        damaged: Damaged = {}
        with self._kernel.series.snapshot() as snapshot:
            found = read_summaries(snapshot.connection, self.ids, key, damaged)
        for record in self._found:
            if record.id in damaged:
                warn(left_out(record, damaged[record.id]))
        if self._found and not found and not damaged:
            raise no_metric(self, key)
        return [found.get(record.id) for record in self._found]

    def best(self, metric: str, mode: Best = "max", *, value: Statistic = "last") -> R:
        """The run with the greatest value of a metric, or the least with `mode="min"`; of equal ones the first.

        `value` says which value of a run counts: its last, min, max, mean or first. A run that diverged, its last value
        being NaN or infinite, is never the best one, and a warning names it. Raises NotFoundError when no run has a value,
        InvalidValueError.

        >>> for loss in (0.5, 0.25):
        ...     with start_run("doc", params={"loss": loss}) as run:
        ...         run.log(loss=loss)
        >>> Store().runs.best("loss", "min").params
        {'loss': 0.25}
        """
        if mode not in ("max", "min"):
            raise InvalidValueError(f"mode is 'max' or 'min', and {mode!r} was given.")
        if value not in STATISTICS:
            raise InvalidValueError(f"value is one of {', '.join(STATISTICS)}, and {value!r} was given.")
        sign = 1 if mode == "max" else -1
        summaries = self.summaries(metric)
        diverged = [
            record.name
            for record, found in zip(self._found, summaries, strict=True)
            if found is not None and not (math.isfinite(found.last) and math.isfinite(getattr(found, value)))
        ]
        if diverged:
            names = f"{', '.join(diverged[:5])}{f' and {len(diverged) - 5:,} more' if len(diverged) > 5 else ''}"
            warn(f"Not considered, as the last {metric!r} is not a finite number: {names}.")
        values = [
            sign * float(getattr(found, value)) if found is not None and math.isfinite(found.last) else None
            for found in summaries
        ]
        known = [
            (number, -place) for place, number in enumerate(values) if number is not None and math.isfinite(number)
        ]
        if not known:
            what = f"has a number as its {value} {metric!r}" if self else "was found"
            raise NotFoundError(f"There is no best run: none {what}.")
        return self[-max(known)[1]]

    def __add__(self, other: object) -> Self:
        """The runs of both, in this order, each once. Both come from one store."""
        if not isinstance(other, Runs):
            return NotImplemented
        if other._kernel.path != self._kernel.path:
            raise InvalidValueError(
                f"These runs are in {self._kernel.path} and in {other._kernel.path}: merge the stores first."
            )
        found = {record.id: record for record in [*self._found, *other._found]}
        return self._of(list(found.values()))

    def groupby(self, *columns: str) -> dict[str, Self]:
        """The runs of each value of a column of `to_frame`, such as `"params.lr"`, or of each combination of several.

        Labels read `lr=0.1`. Numbers come in order of size, then text, then runs without a value (`lr=-`). Raises
        NotFoundError for a column that no run has.
        """
        from modelmgmt.tracking.groups import split

        if not columns:
            raise InvalidValueError("groupby takes a column, such as 'params.lr', or several.")
        return split(self, columns)

    def _pick(self, places: Sequence[int]) -> Self:
        """The runs at these places, in this order."""
        return self._of([self._found[place] for place in places])

    def _of(self, found: Sequence[RunRecord]) -> Self:
        """Some of these runs, or the same in another order."""
        runs = type(self)(self._kernel, self._run_type, found)
        runs._asked, runs._left_out = self._asked, self._left_out
        return runs

    def metric_keys(self) -> list[str]:
        """The names of all metrics of these runs."""
        with self._kernel.series.snapshot() as snapshot:
            return sorted({key for part in _batches(self.ids) for key in _keys(snapshot.connection, part)})

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> R | Self:
        if isinstance(index, slice):
            return self._of(self._found[index])
        if not hasattr(index, "__index__"):
            raise InvalidTypeError(
                f"Runs are numbered from 0, and {index!r} was given: store.runs[...] finds one by name or id."
            )
        try:
            record = self._found[index]
        except IndexError:
            there = counted(len(self), "run") if self._found else "none"
            raise OutOfRangeError(
                f"There is no run at place {index}: there are {there}, and places count from 0."
            ) from None
        return self._run_type(self._kernel, record)

    def __iter__(self) -> Iterator[R]:
        return (self._run_type(self._kernel, record) for record in self._found)


def collection(runs: RunCollection | Run | Sequence[Run]) -> RunCollection:
    """The runs that a plot or a report is given: a collection, a list of runs of one store, or one run."""
    given: Any = runs
    if hasattr(given, "history"):
        return given  # type: ignore[no-any-return]
    many: Sequence[Any] = given if isinstance(given, (list, tuple)) else [given]
    for run in many:
        if not isinstance(run, Run):
            message = f"Plots and reports take runs, as store.runs(...) gives them, and {type(run).__name__} was given."
            raise InvalidTypeError(message)
    found = [Runs(run._kernel, type(run), [run._record]) for run in many]  # noqa: SLF001 - as `found` gave it
    if not found:
        raise NotFoundError("There are no runs to draw: the list is empty.")
    return sum(found[1:], found[0])


def no_metric(runs: Runs[Any], key: str) -> NotFoundError:
    """The error that says which metrics these runs have."""
    known = among(key, runs.metric_keys())
    if len(runs) == 1:
        return NotFoundError(f"The run does not have the metric {key!r}; it has: {known}")
    return NotFoundError(f"None of these {len(runs):,} runs has the metric {key!r}; they have: {known}")


Damaged = dict[str, str]
"""By the id of a run, what of it is damaged: who passes one on goes on without that run."""


def read_params(
    connection: sqlite3.Connection, ids: Sequence[str], damaged: Damaged | None = None
) -> Iterator[tuple[str, str, params.Value]]:
    """(run, key, value) of many runs."""
    for row in _rows(connection, "params", f"{params.COLUMNS}", ids, damaged):
        param = params.Param(*row[1:-1])
        yield row[0], param.key, param.decode()


def read_last(
    connection: sqlite3.Connection, ids: Sequence[str], damaged: Damaged | None = None
) -> Iterator[tuple[str, str, float]]:
    """(run, key, last value) of many runs."""
    for row in _rows(connection, "metrics", SUMMARY_ROW, ids, damaged):
        yield row[0], row[1], math.nan if row[LAST] is None else row[LAST]


def read_summaries(
    connection: sqlite3.Connection, ids: Sequence[str], key: str, damaged: Damaged | None = None
) -> dict[str, Summary]:
    """The summary of one metric, by run."""
    rows = _rows(connection, "metrics", SUMMARY_ROW, ids, damaged, key)
    return {row[0]: from_row(tuple(row[2:-1])) for row in rows}


def read_tags(
    connection: sqlite3.Connection, ids: Sequence[str], damaged: Damaged | None = None
) -> Iterator[tuple[str, str, str]]:
    """(run, key, value) of many runs."""
    for run, key, value, _ in _rows(connection, "tags", "run, key, value, crc", ids, damaged):
        yield run, key, value


def left_out(record: RunRecord, why: str) -> str:
    """The sentence about a run that a frame, a page or a plot goes on without."""
    return f"The run {record.name} ({record.id}) is left out: {why}"


def _rows(
    connection: sqlite3.Connection,
    table: str,
    columns: str,
    ids: Sequence[str],
    damaged: Damaged | None,
    key: str | None = None,
) -> Iterator[Sequence[Any]]:
    """The rows of many runs, with their checksums. Raises CorruptDataError, unless `damaged` takes it."""
    for batch in _batches(ids):
        sql = f"SELECT {columns} FROM {table} WHERE run IN ({_marks(batch)}){' AND key = ?' if key is not None else ''}"
        for row in connection.execute(sql, (*batch, *([] if key is None else [key]))):
            try:
                verified(table, row)
            except CorruptDataError as error:
                if damaged is None:
                    raise
                damaged[row[0]] = str(error)
            else:
                yield row


def _keys(connection: sqlite3.Connection, batch: Sequence[str]) -> Iterator[str]:
    rows: Any = connection.execute(f"SELECT DISTINCT key FROM metrics WHERE run IN ({_marks(batch)})", batch)
    return (key for (key,) in rows)


def _batches(ids: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    # Below the number of variables that the oldest SQLite in use allows.
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _marks(batch: Sequence[str]) -> str:
    return ", ".join("?" * len(batch))


def _check_asked(key: object) -> None:
    """A name that is looked up is text; it may be one that cannot be logged here, as of a store of somebody else."""
    if not isinstance(key, str):
        raise InvalidTypeError(f"The name of a metric is text, and {key!r:.100} was given: pass str(...) of it.")
