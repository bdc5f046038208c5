"""What differs between runs, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import (
    CorruptDataError,
    InvalidTypeError,
    InvalidValueError,
    NotFoundError,
    StoreError,
    printable,
    warn,
)
from modelmgmt.store.names import among
from modelmgmt.tracking import provenance
from modelmgmt.tracking.run import Run
from modelmgmt.tracking.runs import Runs

if TYPE_CHECKING:
    import pandas as pd

    from modelmgmt.tracking.curve_pairs import CurvePair
    from modelmgmt.versions.data.diff import DataDiff

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that the runs have, or some of them."""

    section: str
    """run, params, metrics, tags, artifacts, code, data or environment."""
    key: str
    values: tuple[Any, ...]
    """One a run, in their order; None where the run has none."""
    is_imported: bool = True
    """False for an installed distribution that no run had imported when it started."""

    @property
    def differs(self) -> bool:
        first, *others = (_comparable(value) for value in self.values)
        return any(other != first for other in others)


@dataclass(frozen=True, slots=True)
class Unread:
    """A section of one run that is damaged or missing in the store, so that the section was not compared."""

    section: str
    run: str
    name: str
    error: str

    def __str__(self) -> str:
        return printable(f"{self.section} of {self.name} ({self.run}) cannot be read: {self.error}")


@dataclass(frozen=True)
class Comparison:
    """Two or more runs side by side. `rows` has everything, `differences` only what is not the same in all."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    rows: tuple[Row, ...]
    unread: tuple[Unread, ...] = ()
    """What is damaged or missing in the store; a section that one run cannot show is not compared."""
    runs: tuple[Run, ...] = field(default=(), repr=False, compare=False)

    @property
    def differences(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.differs)

    def curves(self, key: str | None = None) -> list[CurvePair]:
        """The curves of a metric, each other run against the first; of every metric with two points or more, by default.

        A curve that cannot be read is left out. Raises NotFoundError for a metric that the first run and no other has.
        """
        from modelmgmt.tracking.curve_pairs import compare_curves

        keys = self._curve_keys() if key is None else [key]
        found = [
            compare_curves(name, (self.runs[0].id, first), (other.id, second))
            for name in keys
            for first in self._points(self.runs[0], name)
            for other in self.runs[1:]
            for second in self._points(other, name)
        ]
        if key is not None and not found:
            raise NotFoundError(
                f"There are no two runs here with a readable metric {key!r}; they share: {among(key, self._curve_keys())}"
            )
        return found

    def history(self, key: str) -> pd.DataFrame:
        """Every point of one metric of these runs, as `Runs.history` gives them; what cannot be read is left out."""
        from modelmgmt.tracking.frames import history_frame

        parts = [(run.id, run.name, points) for run in self.runs for points in self._points(run, key)]
        return history_frame(parts)

    def code_diff(self, other: int = 1, *, context: int = 3) -> str:
        """How the code of another run differs from that of the first, as a unified diff; empty when it does not.

        `other` is the place of the run in `runs`. Raises NotFoundError when no code was captured, CorruptDataError.
        """
        return self.runs[0].code.diff(self.runs[other].code, context=context)

    def data_diff(self, name: str, other: int = 1, key: Any = None) -> DataDiff:
        """What the data that another run logged under `name` has that those of the first have not; see `Dataset.diff`.

        `other` is the place of the run in `runs`. Raises NotFoundError when one of them logged no such data.
        """
        versions = []
        for run in (self.runs[0], self.runs[other]):
            there = run.datasets
            if name not in there:
                raise NotFoundError(f"The run {run.name} logged no data {name!r}; it has: {among(name, there)}")
            versions.append(there[name])
        found: DataDiff = versions[0].diff(versions[1], key)
        return found

    def to_frame(self) -> pd.DataFrame:
        """The differences, one row each: section and key as the index, a column a run."""
        import pandas as pd

        index = pd.MultiIndex.from_tuples(
            [(row.section, row.key) for row in self.differences], names=["section", "key"]
        )
        return pd.DataFrame([row.values for row in self.differences], index=index, columns=list(self.ids), dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the runs, the differences by section, the curves, and what could not be read."""
        sections: dict[str, dict[str, list[Any]]] = {}
        for row in self.differences:
            sections.setdefault(row.section, {})[row.key] = list(row.values)
        runs = [{"id": run_id, "name": name} for run_id, name in zip(self.ids, self.names, strict=True)]
        curves = [pair.to_dict() for pair in self.curves()]
        return {"runs": runs, "differences": sections, "curves": curves, "unread": [str(note) for note in self.unread]}

    def _curve_keys(self) -> list[str]:
        """The metrics with two points or more in the first run and in another."""
        if any(note.section == "metrics" for note in self.unread) or not self.runs:
            return []
        counts = [{key: summary.count for key, summary in run.summaries.items()} for run in self.runs]
        others = {key for found in counts[1:] for key, count in found.items() if count > 1}
        return [key for key, count in counts[0].items() if count > 1 and key in others]

    @staticmethod
    def _points(run: Run, key: str) -> Iterator[Any]:
        try:
            yield run.series(key).points
        except CorruptDataError as error:
            warn(f"The curve of {key} of the run {run.name} ({run.id}) is left out: {error}")
        except NotFoundError:
            return


def compare(runs: Sequence[Any]) -> Comparison:
    """Compare at least two different runs. Raises InvalidValueError, InvalidTypeError."""
    for run in runs:
        if not isinstance(run, Run):
            hint = ": compare_groups compares collections of them" if isinstance(run, Runs) else ""
            raise InvalidTypeError(f"compare takes single runs, and {type(run).__name__} was given{hint}.")
    if len({run.id for run in runs}) < 2:
        given = f"{len(runs)} times the same" if len(runs) > 1 else len(runs)
        raise InvalidValueError(f"compare takes at least two different runs, and {given} was given: add another.")
    rows: list[Row] = []
    unread: list[Unread] = []
    for section, read in _SECTIONS.items():
        missing: list[Unread] = []
        columns = [_facts(section, read, run, missing) for run in runs]
        folded = provenance.not_imported(runs) if section == "environment" and not missing else ()
        rows += [] if missing else _rows(section, columns, folded)
        unread += missing
    ids, names = tuple(run.id for run in runs), tuple(run.name for run in runs)
    return Comparison(ids, names, tuple(rows), tuple(unread), tuple(runs))


def _facts(section: str, read: Callable[[Run], Facts], run: Run, unread: list[Unread]) -> Facts:
    """One section of one run; a part of the store that is damaged or gone hides only what it held."""
    try:
        return read(run)
    except (StoreError, NotFoundError) as error:
        unread.append(Unread(section, run.id, run.name, str(error)))
        return {}


def _about(run: Run) -> dict[str, Any]:
    return {
        "experiment": run.experiment,
        "status": run.status,
        "duration_s": run.duration_s,
        "group": run.group,
        "parent": run.parent,
    }


_SECTIONS: dict[str, Callable[[Run], Facts]] = {
    "run": _about,
    "params": lambda run: run.params,
    "metrics": lambda run: run.metrics,
    "tags": lambda run: run.tags,
    "artifacts": lambda run: {name: kept.digest[:12] for name, kept in run.artifacts.items()},
    "code": provenance.code_facts,
    "data": provenance.data_facts,
    "environment": provenance.environment_facts,
}


def _rows(section: str, columns: Sequence[Mapping[str, Any]], not_imported: Collection[str]) -> Iterator[Row]:
    keys = dict.fromkeys(key for column in columns for key in column)
    for key in keys:
        yield Row(section, key, tuple(column.get(key) for column in columns), key not in not_imported)


def _comparable(value: Any) -> Any:
    """1, 1.0 and True are different params; NaN is the same as NaN."""
    if isinstance(value, float) and math.isnan(value):
        return (float, "nan")
    return (type(value), value)
