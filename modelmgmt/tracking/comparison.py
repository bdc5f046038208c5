"""What differs between runs, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.tracking.run import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that the runs have, or some of them."""

    section: str
    """run, params, metrics, tags or artifacts."""
    key: str
    values: tuple[Any, ...]
    """One a run, in their order; None where the run has none."""

    @property
    def differs(self) -> bool:
        first, *others = (_comparable(value) for value in self.values)
        return any(other != first for other in others)


@dataclass(frozen=True)
class Comparison:
    """Two or more runs side by side. `rows` has everything, `differences` only what is not the same in all."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def differences(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.differs)

    def to_frame(self) -> pd.DataFrame:
        """The differences, one row each: section and key as the index, a column a run."""
        import pandas as pd

        index = pd.MultiIndex.from_tuples(
            [(row.section, row.key) for row in self.differences], names=["section", "key"]
        )
        return pd.DataFrame([row.values for row in self.differences], index=index, columns=list(self.ids), dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the runs, and the differences by section."""
        sections: dict[str, dict[str, list[Any]]] = {}
        for row in self.differences:
            sections.setdefault(row.section, {})[row.key] = list(row.values)
        runs = [{"id": run_id, "name": name} for run_id, name in zip(self.ids, self.names, strict=True)]
        return {"runs": runs, "differences": sections}


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare at least two different runs. Raises InvalidValueError, InvalidTypeError."""
    for run in runs:
        if not isinstance(run, Run):
            raise InvalidTypeError(f"compare takes runs, and {type(run).__name__} was given.")
    if len({run.id for run in runs}) < 2:
        raise InvalidValueError(f"compare takes at least two different runs, and {len(runs)} was given: add another.")
    rows = (
        *_rows("run", [_about(run) for run in runs]),
        *_rows("params", [run.params for run in runs]),
        *_rows("metrics", [run.metrics for run in runs]),
        *_rows("tags", [run.tags for run in runs]),
        *_rows("artifacts", [{name: kept.digest[:12] for name, kept in run.artifacts.items()} for run in runs]),
    )
    return Comparison(tuple(run.id for run in runs), tuple(run.name for run in runs), rows)


def _about(run: Run) -> dict[str, Any]:
    return {
        "experiment": run.experiment,
        "status": run.status,
        "duration_s": run.duration_s,
        "group": run.group,
        "parent": run.parent,
    }


def _rows(section: str, columns: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    keys = dict.fromkeys(key for column in columns for key in column)
    for key in keys:
        yield Row(section, key, tuple(column.get(key) for column in columns))


def _comparable(value: Any) -> Any:
    """1, 1.0 and True are different params; NaN is the same as NaN."""
    if isinstance(value, float) and math.isnan(value):
        return (float, "nan")
    return (type(value), value)
