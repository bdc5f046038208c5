"""Groups of runs, such as the seeds of one setting: their means with intervals, and which differ by more than chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.store.names import among, counted
from modelmgmt.tracking import statistics
from modelmgmt.tracking.runs import STATISTICS, Runs, Statistic, read_summaries
from modelmgmt.tracking.scales import is_nothing
from modelmgmt.tracking.statistics import Correction, Difference, Summary, TestName

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

C = TypeVar("C", bound=Runs[Any])

PAIRS = ("params.seed", "params.random_state", "params.fold")
"""By these, runs are paired when nothing else is said and every group has each value once."""


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """One metric of one group."""

    metric: str
    group: str
    values: tuple[float, ...]
    """One a run, in the order of the group; NaN where a run has none."""
    summary: Summary


@dataclass(frozen=True, slots=True)
class GroupDifference:
    """One metric: group `a` less group `b`."""

    metric: str
    a: str
    b: str
    difference: Difference
    p_adjusted: float
    """As it is when so many pairs and metrics are compared."""


@dataclass(frozen=True)
class GroupComparison:
    """Groups of runs, metric by metric: `summaries` of each group, `differences` of each two."""

    groups: Mapping[str, tuple[str, ...]]
    """The ids of the runs of each group."""
    metrics: tuple[str, ...]
    value: Statistic
    confidence: float
    paired_by: str | None
    """The column by which runs were paired; None when they were not."""
    correction: Correction | None
    summaries: tuple[GroupSummary, ...]
    differences: tuple[GroupDifference, ...]

    def summary(self, metric: str, group: str) -> Summary:
        """One of the summaries. Raises NotFoundError."""
        for found in self.summaries:
            if (found.metric, found.group) == (metric, group):
                return found.summary
        raise NotFoundError(f"Nothing is known of {metric!r} in {group!r}: there are {self.metrics}, {[*self.groups]}.")

    @property
    def caveat(self) -> str:
        """A sentence where groups are so small that their intervals are too narrow; otherwise empty."""
        return statistics.caveat(found.summary.count for found in self.summaries)

    def to_frame(self) -> pd.DataFrame:
        """One row a metric and group: count, missing, mean, std, low and high of the interval, median, min, max."""
        import pandas as pd

        rows = [_flat(asdict(found.summary)) for found in self.summaries]
        index = [(found.metric, found.group) for found in self.summaries]
        return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index, names=["metric", "group"]))

    def differences_frame(self) -> pd.DataFrame:
        """One row a metric and pair of groups: difference, interval, p-value, corrected p-value, size of the effect."""
        import pandas as pd

        rows = [{**_flat(asdict(d.difference)), "p_adjusted": d.p_adjusted} for d in self.differences]
        index = [(found.metric, found.a, found.b) for found in self.differences]
        names = pd.MultiIndex.from_tuples(index, names=["metric", "a", "b"]) if index else None
        return pd.DataFrame(rows, index=names)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "groups": {name: list(runs) for name, runs in self.groups.items()},
            "metrics": list(self.metrics),
            "value": self.value,
            "confidence": self.confidence,
            "paired_by": self.paired_by,
            "correction": self.correction,
            "caveat": self.caveat,
            "summaries": [
                {"metric": s.metric, "group": s.group, "values": list(s.values), **_flat(asdict(s.summary))}
                for s in self.summaries
            ],
            "differences": [
                {"metric": d.metric, "a": d.a, "b": d.b, **_flat(asdict(d.difference)), "p_adjusted": d.p_adjusted}
                for d in self.differences
            ],
        }


def split(runs: C, columns: Sequence[str]) -> dict[str, C]:
    """The runs of each value, or combination of values, of these columns of `to_frame`; in the order of the values."""
    frame = runs.to_frame()
    for column in columns:
        if column not in frame.columns:
            there = [str(name) for name in frame.columns]
            # What people leave out is the table: lr for params.lr.
            whole = next((name for name in there if name.partition(".")[2] == column), column)
            known = among(whole, there, 30)
            raise NotFoundError(f"No run has {column!r} to group by. There are: {known}")
    keys = [
        tuple(None if is_nothing(cell) else cell for cell in row)
        for row in frame[list(columns)].itertuples(index=False)
    ]
    places = {run: place for place, run in enumerate(runs.ids)}
    at = [places[str(run)] for run in frame.index]
    groups: dict[str, list[int]] = {}
    for place in sorted(range(len(keys)), key=lambda place: (_order(keys[place]), place)):
        groups.setdefault(_label(columns, keys[place]), []).append(at[place])
    return {label: runs._pick(sorted(found)) for label, found in groups.items()}


def compare_groups(
    groups: Mapping[str, Runs[Any]],
    metrics: Sequence[str] | str | None,
    *,
    value: Statistic = "last",
    pair_by: str | None = "auto",
    baseline: str | None = None,
    test: TestName | None = "t",
    correction: Correction | None = "holm",
    confidence: float = 0.95,
    resamples: int = 9999,
    rng: np.random.Generator | None = None,
) -> GroupComparison:
    """See `Store.compare_groups`."""
    _check(groups, value, baseline)
    metrics = _metrics(groups, metrics)
    # A run that is damaged has no row in its frame.
    frames = {name: runs.to_frame() for name, runs in groups.items()}
    ids = {name: list(map(str, frame.index)) for name, frame in frames.items()}
    values = {
        metric: {name: _values(runs, ids[name], metric, value) for name, runs in groups.items()} for metric in metrics
    }
    column = _pairing(frames, pair_by)
    options: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "rng": _rng(rng)}
    summaries = tuple(
        GroupSummary(metric, name, tuple(found), statistics.summarise(found, **options))
        for metric in metrics
        for name, found in values[metric].items()
    )
    order = {name: _order_of(frame, column) for name, frame in frames.items()} if column else {}
    differences = []
    for metric in metrics:
        for a, b in _pairs(list(groups), baseline):
            difference = _differ(values[metric][a], values[metric][b], order.get(a), order.get(b), test=test, **options)
            differences.append((metric, a, b, difference))
    adjusted = statistics.corrected([difference.p_value for *_, difference in differences], correction)
    return GroupComparison(
        {name: tuple(found) for name, found in ids.items()}, tuple(metrics), value, confidence, column, correction,
        summaries, tuple(GroupDifference(*found, p) for found, p in zip(differences, adjusted, strict=True)),
    )  # fmt: skip


def _metrics(groups: Mapping[str, Runs[Any]], asked: Sequence[str] | str | None) -> list[str]:
    """The metrics to compare; by default those that some run of every group has. Raises NotFoundError."""
    known = [{*runs.metric_keys()} for runs in groups.values()]
    chosen = sorted(set.intersection(*known)) if asked is None else [asked] if isinstance(asked, str) else list(asked)
    if not chosen:
        raise NotFoundError("The groups have no metric in common: name those to compare.")
    there = set.union(*known)
    for metric in chosen:
        if metric not in there:
            raise NotFoundError(f"No run has a metric {metric!r}; there are: {among(metric, sorted(there))}")
    return chosen


def _differ(
    a: list[float], b: list[float], order_a: list[Any] | None, order_b: list[Any] | None, **options: Any
) -> Difference:
    if order_a is None or order_b is None:
        return statistics.unpaired_difference(a, b, **options)
    places = {key: place for place, key in enumerate(order_b)}
    pairs = [(a[place], b[places[key]]) for place, key in enumerate(order_a) if key in places]
    found = statistics.paired_difference([x for x, _ in pairs], [y for _, y in pairs], **options)
    alone = len(a) + len(b) - 2 * len(pairs)
    if not alone:
        return found
    note = f"{counted(alone, 'run has', 'runs have')} no partner"
    return replace(found, note=f"{found.note}; {note}" if found.note else note)


def _pairs(names: list[str], baseline: str | None) -> Iterator[tuple[str, str]]:
    """Each against the baseline; without one, each against each that comes before it."""
    if baseline is not None:
        return ((name, baseline) for name in names if name != baseline)
    return ((b, a) for a, b in itertools.combinations(names, 2))


def _values(runs: Runs[Any], ids: Sequence[str], metric: str, value: Statistic) -> list[float]:
    with runs._kernel.series.snapshot() as snapshot:
        found = read_summaries(snapshot.connection, ids, metric)
    return [float(getattr(found[run], value)) if run in found else math.nan for run in ids]


def _pairing(groups: Mapping[str, pd.DataFrame], pair_by: str | None) -> str | None:
    """The column to pair by. Raises NotFoundError, InvalidValueError for one that was asked for and cannot serve."""
    if pair_by is None:
        return None
    if pair_by == "order":
        if len({len(frame) for frame in groups.values()}) > 1:
            sizes = ", ".join(f"{name}: {len(frame)}" for name, frame in groups.items())
            raise InvalidValueError(f"Pairs by order need groups of one size, and there are {sizes}.")
        return "order"
    if pair_by != "auto":
        for name, frame in groups.items():
            fault = _unfit(frame, pair_by)
            if fault:
                raise InvalidValueError(f"The group {name!r} cannot be paired by {pair_by!r}: {fault}.")
        return pair_by
    for column in PAIRS:
        if all(_unfit(frame, column) is None for frame in groups.values()):
            keys = [set(_order_of(frame, column)) for frame in groups.values()]
            if all(one == keys[0] for one in keys):
                return column
    return None


def _unfit(frame: pd.DataFrame, column: str) -> str | None:
    """Why a column does not say which run is which."""
    if column not in frame.columns:
        return "it has no such column"
    cells = frame[column].astype(object).tolist()
    if any(is_nothing(cell) for cell in cells):
        return "a run has no value there"
    return "two runs have the same value" if len({repr(cell) for cell in cells}) < len(cells) else None


def _order_of(frame: pd.DataFrame, column: str) -> list[Any]:
    if column == "order":
        return list(range(len(frame)))
    return [repr(cell) for cell in frame[column].astype(object).tolist()]


def _check(groups: Mapping[str, Runs[Any]], value: str, baseline: str | None) -> None:
    if not isinstance(groups, Mapping) or not all(isinstance(runs, Runs) for runs in groups.values()):
        raise InvalidTypeError(
            "Groups are a mapping of names to runs: runs.groupby('params.lr'), or {'a': store.runs(...)}."
        )
    if len(groups) < 2:
        raise InvalidValueError(f"compare_groups takes two groups or more, and {len(groups)} was given.")
    for name, runs in groups.items():
        if not len(runs):
            raise NotFoundError(f"The group {name!r} has no runs: its filter matched none.")
    if value not in STATISTICS:
        raise InvalidValueError(f"value is 'last', 'min', 'max', 'mean' or 'first', and {value!r} was given.")
    if baseline is not None and baseline not in groups:
        raise NotFoundError(f"There is no group {baseline!r} to compare with; there are: {among(baseline, groups)}")


def _rng(rng: np.random.Generator | None) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(0) if rng is None else rng


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    interval = values.pop("interval")
    return {**values, "low": interval["low"], "high": interval["high"]}


def _label(columns: Sequence[str], key: tuple[Any, ...]) -> str:
    return ", ".join(
        f"{column.partition('.')[2] or column}={_text(cell)}" for column, cell in zip(columns, key, strict=True)
    )


def _text(cell: Any) -> str:
    return "-" if cell is None else f"{cell:g}" if isinstance(cell, float) and float(f"{cell:g}") == cell else str(cell)


def _order(key: tuple[Any, ...]) -> tuple[tuple[int, float, str], ...]:
    """Numbers by size, then text, then what is missing."""
    return tuple(_rank(cell) for cell in key)


def _rank(cell: Any) -> tuple[int, float, str]:
    from numbers import Real

    if cell is None:
        return (2, 0.0, "")
    return (0, float(cell), "") if isinstance(cell, Real) else (1, 0.0, str(cell))
