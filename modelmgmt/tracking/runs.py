"""Many runs at once: find them, put them into a frame, read one metric of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.store.names import among, check_name
from modelmgmt.store.rows import verified
from modelmgmt.store.summary import LAST, SUMMARY_ROW, Summary, from_row
from modelmgmt.tracking import lifecycle, params
from modelmgmt.tracking import record as records
from modelmgmt.tracking.query import compile_filter, compile_order, unknown_fields
from modelmgmt.tracking.record import RunRecord
from modelmgmt.tracking.run import Run

if TYPE_CHECKING:
    import sqlite3

    import pandas as pd

    from modelmgmt.store.kernel import Kernel

R = TypeVar("R", bound=Run)

HISTORY_COLUMNS = ("run", "name", "step", "value", "time")


class Runs(Sequence[R], Generic[R]):
    """The runs that a query found, in its order. Their values are read when they are asked for."""

    def __init__(
        self, kernel: Kernel, run_type: type[R], found: Sequence[RunRecord], unknown: Sequence[str] = ()
    ) -> None:
        self._kernel = kernel
        self._run_type = run_type
        self._found = found
        self._unknown = tuple(unknown)

    @classmethod
    def query(
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
        lifecycle.bury(kernel)
        sql = f"{records.SELECT} WHERE {condition.sql} ORDER BY {order.sql} LIMIT ?"
        values = [*condition.values, *order.values, -1 if limit is None else limit]
        with kernel.series.snapshot() as snapshot:
            found = [records.from_row(row) for row in snapshot.connection.execute(sql, values)]
            unknown = unknown_fields(snapshot.connection, "" if found else text, order_by)
        return cls(kernel, run_type, found, unknown)

    @property
    def kernel(self) -> Kernel:
        """The store that they are in."""
        return self._kernel

    @property
    def records(self) -> Sequence[RunRecord]:
        """Their rows, as they were when the query was made."""
        return self._found

    @property
    def unknown(self) -> tuple[str, ...]:
        """A sentence for each name of the order, and of the filter that found nothing, that no run of the store has."""
        return self._unknown

    @property
    def ids(self) -> list[str]:
        return [record.id for record in self._found]

    def to_frame(self) -> pd.DataFrame:
        """One row a run, indexed by its id: what it is, then `params.*`, `metrics.*` (last values) and `tags.*`, typed."""
        from modelmgmt.tracking.frames import runs_frame

        with self._kernel.series.snapshot() as snapshot:
            return runs_frame(snapshot.connection, self._found)

    def history(self, key: str) -> pd.DataFrame:
        """Every point of one metric of all these runs: columns run, name, step, value, time (UTC); exact, long.

        Runs come in the order of this collection, the points of each by step. Raises NotFoundError, with the metrics that
        there are, when there are runs and none has it.
        """
        from modelmgmt.tracking.frames import history_frame

        check_name(key, "metric")
        with self._kernel.series.snapshot() as snapshot:
            parts = [(record.id, record.name, snapshot.read(record.id, key)) for record in self._found]
        if parts and not any(len(points.steps) for _, _, points in parts):
            raise no_metric(self, key)
        return history_frame(parts)

    def summaries(self, key: str) -> list[Summary | None]:
        """Count, first, last, min, max, mean of one metric, one a run in order; None for a run that does not have it.

        Raises NotFoundError, with the metrics that there are, when there are runs and none has it.
        """
        check_name(key, "metric")
        with self._kernel.series.snapshot() as snapshot:
            found = read_summaries(snapshot.connection, self.ids, key)
        if self._found and not found:
            raise no_metric(self, key)
        return [found.get(record.id) for record in self._found]

    def groupby(self, *columns: str) -> dict[str, Self]:
        """The runs of each value of a column of `to_frame`, such as `"params.lr"`, or of each combination of several.

        Labels read `lr=0.1`. Numbers come in order of size, then text, then runs without a value (`lr=-`). Raises
        NotFoundError for a column that no run has.
        """
        from modelmgmt.tracking.groups import split

        if not columns:
            raise InvalidValueError("groupby takes a column, such as 'params.lr', or several.")
        return split(self, columns)

    def pick(self, places: Sequence[int]) -> Self:
        """The runs at these places, in this order."""
        return type(self)(self._kernel, self._run_type, [self._found[place] for place in places])

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
            return type(self)(self._kernel, self._run_type, self._found[index])
        if not hasattr(index, "__index__"):
            raise InvalidTypeError(
                f"Runs are numbered from 0, and {index!r} was given: use store.run(id) for one by id."
            )
        return self._run_type(self._kernel, self._found[index])

    def __iter__(self) -> Iterator[R]:
        return (self._run_type(self._kernel, record) for record in self._found)


def no_metric(runs: Runs[Any], key: str) -> NotFoundError:
    """The error that says which metrics these runs have."""
    known = among(key, runs.metric_keys())
    return NotFoundError(f"None of these {len(runs)} runs has a metric {key!r}; they have: {known}")


def read_params(connection: sqlite3.Connection, ids: Sequence[str]) -> Iterator[tuple[str, params.Param]]:
    """(run, param) of many runs."""
    for batch in _batches(ids):
        for row in connection.execute(f"SELECT {params.COLUMNS} FROM params WHERE run IN ({_marks(batch)})", batch):
            yield row[0], params.from_row(row)


def read_last(connection: sqlite3.Connection, ids: Sequence[str]) -> Iterator[tuple[str, str, float | None]]:
    """(run, key, last value or None for NaN) of many runs."""
    for batch in _batches(ids):
        for row in connection.execute(f"SELECT {SUMMARY_ROW} FROM metrics WHERE run IN ({_marks(batch)})", batch):
            run, key, *_ = verified("metrics", row)
            yield run, key, row[LAST]


def read_summaries(connection: sqlite3.Connection, ids: Sequence[str], key: str) -> dict[str, Summary]:
    """The summary of one metric, by run."""
    found = {}
    for batch in _batches(ids):
        sql = f"SELECT {SUMMARY_ROW} FROM metrics WHERE key = ? AND run IN ({_marks(batch)})"
        for row in connection.execute(sql, (key, *batch)):
            found[row[0]] = from_row(tuple(verified("metrics", row)[2:]))
    return found


def read_tags(connection: sqlite3.Connection, ids: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(run, key, value) of many runs."""
    for batch in _batches(ids):
        rows = connection.execute(f"SELECT run, key, value, crc FROM tags WHERE run IN ({_marks(batch)})", batch)
        for row in rows:
            run, key, value = verified("tags", row)
            yield run, key, value


def _keys(connection: sqlite3.Connection, batch: Sequence[str]) -> Iterator[str]:
    rows: Any = connection.execute(f"SELECT DISTINCT key FROM metrics WHERE run IN ({_marks(batch)})", batch)
    return (key for (key,) in rows)


def _batches(ids: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    # Below the number of variables that the oldest SQLite in use allows.
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _marks(batch: Sequence[str]) -> str:
    return ", ".join("?" * len(batch))
