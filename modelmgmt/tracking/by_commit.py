"""The history of a metric by commit: which change moved it. Reads the code versions and the metrics of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError
from modelmgmt.tracking.runs import STATISTICS, Best, Runs, Statistic, no_metric
from modelmgmt.versions import code

if TYPE_CHECKING:
    import pandas as pd

    from modelmgmt.versions.code import CodeVersion


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What the runs of one commit have reached."""

    commit: str | None
    """None for runs of code that is in no git repository."""
    branch: str | None
    """The branch of the best run."""
    is_dirty: bool | None
    """Whether the runs had uncommitted changes: such runs are counted apart from those of the plain commit."""
    first_at: datetime
    """When the first of the runs began; aware, in UTC. The rows come in this order."""
    runs: int
    value: float
    """The best; NaN when no run has a number."""
    change: float
    """The value less that of the row before; NaN in the first row."""
    run: str
    name: str
    """The id and the name of the best run."""

    @property
    def label(self) -> str:
        """`1a2b3c4d5e`, with a plus where there were uncommitted changes."""
        return "no commit" if self.commit is None else f"{self.commit[:10]}{'+' if self.is_dirty else ''}"


@dataclass(frozen=True)
class CommitHistory:
    """A metric by commit, the oldest first."""

    metric: str
    value: Statistic
    best: Best
    rows: tuple[CommitResult, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row a commit, in the order of their first runs."""
        import pandas as pd

        columns = list(CommitResult.__slots__)
        return pd.DataFrame([asdict(row) for row in self.rows], columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "metric": self.metric,
            "value": self.value,
            "best": self.best,
            "rows": [asdict(row) for row in self.rows],
        }


def by_commit(runs: Runs[Any], metric: str, *, best: Best, value: Statistic) -> CommitHistory:
    """See `Store.by_commit`."""
    if best not in ("max", "min"):
        raise InvalidValueError(f"best is 'max' or 'min', and {best!r} was given.")
    if value not in STATISTICS:
        raise InvalidValueError(f"value is one of {', '.join(STATISTICS)}, and {value!r} was given.")
    summaries = runs.summaries(metric)
    if not any(summaries):
        raise no_metric(runs, metric)
    with runs._kernel.database.reading() as connection:
        starts = code.read_starts(connection)
    results: dict[tuple[str | None, bool | None], CommitResult] = {}
    for record, summary in sorted(zip(runs._found, summaries, strict=True), key=lambda pair: pair[0].started_at):
        if summary is None:
            continue
        version = starts.get(record.id)
        key = (version.git_commit, version.is_dirty) if version else (None, None)
        number = float(getattr(summary, value))
        results[key] = _joined(results.get(key), _result(record, version, number), best)
    return CommitHistory(metric, value, best, _with_changes(list(results.values())))


def _result(record: Any, version: CodeVersion | None, number: float) -> CommitResult:
    commit, branch, is_dirty = (version.git_commit, version.git_branch, version.is_dirty) if version else (None,) * 3
    return CommitResult(commit, branch, is_dirty, record.started, 1, number, math.nan, record.id, record.name)


def _joined(known: CommitResult | None, new: CommitResult, best: Best) -> CommitResult:
    """Both, with the better value; a finite number is better than what is none."""
    if known is None:
        return new
    is_better = new.value > known.value if best == "max" else new.value < known.value
    if math.isfinite(new.value) != math.isfinite(known.value):
        is_better = math.isfinite(new.value)
    winner = new if is_better or math.isnan(known.value) else known
    return replace(winner, first_at=known.first_at, runs=known.runs + 1)


def _with_changes(rows: Sequence[CommitResult]) -> tuple[CommitResult, ...]:
    before = [math.nan, *(row.value for row in rows[:-1])]
    return tuple(replace(row, change=row.value - last) for row, last in zip(rows, before, strict=True))
